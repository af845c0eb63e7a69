"""Numbers, times and text as a page shows them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.seen import THRESHOLDS, face, frame, verdict_of

from minimeso.detect.verdict import Verdict
from minimeso.notes import DOUBTS, Note, clock
from minimeso.report import phrases
from minimeso.report.phrases import escaped, headline, percent, statements


@given(st.text())
def test_escaped_text_is_harmless_and_printable(text: str) -> None:
    safe = escaped(text)
    assert not set("<>\"'") & set(safe)
    assert all(c.isprintable() or c == "\N{NO-BREAK SPACE}" for c in safe)


@pytest.mark.parametrize(
    ("p", "text"),
    [(0, "0 %"), (1, "1e2 %"), (0.8, "80 %"), (0.861, "86.1 %"), (1e-9, "below 0.1 %"),
     (1 - 1e-9, "above 99.9 %"), (0.1 + 0.2, "30 %")],
)  # fmt: skip
def test_percent(p: float, text: str) -> None:
    assert percent(p).replace("\xa0", " ") == text.replace("1e2", "100")


@pytest.mark.parametrize(
    ("t", "text"), [(0, "0:00.0"), (59.96, "1:00.0"), (4.24, "0:04.2"), (3723.4, "1:02:03.4")]
)
def test_clock(t: float, text: str) -> None:
    assert clock(t) == text


# --- what is said of a verdict -----------------------------------------------------------


def said(**changes: Any) -> list[str]:
    """The sentences about a clip with one person."""
    frames = [frame(0.0, [face(1, 0.5)])]
    return list(statements(verdict_of("x.mp4", frames, **changes), False, THRESHOLDS))


def doubtful(*doubts: Note) -> list[str]:
    """The sentences about a person who is uncertain for these reasons."""
    return said(verdict="uncertain", p_fake=0.7, notes=doubts)


DOUBT_VALUES: dict[Any, dict[str, float]] = {
    "between_thresholds": {"real": 0.4, "fake": 0.6},
    "interval_across_half": {"low": 0.45, "high": 0.8},
    "too_short_for_fake": {"seconds": 1.0, "least": 1.5},
    "one_of_many": {"faces": 40, "alone": 0.95},
}


def test_every_doubt_has_a_sentence_of_its_own() -> None:
    """Why a person is uncertain is what the verdict says, and not worked out again."""
    assert set(phrases._DOUBTS) == DOUBTS == set(DOUBT_VALUES)
    found = {doubtful(Note(code, DOUBT_VALUES[code]))[0] for code in DOUBTS}
    assert len(found) == len(DOUBTS)
    short = doubtful(Note("too_short_for_fake", {"seconds": 1.0, "least": 77.5}))
    assert "77.5 seconds" in short[0]


def test_what_weighs_most_is_said() -> None:
    first, second = (Note(code, DOUBT_VALUES[code]) for code in sorted(DOUBTS)[:2])
    assert doubtful(first, second) == doubtful(first) != doubtful(second)


def test_an_uncertain_person_without_a_doubt() -> None:
    assert doubtful() == doubtful(Note("between_thresholds", dict(THRESHOLDS)))


def test_a_clip_that_was_stopped_is_not_called_damaged() -> None:
    plain = said()
    stopped = said(status="partial", notes=(Note("stopped"),))
    damaged = said(status="partial", notes=(Note("damaged_frames", {"frames": 3}),))
    assert stopped[1:] == damaged[1:] == plain
    assert stopped[0] != damaged[0]


def test_every_status_has_a_headline() -> None:
    nothing = {
        headline(Verdict("x", status, None, None, (), "m"))
        for status in ("no_face", "unreadable", "partial")
    }
    judged = {headline(verdict_of("x", [frame(0.0, [face(1, p)])])) for p in (0.1, 0.5, 0.9)}
    assert len(nothing | judged) == 6
