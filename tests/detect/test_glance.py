"""Faces that are taken over while they hardly change: when they are looked at again, and who sees
that."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from support.detectors import small_detector, small_pair
from support.worlds import World

from minimeso import Detector
from minimeso.detect import analyzer as analyzer_module
from minimeso.detect.analyzer import Analyzer
from minimeso.detect.glance import LONGEST, MOST_CHANGE, Glance, may_wait
from minimeso.detect.rule import Rule
from minimeso.detect.track import MOST_FOLLOWED
from minimeso.detect.tracker import Tracker
from minimeso.media.partial import ConversionError
from minimeso.notes import Note

FPS = 25.0
#: So often a second is looked at a still face: what is that old is looked at again.
STILL = 5


class Watched(World):
    """A world that writes down the frames in which it was asked, near a face or wholly."""

    def look(self, t: float) -> bool:
        """Whether the finder is asked at ``t``, after the frames before."""
        before = self.finds + self.nears
        self.tracker = getattr(self, "tracker", None) or Tracker(self)
        self.found = self.tracker.see(t, self.frame(t))
        return self.finds + self.nears > before


def looked(world: Watched, seconds: float, fps: float = FPS) -> list[int]:
    """Frames in which something was looked for."""
    return [n for n in range(round(seconds * fps)) if world.look(n / fps)]


# --- the measure -------------------------------------------------------------------------


def test_a_glance_sees_the_cell_that_changed_most() -> None:
    pixels = np.full((90, 160, 3), 100, np.uint8)
    glance = Glance(pixels, (40, 20, 64, 64))
    assert glance.change(pixels) == 0
    pixels[30:34, 50:54] = 200  # a quarter of a cell of 8 x 8 pixels
    assert glance.change(pixels) == 25
    pixels[:20], pixels[84:] = 0, 0
    assert glance.change(pixels) == 25, "nothing but the box counts"
    assert glance.change(255 - pixels) > 25
    assert glance.change(pixels[:-1]) == math.inf


@pytest.mark.parametrize("box", [(-50, -50, 20, 20), (0, 0, 0, 0), (150, 80, 400, 9), (3, 3, 1, 1)])
@pytest.mark.parametrize("size", [(90, 160), (1, 1), (2, 500)])
def test_boxes_anywhere(box: Any, size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    assert Glance(pixels, box).change(pixels) == 0


def test_the_sooner_the_more_it_changes() -> None:
    assert may_wait(0.04, MOST_CHANGE / 0.04) and not may_wait(0.04, MOST_CHANGE / 0.04 + 1)
    assert may_wait(0.16, MOST_CHANGE / 0.17) and not may_wait(0.16, MOST_CHANGE / 0.15)
    assert may_wait(LONGEST - 0.001, 0) and not may_wait(LONGEST, 0)
    assert not may_wait(0.04, math.inf)


# --- who is looked at when ---------------------------------------------------------------


@pytest.mark.parametrize("fps", [25, 30, 50])
def test_a_still_face_is_looked_at_five_times_a_second(fps: float) -> None:
    world = Watched({1: lambda t: (160, 90, 40)})
    places = looked(world, 4, fps)
    assert places == list(range(0, round(4 * fps), round(fps / STILL)))
    assert [number for number, _ in world.found] == [1]


@pytest.mark.parametrize("fps", [1, 3, 4, 5])
def test_rare_frames_are_all_looked_at(fps: float) -> None:
    """Above all those of the usual sampling."""
    world = Watched({1: lambda t: (160, 90, 40)})
    assert looked(world, 8, fps) == list(range(round(8 * fps)))


def test_a_face_that_starts_to_move_is_looked_for_at_once() -> None:
    world = Watched({1: lambda t: (160 + max(0.0, 300 * (t - 1.1)), 90, 40)})
    for number in range(round(1.5 * FPS)):
        t = number / FPS
        asked = world.look(t)
        ((_, face),) = world.found
        if t > 1.1:  # 12 pixels a frame
            assert asked and face.box[0] == pytest.approx(140 + 300 * (t - 1.1))


def test_what_moves_slowly_is_followed() -> None:
    """Changes are seen against the last look, so that slow ones add up."""
    world = Watched({1: lambda t: (100 + 15 * t, 90, 40)})
    away = []
    for number in range(round(8 * FPS)):
        world.look(number / FPS)
        ((person, face),) = world.found
        away.append(abs(face.box[0] - (80 + 15 * number / FPS)))
        assert person == 1
    assert max(away) <= 15 * LONGEST and world.nears < 8 * FPS * 0.8


def test_a_swap_in_a_still_scene_is_looked_at_in_its_first_frame() -> None:
    world = Watched(
        {
            1: lambda t: (160, 90, 40) if t < 1.1 else None,
            2: lambda t: (160, 90, 40) if t >= 1.1 else None,
        }
    )
    first = math.ceil(1.1 * FPS)
    assert first in looked(world, 2) and first % (FPS / STILL), "not because it was due"


def test_a_cut_between_frames_that_look_alike_in_the_place_of_the_face() -> None:
    """The same face before another backdrop: the scene is new, and so is the search."""
    world = Watched({1: lambda t: (160, 90, 40)}, backdrop=lambda t: 1000 if t < 1.1 else 2000)
    finds = []
    for number in range(50):
        world.look(number / FPS)
        finds.append(world.finds)
    first = math.ceil(1.1 * FPS)
    assert finds[first] == finds[first - 1] + 1 and world.tracker.scene_cuts == 1


def test_flashing_lights_hide_nothing() -> None:
    world = Watched({1: lambda t: (160, 90, 40)}, light=lambda t: 1 - round(FPS * t) % 2 / 2)
    assert looked(world, 2) == list(range(50))
    assert world.tracker.scene_cuts == 0


def test_frames_that_come_twice_cost_half() -> None:
    """25 pictures a second in a clip of 50."""
    world = Watched({1: lambda t: (60 + 40 * int(25 * t + 1e-6) / 25 * 4, 90, 40)})
    assert len(looked(world, 1, 50)) <= 26


def test_one_who_moves_does_not_wake_another() -> None:
    world = Watched({1: lambda t: (60, 90, 40), 2: lambda t: (200 + 60 * math.sin(9 * t), 90, 40)})
    looked(world, 4)
    assert 4 * FPS * 0.8 < world.nears < 4 * FPS + 4 * STILL + 4


def test_a_lost_face_is_not_held() -> None:
    """It is there no longer, though its place looks as before."""
    world = Watched({1: lambda t: (160, 90, 40)}, hidden=lambda person, t: t > 1.1)
    numbers = []
    for number in range(50):
        world.look(number / FPS)
        numbers.append(len(world.found))
    assert numbers[:28] == [1] * 28 and not any(numbers[28 + round(LONGEST * FPS) :])


# --- what is said of it ------------------------------------------------------------------


def analyzer_of(detector: Detector, world: Any) -> Analyzer:
    return Analyzer(detector.networks, Rule(detector.model.thresholds or {}), world)


def swap() -> World:
    return World(
        {
            1: lambda t: (160, 90, 110) if t < 1.1 else None,
            2: lambda t: (160, 90, 110) if t >= 1.1 else None,
        }
    )


@pytest.mark.parametrize("model", [small_pair, lambda: small_detector("one", 1)])
def test_the_score_is_that_of_the_last_look(model: Callable[[], Any]) -> None:
    """Until the face is another one: from that frame on it has the score of the other one."""
    detector, world = Detector(model(), threads=1), swap()
    analyzer = analyzer_of(detector, world)
    seen = []
    for number in range(50):
        frame = analyzer.crop_faces(number / FPS, world.frame(number / FPS))
        seen.append((frame.held, analyzer.judge([frame])[0].faces[0]))
    first = math.ceil(1.1 * FPS)
    held = [number for number, (held, _) in enumerate(seen) if held == (True,)]
    assert len(held) > 35 and first not in held
    assert all(seen[number][1].crop is seen[number - 1][1].crop for number in held)
    persons = analyzer.findings.persons.values()
    scores = [score for moments in persons for score in moments._scores]  # of the fast network
    assert all(scores[number] == scores[number - 1] for number in held)
    assert scores[first] != scores[first - 1] and len(set(scores)) == 2
    assert analyzer.findings.frames_scored == 50


def test_the_networks_rest_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    detector, world = Detector(small_pair(), threads=1), World({1: lambda t: (160, 90, 110)})
    counts: dict[str, int] = {}

    def counted(name: str) -> None:
        function = getattr(analyzer_module, name)

        def call(*arguments: Any, **options: Any) -> Any:
            counts[name] = counts.get(name, 0) + 1
            return function(*arguments, **options)

        monkeypatch.setattr(analyzer_module, name, call)

    for name in ("fault", "goodness", "cut"):
        counted(name)
    ran: list[int] = []
    monkeypatch.setattr(
        analyzer_module, "p_fakes", lambda session, crops: ran.extend(crops) or [0.5] * len(crops)
    )
    analyzer = analyzer_of(detector, world)
    for number in range(100):
        analyzer.judge([analyzer.crop_faces(number / FPS, world.frame(number / FPS))])
    assert counts == {"fault": 20, "goodness": 20, "cut": 20} and world.nears == 19
    assert len(analyzer.findings.persons[1]) == 100


@pytest.mark.parametrize("together", [2, 7, 50])
def test_nothing_depends_on_batches(together: int) -> None:
    detector = Detector(small_pair(), threads=1)
    results = []
    for few in (1, together):
        world = swap()
        analyzer = analyzer_of(detector, world)
        frames = [analyzer.crop_faces(n / FPS, world.frame(n / FPS)) for n in range(50)]
        for start in range(0, 50, few):
            analyzer.judge(frames[start : start + few])
        analyzer.finish()
        results.append([list(moments) for moments in analyzer.findings.persons.values()])
    assert results[0] == results[1]


def test_a_frame_that_cannot_be_converted_is_not_taken_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its faces were found and never cut, so the next frame's are."""
    detector, world = Detector(small_pair(), threads=1), World({1: lambda t: (160, 90, 110)})
    analyzer = analyzer_of(detector, world)

    def fail(*_: object, **__: object) -> None:
        raise ConversionError("broken")

    with monkeypatch.context() as patched:
        patched.setattr(analyzer_module, "fault", fail)
        assert analyzer.cropped(0.0, world.frame(0.0)) is None
    frame = analyzer.crop_faces(0.04, world.frame(0.04))
    assert frame.held == (False,) and len(frame.crops) == 1
    assert analyzer.judge([frame])[0].faces[0].p_fake is not None


