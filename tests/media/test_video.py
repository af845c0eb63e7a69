"""Clips as people have them: containers, turned phones, damaged files, hostile ones, raw frames."""

from __future__ import annotations

import builtins
import csv
import importlib.util
import io
import itertools
import math
import os
import random
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest
from clips import (
    SIZE,
    Pixels,
    animation_bytes,
    clip_bytes,
    clip_file,
    number_of,
    numbered,
    sound_bytes,
)
from detectors import photo
from PIL import Image

from minimeso import InputError, PictureError
from minimeso.media import video
from minimeso.media.pictures import PICTURE_ENDINGS
from minimeso.media.prefetch import prefetch
from minimeso.media.video import CLIP_ENDINGS, is_clip, open_clip, raw_frames

av = pytest.importorskip("av")

#: Muxer, encoder, pixel format.
KINDS = [
    ("mp4", "mpeg4", None),
    ("mp4", "libx264", "yuv420p"),
    ("mp4", "libx264", "yuv444p"),
    ("mp4", "libx264", "yuv420p10le"),
    ("mov", "mjpeg", "yuvj420p"),
    ("avi", "mjpeg", "yuvj420p"),
    ("avi", "mpeg4", None),
    ("matroska", "libx264", "yuv420p"),
    ("matroska", "ffv1", "yuv420p"),
    ("webm", "libvpx", "yuv420p"),
    ("webm", "libvpx-vp9", "yuv420p"),
    ("mpegts", "libx264", "yuv420p"),
    ("mpegts", "mpeg2video", "yuv420p"),
    ("mpeg", "mpeg1video", "yuv420p"),
    ("flv", "flv", "yuv420p"),
    ("asf", "msmpeg4", None),
    ("ivf", "libvpx", "yuv420p"),
    ("h264", "libx264", "yuv420p"),
    ("yuv4mpegpipe", "rawvideo", "yuv420p"),
    ("gif", "gif", "rgb8"),
    ("apng", "apng", "rgb24"),
]


def made(kind: str, codec: str, pix_fmt: str | None, **arguments: Any) -> bytes:
    """``clip_bytes``, or skip where this FFmpeg lacks the encoder."""
    if codec not in av.codecs_available:
        pytest.skip(f"this PyAV has no {codec}")
    return clip_bytes(kind, codec, pix_fmt=pix_fmt, **arguments)


def read(path: Path, **options: Any) -> tuple[list[float], list[int], Any]:
    """Times, numbers and the clip, closed."""
    with open_clip(path, **options) as clip:
        frames = list(clip)
    assert all(f.pixels.dtype == np.uint8 and f.pixels.flags.c_contiguous for f in frames)
    times = [f.t for f in frames]
    assert all(a < b for a, b in itertools.pairwise(times))
    return times, [number_of(f.pixels) for f in frames], clip


def refused(path: Path | str, match: str) -> None:
    with pytest.raises(PictureError, match=match) as caught, open_clip(path) as clip:
        list(clip)
    assert str(path) in str(caught.value)


# --- whole clips -------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "codec", "pix_fmt"), KINDS)
def test_every_frame(tmp_path: Path, kind: str, codec: str, pix_fmt: str | None) -> None:
    path = tmp_path / "clip.dat"
    path.write_bytes(made(kind, codec, pix_fmt, frames=30))
    assert is_clip(path)
    times, numbers, clip = read(path, every_frame=True)
    assert numbers == list(range(30))
    assert np.allclose(times, np.arange(30) / 25, atol=2e-3)
    assert (clip.frames_read, clip.fault, clip.size) == (30, None, SIZE)
    assert clip.path == str(path)
    assert clip.rate == pytest.approx(25, abs=0.1)


@pytest.mark.parametrize(("kind", "codec", "pix_fmt"), KINDS)
def test_four_a_second(tmp_path: Path, kind: str, codec: str, pix_fmt: str | None) -> None:
    path = tmp_path / "clip.dat"
    path.write_bytes(made(kind, codec, pix_fmt, frames=60))
    times, numbers, clip = read(path)
    assert len(times) == 10 and (clip.frames_read, clip.fault) == (60, None)
    assert [int(t * 4 + 1e-3) for t in times] == list(range(10))
    assert np.allclose(times, np.array(numbers) / 25, atol=2e-3)


def test_duration_in_seconds(tmp_path: Path) -> None:
    for kind in ("mp4", "matroska", "avi"):
        clip = read(clip_file(tmp_path, kind=kind, frames=30), every_frame=True)[2]
        assert clip.duration == pytest.approx(1.2, abs=0.05)
    path = tmp_path / "clip.h264"
    path.write_bytes(made("h264", "libx264", "yuv420p"))
    assert read(path)[2].duration is None


