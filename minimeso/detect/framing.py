"""Framing: how a face is cropped out of a picture and scaled to what the network sees.

A score means something only for faces cut as in training, so the framing is part of the model file
and nobody cuts a face in another way.  It is a square that the landmarks define and not the
finder's box: the same face has a box 13 % higher in a whole picture than in a tight crop, such as
those of the training set, while the landmarks stay where they are (``NOTES.md``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ..engine.exact import distance
from ..engine.native import resize
from ..errors import InputError
from ..media.partial import AnyPixels
from ..media.pixels import Pixels
from .box import AnyBox, Box
from .decode import FoundFace


def whole(picture: AnyPixels) -> Box:
    """The box that covers a picture (H, W, 3): x, y, width, height."""
    height, width = picture.shape[:2]
    return Box(0.0, 0.0, float(width), float(height))


def square(face: FoundFace, framing: Mapping[str, Any]) -> Box:
    """The square that a model wants to see of a face.

    Its centre is half way between the middle of the eyes and the middle of the mouth, its side
    ``framing["side"]`` times the larger of two distances: that of the eyes, and that from the
    middle of the eyes to the middle of the mouth (of a profile the eyes lie close together).

    Returns:
        x, y, side, side in pixels of the picture; may reach outside.
    """
    left, right, _, corner_left, corner_right = face.landmarks
    eyes = (left[0] + right[0]) / 2, (left[1] + right[1]) / 2
    mouth = (corner_left[0] + corner_right[0]) / 2, (corner_left[1] + corner_right[1]) / 2
    side = max(float(framing["side"]) * max(distance(left, right), distance(eyes, mouth)), 1.0)
    return Box(
        (eyes[0] + mouth[0] - side) / 2,
        (eyes[1] + mouth[1] - side) / 2,
        side,
        side,
    )


def cut(
    picture: Pixels,
    box: AnyBox,
    size: tuple[int, int],
    framing: Mapping[str, Any],
    isa: str | None = None,
    out: npt.NDArray[np.float32] | None = None,
    rotation: int = 0,
) -> npt.NDArray[np.float32]:
    """``resized_crop`` as the framing of a model says."""
    rounded = framing.get("dtype") == "uint8"
    return resized_crop(picture, box, size, framing["resample"], isa, out, rotation, rounded)


def resized_crop(
    picture: Pixels,
    box: AnyBox,
    size: tuple[int, int],
    resample: str,
    isa: str | None = None,
    out: npt.NDArray[np.float32] | None = None,
    rotation: int = 0,
    rounded: bool = False,
) -> npt.NDArray[np.float32]:
    """The inside of ``box``, squeezed to ``size``.

    Args:
        picture: (H, W, 3) uint8 RGB.
        box: x, y, width and height.  The pixels that it covers, if only in part, are all that is
            looked at; outside the picture its edge pixels repeat.
        size: height and width of the result.
        resample: ``bilinear``, ``nearest`` or ``bicubic_2x``, see ``engine.native.resize``.
        isa: instruction set, as for ``Session``.
        out: (3, height, width) float32 where the result goes, one face of a batch.
        rotation: 90, 180 or 270: the face is turned clockwise by so much, see ``FoundFace``.
        rounded: to bytes.

    Returns:
        (1, 3, height, width) from 0 to 1.

    Raises:
        InputError: the box is empty, not a number, or all of it outside the picture.
    """
    height, width = picture.shape[:2]
    x, y, right, bottom = box[0], box[1], box[0] + box[2], box[1] + box[3]
    if not (x < right and y < bottom and x < width and right > 0 and y < height and bottom > 0):
        raise InputError(f"no box {box} in a picture {width} x {height}")
    if max(box[2], box[3]) > 4 * max(width, height):
        raise InputError(f"a box {box} is far larger than a picture {width} x {height}")
    left, top = math.floor(x), math.floor(y)
    inside = _inside(picture, left, top, math.ceil(right), math.ceil(bottom))
    edges = x - left, y - top, right - left, bottom - top
    for _ in range(rotation // 90):
        edges = inside.shape[0] - edges[3], edges[0], inside.shape[0] - edges[1], edges[2]
        inside = np.rot90(inside, -1)
    return resize(inside, edges, size, resample, isa, out, rounded)[None]


def _inside(picture: Pixels, left: int, top: int, right: int, bottom: int) -> Pixels:
    """These columns and lines; outside the picture the edge repeats."""
    height, width = picture.shape[:2]
    before, behind = (max(-top, 0), max(-left, 0)), (max(bottom - height, 0), max(right - width, 0))
    part = picture[max(top, 0) : bottom, max(left, 0) : right]
    if not any(before + behind):
        return part
    return np.pad(part, ((before[0], behind[0]), (before[1], behind[1]), (0, 0)), "edge")
