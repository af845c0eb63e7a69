"""Arithmetic of two tensors, and bounds, element by element."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from ...errors import GraphError
from ..layer import Layer
from .attributes import Attribute, number, optional
from .operator import Array, Arrays, Attributes, Lowering, Operator, Shape, Shapes


def _infer(shapes: Shapes, a: Attributes) -> Shape:
    first, second = shapes
    if first == second or (len(first) == 3 and second == (first[0], 1, 1)):
        return first
    if len(second) == 3 and first == (second[0], 1, 1):
        return second
    raise GraphError(f"inputs must have one shape, or one of them (C, 1, 1): {first}, {second}")


def _commutative(summary: str, op: str, reference: Callable[[Array, Array], Array]) -> Operator:
    def lower(plan: Lowering, layer: Layer) -> None:
        first, second = layer.inputs
        if plan.map_shape(first) != plan.map_shape(layer.name):
            first, second = second, first  # the other is a factor, or doubled on the way
        plan.emit(op, layer, first, second)

    return Operator(
        summary,
        _infer,
        lambda sources, a, arrays: reference(sources[0], sources[1]),
        lower,
        arity=(2, 2),
        takes_epilogue=True,
    )


def _ordered(summary: str, op: str, reference: Callable[[Array, Array], Array]) -> Operator:
    def lower(plan: Lowering, layer: Layer) -> None:
        first, second = layer.inputs
        if plan.map_shape(first) == plan.map_shape(layer.name):
            plan.emit(op, layer, first, second)
        else:  # the first is the factor
            plan.emit(op, layer, second, first, reversed=1)

    return Operator(
        summary,
        _infer,
        lambda sources, a, arrays: reference(sources[0], sources[1]),
        lower,
        arity=(2, 2),
        takes_epilogue=True,
    )


def _divide(a: Array, b: Array) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(a / b)


# --- clamp -------------------------------------------------------------------------------


def _infer_clamp(shapes: Shapes, a: Attributes) -> Shape:
    if a["min"] is None and a["max"] is None:
        raise GraphError("give 'min' or 'max' or both")
    return shapes[0]


def _bounds(a: Attributes) -> tuple[float, float]:
    low, high = a["min"], a["max"]
    return -math.inf if low is None else low, math.inf if high is None else high


def _clamp(sources: Sequence[Array], a: Attributes, arrays: Arrays) -> Array:
    low, high = _bounds(a)
    return np.minimum(np.maximum(sources[0], low), high)


def _lower_clamp(plan: Lowering, layer: Layer) -> None:
    low, high = _bounds(layer.attributes)
    plan.emit("CLAMP", layer, low=low, high=high)


OPERATORS = {
    "add": _commutative("a + b, either of them may be (C, 1, 1)", "ADD", lambda a, b: a + b),
    "mul": _commutative("a * b, either of them may be (C, 1, 1)", "MUL", lambda a, b: a * b),
    "sub": _ordered("a - b, either of them may be (C, 1, 1)", "SUB", lambda a, b: a - b),
    "div": _ordered("a / b, either of them may be (C, 1, 1)", "DIV", _divide),
    "clamp": Operator(
        "min(max(x, min), max); with 0 and 6, ReLU6",
        _infer_clamp,
        _clamp,
        _lower_clamp,
        attributes={
            "min": Attribute(optional(number), None, (-0.5,)),
            "max": Attribute(optional(number), None, (0.5,)),
        },
        takes_epilogue=True,
    ),
}
