"""Notes: every code has a text, with its values in it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args

import pytest

from minimeso.detect.verdict import Reason, Status, Word
from minimeso.notes import DOUBTS, Code, Note, in_words, joined, per_cent, remedies

#: Of each code values, and the text.
WORDED: list[tuple[Code, dict[str, Any], str]] = [
    ("unreadable", {"reason": "{a} folder"}, "{a} folder"),
    ("first_frame_only", {}, "only its first frame"),
    ("one_frame_only", {}, "only one of its frames"),
    (
        "first_clip_only",
        {},
        "only the first of the clips that are joined in it, as players show it",
    ),
    ("clip_behind", {}, "only the photograph, not the clip that lies behind it"),
    ("largest_track_only", {}, "only the largest of its picture tracks"),
    ("deinterlaced", {}, "its frames are interlaced: deinterlaced"),
    ("tone_mapped", {}, "its colours are HDR: mapped to those of a usual screen"),
    ("reduced", {"by": 4}, "very large: decoded at 1/4 of its size"),
    ("damaged_picture", {"reason": "x"}, "damaged or cut short (x): judged by what could be read"),
    ("damaged_frames", {"frames": 1}, "damaged: 1 frame left out"),
    ("damaged_frames", {"frames": 3}, "damaged: 3 frames left out"),
    (
        "before_key_frame",
        {"frames": 20, "seconds": 0.8},
        "its first 0.8 s cannot be shown, as it begins between two key frames",
    ),
    (
        "before_key_frame",
        {"frames": 1, "seconds": 0.04},
        "its first frame cannot be shown, as it begins between two key frames",
    ),
    ("frames_without_memory", {"frames": 1}, "too little memory: 1 frame left out"),
    ("damaged_after", {"frames": 2, "whole": 9, "reason": "x"}, "damaged after 2 of 9 frames (x)"),
    ("reading_failed", {"seconds": 1.26, "reason": "x"}, "reading failed after 1.3 s (x)"),
    ("cut_short", {"seconds": 1.26, "whole": None}, "cut short after 1.3 s"),
    ("cut_short", {"seconds": 1.26, "whole": 3.0}, "cut short after 1.3 of 3.0 s"),
    (
        "incomplete_frame",
        {"count": 5, "whole": 12},
        "the last frame is incomplete: 5 of 12 bytes; check the size",
    ),
    ("reading_stopped", {"reason": "x"}, "reading stopped: x"),
    ("stopped", {}, "stopped before its end"),
    ("no_face", {}, "no face found"),
    ("none_judged", {}, "no face that can be judged"),
    (
        "left_out",
        {"too_small": 2, "turned": 1},
        "left out: 2 too small (under 50 pixels), 1 turned too far away",
    ),
    (
        "between_thresholds",
        {"real": 0.2, "fake": 0.8},
        "p_fake is too high for no trace (up to 20 %) and too low for fake (from 80 %)",
    ),
    (  # beside a p_fake of 13.7 %, "up to 14 %" would be wrong
        "between_thresholds",
        {"real": 0.135, "fake": 0.82},
        "p_fake is too high for no trace (up to 13.5 %) and too low for fake (from 82 %)",
    ),
    (
        "interval_across_half",
        {"low": 0.4, "high": 0.97},
        "p_fake may be anything from 40 to 97 %",
    ),
    (
        "interval_across_half",
        {"low": 0.0002, "high": 0.502},
        "p_fake may be anything from <0.1 to 50.2 %",
    ),
    (
        "too_short_for_fake",
        {"seconds": 1.0, "least": 1.5},
        "for a verdict of fake it was judged over 1.0 s only, not 1.5",
    ),
    (
        "too_short_for_fake",
        {"seconds": 1.48, "least": 1.5},
        "for a verdict of fake it was judged over 1.4 s only, not 1.5",
    ),
    (
        "one_of_many",
        {"faces": 40, "alone": 0.95},
        "alone, the most suspicious face would have a p_fake of 95 %, but among 40 faces one is"
        " misjudged now and then",
    ),
    (
        "compressed",
        {"jpeg_quality": 12},
        "the file is so strongly compressed (JPEG quality 12) that traces of a swap would be gone",
    ),
    (
        "compressed",
        {"h264_quantiser": 44},
        "the file is so strongly compressed (H.264 quantiser 44) that traces of a swap would be"
        " gone",
    ),
    ("covered", {}, "eyes or mouth are hidden, and what hides them shows nothing of a swap"),
    (
        "out_of_domain",
        {"faces": 1},
        "the face is unlike those that the model learned from, as are drawings, statues, screens"
        " and prints, so what it says of it means nothing",
    ),
    (
        "out_of_domain",
        {"faces": 2},
        "2 faces are unlike those that the model learned from, as are drawings, statues, screens"
        " and prints, so what it says of them means nothing",
    ),
    (
        "lost_scans",
        {},
        "the file lacks its fine detail, and with it what would be traces of a swap",
    ),
    (
        "palette",
        {},
        "its colours are those of a palette, as in a GIF, which looks like traces of a swap",
    ),
    (
        "fake_for_a_while",
        {"start": 4.2, "end": 65.0, "p_fake": 0.964, "others": 0},
        "from 0:04.2 to 1:05.0 it looks fake (p_fake 96 %)",
    ),
    (
        "fake_for_a_while",
        {"start": 4.2, "end": 65.0, "p_fake": 0.9991, "others": 1},
        "from 0:04.2 to 1:05.0 it looks fake (p_fake >99 %), and 1 more time",
    ),
    (
        "fake_for_a_while",
        {"start": 4.2, "end": 5.0, "p_fake": 0.9, "others": 2},
        "from 0:04.2 to 0:05.0 it looks fake (p_fake 90 %), and 2 more times",
    ),
    ("few_frames", {"frames": 1}, "there was one look only"),
    ("few_frames", {"frames": 7}, "7 frames show little"),
    ("still", {"frames": 7}, "in all 7 frames the face hardly moves, as in a photograph"),
    (
        "frames_disagree",
        {"fake": 3, "real": 4, "frames": 9},
        "of 9 frames 3 speak for fake and 4 against it",
    ),
    ("small_face", {"pixels": 64}, "the face is small (64 pixels)"),
    (
        "measured_elsewhere",
        {"trained_on": "A", "tested_on": "B", "auc": 0.744, "right_of_decided": 0.826},
        "trained on A and tested on B: AUC 0.74; of 100 verdicts other than uncertain 83 were"
        " right",
    ),
    (
        "measured_elsewhere",
        {"trained_on": "A", "tested_on": "B", "auc": 1, "right_of_decided": None},
        "trained on A and tested on B: AUC 1.00",
    ),
]


@pytest.mark.parametrize(("code", "values", "text"), WORDED)
def test_texts(code: Code, values: dict[str, Any], text: str) -> None:
    assert str(Note(code, values)) == text


@pytest.mark.parametrize(
    ("share", "decimals", "text"),
    [(0, 1, "0.0"), (0.0004, 1, "<0.1"), (0.0006, 1, "0.1"), (0.861, 1, "86.1"), (1, 1, "100.0"),
     (0.9994, 1, "99.9"), (1 - 1e-16, 1, ">99.9"), (5e-324, 1, "<0.1"), (0, 0, "0"),
     (0.004, 0, "<1"), (0.006, 0, "1"), (0.996, 0, ">99"), (0.994, 0, "99"), (1, 0, "100")],
)  # fmt: skip
def test_what_is_not_quite_0_or_100_does_not_look_so(
    share: float, decimals: int, text: str
) -> None:
    assert per_cent(share, decimals) == text


def test_no_code_is_without_words() -> None:
    assert {code for code, _, _ in WORDED} == set(get_args(Code))
    assert set(get_args(Code)) > DOUBTS


def test_joined() -> None:
    assert joined(()) is None
    assert joined((Note("stopped"), Note("no_face"))) == "stopped before its end; no face found"


def test_doubts_are_told_together_and_what_helps() -> None:
    doubts = [
        Note("between_thresholds", {"real": 0.2, "fake": 0.8}),
        Note("small_face", {"pixels": 64}),
    ]
    assert joined([*doubts, Note("stopped")]) == (
        "stopped before its end; uncertain: p_fake is too high for no trace (up to 20 %) and too "
        "low for fake (from 80 %), the face is small (64 pixels); "
        "it may help: a larger picture of the face"
    )
    assert doubts[1].to_json() == {"code": "small_face", "pixels": 64}


@pytest.mark.parametrize("code", sorted(DOUBTS))
def test_against_every_doubt_something_helps(code: Code) -> None:
    notes = [Note(code, values) for other, values, _ in WORDED if other == code]
    assert notes and all(remedies([note]) for note in notes)
    assert all(remedies([note, note]) == remedies([note]) for note in notes)


def test_what_is_found_nowhere_is_not_called_real() -> None:
    assert in_words("real") == "no trace of a swap of the kinds it knows"
    assert [in_words(said) for said in ("fake", "no_face")] == ["fake", "no face"]


def test_what_programs_read_is_documented() -> None:
    docs = Path(__file__).parent.parent / "docs"
    codes = re.findall(r"^\| `(\w+)` \|(.*?)\|", (docs / "expect.md").read_text(), re.MULTILINE)
    told = {code: set(re.findall(r"`(\w+)`", values)) for code, values in codes}
    for code, values, _ in WORDED:
        if code in DOUBTS:
            assert set(values) <= told[code], code
    assert {code for code in told if code in get_args(Code)} == DOUBTS
    json = (docs / "command-line.rst").read_text()
    for name in (*get_args(Status), *get_args(Reason), *get_args(Word)):
        assert f"``{name}``" in json


def test_equal_notes_are_one_in_a_set() -> None:
    """Pieces of a clip say the same of their frames; whoever counts notes puts them in a dict."""
    notes = [Note("tone_mapped"), Note("tone_mapped"), Note("reduced", {"by": 2, "whole": None})]
    assert len(set(notes)) == 2 and notes[2] in {Note("reduced", {"whole": None, "by": 2})}
