"""A clip: frames one after the other, each with its time, of which as many are given as wanted.

The base of all sources of frames.  They are iterators that hold one frame at a time, so memory does
not grow with the clip, and any thread may end them.
"""

from __future__ import annotations

import math
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from ..checks import float_of, is_flag, is_number
from ..closing import Closing
from ..errors import InputError, PictureError
from ..notes import Code, Note, joined
from .partial import AnyPixels, PartialFrame
from .pixels import Pixels

#: Frames a second that are taken by default: a face does not change its origin within a quarter of
#: a second, four looks at it in a second average out one that blinks or blurs, and the frames
#: between two looks that nothing else refers to (about half of them) need not even be decoded.
DEFAULT_FPS = 4.0
#: What is taken for a rate at all.
MAX_FPS = 1000.0
#: A little more than 8K.  Larger frames are taken for a bomb: a decoder holds a dozen of them.
MAX_PIXELS = 8192 * 4608
#: Of an animated picture a little more than 4K: a hundred bytes of one take 19 bytes a pixel.
MAX_ANIMATED_PIXELS = 4096 * 2304
#: What a clip without a name is called.
NAMELESS = "stream"


class Timed(NamedTuple):
    """A frame: ``t`` in seconds from the start, ``pixels`` (H, W, 3) uint8 RGB, upright."""

    t: float
    pixels: Pixels


#: Makes the pixels of a frame; None if that fails.  See also ``parts_of``.
Convert = Callable[[], Pixels | None]


def parts_of(convert: Convert) -> AnyPixels | None:
    """The pixels, which may be made where they are looked at; None if that fails."""
    parts = getattr(convert, "parts", None)
    found: PartialFrame | None = parts() if parts is not None else None
    return convert() if found is None else found


