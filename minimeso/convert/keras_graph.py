"""The graph of a Keras network: Sequential and Functional models, models in models, layers that are
called more than once."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from ..errors import GraphError
from .builder import Builder
from .keras_file import KerasFile, Place
from .keras_layer import Layer
from .keras_operators import READERS
from .source import (
    MOST_NODES,
    Converted,
    Preparation,
    add_input,
    convert_node,
    damage_told,
    finished,
    with_size,
)
from .view import Value

#: Model classes and how their ``config`` is read.
_SEQUENTIAL = frozenset({"Sequential"})
_FUNCTIONAL = frozenset({"Functional", "Model"})
#: A call of a layer: its name and which call it is; and one of its results.
Call = tuple[str, int]
Result = tuple[str, int, int]


class Step(NamedTuple):
    """A call of a layer: what it is called with, and settings that are given with the call."""

    spec: Mapping[str, Any]
    call: Call
    arguments: list[Any]
    more: dict[str, Any]


def convert_keras(
    file: KerasFile,
    name: str,
    size: tuple[int, int] | None = None,
    preparation: Preparation | None = None,
) -> Converted:
    """The network of a Keras file.

    Args:
        file: what was read.
        name: of the network.
        size: (height, width) of pictures, where the file leaves them open.
        preparation: what it wants done to pictures.

    Raises:
        GraphError: something in it is not known; the message names the layer.
    """
    with damage_told("the network"):
        reader = _Reader(file, size, preparation or Preparation())
        results = reader.model(file.config, Place((), (), ""), None)
        names = [f"output {number}" for number in range(len(results))]
        values = reader.made | dict(zip(names, results, strict=True))
        return finished(reader.build, name, values, reader.inputs, names)


@dataclass
class _Reader:
    file: KerasFile
    size: tuple[int, int] | None
    preparation: Preparation
    build: Builder = field(default_factory=Builder)
    inputs: dict[str, Value] = field(default_factory=dict)
    made: dict[str, Value] = field(default_factory=dict)
    work: int = 0

    def model(
        self, spec: Mapping[str, Any], place: Place, given: Sequence[Value] | None
    ) -> list[Value]:
        """The results of a model, for values that it is called with or for the network's inputs."""
        config = spec["config"]
        if spec["class_name"] in _SEQUENTIAL:
            steps, inputs, outputs = _sequential(config)
        elif spec["class_name"] in _FUNCTIONAL and "input_layers" in config:
            steps = list(_functional(config["layers"]))
            inputs, outputs = (_results(config[key]) for key in ("input_layers", "output_layers"))
        else:
            raise GraphError(
                f"a model of the class {str(spec['class_name'])[:80]!r}: its graph is code that is"
                " not in the file; known are Sequential and Functional models"
            )
        # a model in a model may be called often, each time with all that is in it
        self.work += sum(1 + len(step.arguments) for step in steps)
        if self.work > MOST_NODES:
            raise GraphError(f"has more than {MOST_NODES} layers, or arguments of them")
        keys = _keys([step.spec for step in steps])
        values: dict[Call, list[Value]] = {}
        if given is not None:
            if len(given) != len(inputs):
                raise GraphError(f"model {place.names[-1]!r} has {len(inputs)} inputs")
            values = {(name, node): [v] for (name, node, _), v in zip(inputs, given, strict=True)}
        for step in _ordered(steps):
            if step.call not in values:
                name = step.call[0]
                inside = f"{place.call}/" if place.names else ""
                own = Place(
                    (*place.names, name),
                    (*place.keys, keys.get(name, "")),
                    f"{inside}{name}:{step.call[1]}",
                )
                values[step.call] = self._called(step, own, values)
        return [_result(values, *output) for output in outputs]

    def _called(self, step: Step, place: Place, values: Mapping[Call, list[Value]]) -> list[Value]:
        spec, path = step.spec, "/".join(place.names)
        arguments = [
            _result(values, *a) if isinstance(a, tuple) else np.asarray(a, np.float64)
            for a in step.arguments
        ]
        class_name = _class_of(spec)
        if class_name == "InputLayer":
            found = [self._input(place.names[-1], spec["config"])]
        elif "layers" in spec["config"]:
            found = self.model(spec, place, [a for a in arguments if isinstance(a, Value)])
        else:
            config = {**spec["config"], **step.more}
            layer = Layer(class_name, path, arguments, config, self.build, self.file.version[0])
            layer.arrays_of = lambda names: self.file.layer_arrays(place, names)
            found = convert_node(layer, READERS)
        for number, value in enumerate(found):
            self.made[f"{place.call}:{number}"] = value
        return found

    def _input(self, name: str, config: Mapping[str, Any]) -> Value:
        shape = config.get("batch_shape", config.get("batch_input_shape"))
        if not isinstance(shape, (list, tuple)):
            raise GraphError(f"layer {name!r}: its shape is {str(shape)[:80]}")
        sizes = [None if size is None else int(size) for size in shape]
        if min(size for size in (*sizes, 1) if size is not None) < 1:
            raise GraphError(f"layer {name!r}: its shape is {sizes}")
        last = len(sizes) == 4 and not _channels_first(self.file.config)
        sizes = with_size(sizes, (1, 2) if last else (2, 3), self.size)
        self.build.where = name
        self.inputs[name] = given = add_input(self.build, name, sizes, last, True)
        of_bytes = config.get("dtype") == "uint8"
        wanted = self.preparation.for_bytes() if of_bytes else self.preparation
        return wanted.apply(self.build, given)


