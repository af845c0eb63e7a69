"""The operators: all that the engine knows about each stands in its one entry of ``OPERATORS``.

A family of them is a module here; what an entry says is described in ``operator.Operator``.  A new
operator is an entry and, where no step of ``csrc`` does it yet, a row of ``MM_OPS`` there; a new
activation is an entry in ``activations`` and its formula in ``csrc/activation.inc``.  Graphs,
rewrites, plans, the definition and the checks find it by themselves.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..layer import Function
from . import activations, convolution, elementwise, normalization, order, pooling, shape
from .attributes import MAX_EXTENT, Attribute
from .operator import MAX_ELEMENTS, OPEN_SIZE, Attributes, Operator, Shape

#: Every operator by its name in graphs.
OPERATORS: dict[str, Operator] = {
    **convolution.OPERATORS,
    **normalization.OPERATORS,
    **pooling.OPERATORS,
    **elementwise.OPERATORS,
    **shape.OPERATORS,
    **order.OPERATORS,
    **activations.OPERATORS,
}

#: Element-wise functions that a convolution, a sum or a pool can apply as it stores.
ACTIVATIONS = tuple(name for name, entry in OPERATORS.items() if entry.activation)


def examples(op: str) -> list[dict[str, Any]]:
    """Attributes that the checks try: all defaults, and each example among defaults.

    An attribute without a default has its first example for one; without examples it is left out.
    """
    attributes = OPERATORS[op].attributes
    plain = {
        name: a.examples[0] if a.default is ... else a.default
        for name, a in attributes.items()
        if a.examples or a.default is not ...
    }
    more = [{**plain, name: value} for name, a in attributes.items() for value in a.examples]
    return [plain, *more]


def functions() -> dict[str, Function]:
    """Every activation without weights, with the attributes of each example, by a name.

    The name of the operator stands for its defaults.  Numbers are as float32 holds them.
    """
    found = {}
    for op, entry in OPERATORS.items():
        if entry.activation is None or entry.activation.slopes:
            continue
        plain, *more = examples(op)
        for attributes in (plain, *more):
            changed = [str(value) for name, value in attributes.items() if value != plain[name]]
            numbers = {k: float(np.float32(v)) for k, v in attributes.items() if type(v) is float}
            found["-".join((op, *changed))] = Function(op, {**attributes, **numbers}, {})
    return found


def kernel_of(function: Function) -> tuple[str, float]:
    """The name of an activation in ``csrc``, and the parameter that it gets there."""
    activation = OPERATORS[function.op].activation
    assert activation is not None
    slope = function.attributes[activation.slope] if activation.slope else 0.0
    return activation.kernel(function.attributes), slope


__all__ = [
    "ACTIVATIONS",
    "MAX_ELEMENTS",
    "MAX_EXTENT",
    "OPEN_SIZE",
    "OPERATORS",
    "Attribute",
    "Attributes",
    "Operator",
    "Shape",
    "examples",
    "functions",
    "kernel_of",
]
