"""Following: who keeps his number, how often a whole frame is searched, odd frames and times."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable

import numpy as np
import pytest
from support.detectors import photo
from support.worlds import Path, World

from minimeso.detect.finder import FoundFace
from minimeso.detect.tracker import Tracker

FPS = 25.0


def still(x: float, y: float, side: float = 40) -> Path:
    return lambda t: (x, y, side)


def times(seconds: float, fps: float = FPS) -> list[float]:
    return [i / fps for i in range(round(seconds * fps))]


def persons(
    world: World, at: Iterable[float], follower: Tracker | None = None
) -> dict[int, dict[int, int]]:
    """Number of a track -> person -> in how many frames it was him."""
    follower = follower or Tracker(world)
    seen: dict[int, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    for t in at:
        faces = follower.see(t, world.frame(t))
        numbers = [number for number, _ in faces]
        assert numbers == sorted(set(numbers))
        for number, face in faces:
            seen[number][world.who(face)] += 1
    return {number: dict(counts) for number, counts in seen.items()}


# --- one person, one track ---------------------------------------------------------------


def test_a_person_keeps_the_number_and_few_frames_are_searched() -> None:
    world = World({1: lambda t: (160 + 60 * math.sin(t), 90, 40)}, noise=4)
    follower = Tracker(world)
    assert persons(world, times(10), follower) == {1: {1: 250}}
    assert world.finds == follower.searches == 10 and follower.scene_cuts == 0
    assert 60 < world.nears < 249  # see test_glance


@pytest.mark.parametrize("fps", [60, 25, 10, 4, 3, 2, 1])
def test_any_rate(fps: float) -> None:
    """Two people who sway by more than a face in a second."""
    world = World(
        {
            1: lambda t: (90 + 30 * math.sin(1.5 * t), 90, 40),
            2: lambda t: (240, 90 + 30 * math.sin(1.5 * t), 50),
        }
    )
    count = len(times(12, fps))
    assert persons(world, times(12, fps)) == {1: {1: count}, 2: {2: count}}


def test_newcomers_are_found_within_the_second() -> None:
    world = World({1: still(80, 90), 2: lambda t: (240, 90, 40) if t > 3.5 else None})
    seen = persons(world, times(8))
    assert seen[1] == {1: 200} and list(seen[2]) == [2] and seen[2][2] >= 112 - 25


@pytest.mark.parametrize("fps", [240, 60, 25, 10])
def test_who_comes_for_a_moment_is_seen_at_every_frame_as_at_four_a_second(fps: float) -> None:
    """At four frames a second while nobody is there each of them is searched."""
    for start in (5.0, 5.1, 5.2, 5.3, 5.4):

        def path(t: float, start: float = start) -> tuple[float, float, float] | None:
            return (160, 90, 40) if start <= t < start + 0.35 else None

        seen = persons(World({1: path}), times(8, fps))
        assert list(seen) == [1] and seen[1][1] >= 0.05 * fps, start


def test_who_is_there_when_black_ends_is_seen_at_once() -> None:
    """It is no cut, as a flash is none, but there may be another shot."""

    def light(t: float) -> float:
        return 1.0 if 3.33 <= t < 3.5 else 0.0

    world = World({1: still(160, 90)}, light=light, hidden=lambda _, t: light(t) == 0)
    assert persons(world, times(6)) == {1: {1: 4}}


def test_a_hand_before_the_face_makes_no_second_person() -> None:
    world = World({1: still(160, 90)}, hidden=lambda person, t: 2 <= t < 2.8)
    assert persons(world, times(5)) == {1: {1: 105}}


def test_who_turns_away_and_back_in_his_place_is_the_same() -> None:
    """For longer than a track waits, but in the same place, looking the same."""
    world = World({1: still(160, 90), 2: still(60, 90)}, hidden=lambda p, t: p == 1 and 2 <= t < 9)
    seen = persons(world, times(12))
    assert list(seen) == [1, 2] and list(seen[1]) == [1] and list(seen[2]) == [2]


def test_somebody_else_in_the_same_place_is_another_person() -> None:
    world = World(
        {
            1: lambda t: (160, 90, 40) if t < 2 else None,
            2: lambda t: (160, 90, 40) if t > 3 else None,
        }
    )
    seen = persons(world, times(6))
    assert list(seen[1]) == [1] and list(seen[2]) == [2] and len(seen) == 2


# --- crossing ----------------------------------------------------------------------------


@pytest.mark.parametrize("fps", [25, 12, 6])
@pytest.mark.parametrize("speed", [30, 60, 120])
@pytest.mark.parametrize("gap", [0, 12])
def test_crossing_faces_are_not_swapped(fps: float, speed: float, gap: float) -> None:
    """Two people walk through each other's place; the one behind is hidden for a while."""
    seconds = 240 / speed
    world = World(
        {
            1: lambda t: (40 + speed * t, 90, 40),
            2: lambda t: (280 - speed * t, 90 + gap, 44),
        }
    )
    seen = persons(world, times(seconds, fps))
    assert {number: list(who) for number, who in seen.items()} == {1: [1], 2: [2]}


