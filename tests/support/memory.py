"""How much memory something takes at its peak, as Python and NumPy count it."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def peak_of(work: Callable[[], T]) -> tuple[T, int]:
    """What ``work`` returns, and the most bytes that were allocated by it at once."""
    tracemalloc.start()
    try:
        return work(), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
