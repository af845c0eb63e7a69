"""Raw frames from files and pipes."""

from __future__ import annotations

import io
import math
import os
import sys
import threading
from typing import IO, Any

import numpy as np
import pytest
from support.clips import (
    SIZE,
    number_of,
    numbered,
)

from minimeso import InputError, PictureError
from minimeso.media.prefetch import prefetch
from minimeso.media.video import raw_frames


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
        (SIZE, "25"),
        (64, 25),
        ((64.5, 48), 25),
        (("64", "48"), 25),
        ((64, 48, 3), 25),
        ((math.inf, 48), 25),
    ],
)
def test_raw_frames_that_cannot_be(size: Any, rate: Any) -> None:
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


def test_raw_frames_of_what_only_reads() -> None:
    """An object of somebody's own, which the system knows nothing of."""

    class Reads:
        read = staticmethod(io.BytesIO(raw(4)).read)

    file: Any = Reads()
    with raw_frames(file, SIZE, 25, every_frame=True) as frames:
        assert [number_of(f.pixels) for f in frames] == list(range(4))


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
