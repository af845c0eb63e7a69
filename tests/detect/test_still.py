"""Photographs that a clip shows for a while: one look, however many frames."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from support.detectors import constant_detector, photo

from minimeso import Detector
from minimeso.detect.box import Box
from minimeso.detect.moments import Moments
from minimeso.detect.rule import Rule
from minimeso.detect.still import Stills
from minimeso.detect.verdict import Moment

PICTURE = photo()
RULE = Rule({"real": 0.2, "fake": 0.8})
BOX = Box(0, 0, 200, 200)
WHOLE = Box(0, 0, PICTURE.shape[1], PICTURE.shape[0])


def rising(number: int) -> Any:
    """The picture once more, a little further to the left each time."""
    return np.roll(PICTURE, -4 * number, axis=1)


def noisy(number: int) -> Any:
    noise = np.random.default_rng(number).normal(0, 3, PICTURE.shape)
    return np.clip(PICTURE + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("frame", [lambda number: PICTURE, noisy])
def test_frames_of_a_photograph_are_one_look(frame: Callable[[int], Any]) -> None:
    """A press photo that was uncertain as a picture was fake as a clip of ten seconds."""
    stills = Stills()
    moved = [stills.has_moved(1, frame(number), WHOLE) for number in range(20)]
    assert moved == [True] + 19 * [False]
    assert all(Stills().has_moved(1, rising(n), WHOLE) for n in range(3))


def test_who_moves_is_new_each_time_and_who_comes_is_new() -> None:
    stills, box = Stills(), WHOLE
    assert all(stills.has_moved(1, rising(number), box) for number in range(10))
    assert not stills.has_moved(1, rising(9), box) and stills.has_moved(2, rising(9), box)
    smaller = PICTURE[: PICTURE.shape[0] // 2]
    assert [stills.has_moved(2, smaller, box) for _ in range(2)] == [False, False]


def test_slow_changes_add_up() -> None:
    stills, box = Stills(), WHOLE
    fading = [(PICTURE * (1 - number / 100)).astype(np.uint8) for number in range(60)]
    assert 3 < sum(stills.has_moved(1, frame, box) for frame in fading) < 30


def test_a_crowd_of_strangers_keeps_little() -> None:
    stills = Stills()
    for person in range(500):
        stills.has_moved(person, PICTURE, WHOLE)
    assert len(stills._last) <= 64


def track(moved: list[bool], p_fake: float = 0.9) -> Any:
    moments = Moments()
    for number, new in enumerate(moved):
        moments.append(number / 4, BOX, p_fake - 0.001 * (number % 3), new)
    return RULE.person(1, list(moments), whole=True)


def test_a_still_clip_is_as_uncertain_as_its_picture() -> None:
    moving, still = track([True] * 40), track([True] + [False] * 39)
    picture = RULE.person(1, [Moment(0.0, BOX, 0.9)], followed=False)
    assert moving.verdict == "fake" and moving.interval[0] > 0.6
    assert still.interval == pytest.approx(picture.interval, abs=0.02)
    assert (still.verdict, picture.verdict) == ("uncertain", "uncertain")
    assert [note.code for note in still.doubts] == ["interval_across_half", "still"]
    sure = track([True] + [False] * 39, 0.97)
    (segment,) = sure.segments
    assert segment.interval == pytest.approx(sure.interval, abs=0.01)


def test_ten_photographs_are_ten_looks() -> None:
    one, ten = track([True] + [False] * 39), track([n % 4 == 0 for n in range(40)])
    assert ten.interval[0] > one.interval[0] + 0.1


def test_a_photograph_does_not_look_fake_for_a_while() -> None:
    """It is the one of before, cut a little otherwise."""
    for new, found in ((False, 0), (True, 1)):
        moments = Moments()
        for number in range(40):
            fake = 20 <= number < 28
            is_new = number == 0 or (new and number in (20, 28))
            moments.append(number / 4, BOX, 0.99 if fake else 0.05, is_new)
        assert len(RULE.person(1, list(moments), whole=True).segments) == found


@pytest.mark.parametrize("frame", [lambda number: PICTURE, rising])
def test_a_clip_of_a_photograph(frame: Callable[[int], Any]) -> None:
    """Through the whole detector."""
    detector = Detector(constant_detector(2.5), crops=True)
    *_, last = detector.stream((frame(number) for number in range(100)), rate=25)
    assert last.interval is not None
    assert (last.interval[0] > 0.7, last.verdict) == (frame is rising, "fake")
