"""Analyzing: frames go in, judged faces come out, and what a verdict needs is remembered.

``Analyzer.crop_faces`` finds, follows, refuses and crops the faces of a frame, ``Analyzer.judge``
asks the network about the crops; the two may run in threads of their own, frame after frame.  What
is remembered lies in ``Analyzer.findings``.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, NamedTuple

from ..media.partial import AnyPixels, ConversionError, around, whole_of
from ..media.pixels import Pixels
from ..notes import Note
from .answers import Answer, p_fakes, thorough_answers
from .box import Box, scaled
from .covered import Covers
from .decode import FoundFace
from .finder import FaceFinder
from .findings import Findings
from .framing import cut, square, whole
from .moments import Moments
from .pair import Networks, Pair, input_size, logit
from .quality import SMALLEST, fault, goodness
from .rule import Rule
from .size_correction import small_faces
from .still import Stills
from .thorough import WIDER, Look, Looks
from .track_score import FAKE_SECONDS
from .verdict import Crop, LiveFace, Reason, SeenFace, SeenFrame

if TYPE_CHECKING:
    from ..media.key_frames import Span
    from .pieces import Piece
    from .tracker import Tracker

#: Frames that count for what ``live`` says of a person, so that it stays fast for ever; at more of
#: them a second than cameras have, as many as ``FAKE_SECONDS`` have.
_LIVE_MOMENTS = 512

#: Faces of a picture that are judged together, at least: each takes 1.6 MB until then.
_FACES_AT_ONCE = 16


class CroppedFrame(NamedTuple):
    """A frame whose faces are found and cropped, but not judged yet.

    ``crops`` are (3, H, W) float32 of the faces without a ``reason``, in their order; ``qualities``
    are theirs, see ``quality.goodness``, where a thorough network wants to know, ``wider`` the same
    faces cut wider, where it wants to see them so, ``held`` says which of them are those of the
    frame before, see ``glance``, and ``moved`` which look otherwise than before, see ``still``.
    """

    t: float
    pixels: AnyPixels
    faces: tuple[SeenFace, ...]
    crops: tuple[Crop, ...]
    qualities: tuple[float, ...] = ()
    wider: tuple[Crop, ...] = ()
    held: tuple[bool, ...] = ()
    moved: tuple[bool, ...] = ()


class _Cut(NamedTuple):
    """A face of a frame; where it can be judged, its crop and its quality."""

    seen: SeenFace
    crop: Crop | None = None
    quality: float = 0.0
    wider: Crop | None = None


class _Remembered(NamedTuple):
    """Of a frame: its faces with their places among the moments, what is to be looked at now."""

    frame: CroppedFrame
    places: list[int]
    looks: list[Look]


class Analyzer:
    """One picture or clip from its first frame to its last.

    Args:
        networks: of the detector.
        rule: how words come about.
        finder: finds the faces; ``None`` takes each frame for one face.
        covers: sees which of them are covered; ``None`` leaves none out for that.
        one_picture: there is one frame only, so nothing is followed.
        piece_from: the frames are a piece of a clip, from so many seconds on.
    """

    def __init__(
        self,
        networks: Networks,
        rule: Rule,
        finder: FaceFinder | None,
        covers: Covers | None = None,
        one_picture: bool = False,
        piece_from: float | None = None,
    ) -> None:
        self._networks = networks
        self._rule = rule
        model = networks.model
        self._combination = model.combination if isinstance(model, Pair) else None
        self._size = input_size(networks.fast.model)
        self._framing = model.framing or {}
        self._small = small_faces(model.calibration, model.name)
        self._finder = finder
        self._covers = covers
        self._one_picture = one_picture
        self._tracker: Tracker | None = None
        if finder is not None and not one_picture:
            from .tracker import Tracker  # who judges pictures need not wait for it

            self._tracker = Tracker(finder, piece_from=piece_from)
        self._numbers: dict[int, int] = {}  # of who is followed, the number as a person
        self._before: dict[int, _Cut] = {}  # the faces of the last frame, by who is followed
        self._looks, self._stills = Looks(), Stills()
        threads = networks.fast.threads
        self._few = -(-_FACES_AT_ONCE // threads) * threads
        weight = self._combination.thorough if self._combination is not None else None
        self.findings = Findings(weight, followed=not one_picture)

    def cropped(self, t: float, pixels: AnyPixels) -> CroppedFrame | None:
        """``crop_faces``; ``None`` if the frame cannot be converted, as its clip knows, too."""
        try:
            return self.crop_faces(t, pixels)
        except ConversionError:
            return None

    def judge_picture(self, pixels: Pixels) -> SeenFrame:
        """Find, crop and judge the faces of the one picture, a few at a time: the crops of a crowd
        would fill gigabytes.

        Raises:
            ModelError: as from ``judge``.
        """
        found, faces = self._found(0.0, pixels), []
        for start in range(0, len(found), self._few):
            cropped = self._cropped(0.0, pixels, found[start : start + self._few])
            faces += [self._cut_later(pixels, seen) for seen in self.judge([cropped])[0].faces]
        self._before = {}
        self.findings.frames_scored = min(self.findings.frames_scored, 1)
        return SeenFrame(0.0, pixels, tuple(faces))

    def _cut_later(self, pixels: Pixels, seen: SeenFace) -> SeenFace:
        """A face without its crop, which is cut once more where somebody wants to see it."""
        if seen.cut is None:
            return seen
        how = self._size, self._framing, self._networks.fast.isa
        return seen._replace(cut=partial(_crop, how, pixels, seen.square, seen.face.rotation))

    def crop_faces(self, t: float, pixels: AnyPixels) -> CroppedFrame:
        """Find the faces of the next frame, and crop those that can be judged.

        Raises:
            ConversionError: the frame is a partial one, and cannot be converted.
        """
        return self._cropped(t, pixels, self._found(t, pixels))

    def _cropped(
        self, t: float, pixels: AnyPixels, found: Sequence[tuple[int, FoundFace]]
    ) -> CroppedFrame:
        before, self._before = self._before, {}
        held = {n for n, face in found if n in before and before[n].seen.face is face}
        fit = self._fit(pixels, [pair for pair in found if pair[0] not in held])
        cuts = {n: before[n] if n in held else self._cut(pixels, *next(fit)) for n, _ in found}
        self._before = cuts
        judged = {n: cut for n, cut in cuts.items() if cut.crop is not None}
        return CroppedFrame(
            t,
            pixels,
            (*(cut.seen for cut in cuts.values()), *self._too_many()),
            tuple(cut.crop for cut in judged.values() if cut.crop is not None),
            tuple(cut.quality for cut in judged.values()),
            tuple(cut.wider for cut in judged.values() if cut.wider is not None),
            tuple(n in held for n in judged),
            tuple(self._has_moved(pixels, cut.seen, n in held) for n, cut in judged.items()),
        )

    def _has_moved(self, pixels: AnyPixels, seen: SeenFace, is_held: bool) -> bool:
        if self._one_picture:
            return True
        return not is_held and self._stills.has_moved(seen.track, pixels, seen.face.box)

    def _cut(
        self, pixels: AnyPixels, track: int, face: FoundFace, box: Box, reason: Reason | None
    ) -> _Cut:
        """A face that was looked at, cropped if it can be judged."""
        if reason is None:
            self._numbers.setdefault(track, len(self._numbers) + 1)
        seen = SeenFace(self._numbers.get(track, 0), face, box, reason, None)
        if reason is not None:
            return _Cut(seen)
        crop = self._crop(pixels, box, face.rotation)
        if self._combination is None:
            return _Cut(seen, crop)
        quality = goodness(around(pixels, box), face, box)
        if not self._one_picture or self._finder is None:
            return _Cut(seen, crop, quality)
        return _Cut(seen, crop, quality, self._crop(pixels, scaled(box, WIDER), face.rotation))

    def _fit(
        self, pixels: AnyPixels, found: Sequence[tuple[int, FoundFace]]
    ) -> Iterator[tuple[int, FoundFace, Box, Reason | None]]:
        """Faces with their squares and why they cannot be judged."""
        if self._finder is None:
            for track, face in found:
                yield track, face, whole(pixels), _too_small(whole(pixels))
            return
        boxes = [square(face, self._framing) for _, face in found]
        reasons = [
            fault(around(pixels, box), face, box)
            for (_, face), box in zip(found, boxes, strict=True)
        ]
        if self._covers is not None:
            places = [place for place, reason in enumerate(reasons) if reason is None]
            covered = self._covers.see(pixels, [found[place][1] for place in places])
            for place, is_covered in zip(places, covered, strict=True):
                reasons[place] = "covered" if is_covered else None
        for (track, face), box, reason in zip(found, boxes, reasons, strict=True):
            yield track, face, box, reason

    def _crop(self, pixels: AnyPixels, box: Box, rotation: int) -> Crop:
        """(3, H, W), as the networks want it."""
        how = self._size, self._framing, self._networks.fast.isa
        return _crop(how, pixels, box, rotation)

    def _too_many(self) -> Iterator[SeenFace]:
        """The faces of the last frame that are not followed."""
        for face in self._tracker.others if self._tracker is not None else ():
            yield SeenFace(0, face, square(face, self._framing), "too_many", None)

    def _found(self, t: float, pixels: AnyPixels) -> list[tuple[int, FoundFace]]:
        if self._finder is None:
            return [(1, FoundFace(whole(pixels), 1.0, ()))]
        if self._tracker is None:
            picture = whole_of(pixels)
            found = (self._finder.steadied(picture, face) for face in self._finder.find(picture))
            return list(enumerate(found, start=1))
        return self._tracker.see(t, pixels)

    def judge(self, cropped: Sequence[CroppedFrame]) -> list[SeenFrame]:
        """Score the faces of some frames in one call of each network, and remember the scores.

        Raises:
            ModelError: a network's result is no number, as its weights overflow, or not in [0, 1].
        """
        crops = [
            crop
            for frame in cropped
            for crop, held in zip(frame.crops, frame.held, strict=True)
            if not held
        ]
        scores = iter(p_fakes(self._networks.fast, crops))
        remembered = [self._remembered(frame, scores) for frame in cropped]
        found = self._looked([look for one in remembered for look in one.looks])
        return [self._seen(one, found) for one in remembered]

    def _remembered(self, frame: CroppedFrame, scores: Iterator[float]) -> _Remembered:
        """Remember what the fast network says of a frame, and choose what to look at."""
        places: list[int] = []
        self.findings.pass_time(frame.t)  # not when its faces were found, maybe frames ahead
        looks = self._looks.pass_time(frame.t)
        judged = (seen for seen in frame.faces if seen.reason is None)
        for number, seen in enumerate(judged):
            moments = self.findings.moments(seen.track)
            places.append(len(moments))
            if frame.held[number]:
                moments.repeat(frame.t)
                continue
            p_fake, side = next(scores), min(seen.square[2:])
            pair = self._combination
            if pair is None:
                score = self._small.corrected(p_fake, side)
            else:
                score = pair.bias + pair.fast * logit(p_fake) - self._small.added(side)
                wider = frame.wider[number] if frame.wider else None
                look = Look(seen.track, len(moments), frame.crops[number], wider)
                looks += self._looks.offer(frame.t, logit(p_fake), frame.qualities[number], look)
            box = box_inside(seen.face, frame.pixels)
            moments.append(frame.t, box, score, frame.moved[number])
        return _Remembered(frame, places, looks)

    def _looked(self, looks: Sequence[Look]) -> Iterator[Answer]:
        """What the thorough network says, all in one call; of several views of a face the mean."""
        if self._networks.thorough is None:
            return
        views = [look.views(self._one_picture) for look in looks]
        found = thorough_answers(self._networks, list(chain.from_iterable(views)))
        for of_face in views:
            logits, strange = zip(*islice(found, len(of_face)), strict=True)
            yield Answer(math.fsum(logits) / len(of_face), math.fsum(strange) / len(of_face))

    def _seen(self, remembered: _Remembered, found: Iterator[Answer]) -> SeenFrame:
        """A frame with what is known of its faces up to now."""
        frame, places, looks = remembered
        findings = self.findings
        for look in looks:
            findings.moments(look.person).look(look.place, *next(found))
        judged = []
        crops, indices = iter(frame.crops), iter(places)
        for seen in frame.faces:
            findings.faces_found += 1
            if seen.reason is not None:
                findings.leave_out(seen.reason)
            else:
                p_fake = findings.moments(seen.track)[next(indices)].p_fake
                seen = seen._replace(p_fake=self._rule.frame(p_fake), cut=next(crops))
            judged.append(seen)
        findings.frames_scored += bool(frame.crops)
        return SeenFrame(frame.t, frame.pixels, tuple(judged))

    def live(self, frame: SeenFrame) -> Iterator[LiveFace]:
        """What is known of the persons of a frame right after it was judged."""
        for seen in frame.faces:
            moments, last = self.findings.persons.get(seen.track), []
            if moments:
                first = max(len(moments) - _counting(moments), 0)
                last = moments[first:]
                moments.forget(first)
            person = self.findings.track(self._rule, seen.track, last) if last else None
            yield LiveFace(
                frame.t, seen.track, box_inside(seen.face, frame.pixels), seen.p_fake, seen.reason,
                person.verdict if person else None,
                person.p_fake if person else None,
                person.interval if person else None,
            )  # fmt: skip

    def piece(self, span: Span, faults: tuple[Note, ...], remarks: tuple[Note, ...]) -> Piece:
        """What was found in a piece of a clip, once it is finished."""
        from .pieces import Piece

        tracks = self._tracker.end() if self._tracker is not None else None
        followed_as = {number: track for track, number in self._numbers.items()}
        return Piece(span, self.findings, tracks, followed_as, faults, remarks)

    @property
    def at_once(self) -> int:
        """How many frames are best judged together."""
        return self._networks.fast.threads

    def finish(self) -> None:
        """No frame comes any more: look at the faces that wait for the thorough network."""
        rest = self._looks.rest()
        for look, found in zip(rest, self._looked(rest), strict=True):
            self.findings.moments(look.person).look(look.place, *found)


def _crop(how: tuple[Any, ...], pixels: AnyPixels, box: Box, rotation: int) -> Crop:
    """Of the module, not the analyzer, whose networks cannot be pickled."""
    size, framing, isa = how
    crop: Crop = cut(around(pixels, box), box, size, framing, isa, rotation=rotation)[0]
    return crop


def _counting(moments: Moments) -> int:
    """How many of the last frames of a person count for what is said live."""
    times = moments.times()
    seconds = len(times) - bisect_left(times, times[-1] - FAKE_SECONDS)
    return max(_LIVE_MOMENTS, seconds + 1)  # fewer would make nobody fake


def _too_small(box: Box) -> Reason | None:
    return "too_small" if min(box[2:]) < SMALLEST else None


def box_inside(face: FoundFace, pixels: AnyPixels) -> Box:
    """The part of a face's box that lies in the picture, in whole pixels."""
    height, width = pixels.shape[:2]
    left, top = (max(round(v), 0) for v in face.box[:2])
    right = min(round(face.box[0] + face.box[2]), width)
    bottom = min(round(face.box[1] + face.box[3]), height)
    return Box(left, top, max(right - left, 0), max(bottom - top, 0))
