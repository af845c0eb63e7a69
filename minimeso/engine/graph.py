"""A network as data: named nodes in order.  Knows shapes and JSON, not how anything runs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..checks import is_integer
from ..errors import GraphError
from .layer import quantized
from .operators import MAX_ELEMENTS, MAX_EXTENT, OPERATORS, Shape

#: Float32 arrays by ``node.parameter``; those of a file with small types may be widened each time
#: that one is asked for (``storage``).
Weights = Mapping[str, npt.NDArray[np.float32]]

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,99}")
_MAX_NODES = 1 << 11


class Node(NamedTuple):
    """One operation of a graph: ``name``, ``op``, input names and checked attributes."""

    name: str
    op: str
    inputs: tuple[str, ...]
    attributes: dict[str, Any]


class Graph:
    """A network of the operators in ``minimeso.engine.operators.OPERATORS``.

    Build one node by node; each call returns the node's name, to be used as an input::

        graph = minimeso.Graph("tiny")
        x = graph.input("image", (3, None, None))          # any height and width
        x = graph.node("conv2d", x, out_channels=8, kernel_size=3, padding=1, name="conv1")
        x = graph.node("mish", x)
        graph.output(graph.node("global_avg_pool2d", x, name="features"))

    ``graph.parameters()`` then lists the arrays (``conv1.weight``, ``conv1.bias``) that
    ``minimeso.Session(graph, weights)`` needs.  Every method raises ``GraphError`` that names
    the node.
    """

    def __init__(self, name: str = "graph") -> None:
        self.name = name
        self.inputs: dict[str, Shape] = {}
        self.nodes: list[Node] = []
        self.outputs: list[str] = []
        self._shapes: dict[str, Shape] = {}

    # --- building ------------------------------------------------------------------------

    def input(self, name: str, shape: Sequence[int | None]) -> str:
        """Declare an input of ``shape`` (C, H, W) or (F,), without the batch axis."""
        self._check_name(name)
        dims = _tuple_of(name, shape)
        if len(dims) not in (1, 3) or dims[0] is None:
            raise GraphError(f"input {name!r}: shape must be (C, H, W) or (F,), not {shape!r}")
        for dim in dims:
            if dim is not None and (not is_integer(dim) or not 1 <= dim <= MAX_EXTENT):
                raise GraphError(f"input {name!r}: {dim!r} is not a size in 1..{MAX_EXTENT}")
        dims = tuple(None if dim is None else int(dim) for dim in dims)
        self.inputs[name] = dims
        self._shapes[name] = _checked_size(name, dims)
        return name

    def node(self, op: str, /, *inputs: str, name: str | None = None, **attributes: Any) -> str:
        """Append an operation that reads earlier nodes; returns its name.

        Args:
            op: a key of ``OPERATORS``; its attributes are listed there.
            inputs: names of inputs or earlier nodes.
            name: what its output and its arrays are called; by default ``op`` and a number.
        """
        if name is None:
            name = f"{op}{sum(n.op == op for n in self.nodes) + 1}"
        self._check_name(name)
        if len(self.nodes) >= _MAX_NODES:
            raise GraphError(f"node {name!r}: more than {_MAX_NODES} nodes")
        operation = OPERATORS.get(op) if isinstance(op, str) else None
        if operation is None:
            raise GraphError(
                f"node {name!r}: unknown operation {op!r} (known: {', '.join(OPERATORS)})"
            )
        least, most = operation.arity
        if not least <= len(inputs) <= most:
            raise GraphError(f"node {name!r}: {op} takes {least} input(s), got {len(inputs)}")
        for source in inputs:
            if source not in self._shapes:
                raise GraphError(
                    f"node {name!r}: input {source!r} is not computed before it "
                    "(unknown name, wrong order or a cycle)"
                )
        try:
            values = operation.read_attributes(attributes)
            node = Node(name, op, tuple(inputs), values)
            self._shapes[name] = _infer(node, self._shapes)
            operation.parameters([self._shapes[i] for i in inputs], values)
        except GraphError as error:
            self._shapes.pop(name, None)
            raise GraphError(f"node {name!r} ({op}): {error}") from None
        self.nodes.append(node)
        return name

    def output(self, *names: str) -> None:
        """Declare what the network returns."""
        for name in names:
            if name not in self._shapes:
                raise GraphError(f"output {name!r} is not a node")
            if name in self.outputs:
                raise GraphError(f"output {name!r} is named twice")
            self.outputs.append(name)

    def _check_name(self, name: object) -> None:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise GraphError(
                f"{name!r} is not a name (letters, digits, '_', '.', '-'; at most 100)"
            )
        if name in self._shapes:
            raise GraphError(f"node {name!r}: the name is taken")

    def __copy__(self) -> Graph:
        """As it is now: what is built on either of the two is not in the other."""
        graph = Graph(self.name)
        graph.inputs, graph.outputs = dict(self.inputs), list(self.outputs)
        graph.nodes, graph._shapes = list(self.nodes), dict(self._shapes)
        return graph

    # --- asking --------------------------------------------------------------------------

    def shapes(self, inputs: Mapping[str, Sequence[int]] | None = None) -> dict[str, Shape]:
        """Shape of every input and node, for inputs of the given shapes.

        Raises:
            GraphError: an input does not fit its declaration, or a node its input.
        """
        if inputs is None:
            return dict(self._shapes)
        shapes: dict[str, Shape] = {**self.sizes(inputs)}
        for node in self.nodes:
            try:
                shapes[node.name] = _infer(node, shapes)
            except GraphError as error:
                raise GraphError(f"node {node.name!r} ({node.op}): {error}") from None
        return shapes

    def sizes(
        self, inputs: Mapping[str, Sequence[int | None]] | None = None
    ) -> dict[str, tuple[int, ...]]:
        """The shapes of all inputs in numbers: as given, or else as declared.

        Raises:
            GraphError: an input does not fit its declaration, or takes any size and has none.
        """
        inputs = self.inputs if inputs is None else inputs
        if not isinstance(inputs, Mapping) or set(inputs) != set(self.inputs):
            given = list(inputs) if isinstance(inputs, Mapping) else inputs
            raise GraphError(f"inputs are {sorted(self.inputs)}, not {given!r}: name their shapes")
        sizes = {}
        for name, declared in self.inputs.items():
            shape = _tuple_of(name, inputs[name])
            if len(shape) == len(declared) and any(n is None for n in shape):
                raise GraphError(f"input {name!r} takes any size: say which")
            if len(shape) != len(declared) or not all(
                is_integer(n) and n >= 1 and d in (None, n)
                for d, n in zip(declared, shape, strict=True)
            ):
                wanted = tuple("any" if d is None else d for d in declared)
                raise GraphError(f"input {name!r} has shape {shape}, the network wants {wanted}")
            sizes[name] = tuple(map(int, shape))
            _checked_size(name, sizes[name])
        return sizes

    def parameters(self) -> dict[str, tuple[int, ...]]:
        """Shapes of all float32 arrays, by ``node.parameter``."""
        return {
            f"{node.name}.{parameter}": shape
            for node in self.nodes
            for parameter, shape in OPERATORS[node.op]
            .parameters([self._shapes[i] for i in node.inputs], node.attributes)
            .items()
        }

    def check_weights(
        self, weights: Mapping[str, npt.NDArray[Any]]
    ) -> dict[str, npt.NDArray[np.float32]]:
        """The arrays as contiguous float32, or ``GraphError`` that names the wrong one."""
        self.check_arrays(weights)
        return {name: np.ascontiguousarray(weights[name]) for name in self.parameters()}

    def check_arrays(self, weights: Mapping[str, npt.NDArray[Any]]) -> None:
        """``GraphError`` that names the wrong array, if one is.  They are looked at one by one, and
        what is int8 in a file as it is, so that they are not in memory all at once."""
        wanted = self.parameters()
        extra = sorted(set(weights) - set(wanted))
        if extra:
            raise GraphError(f"array {extra[0]!r} belongs to no node")
        for name, shape in wanted.items():
            node, _, parameter = name.rpartition(".")
            if name not in weights:
                raise GraphError(f"node {node!r}: array {name!r} is missing")
            small = quantized(weights, name) if parameter == "weight" else None
            try:
                array = np.asarray(weights[name]) if small is None else small.values
            except MemoryError:
                raise
            except Exception as error:  # as of a tensor of PyTorch that is being trained
                raise GraphError(f"node {node!r}: {name!r} is no array: {error}") from None
            if small is None and array.dtype != np.float32:
                raise GraphError(f"node {node!r}: {name!r} is {array.dtype}, not float32")
            if array.shape != shape:
                raise GraphError(f"node {node!r}: {name!r} has shape {array.shape}, not {shape}")
            if not (np.isfinite(array).all() if small is None else small.is_finite()):
                raise GraphError(f"node {node!r}: {name!r} holds a number that is not finite")
            if parameter == "running_var" and (array < 0).any():
                raise GraphError(f"node {node!r}: {name!r} holds a negative variance")

    def approximated(self) -> Graph:
        """A copy in which Swish, Mish and Pish are polynomials in pieces: to 2e-4, and faster with
        AVX2 and AVX-512 (``approximate="piecewise"`` of their nodes).  Arrays and names are the
        same."""
        graph = copy(self)
        graph.nodes = [
            node._replace(attributes={**node.attributes, "approximate": "piecewise"})
            if _has_pieces(node.op)
            else node
            for node in self.nodes
        ]
        return graph

    # --- JSON ----------------------------------------------------------------------------

    def to_json(self) -> dict[str, Any]:
        """The graph as JSON-able data; ``from_json`` reads it back."""
        return {
            "inputs": [{"name": n, "shape": list(s)} for n, s in self.inputs.items()],
            "nodes": [
                {
                    "name": node.name,
                    "op": node.op,
                    "inputs": list(node.inputs),
                    "attributes": {
                        key: list(value) if isinstance(value, tuple) else value
                        for key, value in node.attributes.items()
                    },
                }
                for node in self.nodes
            ],
            "outputs": list(self.outputs),
        }

    @classmethod
    def from_json(cls, data: Any, name: str = "graph") -> Graph:
        """Rebuild a graph from hostile JSON data; raises ``GraphError``."""
        graph = cls(name)
        for entry in _entries(data, "inputs", ("name", "shape")):
            if not isinstance(entry["shape"], list):
                raise GraphError(f"input {entry['name']!r}: shape is not a list")
            graph.input(entry["name"], entry["shape"])
        for entry in _entries(data, "nodes", ("name", "op", "inputs", "attributes")):
            inputs, attributes = entry["inputs"], entry["attributes"]
            if not isinstance(inputs, list) or not all(isinstance(i, str) for i in inputs):
                raise GraphError(f"node {entry['name']!r}: inputs is not a list of names")
            if not isinstance(attributes, dict) or "name" in attributes:
                raise GraphError(f"node {entry['name']!r}: attributes is not a plain object")
            if not isinstance(entry["name"], str):
                raise GraphError(f"node name {entry['name']!r} is not a string")
            graph.node(entry["op"], *inputs, name=entry["name"], **attributes)
        outputs = data.get("outputs")
        if not isinstance(outputs, list) or not all(isinstance(o, str) for o in outputs):
            raise GraphError("outputs is not a list of names")
        if not outputs or not graph.inputs:
            raise GraphError("a graph needs an input and an output")
        graph.output(*outputs)
        return graph


def _entries(data: Any, key: str, fields: Iterable[str]) -> list[dict[str, Any]]:
    entries = data.get(key) if isinstance(data, dict) else None
    if not isinstance(entries, list):
        raise GraphError(f"graph has no list of {key}")
    for entry in entries:
        if not isinstance(entry, dict) or set(entry) != set(fields):
            raise GraphError(f"an entry of {key} does not have exactly {', '.join(fields)}")
    return entries


def _has_pieces(op: str) -> bool:
    attribute = OPERATORS[op].attributes.get("approximate")
    return attribute is not None and "piecewise" in attribute.examples


def _infer(node: Node, shapes: Mapping[str, Shape]) -> Shape:
    return _checked_size(
        node.name,
        OPERATORS[node.op].infer([shapes[i] for i in node.inputs], node.attributes),
    )


def _tuple_of(name: str, shape: Any) -> tuple[Any, ...]:
    try:
        return tuple(shape)
    except TypeError:
        raise GraphError(f"input {name!r}: {shape!r} is no shape (C, H, W) or (F,)") from None


def _checked_size(name: str, shape: Shape) -> Shape:
    elements = 1
    for dim in shape:
        elements *= dim or 1
    if elements > MAX_ELEMENTS:
        raise GraphError(f"{name!r} of shape {shape} has more than {MAX_ELEMENTS} elements")
    return shape