class Clip(Closing, ABC):
    """Frames of a clip or a pipe: an iterator of ``Timed``, and a context manager.

    Times grow strictly.  Of each stretch of 1 / fps seconds the first intact frame is given, so the
    sampling goes by time, whatever the frame rate does.

    Attributes:
        path: name of the file or stream, None if it has none.
        frames_read: frames that went by so far, given or not.
        duration: seconds, as the file says; None if unknown.
        rate: frames a second, as the file says; None if unknown.
        size: width and height of the (first) frame as a person sees it.
        faults: at the end of the iteration, what could not be read.
        fault: the same in words; None if nothing.
        remarks: what was done to the frames, so far, and what of the file they are.
        was_stopped: whether ``stop`` ended it.
        starts_at: seconds of the clip where its first frame is looked for: 0 but for a piece of it.
        zero: seconds of its first frame by the clock of the file, where times count from; ``None``
            until that is known.
        doubt: a note if nobody in the frames given so far can be called real, or fake.
    """

    path: str | None = None
    frames_read: int = 0
    duration: float | None = None
    rate: float | None = None
    size: tuple[int, int] = (0, 0)
    faults: tuple[Note, ...] = ()
    remarks: tuple[Note, ...] = ()
    was_stopped: bool = False
    starts_at: float = 0.0
    zero: float | None = None
    doubt: Note | None = None
    #: What to do about a source without one whole frame.
    _remedy = "copy or download it again"

    def __init__(self, fps: float | None) -> None:
        self._fps = fps
        self._stretch = -1
        self._given = 0  # frames that went to be converted; only the thread that reads counts them
        self._starved = False  # whether a frame was lost to want of memory, and not to damage
        self._failed = 0  # of those, the frames that could not be; under ``_counting``
        self._ended = False  # by itself
        self._counting = threading.Lock()  # short, as ``_lock`` is held while a frame is decoded
        self._stopped = False
        self._lock = threading.Lock()  # nothing may be freed while another thread uses it

    @property
    def fault(self) -> str | None:
        return joined(self.faults)

    @property
    def is_over(self) -> bool:
        """Whether it was read to its end or closed, and not left by ``stop``: nothing comes."""
        return self._stopped and not self.was_stopped

    def __iter__(self) -> Iterator[Timed]:
        return self

    def __next__(self) -> Timed:
        while True:
            try:
                t, convert = self.next_unconverted()
            except StopIteration:
                self.require_frames()
                raise
            pixels = convert()
            if pixels is not None:
                return Timed(t, pixels)

    def unconverted(self) -> Unconverted:
        """The same frames, whose pixels another thread may convert."""
        return Unconverted(self)

    def next_unconverted(self) -> tuple[float, Convert]:
        """The time of the next frame, and what makes its pixels, or None if that fails.

        When all are converted, ask ``require_frames`` whether any could be.

        Raises:
            StopIteration: there is none.
            PictureError: there was none at all.
        """
        with self._lock:
            was_stopped = self._stopped
            found = self._next_due()
        if found is not None:
            return found
        was_stopped = was_stopped or self._stopped
        self.close()
        if self._given == 0 and not was_stopped:
            raise self._without_frames()
        raise StopIteration

    def require_frames(self) -> None:
        """Ask, when all frames of a clip that ended by itself are converted, whether any could be.

        Reading and converting may run in threads of their own, so only who knows that both are
        over can tell a clip without one whole frame.

        Raises:
            PictureError: none could be.
        """
        with self._counting:
            none = self._ended and self._failed == self._given > 0
        if none:
            self._ended = False  # said once, as by any iterator
            raise self._without_frames()

    def _without_frames(self) -> PictureError:
        reason = f" ({self.fault})" if self.fault else ""
        remedy = "free memory, or allow more" if self._starved else self._remedy
        return PictureError(f"{self.path or NAMELESS}: not one frame can be read{reason}: {remedy}")

    def _ask_why(self, error: Exception) -> None:
        """A frame was lost to this; FFmpeg's ``BlockingIOError`` says that no thread is to be had,
        for want of memory as a rule."""
        self._starved = self._starved or isinstance(error, (MemoryError, BlockingIOError))

    def _left_out(self, frames: int) -> Note:
        """What is said of so many frames that could not be had."""
        code: Code = "frames_without_memory" if self._starved else "damaged_frames"
        return Note(code, {"frames": frames})

    def _next_due(self) -> tuple[float, Convert] | None:
        while not self._stopped:
            found = self._read()
            if found is None:
                break
            t, frame = found
            if self._is_due(t):
                convert = self._conversion_of(frame)
                if convert is not None:
                    self._stretch = self._stretch_of(t)
                    self._given += 1
                    return t, convert
        if not self._stopped:
            with self._counting:
                self._ended = True
                self._sum_up()
        return None

    def stop(self) -> None:
        """Ask, from any thread, that the iteration ends at its next step."""
        self.was_stopped = self.was_stopped or not self._stopped
        self._stopped = True

    def close(self) -> None:
        """Free everything; the iteration is over, the attributes stay."""
        self._stopped = True
        self._release()

    def __del__(self) -> None:
        self.close()  # PyAV's objects hold each other, so nothing else would free them soon

    def _stretch_of(self, t: float) -> int:
        # 1e-6: 0.25 s in a file that counts in 1/90000 s is not always 0.25 s
        return int((t + 1e-6) * self._fps) if self._fps else -1

    def _is_due(self, t: float) -> bool:
        return not self._fps or self._stretch_of(t) > self._stretch

    @abstractmethod
    def _read(self) -> tuple[float, Any] | None:
        """The next frame and its time, None at the end."""

    @abstractmethod
    def _conversion_of(self, frame: Any) -> Convert | None:
        """What makes the frame's pixels, (H, W, 3) RGB, upright; None if that fails already."""

    def _has_failed(self) -> None:
        """A frame could not be converted; any thread may say so, even after the last frame."""
        with self._counting:
            self._failed += 1
            if self._ended:
                self._sum_up()

    def _sum_up(self) -> None:
        """Say in ``faults`` what is missing, now that the last frame has gone by.

        ``_counting`` is held.
        """

    @abstractmethod
    def _release(self) -> None:
        """Free everything; called more than once, and after a constructor that failed."""


def checked_fps(fps: float | None, every_frame: bool) -> float | None:
    """How many frames a second to take, None for all; ``InputError`` if that makes no sense."""
    if not is_flag(every_frame):
        raise InputError(f"every_frame {every_frame!r}: give True or False")
    if every_frame:
        if fps is not None:
            raise InputError(f"fps {fps} and every frame: choose one of them")
        return None
    if fps is None:
        return DEFAULT_FPS
    if not is_number(fps) or not 0 < fps <= MAX_FPS:
        raise InputError(f"fps {fps!r}: give a number above 0 and at most {MAX_FPS:.0f}")
    return float(fps)


def checked_rate(rate: float) -> float:
    """Frames a second of what comes from elsewhere; ``InputError`` if that makes no sense."""
    found = float_of(rate)
    if not 0 < found < math.inf:
        raise InputError(f"rate {rate!r}: give the frames a second, above 0")
    return found


class Unconverted:
    """Frames of a clip, each as its time and what makes its pixels, which may run elsewhere."""

    def __init__(self, clip: Clip) -> None:
        self._clip = clip

    def __iter__(self) -> Iterator[tuple[float, Convert]]:
        return self

    def __next__(self) -> tuple[float, Convert]:
        return self._clip.next_unconverted()

    def stop(self) -> None:
        """Ask, from any thread, that the iteration ends at its next step."""
        self._clip.stop()