# --- what a configuration says ----------------------------------------------------------------


def _class_of(spec: Mapping[str, Any]) -> str:
    """What a layer is; one that is not of Keras by the name that it was registered under."""
    module, class_name = spec.get("module"), str(spec["class_name"])
    registered = spec.get("registered_name")
    if module is not None and not re.match(r"keras(\.|$)", str(module)):
        return f"{module}.{class_name}"
    if registered is not None and str(registered) != class_name:
        return str(registered)
    if class_name == "TFOpLambda":  # Keras 2's name for a function of TensorFlow
        return f"tf.{spec['config'].get('function')}"
    if module is not None and ".ops." in str(module):
        return f"ops.{class_name}"
    return class_name


def _channels_first(config: Mapping[str, Any]) -> bool:
    """Whether the first layer that says so has channels before height and width."""
    for spec in config["config"]["layers"] if isinstance(config["config"], dict) else ():
        inner = spec["config"]
        if isinstance(inner, dict) and inner.get("data_format") is not None:
            return bool(inner["data_format"] == "channels_first")
        if isinstance(inner, dict) and "layers" in inner:
            return _channels_first(spec)
    return False


def _sequential(config: Any) -> tuple[list[Step], list[Result], list[Result]]:
    """Layers one behind the other; Keras before 2.2 has no names beside them."""
    specs = list(config["layers"] if isinstance(config, dict) else config)
    names = [str(spec["config"]["name"]) for spec in specs]
    first = specs[0]
    if first["class_name"] != "InputLayer":
        shape = first["config"].get("batch_input_shape")
        if shape is None and isinstance(config, dict):
            shape = config.get("build_input_shape")
        specs.insert(0, {"class_name": "InputLayer", "config": {"batch_input_shape": shape}})
        names.insert(0, f"{names[0]}_input")
    if len(set(names)) < len(names):
        raise GraphError("two of its layers have one name")
    steps = [
        Step(spec, (name, 0), [(before, 0, 0)] if before else [], {})
        for spec, name, before in zip(specs, names, [None, *names], strict=False)
    ]
    return steps, [(names[0], 0, 0)], [(names[-1], 0, 0)]


