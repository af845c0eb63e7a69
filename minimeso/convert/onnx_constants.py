"""Works out what an ONNX file computes from constants alone: shapes, mostly.

By the operators' definitions in the package ``onnx``; only the ones listed here, whose results are
not much larger than their inputs, or are measured before.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..errors import GraphError
from .builder import Array

#: Most elements of a constant that is worked out.
_MOST_ELEMENTS = 1 << 26

#: What is worked out when all inputs are constants.
FOLDED = frozenset(
    {
        "Abs", "Add", "And", "Cast", "Ceil", "Clip", "Concat", "Constant", "ConstantOfShape", "Div",
        "Equal", "Exp", "Expand", "Flatten", "Floor", "Gather", "Greater", "Identity", "Less",
        "Log", "Max", "Min", "Mod", "Mul", "Neg", "Not", "Or", "Pow", "Range", "Reciprocal",
        "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum", "Reshape", "Round",
        "Shape", "Sign", "Size", "Slice", "Split", "Sqrt", "Squeeze", "Sub", "Tile", "Transpose",
        "Unsqueeze", "Where",
    }
)  # fmt: skip


def fold(proto: Any, name: str, version: int, inputs: list[Any]) -> list[Array]:
    """The results of a node whose inputs are known.

    Raises:
        GraphError: they do not fit it, or the result would be too large.
    """
    import onnx
    import onnx.reference

    _check_size(proto.op_type, name, inputs)
    inferred = [
        onnx.helper.make_tensor_value_info(
            source, onnx.helper.np_dtype_to_tensor_dtype(array.dtype), array.shape
        )
        for source, array in zip(proto.input, inputs, strict=True)
        if source
    ]
    outputs = [onnx.ValueInfoProto(name=output) for output in proto.output if output]
    graph = onnx.helper.make_graph([proto], "constant", inferred, outputs)
    opset = [onnx.helper.make_opsetid("", version)]
    model = onnx.helper.make_model(graph, opset_imports=opset)
    try:
        evaluator = onnx.reference.ReferenceEvaluator(model)
        given = {s: a for s, a in zip(proto.input, inputs, strict=True) if s}
        return [np.asarray(result) for result in evaluator.run(None, given)]
    except Exception as error:  # whatever NumPy raises where shapes do not fit
        raise GraphError(f"node {name!r} ({proto.op_type}): {str(error)[:200]}") from None


def _check_size(op: str, name: str, inputs: list[Any]) -> None:
    """Those that make much of little: a shape, a number of repetitions, a range."""
    elements = 1.0
    numbers = [np.asarray(i, np.float64).reshape(-1) for i in inputs if i is not None]
    if op in ("ConstantOfShape", "Expand") and numbers:
        elements = math.prod(float(abs(n)) or 1.0 for n in numbers[-1])
        elements *= numbers[0].size if op == "Expand" else 1
    elif op == "Tile":
        elements = numbers[0].size * math.prod(float(abs(n)) for n in numbers[1])
    elif op == "Range" and all(n.size == 1 for n in numbers[:3]) and len(numbers) == 3:
        start, limit, step = (float(n[0]) for n in numbers)
        elements = abs(limit - start) / abs(step) if step else math.inf
    else:
        shapes = [np.shape(i) for i in inputs if i is not None]
        if op not in ("Concat", "Slice", "Gather", "Reshape", "Transpose", "Split"):
            rank = max(map(len, shapes), default=0)
            sizes = [max((s[i - rank] for s in shapes if len(s) >= rank - i), default=1)
                     for i in range(rank)]  # fmt: skip
            elements = math.prod(map(float, sizes))
        elif op == "Gather":
            elements = float(np.prod(shapes[0], dtype=np.float64)) * numbers[1].size
    if elements > _MOST_ELEMENTS:
        raise GraphError(f"node {name!r} ({op}): its constant would have {elements:.0f} elements")
