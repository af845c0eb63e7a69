"""Small faces look fake to a network that saw few of them; what size alone adds is taken away.

A model file may say in ``calibration`` how much that is::

    "small_faces": {"below": 107.0, "shift": 1.6}

The logit of a face whose square has ``side`` pixels, fewer than ``below``, is lowered by
``shift * log(below / side) ** 2``. `tools/train/release.py` fits ``shift`` on faces scaled down.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from ..engine.exact import log, logit, sigmoid
from ..errors import ModelError


class SmallFaces(NamedTuple):
    """Side in pixels from which on nothing is added, and how fast it grows below."""

    below: float
    shift: float

    def added(self, side: float) -> float:
        """What the size of a face adds to its logit."""
        if not 0 < side < self.below:
            return 0.0
        ratio = log(self.below / side)
        return self.shift * ratio * ratio

    def corrected(self, p_fake: float, side: float) -> float:
        """The probability of a face of this size, without what the size alone adds to it."""
        if not 0 < side < self.below or not 0 < p_fake < 1:
            return p_fake
        return sigmoid(logit(p_fake) - self.added(side))


def small_faces(calibration: Mapping[str, Any] | None, name: str) -> SmallFaces:
    """What a model or a pair says of them; nothing is added where it says nothing.

    Args:
        calibration: of it.
        name: of it.

    Raises:
        ModelError: what it says is not two numbers, 0 or more.
    """
    said = (calibration or {}).get("small_faces")
    if said is None:
        return SmallFaces(0.0, 0.0)
    try:
        found = SmallFaces(float(said["below"]), float(said["shift"]))
    except (TypeError, KeyError, ValueError, OverflowError):
        found = SmallFaces(math.nan, math.nan)
    if not all(0 <= value < math.inf for value in found):
        raise ModelError(
            f"{name}: calibration has small_faces {str(said)[:80]}, not two numbers below and"
            " shift, 0 or more; get the model again"
        )
    return found
