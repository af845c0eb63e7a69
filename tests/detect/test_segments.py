"""Segments: a swap of a second inside a real clip is found, and noise is none."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minimeso.detect.box import Box
from minimeso.detect.rule import Rule
from minimeso.detect.segments import segments
from minimeso.detect.track_score import sigmoid
from minimeso.detect.verdict import Moment
from minimeso.notes import Note

THRESHOLDS = {"real": 0.12, "fake": 0.82}
BOX = Box(0, 0, 200, 200)


def moments(times: Sequence[float], logits: Sequence[float]) -> list[Moment]:
    return [Moment(t, BOX, sigmoid(x)) for t, x in zip(times, logits, strict=True)]


def noisy(seed: int, seconds: float, level: float, spread: float = 1.0) -> tuple[list, np.ndarray]:
    """Logits four times a second whose noise is forgotten within half a second."""
    rng = np.random.default_rng(seed)
    count = int(4 * seconds)
    keep = np.exp(-0.25 / 0.5)
    noise = np.empty(count)
    noise[0] = rng.normal()
    for i in range(1, count):
        noise[i] = keep * noise[i - 1] + np.sqrt(1 - keep**2) * rng.normal()
    return [0.25 * i for i in range(count)], level + spread * noise


@pytest.mark.parametrize("level", [-5.0, -3.0, -1.0])
def test_a_second_of_fake_is_found(level: float) -> None:
    found = 0
    for seed in range(20):
        times, x = noisy(seed, 12, level)
        x[20:24] = noisy(100 + seed, 1, 5.0)[1]
        parts = segments(moments(times, x), THRESHOLDS)
        if parts:
            (part,) = parts
            assert part.start == pytest.approx(4.9, abs=0.5)
            assert part.end == pytest.approx(5.9, abs=0.5)
            assert part.p_fake > 0.9 and part.interval[0] <= part.p_fake <= part.interval[1]
            found += 1
    assert found >= 18


@pytest.mark.parametrize("level", [-4.0, -1.0, 0.0])
def test_noise_is_no_segment(level: float) -> None:
    """An hour of each."""
    false = sum(len(segments(moments(*noisy(seed, 360, level)), THRESHOLDS)) for seed in range(10))
    assert false <= 1


def test_what_is_fake_for_long_is_one_segment() -> None:
    times, x = noisy(3, 20, 5.0)
    (part,) = segments(moments(times, x), THRESHOLDS)
    assert (part.start, part.end, part.verdict) == (0.0, times[-1], "fake")
    x[32:56] = noisy(4, 6, -4.0)[1]
    first, second = segments(moments(times, x), THRESHOLDS)
    assert first.end == pytest.approx(7.9, abs=0.5) and second.start == pytest.approx(13.9, abs=0.5)


def test_a_gap_parts_segments() -> None:
    times = [*np.arange(0, 3, 0.25), *np.arange(9, 12, 0.25)]
    first, second = segments(moments(times, [5.0] * len(times)), THRESHOLDS)
    assert (first.end, second.start) == (2.875, 8.875)


@pytest.mark.parametrize("step", [1.0, 2.0, 2.002, 3.0, 10.0])
def test_few_looks_a_minute_make_one_segment(step: float) -> None:
    """Not one for each look, which would overlap and be sure of nothing."""
    x = np.full(100, -5.0) + np.random.default_rng(1).normal(0, 0.5, 100)
    x[40:60] = 5.0
    (part,) = segments(moments(step * np.arange(100), x), THRESHOLDS)
    assert (part.start, part.end) == pytest.approx((39.5 * step, 59.5 * step))
    assert part.verdict == "fake"


def test_segments_of_irregular_looks_do_not_overlap() -> None:
    """One ends half way to the look that is none, at most half a usual step behind its own."""
    times = [*np.arange(0, 20.0), 20.1, 20.2, 20.3, 20.4, *np.arange(21.0, 41.0)]
    x = np.full(len(times), 6.0)
    x[21:23] = -60.0
    x[:15] = x[29:] = -5.0
    found = segments(moments(times, x), {"real": 0.12, "fake": 0.5}, 0.2)
    assert [part.end > part.start for part in found] == [True, True]
    assert found[0].end <= 20.15 and found[1].start >= 20.25


@given(
    st.lists(st.floats(0.0, 5.0), min_size=0, max_size=40),
    st.data(),
    st.floats(0.0, 1.0),
    st.floats(1e-3, 100.0),
)
def test_nothing_breaks_it(
    steps: list[float], data: st.DataObject, threshold: float, spread: float
) -> None:
    """Any times in order, any scores, thresholds of 0 and 1."""
    times = np.cumsum(steps).tolist()
    scores = data.draw(st.lists(st.floats(0.0, 1.0), min_size=len(times), max_size=len(times)))
    frames = [Moment(t, BOX, p) for t, p in zip(times, scores, strict=True)]
    parts = segments(frames, {"real": 0.0, "fake": threshold}, spread)
    ends = [0.0, *(t for part in parts for t in (part.start, part.end))]
    assert ends == sorted(ends)
    for part in parts:
        assert times[0] <= part.start <= part.end <= times[-1]
        assert 0.5 < part.p_fake <= 1 and part.verdict in ("fake", "uncertain")


def test_who_looks_fake_for_a_while_is_not_called_real() -> None:
    rule = Rule(THRESHOLDS)
    times, x = noisy(1, 12, -5.0)
    assert rule.person(1, moments(times, x), whole=True).verdict == "real"
    x[20:26] = 5.0
    frames = moments(times, x)
    assert rule.person(1, frames).verdict == "real"  # as long as more may come
    track = rule.person(1, frames, whole=True)
    assert track.verdict == "uncertain" and track.p_fake < 0.12
    assert track.doubts[0].code == "fake_for_a_while"
    (part,) = track.segments
    assert track.doubts[0].values == {
        "start": part.start, "end": part.end, "p_fake": part.p_fake, "others": 0,
    }  # fmt: skip
    assert part.verdict == "fake" and track.to_json()["segments"] == [part.to_json()]
    assert rule.person(1, frames, whole=True, followed=False).segments == ()  # a picture has none

    other = rule.person(2, moments(*noisy(2, 12, -6.0)), whole=True, count=2)
    one = rule.person(1, frames, whole=True, count=2)
    judged = rule.file([one, other])
    assert judged.word == "uncertain" and judged.doubts[0].code == "fake_for_a_while"


def test_what_cannot_be_called_fake_has_no_segments() -> None:
    times, x = noisy(1, 12, -5.0)
    x[20:26] = 5.0
    track = Rule(THRESHOLDS).person(1, moments(times, x), whole=True, doubt=Note("palette"))
    assert track.segments == () and track.verdict == "real"


def test_the_prior_counts_for_segments_too() -> None:
    times, x = noisy(1, 12, -5.0)
    x[20:26] = 5.0
    frames = moments(times, x)
    (even,) = Rule(THRESHOLDS).person(1, frames, whole=True).segments
    rare = Rule(THRESHOLDS, prior=0.01).person(1, frames, whole=True).segments
    assert not rare or rare[0].p_fake < even.p_fake


def test_who_looks_fake_for_all_of_a_short_time_was_not_swapped_for_a_while() -> None:
    times, x = noisy(3, 1, 5.0)
    track = Rule(THRESHOLDS).person(1, moments(times, x), whole=True)
    assert track.segments and track.doubts[0].code == "too_short_for_fake"
