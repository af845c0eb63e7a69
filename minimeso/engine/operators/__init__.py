"""The operators: all that the engine knows about each stands in its one entry of ``OPERATORS``.

A family of them is a module here; what an entry says is described in ``operator.Operator``.  A new
operator is an entry and, where no step of ``csrc`` does it yet, a row of ``MM_OPS`` there; a new
activation is an entry in ``activations`` and its formula in ``csrc/activation.inc``.  Graphs,
rewrites, plans, the definition and the checks find it by themselves.
"""

from __future__ import annotations

from typing import Any

from . import activations, convolution, elementwise, normalization, pooling, shape
from .attributes import MAX_EXTENT, Attribute
from .operator import MAX_ELEMENTS, Attributes, Operator, Shape

#: Every operator by its name in graphs.
OPERATORS: dict[str, Operator] = {
    **convolution.OPERATORS,
    **normalization.OPERATORS,
    **pooling.OPERATORS,
    **elementwise.OPERATORS,
    **shape.OPERATORS,
    **activations.OPERATORS,
}

#: Element-wise functions that a convolution, a sum or a pool can apply as it stores.
ACTIVATIONS = tuple(name for name, entry in OPERATORS.items() if entry.activation)


def examples(op: str) -> list[dict[str, Any]]:
    """Attributes that the checks try: all defaults, and each example among defaults.

    Attributes without a default are left out.
    """
    attributes = OPERATORS[op].attributes
    plain = {name: a.default for name, a in attributes.items() if a.default is not ...}
    more = [{**plain, name: value} for name, a in attributes.items() for value in a.examples]
    return [plain, *more]


__all__ = [
    "ACTIVATIONS",
    "MAX_ELEMENTS",
    "MAX_EXTENT",
    "OPERATORS",
    "Attribute",
    "Attributes",
    "Operator",
    "Shape",
    "examples",
]
