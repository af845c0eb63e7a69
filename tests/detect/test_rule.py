"""The rule: a look at one face, a person, a crowd; and the spread that a model tells of itself."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image
from scipy.special import expit, logit
from support.detectors import constant_detector, photo

from minimeso import Detector, ModelError
from minimeso.detect.analyzer import Analyzer
from minimeso.detect.box import Box
from minimeso.detect.pair import open_networks
from minimeso.detect.rule import Judged, Rule, spread_of
from minimeso.detect.track_score import FAKE_SECONDS, SPREAD, suspicion
from minimeso.detect.verdict import Moment, SeenFrame, Track, Word
from minimeso.notes import Note, remedies

THRESHOLDS = {"real": 0.2, "fake": 0.8}
NARROW = Rule(THRESHOLDS, 0.6)
PHOTO = photo()


def file_of(
    people: list[list[float]], rule: Rule = NARROW, followed: bool = False
) -> tuple[list[Track], Judged]:
    """The persons with these scores, four frames in a second, and the file."""
    tracks = [
        rule.person(
            number,
            [Moment(place / 4, Box(0, 0, 99, 99), p) for place, p in enumerate(scores)],
            count=len(people),
            followed=followed,
        )
        for number, scores in enumerate(people, start=1)
    ]
    tracks.sort(key=lambda track: suspicion(track.verdict, track.p_fake), reverse=True)
    return tracks, rule.file(tracks, followed=followed)


def animation(path: Path, count: int) -> None:
    """So many frames, five in a second."""
    first, *others = (Image.fromarray(np.roll(PHOTO, n, 1)) for n in range(count))
    first.save(path, save_all=True, append_images=others, duration=200, lossless=True)


# --- pictures ----------------------------------------------------------------------------


def test_a_single_look_is_only_believed_where_its_interval_is_on_one_side() -> None:
    """Student's t of 4 degrees of freedom times the spread on either side."""
    for spread in (0.3, SPREAD, 1.5):
        half = 2.776 * spread
        rule = Rule(THRESHOLDS, spread)
        for p, word in (
            (max(expit(half + 0.02), 0.801), "fake"),
            (min(expit(-half - 0.02), 0.199), "real"),
        ):
            _, judged = file_of([[p]], rule)
            assert judged.word == word and not judged.doubts
        if half > logit(0.8):
            _, judged = file_of([[expit(half - 0.02)]], rule)
            assert judged.word == "uncertain"
            codes = [doubt.code for doubt in judged.doubts]
            assert codes == ["interval_across_half", "few_frames", "small_face"]


def test_the_interval_of_a_face_goes_into_its_verdict() -> None:
    verdict = Detector(constant_detector(3.0), crops=True).check(PHOTO)
    (face,), (track,) = verdict.faces, verdict.tracks
    assert verdict.interval == face.interval == track.interval
    low, high = logit(face.interval)
    assert (low, high) == pytest.approx((3 - 2.776 * SPREAD, 3 + 2.776 * SPREAD), abs=1e-3)
    assert verdict.to_json()["faces"][0]["interval"] == list(face.interval)
    unsure = Detector(constant_detector(2.0), crops=True).check(PHOTO)
    assert unsure.verdict == "uncertain" and "p_fake may be" in (unsure.note or "")


@given(st.floats(0, 1), st.sampled_from([0.1, 0.9, 5.0]), st.sampled_from([0.001, 0.5, 0.99]))
@example(1.0, 0.1, 0.5)
@example(1e-12, 0.9, 0.5)
def test_p_fake_lies_in_its_interval(p: float, spread: float, prior: float) -> None:
    """Also that of a single look, which is surer than what is taken into the interval."""
    ((track,), judged) = file_of([[p]], Rule(THRESHOLDS, spread, prior))
    assert track.interval[0] <= track.p_fake <= track.interval[1]
    assert judged.interval == track.interval


# --- several persons ---------------------------------------------------------------------


