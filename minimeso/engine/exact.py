"""Sums and functions of floats whose bits are the same on every machine (``csrc/exact.c``).

What lies between the network and a verdict uses these instead of ``math`` and NumPy, whose last
bits differ between CPUs, C libraries and versions of Python.  ``math.fsum`` is exact, and ``+ - *
/`` and ``sqrt`` of single elements are rounded in one way only: those may be used beside them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from .bindings import ffi, lib
from .memory import for_engine

Array = npt.NDArray[np.float64]

#: e^x, of any float; infinite where it overflows.
exp: Callable[[float], float] = lib.mm_exp
#: Natural logarithm; -inf of 0, NaN below.
log: Callable[[float], float] = lib.mm_log
#: e^x - 1 and log(1 + x), exact near 0.
expm1: Callable[[float], float] = lib.mm_expm1
log1p: Callable[[float], float] = lib.mm_log1p


def sigmoid(x: float) -> float:
    """1 / (1 + exp(-x)), however large ``x`` is."""
    if x >= 0:
        return 1 / (1 + exp(-x))
    power = exp(x)
    return power / (1 + power)


def logit(p: float) -> float:
    """log(p / (1 - p)), 0 < p < 1."""
    return log(p) - log1p(-p)


def exps(x: Array) -> Array:
    """e^x, element by element, of any shape."""
    return _each(lib.MM_EACH_EXP, x)


def sigmoids(x: Array) -> Array:
    """``sigmoid``, element by element, of any shape."""
    return _each(lib.MM_EACH_SIGMOID, x)


def logits(p: Array) -> Array:
    """``logit``, element by element, of any shape."""
    return _each(lib.MM_EACH_LOGIT, p)


def dot(x: npt.NDArray[Any], y: npt.NDArray[Any]) -> float:
    """The sum of the products of two arrays of one length, in float64."""
    x, y = _doubles(x), _doubles(y)
    if x.shape != y.shape:
        raise ValueError(f"no sum of products of shapes {x.shape} and {y.shape}")
    one, other = ffi.from_buffer("double[]", x), ffi.from_buffer("double[]", y)
    found: float = lib.mm_dot(one, other, x.size)
    return found


def distance(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """Of two points (x, y)."""
    return length(one[0] - other[0], one[1] - other[1])


def length(x: float, y: float) -> float:
    """Of a vector."""
    return math.sqrt(x * x + y * y)


def _each(function: int, x: Array) -> Array:
    x = _doubles(x)
    y = np.empty_like(x)
    if x.size:
        source, target = ffi.from_buffer("double[]", x), ffi.from_buffer("double[]", y)
        lib.mm_each(function, source, target, x.size)
    return y


def _doubles(x: npt.NDArray[Any]) -> Array:
    return for_engine(x, np.float64)
