"""Reads ONNX files; needs the package ``onnx`` (the extra of that name).

Nothing in a file is trusted: sizes are bounded before arrays are made, external data may lie in
plain files beside the model only, nothing but shape arithmetic is evaluated.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ConvertError, GraphError
from .builder import Array, Builder
from .kinds import ENDINGS
from .onnx_constants import FOLDED, fold
from .onnx_functions import written_out
from .onnx_operators import FLOATS, READERS
from .source import (
    MOST_NODES,
    SIZE_LIMIT,
    Converted,
    Node,
    Preparation,
    Step,
    add_input,
    convert_node,
    damage_told,
    finished,
    is_channels_last,
    refuse,
    with_size,
)
from .view import Value

#: Operators whose first axis is the batch.
_BATCHED = frozenset(
    {"Conv", "ConvTranspose", "MaxPool", "AveragePool", "BatchNormalization", "GlobalAveragePool"}
)
#: What only moves elements, or makes floats of them, may read integers.
_OF_INTEGERS = frozenset(
    {"Cast", "Identity", "Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Slice",
     "Split", "Concat", "Gather"}
)  # fmt: skip
#: What keeps elements where they are, of a picture before it is turned.
_KEEPS = frozenset({"Cast", "Identity", "Add", "Sub", "Mul", "Div", "Clip"})
#: Oldest opset whose operators are read as they are meant.
_OLDEST = 6


def _onnx() -> Any:
    try:
        import onnx
    except ImportError:
        raise ConvertError("reading ONNX needs: pip install 'minimeso[onnx]'") from None
    return onnx


def read(path: Path, data: bytes) -> Any:
    """The ModelProto in these bytes, with what lies in files beside it, its functions written out.

    Raises:
        ConvertError: it is none, or too large.
    """
    what = "not an ONNX file, or damaged"
    if path.suffix.lower() != ".onnx":
        what = f"no network that is known: {ENDINGS} are read. As ONNX it is damaged"
    try:
        onnx = _onnx()
    except ConvertError as error:
        raise refuse(str(path), GraphError(f"{what}, or {error}")) from None
    try:
        model = onnx.ModelProto.FromString(data)
    except Exception as error:  # protobuf raises whatever comes along
        raise refuse(str(path), GraphError(f"{what} ({error})")) from None
    if not model.graph.node or not model.opset_import:
        raise refuse(str(path), GraphError(f"{what} (it has no nodes)"))
    left = SIZE_LIMIT
    try:
        for tensor in model.graph.initializer:
            if tensor.data_location == onnx.TensorProto.EXTERNAL:
                array = _array(tensor, path.parent, left)
                left -= array.nbytes  # all may lie in one file
                tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))
        return written_out(model)
    except GraphError as error:
        raise refuse(str(path), error) from None


def convert_onnx(
    model: Any,
    name: str,
    size: tuple[int, int] | None = None,
    constants: Mapping[str, Array] | None = None,
    preparation: Preparation | None = None,
) -> Converted:
    """The network in a ModelProto.

    Args:
        model: what ``read`` gives.
        name: of the network.
        size: (height, width) of pictures, where the file leaves them open.
        constants: inputs that are known beforehand.
        preparation: what it wants done to pictures.

    Raises:
        GraphError: something in it is not known; the message names the node.
    """
    with damage_told("the graph"):
        return _convert(model, name, size, constants or {}, preparation or Preparation())


def _convert(
    model: Any,
    name: str,
    size: tuple[int, int] | None,
    constants: Mapping[str, Array],
    preparation: Preparation,
) -> Converted:
    graph = model.graph
    if len(graph.node) > MOST_NODES:
        raise GraphError(f"has more than {MOST_NODES} nodes")
    if graph.sparse_initializer:
        raise GraphError("has sparse arrays: store them as plain ones")
    version = _opset(model)
    values: dict[str, Any] = dict(constants)
    left = SIZE_LIMIT
    for tensor in graph.initializer:
        values[tensor.name] = array = _array(tensor, None, left)
        left -= array.nbytes
    build = Builder()
    inputs: dict[str, Value] = {}
    integers: set[str] = set()  # names of values that are, here floats
    reading: dict[str, list[Any]] = {}
    for node in graph.node:
        for source in node.input:
            reading.setdefault(source, []).append(node)
    for entry in graph.input:
        if entry.name not in values:
            inputs[entry.name] = given = _input(build, reading, entry, size)
            kind = entry.type.tensor_type.elem_type
            integers |= set() if kind in FLOATS else {entry.name}
            of_bytes = kind == _onnx().TensorProto.UINT8
            wanted = preparation.for_bytes() if of_bytes else preparation
            values[entry.name] = wanted.apply(build, given)
    left = SIZE_LIMIT  # once more, for what is worked out of them
    used = {name for node in graph.node for name in node.input} | {o.name for o in graph.output}
    for number, node in enumerate(graph.node):
        whole = not integers.isdisjoint(node.input)
        if whole and node.op_type in READERS.keys() - _OF_INTEGERS:
            raise GraphError(
                f"node {node.name!r} ({node.op_type}): computes with integers; the engine computes"
                " in float32: put a Cast to float before it"
            )
        results = _results(node, number, version, build, values, used)
        if node.op_type == "ArgMax" or (whole and node.op_type != "Cast"):
            made = zip(node.output, results, strict=False)
            integers.update(output for output, result in made if isinstance(result, Value))
        left -= sum(result.nbytes for result in results if isinstance(result, np.ndarray))
        if left < 0:
            raise GraphError(
                f"constants that are worked out of others take over {SIZE_LIMIT} bytes"
            )
        for output, result in zip(node.output, results, strict=False):
            if output:
                values[output] = result
    return finished(build, name, values, inputs, [output.name for output in graph.output])


def _opset(model: Any) -> int:
    for entry in model.opset_import:
        if entry.domain in ("", "ai.onnx"):
            if entry.version < _OLDEST:
                raise GraphError(
                    f"is of opset {entry.version}; known are {_OLDEST} and later: export it again"
                )
            return int(entry.version)
    raise GraphError("names no opset of ONNX itself")


def _array(tensor: Any, folder: Path | None, left: int) -> Array:
    """The constant in a TensorProto."""
    onnx = _onnx()
    elements = math.prod(tensor.dims)
    if any(size < 0 for size in tensor.dims) or elements * 4 > left:
        raise GraphError(
            f"array {tensor.name[:80]!r} of shape {tuple(tensor.dims)}: its size is below 0, or"
            f" more than the limit of {SIZE_LIMIT} bytes"
        )
    external = tensor.data_location == onnx.TensorProto.EXTERNAL
    try:
        if external:
            return _external(tensor, folder, elements)
        return np.asarray(onnx.numpy_helper.to_array(tensor))
    except GraphError:
        raise
    except Exception as error:  # of many kinds, for many kinds of damage
        raise GraphError(f"array {tensor.name[:80]!r} is damaged ({error})") from None


def _external(tensor: Any, folder: Path | None, elements: int) -> Array:
    """A constant in a file beside the model."""
    onnx = _onnx()
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    plain = location and location not in (".", "..") and not set(location) & set("/\\\0:")
    path = folder / location if folder is not None and plain else None
    if path is None or path.is_symlink() or not path.is_file():
        raise GraphError(
            f"array {tensor.name[:80]!r} lies in {location[:80]!r}, which is no file beside it"
        )
    dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type))
    offset, length = int(entries.get("offset", 0)), elements * dtype.itemsize
    if offset < 0 or int(entries.get("length", length)) != length:
        raise GraphError(f"array {tensor.name[:80]!r} has another length than its shape")
    with path.open("rb") as file:
        file.seek(offset)
        data = file.read(length)
    if len(data) != length:
        raise GraphError(f"array {tensor.name[:80]!r}: {location!r} ends before it does")
    little = np.frombuffer(data, dtype.newbyteorder("<")).astype(dtype)
    return little.reshape(tuple(tensor.dims))


def _input(
    build: Builder, reading: Mapping[str, list[Any]], entry: Any, size: tuple[int, int] | None
) -> Value:
    kind = entry.type.tensor_type
    if not entry.type.HasField("tensor_type") or not kind.HasField("shape"):
        raise GraphError(f"input {entry.name[:80]!r} is no tensor of a known rank")
    sizes: list[int | None] = [
        dim.dim_value if dim.HasField("dim_value") and dim.dim_value > 0 else None
        for dim in kind.shape.dim
    ]
    readers = reading.get(entry.name, [])
    if kind.elem_type not in FLOATS and not all(map(_takes_integers, readers)):
        raise GraphError(
            f"input {entry.name[:80]!r} is of integers or of no numbers at all; the engine computes"
            " in float32: put a Cast to float behind it"
        )
    nhwc = is_channels_last(
        entry.name,
        sizes,
        lambda name: (
            Step(node.output, _turns(node), node.op_type in _KEEPS)
            for node in reading.get(name, ())
        ),
    )
    sizes = with_size(sizes, (1, 2) if nhwc else (2, 3), size)
    build.where = entry.name
    batched = True if any(node.op_type in _BATCHED for node in readers) else None
    return add_input(build, entry.name, sizes, nhwc, batched)


def _takes_integers(node: Any) -> bool:
    """Whether it makes floats of what it reads, or moves it."""
    if node.op_type == "Cast":
        return all(a.i in FLOATS for a in node.attribute if a.name == "to")
    return node.op_type in _OF_INTEGERS | {"Shape"}


def _turns(node: Any) -> bool:
    """Whether it makes (N, C, H, W) of (N, H, W, C)."""
    return (
        node.op_type == "Transpose"
        and node.domain in ("", "ai.onnx")
        and [list(attribute.ints) for attribute in node.attribute] == [[0, 3, 1, 2]]
    )


def _results(
    proto: Any, number: int, version: int, build: Builder, values: Mapping[str, Any],
    used: set[str],
) -> list[Any]:  # fmt: skip
    name = proto.name or (proto.output[0] if proto.output else f"node {number}")
    op = proto.op_type if proto.domain in ("", "ai.onnx") else f"{proto.domain}.{proto.op_type}"
    missing = [source for source in proto.input if source and source not in values]
    if missing:
        raise GraphError(f"node {name!r} ({op}): its input {missing[0]!r} is computed nowhere")
    inputs = [values[source] if source else None for source in proto.input]
    attributes = {}
    for attribute in proto.attribute:
        attributes[attribute.name] = _attribute(attribute, name)
    count = max([i + 1 for i, output in enumerate(proto.output) if output in used], default=1)
    if op == "Split":  # also what nobody reads is a part
        count = len(proto.output)
    node = Node(op, name, inputs, attributes, build, version, count)
    if op == "Constant" and "value" in attributes:
        return [attributes["value"]]
    if op == "Shape" and isinstance(inputs[0], Value):
        return [_shape(node)]
    if op in FOLDED and not any(isinstance(source, Value) for source in inputs):
        return fold(proto, name, version, inputs)
    node.inputs = [_as_computed(given) for given in inputs]
    return convert_node(node, READERS)


def _as_computed(given: Any) -> Any:
    """A constant of 16 bits and less, which is worked out in those, as the engine has it."""
    if isinstance(given, np.ndarray) and given.dtype.kind in "fV" and given.itemsize <= 2:
        return given.astype(np.float32)
    return given


def _attribute(attribute: Any, where: str) -> Any:
    onnx = _onnx()
    if attribute.type == onnx.AttributeProto.TENSOR:
        return _array(attribute.t, None, SIZE_LIMIT)
    try:
        return onnx.helper.get_attribute_value(attribute)
    except ValueError as error:
        raise GraphError(f"node {where!r}: {error}") from None


def _shape(node: Node) -> Array:
    """A batch of unknown size counts as one: the engine sees each picture alone."""
    shape = node.value().shape[node.get("start", 0) : node.get("end")]
    if None in shape:
        raise GraphError(
            f"node {node.name!r} (Shape): computes with the picture's size: give it with --size"
            " WIDTHxHEIGHT"
        )
    return np.asarray(shape, np.int64)
