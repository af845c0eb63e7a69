"""Framing: how a face is cut out of a picture and scaled to what the network sees.

A score means something only for crops cut as in training, so the filter (and, for boxes of a
face finder, the margin) is part of the model file and nobody cuts a face in another way.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .verdict import Box

Pixels = npt.NDArray[np.uint8]


def whole(picture: Pixels) -> Box:
    """The box that covers a picture (H, W, 3)."""
    height, width = picture.shape[:2]
    return 0, 0, width, height


def cut(picture: Pixels, box: Box, size: tuple[int, int], resample: str) -> Pixels:
    """The inside of ``box``, squeezed to ``size``.

    Args:
        picture: (H, W, 3) uint8 RGB.
        box: inside the picture, at least 1 x 1.
        size: height and width of the result.
        resample: ``bilinear`` or ``nearest``, both as Pillow does them.

    Returns:
        (1, height, width, 3) uint8, contiguous.
    """
    from PIL import Image

    x, y, w, h = box
    face = Image.fromarray(np.ascontiguousarray(picture[y : y + h, x : x + w]))
    height, width = size
    scaled = face.resize((width, height), Image.Resampling[resample.upper()])
    return np.asarray(scaled)[None]
