"""Clips that come through a pipe: read if their file would be, whatever they begin with."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from typing import Any

import pytest
from support.clips import KINDS, made, number_of

from minimeso.media import streams
from minimeso.media.folders import skipped_kind
from minimeso.media.pictures import Unreadable
from minimeso.media.streams import stream_of
from minimeso.media.video import is_clip, open_clip

pytest.importorskip("av")

MPEG2 = "mpeg2video", "yuv420p"
#: Those of ``KINDS`` and what cameras and recorders write besides.
KNOWN = [*KINDS, ("nut", "mpeg4", None), ("wtv", *MPEG2), ("dv", "dvvideo", "yuv420p")]
OTHERS = [("m4v", "mpeg4", None), ("h263", "h263", None), ("obu", "libsvtav1", "yuv420p"),
          ("film_cpk", "cinepak", "rgb24")]  # fmt: skip


class Pipe(io.RawIOBase):
    """Cannot be sought, and counts what was taken from it."""

    def __init__(self, more: Callable[[int], bytes]) -> None:
        self.more, self.taken = more, 0

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any) -> int:
        data = self.more(len(target))
        target[: len(data)] = data
        self.taken += len(data)
        return len(data)


def numbers(data: bytes) -> list[int]:
    with stream_of(io.BufferedReader(Pipe(io.BytesIO(data).read))) as stream:
        assert is_clip(stream)
        with open_clip(stream, every_frame=True) as clip:
            return [number_of(frame.pixels) for frame in clip]


def clip_of(kind: str, codec: str, pix_fmt: str | None, **more: Any) -> bytes:
    size = (720, 576) if kind == "dv" else (176, 144)
    return made(kind, codec, pix_fmt, size=size, **more)


@pytest.mark.parametrize(("kind", "codec", "pix_fmt"), [*KNOWN, *OTHERS])
def test_what_a_file_may_be_a_pipe_may(kind: str, codec: str, pix_fmt: str | None) -> None:
    found = numbers(clip_of(kind, codec, pix_fmt, rate=30 if kind == "h263" else 25))
    assert found == list(range(len(found))) and len(found) >= 8


def test_transport_streams_of_cameras_and_from_any_packet_on() -> None:
    """AVCHD writes four bytes before each packet; who records a broadcast begins anywhere."""
    camera = clip_of("mpegts", *MPEG2, container_options={"mpegts_m2ts_mode": "1"})
    assert camera[4:5] == camera[196:197] == b"G" and numbers(camera) == list(range(10))
    broadcast = clip_of("mpegts", *MPEG2, frames=40, options={"g": "10"})
    assert len(numbers(broadcast[188 * 7 :])) >= 20


@pytest.mark.parametrize("kind", [kind for kind, _, _ in KNOWN if kind not in ("h264", "dv")])
def test_a_file_without_an_ending_is_looked_at(tmp_path: Any, kind: str) -> None:
    codec, pix_fmt = next((codec, pix_fmt) for name, codec, pix_fmt in KNOWN if name == kind)
    (tmp_path / "clip").write_bytes(clip_of(kind, codec, pix_fmt))
    assert skipped_kind("clip", str(tmp_path / "clip")) is None


@pytest.mark.parametrize(
    "more",
    [lambda size: bytes(size), os.urandom, lambda size: (b"y\n" * size)[:size]],
    ids=["zeros", "noise", "yes"],
)
def test_what_never_ends_is_not_kept(more: Callable[[int], bytes]) -> None:
    pipe = Pipe(more)
    with pytest.raises(Unreadable, match=r"neither a picture nor a clip|no clip"):
        stream_of(io.BufferedReader(pipe))
    assert pipe.taken <= 2 * streams._PROBED_BYTES


def test_without_pyav(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "has_pyav", lambda: False)
    with pytest.raises(Unreadable, match="neither a picture nor a clip of a known format"):
        stream_of(io.BufferedReader(Pipe(io.BytesIO(b"some text" * 99).read)))


def test_nothing_at_all(tmp_path: Any) -> None:
    """An empty file on standard input, which can be sought, or a pipe."""
    (tmp_path / "empty").write_bytes(b"")
    with (tmp_path / "empty").open("rb") as file:
        for nothing in (file, io.BufferedReader(Pipe(lambda _: b""))):
            with pytest.raises(Unreadable, match="nothing comes from it"):
                stream_of(nothing)
