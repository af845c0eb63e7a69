"""Reads programs that ``torch.export.save`` wrote (PyTorch 2.8 and later), without PyTorch.

Such a ``.pt2`` is a zip of JSON and plain arrays. Where one was pickled instead it is refused, so
nothing of a file is executed.
"""

from __future__ import annotations

import io
import json
import math
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import GraphError
from .builder import Array, Builder
from .source import (
    DAMAGE,
    DAMAGED_ZIP,
    MOST_NODES,
    SIZE_LIMIT,
    Converted,
    Node,
    Preparation,
    add_input,
    convert_node,
    damage_told,
    finished,
    is_channels_last,
    with_size,
)
from .torch_aliases import Aliases, cut_of
from .torch_arguments import INTEGERS, TRAINS
from .torch_constants import FOLDED, MADE, rounded, shares
from .torch_entries import PREFIX, first_name, makes, module_of, reads, step
from .torch_operators import ALIASES, IN_PLACE, OF_INTEGERS, READERS, SAME, VIEWS
from .torch_values import OF_SIZES, of_sizes, value_of
from .view import Value

#: ScalarType of the schema (``torch/_export/serde/schema.py``) -> NumPy's.
_DTYPES = {1: "u1", 2: "i1", 3: "i2", 4: "i4", 5: "i8", 6: "f2", 7: "f4", 8: "f8", 12: "?",
           13: "u2"}  # fmt: skip
#: A bfloat16 is the upper half of a float32.
_BYTES, _BFLOAT16, _INTEGERS = 1, 13, range(1, 6)
#: Parts of a network in a context of PyTorch: programs of their own.
_CONTEXTS = {
    "torch.ops.higher_order.wrap_with_autocast": "torch.autocast",
    "torch.ops.higher_order.wrap_with_set_grad_enabled": "torch.no_grad",
}
_SECOND = (
    "its second result is used; known is the first (where the largest of an axis stand argmax says)"
)
_AGAIN = "export and save it again with PyTorch 2.8 or later"
_MOST_JSON = 64 << 20


