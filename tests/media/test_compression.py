"""Compression: what a JPEG and an H.264 stream tell of how coarsely they were made."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from support.clips import clip_file

from minimeso.media import compression
from minimeso.media.compression import COARSE_H264, COARSE_JPEG, Quantisers, doubt_about
from minimeso.media.pictures import read_picture
from minimeso.media.video import open_clip
from minimeso.notes import Note

NOISE = np.random.default_rng(0).integers(0, 255, (96, 128, 3), np.uint8)


# --- JPEG --------------------------------------------------------------------------------


@pytest.mark.parametrize("quality", [1, 3, 10, 20, 24, 25, 40, 60, 75, 95])
def test_the_quality_of_a_jpeg(tmp_path: Path, quality: int) -> None:
    Image.fromarray(NOISE).save(tmp_path / "a.jpg", quality=quality)
    with Image.open(tmp_path / "a.jpg") as image:
        found = compression._quality(image.quantization[0])
    assert found == pytest.approx(quality, abs=2)
    note = read_picture(tmp_path / "a.jpg").doubt
    assert (note is not None) == (quality < COARSE_JPEG)
    assert note is None or note.values == {"jpeg_quality": found}


@pytest.mark.parametrize("ending", ["png", "webp", "bmp"])
def test_other_pictures_tell_nothing(tmp_path: Path, ending: str) -> None:
    Image.fromarray(NOISE).save(tmp_path / f"a.{ending}")
    assert read_picture(tmp_path / f"a.{ending}").doubt is None
    assert read_picture(NOISE).doubt is None


@pytest.mark.parametrize("ending", ["png", "gif", "bmp"])
def test_a_palette(tmp_path: Path, ending: str) -> None:
    Image.fromarray(NOISE).quantize(64).save(tmp_path / f"a.{ending}")
    assert read_picture(tmp_path / f"a.{ending}").doubt == Note("palette")
    with Image.open(tmp_path / f"a.{ending}") as image:
        assert read_picture(image).doubt == Note("palette")


@pytest.mark.parametrize(
    ("codec", "pixel_format", "has_palette"), [("gif", "rgb8", True), ("png", "rgb24", False)]
)
def test_a_clip_with_a_palette(
    tmp_path: Path, codec: str, pixel_format: str, has_palette: bool
) -> None:
    pytest.importorskip("av")
    kind = "gif" if has_palette else "avi"
    path = clip_file(
        tmp_path, f"a.{kind}", kind=kind, codec=codec, pix_fmt=pixel_format, frames=scenes(6)
    )
    with open_clip(path, every_frame=True) as clip:
        assert list(clip) and (clip.doubt == Note("palette")) == has_palette


@pytest.mark.parametrize("transparency", [{}, {"transparency": 0}])
def test_an_animated_png_with_a_palette(tmp_path: Path, transparency: dict[str, int]) -> None:
    """FFmpeg gives RGBA."""
    pytest.importorskip("av")
    first, second = Image.fromarray(NOISE).quantize(64), Image.fromarray(NOISE).quantize(64)
    second.putdata(second.tobytes()[::-1])
    path = tmp_path / "a.png"
    first.save(path, save_all=True, append_images=[second], duration=100, **transparency)
    assert path.read_bytes()[25] == 3
    with open_clip(path, every_frame=True) as clip:
        assert len(list(clip)) == 2 and clip.doubt == Note("palette")


def test_a_picture_in_memory_and_one_that_is_cut(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.fromarray(NOISE).save(buffer, "JPEG", quality=5)
    with Image.open(buffer) as image:
        assert read_picture(image).doubt is not None
    (tmp_path / "cut.jpg").write_bytes(buffer.getvalue()[: len(buffer.getvalue()) * 3 // 4])
    cut = read_picture(tmp_path / "cut.jpg")
    assert not cut.complete and cut.doubt is not None


@pytest.mark.parametrize("tables", [None, {}, {0: []}, {0: [0] * 64}, {0: [65535] * 64}, {1: [1]}])
def test_odd_tables(tables: Any) -> None:
    image = Image.new("RGB", (8, 8))
    image.quantization = tables  # type: ignore[attr-defined]
    note = doubt_about(image)
    assert (note is not None) == (tables == {0: [65535] * 64})


# --- H.264 -------------------------------------------------------------------------------


def scenes(count: int) -> list[Any]:
    """Frames in which something moves."""
    return [np.roll(np.repeat(np.repeat(NOISE, 2, 0), 2, 1), 3 * n, 1) for n in range(count)]


@pytest.mark.parametrize(("quantiser", "is_coarse"), [(20, False), (35, False), (45, True)])
def test_the_quantiser_of_a_clip(tmp_path: Path, quantiser: int, is_coarse: bool) -> None:
    av = pytest.importorskip("av")
    if "libx264" not in av.codecs_available:
        pytest.skip("this PyAV cannot write H.264")
    path = clip_file(
        tmp_path, "a.mp4", codec="libx264", frames=scenes(12), size=(256, 192),
        options={"qp": str(quantiser), "preset": "veryfast", "bf": "0"},
    )  # fmt: skip
    with open_clip(path, every_frame=True) as clip:
        assert len(list(clip)) == 12
        assert (clip.doubt is not None) == is_coarse
        if clip.doubt is not None:
            found = clip.doubt.values["h264_quantiser"]
            assert found == pytest.approx(quantiser, abs=3)


def test_other_codecs_tell_nothing(tmp_path: Path) -> None:
    pytest.importorskip("av")
    path = clip_file(tmp_path, "a.mp4", frames=scenes(6), size=(256, 192), options={"qscale": "31"})
    with open_clip(path, every_frame=True) as clip:
        assert list(clip) and clip.doubt is None


def parameters(count: int, start: int, size: int, kind: int, base: int, blocks: bytes) -> bytes:
    head = struct.pack("@INNii", count, start, size, kind, base)
    return head + b"\0" * (start - len(head)) + blocks


def test_quantisers_are_the_mean_over_blocks() -> None:
    blocks = np.zeros((3, 5), np.int32)
    blocks[:, 4] = (-3, 0, 6)
    data = parameters(3, 64, 20, 1, 40, blocks.tobytes())
    assert compression._quantiser(data) == 41.0
    quantisers = Quantisers()
    assert quantisers.coarse() is None and COARSE_H264 <= 41


@given(
    st.integers(0, 2**32 - 1), st.integers(0, 2**40), st.integers(0, 2**40), st.integers(0, 2),
    st.binary(max_size=200),
)  # fmt: skip
def test_any_bytes_are_a_number_or_none(
    count: int, start: int, size: int, kind: int, rest: bytes
) -> None:
    data = struct.pack("@INNii", count, start, size, kind, 40) + rest
    for some in (data, data[: len(rest)]):
        found = compression._quantiser(some)
        assert found is None or isinstance(found, float)
