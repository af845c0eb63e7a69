"""Scenes: what a few scenes of a clip looked like and who was where in them, in 20 KiB each.

When a clip cuts back to a camera, whoever sits in the same place and looks the same is known again.
Across different camera positions nobody is.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from ..engine.exact import dot
from .appearance import Appearance
from .box import AnyBox, Box, iou
from .decode import FoundFace

#: Two frames less alike are a scene cut.  In data/videos the three are at 0.05 to 0.28; movement
#: goes down to 0.66 from frame to frame and to 0.38 in a quarter of a second.
SCENE_CUT_LIKENESS = 0.33
#: To be taken up again after a scene cut: likeness and overlap where the scene is one that was seen
#: before, and where it is not (a flash or a swing of the camera that was taken for one).
_SAME_SCENE, _OTHER_SCENE = (0.7, 0.25), (0.8, 0.3)
#: Scenes and faces of each that are remembered, and how alike two scenes must be to be one camera.
_SCENES, FACES_OF_SCENE, _SCENE_LIKENESS = 8, 8, 0.8
#: Seconds after a scene cut in which remembered faces are waited for.
_RETURN_SECONDS = 2.0


class Known(NamedTuple):
    """A face that may come back: its number, its box in fractions of the frame, its appearance."""

    id: int
    box: Box
    appearance: Appearance


class _Scene(NamedTuple):
    view: Appearance
    faces: tuple[Known, ...]


class Awaited(NamedTuple):
    """Who may come back, how alike and near that must be, and until when."""

    face: Known
    likeness: float
    shared: float
    until: float


class Scenes:
    """The scenes of a clip that are remembered; they can be pickled."""

    def __init__(self) -> None:
        self._scenes: deque[_Scene] = deque(maxlen=_SCENES)

    def keep(self, view: Appearance, gone: Iterable[Known], there: Iterable[Known]) -> None:
        """A scene ends; it takes the place of what was seen by the same camera.

        Args:
            view: of its last frame, mean 0 and length 1.
            gone: who left it before.
            there: who is there at its end, the last one seen last.
        """
        faces: dict[int, Known] = {}
        others = []
        for scene in self._scenes:
            if dot(scene.view, view) >= _SCENE_LIKENESS:
                faces.update({face.id: face for face in scene.faces})
            else:
                others.append(scene)
        faces.update({face.id: face for face in gone})
        for face in there:
            faces.pop(face.id, None)
            faces[face.id] = face
        last = tuple(faces.values())[-FACES_OF_SCENE:]
        self._scenes = deque([*others, _Scene(view, last)], maxlen=_SCENES)

    def goes_on(self, view: Appearance) -> bool:
        """Whether a frame that looks so may belong to the last scene."""
        return bool(self._scenes) and dot(self._scenes[-1].view, view) >= SCENE_CUT_LIKENESS

    def expected(self, since: float, view: Appearance, goes_on: bool = False) -> Iterator[Awaited]:
        """Who may come back.

        Args:
            since: when the scene began, in seconds.
            view: how it looked then, mean 0 and length 1.
            goes_on: it may be the rest of the last one.
        """
        for scene in self._scenes:
            same, is_last = dot(scene.view, view) >= _SCENE_LIKENESS, scene is self._scenes[-1]
            if same or is_last:
                limits = _SAME_SCENE if same else _OTHER_SCENE
                until = math.inf if same and is_last and goes_on else since + _RETURN_SECONDS
                yield from (Awaited(face, *limits, until) for face in scene.faces)

    def join(self, later: Scenes, numbers: Mapping[int, int]) -> None:
        """Remember those of the next piece of the clip, too, whose persons have other numbers."""
        for view, faces in later._scenes:
            self.keep(view, (), [face._replace(id=numbers[face.id]) for face in faces])


def gone_from(known: Known) -> Awaited:
    """Somebody who was lost in this very scene."""
    return Awaited(known, *_SAME_SCENE, math.inf)


def likeliest(
    awaited: Iterable[Awaited],
    now: float,
    face: FoundFace,
    seen_as: Appearance,
    shape: tuple[int, ...],
) -> int | None:
    """The number of who is awaited and most like a face; ``None`` if nobody is."""
    box = in_fractions(face.box, shape)
    likely = [
        (dot(known.appearance, seen_as), known.id)
        for known, likeness, shared, until in awaited
        if now <= until
        and dot(known.appearance, seen_as) >= likeness
        and iou(known.box, box) >= shared
    ]
    return max(likely)[1] if likely else None


def in_fractions(box: AnyBox, shape: tuple[int, ...]) -> Box:
    """A box in fractions of a frame of this height and width."""
    x, y = 1 / shape[1], 1 / shape[0]
    return Box(box[0] * x, box[1] * y, box[2] * x, box[3] * y)
