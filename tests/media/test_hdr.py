"""HDR and wide gamuts come out as what a usual screen shows, whatever depth and range."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.detectors import photo

from minimeso.media.video import open_clip
from minimeso.notes import Note
from tools.bench.variants import TRANSFERS, wide_frame

av = pytest.importorskip("av")
pytestmark = pytest.mark.skipif(
    "libx265" not in av.codecs_available and "ffv1" not in av.codecs_available,
    reason="this PyAV has no encoder for it",
)


def skin(height: int, width: int) -> Any:
    """A picture in colours of skin."""
    grey = photo(height, width).mean(2, keepdims=True)
    return np.uint8(grey * (0.5, 0.45, 0.4) + (90, 60, 50))


def clip(path: Path, pixels: Any, transfer: str, full: bool = False) -> Path:
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("ffv1", rate=25)
        stream.height, stream.width = pixels.shape[:2]
        stream.pix_fmt = "yuv444p10le"
        context = stream.codec_context
        context.colorspace, context.color_range = 9, 2 if full else 1
        context.color_trc, context.color_primaries = TRANSFERS[transfer][0], 9
        for number in range(3):
            frame = wide_frame(pixels, transfer, full)
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("transfer", TRANSFERS)
def test_a_picture_comes_back(tmp_path: Path, transfer: str, full: bool) -> None:
    """Colours of skin change by rounding only; those at the edge of the gamut by up to 25."""
    pixels = skin(96, 128)
    with open_clip(clip(tmp_path / "a.mkv", pixels, transfer, full), every_frame=True) as found:
        frames = [frame.pixels for frame in found]
    assert len(frames) == 3 and not found.faults
    difference = np.abs(frames[0].astype(int) - pixels)
    assert difference.mean() < 2 and np.quantile(difference, 0.99) <= 4
    said = Note("tone_mapped") in found.remarks
    assert said == (transfer != "sdr") and len(found.remarks) == said


def test_it_would_not_without_the_mapping(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from minimeso.media import hdr

    monkeypatch.setattr(hdr.ToneMapper, "mapped", lambda self, frame, kind: frame)
    pixels = skin(96, 128)
    with open_clip(clip(tmp_path / "a.mkv", pixels, "pq"), every_frame=True) as found:
        frame = next(found).pixels
    assert np.abs(frame.astype(int) - pixels).mean() > 10


def test_lighter_than_white_stays_in_order(tmp_path: Path) -> None:
    grey = np.repeat(np.repeat(np.linspace(0, 255, 128)[None, :, None], 32, 0), 3, 2)
    brighter = clip(tmp_path / "a.mkv", grey * 2, "pq")  # up to 5.3 times as light as white
    with open_clip(brighter, every_frame=True) as found:
        row = next(found).pixels[16, :, 1].astype(int)
    assert (np.diff(row) >= -1).all() and row[-1] >= 250
