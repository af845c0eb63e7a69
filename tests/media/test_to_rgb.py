"""Frames come out upright, in the colours that the file names."""

from __future__ import annotations

import gc
import io
import itertools
import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.clips import (
    Pixels,
    clip_bytes,
    clip_file,
    made,
)
from support.detectors import photo
from support.memory import peak_of

from minimeso.media.to_rgb import Converter, _over_white
from minimeso.media.video import open_clip

av = pytest.importorskip("av")


def patched(data: bytes, a: int, b: int, c: int, d: int) -> bytes:
    """An MP4 file whose track header has another display matrix."""
    at = data.index(b"tkhd") + 4
    at += 4 + (32 if data[at] else 20) + 16
    matrix = struct.pack(">9i", a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    return data[:at] + matrix + data[at + 36 :]


@pytest.mark.parametrize(
    ("matrix", "turn"),
    [
        ((1, 0, 0, 1), lambda p: p),
        ((0, 1, -1, 0), lambda p: np.rot90(p, -1)),  # a phone held upright
        ((-1, 0, 0, -1), lambda p: np.rot90(p, 2)),
        ((0, -1, 1, 0), lambda p: np.rot90(p, 1)),
        ((-1, 0, 0, 1), lambda p: p[:, ::-1]),
        ((1, 0, 0, -1), lambda p: p[::-1]),
        ((0, 1, 1, 0), lambda p: p.transpose(1, 0, 2)),
        ((0, -1, -1, 0), lambda p: np.rot90(p, 2).transpose(1, 0, 2)),
        ((0, 0, 0, 0), lambda p: p),
    ],
)
def test_rotation(
    tmp_path: Path, matrix: tuple[int, int, int, int], turn: Callable[[Pixels], Pixels]
) -> None:
    frames = [photo(48, 64)] * 3
    data = clip_bytes(frames=frames, options={"qscale": "2"})
    path = tmp_path / "clip.mp4"
    path.write_bytes(patched(data, *matrix))
    expected = turn(frames[0]).astype(int)
    with open_clip(path) as clip:
        found = next(clip).pixels
    assert found.shape == expected.shape and found.flags.c_contiguous
    assert np.abs(found - expected).mean() < 6
    assert clip.size == (expected.shape[1], expected.shape[0])


def test_alpha_takes_little_memory() -> None:
    """Half of what a frame of 8192 x 4608 took was numbers of 16 bits."""
    frame = np.random.default_rng(0).integers(0, 256, (301, 200, 4), np.uint8)
    weight = frame[:, :, 3:] / 255
    found, most = peak_of(lambda: _over_white(frame))
    assert most < 1.5 * frame.nbytes
    assert np.abs(found - (frame[:, :, :3] * weight + 255 * (1 - weight))).max() <= 0.51


def test_frames_go_without_the_collector(tmp_path: Path) -> None:
    """A frame and its side data would keep each other: 70 MB of each large GIF stayed."""
    path = tmp_path / "clip.mp4"
    path.write_bytes(patched(clip_bytes(frames=[photo(48, 64)] * 3), 0, 1, -1, 0))
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        with open_clip(path, every_frame=True) as clip:
            assert len(list(clip)) == 3
        gc.collect()
        kept = [type(found).__name__ for found in gc.garbage]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert "VideoFrame" not in kept


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_rotation_as_pyav_understands_it(tmp_path: Path, degrees: int) -> None:
    def turn(stream: Any) -> None:
        if not hasattr(stream, "set_display_rotation"):
            pytest.skip("this PyAV writes no rotation")
        stream.set_display_rotation(degrees)

    path = clip_file(tmp_path, frames=[photo(48, 64)] * 2, set_up=turn)
    with open_clip(path) as clip:
        found = next(clip).pixels
    expected = np.rot90(photo(48, 64), degrees // 90)
    assert np.abs(found.astype(int) - expected).mean() < 8


#: Red and blue weights of luma by colour space.
MATRICES = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 6: (0.299, 0.114), 2: (0.299, 0.114)}


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le"])
@pytest.mark.parametrize("space", MATRICES)
@pytest.mark.parametrize("full", [False, True])
def test_matrix_and_range(tmp_path: Path, pix_fmt: str, space: int, full: bool) -> None:
    """A flat colour comes out as the tags say, whichever way it is converted."""
    if "libx264" not in av.codecs_available:
        pytest.skip("this PyAV has no libx264")
    y, u, v = 110, 90, 160
    deep = pix_fmt.endswith("10le")
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as container:
        stream: Any = container.add_stream("libx264", rate=25, options={"crf": "1"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, pix_fmt
        stream.codec_context.colorspace = space
        stream.codec_context.color_range = 2 if full else 1
        frame = av.VideoFrame(64, 48, pix_fmt)
        for plane, value in zip(frame.planes, (y, u, v), strict=True):
            count = plane.buffer_size // (2 if deep else 1)
            flat = np.full(count, value << 2, "<u2") if deep else np.full(count, value, np.uint8)
            plane.update(flat.tobytes())
        frame.colorspace, frame.color_range = space, 2 if full else 1
        frame.pts = 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    path = tmp_path / "clip.mkv"
    path.write_bytes(file.getvalue())
    red, blue = MATRICES[space]
    luma = y / 255 if full else (y - 16) / 219
    cb, cr = ((x - 128) / (255 if full else 224) for x in (u, v))
    r, b = luma + 2 * (1 - red) * cr, luma + 2 * (1 - blue) * cb
    g = (luma - red * r - blue * b) / (1 - red - blue)
    with open_clip(path) as clip:
        found = next(clip).pixels
    assert np.abs(found - 255 * np.array([r, g, b])).max() <= 3


@pytest.mark.parametrize("width", [64, 128, 320, 1280])
def test_both_scalers_agree(tmp_path: Path, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from minimeso.media import to_rgb as colours

    noise = np.random.default_rng(1).integers(0, 256, (50, width, 3), dtype=np.uint8)
    path = tmp_path / "clip.mkv"
    path.write_bytes(made("matroska", "ffv1", "yuv444p", frames=[noise]))
    with open_clip(path) as clip:
        new = next(clip).pixels.astype(int)
    monkeypatch.setattr(colours, "_is_new_scaler_right", lambda: False)
    with open_clip(path) as clip:
        old = next(clip).pixels.astype(int)
    assert np.abs(new - old).max() <= 2 and np.abs(new - noise).mean() < 3


def test_no_colour_space_ends_the_process() -> None:
    """YUV that is said to be RGB (0) crashed in FFmpeg's new scaler; others are reserved."""
    frame = av.VideoFrame.from_ndarray(photo(16, 64), "rgb24").reformat(format="yuv444p", threads=1)
    for space in range(18):
        frame.colorspace = space
        found = Converter().rgb(frame).astype(int)
        assert np.abs(found - photo(16, 64)).mean() < 12, space


@pytest.mark.parametrize(
    ("ratio", "size"),
    [("64/45", (102, 48)), ("16/11", (105, 48)), ("3/4", (72, 64)), ("1/1", (72, 48)),
     ("0/1", (72, 48)), ("99/1", (72, 48))],
)  # fmt: skip
def test_pixels_that_are_not_square(tmp_path: Path, ratio: str, size: tuple[int, int]) -> None:
    """A picture that was squeezed for it comes out as it was."""
    width, height = size
    whole = photo(height, width)
    squeezed = np.asarray(Image.fromarray(whole).resize((72, 48), Image.Resampling.BILINEAR))

    def set_up(stream: Any) -> None:
        stream.codec_context.sample_aspect_ratio = Fraction(ratio)

    path = clip_file(
        tmp_path, "a.mkv", kind="matroska", frames=[squeezed] * 3, options={"qscale": "2"},
        set_up=set_up,
    )  # fmt: skip
    with open_clip(path) as clip:
        found = next(clip).pixels
    assert found.shape == whole.shape and clip.size == size
    assert np.abs(found - whole.astype(int)).mean() < 8


@pytest.mark.parametrize(
    ("codec", "first", "second"),
    [
        ("mpeg2video", ("16/15", (720, 576)), ("64/45", (720, 576))),
        ("libx264", ("1/1", (720, 576)), ("64/45", (720, 576))),
        ("mpeg2video", ("16/15", (720, 576)), ("2/1", (512, 576))),
    ],
)
def test_a_broadcast_may_change_its_shape(
    tmp_path: Path, codec: str, first: tuple[str, Any], second: tuple[str, Any]
) -> None:
    """From 4:3 to 16:9 as advertisements and films alternate, with or without another size."""
    parts, widths = [], []
    for ratio, size in (first, second):

        def set_up(stream: Any, ratio: str = ratio) -> None:
            stream.codec_context.sample_aspect_ratio = Fraction(ratio)

        parts.append(
            made("mpegts", codec, "yuv420p", frames=50, size=size, set_up=set_up,
                 options={"g": "10"})
        )  # fmt: skip
        widths.append(round(size[0] * Fraction(ratio)))
    for order in (0, 1), (1, 0), (0, 1, 0):
        path = tmp_path / "broadcast.ts"
        path.write_bytes(b"".join(parts[number] for number in order))
        with open_clip(path, every_frame=True) as clip:
            found = [frame.pixels.shape[1] for frame in clip]
        middles = [found[50 * place + 25] for place in range(len(order))]
        assert middles == [widths[number] for number in order] and not clip.faults
        changes = sum(a != b for a, b in itertools.pairwise(found))
        assert changes == len(order) - 1 and len(found) >= 50 * len(order) - 4


def test_squared_pixels_are_turned_afterwards(tmp_path: Path) -> None:
    def set_up(stream: Any) -> None:
        stream.codec_context.sample_aspect_ratio = Fraction(2)

    data = clip_bytes(frames=[photo(48, 64)] * 3, set_up=set_up)
    path = tmp_path / "clip.mp4"
    path.write_bytes(patched(data, 0, 1, -1, 0))
    with open_clip(path) as clip:
        assert next(clip).pixels.shape == (128, 48, 3) and clip.size == (48, 128)
