"""Sums and products of two tensors, element by element."""

from __future__ import annotations

from collections.abc import Callable

from ...errors import GraphError
from ..layer import Layer
from .operator import Array, Attributes, Lowering, Operator, Shape, Shapes


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


OPERATORS = {
    "add": _commutative("a + b, either of them may be (C, 1, 1)", "ADD", lambda a, b: a + b),
    "mul": _commutative("a * b, either of them may be (C, 1, 1)", "MUL", lambda a, b: a * b),
}
