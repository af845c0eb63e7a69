"""What is kept of a clip while it runs past: the extremes, apart, in bounded memory."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.seen import face, frame

from minimeso.report.highlights import Collector, Highlight, Highlights


def highlight(t: float, p_fake: float) -> Highlight:
    nothing = (0.0, 0.0, 1.0, 1.0)
    return Highlight(t, p_fake, nothing, (), (1, 1), b"", np.zeros((3, 1, 1), np.float32))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=300), st.floats(0.03, 30))
def test_highlights(values: list[float], step: float) -> None:
    """The extremes are among them, none twice, all apart, and memory is bounded."""
    highlights = Highlights()
    for number, p_fake in enumerate(values):
        t = number * step
        highlights.offer(t, p_fake, lambda t=t, p=p_fake: highlight(t, p))  # type: ignore[misc]
        assert len(highlights._kept) <= 8
    most, least = highlights.pick(3, {})
    assert most[0].p_fake == max(values)
    assert highlights.mean == pytest.approx(np.mean(values))
    times = [s.t for s in most + least]
    assert len(set(times)) == len(times)
    for group in (most, least):
        assert len(group) <= 3
        apart = [abs(a.t - b.t) for a in group for b in group if a is not b]
        assert all(distance >= 1 for distance in apart)
    if len(values) > 1 and least:
        assert least[0].p_fake <= sorted(values)[min(1, len(values) - 1)] or len(values) < 9


def test_a_peak_is_one_picture() -> None:
    """Five neighbours at the top are one moment."""
    highlights = Highlights()
    for number in range(500):
        p_fake = 0.9 + number / 1e4 if 200 <= number < 205 else 0.1 + number % 7 / 100
        highlights.offer(number / 25, p_fake, lambda t=number / 25, p=p_fake: highlight(t, p))  # type: ignore[misc]
    most, _ = highlights.pick(3, {})
    assert [s.p_fake > 0.8 for s in most] == [True, False, False]


def test_many_persons_share_the_memory() -> None:
    collector = Collector()
    for number in range(60):
        collector.add(frame(number / 5, [face(n, n / 60) for n in range(1, 41)]))
    assert sorted(collector.highlights) == list(range(33, 41))


def test_a_person_who_is_seen_too_late_for_memory_gets_in_if_suspicious() -> None:
    collector = Collector()
    collector.add(frame(0.0, [face(n, 0.5) for n in range(1, 9)]))
    collector.add(frame(1.0, [face(20, 0.4), face(21, 0.9)]))
    assert 21 in collector.highlights and 20 not in collector.highlights


def test_what_is_kept_is_a_copy() -> None:
    """A crop is part of a batch, and its frame's pixels are used again."""
    crop, pixels = np.full((2, 3, 4, 4), 0.25, np.float32), np.zeros((120, 160, 3), np.uint8)
    collector = Collector()
    collector.add(frame(0.0, [face(1, 0.5)._replace(cut=crop[1])], pixels))
    (kept,) = collector.highlights[1].pick(1, {})[0]
    crop[:] = 1
    assert kept.crop.shape == (3, 4, 4) and kept.crop.max() == 0.25
    assert kept.crop.base is None


def test_what_counts_is_what_was_found_in_the_end() -> None:
    """A thorough look that comes later changes which moments are the most suspicious."""
    highlights = Highlights()
    for t, p_fake in enumerate([0.9, 0.6, 0.5, 0.1]):
        highlights.offer(t, p_fake, lambda t=t, p=p_fake: highlight(t, p))  # type: ignore[misc]
    most, least = highlights.pick(2, {0: 0.2, 3: 0.95})
    assert [(one.t, one.p_fake) for one in most] == [(3, 0.95), (1, 0.6)]
    assert [(one.t, one.p_fake) for one in least] == [(0, 0.2), (2, 0.5)]
