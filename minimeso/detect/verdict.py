"""Verdicts: what a check found, as data, and the rule that turns a probability into a word."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from ..media.partial import AnyPixels, whole_of
from ..media.pixels import Pixels
from ..notes import DOUBTS, Note, joined
from .box import Box
from .decode import FoundFace

#: ``ok``; ``no_face``: nothing to judge, nor a covered face; ``unreadable``: nothing could be read;
#: ``partial``: the file is cut short or damaged, and what could be read was judged.
Status = Literal["ok", "no_face", "unreadable", "partial"]
Word = Literal["real", "fake", "uncertain"]
#: Why a face is not judged (``too_short``: why a whole track is not; ``too_many``: faces of a clip
#: beyond those that are followed at once).
Reason = Literal[
    "too_small", "blurred", "dark", "turned", "cut_off", "covered", "too_short", "too_many"
]
#: (3, H, W) float32 from 0 to 1: a face as the network looks at it.
Crop = npt.NDArray[np.float32]
#: Both ends of a 95 % interval.
Interval = tuple[float, float]


class Moment(NamedTuple):
    """A face in one frame.

    Attributes:
        t: seconds from the start.
        box: x, y, width, height in whole pixels.
        p_fake: of this frame.
        thorough: of a pair of networks, whether the thorough one looked at this frame; if not, its
            part of ``p_fake`` comes from the looks before and after.
        moved: whether the face looks otherwise than when it last did, see ``still``.
    """

    t: float
    box: Box
    p_fake: float
    thorough: bool = False
    moved: bool = True

    def to_json(self) -> dict[str, Any]:
        """JSON-able data under the names of the attributes but ``moved``."""
        data = {**self._asdict(), "box": list(self.box)}
        del data["moved"]
        return data


class Segment(NamedTuple):
    """Some time of a clip in which the evidence against a person is fake, see ``segments``.

    Attributes:
        start, end: seconds from the start of the clip.
        p_fake: of its looks together.
        interval: 95 % interval of ``p_fake``, which honours how alike neighbouring looks are.
        verdict: ``fake``, or ``uncertain`` where they do not suffice for that.
    """

    start: float
    end: float
    p_fake: float
    interval: Interval
    verdict: Word

    def to_json(self) -> dict[str, Any]:
        """JSON-able data under the names of the attributes."""
        return {**self._asdict(), "interval": list(self.interval)}


@dataclass(frozen=True)
class Track:
    """A person: one face followed through a clip.  In a picture each face is a track of one frame.

    Attributes:
        id: number of the person, from 1 in the order in which they are first judged.
        p_fake: of all frames together, in [0, 1], with the prior of one person of so many, see
            ``prior``; that of ``frames`` likewise.
        interval: 95 % interval of ``p_fake``, which honours how alike neighbouring frames are.
        verdict: see ``track_score.judge_track``; ``real`` means that no trace was found.
        frames: every frame in which the face was judged, in time.
        doubts: why it is uncertain, what weighs most first; none if it is not.
        segments: of a clip, from when to when the evidence is fake.
    """

    id: int
    p_fake: float
    interval: Interval
    verdict: Word
    frames: tuple[Moment, ...]
    doubts: tuple[Note, ...] = ()
    segments: tuple[Segment, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """JSON-able data under the names of the attributes."""
        return {
            "id": self.id,
            "p_fake": self.p_fake,
            "interval": list(self.interval),
            "verdict": self.verdict,
            "doubts": [doubt.to_json() for doubt in self.doubts],
            "segments": [segment.to_json() for segment in self.segments],
            "frames": [moment.to_json() for moment in self.frames],
        }


class SeenFace(NamedTuple):
    """A face of a frame, judged or left out for a reason: what a report draws.

    ``track`` is the number of the person, 0 as long as none of their frames could be judged;
    ``square`` is what was cropped for the network: x, y, side, side; may reach outside; ``cut`` is
    what it judged, if it did, or what cuts it anew.  ``p_fake`` has the prior of a face alone; in a
    picture, which is over at once, that of one of so many, and only there ``verdict`` is known.
    """

    track: int
    face: FoundFace
    square: Box
    reason: Reason | None
    p_fake: float | None
    cut: Crop | Callable[[], Crop] | None = None
    verdict: Word | None = None

    @property
    def crop(self) -> Crop | None:
        """(3, H, W) float32 from 0 to 1: what the network judged; of a picture cut anew."""
        return self.cut() if callable(self.cut) else self.cut


class SeenFrame(NamedTuple):
    """A frame that was looked at: ``t`` in seconds, (H, W, 3) uint8 RGB, and its faces.

    ``so_far`` makes the verdict as if the clip ended here, without segments; it is for who is told
    of the frame (``on_frame``), before anything goes on.
    """

    t: float
    picture: AnyPixels
    faces: tuple[SeenFace, ...]
    so_far: Callable[[], Verdict] | None = None

    @property
    def pixels(self) -> Pixels:
        """(H, W, 3) uint8 RGB; of a clip's frame maybe converted only now."""
        return whole_of(self.picture)

    def of_persons(self, persons: Mapping[int, Track]) -> SeenFrame:
        """The only frame of these, by number: what is said of its faces is what is said of them."""
        faces = []
        for seen in self.faces:
            if seen.p_fake is not None:
                person = persons[seen.track]
                seen = seen._replace(p_fake=person.p_fake, verdict=person.verdict)
            faces.append(seen)
        return self._replace(faces=tuple(faces))


