"""Tracks: which face of this frame is which face of the frames before.

One track a person.  Where each face goes next is predicted from its last movement; how badly a
face fits a track is measured by place, size and, only where several could be meant, by appearance
(a tiny coloured picture of the face), so that crossing faces are not swapped.  The pairs with the
least cost in total are taken.

A track that loses its face waits a while: a hand before a face makes no second person.  At a scene
cut all tracks end; ``scenes`` remembers who was where.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from ..engine.exact import dot, exp, length, log
from ..media.partial import AnyPixels
from .appearance import MARGIN, Appearance, appearance, of_length_1
from .assignment import least_in_total
from .box import AnyBox, Box, iou
from .decode import FoundFace
from .scenes import FACES_OF_SCENE, Awaited, Known, Scenes, gone_from, in_fractions, likeliest

#: So many are followed at once: each costs time in every frame.
MOST_FOLLOWED = 32
#: Where there is no room, a face this many times as large takes the place of the smallest.
_MUCH_LARGER = 1.5
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
#: Seconds in which the appearance of a track and its speed follow what is seen.
_APPEARANCE_SECONDS, _SPEED_SECONDS = 0.6, 0.15
#: A lost face is predicted to move on for so many seconds and then to stay.
_COAST_SECONDS = 0.4


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
        if face is self.face:  # taken over: nothing new is known of where it goes
            return
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
            self.appearance = of_length_1(self.appearance + share * (appearance - self.appearance))
        self.face, self.seen = face, now


class Newcomer(NamedTuple):
    """Somebody who was not known: number, when, face, size of the frame, looks, whether no other
    face mixed into these, and of the scene when it began and how it looked."""

    id: int
    t: float
    face: FoundFace
    shape: tuple[int, ...]
    appearance: Appearance
    alone: bool
    since: float
    view: Appearance


class FaceTracks:
    """All persons of a clip, or of a piece of one.  They can be pickled.

    Args:
        most: so many are followed at once; further faces are left alone until one is lost, unless
            they are much larger than one that is followed.
        newcomers: everybody who is new is added here, in some two KiB, for ``go_on``.

    Attributes:
        tracks: those that are followed, the lost ones among them.
    """

    def __init__(self, most: int = MOST_FOLLOWED, newcomers: list[Newcomer] | None = None) -> None:
        self.tracks: list[FaceTrack] = []
        self._newcomers = newcomers
        self._began: float | None = None
        self._scene: tuple[float, Appearance] | None = None  # when this one began, how it looked
        self._most = most
        self._number = 0
        self._scenes = Scenes()
        self._gone: deque[Known] = deque(maxlen=FACES_OF_SCENE)  # of this scene
        self._awaited: list[Awaited] = []

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
        self._began = now if self._began is None else self._began
        self._scene = now, new
        # of who was seen in several scenes, the last
        awaited = {one.face.id: one for one in self._scenes.expected(now, new)}
        self._awaited = list(awaited.values())

    def _remember(self, view: Appearance, shape: tuple[int, ...]) -> None:
        """Keep a scene that ends."""
        latest = sorted(self.tracks, key=lambda track: track.seen)
        self._scenes.keep(view, self._gone, [_known(track, shape) for track in latest])

    def link(
        self, now: float, faces: Sequence[FoundFace], pixels: AnyPixels
    ) -> list[FaceTrack | None]:
        """The track of each face of a frame, in their order; ``None`` if there are too many.

        Faces that fit no track begin a new one.
        """
        known = {id(track.face): track.appearance for track in self.tracks}
        appearances = [
            known[id(face)] if id(face) in known else appearance(pixels, face.box) for face in faces
        ]
        alone = [not any(_near(f.box, o.box) for o in faces if o is not f) for f in faces]
        pairs = self._assigned(now, faces, appearances, alone)
        newcomers = self._newcomers_of(faces, pairs, pixels.shape)
        result: list[FaceTrack | None] = []
        for number, face in enumerate(faces):
            track = pairs.get(number)
            if track is not None:
                track.update(now, face, appearances[number] if alone[number] else None)
            elif number in newcomers:
                seen_as = appearances[number]
                track = self._begin(now, face, seen_as, pixels.shape, alone[number])
                self.tracks.append(track)
            result.append(track)
        return result

    def _newcomers_of(
        self, faces: Sequence[FoundFace], pairs: dict[int, FaceTrack], shape: tuple[int, ...]
    ) -> set[int]:
        """Numbers of the faces that begin a track; where there is no room for all, the largest, for
        which the smallest that is followed may have to go."""
        new = [number for number in range(len(faces)) if number not in pairs]
        room = self._most - len(self.tracks)
        if len(new) <= room:
            return set(new)
        new.sort(key=lambda number: -_side(faces[number]))
        for number in new[room:]:
            smallest = min(self.tracks, key=lambda track: _side(track.face), default=None)
            if smallest is None or _side(faces[number]) < _MUCH_LARGER * _side(smallest.face):
                break
            self.tracks.remove(smallest)
            self._gone.append(_known(smallest, shape))
            for place in [place for place, track in pairs.items() if track is smallest]:
                del pairs[place]
            room += 1
        return set(new[:room])

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
        self,
        now: float,
        face: FoundFace,
        seen_as: Appearance,
        shape: tuple[int, ...],
        alone: bool,
    ) -> FaceTrack:
        """A track for a face that fits none: somebody who comes back, or a newcomer."""
        here = [gone_from(known) for known in self._gone]
        followed = {track.id for track in self.tracks}
        awaited = [one for one in (*here, *self._awaited) if one.face.id not in followed]
        number = likeliest(awaited, now, face, seen_as, shape)
        if number is None:
            number = self._next_number()
            if self._newcomers is not None and self._scene is not None:
                found = Newcomer(number, now, face, shape, seen_as, alone, *self._scene)
                self._newcomers.append(found)
        return FaceTrack(number, face, now, seen_as)

    def _next_number(self) -> int:
        self._number += 1
        return self._number

    # --- pieces of a clip -------------------------------------------------------------------------

    def end(self, view: Appearance, shape: tuple[int, ...]) -> None:
        """The piece is over, and its last frame looks so; ask nothing more than ``go_on``."""
        self._remember(view, shape)

    def go_on(self, later: FaceTracks) -> dict[int, int]:
        """Join the next piece of the clip, by what would have been known, had there been one piece:
        who is where somebody was followed to, and who comes back to a scene that is remembered.

        Args:
            later: of the next piece, made with ``newcomers``; of both, ``end`` was called.

        Returns:
            The number of each of its persons among those of all pieces.
        """
        newcomers = later._newcomers or []
        numbers = self._followed_on(newcomers, later._began)
        for one in newcomers:
            if one.id in numbers:
                continue
            taken = set(numbers.values())
            expected = self._scenes.expected(one.since, one.view, one.since == later._began)
            awaited = [known for known in expected if known.face.id not in taken]
            number = likeliest(awaited, one.t, one.face, one.appearance, one.shape)
            numbers[one.id] = self._next_number() if number is None else number
        self._scenes.join(later._scenes, numbers)
        self.tracks = later.tracks
        for track in self.tracks:
            track.id = numbers[track.id]
        return numbers

    def _followed_on(self, newcomers: Sequence[Newcomer], began: float | None) -> dict[int, int]:
        """Who of the first frame with faces is followed already, if the scene is still the same."""
        first = [one for one in newcomers if one.t == newcomers[0].t]
        if not first or first[0].since != began or not self._scenes.goes_on(first[0].view):
            return {}
        faces, seen_as = [one.face for one in first], [one.appearance for one in first]
        pairs = self._assigned(first[0].t, faces, seen_as, [one.alone for one in first])
        return {first[place].id: track.id for place, track in pairs.items()}


_IMPOSSIBLE = 1e6


def _side(face: FoundFace) -> float:
    return math.sqrt(face.box[2] * face.box[3])


def _known(track: FaceTrack, shape: tuple[int, ...]) -> Known:
    return Known(track.id, in_fractions(track.face.box, shape), track.appearance)


def _near(one: AnyBox, other: AnyBox) -> bool:
    """The region of one's appearance meets the other box."""
    x = abs(one[0] - other[0] + (one[2] - other[2]) / 2)
    y = abs(one[1] - other[1] + (one[3] - other[3]) / 2)
    margin = MARGIN
    return 2 * x < margin * one[2] + other[2] and 2 * y < margin * one[3] + other[3]
