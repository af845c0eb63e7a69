"""An ONNX graph as the engine computes it: in float32 what the file has in 16 bits or in float64,
its constants as the file works them out."""

from __future__ import annotations

from typing import Any

import numpy as np

from .builder import Array
from .onnx_constants import FOLDED, fold

#: float16, double and bfloat16 in onnx.TensorProto.
_OTHERS = (10, 11, 16)
_FLOAT = 1


def in_float32(model: Any) -> Any:
    """A ModelProto of the same names; the same one where nothing is to change.

    Raises:
        GraphError: a constant cannot be worked out.
    """
    graph = model.graph
    if not any(_has_others(entry) for entry in (*graph.input, *graph.initializer, *graph.node)):
        return model
    import onnx

    version = max(o.version for o in model.opset_import if o.domain in ("", "ai.onnx"))
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    constants, left = _worked_out(copy.graph, version)
    read = {source for node in left for source in node.input}
    del copy.graph.node[:], copy.graph.initializer[:], copy.graph.value_info[:]
    copy.graph.node.extend(left)
    copy.graph.initializer.extend(
        _tensor(name, array) for name, array in constants.items() if name in read
    )
    for entry in copy.graph.input:
        if _has_others(entry):
            entry.type.tensor_type.elem_type = _FLOAT
    return copy


def _has_others(entry: Any) -> bool:
    """Whether an input, an initializer or what a node names is of these types."""
    if hasattr(entry, "data_type"):
        return entry.data_type in _OTHERS
    if hasattr(entry, "op_type"):
        return any(
            a.t.data_type in _OTHERS or (a.name == "to" and a.i in _OTHERS) for a in entry.attribute
        )
    return entry.type.tensor_type.elem_type in _OTHERS


def _worked_out(graph: Any, version: int) -> tuple[dict[str, Array], list[Any]]:
    """All constants, rounded as in the file, and the nodes that are left."""
    import onnx

    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    left = []
    for node in graph.node:
        if node.op_type in FOLDED and all(s in constants for s in node.input if s):
            given = [constants[source] if source else None for source in node.input]
            results = fold(node, node.name, version, given)
            names = [output for output in node.output if output]
            constants.update(zip(names, results, strict=False))
            continue
        for attribute in node.attribute:
            if attribute.name == "to" and attribute.i in _OTHERS:
                attribute.i = _FLOAT
            if attribute.t.data_type in _OTHERS:
                attribute.t.CopyFrom(_tensor("", onnx.numpy_helper.to_array(attribute.t)))
        left.append(node)
    return constants, left


def _tensor(name: str, array: Array) -> Any:
    import onnx

    if onnx.helper.np_dtype_to_tensor_dtype(array.dtype) in _OTHERS:
        array = array.astype(np.float32)
    return onnx.numpy_helper.from_array(np.asarray(array, order="C"), name)
