"""The judged frames of a person, in some 32 bytes each.

Of a pair of networks the thorough one looks at some frames only.  What it said of them is kept
apart, with how strange they looked to it (``domain``), and any frame gets its logit by linear
interpolation in time between the looks before and after it, before the first and after the last one
as there.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import overload

from ..engine.exact import sigmoid
from .box import Box
from .verdict import Moment

#: Fewer frames stay: what is behind them has to move each time.
_FORGOTTEN_AT_ONCE = 256


class Moments(Sequence[Moment]):
    """The judged frames of a person.

    Args:
        weight: of a pair, what a logit of the thorough network counts for; ``None`` of a single
            network.
    """

    def __init__(self, weight: float | None = None) -> None:
        self._weight = weight
        self._times, self._boxes, self._scores = array("d"), array("i"), array("d")
        self._moved = array("b")
        self._looks, self._logits = array("q"), array("d")
        self._strangeness = 0.0  # of all looks together
        self._gone = 0  # first frames that were forgotten; places count them

    def append(self, t: float, box: Box, score: float, moved: bool = True) -> None:
        """Add the next frame.

        Args:
            t: seconds.
            box: of the face.
            score: of a single network p_fake; of a pair the logit without what the thorough
                network adds.
            moved: see ``Moment``.
        """
        self._times.append(t)
        self._moved.append(moved)
        self._boxes.extend(map(int, box))
        self._scores.append(score)

    def repeat(self, t: float) -> None:
        """Add a frame at ``t`` seconds in which the face was taken over from the last one."""
        self._times.append(t)
        self._moved.append(False)
        self._boxes.extend(self._boxes[-4:])
        self._scores.append(self._scores[-1])

    def look(self, index: int, logit: float, strangeness: float = 0.0) -> None:
        """The thorough network's logit of a frame that lies behind all frames that have one, and
        how strange it looked, see ``domain``."""
        self._looks.append(index)
        self._logits.append(logit)
        self._strangeness += strangeness

    def extend(self, later: Moments) -> None:
        """Add the frames of the same person that lie behind these."""
        count = len(self)
        self._looks.extend(array("q", (count + index for index in later._looks)))
        self._logits.extend(later._logits)
        self._strangeness += later._strangeness
        self._times.extend(later._times)
        self._moved.extend(later._moved)
        self._boxes.extend(later._boxes)
        self._scores.extend(later._scores)

    @property
    def is_stranger(self) -> bool:
        """Whether all looks together say that the person is unlike the faces of training."""
        return self._strangeness > 0

    def forget(self, before: int) -> None:
        """Frames before this place are asked for no more: those that no other needs go.  A person
        may be before a camera for days."""
        looks = bisect_right(self._looks, before)
        if self._weight is not None:  # what lies between two looks needs both
            before = self._looks[looks - 1] if looks else 0
        count = before - self._gone
        if count >= _FORGOTTEN_AT_ONCE:
            del self._times[:count], self._boxes[: 4 * count], self._scores[:count]
            del self._moved[:count]
            del self._looks[: max(looks - 1, 0)], self._logits[: max(looks - 1, 0)]
            self._gone = before

    def times(self) -> array[float]:
        """Seconds of every frame that is not forgotten."""
        return self._times

    def __len__(self) -> int:
        return self._gone + len(self._times)

    @overload
    def __getitem__(self, index: int) -> Moment: ...
    @overload
    def __getitem__(self, index: slice) -> list[Moment]: ...
    def __getitem__(self, index: int | slice) -> Moment | list[Moment]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        index = range(len(self))[index]
        place = index - self._gone
        if place < 0:
            raise IndexError("a frame that was forgotten")
        x, y, width, height = self._boxes[4 * place : 4 * place + 4]
        box, moved = Box(x, y, width, height), bool(self._moved[place])
        if self._weight is None:
            return Moment(self._times[place], box, self._scores[place], moved=moved)
        logit, looked = self._thorough(index)
        p_fake = sigmoid(self._scores[place] + self._weight * logit)
        return Moment(self._times[place], box, p_fake, looked, moved)

    def _thorough(self, index: int) -> tuple[float, bool]:
        """What the thorough network says of a frame, or would, and whether it looked at it."""
        after = bisect_left(self._looks, index)
        if after < len(self._looks) and self._looks[after] == index:
            return self._logits[after], True
        if after in (0, len(self._looks)):
            return self._logits[max(after - 1, 0)], False
        places = (index, *self._looks[after - 1 : after + 1])
        t, left, right = (self._times[place - self._gone] for place in places)
        share = (t - left) / (right - left) if right > left else 0.5
        before, behind = self._logits[after - 1 : after + 1]
        return before + share * (behind - before), False
