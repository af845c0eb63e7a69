"""Raw frames that lie in their file from the bottom up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.clips import clip_bytes
from support.detectors import photo

from minimeso.media.clip import parts_of
from minimeso.media.combs import CombWatch
from minimeso.media.partial import PartialFrame, around, whole_of
from minimeso.media.planes import lines_of
from minimeso.media.video import open_clip

av = pytest.importorskip("av")

PHOTO = photo(512, 640)


def _bottom_up(stream: Any) -> None:
    stream.codec_context.extradata = b"BottomUp\0"


def raw(kind: str, set_up: Any = None) -> bytes:
    return clip_bytes("nut", "rawvideo", frames=[PHOTO] * 3, pix_fmt=kind, set_up=set_up)


@pytest.mark.parametrize("kind", ["rgb24", "bgr24", "rgba", "yuv444p"])
def test_they_are_turned(tmp_path: Path, kind: str) -> None:
    found = []
    for name, set_up in (("down", None), ("up", _bottom_up)):
        (tmp_path / name).write_bytes(raw(kind, set_up))
        with av.open(str(tmp_path / name)) as container:
            frame = next(container.decode(video=0))
        assert (frame.planes[0].line_size < 0) == (name == "up")
        CombWatch().is_combed(frame, 0.0)
        with open_clip(tmp_path / name, every_frame=True) as clip:
            found.append([pixels for _, pixels in clip])
    luma_only = kind.startswith("yuv")  # FFmpeg turns the first plane alone
    for down, up in zip(*found, strict=True):
        there, turned = (x.mean(2) if luma_only else x for x in (down, up[::-1]))
        assert np.abs(turned - there.astype(float)).mean() < (20 if luma_only else 0.01)


def test_parts_of_them(tmp_path: Path) -> None:
    (tmp_path / "up").write_bytes(raw("yuv420p", _bottom_up))
    with open_clip(tmp_path / "up", every_frame=True) as clip:
        frames = [parts_of(convert) for _, convert in clip.unconverted()]
    frame = frames[-1]
    assert isinstance(frame, PartialFrame) and frame.luma.shape == PHOTO.shape[:2]
    part = around(frame, (64, 64, 64, 64))[64:128, 64:128].copy()
    assert (part == whole_of(frame)[64:128, 64:128]).all()


def test_lines() -> None:
    frame = av.VideoFrame.from_ndarray(PHOTO, "rgb24")
    lines = lines_of(frame.planes[0])
    assert (lines[:, : 3 * 640].reshape(PHOTO.shape) == PHOTO).all()
