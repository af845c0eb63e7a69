"""Numbers, times and text as a page shows them."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.seen import THRESHOLDS, face, frame, verdict_of

from minimeso.detect.verdict import Verdict
from minimeso.notes import Note, clock
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


def test_every_doubt_is_said_and_what_would_help() -> None:
    """Why a verdict is uncertain is in its notes, and not worked out again."""
    short = Note("too_short_for_fake", {"seconds": 1.0, "least": 77.5})
    small = Note("small_face", {"pixels": 64})
    (sentence,) = [text for text in doubtful(short, small) if "cannot tell" in text]
    assert "77.5" in sentence and "the face is small (64 pixels). " in sentence
    assert "a longer clip of the person; or a larger picture of the face." in sentence


@pytest.mark.parametrize(("word", "p_fake"), [("fake", 0.9), ("uncertain", 0.5)])
def test_what_only_several_say_together_is_said_of_them(word: Any, p_fake: float) -> None:
    """Three persons, each of whom alone would be judged otherwise."""
    frames = [frame(0.0, [face(number, 0.3) for number in (1, 2, 3)])]
    verdict = verdict_of("x.mp4", frames, (1, 2, 3), verdict=word, p_fake=p_fake)
    told = next(statements(verdict, False, THRESHOLDS))
    assert "3 persons together" in told and "person 1" not in told


def test_a_doubt_is_told_of_whom_it_is() -> None:
    """Who looks fake for a while, or is no photograph, need not be the most suspicious."""
    frames = [frame(0.0, [face(1, 0.55), face(2, 0.45), face(3, 0.2)])]
    plain = verdict_of("x.mp4", frames, (1, 2, 3))
    values = {"start": 2.0, "end": 4.0, "p_fake": 0.9, "others": 0}
    awhile, stranger = Note("fake_for_a_while", values), Note("out_of_domain", {"faces": 1})
    two = Note("out_of_domain", {"faces": 2})

    def told(notes: tuple[Note, ...], *doubts: tuple[Note, ...]) -> str:
        tracks = tuple(
            dataclasses.replace(track, doubts=(*more, *track.doubts))
            for track, more in zip(plain.tracks, doubts, strict=True)
        )
        verdict = dataclasses.replace(plain, tracks=tracks, notes=notes)
        return next(statements(verdict, False, THRESHOLDS)).partition(":")[0]

    of_most = "The model cannot tell about person 1, the most suspicious of 3 persons"
    assert told((), (), (), ()) == told((awhile,), (awhile,), (), ()) == of_most
    for note in (awhile, stranger):
        expected = "The model cannot tell about person 3, one of 3 persons"
        assert told((note,), (), (), (note,)) == expected
    less = Note("fake_for_a_while", {**values, "p_fake": 0.8})
    assert told((awhile,), (less,), (awhile,), ()).endswith("person 2, one of 3 persons")
    together = "The model cannot tell about 3 persons together"
    assert told((two,), (), (stranger,), (stranger,)) == together
    assert told((stranger, awhile), (awhile,), (), (stranger,)) == together


def test_what_is_not_fake_is_not_called_real() -> None:
    for text in (*said(verdict="real", p_fake=0.1), headline(verdict_of("x", [], (), p_fake=0.1,
                 verdict="real"))):  # fmt: skip
        assert "real" not in text
    assert any("no trace of a swap of the kinds it knows" in text for text in said(verdict="real"))


def test_only_what_was_measured_elsewhere_is_promised() -> None:
    values = {"trained_on": "<A>", "tested_on": "B", "auc": 0.74, "right_of_decided": 0.83}
    measured = [Note("measured_elsewhere", values)]
    verdict = verdict_of("x.mp4", [frame(0.0, [face(1, 0.9)])])
    told = " ".join(statements(verdict, False, THRESHOLDS, measured))
    assert "of 100 verdicts other than uncertain 83 were right" in told and "&lt;A&gt;" in told
    assert "of 100" not in " ".join(said(verdict="fake"))
    unsure = verdict_of("x.mp4", [frame(0.0, [face(1, 0.5)])])
    assert "of 100" not in " ".join(statements(unsure, False, THRESHOLDS, measured))


def test_a_prior_is_said_where_it_differs() -> None:
    assert not any("are taken to have one" in text for text in said())
    assert any(
        "where 5\xa0% of all files are taken to have one" in text for text in said(prior=0.05)
    )


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
