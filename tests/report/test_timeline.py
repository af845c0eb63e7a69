"""Scale and timeline: what is drawn, in bounded size, of any clip."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pages import Page

from minimeso.detect.verdict import Moment, Segment
from minimeso.report.highlights import LeftOut
from minimeso.report.timeline import scale, timeline

THRESHOLDS = {"real": 0.2, "fake": 0.8}
#: Characters of the largest drawing of a person, whatever the clip.
MOST_SVG, MOST_TIMELINE = 16_000, 48_000


def drawn(moments: Sequence[Moment], end: float = 0.0, left_out: Sequence[LeftOut] = ()) -> str:
    return timeline(moments, 0.5, (0.4, 0.6), THRESHOLDS, end, left_out, (), "one")


def test_segments_are_shaded() -> None:
    moments = moments_of([0.0, 5.0, 10.0], [0.1, 0.9, 0.1])
    parts = [Segment(2.5, 7.5, 0.9, (0.7, 1.0), "fake")] * 1000
    text = timeline(moments, 0.5, (0.4, 0.6), THRESHOLDS, 10.0, (), (), "one", parts)
    Page(text)
    assert '<rect class="segment" x="250.0" y="0" width="500.0" height="100"/>' in text
    assert "looks fake from 0:02.5 to 0:07.5" in text and len(text) < MOST_SVG


def test_one_moment_is_one_frame() -> None:
    assert "over time: 1 frame judged between" in drawn(moments_of([1.0], [0.5]), 9.0)


def moments_of(times: Sequence[float], p_fake: Sequence[float]) -> list[Moment]:
    return [Moment(t, (0, 0, 1, 1), p) for t, p in zip(times, p_fake, strict=True)]


def path(text: str, name: str) -> str:
    """The path of a class of the drawing."""
    found = re.search(rf'<path class="{name}" d="([^"]*)"', text)
    return found[1] if found else ""


def points(data: str) -> list[tuple[float, float]]:
    """The points of a path."""
    return [(float(x), float(y)) for x, y in re.findall(r"([\d.]+) ([\d.]+)", data)]


def test_scale_in_corners() -> None:
    for p_fake in (0.0, 1.0, 0.5):
        for thresholds in ({"real": 0.0, "fake": 1.0}, {"real": 0.5, "fake": 0.5}):
            Page(scale(p_fake, (0.0, 1.0), thresholds))


@given(
    st.lists(st.tuples(st.floats(0, 1e5), st.floats(0, 1)), min_size=1, max_size=600),
    st.floats(0, 1e5),
)
def test_timeline_of_anything(points: list[tuple[float, float]], end: float) -> None:
    text = drawn([Moment(t, (0, 0, 1, 1), p) for t, p in sorted(points)], end)
    Page(text)
    assert len(text) < MOST_TIMELINE and "nan" not in text
    assert "inf" not in text.replace("interval", "")


@pytest.mark.parametrize("runs", [1, 60, 600, 4800, 14_400])
def test_a_long_clip_in_many_runs_is_a_small_drawing(runs: int) -> None:
    """An hour at 4 frames a second, in which the person is away again and again."""
    length = 14_400 // runs
    times = [number / 4 + number // length for number in range(14_400)]
    p_fake = [0.5 + (number * 7 % 11 - 5) / 20 for number in range(14_400)]
    away = [LeftOut(n * times[-1] / 256, (n + 0.4) * times[-1] / 256, "turned") for n in range(256)]
    text = drawn(moments_of(times, p_fake), left_out=away)
    Page(text)
    svg = re.search(r"<svg.*?</svg>", text)
    assert svg and len(svg[0].encode()) < MOST_SVG
    assert len(text.encode()) < MOST_TIMELINE


def test_a_short_clip_loses_nothing() -> None:
    """Every moment is a point of the curve and a dot, in its own run."""
    times = [number / 4 + 10 * (number // 30) for number in range(240)]
    p_fake = [number % 37 / 37 for number in range(240)]
    text = drawn(moments_of(times, p_fake))
    curve = path(text, "curve")
    assert curve.count("M") == 8 and len(points(curve)) == 240 == len(points(path(text, "dots")))
    end = times[-1]
    for (x, y), t, p in zip(points(curve), times, p_fake, strict=True):
        assert x == pytest.approx(1000 * t / end, abs=0.06)
        assert y == pytest.approx(100 - 100 * p, abs=0.06)
    assert not path(text, "spread")


def test_the_extremes_of_a_column_are_seen() -> None:
    """One frame of ten thousand stands out from the mean, and the gap stays a gap."""
    times = [number / 25 for number in range(10_000) if not 4000 <= number < 5000]
    p_fake = [1.0 if number == 777 else 0.25 for number in range(9000)]
    text = drawn(moments_of(times, p_fake))
    assert path(text, "curve").count("M") == 2
    spread = points(path(text, "spread"))
    x = 1000 * times[777] / times[-1]
    assert min(y for _, y in spread) == 0
    assert min(abs(at - x) for at, y in spread if y == 0) < 1000 / 240


def test_someone_who_is_seen_for_a_moment_of_a_long_clip_is_seen() -> None:
    """Where all frames fall into one column, it is a dot and not a line without length."""
    times = [1000 + number / 25 for number in range(300)]
    text = drawn(moments_of(times, [0.5] * 300), end=7200.0)
    assert len(points(path(text, "dots"))) == 1
    (x,) = {round(x) for x, _ in points(path(text, "dots"))}
    assert x == round(1000 * 1006 / 7200)