class Program:
    """What a ``.pt2`` holds, checked as far as that needs no operator.

    Attributes:
        graph: nodes, inputs and outputs as in the file.
        arrays: parameters, buffers and constants by the name of the graph's input.
        names: of the graph's inputs that are the user's.
        sizes: of every tensor of the graph; None where a size is not fixed.
        dtypes: of every tensor, as numbers of the schema.
    """

    def __init__(self, data: bytes) -> None:
        self._zip = _opened(data)
        self._folder = self._only_folder()
        # inputs may share an array, and arrays a file
        self._bytes_left, self._reads_left = SIZE_LIMIT, 2 * SIZE_LIMIT
        model = self._json("models/model.json")
        self.arrays: dict[str, Array] = {}
        try:
            module = model["graph_module"]
            self.graph: dict[str, Any] = module["graph"]
            self.nodes: list[dict[str, Any]] = list(self.graph["nodes"])
            signature = module["signature"]
            self.sizes = {
                str(name): [_size(size) for size in meta["sizes"]]
                for name, meta in self.graph["tensor_values"].items()
            }
            self.dtypes = {
                str(name): meta.get("dtype") for name, meta in self.graph["tensor_values"].items()
            }
            stored = self._tables()
            self.names: list[str] = []
            for spec in signature["input_specs"]:
                self._bind(spec, stored)
            self.outputs = [_user_output(spec) for spec in signature["output_specs"]]
        except GraphError:
            raise
        except DAMAGE as error:
            what = f"{type(error).__name__} {str(error)[:80]}"
            raise GraphError(f"no exported program, or damaged ({what}): {_AGAIN}") from None
        if len(self.nodes) > MOST_NODES:
            raise GraphError(f"has more than {MOST_NODES} nodes")

    # --- the archive ------------------------------------------------------------------------

    def _only_folder(self) -> str:
        names = self._zip.namelist()
        folders = {name.partition("/")[0] for name in names}
        if len(folders) != 1:
            raise GraphError(f"no exported program, or damaged: {_AGAIN}")
        folder = folders.pop()
        if f"{folder}/models/model.json" not in names:
            raise GraphError(f"holds no program named 'model': {_AGAIN}")
        return folder

    def _read(self, name: str, limit: int) -> bytes:
        try:
            entry = self._zip.getinfo(f"{self._folder}/{name}")
            if entry.file_size > limit:
                raise GraphError(f"{name} has more than {limit} bytes")
            with self._zip.open(entry) as file:
                return file.read(limit + 1)[: limit + 1]
        except (KeyError, *DAMAGED_ZIP) as error:
            if isinstance(error, GraphError):  # which is a ValueError
                raise
            raise GraphError(f"{name} is missing or damaged ({str(error)[:80]})") from None

    def _json(self, name: str) -> dict[str, Any]:
        try:
            found = json.loads(self._read(name, _MOST_JSON))
        except (ValueError, RecursionError) as error:
            raise GraphError(f"{name} is no JSON ({str(error)[:80]})") from None
        if not isinstance(found, dict):
            raise GraphError(f"{name} is no JSON object")
        return found

    def _tables(self) -> dict[str, tuple[str, dict[str, Any]]]:
        """Every array: its name -> its file and what is said of it."""
        found = {}
        for folder, config in (
            ("data/weights", "model_weights_config.json"),
            ("data/constants", "model_constants_config.json"),
        ):
            for name, entry in self._json(f"{folder}/{config}")["config"].items():
                found[name] = (f"{folder}/{entry['path_name']}", entry)
        return found

    def _bind(self, spec: Mapping[str, Any], stored: Mapping[str, Any]) -> None:
        """One input of the graph: the user's, or an array of the file."""
        ((kind, content),) = spec.items()
        if kind == "user_input":
            self.names.append(str(content["arg"]["as_tensor"]["name"]))
            return
        if kind == "constant_input":  # a number or text, which is written out where it is read
            return
        wanted = {"parameter": "parameter_name", "buffer": "buffer_name",
                  "tensor_constant": "tensor_constant_name"}  # fmt: skip
        if kind not in wanted:
            raise GraphError(f"has an input of the kind {kind!r}; known are tensors")
        name = str(content[wanted[kind]])
        if name not in stored:
            raise GraphError(f"array {name[:80]!r} is missing")
        self.arrays[str(content["arg"]["name"])] = self._array(name, *stored[name])

    def _array(self, name: str, path: str, entry: Mapping[str, Any]) -> Array:
        meta = entry["tensor_meta"]
        if entry["use_pickle"] or meta is None or meta["dtype"] not in _DTYPES:
            raise GraphError(
                f"array {name[:80]!r} is pickled or of an unknown type, and nothing is unpickled:"
                f" keep plain tensors, and {_AGAIN}"
            )
        dtype = np.dtype(_DTYPES[meta["dtype"]]).newbyteorder("<")
        shape, strides = ([int(one["as_int"]) for one in meta[k]] for k in ("sizes", "strides"))
        offset = int(meta["storage_offset"]["as_int"])
        content = self._read(path, SIZE_LIMIT)
        self._reads_left -= len(content)
        data = np.frombuffer(_whole(content, dtype), dtype)
        if min([*shape, *strides, offset, 0]) < 0 or len(shape) != len(strides):
            raise GraphError(f"array {name[:80]!r} has sizes or strides below 0")
        last = offset + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
        if math.prod(shape) > len(data) or last >= len(data):
            raise GraphError(f"array {name[:80]!r} of shape {shape} is longer than its file")
        self._bytes_left -= math.prod(shape) * dtype.itemsize
        if min(self._bytes_left, self._reads_left) < 0:
            raise GraphError(f"its arrays together are larger than {SIZE_LIMIT} bytes")
        bytes_apart = [s * dtype.itemsize for s in strides]
        view = np.lib.stride_tricks.as_strided(data[offset:], shape, bytes_apart, writeable=False)
        array = np.array(view, dtype.newbyteorder("="))
        if meta["dtype"] == _BFLOAT16:
            return (array.astype(np.uint32) << 16).view(np.float32)
        # computed with in float32, as PyTorch does before it rounds
        return array.astype(np.float32) if dtype.itemsize == 2 and dtype.kind == "f" else array


