"""HDR and wide gamuts come out as what a usual screen shows, whatever depth and range."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from support.detectors import photo

from minimeso.media.video import open_clip
from minimeso.notes import Note

av = pytest.importorskip("av")
pytestmark = pytest.mark.skipif(
    "libx265" not in av.codecs_available and "ffv1" not in av.codecs_available,
    reason="this PyAV has no encoder for it",
)

Array = npt.NDArray[np.float64]
#: cd/m2 of white, ITU-R BT.2408.
WHITE = 203.0
#: From linear BT.709 to linear BT.2020, ITU-R BT.2087.
TO_BT2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])
#: Red and blue weights of luma of BT.2020.
RED, BLUE = 0.2627, 0.0593


def pq(light: Array) -> Array:
    """Signal of so many cd/m2 (BT.2100)."""
    y = (light / 10000) ** (2610 / 16384)
    return np.asarray(((3424 + 2413 * 32 * y) / (4096 + 2392 * 32 * y)) ** (2523 / 32))


def hlg(light: Array) -> Array:
    """Signal of so many cd/m2 on a screen of 1000 (BT.2100), whose system gamma is 1.2."""
    y = light @ np.array([RED, 1 - RED - BLUE, BLUE])
    scene = light / 1000 * (np.maximum(y, 1e-9) / 1000)[..., None] ** (1 / 1.2 - 1)
    high = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), high)


#: Number of the transfer function in a file, and itself.
TRANSFERS: dict[str, tuple[int, Any]] = {
    "pq": (16, pq),
    "hlg": (18, hlg),
    "sdr": (14, lambda light: (light / WHITE) ** (1 / 2.4)),
}


def frame_of(pixels: Any, transfer: str, full: bool) -> Any:
    """A picture as a frame of 10 bits in BT.2020."""
    number, function = TRANSFERS[transfer]
    light = WHITE * (pixels / 255.0) ** 2.4 @ TO_BT2020.T
    r, g, b = np.moveaxis(np.clip(function(light), 0, 1), -1, 0)
    y = RED * r + (1 - RED - BLUE) * g + BLUE * b
    cb, cr = (b - y) / (2 - 2 * BLUE), (r - y) / (2 - 2 * RED)
    planes = (
        (1023 * y, 1023 * cb + 512, 1023 * cr + 512)
        if full
        else (64 + 876 * y, 512 + 896 * cb, 512 + 896 * cr)
    )
    frame = av.VideoFrame(pixels.shape[1], pixels.shape[0], "yuv444p10le")
    for plane, values in zip(frame.planes, planes, strict=True):
        rows = np.zeros((plane.height, plane.line_size // 2), "<u2")
        rows[:, : plane.width] = np.clip(np.round(values), 0, 1023)
        plane.update(rows.tobytes())
    frame.colorspace, frame.color_range = 9, 2 if full else 1
    frame.color_trc, frame.color_primaries = number, 9
    return frame


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
            frame = frame_of(pixels, transfer, full)
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
