"""Glances: whether a face still looks as it did when it was last looked at.

In a clip of 25 frames a second a face hardly changes from one frame to the next: what the networks
say of two neighbours differs little more than by where the finder happens to put the eyes.  So a
face that was found is found again, cut and judged at the next frames only if it has changed, the
sooner the more; until then it is taken over as it was.  What is measured is the picture in its
place, on a thousand pixels, against that of the last real look, so that slow changes add up.  What
this costs in judgement is in ``NOTES.md``.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from ..media.partial import AnyPixels, PartialFrame
from .box import AnyBox

#: Pixels of a face's box in each direction, in so many cells each.
_PIXELS, _CELLS = 32, 8
#: Levels times seconds: a face is taken over until the grey levels by which its most changed cell
#: differs, times the seconds since the look, are more.  So at 25 frames a second one that changes
#: by 12 levels is looked at in every third frame, above 25 in each.
MOST_CHANGE = 1.0
#: Seconds for which it is taken over at most, so that no clip has fewer looks than at its usual 4
#: frames a second; those between frames that are so far apart are looked at all.
LONGEST = 0.2
#: Times of frames are rounded; so much is no difference.
_SAME = 1e-6

_STEPS = (np.arange(_PIXELS) + 0.5) / _PIXELS
_OF_A_CELL = _PIXELS // _CELLS


class Glance:
    """What is in the place of a face in one frame.

    Args:
        pixels: the frame, (H, W, 3) uint8 RGB, or a partial one, of which the luma is taken.
        box: of the face.
    """

    def __init__(self, pixels: AnyPixels, box: AnyBox) -> None:
        self._shape = pixels.shape
        height, width = pixels.shape[:2]
        rows = np.clip(box[1] + _STEPS * box[3], 0, height - 1).astype(np.intp)
        self._places = (
            rows[:, None],
            np.clip(box[0] + _STEPS * box[2], 0, width - 1).astype(np.intp),
        )
        self._grey = self._seen(pixels)
        self._is_luma = isinstance(pixels, PartialFrame)

    def is_alike(self, other: Glance) -> bool:
        """Whether both are of one kind of grey, and of frames of one size."""
        return self._is_luma == other._is_luma and self._shape == other._shape

    def change(self, pixels: AnyPixels) -> float:
        """Grey levels by which the pixels of the cell that changed most differ in another frame, on
        average; infinite if it has another size."""
        if pixels.shape != self._shape:
            return math.inf
        levels = np.abs(self._seen(pixels) - self._grey)
        lines = levels.reshape(_CELLS, _OF_A_CELL, _PIXELS).sum(1)
        cells = lines.reshape(_CELLS, _CELLS, _OF_A_CELL).sum(2)
        return float(cells.max()) / (_OF_A_CELL * _OF_A_CELL)

    def _seen(self, pixels: AnyPixels) -> npt.NDArray[np.int16]:
        """(32, 32) grey levels, without converting anything."""
        if isinstance(pixels, PartialFrame):
            return pixels.luma[self._places].astype(np.int16)
        rows, columns = self._places
        return np.asarray(pixels[rows, columns, 1], np.int16)


def may_wait(seconds: float, change: float) -> bool:
    """Whether a face that was looked at so many seconds ago and has changed by so much may be
    taken over as it was."""
    return seconds < LONGEST - _SAME and seconds * change <= MOST_CHANGE
