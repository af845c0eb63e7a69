"""Tracks: which face of this frame is which face of the frames before.

One track a person.  Where each face goes next is predicted from its last movement; how badly a
face fits a track is measured by place, size and, only where several could be meant, by appearance
(a tiny coloured picture of the face), so that crossing faces are not swapped.  The pairs with the
least cost in total are taken.

A track that loses its face waits a while: a hand before a face makes no second person.  At a scene
cut all tracks end.  What a scene looked like and who was where in it is remembered for a few
scenes, in some 20 KiB each: when a clip cuts back to a camera, whoever sits in the same place and
looks the same keeps the number.  Across different camera positions nobody is recognised.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..engine.exact import dot, exp, length, log
from ..media.partial import AnyPixels, around
from .assignment import least_in_total
from .box import AnyBox, Box, iou, scaled
from .decode import FoundFace

#: A face's appearance: values of mean 0 and length 1; the scalar product of two is their likeness.
Appearance = npt.NDArray[np.float64]

#: Cells of an appearance in each direction; the mean of ``_TAPS`` x ``_TAPS`` pixels each.
_CELLS, _TAPS = 8, 2
#: How much larger than the box the region of an appearance is: hair and collar help.
_APPEARANCE_MARGIN = 1.25
#: A face may be so far from where it is predicted, in sides of a face: at once, per second since
#: it was seen, and at most.
_REACH, _REACH_PER_SECOND, _REACH_MOST = 0.8, 2.0, 2.5
#: Sizes that differ by more than this factor are two faces.
_SIZE_FACTOR = 2.2
#: Weight of an appearance against place and size, which are some 0 to 3.
_APPEARANCE_WEIGHT = 5.0
#: A face that is less like a track is somebody else.  In data/videos a face is 0.6 and more like
#: its track (0.4 in the dark, at low rates or in profile), two persons of the training set are
#: -0.2 to 0.8 alike.
_APPEARANCE_LEAST = 0.3
#: To be taken up again after a scene cut: likeness and overlap where the scene is one that was seen
#: before, and where it is not (a flash or a swing of the camera that was taken for one).
_SAME_SCENE, _OTHER_SCENE = (0.7, 0.25), (0.8, 0.3)
#: Seconds in which the appearance of a track and its speed follow what is seen.
_APPEARANCE_SECONDS, _SPEED_SECONDS = 0.6, 0.15
#: A lost face is predicted to move on for so many seconds and then to stay.
_COAST_SECONDS = 0.4
#: Scenes and faces of each that are remembered, and how alike two scenes must be to be one camera.
_SCENES, _FACES_OF_SCENE, _SCENE_LIKENESS = 8, 8, 0.8
#: Seconds after a scene cut in which remembered faces are waited for.
_RETURN_SECONDS = 2.0


def appearance(picture: AnyPixels, box: AnyBox) -> Appearance:
    """Of what is in ``box`` of a picture (H, W, 3): (192,) float64, mean 0, length 1."""
    height, width = picture.shape[:2]
    pixels = around(picture, scaled(box, _APPEARANCE_MARGIN))
    steps = _STEPS
    rows = np.clip(box[1] + steps * box[3], 0, height - 1).astype(np.intp)
    columns = np.clip(box[0] + steps * box[2], 0, width - 1).astype(np.intp)
    taps = pixels[rows[:, None], columns].astype(np.float64)
    cells = taps.reshape(_CELLS, _TAPS, _CELLS, _TAPS * 3)
    rows_summed = cells[:, 0] + cells[:, 1]
    values = (rows_summed[:, :, :3] + rows_summed[:, :, 3:]).ravel()
    return _of_length_1(values - values.mean())  # of whole numbers: exact


_STEPS = (np.arange(_CELLS * _TAPS) + 0.5) / (_CELLS * _TAPS) * _APPEARANCE_MARGIN - (
    (_APPEARANCE_MARGIN - 1) / 2
)


def _of_length_1(values: Appearance) -> Appearance:
    return np.asarray(values / max(math.sqrt(dot(values, values)), 1e-3))


class FaceTrack:
    """One person who is being followed.

    Attributes:
        id: number of the person, from 1.
        face: as last seen.
        seen: when that was, in seconds.
    """

    __slots__ = ("appearance", "face", "id", "seen", "speed")

    def __init__(self, number: int, face: FoundFace, seen: float, appearance: Appearance) -> None:
        self.id = number
        self.face = face
        self.seen = seen
        self.appearance = appearance
        self.speed = (0.0, 0.0)

    def expected(self, now: float) -> Box:
        """The box where the face should be by now."""
        seconds = min(now - self.seen, _COAST_SECONDS)
        x, y, width, height = self.face.box
        return Box(x + self.speed[0] * seconds, y + self.speed[1] * seconds, width, height)

    def cost(self, now: float, face: FoundFace) -> float:
        """How badly a face fits by place and size: 0 and up, infinite if it cannot be this one."""
        ours, theirs = self.expected(now), face.box
        size, other = math.sqrt(ours[2] * ours[3]), math.sqrt(theirs[2] * theirs[3])
        factor = max(size, other, 1e-6) / max(min(size, other), 1e-6)
        if factor > _SIZE_FACTOR:
            return math.inf
        x = ours[0] - theirs[0] + (ours[2] - theirs[2]) / 2
        y = ours[1] - theirs[1] + (ours[3] - theirs[3]) / 2
        far = length(x, y) / max((size + other) / 2, 1e-6)
        if far > min(_REACH + _REACH_PER_SECOND * (now - self.seen), _REACH_MOST):
            return math.inf
        return far + log(factor) + 0.5 * (1 - iou(ours, theirs))

    def update(self, now: float, face: FoundFace, appearance: Appearance | None) -> None:
        """The face was seen; ``appearance`` only where no other face mixes into it."""
        seconds = now - self.seen
        if seconds > 0:
            share = 1 - exp(-seconds / _SPEED_SECONDS)
            new, old = face.box, self.face.box
            x = (new[0] - old[0] + (new[2] - old[2]) / 2) / seconds
            y = (new[1] - old[1] + (new[3] - old[3]) / 2) / seconds
            self.speed = (
                self.speed[0] + share * (x - self.speed[0]),
                self.speed[1] + share * (y - self.speed[1]),
            )
        if appearance is not None:
            share = 1 - exp(-seconds / _APPEARANCE_SECONDS)
            self.appearance = _of_length_1(self.appearance + share * (appearance - self.appearance))
        self.face, self.seen = face, now


class _Known(NamedTuple):
    """A face that may come back: its number, its box in fractions of the frame, its appearance."""

    id: int
    box: Box
    appearance: Appearance


class _Scene(NamedTuple):
    view: Appearance
    faces: tuple[_Known, ...]


class _Awaited(NamedTuple):
    """Who may come back, how alike and near that must be, and until when."""

    face: _Known
    likeness: float
    shared: float
    until: float


class FaceTracks:
    """All persons of a clip.

    Args:
        most: so many are followed at once; further faces are left alone until one is lost.

    Attributes:
        tracks: those that are followed, the lost ones among them.
    """

    def __init__(self, most: int = 32) -> None:
        self.tracks: list[FaceTrack] = []
        self._most = most
        self._number = 0
        self._scenes: deque[_Scene] = deque(maxlen=_SCENES)
        self._gone: deque[_Known] = deque(maxlen=_FACES_OF_SCENE)  # of this scene
        self._awaited: list[_Awaited] = []

    def expire(self, now: float, keep: float, shape: tuple[int, ...]) -> None:
        """End the tracks that were not seen for more than ``keep`` seconds.

        Args:
            now: seconds.
            keep: seconds.
            shape: height and width of the frame.
        """
        for track in [track for track in self.tracks if now - track.seen > keep]:
            self.tracks.remove(track)
            self._gone.append(_known(track, shape))

    def scene_cut(
        self, now: float, old: Appearance | None, new: Appearance, shape: tuple[int, ...]
    ) -> None:
        """End all tracks, as the scene changes.

        Args:
            now: seconds.
            old: view of the last frame of the scene that ends, mean 0 and length 1; ``None`` if
                this is the first.
            new: view of the first frame of the scene that begins.
            shape: height and width of the frames of the scene that ends.
        """
        if old is not None:
            self._remember(old, shape)
        self.tracks = []
        self._gone.clear()
        until = now + _RETURN_SECONDS
        awaited: dict[int, _Awaited] = {}
        for scene in self._scenes:
            same = dot(scene.view, new) >= _SCENE_LIKENESS
            if same or scene is self._scenes[-1]:
                limits = _SAME_SCENE if same else _OTHER_SCENE
                awaited.update({face.id: _Awaited(face, *limits, until) for face in scene.faces})
        self._awaited = list(awaited.values())

    def _remember(self, view: Appearance, shape: tuple[int, ...]) -> None:
        """Keep a scene that ends; it takes the place of what was seen by the same camera."""
        faces: dict[int, _Known] = {}
        others = []
        for scene in self._scenes:
            if dot(scene.view, view) >= _SCENE_LIKENESS:
                faces.update({face.id: face for face in scene.faces})
            else:
                others.append(scene)
        faces.update({face.id: face for face in self._gone})
        latest = sorted(self.tracks, key=lambda track: track.seen)
        for face in (_known(track, shape) for track in latest):
            faces.pop(face.id, None)
            faces[face.id] = face
        last = tuple(faces.values())[-_FACES_OF_SCENE:]
        self._scenes = deque([*others, _Scene(view, last)], maxlen=_SCENES)

    def link(
        self, now: float, faces: Sequence[FoundFace], pixels: AnyPixels
    ) -> list[FaceTrack | None]:
        """The track of each face of a frame, in their order; ``None`` if there are too many.

        Faces that fit no track begin a new one.
        """
        appearances = [appearance(pixels, face.box) for face in faces]
        alone = [not any(_near(f.box, o.box) for o in faces if o is not f) for f in faces]
        pairs = self._assigned(now, faces, appearances, alone)
        result: list[FaceTrack | None] = []
        for number, face in enumerate(faces):
            track = pairs.get(number)
            if track is not None:
                track.update(now, face, appearances[number] if alone[number] else None)
            elif len(self.tracks) < self._most:
                track = self._begin(now, face, appearances[number], pixels.shape)
                self.tracks.append(track)
            result.append(track)
        return result

    def _assigned(
        self,
        now: float,
        faces: Sequence[FoundFace],
        appearances: Sequence[Appearance],
        alone: Sequence[bool],
    ) -> dict[int, FaceTrack]:
        """Number of a face -> its track."""
        rows: list[list[float]] = []
        for track in self.tracks:
            row = [track.cost(now, face) for face in faces]
            for j, cost in enumerate(row):
                if cost < math.inf:
                    likeness = dot(track.appearance, appearances[j])
                    # half behind somebody else nobody looks like himself
                    stranger = alone[j] and likeness < _APPEARANCE_LEAST
                    row[j] = math.inf if stranger else cost + _APPEARANCE_WEIGHT * (1 - likeness)
            rows.append(row)
        possible = [[j for j, cost in enumerate(row) if cost < math.inf] for row in rows]
        taken = [j for row in possible for j in row]
        if len(set(taken)) == len(taken) and all(len(row) <= 1 for row in possible):
            return {row[0]: self.tracks[i] for i, row in enumerate(possible) if row}
        costs = [[min(cost, _IMPOSSIBLE) for cost in row] for row in rows]
        return {j: self.tracks[i] for i, j in least_in_total(costs) if costs[i][j] < _IMPOSSIBLE}

    def _begin(
        self, now: float, face: FoundFace, seen_as: Appearance, shape: tuple[int, ...]
    ) -> FaceTrack:
        """A track for a face that fits none: somebody who comes back, or a newcomer."""
        box = _scaled(face.box, 1 / shape[1], 1 / shape[0])
        here = [_Awaited(known, *_SAME_SCENE, math.inf) for known in self._gone]
        followed = {track.id for track in self.tracks}
        likely = [
            (dot(known.appearance, seen_as), known.id)
            for known, likeness, shared, until in (*here, *self._awaited)
            if now <= until
            and known.id not in followed
            and dot(known.appearance, seen_as) >= likeness
            and iou(known.box, box) >= shared
        ]
        if likely:
            return FaceTrack(max(likely)[1], face, now, seen_as)
        self._number += 1
        return FaceTrack(self._number, face, now, seen_as)


_IMPOSSIBLE = 1e6


def _scaled(box: AnyBox, x: float, y: float) -> Box:
    return Box(box[0] * x, box[1] * y, box[2] * x, box[3] * y)


def _known(track: FaceTrack, shape: tuple[int, ...]) -> _Known:
    return _Known(track.id, _scaled(track.face.box, 1 / shape[1], 1 / shape[0]), track.appearance)


def _near(one: AnyBox, other: AnyBox) -> bool:
    """The region of one's appearance meets the other box."""
    x = abs(one[0] - other[0] + (one[2] - other[2]) / 2)
    y = abs(one[1] - other[1] + (one[3] - other[3]) / 2)
    margin = _APPEARANCE_MARGIN
    return 2 * x < margin * one[2] + other[2] and 2 * y < margin * one[3] + other[3]
