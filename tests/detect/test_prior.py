"""The prior: of one face, of one among many, and what several faces say of a file together."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.detectors import constant_detector, photo

from minimeso import Detector, InputError
from minimeso.detect.prior import checked_prior, shift, shifted, some_fake

PHOTO = photo()
PRIORS = st.floats(0, 1, exclude_min=True, exclude_max=True)
SCORES = st.floats(0, 1)


@given(st.floats(0.001, 0.999), st.floats(0.001, 0.999))
def test_bayes_rule(p: float, prior: float) -> None:
    """p / (1 - p) is the likelihood ratio where half are fakes."""
    expected = p * prior / (p * prior + (1 - p) * (1 - prior))
    assert shifted(p, shift(prior)) == pytest.approx(expected)
    assert shifted(p, shift(0.5)) == p


@given(PRIORS, st.integers(1, 10_000))
def test_who_knows_nothing_of_many_faces_is_left_with_the_prior(prior: float, count: int) -> None:
    each = shifted(0.5, shift(prior, count))
    together, _ = some_fake([each] * count, [(each, each)] * count)
    assert together == pytest.approx(prior, rel=1e-6, abs=1e-300)


@given(SCORES, PRIORS.filter(lambda prior: prior > 1e-300), st.integers(1, 1000))
def test_any_prior_gives_a_number_that_grows_with_it(p: float, prior: float, count: int) -> None:
    found = shifted(p, shift(prior, count))
    assert 0 <= found <= 1
    assert shifted(p, shift(prior / 2, count)) <= found + 1e-3  # certainty is cut where it is moved
    assert shifted(p, shift(prior, count + 1)) <= found + 1e-3


@given(st.lists(st.tuples(SCORES, SCORES, SCORES), min_size=1, max_size=50))
def test_some_fake_is_ordered_and_no_less_than_any_face(faces: list[Any]) -> None:
    ordered = [sorted(face) for face in faces]
    p, (low, high) = some_fake([f[1] for f in ordered], [(f[0], f[2]) for f in ordered])
    assert 0 <= low <= p <= high <= 1
    for least, middle, most in ordered:
        assert low >= least and p >= middle and high >= most
    expected = 1 - math.prod(1 - f[1] for f in ordered)
    assert p == pytest.approx(expected, abs=1e-9)
    least, middle, most = ordered[0]
    p, (low, high) = some_fake([middle], [(least, most)])
    assert (low, p, high) == pytest.approx((least, middle, most), abs=1e-9)


def test_tiny_probabilities_add_up() -> None:
    """1 - (1 - 1e-18) is nothing; 1,000 of them are 1e-15."""
    p, (low, high) = some_fake([1e-18] * 1000, [(0.0, 2e-18)] * 1000)
    assert p == pytest.approx(1e-15, rel=1e-9)
    assert low < p < high < 1.1e-15  # they do not all err to one side


@pytest.mark.parametrize(
    "prior",
    [
        0, 1, -0.1, 1.5, math.nan, math.inf, "0.5", None, True, [0.5], 10**400,
        Fraction(1, 10**400), 1 - Fraction(1, 10**30),
    ],
)  # fmt: skip
def test_what_is_no_prior(prior: Any) -> None:
    with pytest.raises(InputError, match=r"prior .*above 0 and below 1"):
        checked_prior(prior)
    with pytest.raises(InputError, match="prior"):
        Detector(constant_detector(0.0), crops=True, prior=prior)


def test_a_detector_with_a_prior() -> None:
    """One in twenty: three more of log odds are needed; it is told in the verdict."""
    plain, rare = (
        Detector(constant_detector(3.2), crops=True, prior=prior).check(PHOTO)
        for prior in (0.5, 0.05)
    )
    assert (plain.verdict, plain.prior) == ("fake", 0.5)
    assert (rare.verdict, rare.prior) == ("uncertain", 0.05)
    assert rare.p_fake == pytest.approx(1 / (1 + math.exp(math.log(19) - 3.2)), abs=1e-6)
    assert rare.faces[0].p_fake == rare.tracks[0].frames[0].p_fake == rare.p_fake
    assert rare.to_json()["prior"] == 0.05


def test_a_stream_knows_the_prior_of_a_person_alone() -> None:
    detector = Detector(constant_detector(3.2), crops=True, prior=0.05)
    expected = detector.check(PHOTO).p_fake
    for seen in detector.stream([PHOTO] * 3):
        assert seen.p_fake == pytest.approx(expected)
        assert seen.person_p_fake == pytest.approx(expected)
        assert seen.interval is not None and seen.interval[0] < 0.5 < seen.interval[1]
