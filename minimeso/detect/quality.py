"""Quality: why a face cannot be judged.

A score means something only for faces like those of training; what is too unlike them is left out
and counted by reason.  The limits stand where the faces of training end (``NOTES.md`` has the
distributions), so that nearly none of those would be left out.  Everything is measured on a few
thousand pixels of the face, whatever its size.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..engine.exact import length, log
from ..media.pixels import Pixels
from .box import AnyBox
from .decode import FoundFace
from .verdict import Reason

#: Side in pixels of the smallest square that is judged: a quarter of a picture of training, whose
#: faces had 107 and more before they were scaled to 224.  With the square scaled down to 64 or 50
#: pixels, the scores of other faces keep a rank correlation of 0.94 and 0.90 with what they were;
#: what the size adds to p_fake is taken away (`size_correction.py`).
SMALLEST = 50.0
#: Distance of the eyes over that from eyes to mouth; in training 0.94, of 99.5 % more than 0.53.
_NARROWEST = 0.5
#: How far the tip of the nose is from the middle, over the distance of the eyes: at 0.5 it is
#: below an eye; in training 0.07, of 99.5 % less than 0.71.
_NOSE_ASIDE = 0.75
#: Cosine of the most degrees between the face and upright, 40; in training at most 34.
_LEAST_UPRIGHT = 0.766044443118978
#: Share of the square outside the picture; in training (tight crops) of 99.5 % less than 0.36.
_MOST_OUTSIDE = 0.35
#: Mean luma of the middle of the face; in training 31 and more, of 99.5 % more than 39.
_DARKEST = 30.0
#: ``sharpness`` below which a face is blurred: that of 0.4 % of the training faces, of 94 % of them
#: after a Gaussian blur of sigma 3 (of 224 pixels), of 99.6 % after one of sigma 4.
_SOFTEST = -3.3
#: Side in pixels of a square beyond which a face is no better: that of most faces of training.
_LARGE = 224.0
#: The middle of the square, as a share of its side, that is looked at: brows to mouth, no hair.
_MIDDLE = 0.7
#: So many pixels in each direction for the sharpness and for the luma.
_SHARP_SIDE, _LUMA_SIDE = 64, 16
#: Grey levels (squared) that every difference is taken to have, so that flat areas are soft.
_FLOOR = 0.5
_LUMA = (0.299, 0.587, 0.114)
_LN2 = log(2.0)


def fault(pixels: Pixels, face: FoundFace, square: AnyBox) -> Reason | None:
    """Why a face cannot be judged; ``None`` if it can.

    Args:
        pixels: (H, W, 3) uint8 RGB, the picture.
        face: a face of it.
        square: what would be cropped for the network: x, y, side, side in pixels.
    """
    if square[2] < SMALLEST:
        return "too_small"
    if is_profile(face):
        return "turned"
    if outside(square, pixels.shape) > _MOST_OUTSIDE:
        return "cut_off"
    if luma(pixels, square) < _DARKEST:
        return "dark"
    return "blurred" if sharpness(pixels, square) < _SOFTEST else None


def goodness(pixels: Pixels, face: FoundFace, square: AnyBox) -> float:
    """How good a face is compared with others of the person: sharp, large, seen from in front.

    Args:
        pixels: (H, W, 3) uint8 RGB, the picture.
        face: a face of it that can be judged; without landmarks it looks ahead.
        square: what is cropped for the network.
    """
    aside = _pose(face).aside if face.landmarks else 0.0
    return sharpness(pixels, square) + log(min(square[2] / _LARGE, 1.0)) / _LN2 - aside


class _Pose(NamedTuple):
    """Distance of the eyes over that from eyes to mouth, how far the nose is from the middle over
    the distance of the eyes, and the cosine of the angle between the face and upright."""

    width: float
    aside: float
    upright: float


def is_profile(face: FoundFace) -> bool:
    """Whether a face is a profile or lies on its side, by its landmarks."""
    pose = _pose(face)
    return pose.width < _NARROWEST or pose.aside > _NOSE_ASIDE or pose.upright < _LEAST_UPRIGHT


def _pose(face: FoundFace) -> _Pose:
    """Measured along and across the line from the middle of the eyes to that of the mouth."""
    left, right, nose, corner_left, corner_right = face.landmarks
    eyes = (left[0] + right[0]) / 2, (left[1] + right[1]) / 2
    down = (
        (corner_left[0] + corner_right[0]) / 2 - eyes[0],
        (corner_left[1] + corner_right[1]) / 2 - eyes[1],
    )
    high = length(*down)
    if high < 1e-6:
        return _Pose(0.0, math.inf, 1.0)
    across = down[1] / high, -down[0] / high
    width = abs((right[0] - left[0]) * across[0] + (right[1] - left[1]) * across[1])
    aside = abs((nose[0] - eyes[0]) * across[0] + (nose[1] - eyes[1]) * across[1])
    upright = {0: down[1], 90: down[0], 180: -down[1], 270: -down[0]}[face.rotation] / high
    return _Pose(width / high, aside / width if width > 0 else math.inf, upright)


def outside(square: AnyBox, shape: tuple[int, ...]) -> float:
    """Share of a square that lies outside a picture of this height and width, 0 to 1."""
    x, y, side, _ = square
    wide = min(x + side, shape[1]) - max(x, 0.0)
    high = min(y + side, shape[0]) - max(y, 0.0)
    return 1.0 if wide <= 0 or high <= 0 else max(1.0 - wide * high / (side * side), 0.0)


def luma(pixels: Pixels, square: AnyBox) -> float:
    """Mean luma (Rec. 601) of the middle of the square, 0 to 255."""
    margin = square[2] * (1 - _MIDDLE) / 2
    step = max(int(square[2] * _MIDDLE / _LUMA_SIDE), 1)
    rows = _within(square[1] + margin, square[1] + square[2] - margin, pixels.shape[0])
    columns = _within(square[0] + margin, square[0] + square[2] - margin, pixels.shape[1])
    part = pixels[rows[0] : rows[1] : step, columns[0] : columns[1] : step]
    red, green, blue = part.mean((0, 1), np.float64).tolist()  # of whole numbers: exact
    return float(_LUMA[0] * red + _LUMA[1] * green + _LUMA[2] * blue)


def sharpness(pixels: Pixels, square: AnyBox) -> float:
    """How fine the detail of a face is, whatever its contrast: about -4 (a ramp) to 0 and up.

    The binary logarithm of the mean square of the differences between neighbours over that of the
    differences between pixels four apart, both along rows and columns, on the green of at most
    64 x 64 pixels of the middle of the square.  A blur takes from the first and leaves the second.
    Small faces are measured in their own pixels.
    """
    count = max(min(_SHARP_SIDE, int(square[2] * _MIDDLE)), 8)
    rows, columns = _places(square, count, pixels.shape)
    grey = pixels[rows[:, None], columns, 1].astype(np.float64)
    near, far = _change(grey, 1), _change(grey, 4)
    return log((near + _FLOOR) / (far + 16 * _FLOOR)) / _LN2


def _within(start: float, stop: float, length: int) -> tuple[int, int]:
    """The part of a range of pixels that lies inside a picture, one pixel at least."""
    first = min(max(int(start), 0), length - 1)
    return first, min(max(int(stop), first + 1), length)


def _change(grey: npt.NDArray[np.float64], distance: int) -> float:
    """Mean square of the differences at a distance along rows plus that along columns."""
    across = (grey[:, distance:] - grey[:, :-distance]).ravel()
    down = (grey[distance:] - grey[:-distance]).ravel()
    # sums of whole numbers below 2^53: the same in any order
    return (float(across @ across) + float(down @ down)) / across.size


def _places(
    square: AnyBox, count: int, shape: tuple[int, ...]
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Rows and columns, evenly spread over the middle of the square, inside the picture."""
    x, y, side, _ = square
    steps = (((np.arange(count) + 0.5) / count - 0.5) * _MIDDLE + 0.5) * side
    rows = np.clip(y + steps, 0, shape[0] - 1).astype(np.intp)
    return rows, np.clip(x + steps, 0, shape[1] - 1).astype(np.intp)
