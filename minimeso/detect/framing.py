"""Framing: how a face is cut out of a picture and scaled to what the network sees.

A score means something only for crops cut as in training, so the filter (and, for boxes of a
face finder, the margin) is part of the model file and nobody cuts a face in another way.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from ..engine.native import resize
from ..errors import InputError
from .verdict import Box

Pixels = npt.NDArray[np.uint8]


def whole(picture: Pixels) -> Box:
    """The box that covers a picture (H, W, 3)."""
    height, width = picture.shape[:2]
    return 0, 0, width, height


def cut(
    picture: Pixels,
    box: tuple[float, float, float, float],
    size: tuple[int, int],
    resample: str,
    isa: str | None = None,
    out: npt.NDArray[np.float32] | None = None,
) -> npt.NDArray[np.float32]:
    """The inside of ``box``, squeezed to ``size``.

    Args:
        picture: (H, W, 3) uint8 RGB.
        box: x, y, width and height, inside the picture.  The pixels that it covers, if only in
            part, are all that is looked at.
        size: height and width of the result.
        resample: ``bilinear`` or ``nearest``, both as Pillow does them, but not rounded to bytes.
        isa: instruction set, as for ``Session``.
        out: (3, height, width) float32 where the result goes, one face of a batch.

    Returns:
        (1, 3, height, width) from 0 to 1.

    Raises:
        InputError: the box is empty, not a number or not inside the picture.
    """
    height, width = picture.shape[:2]
    x, y, right, bottom = box[0], box[1], box[0] + box[2], box[1] + box[3]
    if not (0 <= x < right <= width and 0 <= y < bottom <= height):
        raise InputError(f"no box {box} in a picture {width} x {height}")
    left, top = int(x), int(y)
    inside = picture[top : math.ceil(bottom), left : math.ceil(right)]
    edges = x - left, y - top, right - left, bottom - top
    return resize(inside, edges, size, resample, isa, out)[None]