def test_faces_of_a_crowd_that_nobody_follows_are_counted() -> None:
    """Silently left alone, one of them may be the fake in a clip without a trace."""
    detector = Detector(small_pair(), threads=1)
    places = {n: (70 + 130 * (n % 8), 70 + 130 * (n // 8), 110) for n in range(40)}
    people = {n: (lambda t, place=place: place) for n, place in places.items()}
    world = World(people, size=(680, 1080))
    analyzer = analyzer_of(detector, world)
    for number in range(4):
        seen = analyzer.judge([analyzer.crop_faces(number / 2, world.frame(number / 2))])[0]
        assert [face.reason for face in seen.faces].count("too_many") == 8
        assert all(face.track == 0 for face in seen.faces if face.reason == "too_many")
        assert sum(face.track == 0 for face in analyzer.live(seen)) == 8
    findings = analyzer.findings
    assert findings.faces_found == 4 * 40 and findings.left_out == {"too_many": 4 * 8}
    told = str(Note("left_out", findings.left_out))
    assert told == f"left out: 32 too many (more than {MOST_FOLLOWED} at once)"


def test_a_face_that_cannot_be_judged_is_taken_over_as_such() -> None:
    detector, world = Detector(small_pair(), threads=1), World({1: lambda t: (160, 90, 12)})
    analyzer = analyzer_of(detector, world)
    for number in range(25):
        analyzer.judge([analyzer.crop_faces(number / FPS, world.frame(number / FPS))])
    assert analyzer.findings.left_out == {"too_small": 25} and not analyzer.findings.persons
