"""Causes: what an uncertain verdict on a person may come from, so that somebody can do better.

A cause does not make a verdict uncertain; thresholds and interval do.  It is told beside them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from ..notes import Note
from .track_score import SPREAD_WORTH
from .verdict import Moment

#: Share of the frames on either side that makes a person's frames disagree.
_DISAGREE = 0.1
#: Pixels of a face's box, the longer side, below which it is called small: a square of 80, at which
#: the order of the scores begins to suffer (``NOTES.md``, "Size"); the box is 1.24 times as high.
SMALL = 100


def causes(
    frames: Sequence[Moment],
    effective: float,
    thresholds: Mapping[str, float],
    views: float = math.inf,
) -> tuple[Note, ...]:
    """The causes that can be seen, the one that is most easily helped first.

    Args:
        frames: of the person, at least one.
        effective: how many independent ones they are worth; fewer than the prior counts for are
            few.
        thresholds: ``real`` and ``fake``, of the model.
        views: how many of all frames show the face otherwise than before.
    """
    notes = []
    count = len(frames)
    if effective < SPREAD_WORTH and views <= effective and views < count:
        notes.append(Note("still", {"frames": count}))
    elif effective < SPREAD_WORTH:
        notes.append(Note("few_frames", {"frames": count}))
    fake = sum(moment.p_fake >= thresholds["fake"] for moment in frames)
    real = sum(moment.p_fake <= thresholds["real"] for moment in frames)
    if min(fake, real) >= max(_DISAGREE * count, 1):
        notes.append(Note("frames_disagree", {"fake": fake, "real": real, "frames": count}))
    sides = sorted(max(moment.box[2:]) for moment in frames)
    pixels = round(sides[count // 2])
    if pixels < SMALL:
        notes.append(Note("small_face", {"pixels": pixels}))
    return tuple(notes)
