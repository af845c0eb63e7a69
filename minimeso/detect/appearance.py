"""Appearances: tiny pictures by which a face, or a scene, is known again."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from ..engine.exact import dot
from ..media.partial import AnyPixels, around
from .box import AnyBox, scaled

#: A face's appearance: values of mean 0 and length 1; the scalar product of two is their likeness.
Appearance = npt.NDArray[np.float64]

#: Cells of an appearance in each direction; the mean of ``_TAPS`` x ``_TAPS`` pixels each.
_CELLS, _TAPS = 8, 2
#: How much larger than the box the region of an appearance is: hair and collar help.
MARGIN = 1.25


def appearance(picture: AnyPixels, box: AnyBox) -> Appearance:
    """Of what is in ``box`` of a picture (H, W, 3): (192,) float64, mean 0, length 1."""
    height, width = picture.shape[:2]
    pixels = around(picture, scaled(box, MARGIN))
    steps = _STEPS
    rows = np.clip(box[1] + steps * box[3], 0, height - 1).astype(np.intp)
    columns = np.clip(box[0] + steps * box[2], 0, width - 1).astype(np.intp)
    taps = pixels[rows[:, None], columns].astype(np.float64)
    cells = taps.reshape(_CELLS, _TAPS, _CELLS, _TAPS * 3)
    rows_summed = cells[:, 0] + cells[:, 1]
    values = (rows_summed[:, :, :3] + rows_summed[:, :, 3:]).ravel()
    return of_length_1(values - values.mean())  # of whole numbers: exact


_STEPS = (np.arange(_CELLS * _TAPS) + 0.5) / (_CELLS * _TAPS) * MARGIN - ((MARGIN - 1) / 2)


def of_length_1(values: Appearance) -> Appearance:
    """The same values, divided so that the sum of their squares is 1, unless all are near 0."""
    return np.asarray(values / max(math.sqrt(dot(values, values)), 1e-3))
