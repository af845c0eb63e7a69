"""Following faces through a clip, so that the costly search runs on few frames.

A whole frame is searched when the clip begins, at a scene cut, when black ends or a face was lost,
and now and then for newcomers; in between each face is looked for only around the place where it
should be, which takes a tenth of the time.  Where nothing is found, the whole frame is searched
four times a second, so that an hour without faces costs little.  Everything that is kept is small
and bounded.
"""

from __future__ import annotations

import math
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from ..engine.exact import dot
from ..media.partial import AnyPixels, PartialFrame, around, whole_of
from ..media.pixels import Pixels
from .appearance import Appearance
from .box import iou
from .decode import FoundFace
from .glance import LONGEST, Glance, may_wait
from .near import near_box
from .scenes import SCENE_CUT_LIKENESS
from .track import MOST_FOLLOWED, FaceTrack, FaceTracks, Newcomer

#: Rows and columns of the view in which cuts are seen, each the mean of ``_TAPS`` x ``_TAPS``
#: pixels.
_ROWS, _COLUMNS, _TAPS = 18, 32, 2
#: Contrast in grey levels below which a view is taken for noise: two black frames are alike.
_NOISE = 4.0
#: Seconds that a track waits for its face; at low rates, so many frames.
_KEEP_SECONDS, _KEEP_FRAMES = 1.0, 2.5
#: Seconds between whole searches for somebody who was lost or where nobody is in view: at first,
#: and at most, after searches that found nobody: as often as at a clip's usual 4 frames a second,
#: so that no higher rate misses whom that one sees.
_AGAIN_FIRST, _AGAIN_LAST = 0.2, 0.25
#: From so many seconds between frames on a face may be anywhere: every frame is searched wholly.
_SPARSE_SECONDS = 0.5
#: How far a face may be from where it should be, in sides of its box, for ``find_near``: at least,
#: per second after so many seconds since it was seen, and at most.
_MOVE, _MOVE_PER_SECOND, _MOVE_FREE_SECONDS, _MOVE_MOST = 0.5, 4.0, 0.05, 3.0
#: Boxes that overlap by more are one face.
_SAME_FACE = 0.4
#: Seconds between frames while time stamps say nothing, and the most that is taken for usual.
_USUAL_STEP, _USUAL_MOST = 0.04, 1.0


class Finder(Protocol):
    """What is needed of ``FaceFinder``."""

    def find(self, picture: Pixels) -> tuple[FoundFace, ...]:
        """All faces of a picture."""

    def find_near(self, picture: Pixels, face: FoundFace, move: float = 1.0) -> FoundFace | None:
        """The face near where it was."""