def _whole(data: bytes, dtype: np.dtype[Any]) -> bytes:
    return data[: len(data) // dtype.itemsize * dtype.itemsize]


def _opened(data: bytes) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(io.BytesIO(data))
    except (zipfile.BadZipFile, ValueError, OSError) as error:
        raise GraphError(f"damaged or cut short ({error})") from None


def _size(entry: Mapping[str, Any]) -> int | None:
    return int(entry["as_int"]) if "as_int" in entry else None


def _user_output(spec: Mapping[str, Any]) -> str:
    ((kind, content),) = spec.items()
    if kind != "user_output":
        raise GraphError(f"changes its own buffers ({kind}): export it after .eval()")
    given = content["arg"]
    if "as_tensor" not in given:
        what = next(iter(given)).removeprefix("as_")
        raise GraphError(f"returns a result of the kind {what!r}: let forward return tensors alone")
    return str(given["as_tensor"]["name"])


# --- nodes --------------------------------------------------------------------------------------


def convert_program(
    program: Program,
    name: str,
    size: tuple[int, int] | None = None,
    preparation: Preparation | None = None,
) -> Converted:
    """The network of a program.

    Args:
        program: what a file holds.
        name: of the network.
        size: (height, width) of pictures, where the program leaves them open.
        preparation: what it wants done to pictures.

    Raises:
        GraphError: something in it is not known; the message names the node.
    """
    with damage_told("the graph"):
        return _convert(program, name, size, preparation or Preparation())


def _convert(
    program: Program, name: str, size: tuple[int, int] | None, preparation: Preparation
) -> Converted:
    build, values = Builder(), dict[str, Any](program.arrays)
    inputs = _add_inputs(program, build, size)
    for given, value in inputs.items():
        wanted = preparation.for_bytes() if program.dtypes.get(given) == _BYTES else preparation
        values[given] = wanted.apply(build, value)
    last, left = _last_uses(program), SIZE_LIMIT
    aliases = Aliases(last)
    made: dict[str, Any] = {}
    for number, entry in enumerate(program.nodes):
        try:
            if str(entry["target"]) in OF_SIZES:
                values.update(of_sizes(entry, values))
                continue
            node, outputs = _node(entry, build, values)
        except GraphError as error:
            what = f"node {str(entry['name'])[:80]!r} ({str(entry['target'])[:80]})"
            raise GraphError(f"{what.replace(PREFIX, '')}: {error}") from None
        except DAMAGE as error:
            raise GraphError(f"node {number} is damaged ({str(error)[:80]})") from None
        if node.op in _CONTEXTS:
            raise GraphError(
                f"node {node.name!r} ({node.op}): export the network without {_CONTEXTS[node.op]}"
                " around a part of it; the engine computes in float32, and never trains"
            )
        if not outputs and ("assert" in node.op or "sym_constrain" in node.op):
            continue
        folded = FOLDED if _is_known(node) and node.op in FOLDED else READERS
        folded = MADE if node.op in MADE else folded
        kinds = [program.dtypes.get(output) for output in outputs]
        whole = any(kind in _INTEGERS for kind in kinds)
        if whole and folded is READERS and node.op in READERS and node.op not in OF_INTEGERS:
            counts = "num_batches_tracked" in first_name(entry)  # of a batch norm that trains
            raise GraphError(f"node {node.name!r} ({node.op}): {TRAINS if counts else INTEGERS}")
        results = [
            rounded(result, kind, node.inputs)
            for result, kind in zip(convert_node(node, folded), kinds, strict=False)
        ]
        if any(output in last for output in outputs[len(results) :]):
            raise GraphError(f"node {node.name!r} ({node.op}): {_SECOND}")
        if folded is not READERS:  # views of parameters take no memory
            own = [result for result in results if not shares(result, node.inputs)]
            left -= sum(result.nbytes for result in own)
            if left < 0:
                raise GraphError(
                    f"constants that are worked out of others take over {SIZE_LIMIT} bytes"
                )
        values.update(zip(outputs, results, strict=False))
        made.update(zip(outputs, results, strict=False))
        shape = getattr(values.get(first_name(entry)), "shape", ())
        changed = _changed(aliases, node, first_name(entry), outputs, number, shape)
        values.update(dict.fromkeys(changed, results[0] if results else None))
    return finished(build, name, values, inputs, program.outputs, made)


def _add_inputs(program: Program, build: Builder, size: tuple[int, int] | None) -> dict[str, Value]:
    found = {}
    reading: dict[str, list[Any]] = {}
    for entry in program.nodes:
        for source in reads(entry):
            reading.setdefault(source, []).append(entry)
    for given in program.names:
        sizes = list(program.sizes.get(given, []))
        last = is_channels_last(given, sizes, lambda name: map(step, reading.get(name, ())))
        sizes = with_size(sizes, (1, 2) if last else (2, 3), size)
        found[given] = add_input(build, given, sizes, last)
    return found


def _changed(
    aliases: Aliases, node: Node, source: str, outputs: list[str], number: int, shape: Any
) -> list[str]:
    """Names that are the result from now on, since the node changes them in place."""
    if node.op in VIEWS:
        aliases.add_views(source, outputs, number, cut_of(node.op, node.attributes, shape))
    if node.op in SAME or node.op in IN_PLACE:
        aliases.add_same(source, outputs)
    if node.op not in IN_PLACE:
        return []
    changed = aliases.same(source, number)
    if changed is None:
        raise GraphError(
            f"node {node.name!r} ({node.op}): changes a value of which a view is read"
            " later: write it without the change in place"
        )
    return changed


def _is_known(node: Node) -> bool:
    """Whether what it reads is constant, the first of all or all of a list."""
    first = node.inputs[0] if node.inputs else None
    parts = first if isinstance(first, list) and first else [first]
    return all(isinstance(part, np.ndarray) for part in parts)


def _last_uses(program: Program) -> dict[str, int]:
    """Where each value is read last."""
    last = {name: number for number, entry in enumerate(program.nodes) for name in reads(entry)}
    return last | dict.fromkeys(program.outputs, len(program.nodes))


def _node(
    entry: Mapping[str, Any], build: Builder, values: Mapping[str, Any]
) -> tuple[Node, list[str]]:
    """A node, its arguments by name among its attributes; and what its results are called."""
    target = str(entry["target"])
    op = target.removeprefix(PREFIX) if target.startswith(PREFIX) else target
    op = ALIASES.get(op, op)
    arguments = {str(a["name"]): value_of(a["arg"], values) for a in entry["inputs"]}
    outputs = makes(entry)
    name = str(entry.get("name") or (outputs[0] if outputs else target))
    module = module_of(entry)
    node = Node(op, module or name, list(arguments.values()), arguments, build, 0, len(outputs))
    return node, outputs
