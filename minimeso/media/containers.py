"""Containers: what a file promises of its clip, its time stamps, and whether it is all there."""

from __future__ import annotations

import math
import os
from typing import IO, TYPE_CHECKING

from .clip import MAX_FPS
from .formats import format_of
from .sample_tables import MAX_PARTS

if TYPE_CHECKING:
    from av import Packet
    from av.container import InputContainer
    from av.video.stream import VideoStream

#: Frames a second where the file names none.
_USUAL_RATE = 25.0
#: Seconds that browsers take for no time at all when a picture moves, and how long they show such a
#: frame instead.
NO_TIME, INSTEAD = 0.01, 0.1
#: FFmpeg's flag of containers in which frames have no times.
_NO_STAMPS = 0x80
#: FFmpeg's names of moving pictures; a WebP is read by Pillow.
_MOVING_PICTURES = ("gif", "apng")
#: Those whose length counts from zero, wherever their first frame is, as in what was recorded of a
#: live stream; and what mkvmerge writes beside lengths that count from the first frame.
_FROM_ZERO = ("matroska,webm", "asf", "flv", "nut")
_FROM_FIRST = "_STATISTICS_TAGS"
#: Times of frames are rounded; so much is no difference.
_SAME = 1e-6
#: How the outermost parts of an MP4 file are called, of which one is its first.
_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")
#: Parts without which frames would be missing.  Behind the last part cameras append what is none
#: (Insta360, Samsung), and its bytes say any length.
_NEEDED = (b"moov", b"mdat", b"moof", b"styp", b"sidx", b"emsg", b"prft")
_TAIL_BYTES = 1024
_TS_PACKET = 188  # bytes of a packet of an MPEG transport stream, which begins with G
#: How containers begin: offset, content.  Only to tell who lacks PyAV what the file is; FFmpeg
#: looks for itself.
_SIGNATURES: tuple[tuple[int, bytes], ...] = (
    *((4, kind) for kind in (*_BOXES, b"styp", b"sidx", b"moof")),  # the last: pieces of a clip
    (0, b"\x1a\x45\xdf\xa3"), (8, b"AVI "), (0, b"FLV\x01"), (0, b"OggS"), (0, b"G@"),
    (0, b"\0\0\x01\xba"), (0, b"\0\0\x01\xb3"), (0, b"\0\0\0\x01"), (0, b"\x30\x26\xb2\x75"),
    (0, b"DKIF"), (0, b"YUV4MPEG2"), (0, b".RMF"), (0, b"\x06\x0e\x2b\x34"), (0, b"\x1f\x07\0"),
    (0, b"nut/multimedia container"), (0, b"\xb7\xd8\0\x20\x37\x49\xda\x11"),
)  # fmt: skip


def begins_like_a_clip(start: bytes) -> bool:
    """Whether a file that starts so is a clip (or sound in the same container)."""
    if any(start.startswith(content, offset) for offset, content in _SIGNATURES):
        return True
    # a transport stream from any packet on; those of cameras (AVCHD) have four bytes before each
    return any(
        start[first::step][:2] == b"GG" for first, step in ((0, _TS_PACKET), (4, _TS_PACKET + 4))
    )


def is_named(start: bytes) -> bool:
    """Whether a file that starts so says what it is, and that it is no MPEG transport stream."""
    named = any(start.startswith(content, offset) for offset, content in _SIGNATURES)
    return (named and not start.startswith(b"G@")) or format_of(start) is not None


def rate_of(stream: VideoStream) -> float | None:
    """Frames a second, None if unknown or absurd."""
    rates = [stream.average_rate, stream.guessed_rate]
    if int(stream.container.format.flags) & _NO_STAMPS:  # FFmpeg takes 25, whatever the codec says
        rates.reverse()
    for rate in rates:
        if rate and 0 < rate <= MAX_FPS:
            return float(rate)
    return None


