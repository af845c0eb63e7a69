"""Each way to store a clip gives its pictures back, at the same looks."""

from __future__ import annotations

import io

import numpy as np
import pytest
from support.detectors import photo

from minimeso.media.streams import stream_of
from minimeso.media.video import open_clip
from tools.bench.variants import LOOKS, RATE, VARIANTS, written

av = pytest.importorskip("av", reason="PyAV (extra video) is not installed")


@pytest.mark.parametrize("variant", VARIANTS)
def test_pictures_come_back(variant: str) -> None:
    if not {"libx264", "ffv1"} <= av.codecs_available:
        pytest.skip("this PyAV lacks an encoder")
    grey = photo(96, 128).mean(2, keepdims=True)
    skin = np.uint8(grey * (0.5, 0.45, 0.4) + (90, 60, 50))
    frames = [np.roll(skin, 8 * number, 1) for number in range(LOOKS)]
    with open_clip(stream_of(io.BytesIO(written(frames, variant))), fps=RATE) as clip:
        found = list(clip)
    late = 0.5 if variant == "variable rate" else 0.0
    times = [(number + late * (number % 2)) / RATE for number in range(LOOKS)]
    assert [frame.t for frame in found] == pytest.approx(times, abs=0.01) and not clip.faults
    for frame, expected in zip(found, frames, strict=True):
        assert frame.pixels.shape == expected.shape
        assert np.abs(frame.pixels.astype(int) - expected).mean() < 2