def test_one_clear_fake_among_three_makes_a_file_fake() -> None:
    tracks, judged = file_of([[0.05], [0.99], [0.1]])
    assert judged.word == "fake" == tracks[0].verdict and judged.p_fake > 0.9
    assert [track.verdict for track in tracks[1:]] == ["real", "real"]
    assert judged.p_fake == pytest.approx(1 - math.prod(1 - track.p_fake for track in tracks))


def test_a_crowd_is_not_fake_because_one_of_40_errs() -> None:
    """As errors go: in the middle a face has 0.1, and one has 0.95, which alone is fake."""
    assert file_of([[0.95]])[1].word == "fake"
    tracks, judged = file_of([[0.95], *[[0.1]] * 39])
    assert judged.word == "uncertain" and judged.p_fake < 0.5
    doubt = judged.doubts[0]
    assert doubt.code == "one_of_many" and doubt.values["faces"] == 40
    assert doubt.values["alone"] == pytest.approx(0.95)
    assert tracks[0].verdict != "fake"
    _, judged = file_of([[0.05]] * 40)
    assert judged.word == "real" and judged.p_fake < 0.1


def test_a_crowd_with_a_fake_beyond_doubt_is_fake() -> None:
    """Seen again and again: more than one of 40 can be by chance."""
    _, judged = file_of([[0.9985] * 8, *[[0.05]] * 39])
    assert judged.word == "fake"


def test_nobody_is_fake_for_a_second_together_either() -> None:
    """The same scores in a clip and as pictures; and in the clip for longer."""
    people = [[0.97] * 4, [0.97] * 4]
    assert file_of(people)[1].word == "fake"
    _, judged = file_of(people, followed=True)
    assert judged.word == "uncertain"
    assert "too_short_for_fake" in [doubt.code for doubt in judged.doubts]
    frames = int(4 * FAKE_SECONDS) + 1
    assert file_of([[0.97] * frames] * 2, followed=True)[1].word == "fake"


@given(
    st.lists(st.lists(st.floats(0, 1), min_size=1, max_size=12), min_size=1, max_size=8),
    st.floats(0.001, 0.999),
    st.booleans(),
)
def test_a_file_says_no_less_than_its_persons(
    people: list[list[float]], prior: float, followed: bool
) -> None:
    """Fake where a person is, real only where all are, and of one person exactly the same."""
    tracks, judged = file_of(people, Rule(THRESHOLDS, 0.6, prior), followed)
    words = [track.verdict for track in tracks]
    if "fake" in words:
        assert judged.word == "fake"
    if judged.word == "real":
        assert set(words) == {"real"}
    assert bool(judged.doubts) == (judged.word == "uncertain")
    assert judged.interval[0] <= judged.p_fake <= judged.interval[1]
    if len(tracks) == 1:
        assert judged == (words[0], tracks[0].p_fake, tracks[0].interval, tracks[0].doubts)


# --- what was compressed too strongly ----------------------------------------------------


def test_no_trace_in_a_file_that_shows_none_is_no_sign(tmp_path: Path) -> None:
    """A JPEG of quality 20; and a fake, whose traces survived, stays fake."""
    words = []
    for quality in (20, 60):
        Image.fromarray(PHOTO).save(tmp_path / "a.jpg", quality=quality)
        for said in (-4.0, 0.0, 4.0):
            verdict = Detector(constant_detector(said), crops=True).check(tmp_path / "a.jpg")
            codes = [doubt["code"] for doubt in verdict.to_json()["doubts"]]
            words.append((verdict.verdict, "compressed" in codes))
            assert verdict.verdict == verdict.tracks[0].verdict == verdict.faces[0].verdict
    assert words == [
        ("uncertain", True), ("uncertain", True), ("fake", False),
        ("real", False), ("uncertain", False), ("fake", False),
    ]  # fmt: skip


def test_a_palette_makes_nobody_fake(tmp_path: Path) -> None:
    Image.fromarray(PHOTO).quantize(256).save(tmp_path / "a.gif")
    words = []
    for said in (-4.0, 0.0, 4.0):
        verdict = Detector(constant_detector(said), crops=True).check(tmp_path / "a.gif")
        codes = [doubt["code"] for doubt in verdict.to_json()["doubts"]]
        words.append((verdict.verdict, "palette" in codes))
    assert words == [("real", False), ("uncertain", True), ("uncertain", True)]


