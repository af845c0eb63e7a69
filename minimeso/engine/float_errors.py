"""What NumPy does about overflow and the like while our code runs: what it does by default.

A program may look for faults of its own numbers with ``np.seterr(all="raise")``, which holds for
its whole thread; an underflow means nothing here, and what an overflow means is looked at.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import numpy as np

_P = ParamSpec("_P")
_R = TypeVar("_R")


def usual_float_errors() -> np.errstate:
    """For ``with``: NumPy's defaults."""
    return np.errstate(divide="warn", over="warn", invalid="warn", under="ignore")


def with_usual_float_errors(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """A door of the house, behind which they hold."""

    @functools.wraps(function)
    def door(*arguments: _P.args, **named: _P.kwargs) -> _R:
        with usual_float_errors():
            return function(*arguments, **named)

    return door
