"""Faces unlike those of training: uncertain with a reason, in pictures, clips and streams."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.clips import clip_bytes
from support.detectors import saved_pair, small_domain, small_pair

import minimeso
from minimeso import Detector, ModelError
from minimeso.cli.job import summary_line
from minimeso.detect.box import Box
from minimeso.detect.pair import Pair, load_pair
from minimeso.detect.rule import Rule
from minimeso.detect.verdict import Moment, Track, Verdict
from minimeso.media.pictures import read_picture
from minimeso.media.pixels import Pixels
from minimeso.report.phrases import headline, statements
from minimeso.report.sentence import sentence

PORTRAIT = Path(minimeso.__file__).parent / "samples" / "portrait.jpg"
RULE = Rule({"real": 0.3, "fake": 0.7})


@pytest.fixture(scope="module")
def pixels() -> Pixels:
    return read_picture(PORTRAIT).pixels


def judged(pixels: Pixels, pair: Pair, **options: Any) -> Verdict:
    with Detector(pair, threads=1, **options) as detector:
        return detector.check(pixels)


def codes(verdict: Verdict) -> list[str]:
    return [doubt["code"] for doubt in verdict.to_json()["doubts"]]


def test_a_stranger_is_uncertain_and_keeps_its_score(pixels: Pixels) -> None:
    before = judged(pixels, small_pair())
    known = judged(pixels, small_pair(domain=small_domain(-1.0)))
    strange = judged(pixels, small_pair(domain=small_domain(1.0)))
    assert known.to_json() == before.to_json()
    assert (strange.verdict, strange.p_fake, strange.interval) == (
        "uncertain", before.p_fake, before.interval,
    )  # fmt: skip
    assert codes(strange)[0] == "out_of_domain" and "out_of_domain" not in codes(before)
    assert strange.tracks[0].doubts[0].values == {"faces": 1} and strange.left_out == {}


def test_people_are_told(pixels: Pixels) -> None:
    verdict = judged(pixels, small_pair(domain=small_domain(1.0)))
    line = summary_line(verdict)
    assert line.startswith("uncertain") and "unlike those that the model learned from" in line
    assert headline(verdict).startswith("Uncertain")
    said = " ".join(statements(verdict, True, {"real": 0.3, "fake": 0.7}))
    assert "drawings, statues, screens" in said and "a photograph or clip of the person" in said
    assert "a photograph or clip of the person" in sentence(verdict)


def test_the_limit_is_the_models(pixels: Pixels) -> None:
    for limit, word in ((0.5, True), (1.5, False)):
        verdict = judged(pixels, small_pair(domain=small_domain(1.0, limit)))
        assert ("out_of_domain" in codes(verdict)) == word


def test_it_looks_at_what_the_thorough_network_sees(pixels: Pixels) -> None:
    """The sum of a layer is compared with a limit that lies on either side of it."""
    pair = small_pair()
    with Detector(pair, threads=1) as detector:
        frames: list[Any] = []
        detector.check(pixels, on_frame=lambda frame, _: frames.append(frame))
        (crop,) = (face.crop for face in frames[0].faces)
        assert detector.thorough is not None
        values = detector.thorough.run(np.stack([crop, crop[:, :, ::-1]]), outputs=["flatten"])
    mean = float(values["flatten"].sum(1).mean())
    for factor, strange in ((0.9, True), (1.1, False)):  # the wider views are nearly the same
        limit = mean * (factor if mean > 0 else 2 - factor)
        domain = small_domain(0.0, limit, weight=1.0)
        assert ("out_of_domain" in codes(judged(pixels, small_pair(domain=domain)))) == strange


def test_in_a_clip_all_looks_count(pixels: Pixels) -> None:
    frames = [pixels] * 12
    clip = clip_bytes("avi", "mjpeg", frames, rate=4, pix_fmt="yuvj444p")
    for bias, strange in ((1.0, True), (-1.0, False)):
        with Detector(small_pair(domain=small_domain(bias)), threads=1) as detector:
            verdict = detector.check(clip)
            live = list(detector.stream(frames, rate=4))
        assert ("out_of_domain" in codes(verdict)) == strange
        assert verdict.tracks[0].segments == () or not strange
        assert {face.verdict for face in live} == {"uncertain"} or not strange


def track(number: int, p_fake: float, word: str, stranger: bool = False) -> Track:
    frames = [Moment(t / 4, Box(0, 0, 200, 200), p_fake, True) for t in range(40)]
    found = RULE.person(number, frames, stranger=stranger)
    assert found.verdict == ("uncertain" if stranger else word)
    return found


def test_among_several_a_stranger_makes_a_file_uncertain_and_never_fake() -> None:
    real, fake = track(1, 0.01, "real"), track(2, 0.99, "fake")
    strange, drawn = track(3, 0.01, "real", True), track(4, 0.99, "fake", True)

    def word(*persons: Track) -> tuple[str, list[str]]:
        found = RULE.file(persons)
        return found.word, [doubt.code for doubt in found.doubts]

    assert word(fake, real)[0] == "fake" and word(real, real)[0] == "real"
    assert word(fake, strange) == ("fake", [])
    for persons in ((real, strange), (drawn, real), (drawn, strange)):
        found, doubts = word(*persons)
        assert found == "uncertain" and "out_of_domain" in doubts
    both = RULE.file((drawn, strange)).doubts
    assert next(note for note in both if note.code == "out_of_domain").values == {"faces": 2}
    assert "2 faces are unlike" in " ".join(map(str, both))


# --- files ---------------------------------------------------------------------------------


def test_a_manifest_names_it(tmp_path: Path) -> None:
    path = saved_pair(small_pair(domain=small_domain(1.0)), tmp_path)
    assert json.loads(Path(path).read_bytes())["domain"] == "domain.npz"
    pair = load_pair(path)
    assert pair.domain is not None and pair.domain.calibration == {"layer": "flatten", "limit": 0.0}
    without = saved_pair(dataclasses.replace(pair, domain=None, name="alone"), tmp_path)
    assert load_pair(without).domain is None


@pytest.mark.parametrize(
    ("calibration", "message"),
    [
        (None, "layer 'None'"),
        ({"layer": "flatten"}, "limit None"),
        ({"layer": "flatten", "limit": True}, "limit True"),
        ({"layer": "flatten", "limit": "1"}, "limit 1"),
        ({"layer": "flatten", "limit": 1e9}, "limit 1000000000.0"),
        ({"layer": "nowhere", "limit": 0.0}, "layer 'nowhere'"),
        ({"layer": "conv1", "limit": 0.0}, "layer 'conv1'"),
        ({"layer": 7, "limit": 0.0}, "layer '7'"),
        ({"layer": ["flatten"], "limit": 0.0}, "layer"),
    ],
)
def test_one_that_does_not_fit_is_refused(calibration: Any, message: str, tmp_path: Path) -> None:
    domain = dataclasses.replace(small_domain(1.0), calibration=calibration)
    with pytest.raises(ModelError, match=message):
        saved_pair(small_pair(domain=domain), tmp_path)


def test_weights_that_overflow(pixels: Pixels) -> None:
    """What is not a number says of nobody that he is like those of training."""
    for most in (3e38, -3e38):
        found = judged(pixels, small_pair(domain=small_domain(0.0, weight=most)))
        assert ("out_of_domain" in codes(found)) == (most > 0)
    domain = small_domain(0.0, weight=3e38)
    domain.weights["far.weight"][:, ::2] *= -1  # infinite both ways
    with pytest.raises(ModelError, match="domain: strangeness is nan: its weights overflow"):
        judged(pixels, small_pair(domain=domain))


def test_a_closed_detector_closes_it(pixels: Pixels) -> None:
    with Detector(small_pair(domain=small_domain(1.0)), threads=1) as detector:
        detector.check(pixels)
        domain = detector.networks.domain
    assert domain is not None and domain._session is not None and domain._session._closed