def test_who_meet_and_turn_round_are_not_swapped() -> None:
    """Prediction would swap them: only the appearances tell."""
    world = World(
        {
            1: lambda t: (100 + 50 * math.sin(t), 90, 40),
            2: lambda t: (220 - 50 * math.sin(t), 90, 40),
        }
    )
    seen = persons(world, times(13))
    assert {number: list(who) for number, who in seen.items()} == {1: [1], 2: [2]}


# --- scenes ------------------------------------------------------------------------------


def test_a_cut_ends_the_tracks_and_searches_at_once() -> None:
    """Somebody else in the same place after the cut is found in its first frame."""
    world = World(
        {
            1: lambda t: (160, 90, 40) if t < 2 else None,
            2: lambda t: (160, 90, 40) if t >= 2 else None,
        },
        backdrop=lambda t: 1000 if t < 2 else 2000,
    )
    follower = Tracker(world)
    assert persons(world, times(4), follower) == {1: {1: 50}, 2: {2: 50}}
    assert follower.scene_cuts == 1


def test_an_interview_that_cuts_back_and_forth_has_two_persons() -> None:
    def camera(t: float) -> int:
        return int(t / 1.5) % 2

    world = World(
        {
            1: lambda t: (160 + 3 * math.sin(5 * t), 90, 60) if camera(t) == 0 else None,
            2: lambda t: (170 + 3 * math.sin(4 * t), 90, 60) if camera(t) == 1 else None,
        },
        backdrop=lambda t: 1000 + camera(t),
        noise=3,
    )
    follower = Tracker(world)
    seen = persons(world, times(30), follower)
    assert {number: list(who) for number, who in seen.items()} == {1: [1], 2: [2]}
    assert sum(seen[1].values()) + sum(seen[2].values()) == 750 and follower.scene_cuts == 19


def test_a_flash_makes_no_new_person() -> None:
    world = World({1: still(160, 90)}, light=lambda t: 2.5 if 2 <= t < 2.1 else 1.0)
    assert list(persons(world, times(5))) == [1]


def test_noise_and_darkness_are_no_cuts() -> None:
    for light in (1.0, 0.02):
        world = World({}, noise=6, light=lambda t, light=light: light)
        follower = Tracker(world)
        persons(world, times(2), follower)
        assert follower.scene_cuts == 0


def test_a_change_of_size_is_a_cut_but_the_same_scene() -> None:
    """As of a stream that adapts its rate: everything is as it was, four times smaller."""

    def scale(t: float) -> float:
        return 1.0 if t < 2 else 0.5

    world = World(
        {1: lambda t: (160 * scale(t), 90 * scale(t), 40 * scale(t))},
        size=lambda t: (round(180 * scale(t)), round(320 * scale(t))),
    )
    follower = Tracker(world)
    assert persons(world, times(4), follower) == {1: {1: 100}}
    assert follower.scene_cuts == 1


# --- costs are bounded -------------------------------------------------------------------


def test_an_empty_clip_is_searched_a_few_times_a_second() -> None:
    world = World({})
    persons(world, times(60))
    assert world.finds <= 60 * 5 and world.nears == 0


def test_at_low_rates_every_frame_is_searched_while_nobody_is_there() -> None:
    world = World({})
    persons(world, times(20, 4))
    assert world.finds == 80


def test_a_face_that_comes_and_goes_is_not_searched_for_in_every_frame() -> None:
    world = World({1: lambda t: None if round(t * FPS) % 2 else (160, 90, 40)})
    seen = persons(world, times(10))
    assert list(seen) == [1] and world.finds <= 10 * 6


