"""What a report keeps of a clip while it runs past: a few frames a person, in bounded memory.

Nobody knows beforehand how long a clip is, and its most suspicious frames are often neighbours.
So the time of each person is divided into a few slices, each keeps only its most and its least
suspicious frame, and whenever there are too many slices, pairs of them become one.
"""

from __future__ import annotations

import functools
import io
import math
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import numpy as np

from ..detect.box import Box
from ..detect.verdict import Crop, SeenFace, SeenFrame
from ..media.pixels import Pixels

#: Slices of a person's time, and how long they are at first, in seconds.
_MOST_SLICES = 8
_FIRST_SLICE = 0.25
#: Frames that are shown lie so many seconds apart at least.
_APART = 1.0
#: Persons of whom frames are kept: where there are more, those with the highest mean ``p_fake``.
MOST_PERSONS = 8
#: Spans of time in which a person was seen but left out.
_MOST_SPANS = 256
_MOST_TRACKS = 1000
#: Long side of a kept frame, and JPEG qualities that show a face without a large page.
_FRAME_SIDE = 560
_FRAME_QUALITY = 78


class Highlight(NamedTuple):
    """A frame of one person that is kept, small.

    Attributes:
        t: in seconds.
        p_fake: of this person in this frame.
        box: of the face: x, y, width, height in pixels of the frame.
        others: numbers and boxes of the other faces in the frame.
        size: width and height of the frame.
        jpeg: the frame, scaled down.
        crop: (3, H, W) float32 from 0 to 1, what the network judged.
    """

    t: float
    p_fake: float
    box: Box
    others: tuple[tuple[int, Box], ...]
    size: tuple[int, int]
    jpeg: bytes
    crop: Crop


class LeftOut(NamedTuple):
    """A stretch of time in which a person was seen and left out for one reason."""

    start: float
    end: float
    reason: str


