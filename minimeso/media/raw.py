"""Raw frames: pixels without any container, as other programs write them into a pipe."""

from __future__ import annotations

import select
from typing import IO

import numpy as np

from ..checks import is_number
from ..errors import InputError
from ..notes import Note
from .clip import MAX_FPS, MAX_PIXELS, Clip, Convert, checked_fps
from .opening import text_of

#: Seconds after which a wait for a pipe asks whether it is still wanted.
_SLICE = 0.2


def raw_frames(
    file: IO[bytes],
    size: tuple[int, int],
    rate: float,
    fps: float | None = None,
    every_frame: bool = False,
) -> Clip:
    """Frames without any container from a file or pipe: rgb24, row by row, no gaps.

    Args:
        file: a binary stream; what it has read ahead is used up.  It is not closed.
        size: width and height.
        rate: frames a second that the stream holds.
        fps, every_frame: which of them to take, as for ``open_clip``.

    Returns:
        An iterator of ``(t, pixels)``.  An incomplete last frame makes its ``faults``.

    Raises:
        InputError: a size or rate that cannot be.
    """
    return _RawFrames(file, size, rate, checked_fps(fps, every_frame))


class _RawFrames(Clip):
    """rgb24 without a container."""

    _remedy = "send frames of the size that is named"

    def __init__(
        self, file: IO[bytes], size: tuple[int, int], rate: float, fps: float | None
    ) -> None:
        super().__init__(fps)
        width, height = _checked_size(size)
        if not is_number(rate) or not 0 < rate <= MAX_FPS:
            raise InputError(f"rate {rate!r}: give the frames a second, above 0, at most 1000")
        self.size = width, height
        self.rate = float(rate)  # PyAV has fractions, and times would be such
        self.path = str(getattr(file, "name", "")) or None
        self._file = file
        self._bytes = width * height * 3

    def _read(self) -> tuple[float, bytearray] | None:
        frame = bytearray(self._bytes)
        view, filled = memoryview(frame), 0
        while filled < self._bytes:
            count = self._read_some(view[filled:])
            if count == 0:
                if filled and not self._stopped:
                    whole = self._bytes
                    self.faults = (Note("incomplete_frame", {"count": filled, "whole": whole}),)
                return None
            filled += count
        assert self.rate is not None
        t = self.frames_read / self.rate
        self.frames_read += 1
        return t, frame

    def _read_some(self, view: memoryview) -> int:
        """At least a byte, as much as is there; 0 at the end or when nobody wants it any more.

        Waiting for a pipe is left every now and then, so that the thread that waits can be ended:
        one inside a read holds a lock that Python needs on its way out.
        """
        try:
            while not self._stopped and not select.select([self._file], [], [], _SLICE)[0]:
                pass
        except (OSError, TypeError, ValueError):  # no file of the system, or Windows: just read
            pass
        if self._stopped:
            return 0
        try:
            read_some = getattr(self._file, "read1", self._file.read)
            data = read_some(len(view))
        except (OSError, ValueError) as error:  # ValueError: closed
            self.faults = (Note("reading_stopped", {"reason": text_of(error)}),)
            return 0
        view[: len(data or b"")] = data or b""
        return len(data or b"")

    def _conversion_of(self, frame: bytearray) -> Convert:
        pixels = np.frombuffer(frame, np.uint8).reshape(self.size[1], self.size[0], 3)
        return lambda: pixels

    def _release(self) -> None:
        pass


def _checked_size(size: tuple[int, int]) -> tuple[int, int]:
    """Width and height; ``InputError`` if there are no such frames."""
    is_pair = isinstance(size, (tuple, list)) and len(size) == 2
    if not is_pair or not all(is_number(n) and n >= 1 and n % 1 == 0 for n in size):
        raise InputError(f"size {size!r}: give width and height in pixels")
    width, height = int(size[0]), int(size[1])
    if width * height > MAX_PIXELS:
        raise InputError(f"frames of {width} x {height}: up to {MAX_PIXELS} pixels can be read")
    return width, height
