"""Boxes: where something is in a picture."""

from __future__ import annotations

from typing import NamedTuple

#: A box as any four numbers: what functions take.
AnyBox = tuple[float, float, float, float]


class Box(NamedTuple):
    """Pixels of the picture as a person sees it, from its top left corner; may reach outside."""

    x: float
    y: float
    width: float
    height: float


def center(box: AnyBox) -> tuple[float, float]:
    """The middle of a box: x, y."""
    return box[0] + box[2] / 2, box[1] + box[3] / 2


def scaled(box: AnyBox, by: float) -> Box:
    """A box of the same middle, so many times as wide and as high."""
    x, y = center(box)
    return Box(x - box[2] * by / 2, y - box[3] * by / 2, box[2] * by, box[3] * by)


def iou(one: AnyBox, other: AnyBox) -> float:
    """Intersection over union of two boxes, 0 to 1."""
    wide = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    high = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    if wide <= 0 or high <= 0:
        return 0.0
    return wide * high / max(one[2] * one[3] + other[2] * other[3] - wide * high, 1e-12)


def is_part(box: AnyBox, whole: AnyBox) -> bool:
    """Whether the middle of a box lies in another one."""
    x, y = center(box)
    return 0 <= x - whole[0] <= whole[2] and 0 <= y - whole[1] <= whole[3]