def test_a_crowd() -> None:
    """Fifty faces: as many tracks as allowed, the same ones all the time, few calls a frame."""
    people = {1 + i: still(20 + 31 * (i % 10), 20 + 35 * (i // 10), 24) for i in range(50)}
    world = World(people, noise=2)
    follower = Tracker(world, most=32)
    seen = persons(world, times(4), follower)
    assert len(seen) == 32 and all(list(who.values()) == [100] for who in seen.values())
    assert not follower.others
    assert len(follower.see(4.1, world.frame(4.1))) == 32, "all are searched for once a second"
    assert len({world.who(face) for face in follower.others} - {1}) >= 17
    assert world.finds <= 4 * 5 and world.nears <= 32 * 100


def test_an_hour_of_strangers_keeps_nothing() -> None:
    """Scenes without end, somebody new in each: what is kept stays small."""
    world = World(
        {p: (lambda t, p=p: (160, 90, 40) if int(t) == p else None) for p in range(200)},
        backdrop=lambda t: 1000 + int(t),
    )
    follower = Tracker(world)
    assert len(persons(world, times(200, 3), follower)) == 200
    tracks = follower._tracks
    assert len(tracks.tracks) <= 1 and len(tracks._scenes._scenes) <= 8 and len(tracks._gone) <= 8


# --- odd frames and times ----------------------------------------------------------------


@pytest.mark.parametrize(
    "stamps",
    [
        [0.0] * 100,
        [i / 25 % 1 for i in range(100)],
        [-i / 25 for i in range(100)],
        [1e6 + i / 25 for i in range(100)],
        [i * 1e-6 for i in range(100)],
        [0, 0.04, 500, 500.04, 500.08, 0.0, 0.04, 1e9, 1e9 + 0.04],
    ],
    ids=["all the same", "a loop", "backwards", "late", "tiny steps", "jumps"],
)
def test_odd_time_stamps(stamps: list[float]) -> None:
    """Whatever they are, a person who sits still is one person."""
    world = World({1: still(160, 90)})
    follower = Tracker(world)
    for t in stamps:
        assert [number for number, _ in follower.see(t, world.frame(0))] == [1]
    assert follower.searches <= len(stamps)


def test_repeated_time_stamps_do_not_stop_the_search() -> None:
    world = World({1: still(160, 90)}, hidden=lambda person, t: t < 1)
    follower = Tracker(world)
    numbers = [len(follower.see(0.0, world.frame(t))) for t in times(3)]
    assert numbers[-1] == 1


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1), (3, 7), (1080, 1920)])
def test_frames_of_any_size(size: tuple[int, int]) -> None:
    world = World({1: still(size[1] / 2, size[0] / 2, max(min(size) / 4, 1))}, size=size)
    assert persons(world, times(0.12)) == {1: {1: 3}}


def test_an_8k_frame() -> None:
    world = World({1: still(4000, 2000, 400)})
    follower = Tracker(world)
    frame = np.zeros((4320, 7680, 3), np.uint8)
    assert [len(follower.see(t, frame)) for t in times(0.2)] == [1] * 5


def test_frames_that_change_size_all_the_time() -> None:
    sizes = [(1, 1), (180, 320), (320, 180), (2, 900), (90, 160)]
    world = World({1: still(10, 10, 12)}, size=lambda t: sizes[round(t * FPS) % len(sizes)])
    follower = Tracker(world)
    persons(world, times(2), follower)
    assert follower.scene_cuts == 49


def test_frames_that_are_not_contiguous() -> None:
    world = World({1: still(160, 90)})
    follower = Tracker(world)
    for t in times(1):
        frame = np.asfortranarray(world.frame(t))[::-1]
        assert len(follower.see(t, frame)) == 1


def test_a_finder_of_odd_faces() -> None:
    """Boxes without extent and far outside the frame are followed, none as another one."""
    boxes = [(0.0, 0.0, 0.0, 0.0), (1e6, 1e6, 5.0, 5.0), (-1e6, 0.0, 1e-9, 1e9)]

    class Odd(World):
        def find(self, picture: object) -> tuple[FoundFace, ...]:
            points = ((0.0, 0.0),) * 5
            return tuple(FoundFace(box, 0.7, points) for box in boxes)

    tracker, owners = Tracker(Odd({})), {}
    for t in times(2, fps=2):  # every frame is searched wholly
        found = tracker.see(t, photo(20, 20))
        assert sorted(face.box for _, face in found) == sorted(boxes)
        for number, face in found:
            assert owners.setdefault(number, face.box) == face.box
    assert tracker.searches == 4 and len(tracker._tracks.tracks) <= 32