class Highlights:
    """The most and the least suspicious frames of one person, spread over time."""

    def __init__(self) -> None:
        self._slice = _FIRST_SLICE
        self._kept: dict[
            int, tuple[Highlight, Highlight]
        ] = {}  # by number of the slice: least, most
        self._count = 0
        self._sum = 0.0

    @property
    def mean(self) -> float:
        """Mean ``p_fake`` of all frames that were offered."""
        return self._sum / max(self._count, 1)

    def offer(self, t: float, p_fake: float, make: Callable[[], Highlight]) -> None:
        """A frame; ``make`` is called only if it is worth keeping."""
        self._count += 1
        self._sum += p_fake
        number = int(t // self._slice)
        least, most = self._kept.get(number, (None, None))
        lower = least is None or p_fake < least.p_fake
        higher = most is None or p_fake > most.p_fake
        if not lower and not higher:
            return
        made = make()
        self._kept[number] = (
            made if lower or least is None else least,
            made if higher or most is None else most,
        )
        while len(self._kept) > _MOST_SLICES:
            self._merge()

    def _merge(self) -> None:
        self._slice *= 2
        kept: dict[int, tuple[Highlight, Highlight]] = {}
        for number, (least, most) in self._kept.items():
            if number // 2 in kept:
                other_least, other_most = kept[number // 2]
                least = min(least, other_least, key=_p_fake)
                most = max(most, other_most, key=_p_fake)
            kept[number // 2] = least, most
        self._kept = kept

    def renumber(self, numbers: Mapping[int, int]) -> None:
        """Call the other faces in the frames by other numbers; 0 where there is none."""

        def called(one: Highlight) -> Highlight:
            others = tuple((numbers.get(old, 0), box) for old, box in one.others)
            return one._replace(others=others)

        self._kept = {
            place: (called(least), called(most)) for place, (least, most) in self._kept.items()
        }

    def pick(
        self, count: int, judged: Mapping[float, float]
    ) -> tuple[list[Highlight], list[Highlight]]:
        """At most ``count`` of the most and as many of the least suspicious, none in both.

        They lie apart in time: no two of one list within a second, or half a slice if that is more.

        Args:
            count: see above.
            judged: time -> ``p_fake`` in the end, where it is another one than while it ran past.
        """
        kept = {one.t: one for pair in self._kept.values() for one in pair}
        ones = [one._replace(p_fake=judged.get(t, one.p_fake)) for t, one in kept.items()]
        most = self._apart(ones, count, -1, [])
        ceiling = min((one.p_fake for one in most), default=0.0)
        least = self._apart((one for one in ones if one.p_fake <= ceiling), count, 1, most)
        return most, least

    def _apart(
        self, candidates: Iterable[Highlight], count: int, sign: int, taken: list[Highlight]
    ) -> list[Highlight]:
        picked: list[Highlight] = []
        apart = max(_APART, self._slice / 2)
        for candidate in sorted(candidates, key=lambda one: (sign * one.p_fake, one.t)):
            near = any(abs(candidate.t - other.t) < apart for other in picked)
            again = any(candidate.t == other.t for other in taken)
            if len(picked) < count and not near and not again:
                picked.append(candidate)
        return picked


class Collector:
    """Everything that a report remembers of one file.

    Attributes:
        frames: how many frames came.
        end: time of the last one in seconds.
        highlights: by number of the person.
        spans: where a person was seen but left out, by number of the person.
    """

    def __init__(self) -> None:
        self.frames = 0
        self.end = 0.0
        self.highlights: dict[int, Highlights] = {}
        self.left_out: dict[int, list[LeftOut]] = {}

    def add(self, frame: SeenFrame) -> None:
        """Look at a frame; what is worth keeping is copied."""
        self.frames += 1
        since = self.end
        self.end = max(self.end, frame.t)
        jpegs: list[bytes] = []  # the frame, made once if at all

        def highlight_of(seen: SeenFace, p_fake: float) -> Highlight:
            if not jpegs:
                jpegs.append(thumbnail(frame.pixels))
            return self._highlight(frame, seen, p_fake, jpegs[0])

        for seen in frame.faces:
            if seen.p_fake is not None and seen.cut is not None:
                make = functools.partial(highlight_of, seen, seen.p_fake)
                if self._has_room(seen.track, seen.p_fake):
                    highlights = self.highlights.setdefault(seen.track, Highlights())
                    highlights.offer(frame.t, seen.p_fake, make)
            elif seen.reason is not None:
                self._left_out(seen.track, since, frame.t, seen.reason)

    def renumber(self, numbers: Mapping[int, int]) -> None:
        """Call persons as the page does: by the numbers that they had, others have 0."""
        self.left_out = {
            numbers[old]: spans for old, spans in self.left_out.items() if old in numbers
        }
        self.highlights = {
            numbers[old]: highlights
            for old, highlights in self.highlights.items()
            if old in numbers
        }
        for highlights in self.highlights.values():
            highlights.renumber(numbers)

    def _has_room(self, track: int, p_fake: float) -> bool:
        """Whether frames of this person are kept; the least suspicious person makes way."""
        if track in self.highlights or len(self.highlights) < MOST_PERSONS:
            return True
        least = min(self.highlights, key=lambda number: self.highlights[number].mean)
        if p_fake <= self.highlights[least].mean:
            return False
        del self.highlights[least]
        return True

    def _highlight(self, frame: SeenFrame, seen: SeenFace, p_fake: float, jpeg: bytes) -> Highlight:
        (height, width), crop = frame.pixels.shape[:2], seen.crop
        assert crop is not None
        others = tuple((f.track, f.face.box) for f in frame.faces if f.track != seen.track)
        return Highlight(frame.t, p_fake, seen.face.box, others, (width, height), jpeg, crop.copy())

    def _left_out(self, track: int, since: float, t: float, reason: str) -> None:
        if track not in self.left_out and len(self.left_out) >= _MOST_TRACKS:
            return
        spans = self.left_out.setdefault(track, [])
        if spans and spans[-1].reason == reason and spans[-1].end >= since:
            spans[-1] = spans[-1]._replace(end=t)
            return
        spans.append(LeftOut(t, t, reason))
        if len(spans) > _MOST_SPANS:  # coarser, from the start: one of two, longer by the other
            spans[:] = [
                first._replace(end=second.end if second.reason == first.reason else first.end)
                for first, second in zip(spans[::2], spans[1::2], strict=False)
            ] + (spans[-1:] if len(spans) % 2 else [])


def thumbnail(pixels: Pixels, side: int = _FRAME_SIDE, quality: int = _FRAME_QUALITY) -> bytes:
    """(H, W, 3) uint8 RGB as JPEG whose longer side has ``side`` pixels at most."""
    from PIL import Image  # not what every process waits for

    picture = Image.fromarray(np.ascontiguousarray(pixels))
    scale = side / max(picture.size)
    if scale < 1:
        size = tuple(max(1, math.floor(n * scale + 0.5)) for n in picture.size)
        picture = picture.resize((size[0], size[1]), Image.Resampling.BOX, reducing_gap=2.0)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def _p_fake(highlight: Highlight) -> float:
    return highlight.p_fake
