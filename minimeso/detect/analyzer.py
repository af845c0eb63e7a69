"""Analyzing: frames go in, judged faces come out, and what a verdict needs is remembered.

``Analyzer.crop_faces`` finds, follows, refuses and crops the faces of a frame, ``Analyzer.judge``
asks the network about the crops; the two may run in threads of their own, frame after frame.
Memory grows by some 30 bytes for each judged face.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator, Sequence
from typing import NamedTuple, overload

import numpy as np

from ..engine import Session
from ..errors import ModelError
from ..media.pixels import Pixels
from .box import Box
from .decode import FoundFace
from .finder import FaceFinder
from .framing import resized_crop, square, whole
from .quality import SMALLEST, fault
from .rule import Judged, Rule
from .size_correction import small_faces
from .track_score import suspicion, too_short
from .tracker import Tracker
from .verdict import (
    Crop,
    LiveFace,
    Moment,
    Reason,
    SeenFace,
    SeenFrame,
    Track,
)

#: Frames that count for what ``live`` says of a person, so that it stays fast for ever.
_LIVE_MOMENTS = 512


class CroppedFrame(NamedTuple):
    """A frame whose faces are found and cropped, but not judged yet.

    ``crops`` are (3, H, W) float32 of the faces without a ``reason``, in their order.
    """

    t: float
    pixels: Pixels
    faces: tuple[SeenFace, ...]
    crops: tuple[Crop, ...]


class Analyzer:
    """One picture or clip from its first frame to its last.

    Args:
        session: the detector's network.
        rule: how words come about.
        size: height and width that it looks at.
        finder: finds the faces; ``None`` takes each frame for one face.
        one_picture: there is one frame only, so nothing is followed.
    """

    def __init__(
        self,
        session: Session,
        rule: Rule,
        size: tuple[int, int],
        finder: FaceFinder | None,
        one_picture: bool = False,
    ) -> None:
        self._session = session
        self._rule = rule
        self._size = size
        self._framing = session.model.framing or {}
        self._small = small_faces(session.model.calibration, session.model.name)
        self._finder = finder
        self._tracker = None if finder is None or one_picture else Tracker(finder)
        self._numbers: dict[int, int] = {}  # of who is followed, the number as a person
        self._moments: dict[int, Moments] = {}
        self._first, self._last = math.inf, -math.inf
        self.frames_scored = 0
        self.faces_found = 0
        self.left_out: dict[str, int] = {}

    def crop_faces(self, t: float, pixels: Pixels) -> CroppedFrame:
        """Find the faces of the next frame, and crop those that can be judged."""
        self._first, self._last = min(self._first, t), max(self._last, t)
        faces, crops = [], []
        for track, face in self._found(t, pixels):
            box = whole(pixels) if self._finder is None else square(face, self._framing)
            reason = _too_small(box) if self._finder is None else fault(pixels, face, box)
            if reason is None:
                self._numbers.setdefault(track, len(self._numbers) + 1)
            faces.append(SeenFace(self._numbers.get(track, 0), face, box, reason, None))
            if reason is None:
                resample = self._framing["resample"]
                isa = self._session.isa
                crop = resized_crop(pixels, box, self._size, resample, isa, rotation=face.rotation)
                crops.append(crop[0])
        return CroppedFrame(t, pixels, tuple(faces), tuple(crops))

    def _found(self, t: float, pixels: Pixels) -> list[tuple[int, FoundFace]]:
        if self._finder is None:
            return [(1, FoundFace(whole(pixels), 1.0, ()))]
        if self._tracker is None:
            found = (self._finder.steadied(pixels, face) for face in self._finder.find(pixels))
            return list(enumerate(found, start=1))
        return self._tracker.see(t, pixels)

    def judge(self, cropped: Sequence[CroppedFrame]) -> list[SeenFrame]:
        """Score the faces of some frames in one call of the engine, and remember the scores.

        Raises:
            ModelError: the network's result is not a number, because its weights overflow.
        """
        crops = [crop for frame in cropped for crop in frame.crops]
        scores = iter(self._session.run(np.stack(crops)).tolist() if crops else ())
        return [self._judged(frame, scores) for frame in cropped]

    def _judged(self, frame: CroppedFrame, scores: Iterator[float]) -> SeenFrame:
        judged = []
        crops = iter(frame.crops)
        for seen in frame.faces:
            self.faces_found += 1
            if seen.reason is not None:
                self.left_out[seen.reason] = self.left_out.get(seen.reason, 0) + 1
            else:
                p_fake = self._checked(next(scores))
                p_fake = self._small.corrected(p_fake, min(seen.square[2:]))
                seen = seen._replace(p_fake=self._rule.frame(p_fake), crop=next(crops))
                moments = self._moments.setdefault(seen.track, Moments())
                moments.append(frame.t, box_inside(seen.face, frame.pixels), p_fake)
            judged.append(seen)
        self.frames_scored += bool(frame.crops)
        return SeenFrame(frame.t, frame.pixels, tuple(judged))

    def _checked(self, p_fake: float) -> float:
        if not math.isfinite(p_fake):
            name = self._session.model.name
            raise ModelError(f"{name}: p_fake is {p_fake}: its weights overflow")
        return p_fake

    def live(self, frame: SeenFrame) -> Iterator[LiveFace]:
        """What is known of the persons of a frame right after it was judged."""
        for seen in frame.faces:
            moments = self._moments.get(seen.track)
            person = self._track(seen.track, moments[-_LIVE_MOMENTS:]) if moments else None
            yield LiveFace(
                frame.t, seen.track, box_inside(seen.face, frame.pixels), seen.p_fake, seen.reason,
                person.verdict if person else None,
                person.p_fake if person else None,
                person.interval if person else None,
            )  # fmt: skip

    def tracks(self) -> tuple[tuple[Track, ...], dict[str, int]]:
        """Every person that was judged, the most fake first, and the faces left out by reason."""
        left_out = dict(self.left_out)
        short: set[int] = set()
        if self._tracker is not None:
            times = {number: moments.times() for number, moments in self._moments.items()}
            short = too_short(times, self._last - self._first)
            if short:
                left_out["too_short"] = sum(len(times[number]) for number in short)
        persons = {n: m for n, m in self._moments.items() if n not in short}
        found = [self._track(n, m, len(persons)) for n, m in persons.items()]
        found.sort(key=lambda track: suspicion(track.verdict, track.p_fake), reverse=True)
        return tuple(found), left_out

    def judged(self, tracks: Sequence[Track]) -> Judged:
        """What these persons, all of the file, say of it."""
        return self._rule.file(tracks, followed=self._tracker is not None)

    def _track(self, number: int, moments: Sequence[Moment], count: int = 1) -> Track:
        """A person, one of so many, by these frames."""
        followed = self._tracker is not None
        return self._rule.person(number, moments, count=count, followed=followed)


class Moments(Sequence[Moment]):
    """The judged frames of one track, in some 32 bytes each."""

    def __init__(self) -> None:
        self._times, self._boxes, self._scores = array("d"), array("i"), array("d")

    def append(self, t: float, box: Box, p_fake: float) -> None:
        """Add the next frame."""
        self._times.append(t)
        self._boxes.extend(map(int, box))
        self._scores.append(p_fake)

    def times(self) -> array[float]:
        """Seconds of every frame."""
        return self._times

    def __len__(self) -> int:
        return len(self._times)

    @overload
    def __getitem__(self, index: int) -> Moment: ...
    @overload
    def __getitem__(self, index: slice) -> list[Moment]: ...
    def __getitem__(self, index: int | slice) -> Moment | list[Moment]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        index = range(len(self))[index]
        x, y, width, height = self._boxes[4 * index : 4 * index + 4]
        return Moment(self._times[index], Box(x, y, width, height), self._scores[index])


def _too_small(box: Box) -> Reason | None:
    return "too_small" if min(box[2:]) < SMALLEST else None


def box_inside(face: FoundFace, pixels: Pixels) -> Box:
    """The part of a face's box that lies in the picture, in whole pixels."""
    height, width = pixels.shape[:2]
    left, top = (max(round(v), 0) for v in face.box[:2])
    right = min(round(face.box[0] + face.box[2]), width)
    bottom = min(round(face.box[1] + face.box[3]), height)
    return Box(left, top, max(right - left, 0), max(bottom - top, 0))
