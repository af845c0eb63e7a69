"""Stills: whether a face looks otherwise than when it was last new.

A photograph that a clip shows for ten seconds is one look at a face, however many frames it has:
what the networks say of them differs by where the finder happens to put the eyes, and all of them
are wrong alike.  What is measured is the picture in the place of the face, as in ``glance``.
"""

from __future__ import annotations

from ..media.partial import AnyPixels
from .box import AnyBox
from .glance import Glance

#: Grey levels by which the most changed part of a face differs once it has moved (``NOTES.md``).
MOVED = 8.0
#: Persons whose last new look is remembered.
_MOST = 64


class Stills:
    """The last new look at each person of a clip."""

    def __init__(self) -> None:
        self._last: dict[int, Glance] = {}

    def has_moved(self, person: int, pixels: AnyPixels, box: AnyBox) -> bool:
        """Whether the face is new, or not as it was when it last was.

        Args:
            person: whose face it is.
            pixels: the frame, as for ``Glance``.
            box: of the face.
        """
        last, now = self._last.pop(person, None), Glance(pixels, box)
        if last is not None and last.is_alike(now):
            moved = last.change(pixels) > MOVED
        else:  # the first frame of a clip is told by its green, those after it by their luma
            moved = last is None
        self._last[person] = now if moved or last is None or not last.is_alike(now) else last
        while len(self._last) > _MOST:
            del self._last[next(iter(self._last))]
        return moved
