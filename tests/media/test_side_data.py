"""Side data: frames that bring along what PyAV has no name for."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.detectors import photo

from minimeso.media.video import open_clip

av = pytest.importorskip("av")


#: How frames lie that an orientation of Exif turns upright.
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def motion_jpeg(kind: str, pixels: np.ndarray, orientation: int | None) -> bytes:
    """Six frames as of a camera: each is a JPEG file with Exif in it."""
    exif = Image.Exif()
    exif[271] = "Maker"
    if orientation is not None:
        exif[274] = orientation
    picture, clip = io.BytesIO(), io.BytesIO()
    Image.fromarray(pixels).save(picture, "JPEG", quality=95, exif=exif)
    with av.open(clip, "w", format=kind) as container:
        stream: Any = container.add_stream("mjpeg", rate=25)
        stream.height, stream.width = pixels.shape[:2]
        stream.pix_fmt = "yuvj420p"
        for number in range(6):
            packet = av.Packet(picture.getvalue())
            packet.stream, packet.time_base = stream, Fraction(1, 25)
            packet.pts = packet.dts = number
            packet.is_keyframe = True
            container.mux(packet)
    return clip.getvalue()


@pytest.mark.parametrize("kind", ["avi", "mov", "matroska"])
@pytest.mark.parametrize("orientation", [None, *range(1, 9)])
def test_frames_with_exif(tmp_path: Path, kind: str, orientation: int | None) -> None:
    """Before FFmpeg 8 nobody heard of it, so there frames stay as they lie."""
    upright = photo(48, 64)
    stored = upright
    if orientation in TURNS:
        stored = np.asarray(Image.fromarray(upright).transpose(TURNS[orientation]))
    path = tmp_path / "camera"
    path.write_bytes(motion_jpeg(kind, stored, orientation))
    expected = upright if av.library_versions["libavcodec"] >= (62,) else stored
    with open_clip(path, every_frame=True) as clip:
        found = [frame.pixels for frame in clip]
    assert len(found) == 6 and clip.fault is None
    assert found[0].shape == expected.shape
    assert np.abs(found[0].astype(int) - expected).mean() < 8