class Tracker:
    """Follows the faces of one clip.

    Args:
        finder: what finds faces, a ``FaceFinder``.
        search_every: seconds between two searches of the whole frame for newcomers.
        most: so many faces are followed at once.
        piece_from: the frames are a piece of a clip that begins at so many seconds, and ``end`` is
            asked for.

    Attributes:
        searches: how many times the whole frame was searched.
        scene_cuts: how many scene cuts were seen.
        others: faces of the last frame that are left alone, as there are too many.
    """

    def __init__(
        self,
        finder: Finder,
        search_every: float = 1.0,
        *,
        most: int = MOST_FOLLOWED,
        piece_from: float | None = None,
    ) -> None:
        self.searches = 0
        self.scene_cuts = 0
        self.others: tuple[FoundFace, ...] = ()
        self._finder = finder
        self._every = search_every
        newcomers: list[Newcomer] | None = None if piece_from is None else []
        self._tracks = FaceTracks(most, newcomers)
        self._clock = _Clock(piece_from or 0.0)
        self._last: tuple[Appearance | None, tuple[int, ...]] = None, ()
        self._grid = _places(1, _ROWS)[:, None], _places(1, _COLUMNS)
        self._grid_shape: tuple[int, ...] = ()
        self._searched = -math.inf
        self._lit_up = False  # after a frame that showed nothing
        self._again = _AGAIN_FIRST
        self._looks: dict[int, _Look] = {}  # of the last frame's faces, by track
        self._waited: dict[int, float] = {}  # of those that were taken over there, its time

    def see(self, t: float, pixels: AnyPixels) -> list[tuple[int, FoundFace]]:
        """Take the next frame.

        Args:
            t: its time in seconds.  Times that repeat or go back are replaced by a usual step.
            pixels: (H, W, 3) uint8 RGB; the size may change from frame to frame.

        Returns:
            Number of the person (from 1, in the order in which they appear) and face, by number.
            A face that is the very object of the frame before was not looked for: it has hardly
            changed, see ``glance``.

        Raises:
            InputError: the finder cannot search such a picture.
            ConversionError: the frame is a partial one, and cannot be converted.
        """
        step = self._clock.advance(t)
        now = self._clock.now
        scene_cut = self._is_scene_cut(now, pixels)
        self._tracks.expire(now, max(_KEEP_SECONDS, _KEEP_FRAMES * step), pixels.shape)
        tracks = self._tracks.tracks
        everywhere = scene_cut or step >= _SPARSE_SECONDS
        faces: list[FoundFace] = []
        held = {} if everywhere else self._held(now, pixels)
        if not everywhere:
            for track in tracks:
                _add(faces, held.get(track.id) or self._near(track, now, step, pixels))
        missed = len(faces) < len(tracks) or not tracks
        if everywhere or self._is_due(now, step, missed):
            before = len(faces)
            for face in self._finder.find(whole_of(pixels)):
                _add(faces, face)
            self.searches += 1
            self._searched = now
            fruitless = missed and len(faces) == before
            self._again = min(2 * self._again, _AGAIN_LAST) if fruitless else _AGAIN_FIRST
        linked = self._tracks.link(now, faces, pixels)
        found = [
            (track.id, face) for track, face in zip(linked, faces, strict=True) if track is not None
        ]
        self.others = tuple(f for track, f in zip(linked, faces, strict=True) if track is None)
        self._waited = dict.fromkeys(held, now)
        if step < LONGEST:
            self._looks = {
                number: self._looks[number]
                if held.get(number) is face
                else _Look(now, face, Glance(pixels, face.box))
                for number, face in found
            }
        else:
            self._looks.clear()
        return sorted(found, key=lambda pair: pair[0])

    def end(self) -> FaceTracks:
        """What is known of the persons at the end of a piece, for ``FaceTracks.go_on``."""
        view, shape = self._last
        if view is not None:
            self._tracks.end(_unit(view), shape)
        return self._tracks

    def _held(self, now: float, pixels: AnyPixels) -> dict[int, FoundFace]:
        """The faces that are taken over as they were."""
        return {
            number: look.face
            for number, look in self._looks.items()
            if may_wait(now - look.t, look.glance.change(pixels))
        }

    def _is_scene_cut(self, now: float, pixels: AnyPixels) -> bool:
        """Whether a scene begins with this frame; the tracks of the last one are ended."""
        view, shape = self._view(pixels), pixels.shape
        old, old_shape = self._last
        self._last = view, shape
        self._lit_up = old is not None and _is_blank(old) and not _is_blank(view)
        if old is None:
            self._tracks.scene_cut(now, None, _unit(view), shape)
            return True
        if shape == old_shape and _likeness(old, view) >= SCENE_CUT_LIKENESS:
            return False
        self.scene_cuts += 1
        self._tracks.scene_cut(now, _unit(old), _unit(view), old_shape)
        return True

    def _is_due(self, now: float, step: float, missed: bool) -> bool:
        """Whether it is time to search the whole frame; half a step early is not too early."""
        since = now - self._searched + step / 2
        often = since >= self._again or step >= _AGAIN_FIRST
        return since >= self._every or (missed and (often or self._lit_up))

    def _near(
        self, track: FaceTrack, now: float, step: float, pixels: AnyPixels
    ) -> FoundFace | None:
        """The track's face, looked for around where it should be by now."""
        face = track.face
        expected = FoundFace(track.expected(now), face.score, face.landmarks, face.rotation)
        unseen = now - self._waited.get(track.id, track.seen)
        seconds = max(unseen - _MOVE_FREE_SECONDS, 0.0)
        move = min(_MOVE + _MOVE_PER_SECOND * seconds, _MOVE_MOST)
        near = around(pixels, near_box(expected.box, move))
        return self._finder.find_near(near, expected, move)

    def _view(self, pixels: AnyPixels) -> Appearance:
        """The frame as (576,) float64 grey levels (of its green, for speed; of partial frames,
        luma), mean 0."""
        if pixels.shape != self._grid_shape:
            height, width = pixels.shape[:2]
            self._grid = _places(height, _ROWS)[:, None], _places(width, _COLUMNS)
            self._grid_shape = pixels.shape
        rows, columns = self._grid
        if isinstance(pixels, PartialFrame):
            taps = pixels.luma[rows, columns].astype(np.float64)
        else:
            taps = pixels[rows, columns, 1].astype(np.float64)
        cells = taps.reshape(_ROWS, _TAPS, _COLUMNS, _TAPS)
        lines = cells[:, 0] + cells[:, 1]
        view = ((lines[:, :, 0] + lines[:, :, 1]) / (_TAPS * _TAPS)).ravel()
        return np.asarray(view - view.mean())  # of quarters: exact


class _Look(NamedTuple):
    """When a face was found last, and what was in its place."""

    t: float
    face: FoundFace
    glance: Glance


class _Clock:
    """Time that only goes forward, whatever the time stamps do."""

    def __init__(self, now: float) -> None:
        self.now = now
        self._last: float | None = None
        self._usual = _USUAL_STEP

    def advance(self, t: float) -> float:
        """Take the next time stamp; returns the seconds since the last."""
        step = t - self._last if self._last is not None else 0.0
        self._last = t
        if step > 0:
            self._usual = min(step, _USUAL_MOST)
        else:
            step = self._usual
        self.now += step
        return step


def _add(faces: list[FoundFace], face: FoundFace | None) -> None:
    """Add a face that is not among them yet."""
    if face is not None and not any(iou(face.box, o.box) > _SAME_FACE for o in faces):
        faces.append(face)


def _places(length: int, cells: int) -> npt.NDArray[np.intp]:
    """Rows or columns that are looked at, evenly spread."""
    count = cells * _TAPS
    return ((np.arange(count) + 0.5) * (length / count)).astype(np.intp)


def _likeness(one: Appearance, other: Appearance) -> float:
    """Correlation of two views, so that a flash is no cut; 1 where both show nothing but noise."""
    floor = _NOISE * _NOISE
    both = math.sqrt(dot(one, one) * dot(other, other))
    return (dot(one, other) / len(one) + floor) / (both / len(one) + floor)


def _is_blank(view: Appearance) -> bool:
    """Whether it shows nothing but noise, as black between two shots."""
    return dot(view, view) < _NOISE * _NOISE * len(view)


def _unit(view: Appearance) -> Appearance:
    """Of length 1; a view without contrast stays near 0 and so is like no other."""
    least = _NOISE * math.sqrt(len(view))
    return np.asarray(view / max(math.sqrt(dot(view, view)), least))