def duration_of(container: InputContainer, stream: VideoStream) -> float | None:
    """Seconds of the picture track, else of the whole file, from the first picture on."""
    seconds, from_zero = seconds_of(stream), container.format.name in _FROM_ZERO
    if seconds is None and container.duration:
        seconds = container.duration / 1e6
    else:
        from_zero = from_zero and _FROM_FIRST not in stream.metadata
    if seconds and from_zero and stream.start_time and stream.time_base:
        start = float(stream.start_time * stream.time_base)
        seconds -= start if 0 < start < seconds else 0.0
    return _positive(seconds or 0.0)


def seconds_of(stream: VideoStream) -> float | None:
    """Seconds of a track, 0 for a cover that was copied into a Matroska file; None if it does not
    say."""
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    hours, minutes, seconds = (stream.metadata.get("DURATION", "").split(":") + [""] * 3)[:3]
    try:
        return 3600 * int(hours) + 60 * int(minutes) + float(seconds)
    except (ValueError, OverflowError):  # only Matroska has it
        return None


class Promise:
    """Packets that a file says it has, and those that have come.

    Args:
        stream: its picture track.
        kind: FFmpeg's name of the container.
    """

    def __init__(self, stream: VideoStream, kind: str) -> None:
        self._count: int = 0 if kind == "gif" else stream.frames  # a GIF may be one packet
        self._share = 0.98
        if kind.startswith("mov"):  # its index is exact
            self._share = 1
            # an edit list, as of a trimmed clip, leaves out some of its samples
            self._count = min(self._count, len(getattr(stream, "index_entries", ())) or self._count)
        self._is_avi = kind == "avi"
        self._come = self._reached = 0

    def count(self, packet: Packet) -> None:
        """One has come."""
        self._come += 1
        if self._is_avi and packet.dts is not None:  # AVI numbers those that recording dropped, too
            self._reached = max(self._reached, packet.dts + 1)

    @property
    def is_kept(self) -> bool:
        """Whether all have come, or it promised nothing."""
        return max(self._come, self._reached) >= self._share * self._count


def _positive(seconds: float) -> float | None:
    return seconds if math.isfinite(seconds) and seconds > 0 else None


class Clock:
    """Time stamps as they are in files become times that start at 0 and grow.

    A stamp that is missing is a frame's length after the last; one that repeats or goes back a
    little (in files that number frames in another order than they show them) counts a millisecond.
    One that goes back by more than a second, stands still for eight frames, or leaps beyond the end
    of the clip means that the file's clock was set anew, as where recordings were joined: from
    there on the times continue where they were; a stamp that stands on counts a frame's length.
    Moving pictures move as in a browser.

    Args:
        rate: frames a second, if known.
        duration: of the clip in seconds, if known.
        zero: stamp in seconds of the first frame of the clip, where reading begins at a later one.
        kind: FFmpeg's name of the container.  Matroska's times are not set anew in the middle, so
            where it does not say how long it is, as what a browser recorded, no leap is too far.

    Attributes:
        zero: stamp in seconds from which the times count now.
    """

    def __init__(
        self,
        rate: float | None,
        duration: float | None,
        zero: float | None = None,
        kind: str = "",
    ) -> None:
        self.step = 1 / (rate or _USUAL_RATE)
        self.t: float | None = None
        self.zero = zero
        self._stuck = 0
        self._stood: float | None = None  # the stamp that stood still for eight frames
        self._stamp: float | None = None  # the last one
        self._moves_as_in_browsers = kind in _MOVING_PICTURES
        may_leap = duration is None and kind.startswith("matroska")
        self._longest = math.inf if may_leap else max(duration or 0.0, 60.0)

    def read(self, stamp: float | None) -> float:
        """The time of the next frame, whose stamp in seconds is this one, if it has one."""
        after = 0.0 if self.t is None else self.t + self.step
        if stamp is not None and self.zero is None:
            self.zero = stamp - after
        if stamp is None or self.zero is None:
            self.t = after
            return after
        if self._moves_as_in_browsers and self._stamp is not None:
            shown = stamp - self._stamp
            self.zero -= INSTEAD - shown if 0 < shown <= NO_TIME + _SAME else 0.0
        self._stamp = stamp
        t = stamp - self.zero
        if self.t is None:
            self.t = t
            return t
        self._stuck = self._stuck + 1 if t <= self.t else 0
        is_set_anew = t < self.t - 1 or t - self.t > self._longest
        if is_set_anew or self._stuck >= 8 or stamp == self._stood:
            self._stood = None if is_set_anew else stamp
            self.zero, self._stuck = stamp - after, 0
            t = after
        self.t = max(t, self.t + 1e-3)
        return self.t


