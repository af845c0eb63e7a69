"""Covered faces: left out with a reason, in pictures and clips, and never a hint of a swap."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.detectors import random_detector

import minimeso
from minimeso import Detector, FaceFinder
from minimeso.cli.job import summary_line
from minimeso.detect.covered import Covers
from minimeso.detect.verdict import Verdict
from minimeso.media.pictures import read_picture
from minimeso.media.pixels import Pixels
from minimeso.report.phrases import headline, statements

PORTRAIT = Path(minimeso.__file__).parent / "samples" / "portrait.jpg"


@pytest.fixture(scope="module")
def finder() -> FaceFinder:
    return FaceFinder(threads=1)


@pytest.fixture(scope="module")
def pixels() -> Pixels:
    return read_picture(PORTRAIT).pixels


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector(random_detector(), threads=1)


def covered(pixels: Pixels, finder: FaceFinder, part: str, colour: int = 20) -> Pixels:
    """The portrait with a bar over the eyes or the mouth."""
    marks = np.array(finder.find(pixels)[0].landmarks)
    left, right = (marks[0], marks[1]) if part == "eyes" else (marks[3], marks[4])
    unit = np.hypot(*(marks[1] - marks[0]))
    x, y = (left + right) / 2
    found = pixels.copy()
    high, wide = 0.3 * unit, 0.95 * unit
    found[int(y - high) : int(y + high), int(x - wide) : int(x + wide)] = colour
    return found


def test_a_face_without_a_cover_is_judged(detector: Detector, pixels: Pixels) -> None:
    verdict = detector.check(pixels)
    assert (verdict.status, verdict.left_out) == ("ok", {}) and verdict.p_fake is not None


@pytest.mark.parametrize("part", ["eyes", "mouth"])
@pytest.mark.parametrize("colour", [20, 230])
def test_a_covered_face_is_uncertain_and_no_evidence(
    detector: Detector, pixels: Pixels, finder: FaceFinder, part: str, colour: int
) -> None:
    verdict = detector.check(covered(pixels, finder, part, colour))
    assert (verdict.status, verdict.verdict, verdict.p_fake) == ("ok", "uncertain", None)
    assert verdict.left_out == {"covered": 1} and verdict.tracks == ()
    assert [doubt["code"] for doubt in verdict.to_json()["doubts"]] == ["covered"]
    assert verdict.note is not None and "1 with eyes or mouth covered" in verdict.note


def test_people_are_told(detector: Detector, pixels: Pixels, finder: FaceFinder) -> None:
    verdict = detector.check(covered(pixels, finder, "eyes"))
    assert summary_line(verdict).startswith("uncertain")
    assert headline(verdict) == "Uncertain"
    said = " ".join(statements(verdict, True, {"real": 0.4, "fake": 0.6}))
    assert "none that can be judged" in said and "not mean that the picture is genuine" in said


def test_of_two_faces_the_other_one_is_judged(
    detector: Detector, pixels: Pixels, finder: FaceFinder
) -> None:
    both = np.concatenate([pixels, covered(pixels, finder, "eyes")], axis=1)
    verdict = detector.check(both)
    assert len(verdict.faces) == 1 and verdict.left_out == {"covered": 1}
    assert verdict.faces[0].box[0] < pixels.shape[1] / 2


def test_a_stream_says_it_frame_by_frame(
    detector: Detector, pixels: Pixels, finder: FaceFinder
) -> None:
    hidden = covered(pixels, finder, "mouth")
    looks = list(detector.stream([pixels, hidden, hidden, pixels], rate=25))
    assert [look.reason for look in looks] == [None, "covered", "covered", None]
    assert looks[1].p_fake is None


def test_a_face_on_its_side_is_looked_at_upright(pixels: Pixels, finder: FaceFinder) -> None:
    covers = Covers(finder.session)
    for turned in (pixels, covered(pixels, finder, "eyes")):
        lying = np.ascontiguousarray(np.rot90(turned))
        expected = covers.see(turned, finder.find(turned)[:1])
        assert covers.see(lying, finder.find(lying)[:1]) == expected


def test_every_instruction_set_sees_the_same(isa: str, pixels: Pixels, finder: FaceFinder) -> None:
    detector = Detector(random_detector(), threads=1, isa=isa)
    hidden = covered(pixels, finder, "eyes")
    assert detector.check(hidden).left_out == {"covered": 1}
    assert detector.check(pixels).left_out == {}


def test_nobody_loads_the_network_who_sees_no_face(finder: FaceFinder) -> None:
    covers = Covers(finder.session)
    assert covers.see(np.zeros((64, 64, 3), np.uint8), ()) == []
    assert covers._session is None
    covers.close()


def test_a_closed_detector_closes_it(pixels: Pixels) -> None:
    with Detector(random_detector(), threads=1) as detector:
        verdict = detector.check(pixels)
    assert isinstance(verdict, Verdict)
    session = detector._covers and detector._covers._session
    assert session is not None and session._closed