@pytest.mark.parametrize("fps", [0.5, 1, 3, 7.5, 24, 25, 100, 1000])
def test_frames_a_second(tmp_path: Path, fps: float) -> None:
    path = clip_file(tmp_path, frames=100)
    times, numbers, clip = read(path, fps=fps)
    stretches = [math.floor(n / 25 * fps + 1e-6) for n in range(100)]
    assert numbers == [n for n in range(100) if n == 0 or stretches[n] != stretches[n - 1]]
    assert clip.frames_read == 100 and times[0] == 0


@pytest.mark.parametrize("fps", [0, -1, math.nan, math.inf, 1e6])
def test_absurd_frames_a_second(tmp_path: Path, fps: float) -> None:
    path = clip_file(tmp_path)
    with pytest.raises(InputError, match="fps"):
        open_clip(path, fps)
    with pytest.raises(InputError, match="choose one"):
        open_clip(path, 5, every_frame=True)


def test_frames_that_no_other_refers_to_are_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is seen is what a full decoding has at that time, to the bit."""
    frames = [photo(48, 64) // 2 + numbered(n) // 2 for n in range(100)]
    path = tmp_path / "clip.mp4"
    path.write_bytes(made("mp4", "libx264", "yuv420p", frames=frames, options={"bf": "3"}))
    with open_clip(path, every_frame=True) as clip:
        whole = {round(f.t, 3): f.pixels for f in clip}
    with open_clip(path) as clip:
        sparse = list(clip)
    assert len(sparse) == 16 and clip.frames_read == 100
    assert all(np.array_equal(f.pixels, whole[round(f.t, 3)]) for f in sparse)
    monkeypatch.setattr(video, "_SKIPPING", ())
    with open_clip(path) as clip:
        plain = list(clip)
    assert [int(f.t * 4 + 1e-6) for f in plain] == [int(f.t * 4 + 1e-6) for f in sparse]
    assert [f.t for f in plain] != [f.t for f in sparse]  # else nothing was skipped


def test_too_many_skipped_frames_are_decoded(tmp_path: Path) -> None:
    """Fifteen frames in a row to which no other refers would leave stretches empty."""
    options = {"bf": "15", "b-pyramid": "none", "b_strategy": "0", "sc_threshold": "0"}
    path = tmp_path / "clip.mp4"
    path.write_bytes(made("mp4", "libx264", "yuv420p", frames=240, options=options))
    times, numbers, clip = read(path)
    assert clip.frames_read == 240
    assert len(times) >= 38 - 2  # up to two are gone before it is noticed
    assert np.allclose(times, np.array(numbers) / 25, atol=2e-3)


def test_variable_frame_rate(tmp_path: Path) -> None:
    stamps = [0, 1, 2, 3, 40, 41, 42, 100, 200, 201]
    path = clip_file(tmp_path, stamps=stamps, kind="matroska")
    times, numbers, clip = read(path, every_frame=True)
    assert np.allclose(times, np.array(stamps) / 25, atol=2e-3) and numbers == list(range(10))
    assert read(path)[1] == [0, 4, 7, 8] and clip.fault is None


def test_times_start_at_zero(tmp_path: Path) -> None:
    path = clip_file(tmp_path, stamps=range(500, 510), kind="mpegts", codec="mpeg2video")
    assert np.allclose(read(path, every_frame=True)[0], np.arange(10) / 25)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_animations(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "animation.jpg"
    path.write_bytes(animation_bytes(kind))
    assert is_clip(path)
    times, numbers, clip = read(path, every_frame=True)
    assert numbers == list(range(6)) and np.allclose(times, np.arange(6) / 5)
    assert (clip.frames_read, clip.fault, clip.size) == (6, None, SIZE)
    assert read(path)[1] == [0, 2, 3, 4, 5] and read(path, fps=1)[1] == [0, 5]


def test_transparency_lies_on_white(tmp_path: Path) -> None:
    frames = [Image.new("RGBA", (8, 6), (10 * n, 0, 0, 0)) for n in range(3)]
    for n, frame in enumerate(frames):
        frame.paste((0, 0, 90 + 50 * n, 255), (0, 0, 4, 6))
    for name in ("a.png", "a.gif"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], duration=100)
        with open_clip(tmp_path / name, every_frame=True) as clip:
            pixels = [f.pixels for f in clip]
        assert len(pixels) == 3
        for frame in pixels:
            assert (frame[:, 5:] == 255).all() and (frame[:, :3, 0] < 40).all()


def test_size_that_changes(tmp_path: Path) -> None:
    parts = [
        made("mpegts", "mpeg2video", "yuv420p", frames=20, size=size, options={"g": "5"})
        for size in ((64, 48), (96, 32), (128, 96))
    ]
    path = tmp_path / "joined.ts"
    path.write_bytes(b"".join(parts))
    with open_clip(path, every_frame=True) as clip:
        frames = list(clip)
    shapes = [f.pixels.shape for f in frames]
    assert {(48, 64, 3), (32, 96, 3), (96, 128, 3)} == set(shapes)
    assert len(frames) >= 50 and clip.size == (64, 48)
    times = np.array([f.t for f in frames])
    assert (np.diff(times) > 0).all() and times[-1] < 5  # the clock of every part starts anew


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 5), (17, 9), (65, 3), (130, 66)])
def test_odd_sizes(tmp_path: Path, size: tuple[int, int]) -> None:
    for codec, pix_fmt in (("ffv1", "yuv444p"), ("libvpx", "yuv420p"), ("ffv1", "bgr0")):
        grey = np.full((size[1], size[0], 3), 130, np.uint8)
        path = tmp_path / "clip.mkv"
        path.write_bytes(made("matroska", codec, pix_fmt, frames=[grey] * 3))
        with open_clip(path, every_frame=True) as clip:
            frames = [f.pixels.astype(int) for f in clip]
        assert len(frames) == 3 and clip.size == size
        assert all(np.abs(frame - grey).max() <= 2 for frame in frames)


def test_8k(tmp_path: Path) -> None:
    frame = np.zeros((4320, 7680, 3), np.uint8)
    frame[:2160] = 255
    path = tmp_path / "clip.mov"
    path.write_bytes(made("mov", "mjpeg", "yuvj420p", frames=[frame] * 2))
    with open_clip(path, every_frame=True) as clip:
        shapes = [f.pixels.shape for f in clip]
    assert shapes == [(4320, 7680, 3)] * 2 and clip.size == (7680, 4320)


# --- upright -----------------------------------------------------------------------------


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


# --- colours -----------------------------------------------------------------------------

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


# --- what a file is ----------------------------------------------------------------------


def test_content_decides(tmp_path: Path) -> None:
    picture = tmp_path / "holiday.mp4"
    Image.fromarray(photo()).save(picture, "JPEG")
    assert not is_clip(picture)
    refused(picture, "a picture")
    clip = clip_file(tmp_path, "holiday.jpg")
    assert is_clip(clip) and len(read(clip, every_frame=True)[0]) == 10
    for kind in ("png", "gif", "webp", "bmp", "tiff"):
        still = tmp_path / f"still_{kind}.mp4"
        Image.fromarray(photo()).save(still, kind)
        assert not is_clip(still)


@pytest.mark.parametrize("kind", ["mp4", "matroska"])
def test_sound_only(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "song.mp4"
    path.write_bytes(sound_bytes(kind))
    refused(path, "only sound in it")


def test_cover_picture_is_no_clip(tmp_path: Path) -> None:
    path = tmp_path / "song.m4a"
    path.write_bytes(sound_bytes(cover=True))
    refused(path, "only sound and a cover picture")


def test_sound_beside_the_picture(tmp_path: Path) -> None:
    path = clip_file(tmp_path, frames=50, sound=True)
    assert read(path, every_frame=True)[1] == list(range(50))


def test_the_best_of_several_tracks(tmp_path: Path) -> None:
    path = tmp_path / "clip.mkv"
    with av.open(str(path), "w") as container:
        streams: list[Any] = [container.add_stream("mpeg4", rate=25) for _ in range(2)]
        for stream, size in zip(streams, ((32, 24), (128, 96)), strict=True):
            stream.width, stream.height = size
        for number in range(5):
            for stream in streams:
                picture = numbered(number, (stream.width, stream.height))
                frame = av.VideoFrame.from_ndarray(picture, "rgb24")
                frame.pts = number
                container.mux(stream.encode(frame))
        for stream in streams:
            container.mux(stream.encode(None))
    assert read(path, every_frame=True)[1] == list(range(5))
    assert read(path)[2].size == (128, 96)


@pytest.mark.parametrize(
    "data",
    [
        b"just some text\n" * 100,
        b"\x1b[31mcoloured text\x1b[0m\n" * 100,
        b"1\n00:00:01,000 --> 00:00:02,000\nsubtitles\n\n" * 5,
        bytes(5000),
        bytes(random.Random(1).randbytes(5000)),
    ],
)
def test_neither_picture_nor_clip(tmp_path: Path, data: bytes) -> None:
    for name in ("a.mp4", "a.txt", "a.ans"):
        path = tmp_path / name
        path.write_bytes(data)
        refused(path, "neither|not a picture or clip|no clip")


@pytest.mark.parametrize(
    "playlist",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{}\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile '{}'\n",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=video 5000 RTP/AVP 96\n",
    ],
)
def test_a_playlist_opens_no_other_file(tmp_path: Path, playlist: str) -> None:
    secret = clip_file(tmp_path, "secret.ts", kind="mpegts", codec="mpeg2video")
    for name in ("list.m3u8", "list.mp4", "list.ffconcat", "list.sdp"):
        path = tmp_path / name
        path.write_text(playlist.format(secret))
        refused(path, "neither|not a picture or clip")


def test_bomb(tmp_path: Path) -> None:
    """A header may promise any size; nothing is allocated for it."""
    data = bytearray(clip_bytes())
    at = data.index(b"mp4v") + 4 + 24
    data[at : at + 4] = struct.pack(">HH", 60_000, 60_000)
    path = tmp_path / "bomb.mp4"
    path.write_bytes(data)
    try:
        read(path)
    except PictureError as error:
        assert "bomb" in str(error)


def test_bomb_of_webp(tmp_path: Path) -> None:
    data = bytearray(animation_bytes("WEBP"))
    data[24:30] = b"\xff\x3f\0\xff\x3f\0"
    path = tmp_path / "bomb.webp"
    path.write_bytes(data)
    assert is_clip(path)
    refused(path, "bomb")


def test_limit_of_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = clip_file(tmp_path)
    monkeypatch.setattr(video, "MAX_PIXELS", 64 * 48 - 1)
    refused(path, "bomb|not one frame")


@pytest.mark.parametrize("name", ["gone.mp4", "", "nul\0.mp4"])
def test_missing(name: str) -> None:
    assert not is_clip(name)
    with pytest.raises(PictureError):
        open_clip(name)


def test_empty_folder_and_pipe(tmp_path: Path) -> None:
    empty = tmp_path / "empty.mp4"
    empty.touch()
    assert not is_clip(empty) and not is_clip(tmp_path)
    refused(empty, "empty")
    refused(tmp_path, "a folder")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.mp4")
        assert not is_clip(tmp_path / "pipe.mp4")
        refused(tmp_path / "pipe.mp4", "a pipe")


def test_without_the_right_to_read(tmp_path: Path) -> None:
    path = clip_file(tmp_path)
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read everything")
    refused(path, "ask for the right")


def test_without_pyav(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real_find, real_import = importlib.util.find_spec, builtins.__import__

    def find(name: str, *more: Any) -> Any:
        return None if name == "av" else real_find(name, *more)

    def refuse(name: str, *more: Any, **other: Any) -> Any:
        if name.split(".")[0] == "av":
            raise ImportError(name)
        return real_import(name, *more, **other)

    monkeypatch.setattr(importlib.util, "find_spec", find)
    monkeypatch.setattr(builtins, "__import__", refuse)
    for kind, codec, pix_fmt in KINDS:
        if kind in ("gif", "apng"):
            continue
        monkeypatch.undo()
        path = tmp_path / f"clip.{kind}"
        path.write_bytes(made(kind, codec, pix_fmt))
        monkeypatch.setattr(importlib.util, "find_spec", find)
        monkeypatch.setattr(builtins, "__import__", refuse)
        if kind != "asf" or is_clip(path):
            assert is_clip(path), kind
            refused(path, r"pip install 'minimeso\[video\]'")
    for animated in ("GIF", "PNG", "WEBP"):
        path = tmp_path / animated
        path.write_bytes(animation_bytes(animated))
        assert not is_clip(path)
    path = tmp_path / "text.txt"
    path.write_text("text")
    assert not is_clip(path)


def test_import_loads_no_pyav() -> None:
    program = "import minimeso, minimeso.media.video, sys; print({'av', 'tqdm'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout.strip() == b"set()"


def test_endings() -> None:
    assert not set(CLIP_ENDINGS) & set(PICTURE_ENDINGS)
    assert all(ending.startswith(".") and ending == ending.lower() for ending in CLIP_ENDINGS)


# --- damaged -----------------------------------------------------------------------------

NOISY = [
    np.clip(numbered(n) + np.random.default_rng(n).normal(0, 12, (*SIZE[::-1], 3)), 0, 255).astype(
        np.uint8
    )
    for n in range(40)
]
#: Containers that can be read from the front, and say how long they are.
STREAMED: list[tuple[str, str, str | None, dict[str, Any]]] = [
    ("mp4", "libx264", "yuv420p", {"container_options": {"movflags": "faststart"}}),
    (
        "mp4",
        "libx264",
        "yuv420p",
        {"container_options": {"movflags": "frag_keyframe+empty_moov"}, "options": {"g": "10"}},
    ),
    ("matroska", "libx264", "yuv420p", {}),
    ("webm", "libvpx", "yuv420p", {}),
    ("avi", "mjpeg", "yuvj420p", {}),
    ("mpegts", "mpeg2video", "yuv420p", {}),
    ("gif", "gif", "rgb8", {}),
    ("apng", "apng", "rgb24", {}),
]


@pytest.mark.parametrize(("kind", "codec", "pix_fmt", "options"), STREAMED)
def test_cut_short(
    tmp_path: Path, kind: str, codec: str, pix_fmt: str | None, options: dict[str, Any]
) -> None:
    data = made(kind, codec, pix_fmt, frames=NOISY, **options)
    path = tmp_path / "cut.dat"
    told = counts = 0
    for twentieths in range(1, 20):
        path.write_bytes(data[: len(data) * twentieths // 20])
        try:
            _, numbers, clip = read(path, every_frame=True)
        except PictureError as error:
            assert str(path) in str(error) and twentieths < 10
            continue
        intact = max(0, len(numbers) - 6)  # frames that others refer to come before their turn
        assert numbers[:intact] == list(range(intact)) and numbers == sorted(numbers)
        assert len(numbers) >= 40 * twentieths // 20 - 14
        counts += 1
        told += clip.fault is not None and "cut short" in clip.fault
    assert counts >= 8 and told >= counts - 1  # a part may end just there


def test_cut_before_the_index(tmp_path: Path) -> None:
    path = clip_file(tmp_path)
    data = path.read_bytes()
    for length in (9, 100, len(data) // 2, data.index(b"moov") + 150):
        path.write_bytes(data[:length])
        assert is_clip(path)
        refused(path, "cut short")


@pytest.mark.parametrize(("kind", "codec", "pix_fmt"), KINDS)
def test_cut_anywhere(tmp_path: Path, kind: str, codec: str, pix_fmt: str | None) -> None:
    data = made(kind, codec, pix_fmt, frames=12)
    path = tmp_path / "cut.dat"
    for length in sorted({*range(1, 40, 3), *range(40, len(data), max(1, len(data) // 40))}):
        path.write_bytes(data[:length])
        try:
            with open_clip(path, every_frame=bool(length % 2)) as clip:
                assert len(list(clip)) <= 12
        except PictureError as error:
            assert str(path) in str(error)


@pytest.mark.parametrize(("kind", "codec", "pix_fmt"), KINDS)
def test_flipped_bytes(tmp_path: Path, kind: str, codec: str, pix_fmt: str | None) -> None:
    data = made(kind, codec, pix_fmt, frames=NOISY[:20])
    generator = random.Random(f"{kind} {codec}")
    path = tmp_path / "damaged.dat"
    for turn in range(40):
        damaged = bytearray(data)
        for _ in range(generator.choice((1, 4, 20))):
            damaged[generator.randrange(len(data))] = generator.randrange(256)
        path.write_bytes(damaged)
        try:
            with open_clip(path, every_frame=bool(turn % 2)) as clip:
                for count, (t, pixels) in enumerate(clip):
                    assert t >= 0 and pixels.ndim == 3 and count < 400
        except PictureError as error:
            assert str(path) in str(error)


def test_damage_in_the_middle_is_passed_over(tmp_path: Path) -> None:
    """The frames before and after are given, the damaged one is not, and the fault says so."""
    data = bytearray(made("avi", "mjpeg", "yuvj420p", frames=NOISY))
    starts = [n for n in range(len(data)) if data[n : n + 4] == b"00dc"]
    at = starts[21] + 8 + 200  # the first one is in the header of the file
    data[at : at + 300] = bytes(300)
    path = tmp_path / "damaged.avi"
    path.write_bytes(data)
    times, numbers, clip = read(path, every_frame=True)
    assert numbers == [n for n in range(40) if n != 20]
    assert times == [n / 25 for n in numbers]
    assert clip.fault == "damaged: 1 frame left out"
    assert read(path)[1] == [0, 7, 13, 19, 25, 32, 38]


def test_damage_of_h264_is_told(tmp_path: Path) -> None:
    data = made("mp4", "libx264", "yuv420p", frames=NOISY, options={"g": "10"})
    start, end = data.index(b"mdat") + 1500, data.index(b"moov") - 100
    generator = random.Random(5)
    path = tmp_path / "damaged.mp4"
    told = 0
    for _ in range(10):
        damaged = bytearray(data)
        for _ in range(10):
            damaged[generator.randrange(start, end)] ^= 0xFF
        path.write_bytes(damaged)
        _, numbers, clip = read(path, every_frame=True)
        assert len(numbers) >= 25
        told += clip.fault is not None
    assert told >= 7


def test_not_one_frame(tmp_path: Path) -> None:
    data = bytearray(made("avi", "mjpeg", "yuvj420p", frames=5))
    at = data.index(b"movi")
    data[at + 4 :] = bytes(len(data) - at - 4)
    path = tmp_path / "blank.avi"
    path.write_bytes(data)
    refused(path, "not one frame|before the first frame")


def test_file_that_shrinks_while_it_is_read(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    frames = [generator.integers(0, 256, (96, 128, 3), np.uint8) for _ in range(60)]
    path = tmp_path / "clip.mov"
    options = {"movflags": "faststart"}
    path.write_bytes(made("mov", "mjpeg", "yuvj420p", frames=frames, container_options=options))
    with open_clip(path, every_frame=True) as clip:
        next(clip)
        with path.open("r+b") as file:
            file.truncate(path.stat().st_size // 3)
        rest = list(clip)
    assert len(rest) < 59 and clip.fault is not None and "cut short" in clip.fault


def test_disk_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "clip.ts"
    path.write_bytes(made("mpegts", "mpeg2video", "yuv420p", frames=NOISY * 20))
    assert path.stat().st_size > 4 * video._BUFFER_BYTES
    real = video._Bytes.read

    def failing(self: video._Bytes, size: int) -> bytes:
        if self.file.tell() > 2 * video._BUFFER_BYTES:
            self.fault = "Input/output error"
            return b""
        return real(self, size)

    monkeypatch.setattr(video._Bytes, "read", failing)
    _, numbers, clip = read(path, every_frame=True)
    assert len(numbers) > 50 and clip.fault is not None
    assert "reading failed" in clip.fault and "Input/output error" in clip.fault


def test_nothing_is_printed(tmp_path: Path) -> None:
    paths = []
    for number, (kind, codec, pix_fmt, options) in enumerate(STREAMED):
        data = bytearray(made(kind, codec, pix_fmt, frames=NOISY, **options))
        for at in range(len(data) // 3, len(data), 997):
            data[at] ^= 0x55
        paths.append(tmp_path / f"{number}.dat")
        paths[-1].write_bytes(data[: len(data) * 9 // 10])
    program = (
        "import sys\nfrom minimeso.media.video import open_clip\n"
        "for path in sys.argv[1:]:\n"
        "    try:\n        for _ in open_clip(path, every_frame=True): pass\n"
        "    except OSError: pass\n"
    )
    done = subprocess.run([sys.executable, "-c", program, *paths], capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


# --- the clock ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stamps", "expected"),
    [
        ([None] * 4, [0, 0.04, 0.08, 0.12]),
        ([5.0, 5.04, None, 5.12], [0, 0.04, 0.08, 0.12]),
        ([0.0, 0.04, 0.04, 0.08], [0, 0.04, 0.041, 0.08]),
        ([0.0, 0.12, 0.04, 0.08, 0.16], [0, 0.12, 0.121, 0.122, 0.16]),
        ([0.0, 0.04, 0.08, 0.0, 0.04, 3.0], [0, 0.04, 0.08, 0.081, 0.082, 3.0]),
        ([90.0, 90.04, 1.0, 1.04], [0, 0.04, 0.08, 0.12]),
        ([0.0, 0.04, 7e5, 7e5 + 0.04], [0, 0.04, 0.08, 0.12]),
        ([0.0, 30.0, 31.0], [0, 30.0, 31.0]),
        ([0.0, -0.5, -0.4, 0.1], [0, 0.001, 0.002, 0.1]),
    ],
)
def test_clock(stamps: list[float | None], expected: list[float]) -> None:
    from minimeso.media.containers import Clock

    clock = Clock(25.0, 10.0)
    assert [clock.read(stamp) for stamp in stamps] == pytest.approx(expected)


def test_clock_that_stands_still() -> None:
    from minimeso.media.containers import Clock

    clock = Clock(25.0, None)
    times = [clock.read(3.0) for _ in range(100)]
    assert (np.diff(times) > 0).all()
    clock = Clock(None, None)
    assert clock.step == 1 / 25


# --- closing -----------------------------------------------------------------------------


def open_files() -> int:
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.is_dir() else 0


def system_threads() -> int:
    folder = Path("/proc/self/task")
    return len(list(folder.iterdir())) if folder.is_dir() else threading.active_count()


def test_closing_frees_everything(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(made("mp4", "libx264", "yuv420p", frames=50))
    for _ in range(2):  # the first time libraries load
        files, threads = open_files(), system_threads()
        with open_clip(path) as clip:
            pixels = next(clip).pixels
            assert system_threads() > threads or threads == 1
        assert (open_files(), system_threads()) == (files, threads)
        assert list(clip) == [] and clip.fault is None
        clip = open_clip(path)
        next(clip)
        del clip  # nobody closes it
        assert (open_files(), system_threads()) == (files, threads)
        list(open_clip(path))  # to its end
        assert (open_files(), system_threads()) == (files, threads)
    assert number_of(pixels) == 0


def test_refused_files_are_closed(tmp_path: Path) -> None:
    path = tmp_path / "song.mp4"
    path.write_bytes(sound_bytes())
    before = open_files()
    for _ in range(5):
        refused(path, "only sound")
    assert open_files() == before


def test_closing_from_another_thread(tmp_path: Path) -> None:
    path = clip_file(tmp_path, frames=200)
    for _ in range(20):
        clip = open_clip(path, every_frame=True)
        next(clip)
        reader = threading.Thread(target=lambda clip=clip: list(clip))
        reader.start()
        clip.close()
        reader.join()
        assert clip.fault is None


def test_through_a_thread(tmp_path: Path) -> None:
    path = clip_file(tmp_path, frames=60)
    with open_clip(path, every_frame=True) as clip, prefetch(clip, 3) as frames:
        assert [number_of(f.pixels) for f in frames] == list(range(60))
    assert clip.frames_read == 60
    with open_clip(path, every_frame=True) as clip, prefetch(clip, 3) as frames:
        next(frames)
    assert clip.frames_read < 60


def test_clips_side_by_side(tmp_path: Path) -> None:
    path = clip_file(tmp_path, frames=40)
    clips = [open_clip(path, every_frame=True) for _ in range(6)]
    for number in range(40):
        assert [number_of(next(clip).pixels) for clip in clips] == [number] * 6
    for clip in clips:
        assert list(clip) == []


@pytest.mark.skipif(sys.platform == "win32", reason="no getrusage")
def test_memory_is_flat(tmp_path: Path) -> None:
    """A clip ten times as long needs no more, counted with what FFmpeg takes."""
    frames = [numbered(n, (640, 480)) for n in range(100)]
    data = made("mpegts", "mpeg2video", "yuv420p", frames=frames, options={"g": "12"})
    program = (
        "import resource, sys\nfrom minimeso.media.video import open_clip\n"
        "from minimeso.media.prefetch import prefetch\n"
        "with open_clip(sys.argv[1], every_frame=True) as clip, prefetch(clip, 4) as frames:\n"
        "    n = sum(1 for _ in frames)\n"
        "print(n, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
    )
    found = {}
    for times in (1, 15):
        path = tmp_path / "long.ts"
        path.write_bytes(data * times)
        done = subprocess.run(
            [sys.executable, "-c", program, path], capture_output=True, check=True
        )
        count, kibibytes = map(int, done.stdout.split())
        assert count >= 99 * times
        found[times] = kibibytes
    assert found[15] - found[1] < 25_000 * (1024 if sys.platform == "darwin" else 1)


# --- raw frames --------------------------------------------------------------------------


class Dribble(io.RawIOBase):
    """A stream that gives a few bytes at a time."""

    def __init__(self, data: bytes, step: int) -> None:
        self._file, self._step = io.BytesIO(data), step

    def read(self, size: int = -1) -> bytes:
        return self._file.read(min(self._step, size) if size >= 0 else self._step)


def raw(count: int) -> bytes:
    return b"".join(numbered(n).tobytes() for n in range(count))


@pytest.mark.parametrize("step", [1, 1000, 64 * 48 * 3, 100_000])
def test_raw_frames(step: int) -> None:
    file: Any = Dribble(raw(3), step)
    with raw_frames(file, SIZE, 25, every_frame=True) as frames:
        found = list(frames)
    assert [number_of(f.pixels) for f in found] == [0, 1, 2]
    assert [f.t for f in found] == [0, 0.04, 0.08]
    assert np.array_equal(found[1].pixels, numbered(1))
    assert (frames.frames_read, frames.fault, frames.size) == (3, None, SIZE)
    assert (frames.duration, frames.rate) == (None, 25)


def test_raw_frames_are_sampled_like_clips() -> None:
    with raw_frames(io.BytesIO(raw(60)), SIZE, 30) as frames:
        assert [number_of(f.pixels) for f in frames] == [0, 8, 15, 23, 30, 38, 45, 53]
    assert frames.frames_read == 60
    with raw_frames(io.BytesIO(raw(60)), SIZE, 30, fps=1) as frames:
        assert [number_of(f.pixels) for f in frames] == [0, 30]


def test_raw_frames_cut_short() -> None:
    with raw_frames(io.BytesIO(raw(3)[:-1]), SIZE, 25, every_frame=True) as frames:
        assert len(list(frames)) == 2
    assert frames.fault is not None and "9215 of 9216 bytes" in frames.fault
    for data in (b"", b"abc"):
        with raw_frames(io.BytesIO(data), SIZE, 25) as frames:
            with pytest.raises(PictureError, match="not one frame"):
                next(frames)
            assert list(frames) == []


@pytest.mark.parametrize(
    ("size", "rate"),
    [
        ((0, 5), 25),
        ((5, -1), 25),
        ((1 << 20, 1 << 20), 25),
        (SIZE, 0),
        (SIZE, math.nan),
        (SIZE, -2),
    ],
)
def test_raw_frames_that_cannot_be(size: tuple[int, int], rate: float) -> None:
    with pytest.raises(InputError):
        raw_frames(io.BytesIO(), size, rate)


def pipe() -> tuple[IO[bytes], int]:
    reading, writing = os.pipe()
    return os.fdopen(reading, "rb"), writing


@pytest.mark.skipif(sys.platform == "win32", reason="pipes cannot be waited for")
def test_raw_frames_of_a_quiet_pipe_can_be_left() -> None:
    file, writing = pipe()
    with file, raw_frames(file, SIZE, 25, every_frame=True) as frames, prefetch(frames, 2) as items:
        os.write(writing, raw(1) + b"half")
        assert number_of(next(items).pixels) == 0
    assert not [t for t in threading.enumerate() if t.name == "minimeso-prefetch"]
    assert frames.fault is None
    os.close(writing)


def test_raw_frames_of_a_pipe() -> None:
    file, writing = pipe()

    def write() -> None:
        with os.fdopen(writing, "wb") as end:
            end.write(raw(30))

    writer = threading.Thread(target=write)
    writer.start()
    with file, raw_frames(file, SIZE, 25, every_frame=True) as frames:
        assert [number_of(f.pixels) for f in frames] == list(range(30))
    writer.join()


# --- real clips --------------------------------------------------------------------------


@pytest.fixture
def real_clips() -> Path:
    folder = os.environ.get("MINIMESO_DATA")
    if not folder or not (Path(folder) / "videos" / "videos.csv").is_file():
        pytest.skip("MINIMESO_DATA does not name a folder with videos/")
    return Path(folder) / "videos"


def test_real_clips(real_clips: Path) -> None:
    with (real_clips / "videos.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows
    for row in rows:
        path = real_clips / row["file"]
        assert is_clip(path)
        with open_clip(path, every_frame=True) as clip:
            count = sum(1 for _ in clip)
        wanted = (int(row["frames"]), int(row["frames"]), None)
        assert (count, clip.frames_read, clip.fault) == wanted, row["file"]
        assert clip.size == (int(row["width"]), int(row["height"]))
        with open_clip(path) as clip:
            times = [t for t, _ in clip]
        assert clip.frames_read == wanted[0] and clip.fault is None
        assert clip.duration is not None
        assert len(times) == pytest.approx(clip.duration * 4, abs=1.5)


def test_a_gif_whose_pictures_have_no_times_is_whole(tmp_path: Path) -> None:
    """FFmpeg takes them for one packet, and shows the first."""
    first, second = (Image.fromarray(numbered(number)) for number in (1, 2))
    first.save(tmp_path / "still.gif", save_all=True, append_images=[second])
    with open_clip(tmp_path / "still.gif") as clip:
        assert [t for t, _ in clip] == [0.0] and clip.fault is None