def test_what_is_said_so_far_is_what_would_be_said_now(tmp_path: Path) -> None:
    """Of a GIF, in which nobody is called fake, from its first frame on; and of the seconds."""
    words: dict[str, list[Word | None]] = {"gif": [], "webp": []}
    for ending, found in words.items():
        path = tmp_path / f"a.{ending}"
        animation(path, 12)

        def on_frame(frame: SeenFrame, done: float | None, found: Any = found) -> None:
            assert frame.so_far is not None
            found.append(frame.so_far().verdict)

        verdict = Detector(constant_detector(4.0), crops=True, threads=1).check(
            path, every_frame=True, on_frame=on_frame
        )
        assert found[-1] == verdict.verdict
    assert words["gif"] == ["uncertain"] * 12
    assert words["webp"] == ["uncertain"] * 8 + ["fake"] * 4


def test_several_persons_in_such_a_file() -> None:
    note = Note("compressed", {"h264_quantiser": 44})
    tracks = [
        NARROW.person(number, [Moment(0.0, Box(0, 0, 99, 99), 0.01)], count=2, doubt=note)
        for number in (1, 2)
    ]
    judged = NARROW.file(tracks, followed=False, doubt=note)
    assert judged.word == "uncertain" == tracks[0].verdict
    assert judged.doubts[0].code == "compressed"
    assert "original file instead" in remedies(judged.doubts)


# --- clips of crops ----------------------------------------------------------------------


@pytest.mark.parametrize(("count", "word"), [(6, "uncertain"), (12, "fake")])
def test_crops_of_a_clip_have_seconds_too(tmp_path: Path, count: int, word: str) -> None:
    """Nobody is called fake for a second, also where nothing is searched for, nor in a stream."""
    path = tmp_path / "a.webp"
    animation(path, count)
    detector = Detector(constant_detector(4.0), crops=True, threads=1)
    verdict = detector.check(path, every_frame=True)
    assert verdict.verdict == word and verdict.frames_scored == count
    codes = [note.code for note in verdict.notes]
    assert codes == ([] if word == "fake" else ["too_short_for_fake", "few_frames"])
    assert [face.verdict for face in detector.stream([PHOTO] * count, 5.0)][-1] == word


def test_crops_that_are_fake_for_a_while() -> None:
    """Faces that nobody followed have segments, too."""
    findings = Analyzer(open_networks(constant_detector(0.0)), NARROW, None).findings
    for number in range(80):
        findings.pass_time(number / 4)
        p_fake = 0.99 if 40 <= number < 48 else 0.01
        findings.moments(1).append(number / 4, Box(0, 0, 99, 99), p_fake)
    ((track,), _) = findings.tracks(NARROW)
    (segment,) = track.segments
    assert track.verdict == "uncertain" and track.doubts[0].code == "fake_for_a_while"
    assert (segment.start, segment.end) == pytest.approx((10, 12), abs=0.3)


# --- what a model says of itself ---------------------------------------------------------


def test_the_spread_of_a_model() -> None:
    assert spread_of(None, "m") == spread_of({}, "m") == SPREAD
    assert spread_of({"spread": 1}, "m") == 1.0
    wide, narrow = (
        Detector(constant_detector(2.0, calibration={"spread": spread}), crops=True).check(PHOTO)
        for spread in (2.0, 0.5)
    )
    assert (wide.verdict, narrow.verdict) == ("uncertain", "fake")


@pytest.mark.parametrize(
    "spread", [0, -1, math.nan, math.inf, 101, 10**400, "0.9", None, True, [1], {"a": 1}]
)
def test_what_is_no_spread(spread: Any) -> None:
    with pytest.raises(ModelError, match=r"m: calibration has spread .*not a number above 0"):
        spread_of({"spread": spread}, "m")
    with pytest.raises(ModelError, match="constant: calibration has spread"):
        Detector(constant_detector(0.0, calibration={"spread": spread}), crops=True)
