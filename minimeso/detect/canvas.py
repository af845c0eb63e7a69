"""Canvases: what a face finder's network looks at, a scaled picture with zeros around it."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from ..engine.native import resize
from ..media.pixels import Pixels

#: Height and width of an input are multiples of it: the network halves them five times.
CELL = 32
#: Inputs that are kept for the next picture, the last used.
_MOST = 8
#: A scale may be smaller by as much as this if that saves time: 720 lines are 352 instead of 384.
_LEAST_FILLING = 0.96

Array = npt.NDArray[np.float32]


class Canvases:
    """Inputs of all sizes that were needed lately; for one search at a time."""

    def __init__(self) -> None:
        self._kept: dict[tuple[int, ...], tuple[Array, tuple[int, ...]]] = {}

    def room(self, size: tuple[int, int], least: int, border: int) -> tuple[Array, Array]:
        """(1, 3, H, W) with room for a picture of this size and a border around it, and that room;
        zero elsewhere."""
        shape = tuple(max(-(-(n + 2 * border) // CELL) * CELL, least) for n in size)
        room = (*size, border)
        canvas, filled = self._kept.pop(shape, (None, room))
        if canvas is None:
            canvas = np.zeros((1, 3, *shape), np.float32)
        elif filled != room:
            canvas[:] = 0
        self._kept[shape] = canvas, room
        if len(self._kept) > _MOST:
            del self._kept[next(iter(self._kept))]
        return canvas, canvas[0, :, border : border + size[0], border : border + size[1]]

    def filled(
        self,
        picture: Pixels,
        edges: tuple[float, float, float, float],
        size: tuple[int, int],
        rotation: int,
        room: tuple[int, int],
        isa: str,
    ) -> Array:
        """(1, 3, H, W) with a part of a picture, scaled and then turned.

        Args:
            picture: (H, W, 3) uint8 RGB.
            edges: left, top, right and bottom of the part.
            size: height and width of it, scaled.
            rotation: 0, 90, 180 or 270 degrees.
            room: least height and width of the input, and pixels of a black border.
            isa: instruction set.
        """
        lies = rotation in (90, 270)
        canvas, inner = self.room(size[::-1] if lies else size, *room)
        if rotation:
            small = resize(picture, edges, size, "bilinear", isa)
            inner[:] = np.rot90(small, -(rotation // 90), (1, 2))
        else:
            resize(picture, edges, size, "bilinear", isa, inner)
        return canvas

    def clear(self) -> None:
        """Give the memory back."""
        self._kept.clear()


def in_cells(picture: Pixels) -> Pixels:
    """(1, H, W, 3) with a picture (h, w, 3) at its upper left, and zeros; copied only for these."""
    height, width = (-(-n // CELL) * CELL for n in picture.shape[:2])
    if (height, width) == picture.shape[:2]:
        return picture[None]
    whole = np.zeros((1, height, width, 3), np.uint8)
    whole[0, : picture.shape[0], : picture.shape[1]] = picture
    return whole


def filling(scale: float, height: int, width: int) -> float:
    """A scale that is a little smaller where the input then has less to fill with zeros."""
    if scale >= 1:
        return scale
    scales = [scale]
    for side in (height, width):
        cells = math.floor(side * scale / CELL)
        if cells and cells * CELL / side >= _LEAST_FILLING * scale:
            scales.append(cells * CELL / side)
    return min(scales, key=lambda s: math.prod(-(-round(n * s) // CELL) for n in (height, width)))
