"""What an uncertain verdict may come from, and what a model says of itself on other sources."""

from __future__ import annotations

from typing import Any

import pytest
from support.detectors import constant_detector

from minimeso import Detector
from minimeso.detect.box import Box
from minimeso.detect.causes import SMALL, causes
from minimeso.detect.measured import measured_elsewhere
from minimeso.detect.verdict import Moment

THRESHOLDS = {"real": 0.2, "fake": 0.8}


def found(scores: list[float], effective: float = 99.0, side: int = 200) -> list[str]:
    """The codes for frames with these scores."""
    frames = [Moment(t / 4, Box(0, 0, side - 9, side), p) for t, p in enumerate(scores)]
    return [note.code for note in causes(frames, effective, THRESHOLDS)]


def test_nothing_to_see() -> None:
    assert found([0.5] * 40) == [] == found([0.9] * 40)


def test_few_frames_are_few_independent_ones() -> None:
    assert found([0.5] * 40, effective=3.9) == ["few_frames"] == found([0.5], effective=1.0)
    assert found([0.5] * 40, effective=4.0) == []


def test_a_still_is_told_instead_of_few_frames() -> None:
    frames = [Moment(t / 4, Box(0, 0, 191, 200), 0.5) for t in range(8)]
    for effective, views, code in [
        (1.0, 1, "still"), (2.0, 2, "still"), (1.9, 2, "few_frames"), (8.0, 8, None), (5.0, 5, None)
    ]:  # fmt: skip
        found = [note.code for note in causes(frames, effective, THRESHOLDS, views)]
        assert found == ([code] if code else []), (effective, views)
    assert [n.code for n in causes(frames[:1], 1.0, THRESHOLDS, 1)] == ["few_frames"]


@pytest.mark.parametrize(
    ("fake", "real", "disagree"), [(4, 4, True), (3, 20, False), (1, 0, False)]
)
def test_frames_disagree_where_a_tenth_stands_on_either_side(
    fake: int, real: int, disagree: bool
) -> None:
    scores = [0.8] * fake + [0.2] * real + [0.5] * (40 - fake - real)
    assert (found(scores) == ["frames_disagree"]) == disagree


def test_two_frames_can_disagree() -> None:
    assert found([0.9, 0.1]) == ["frames_disagree"]


def test_a_small_face() -> None:
    assert found([0.5] * 9, side=SMALL - 1) == ["small_face"]
    assert found([0.5] * 9, side=SMALL) == []


GOOD = {"trained_on": "A", "tested_on": "B", "auc": 0.74}


def test_figures_of_other_sources() -> None:
    (one,) = measured_elsewhere({"out_of_source": {**GOOD, "right_of_decided": 0.83}})
    assert one.values == {**GOOD, "right_of_decided": 0.83}
    first, second = measured_elsewhere({"out_of_source": [GOOD, {**GOOD, "auc": 0}]})
    assert first.values["right_of_decided"] is None and second.values["auc"] == 0
    detector = Detector(constant_detector(0.0, meta={"out_of_source": GOOD}), crops=True)
    assert detector.measured == (first,)
    assert measured_elsewhere(None) == () == measured_elsewhere({})
    assert len(measured_elsewhere({"out_of_source": [GOOD] * 1000})) == 8


@pytest.mark.parametrize(
    "said",
    [1, "x", [], [[]], {}, {**GOOD, "auc": 1.1}, {**GOOD, "auc": True}, {**GOOD, "auc": "0.7"},
     {**GOOD, "trained_on": ""}, {**GOOD, "tested_on": "x" * 101}, {**GOOD, "tested_on": 3},
     {**GOOD, "right_of_decided": -0.1}, {**GOOD, "right_of_decided": [1]}],
)  # fmt: skip
def test_what_is_no_figure_is_not_told(said: Any) -> None:
    assert measured_elsewhere({"out_of_source": said}) == ()
