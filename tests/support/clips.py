"""Clips that the tests make themselves, each frame with its number written into it."""

from __future__ import annotations

import io
import itertools
import tempfile
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from minimeso import PictureError
from minimeso.media.video import open_clip

Pixels = npt.NDArray[np.uint8]

SIZE = (64, 48)
#: How a number is written: blocks in a row, the lowest bit first.
_BITS = 8


def numbered(number: int, size: tuple[int, int] = SIZE) -> Pixels:
    """(H, W, 3): the upper half says the number in black and white, the lower half is red/blue."""
    width, height = size
    pixels = np.zeros((height, width, 3), np.uint8)
    for bit in range(_BITS):
        if number >> bit & 1:
            pixels[: height // 2, bit * width // _BITS : (bit + 1) * width // _BITS] = 255
    pixels[height // 2 :, : width // 2] = (200, 30, 30)
    pixels[height // 2 :, width // 2 :] = (30, 30, 200)
    return pixels


def number_of(pixels: Pixels) -> int:
    """What ``numbered`` wrote, after any codec."""
    height, width = pixels.shape[:2]
    row = pixels[: height // 2].mean(axis=(0, 2))
    blocks = [row[bit * width // _BITS : (bit + 1) * width // _BITS] for bit in range(_BITS)]
    return sum(int(block.mean() > 127) << bit for bit, block in enumerate(blocks))


def clip_bytes(
    kind: str = "mp4",
    codec: str = "mpeg4",
    frames: int | Sequence[Pixels] = 10,
    *,
    rate: int = 25,
    stamps: Sequence[int] | None = None,
    pix_fmt: str | None = None,
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    size: tuple[int, int] = SIZE,
    set_up: Callable[[Any], None] | None = None,
    sound: bool = False,
) -> bytes:
    """A clip in memory.

    Args:
        kind: name of FFmpeg's muxer.
        codec: name of the encoder.
        frames: how many numbered ones, or the frames themselves.
        stamps: time stamps in units of 1 / rate.
        pix_fmt, options: of the encoder.
        container_options: of the muxer.
        set_up: called with the stream before the first frame.
        sound: add a second of silence.
    """
    import av

    pictures = [numbered(n, size) for n in range(frames)] if isinstance(frames, int) else frames
    with tempfile.TemporaryDirectory() as folder:  # some muxers read again what they wrote
        path = Path(folder) / "clip"
        with av.open(str(path), "w", format=kind, options=container_options or {}) as container:
            stream: Any = container.add_stream(codec, rate=rate, options=options or {})
            stream.height, stream.width = pictures[0].shape[:2]
            if pix_fmt is not None:
                stream.pix_fmt = pix_fmt
            if set_up is not None:
                set_up(stream)
            if sound:
                _add_silence(container)
            for number, picture in enumerate(pictures):
                frame = av.VideoFrame.from_ndarray(picture, "rgb24")
                frame.pts = number if stamps is None else stamps[number]
                frame.time_base = Fraction(1, rate)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return path.read_bytes()


def clip_file(folder: Path, name: str = "clip.mp4", **arguments: Any) -> Path:
    """``clip_bytes`` in a file."""
    path = folder / name
    path.write_bytes(clip_bytes(**arguments))
    return path


def sound_bytes(kind: str = "mp4", cover: bool = False) -> bytes:
    """A file with sound only, or with a cover picture as well."""
    import av
    from av.stream import Disposition

    file = io.BytesIO()
    with av.open(file, "w", format=kind) as container:
        if cover:
            picture: Any = container.add_stream("mjpeg", rate=1)
            picture.width, picture.height, picture.pix_fmt = 64, 48, "yuvj420p"
            picture.disposition = Disposition.attached_pic
        _add_silence(container)
        if cover:
            container.mux(picture.encode(av.VideoFrame.from_ndarray(numbered(0), "rgb24")))
            container.mux(picture.encode(None))
    return file.getvalue()


def _add_silence(container: Any) -> None:
    import av

    stream = container.add_stream("aac", rate=44100)
    for start in range(0, 44100, 1024):
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate, frame.pts = 44100, start
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def animation_bytes(kind: str, frames: int = 6, milliseconds: int = 200) -> bytes:
    """An animated GIF, PNG or WEBP, by Pillow."""
    from PIL import Image

    images = [Image.fromarray(numbered(n)) for n in range(frames)]
    file = io.BytesIO()
    more: dict[str, Any] = {"lossless": True} if kind == "WEBP" else {}
    images[0].save(
        file, kind, save_all=True, append_images=images[1:], duration=milliseconds, **more
    )
    return file.getvalue()


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
    import av

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
