"""Where tensors lie: rows with zeros around them, and one arena in which they take turns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .bindings import LANES

#: Most channels, lines or columns of a tensor and of a window: ``MM_MAX_DIM`` of ``csrc/check.h``.
MAX_DIM = 1 << 21


def round_lanes(n: int) -> int:
    """``n`` rounded up to whole vectors of the widest instruction set."""
    return (n + LANES - 1) // LANES * LANES


def for_engine(x: npt.ArrayLike, dtype: npt.DTypeLike | None = None) -> npt.NDArray[Any]:
    """``x`` as C may read it: contiguous, and its elements where the machine wants them, which
    those of an array over a part of some buffer need not be.  Copied only where it is not so."""
    return np.require(np.ascontiguousarray(x, dtype), requirements="A")


class Buffer:
    """Memory of one tensor, or of several that are slices of one line layout.

    Attributes:
        channels, height, width: of the whole buffer; a vector is (1, 1, F).
        row_padding: zeros between rows, at least the widest horizontal padding that a reader needs.
        first, last: steps between which it must keep its contents.
        ring: its number among the rings of its stage; -1 for a whole tensor.
        lines: how many lines are kept: all, or a power of two of a ring.
        base: first float of it in the arena (or among the rings), once placed.
    """

    __slots__ = (
        "base", "channels", "first", "height", "last", "lines", "ring", "row_padding", "width",
    )  # fmt: skip

    def __init__(self, channels: int, height: int, width: int) -> None:
        self.channels, self.height, self.width = channels, height, width
        self.row_padding = LANES
        self.first = self.last = self.ring = self.base = -1
        self.lines = height

    @property
    def row_stride(self) -> int:
        return round_lanes(self.width) + self.row_padding

    @property
    def line_stride(self) -> int:
        return self.row_padding + self.channels * self.row_stride

    @property
    def floats(self) -> int:
        return self.lines * self.line_stride

    def used_at(self, step: int) -> None:
        """Extend the life of the buffer to ``step``."""
        self.first = step if self.first < 0 else min(self.first, step)
        self.last = max(self.last, step)

    def offset(self, channel: int) -> int:
        """Arena offset of element (channel, 0, 0)."""
        return self.base + self.row_padding + channel * self.row_stride


def place_apart(buffers: Sequence[Buffer]) -> int:
    """Give every buffer a base so that no two overlap at all; returns the total."""
    total = 0
    for buffer in buffers:
        buffer.base = total
        total += buffer.floats
    return total


def place(buffers: Sequence[Buffer]) -> int:
    """Give every buffer a base so that no two that live together overlap; returns the total.

    Greedy by size, largest first, each at the lowest place that is free during its life
    (Pisarchyk & Lee 2020, "Efficient memory management for deep neural net inference").
    """
    placed: list[Buffer] = []
    total = 0
    for buffer in sorted(buffers, key=lambda b: (-b.floats, b.first)):
        base = 0
        for other in placed:  # by ascending base
            if other.last < buffer.first or buffer.last < other.first:
                continue
            if base + buffer.floats <= other.base:
                break
            base = max(base, other.base + other.floats)
        buffer.base = base
        placed.append(buffer)
        placed.sort(key=lambda b: b.base)
        total = max(total, base + buffer.floats)
    return total
