"""Statistics of a track: coverage of the interval, odd scores, words, what is too short."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import lfilter
from scipy.special import expit, logit, stdtrit

from minimeso.detect.track_score import (
    MOST_LOGIT,
    SPREAD,
    effective_frames,
    judge_track,
    logits,
    student_quantile,
    summarize,
    suspicion,
    too_short,
)

THRESHOLDS = {"real": 0.2, "fake": 0.8}
STEP = 0.04


def remembering(seconds: float, step: float, shape: tuple[int, int], seed: int) -> np.ndarray:
    """Rows of an AR(1) process of variance 1 that is forgotten to 1 / e in so many seconds."""
    rho = math.exp(-step / seconds) if seconds else 0.0
    rng = np.random.default_rng(seed)
    shocks = rng.normal(0, math.sqrt(1 - rho * rho), shape)
    shocks[:, 0] = rng.normal(0, 1, shape[0])
    return np.asarray(lfilter([1], [1, -rho], shocks, axis=1))


def coverage(noise: np.ndarray, step: float, mean: float) -> float:
    """In how many rows the interval holds the true mean."""
    times = step * np.arange(noise.shape[1])
    held = 0
    for row in noise:
        low, high = summarize(times, expit(mean + row)).interval
        held += low <= expit(mean) <= high
    return held / len(noise)


# --- the interval ------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [0.1, 0.3, 0.6, 1.0])
@pytest.mark.parametrize("spread", [0.5 * SPREAD, SPREAD])
def test_long_tracks_are_covered_as_promised(seconds: float, spread: float) -> None:
    """60 seconds of every frame, however correlated: 90 to 99 % (95 within the noise of 300)."""
    noise = spread * remembering(seconds, STEP, (300, 1500), seed=1)
    assert 0.90 <= coverage(noise, STEP, -0.7) <= 0.99


@pytest.mark.parametrize("seconds", [0.0, 0.3, 1.0])
@pytest.mark.parametrize(("count", "step"), [(1, STEP), (3, STEP), (100, STEP), (40, 0.25)])
def test_short_tracks_are_covered(seconds: float, count: int, step: float) -> None:
    """What a short track cannot show is taken from the prior, which errs to the wide side."""
    noise = SPREAD * remembering(seconds, step, (300, count), seed=2)
    assert coverage(noise, step, 1.0) >= 0.90


def test_one_frame_has_a_wide_finite_interval() -> None:
    result = summarize([3.0], [0.7])
    assert result.p_fake == pytest.approx(0.7) and result.effective == 1
    low, high = logit(result.interval)
    half = 2.776 * SPREAD  # Student's t of 4 degrees of freedom
    assert (low, high) == pytest.approx((logit(0.7) - half, logit(0.7) + half), abs=1e-3)


def test_the_rate_hardly_matters() -> None:
    """Ten times the frames of the same seconds are not ten times the evidence."""
    x = 0.5 * remembering(0.5, STEP, (1, 1500), seed=3)[0]
    times = STEP * np.arange(len(x))
    all_frames, some = summarize(times, expit(x)), summarize(times[::10], expit(x[::10]))
    assert all_frames.p_fake == pytest.approx(some.p_fake, abs=0.02)
    assert np.diff(all_frames.interval) == pytest.approx(np.diff(some.interval), rel=0.25)


def test_more_seconds_narrow_the_interval() -> None:
    x = 0.5 * remembering(0.3, STEP, (1, 20_000), seed=4)[0]
    widths = []
    for count in (5, 50, 500, 5000, 20_000):
        low, high = summarize(STEP * np.arange(count), expit(x[:count])).interval
        widths.append(high - low)
    assert widths == sorted(widths, reverse=True)


def test_effective_frames_of_known_processes() -> None:
    white = np.random.default_rng(5).normal(size=20_000)
    assert effective_frames(white, STEP) == pytest.approx(20_000, rel=0.1)
    slow = remembering(1.0, STEP, (1, 50_000), seed=6)[0]
    rho = math.exp(-STEP)
    assert effective_frames(slow, STEP) == pytest.approx(50_000 * (1 - rho) / (1 + rho), rel=0.2)


def test_a_straight_line_is_worth_little() -> None:
    """A drift over the whole clip shows no independent frames."""
    assert effective_frames(np.linspace(-1, 1, 1000), STEP) < 20


# --- odd scores --------------------------------------------------------------------------


def test_certainty_is_one_vote() -> None:
    """A single 0 among frames of 0.9 does not decide; all 0 or all 1 stay numbers."""
    assert summarize([0, 1, 2, 3, 4], [0.0, 0.9, 0.9, 0.9, 0.9]).p_fake > 0.4
    assert np.abs(logits([0.0, 1.0])).tolist() == pytest.approx([MOST_LOGIT, MOST_LOGIT])
    for p in (0.0, 1.0):
        result = summarize(range(100), [p] * 100)
        assert result.p_fake == pytest.approx(p, abs=1e-3)
        assert result.interval[0] <= result.p_fake <= result.interval[1]


@given(
    st.lists(
        st.tuples(st.floats(-10, 10), st.one_of(st.floats(0, 1), st.sampled_from([0.0, 1.0]))),
        min_size=1,
        max_size=40,
    )
)
def test_any_track_has_an_ordered_interval(frames: list[tuple[float, float]]) -> None:
    """Whatever the scores and the time stamps, which may repeat or go back."""
    times, scores = [t for t, _ in frames], [p for _, p in frames]
    result = summarize(times, scores)
    assert 0 <= result.interval[0] <= result.p_fake <= result.interval[1] <= 1
    assert 1 <= result.effective <= len(frames)


def test_a_long_clip() -> None:
    """Half an hour of every frame."""
    p = expit(np.random.default_rng(7).normal(1, 0.5, 54_000))
    low, high = summarize(np.arange(54_000) / 30, p).interval
    assert high - low < 0.01 and low < expit(1) < high


def test_no_frames_are_no_track() -> None:
    with pytest.raises(ValueError, match="0 times and 0 probabilities"):
        summarize([], [])
    with pytest.raises(ValueError, match="1 times and 2 probabilities"):
        summarize([0.0], [0.5, 0.5])


# --- words -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("p_fake", "interval", "word"),
    [
        (0.9, (0.6, 0.97), "fake"),
        (0.8, (0.5, 0.9), "fake"),
        (0.9, (0.49, 0.99), "uncertain"),
        (0.79, (0.7, 0.85), "uncertain"),
        (0.1, (0.02, 0.4), "real"),
        (0.2, (0.1, 0.5), "real"),
        (0.1, (0.01, 0.51), "uncertain"),
        (0.21, (0.15, 0.3), "uncertain"),
    ],
)
def test_judge_track(p_fake: float, interval: tuple[float, float], word: str) -> None:
    found, doubts = judge_track(p_fake, interval, THRESHOLDS, 1.5)
    assert found == word and bool(doubts) == (word == "uncertain")
    short, doubts = judge_track(p_fake, interval, THRESHOLDS, 1.4)
    assert short == ("uncertain" if word == "fake" else word) and (short != "uncertain" or doubts)


@pytest.mark.parametrize(
    ("p_fake", "interval", "seconds", "codes"),
    [
        (0.9, (0.49, 0.99), 1.4, ["interval_across_half", "too_short_for_fake"]),
        (0.9, (0.49, 0.99), 1.5, ["interval_across_half"]),
        (0.9, (0.5, 0.99), 1.4, ["too_short_for_fake"]),
        (0.1, (0.01, 0.51), 1.4, ["interval_across_half"]),
        (0.5, (0.01, 0.99), 1.4, ["between_thresholds"]),
    ],
)
def test_all_doubts_are_named_the_heaviest_first(
    p_fake: float, interval: tuple[float, float], seconds: float, codes: list[str]
) -> None:
    _, doubts = judge_track(p_fake, interval, THRESHOLDS, seconds)
    assert [doubt.code for doubt in doubts] == codes


def test_the_most_fake_track_comes_first() -> None:
    """By word before p_fake: a clear 0.85 weighs more than an unclear 0.9."""
    tracks = [("real", 0.1), ("uncertain", 0.9), ("fake", 0.85), ("uncertain", 0.5), ("fake", 0.95)]
    ranked = sorted(tracks, key=lambda track: suspicion(*track), reverse=True)  # type: ignore[arg-type]
    assert [p for _, p in ranked] == [0.95, 0.85, 0.9, 0.5, 0.1]


# --- too short ---------------------------------------------------------------------------


def every(step: float, count: int) -> list[float]:
    return [step * i for i in range(count)]


def test_short_tracks_beside_a_person_are_left_out() -> None:
    times = {1: every(0.25, 40), 2: [1.0, 1.25], 3: every(0.04, 10), 4: every(0.04, 12), 5: []}
    assert too_short(times, duration=10) == {2, 3, 5}


def test_times_that_go_back_make_no_track_short() -> None:
    """As in a clip that was joined of two."""
    assert too_short({1: [*every(0.04, 50), *every(0.04, 5)]}, duration=2) == set()
    assert too_short({1: every(0.04, 50), 2: every(0.04, 50)[::-1]}, duration=2) == set()


def test_where_nothing_else_was_found_the_short_ones_stay() -> None:
    assert too_short({4: [1.0], 7: [2.0, 2.04]}, duration=10) == set()
    assert too_short({}, duration=10) == set()


def test_in_a_short_clip_short_tracks_are_persons() -> None:
    """A clip of 0.2 s: the length of a track does not count, the number of frames does."""
    assert too_short({1: every(0.04, 6), 2: [0.0]}, duration=0.2) == {2}
    assert too_short({1: [0.0], 2: [0.0]}, duration=0.0) == set()


def test_student_quantile() -> None:
    freedom = np.geomspace(4, 1e6, 200)
    ours = [student_quantile(f) for f in freedom]
    assert np.allclose(ours, stdtrit(freedom, 0.975), rtol=1 / 3000, atol=0)


def test_the_score_does_not_depend_on_the_order_of_a_sum() -> None:
    """NumPy sums in vectors as wide as the CPU's: what is summed exactly has no such order."""
    scores = np.random.default_rng(3).uniform(0.001, 0.01, 997)
    times = np.arange(997) / 25
    shuffled = [summarize(times, np.random.default_rng(i).permutation(scores)) for i in range(9)]
    assert {s.p_fake for s in shuffled} == {summarize(times, scores).p_fake}