def _functional(layers: Sequence[Mapping[str, Any]]) -> Iterator[Step]:
    """Every call of every layer."""
    for spec in layers:
        name = str(spec.get("name", spec["config"].get("name")))
        nodes = spec.get("inbound_nodes") or []
        if not nodes:
            yield Step(spec, (name, 0), [], {})
        for number, node in enumerate(nodes):
            if isinstance(node, dict):
                try:
                    arguments, more = list(_arguments(node["args"])), dict(node["kwargs"])
                except GraphError as error:
                    raise GraphError(f"layer {name!r} ({_class_of(spec)}): {error}") from None
            else:
                arguments, more = _old_arguments(node)
            yield Step(spec, (name, number), arguments, more)


def _arguments(argument: Any) -> Iterator[Any]:
    """Keras 3: tensors as results of other calls, numbers as they are."""
    if isinstance(argument, (list, tuple)):
        for one in argument:
            yield from _arguments(one)
    elif isinstance(argument, dict):
        if "keras_history" not in argument["config"]:
            what = str(argument.get("class_name"))[:80]
            raise GraphError(f"is called with a {what}; known are tensors and numbers")
        name, node, tensor = argument["config"]["keras_history"]
        yield (str(name), int(node), int(tensor))
    elif argument is not None:
        yield float(argument)


def _old_arguments(node: Sequence[Any]) -> tuple[list[Any], dict[str, Any]]:
    """Keras 2: one list for each tensor, settings in its fourth place."""
    entries = [node] if node and isinstance(node[0], str) else node
    arguments: list[Any] = []
    more: dict[str, Any] = {}
    for name, number, tensor, *rest in entries:
        arguments.append((str(name), int(number), int(tensor)))
        more.update(rest[0] if rest else {})
    other = more.pop("y", None)  # of `x + y` and the like
    if isinstance(other, (list, tuple)):
        arguments.append((str(other[0]), int(other[1]), int(other[2])))
    elif other is not None:
        arguments.append(float(other))
    return arguments, more


def _results(entries: Any) -> list[Result]:
    """What is called so in one list, a list of lists or an object of them."""
    if isinstance(entries, dict):
        entries = list(entries.values())
    if entries and isinstance(entries[0], str):
        entries = [entries]
    return [(str(name), int(node), int(tensor)) for name, node, tensor in entries]


def _result(values: Mapping[Call, list[Value]], name: str, node: int, tensor: int) -> Value:
    found = values.get((name, node), [])
    if not 0 <= tensor < len(found):
        raise GraphError(f"reads result {tensor} of layer {name[:80]!r}, which is computed nowhere")
    return found[tensor]


def _ordered(steps: Sequence[Step]) -> Iterator[Step]:
    """Each behind all that it reads, otherwise in the order of the file."""
    there = {step.call for step in steps}
    if len(there) < len(steps):
        raise GraphError("two of its layers have one name")
    readers: dict[Call, list[Step]] = {}
    missing: dict[Call, int] = {}
    for step in steps:
        needs = {a[:2] for a in step.arguments if isinstance(a, tuple)}
        unknown = needs - there
        if unknown:
            raise GraphError(
                f"layer {step.call[0]!r} reads layer {min(unknown)[0][:80]!r}, which is not there"
            )
        missing[step.call] = len(needs)
        for need in needs:
            readers.setdefault(need, []).append(step)
    ready = [step for step in reversed(steps) if not missing[step.call]]
    count = 0
    while ready:
        step = ready.pop()
        count += 1
        yield step
        for reader in reversed(readers.get(step.call, ())):
            missing[reader.call] -= 1
            if not missing[reader.call]:
                ready.append(reader)
    if count < len(steps):
        raise GraphError("has layers that read each other in a circle")


def _keys(specs: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """What the groups of the layers are called in a ``.keras``: by class and number."""
    keys: dict[str, str] = {}
    counts: dict[str, int] = {}
    for spec in specs:
        name = str(spec.get("name", spec["config"].get("name")))
        if name in keys or ".ops." in str(spec.get("module")):
            continue
        key = re.sub(r"\W+", "", str(spec["class_name"]))
        key = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", key)
        key = re.sub(r"([a-z])([A-Z])", r"\1_\2", key).lower()
        number = counts.get(key, 0)
        counts[key] = number + 1
        keys[name] = f"{key}_{number}" if number else key
    return keys
