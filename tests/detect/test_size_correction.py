"""Small faces: the correction by size, and what model files say of it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.detectors import constant_detector

from minimeso import Detector
from minimeso.detect.size_correction import SmallFaces, small_faces
from minimeso.errors import ModelError


@given(st.floats(0, 1), st.floats(0, 1000), st.floats(0, 500), st.floats(0, 50))
def test_it_only_lowers_and_keeps_the_order(p: float, side: float, below: float, by: float) -> None:
    small = SmallFaces(below, by)
    found = small.corrected(p, side)
    assert 0 <= found <= p + 1e-12 and (side < below or found == p)
    assert small.corrected(p / 2, side) <= found
    assert small.corrected(p, 2 * side) >= found or math.isclose(found, p)


def test_by_how_much() -> None:
    small = SmallFaces(100, 2.0)
    assert small.corrected(0.5, 50) == pytest.approx(1 / (1 + math.exp(2 * math.log(2) ** 2)))
    assert small.corrected(0.5, 100) == small.corrected(0.5, math.inf) == 0.5
    assert small.corrected(1.0, 50) == 1.0 and small.corrected(0.0, 50) == 0.0


@given(st.floats(0.01, 0.99), st.floats(0, 200))
def test_what_is_added_is_what_is_taken_away(p: float, side: float) -> None:
    small = SmallFaces(107, 1.5)
    found = small.corrected(p, side)
    if small.added(side) < 30:  # beyond, p_fake is 0 to all its digits
        logits = (math.log(x / (1 - x)) for x in (p, found))
        assert next(logits) - next(logits) == pytest.approx(small.added(side), abs=1e-6)


def test_a_detector_corrects_by_the_size_of_the_face() -> None:
    calibration = {"spread": 0.1, "small_faces": {"below": 100, "shift": 4.0}}
    plain, small = (
        Detector(constant_detector(1.0, calibration=given), crops=True)
        for given in ({"spread": 0.1}, calibration)
    )
    for side, lower in ((200, False), (100, False), (99, True), (60, True)):
        picture = np.full((side, side + 20, 3), 99, np.uint8)
        before, after = plain.check(picture).p_fake, small.check(picture).p_fake
        assert before is not None and after is not None
        assert (after < before) == lower
    assert (plain.check(picture).verdict, small.check(picture).verdict) == ("fake", "uncertain")


@pytest.mark.parametrize(
    "said",
    [1, "x", [], {"below": 1}, {"below": "a", "shift": 1}, {"below": 100, "shift": -1},
     {"below": math.inf, "shift": 1}, {"below": 100, "shift": math.nan},
     {"below": 10**400, "shift": 1}, {"below": None, "shift": None}],
)  # fmt: skip
def test_what_is_no_correction(said: Any) -> None:
    model = constant_detector(0.0, calibration={"small_faces": said})
    with pytest.raises(ModelError, match="constant: calibration has small_faces"):
        small_faces(model.calibration, model.name)
    with pytest.raises(ModelError, match="small_faces"):
        Detector(model, crops=True).check(np.zeros((80, 80, 3), np.uint8))
