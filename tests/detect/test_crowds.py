"""Crowds: very many faces, and large frames, are judged in little memory, to the same bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.detectors import random_detector, small_domain, small_pair
from support.memory import peak_of

import minimeso
from minimeso import Detector, FaceFinder, FoundFace, SeenFrame
from minimeso.detect.analyzer import Analyzer, CroppedFrame
from minimeso.detect.box import Box
from minimeso.detect.reading import _in_batches
from minimeso.media.pictures import read_picture

PIXELS = read_picture(Path(minimeso.__file__).parent / "samples" / "portrait.jpg").pixels


class Crowd(FaceFinder):
    """Finds the one face very often, each a little farther to the right; every fifth is cut off."""

    def __init__(self, count: int) -> None:
        super().__init__(threads=1)
        self.count = count

    def find(self, picture: Any) -> tuple[FoundFace, ...]:
        (face,) = super().find(picture)
        return tuple(_moved(face, n / 100 - 1000 * (n % 5 == 4)) for n in range(self.count))

    def steadied(self, picture: Any, face: FoundFace) -> FoundFace:
        return face


def _moved(face: FoundFace, by: float) -> FoundFace:
    x, *rest = face.box
    marks = tuple((x + by, y) for x, y in face.landmarks)
    return FoundFace(Box(x + by, *rest), face.score, marks)


@pytest.mark.parametrize("threads", [1, 3])
def test_all_at_once_gives_the_same_bits(threads: int) -> None:
    pair = small_pair(domain=small_domain(0.0, weight=0.1))
    with Detector(pair, finder=Crowd(70), threads=threads) as detector:
        together = Analyzer(
            detector.networks, detector._rule, detector.finder, detector._covers, True
        )
        expected = together.judge([together.crop_faces(0.0, PIXELS)])[0]
        seen: list[SeenFrame] = []
        verdict = detector.check(PIXELS, on_frame=lambda frame, _: seen.append(frame))
        tracks, left_out = together.findings.tracks(detector._rule)
    assert (verdict.tracks, verdict.left_out) == (tracks, left_out)
    assert len(verdict.faces) == 56 and left_out == {"cut_off": 14}
    assert (verdict.frames_read, verdict.frames_scored) == (1, 1)
    for one, other in zip(seen[0].faces, expected.faces, strict=True):
        assert one[:4] == other[:4]
        assert np.array_equal(one.crop, other.crop) if one.reason is None else one.crop is None


def test_a_crowd_takes_little_memory() -> None:
    """The crops of all were kept until the last was cut."""
    peaks = []
    for count in (32, 132):
        with Detector(random_detector(), finder=Crowd(count), threads=2) as detector:
            detector.check(PIXELS)
            peaks.append(peak_of(lambda: detector.check(PIXELS, on_frame=lambda *_: None))[1])
            crop = 4 * 3 * np.prod(detector.session.graph.inputs["image"][1:])
    assert peaks[1] - peaks[0] < 20 * crop


@pytest.mark.parametrize(
    ("shape", "crops", "most"),
    [((1080, 1920, 3), 1, 32), ((4608, 8192, 3), 1, 5), ((1080, 1920, 3), 32, 18)],
)
def test_frames_that_are_judged_together_fit_into_memory(
    shape: tuple[int, ...], crops: int, most: int
) -> None:
    """Thirty-two, as on sixty-four cores, of 8K would be 3.6 GB."""
    pixels, crop = np.broadcast_to(np.uint8(0), shape), np.zeros((3, 256, 256), np.float32)
    frames = [CroppedFrame(t, pixels, (), (crop,) * crops) for t in range(70)]
    batches = list(_in_batches(iter(frames), 32))
    assert [frame.t for batch in batches for frame in batch] == list(range(70))
    assert [len(batch) for batch in batches[:-1]] == [most] * (len(batches) - 1)
    assert 0 < len(batches[-1]) <= most
