"""Tracks: appearances, costs, assignment; what they do together is in ``test_tracker``."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.worlds import World, found

from minimeso.detect.appearance import appearance
from minimeso.detect.decode import FoundFace
from minimeso.detect.track import FaceTrack, FaceTracks

FRAME = World({}).frame(0)


def track(x: float = 100, y: float = 90, side: float = 40) -> FaceTrack:
    face = found(x, y, side)
    return FaceTrack(1, face, 0.0, appearance(FRAME, face.box))


def test_looks_tell_people_apart_and_ignore_light_and_size() -> None:
    world = World({1: lambda t: (80, 90, 60), 2: lambda t: (240, 90, 60)})
    one, two = (face.box for _, face in world.in_view())
    picture = world.frame(0)
    first = appearance(picture, one)
    assert first.shape == (192,) and first.dtype == np.float64
    assert float(first @ first) == pytest.approx(1, abs=1e-4)
    assert float(first @ appearance(picture // 2, one)) > 0.98
    assert (
        float(first @ appearance(np.repeat(np.repeat(picture, 2, 0), 2, 1), _doubled(one))) > 0.98
    )
    assert float(first @ appearance(picture, two)) < 0.5


def _doubled(box: tuple[float, ...]) -> tuple[float, float, float, float]:
    x, y, width, height = (2 * value for value in box)
    return x, y, width, height


@given(
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.tuples(*[st.floats(-1e7, 1e7)] * 2, *[st.floats(0, 1e7)] * 2),
)
def test_a_look_of_anything(shape: tuple[int, int], box: tuple[float, float, float, float]) -> None:
    picture = np.arange(shape[0] * shape[1] * 3, dtype=np.uint8).reshape(*shape, 3)
    assert np.isfinite(appearance(picture, box)).all()


def test_misfit() -> None:
    here = track()
    near, far = here.cost(0.04, found(104, 90, 40)), here.cost(0.04, found(115, 90, 40))
    assert here.cost(0.04, found(100, 90, 40)) == pytest.approx(0) and 0 < near < far
    assert here.cost(0.04, found(100, 90, 50)) > 0
    assert here.cost(0.04, found(200, 90, 40)) == math.inf  # too far
    assert here.cost(0.04, found(100, 90, 100)) == math.inf  # too large
    assert here.cost(0.9, found(180, 90, 40)) < math.inf  # not for a face unseen so long


def test_a_trail_expects_a_face_where_it_is_going() -> None:
    moving = track()
    for i in range(1, 26):
        moving.update(i / 25, found(100 + 2 * i, 90, 40), None)  # 50 pixels a second
    x = moving.expected(1.2)[0] + 20
    assert x == pytest.approx(160, abs=0.5)
    assert moving.expected(100.0)[0] + 20 == pytest.approx(150 + 50 * 0.4, abs=0.5)


def test_the_least_misfit_in_total_is_taken() -> None:
    """Both faces are nearest to the second track; the first must not go without."""
    tracks = FaceTracks()
    tracks.link(0.0, [found(100, 90, 40), found(130, 90, 40)], FRAME)
    linked = tracks.link(0.04, [found(128, 90, 40), found(112, 90, 40)], FRAME)
    assert [t.id for t in linked if t is not None] == [2, 1]


def test_no_more_than_allowed() -> None:
    tracks = FaceTracks(most=2)
    faces = [found(40 + 80 * i, 90, 30) for i in range(4)]
    linked = tracks.link(0.0, faces, FRAME)
    assert [t and t.id for t in linked] == [1, 2, None, None]
    tracks.expire(2.0, 1.0, FRAME.shape)
    assert [t and t.id for t in tracks.link(2.0, faces[2:], FRAME)] == [3, 4]


def test_of_too_many_the_largest_are_followed() -> None:
    """Whoever walks in before a hall full of people matters, and not those in the last row."""
    (hall, other), speaker = (found(40, 90, 24), found(90, 90, 24)), found(200, 90, 80)

    def seen(*faces: FoundFace) -> list[int | None]:
        return [track and track.id for track in tracks.link(0.0, faces, FRAME)]

    tracks = FaceTracks(most=1)
    assert seen(hall, speaker) == [None, 1]
    tracks = FaceTracks(most=2)
    assert seen(hall, other) == [1, 2]
    assert seen(hall, other, found(200, 90, 30)) == [1, 2, None]
    assert seen(hall, other, speaker) == [None, 2, 3]
    assert seen(hall, other, speaker) == [None, 2, 3] and len(tracks.tracks) == 2
    assert seen(other, speaker, found(280, 90, 80)) == [None, 3, 4]


def test_nobody_and_nothing() -> None:
    tracks = FaceTracks()
    assert tracks.link(0.0, [], FRAME) == []
    tracks.link(0.0, [found(100, 90, 40)], FRAME)
    assert tracks.link(0.04, [], FRAME) == [] and len(tracks.tracks) == 1