def ends_early(file: IO[bytes]) -> bool:
    """Whether a file is shorter than its outermost parts say, or its last part is missing.

    Told of MP4, Matroska, AVI, MPEG transport streams, GIF and PNG files.
    """
    try:
        length = file.seek(0, os.SEEK_END)
        file.seek(max(0, length - _TAIL_BYTES))
        tail = file.read(_TAIL_BYTES)
        file.seek(0)
        start = file.read(2 * _TS_PACKET + 1)
        return _reaches(file, start, length) > length or not _has_end(start, tail)
    except (OSError, ValueError, IndexError):  # it changes while it is read, or nothing adds up
        return False


def _reaches(file: IO[bytes], start: bytes, length: int) -> int:
    if start[4:8] in _BOXES:
        begin, end = _last_box(file, length)
        file.seek(begin + 4)
        return end if file.read(4) in _NEEDED else 0
    if start[:4] == b"RIFF":
        return 8 + int.from_bytes(start[4:8], "little")
    if start[:4] == b"\x1a\x45\xdf\xa3":
        return _segment_reaches(start)
    if not start.startswith(b"GIF8") and start[::_TS_PACKET] == b"GGG":
        return -(-length // _TS_PACKET) * _TS_PACKET
    return 0


def _has_end(start: bytes, tail: bytes) -> bool:
    if start.startswith(b"GIF8"):
        return tail.rstrip(b"\0").endswith(b";")
    return not start.startswith(b"\x89PNG") or b"IEND" in tail


def last_whole_box(file: IO[bytes]) -> int | None:
    """Where the first part of an MP4 file begins that is not all there, if others go before it."""
    try:
        length = file.seek(0, os.SEEK_END)
        file.seek(4)
        if file.read(4) not in _BOXES:
            return None
        start, end = _last_box(file, length)
    except OSError:
        return None
    return start if start > 0 and end > length else None


def _last_box(file: IO[bytes], length: int) -> tuple[int, int]:
    """Where the last of the parts of an MP4 file begins, and where it ends if it is all there."""
    start = end = 0
    for _ in range(MAX_PARTS):
        if end + 8 > length:
            break
        start = end
        file.seek(start)
        size = int.from_bytes(file.read(4), "big")
        if size == 1:
            file.seek(start + 8)
            size = int.from_bytes(file.read(8), "big")
        if size < 8:  # 0: up to the end
            return start, length
        end = start + size
    return start, end


def _segment_reaches(start: bytes) -> int:
    """Where a Matroska file's one segment ends; 0 if it does not say."""
    size, at = _ebml_number(start, 4)
    at += size
    if start[at : at + 4] != b"\x18\x53\x80\x67":
        return 0
    length = 8 - (start[at + 4].bit_length() - 1)
    size, at = _ebml_number(start, at + 4)
    return 0 if size == (1 << 7 * length) - 1 else at + size


def _ebml_number(data: bytes, at: int) -> tuple[int, int]:
    """A number of variable length (up to 8 bytes), and where it ends."""
    length = 9 - data[at].bit_length()
    number = int.from_bytes(data[at : at + length], "big") & ((1 << 7 * length) - 1)
    return number, at + length
