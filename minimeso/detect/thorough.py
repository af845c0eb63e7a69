"""Looks: at which faces of a clip the thorough network of a pair looks, and when.

It costs as much as several looks of the fast one, and neighbouring frames are alike.  So it looks
at a person

- at once where the person is judged for the first time;
- besides, at the best face (``quality.goodness``) of each window of time.  The windows follow one
  another from that first face on, each half a second long as long as there were fewer than ``MANY``
  looks, a second from then on.  The face is looked at when a frame behind its window comes, or the
  clip ends, whether or not the person is still there;
- at once where the fast network changes its mind: its logit differs by more than ``JUMP`` from that
  of the last look, ``LEAST_SECONDS`` or more ago.  Until its window is over, only another jump is
  looked at.

Every second look at a person is at the mirror image: of the same face, but no copy of the look
before.  A picture is the only look at its faces, so there it sees each in four ways: as it is and
cut ``WIDER``, each mirrored, too; the mean of their logits counts (``NOTES.md``).

Nothing depends on how many frames are judged together, nor on what comes later than the end of a
window, so live use sees the same.  Only the faces that wait are kept, one a person at most.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from .verdict import Crop

#: Seconds of a window, and with how many looks they become long.
SHORT, LONG, MANY = 0.5, 1.0, 8
#: Logits by which the fast network changes its mind, and seconds between looks for that.
JUMP, LEAST_SECONDS = 2.0, 0.25
#: Times its square that a face of a picture is cut beside the square itself.
WIDER = 1.1
#: Times of frames are rounded; so much is no difference.
_SAME = 1e-6


class Look(NamedTuple):
    """A face that the thorough network is to look at.

    Attributes:
        person: number of the person.
        place: of the frame among those in which the person was judged.
        crop: (3, H, W) float32 from 0 to 1.
        wider: so, of a face of a picture cut ``WIDER``.
        mirrored: of a clip, whether it looks at the mirror image.
    """

    person: int
    place: int
    crop: Crop
    wider: Crop | None = None
    mirrored: bool = False

    def views(self, one_picture: bool) -> list[Crop]:
        """What the network is to see, (3, H, W) each."""
        if not one_picture:
            return [_mirrored(self.crop) if self.mirrored else self.crop]
        cut = [self.crop] if self.wider is None else [self.crop, self.wider]
        return [view for crop in cut for view in (crop, _mirrored(crop))]


def _mirrored(crop: Crop) -> Crop:
    return crop[:, :, ::-1]


class _Candidate(NamedTuple):
    """The best face of a window so far."""

    t: float
    logit: float
    quality: float
    look: Look


class _Person:
    """What was looked at of one person.

    Attributes:
        count: looks so far.
        t, logit: time and fast logit of the last one.
        end: of the window.
        free: from then on a face may wait.
    """

    def __init__(self, t: float) -> None:
        self.count = 0
        self.t, self.logit = t, 0.0
        self.end, self.free = t + SHORT, t

    def has_jumped(self, t: float, logit: float) -> bool:
        """Whether the fast network has changed its mind since the last look."""
        return abs(logit - self.logit) > JUMP and t - self.t >= LEAST_SECONDS - _SAME

    def pass_windows(self, t: float) -> None:
        """Find the window that ``t`` lies in."""
        if t >= self.end - _SAME:
            length = SHORT if self.count < MANY else LONG
            self.end += (math.floor((t - self.end + _SAME) / length) + 1) * length

    def taken(self, candidate: _Candidate) -> Look:
        """Look at this face; no other one has to wait in its window."""
        look = candidate.look._replace(mirrored=self.count % 2 == 1)
        self.count += 1
        self.t, self.logit = candidate.t, candidate.logit
        self.free = self.end
        return look


class Looks:
    """Chooses the faces of one picture or clip, frame by frame: ``pass_time``, then ``offer`` for
    each judged face of the frame, in the end ``rest``."""

    def __init__(self) -> None:
        self._persons: dict[int, _Person] = {}
        self._waiting: dict[int, _Candidate] = {}

    def pass_time(self, t: float) -> list[Look]:
        """The faces whose windows are over before a frame at ``t`` seconds."""
        over = [n for n in self._waiting if t >= self._persons[n].end - _SAME]
        return [self._taken(number) for number in over]

    def rest(self) -> list[Look]:
        """The faces that still wait, as nothing comes any more."""
        return [self._taken(number) for number in list(self._waiting)]

    def _taken(self, number: int) -> Look:
        return self._persons[number].taken(self._waiting.pop(number))

    def offer(self, t: float, logit: float, quality: float, look: Look) -> list[Look]:
        """A judged face; what is to be looked at because of it, in time.

        Args:
            t: seconds.
            logit: of the fast network.
            quality: the higher the better.
            look: the face.
        """
        candidate, number = _Candidate(t, logit, quality, look), look.person
        if number not in self._persons:
            person = self._persons[number] = _Person(t)
            first = person.taken(candidate)
            person.free = t  # a first face is often half turned, or half in the picture
            return [first]
        person = self._persons[number]
        person.pass_windows(t)
        looks = []
        if person.has_jumped(t, logit) and number in self._waiting:
            looks.append(self._taken(number))
        if person.has_jumped(t, logit):
            looks.append(person.taken(candidate))
        elif number in self._waiting:
            if quality > self._waiting[number].quality:
                self._waiting[number] = candidate
        elif t >= person.free - _SAME:
            self._waiting[number] = candidate
        return looks
