"""Checks of values of somebody else's: what stands in JSON files, what programs give to the API."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import Any, TypeGuard


def is_number(value: Any) -> TypeGuard[float]:
    """Whether it is a real number: no bool, no text, nothing else.  It may be NaN, for which no
    comparison holds, or an integer beyond all floats: compare first, then convert."""
    return isinstance(value, Real) and not isinstance(value, bool)


def is_integer(value: Any) -> TypeGuard[int]:
    """Whether it is a whole number, of Python or NumPy: no bool.  ``int`` it to keep it."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def is_flag(value: Any) -> bool:
    """Whether it says yes or no: no text, of which ``"no"`` and ``"0"`` would say yes."""
    return not isinstance(value, (str, bytes))


def float_of(value: Any) -> float:
    """A real number as a float, of a fraction the nearest one: NaN for what is no number, infinity
    for an integer beyond all floats."""
    try:
        return float(value) if is_number(value) else math.nan
    except OverflowError:
        return math.inf