#: Told of every frame that was judged, and of the share of the clip that is done, if known; what it
#: returns says whether to stop here.
OnFrame = Callable[[SeenFrame, float | None], bool | None]


class LiveFace(NamedTuple):
    """A face of a frame of ``Detector.stream``, and what is known of the person so far.

    Attributes:
        t: seconds from the start.
        track: number of the person, from 1 in the order in which they are first judged; 0 before.
        box: x, y, width, height in pixels of the frame.
        p_fake: of this frame; ``None`` where it could not be judged.
        reason: why not.
        verdict: of the person so far, never ``fake`` in the first seconds, see
            ``track_score.judge_track``; ``None`` before the first frame is judged.
        person_p_fake: of the last frames together, with the prior of a person alone, as nobody
            knows who comes yet; ``None`` before the first is judged.
        interval: 95 % interval of that.
    """

    t: float
    track: int
    box: Box
    p_fake: float | None
    reason: Reason | None
    verdict: Word | None
    person_p_fake: float | None
    interval: Interval | None


@dataclass(frozen=True)
class Face:
    """One face of a picture: where it is, the probability that it was swapped in, and the word.

    ``interval`` is the 95 % interval of ``p_fake``: how far a second look might differ.
    """

    box: Box
    p_fake: float
    verdict: Word
    interval: Interval

    def to_json(self) -> dict[str, Any]:
        """JSON-able data: ``box`` as ``[x, y, w, h]``, ``p_fake``, ``interval``, ``verdict``."""
        return {
            "box": list(self.box),
            "p_fake": self.p_fake,
            "interval": list(self.interval),
            "verdict": self.verdict,
        }


@dataclass(frozen=True)
class Verdict:
    """What is known about one picture or clip.

    Attributes:
        path: of the file; ``-`` for bytes and what is read from, ``None`` for an image or array.
        status: whether there was something to judge, see ``Status``.
        verdict: by all tracks together, see ``rule.Rule.file``; ``uncertain`` where nothing was
            judged because faces were covered, ``None`` where nothing was judged otherwise.
            ``real`` means that no trace was found of a swap of the kinds that the model knows.
        p_fake: that some face of the file was swapped in, in [0, 1]: of one track its own, of
            several 1 - prod(1 - p_fake); ``None`` where nothing was judged.
        faces: every face of a picture that was judged; empty for a clip, which has ``tracks``.
        model: name of the model that judged.
        notes: what else a reader should know (why a file cannot be read, what was left out).
        tracks: every person that was judged, the most fake first.
        frames_read: how many frames went by, looked at or not; 1 for a picture.
        frames_scored: in how many of them at least one face was judged.
        left_out: how many faces (and tracks) were not judged, by ``Reason``.
        interval: 95 % interval of ``p_fake``; ``None`` where nothing was judged.
        prior: how likely it was that some face was swapped, before anybody looked.
        note: the notes in words; ``None`` if there are none.
    """

    path: str | None
    status: Status
    verdict: Word | None
    p_fake: float | None
    faces: tuple[Face, ...]
    model: str
    notes: tuple[Note, ...] = ()
    tracks: tuple[Track, ...] = ()
    frames_read: int = 0
    frames_scored: int = 0
    left_out: dict[str, int] = field(default_factory=dict)
    interval: Interval | None = None
    prior: float = 0.5

    @property
    def note(self) -> str | None:
        return joined(self.notes)

    def to_json(self) -> dict[str, Any]:
        """JSON-able data under the keys that ``minimeso detect --json`` prints, in that order."""
        return {
            "path": self.path,
            "status": self.status,
            "verdict": self.verdict,
            "p_fake": self.p_fake,
            "interval": None if self.interval is None else list(self.interval),
            "prior": self.prior,
            "faces": [face.to_json() for face in self.faces],
            "model": self.model,
            "note": self.note,
            "doubts": [note.to_json() for note in self.notes if note.code in DOUBTS],
            "tracks": [track.to_json() for track in self.tracks],
            "frames_read": self.frames_read,
            "frames_scored": self.frames_scored,
            "left_out": self.left_out,
        }


def unreadable(path: str | None, reason: str, model: str, prior: float) -> Verdict:
    """That of a file of which nothing could be read."""
    notes = (Note("unreadable", {"reason": reason}),)
    return Verdict(path, "unreadable", None, None, (), model, notes, prior=prior)


def judge(p_fake: float, thresholds: Mapping[str, float]) -> Word:
    """The word for a probability.

    ``fake`` from ``thresholds["fake"]`` up, else ``real`` up to ``thresholds["real"]``, else
    ``uncertain``.
    """
    if p_fake >= thresholds["fake"]:
        return "fake"
    return "real" if p_fake <= thresholds["real"] else "uncertain"


def doubts_of_face(p_fake: float, thresholds: Mapping[str, float]) -> tuple[Note, ...]:
    """Why ``judge`` is uncertain; empty if it is not."""
    if judge(p_fake, thresholds) != "uncertain":
        return ()
    values = {name: thresholds[name] for name in ("real", "fake")}
    return (Note("between_thresholds", values),)
