"""Works out what an ONNX file computes from constants alone: shapes, mostly.

By the operators' definitions (``onnx_definitions``); only the ones listed here, whose results are
not much larger than their inputs, or are measured before.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..errors import GraphError
from .builder import Array
from .onnx_definitions import evaluator

#: Most elements of a constant that is worked out.
_MOST_ELEMENTS = 1 << 26

#: What is worked out when all inputs are constants.
FOLDED = frozenset(
    {
        "Abs", "Add", "And", "BatchNormalization", "Cast", "CastLike", "Ceil", "Clip", "Concat",
        "Constant", "ConstantOfShape", "DequantizeLinear", "Div", "Equal", "Erf", "Exp", "Expand",
        "Flatten", "Floor", "Gather", "Greater", "Identity", "LeakyRelu", "Less", "Log", "Max",
        "Min", "Mod", "Mul", "Neg", "Not", "Or", "Pow", "Range", "Reciprocal", "ReduceL1",
        "ReduceL2", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum",
        "ReduceSumSquare", "Relu", "Reshape", "Round", "Shape", "Sigmoid", "Sign", "Size", "Slice",
        "Softmax", "Softplus", "Split", "Sqrt", "Squeeze", "Sub", "Tanh", "Tile", "Transpose",
        "Unsqueeze", "Where",
    }
)  # fmt: skip


def fold(proto: Any, name: str, version: int, inputs: list[Any]) -> list[Array]:
    """The results of a node whose inputs are known.

    Raises:
        GraphError: they do not fit it, or the result would be too large.
    """
    import onnx

    given = [np.asarray(array) for array in inputs if array is not None]
    makes_texts = any(a.name == "to" and a.i == onnx.TensorProto.STRING for a in proto.attribute)
    if makes_texts or any(array.dtype.kind in "OSU" for array in given):  # their sum is longer
        raise GraphError(f"node {name!r} ({proto.op_type}): works out texts")
    _check_size(proto.op_type, name, given)
    inferred = [
        onnx.helper.make_tensor_value_info(
            source, onnx.helper.np_dtype_to_tensor_dtype(array.dtype), array.shape
        )
        for source, array in zip(proto.input, inputs, strict=True)
        if source
    ]
    outputs = [onnx.ValueInfoProto(name=output) for output in proto.output if output]
    graph = onnx.helper.make_graph([proto], "constant", inferred, outputs)
    if proto.op_type == "DequantizeLinear":  # whose older definitions ``onnx`` does not run
        version = max(version, 19)
    opset = [onnx.helper.make_opsetid("", version)]
    model = onnx.helper.make_model(graph, opset_imports=opset)
    try:
        named = {s: a for s, a in zip(proto.input, inputs, strict=True) if s}
        return [np.asarray(result) for result in evaluator(model).run(None, named)]
    except Exception as error:  # whatever NumPy raises where shapes do not fit
        raise GraphError(f"node {name!r} ({proto.op_type}): {str(error)[:200]}") from None


def _check_size(op: str, name: str, inputs: list[Array]) -> None:
    """Those that make much of little: a shape, a number of repetitions, a range, an input often."""
    shapes = [array.shape for array in inputs]
    elements = 1.0
    if op in ("ConstantOfShape", "Expand") and inputs:
        elements = _product(np.where(inputs[-1] == 0, 1, inputs[-1]))
        elements *= inputs[0].size if op == "Expand" else 1
    elif op == "Tile":
        elements = inputs[0].size * _product(inputs[1])
    elif op == "Range" and len(inputs) == 3 and all(array.size == 1 for array in inputs):
        start, limit, step = (float(array.item()) for array in inputs)
        elements = abs(limit - start) / abs(step) if step else math.inf
    elif op == "Concat":
        elements = float(sum(array.size for array in inputs))
    elif op == "Gather":
        elements = float(inputs[0].size) * inputs[1].size
    elif op not in ("Slice", "Reshape", "Transpose", "Split"):
        rank = max(map(len, shapes), default=0)
        sizes = [max((s[i - rank] for s in shapes if len(s) >= rank - i), default=1)
                 for i in range(rank)]  # fmt: skip
        elements = math.prod(map(float, sizes))
    if elements > _MOST_ELEMENTS:
        raise GraphError(f"node {name!r} ({op}): its constant would have {elements:.0f} elements")


def _product(sizes: Array) -> float:
    with np.errstate(over="ignore"):
        return float(abs(np.prod(np.asarray(sizes, np.float64))))
