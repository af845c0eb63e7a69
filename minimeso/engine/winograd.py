"""Weights for vertical Winograd convolutions, and when they pay (``csrc/winograd.inc``)."""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt

from .bindings import lib

Array = npt.NDArray[np.float32]

#: Lines of input in a tile; kernels 3, 5 and 7 lines high give 6, 4 and 2 lines of output.
POINTS: int = lib.MM_WINOGRAD_POINTS
KERNEL_HEIGHTS = (3, 5, 7)
_FINITE = (0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5)
#: Additions and loads of the two transforms for one vector of one channel, measured in
#: multiply-adds; and how much cheaper the whole must be to be worth its rounding.
_TRANSFORM_IN, _TRANSFORM_OUT, _WORTH = 24, 28, 0.8


def output_lines(kernel_height: int) -> int:
    """Lines of output of one tile."""
    return POINTS + 1 - kernel_height


def pays(channels: int, filters: int, kernel: tuple[int, int]) -> bool:
    """Whether a tile costs clearly fewer multiply-adds than the direct convolution."""
    height, width = kernel
    if height not in KERNEL_HEIGHTS:
        return False
    direct = output_lines(height) * height * width * channels * filters
    tile = POINTS * width * channels * filters
    return tile + channels * _TRANSFORM_IN + filters * _TRANSFORM_OUT < _WORTH * direct


@functools.cache  # of the few that there are
def _matrix(taps: int) -> npt.NDArray[np.float64]:
    """G, (8, taps)."""
    g = np.zeros((POINTS, taps))
    for i, x in enumerate(_FINITE):
        others = np.prod([x - y for y in _FINITE if y != x])
        g[i] = np.cumprod([1.0, *[x] * (taps - 1)]) / others
    g[-1, -1] = 1.0
    g[0] *= -1  # winograd_in has the other sign in its first row
    return g


def transform_weights(weight: Array) -> Array:
    """(O, I, r, kw) to (8, O, I, kw): G of Lavin & Gray 2016, eq. 8, for the points above.

    Row i of G is (1, x, x^2, ...) / N_i with N_i the product of the differences of point i to all
    other finite points; the last row, for infinity, is the last tap.
    """
    taps = weight.shape[2]
    g = _matrix(taps)
    # summed tap by tap: the order of a library's sums differs from one CPU to the next
    wide = weight.astype(np.float64)
    transformed = np.zeros((POINTS, *weight.shape[:2], weight.shape[3]))
    for tap in range(taps):
        transformed += g[:, tap, None, None, None] * wide[None, :, :, tap]
    return transformed.astype(np.float32)
