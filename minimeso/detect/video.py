"""Video: a clip becomes frames, one at a time, each with its time in seconds.

FFmpeg, by way of PyAV (extra ``video``), decodes in threads of its own; memory holds the few frames
that its decoder needs, however long the clip is.  A file is hostile: it is opened here and FFmpeg
gets its bytes only, not its name, so neither the ending counts nor can a playlist make it open
other files or addresses.  Of a damaged file every intact frame is given, then ``fault`` says what
is missing.  Without PyAV raw frames can still be read, and an animation is its first frame.

Colours: the matrix and range that the file names; where it names none BT.601, which is what FFmpeg
writes when it makes a clip of pictures and names none.  Chroma of half size is repeated, as OpenCV
does it, through which nearly everybody's training data came (0.3 ms for a 1280 x 720 frame, where
interpolation costs 2 to 4 ms and changes a pixel by 0.7 levels on average).  Pixels that are not
square are left as they are.
"""

from __future__ import annotations

import functools
import importlib.util
import math
import os
import select
import struct
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

import numpy as np

from ..errors import InputError, PictureError
from .pictures import (
    _SIGNATURE_BYTES,
    _format_of,
    _has_frames,
    _identify,
    _open_regular,
    _pillow_silence,
    _Unreadable,
)
from .pixels import Pixels, rgb_of_image

if TYPE_CHECKING:
    import av
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

#: Endings of the files that are taken from a folder, beside those of pictures.
CLIP_ENDINGS = (
    ".mp4", ".m4v", ".mov", ".qt", ".3gp", ".3g2", ".mkv", ".webm", ".avi", ".divx", ".wmv", ".asf",
    ".flv", ".f4v", ".mpg", ".mpeg", ".m2v", ".vob", ".ts", ".mts", ".m2ts", ".mxf", ".ogv", ".ogm",
    ".h264", ".264", ".h265", ".265", ".hevc", ".ivf", ".y4m", ".rm", ".rmvb",
    ".dv", ".nut", ".wtv",
)  # fmt: skip

#: Frames a second that are taken by default: a face does not change its origin within a quarter of
#: a second, four looks at it in a second average out one that blinks or blurs, and the frames
#: between two looks that nothing else refers to (about half of them) need not even be decoded.
DEFAULT_FPS = 4.0
_MAX_FPS = 1000.0
#: Frames a second where the file names none.
_USUAL_RATE = 25.0

#: 8192 x 8192.  Larger frames are taken for a bomb: the decoder holds a dozen of them.
_MAX_PIXELS = 1 << 26
#: Threads of the decoder; the same everywhere, so that the same frames are skipped everywhere.  On
#: two cores four were no slower than two.
_DECODER_THREADS = 4
#: Decoders in which a packet is a frame, and skipping the frames that no other refers to is exact.
_SKIPPING = ("h264", "hevc")
#: Skipped is only where this many frames lie between two that are wanted.
_SKIPPING_FROM = 3
#: Errors of the container in a row after which nothing more is expected.
_MAX_ERRORS = 64
_BUFFER_BYTES = 1 << 16
#: Seconds after which a wait for a pipe asks whether it is still wanted.
_SLICE = 0.2

#: How containers begin: offset, content.  Only to tell who lacks the extra what the file is;
#: FFmpeg looks for itself.
_CLIP_SIGNATURES: tuple[tuple[int, bytes], ...] = (
    *((4, kind) for kind in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")),
    (0, b"\x1a\x45\xdf\xa3"), (8, b"AVI "), (0, b"FLV\x01"), (0, b"OggS"), (0, b"G@"),
    (0, b"\0\0\x01\xba"), (0, b"\0\0\x01\xb3"), (0, b"\0\0\0\x01"), (0, b"\x30\x26\xb2\x75"),
    (0, b"DKIF"), (0, b"YUV4MPEG2"), (0, b".RMF"), (0, b"\x06\x0e\x2b\x34"),
)  # fmt: skip
#: Pictures that can move.
_ANIMATED = ("GIF", "PNG", "WEBP")
#: What FFmpeg also opens and nobody means by a clip: lists of other files, text as pictures.
_NO_CLIPS = (
    "hls", "dash", "concat", "sdp", "rtsp", "imf", "image2", "ffmetadata", "tty", "bin", "xbin",
    "adf", "idf",
)  # fmt: skip

_COPY_AGAIN = "copy or download it again"
_SAVE_AS = "save it as JPEG, PNG or MP4"
_INSTALL = "needs PyAV: pip install 'minimeso[video]'"

F = TypeVar("F")


class Timed(NamedTuple):
    """A frame: ``t`` in seconds from the start, ``pixels`` (H, W, 3) uint8 RGB, upright."""

    t: float
    pixels: Pixels


class Clip(ABC, Generic[F]):
    """Frames of a clip or a pipe: an iterator of ``Timed``, and a context manager.

    Times grow strictly.  Of each stretch of 1 / fps seconds the first intact frame is given, so the
    sampling goes by time, whatever the frame rate does.

    Attributes:
        path: name of the file or stream, None if it has none.
        frames_read: frames that went by so far, given or not.
        duration: seconds, as the file says; None if unknown.
        rate: frames a second, as the file says; None if unknown.
        size: width and height of the (first) frame as a person sees it.
        fault: None, or, at the end of the iteration, what could not be read.
    """

    path: str | None = None
    frames_read: int = 0
    duration: float | None = None
    rate: float | None = None
    size: tuple[int, int] = (0, 0)
    fault: str | None = None

    def __init__(self, fps: float | None) -> None:
        self._fps = fps
        self._stretch = -1
        self._given = 0
        self._stopped = False
        self._lock = threading.Lock()  # nothing may be freed while another thread uses it

    def __iter__(self) -> Iterator[Timed]:
        return self

    def __next__(self) -> Timed:
        with self._lock:
            was_stopped = self._stopped
            timed = self._next_due()
        if timed is not None:
            return timed
        was_stopped = was_stopped or self._stopped
        self.close()
        if self._given == 0 and not was_stopped:
            reason = f" ({self.fault})" if self.fault else ""
            name = self.path or "stream"
            raise PictureError(f"{name}: not one frame can be read{reason}: {_COPY_AGAIN}")
        raise StopIteration

    def _next_due(self) -> Timed | None:
        while not self._stopped:
            found = self._read()
            if found is None:
                break
            t, frame = found
            if self._is_due(t):
                pixels = self._pixels(frame)
                if pixels is not None:
                    self._stretch = self._stretch_of(t)
                    if self._given == 0:
                        self.size = pixels.shape[1], pixels.shape[0]
                    self._given += 1
                    return Timed(t, pixels)
        if not self._stopped:
            self._sum_up()
        return None

    def stop(self) -> None:
        """Ask, from any thread, that the iteration ends at its next step."""
        self._stopped = True

    def close(self) -> None:
        """Free everything; the iteration is over, the attributes stay."""
        self._stopped = True
        self._release()

    def __enter__(self) -> Clip[F]:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _stretch_of(self, t: float) -> int:
        # 1e-6: 0.25 s in a file that counts in 1/90000 s is not always 0.25 s
        return int((t + 1e-6) * self._fps) if self._fps else -1

    def _is_due(self, t: float) -> bool:
        return not self._fps or self._stretch_of(t) > self._stretch

    @abstractmethod
    def _read(self) -> tuple[float, F] | None:
        """The next frame and its time, None at the end."""

    @abstractmethod
    def _pixels(self, frame: F) -> Pixels | None:
        """The frame in RGB, upright; None if that fails."""

    def _sum_up(self) -> None:
        """Say in ``fault`` what is missing, now that the last frame has gone by."""

    @abstractmethod
    def _release(self) -> None:
        """Free everything; called more than once, and after a constructor that failed."""


def is_clip(path: str | os.PathLike[str]) -> bool:
    """Whether ``open_clip`` is the door for a file, by its content; else ``read_picture`` is.

    Animated GIF, PNG and WebP files are clips where PyAV is installed.  What is no known picture
    is a clip if it begins like one, or if PyAV is there to look closer.  What cannot be opened is
    left to ``read_picture``, which says why.
    """
    try:
        with _open_regular(os.fsdecode(path)) as file, _pillow_silence:
            start = file.read(_SIGNATURE_BYTES)
            name = _format_of(start)
            if name is None:
                return _begins_like_a_clip(start) or _has_pyav()
            if name not in _ANIMATED or not _has_pyav():
                return False
            file.seek(0)
            with _identify(file) as image:
                return _has_frames(image)
    except Exception:  # damaged in a way that read_picture knows words for
        return False


def open_clip(
    path: str | os.PathLike[str], fps: float | None = None, every_frame: bool = False
) -> Clip[Any]:
    """Open a clip: any container and codec that PyAV reads, and animated pictures.

    Args:
        path: a regular file.
        fps: how many frames of a second to take; by default 4.
        every_frame: take them all instead.

    Returns:
        An iterator of ``(t, pixels)``; close it, or use it as a context manager.

    Raises:
        PictureError: PyAV is missing, or the file is no clip or cannot be read; also raised at the
            end of the iteration if no frame at all could be decoded.
        InputError: ``fps`` is no number above 0 (and at most 1000), or stands beside
            ``every_frame``.
    """
    rate = _checked_fps(fps, every_frame)
    name = os.fsdecode(path)
    try:
        file = _open_regular(name)
        try:
            return _open(name, file, rate)
        except BaseException:
            file.close()
            raise
    except _Unreadable as error:
        raise PictureError(f"{name}: {error}") from None


def raw_frames(
    file: IO[bytes],
    size: tuple[int, int],
    rate: float,
    fps: float | None = None,
    every_frame: bool = False,
) -> Clip[Any]:
    """Frames without any container from a file or pipe: rgb24, row by row, no gaps.

    Args:
        file: a binary stream; what it has read ahead is used up.  It is not closed.
        size: width and height.
        rate: frames a second that the stream holds.
        fps, every_frame: which of them to take, as for ``open_clip``.

    Returns:
        An iterator of ``(t, pixels)``.  An incomplete last frame makes its ``fault``.

    Raises:
        InputError: a size or rate that cannot be.
    """
    return _RawFrames(file, size, rate, _checked_fps(fps, every_frame))


# --- clips -------------------------------------------------------------------------------


def _open(name: str, file: IO[bytes], fps: float | None) -> Clip[Any]:
    if not _has_pyav():
        raise _Unreadable(f"a clip {_INSTALL}")
    start = file.read(_SIGNATURE_BYTES)
    file.seek(0)
    kind = _format_of(start)
    if kind == "WEBP":  # FFmpeg's decoder refuses animated ones
        return _Animation(name, file, fps)
    if kind is not None and kind not in _ANIMATED:
        raise _Unreadable(f"a picture ({kind}), no clip: read it as one")
    return _File(name, file, fps, start)


class _File(Clip["VideoFrame"]):
    """A file by PyAV."""

    def __init__(self, name: str, file: IO[bytes], fps: float | None, start: bytes) -> None:
        super().__init__(fps)
        self.path = name
        self._file = file
        self._container: av.container.InputContainer | None = _open_container(file, start)
        try:
            self._set_up(_best_stream(self._container))
        except BaseException:
            self._release()
            raise

    def _set_up(self, stream: VideoStream) -> None:
        from av.stream import Discard
        from av.video.reformatter import VideoReformatter

        assert self._container is not None
        for other in self._container.streams:
            if other.index != stream.index:
                other.discard = Discard.all  # not even read
        decoder = stream.codec_context
        if decoder.width * decoder.height > _MAX_PIXELS:
            raise _Unreadable(
                f"frames of {decoder.width} x {decoder.height} pixels, taken for a bomb: "
                "scale it down"
            )
        decoder.thread_type = "AUTO"
        decoder.thread_count = _DECODER_THREADS
        decoder.options = {"max_pixels": str(_MAX_PIXELS)}
        self._stream: VideoStream | None = stream
        self._packets: Iterator[av.Packet] | None = self._container.demux(stream)
        self._reformatter: VideoReformatter | None = VideoReformatter()
        self._pending: deque[VideoFrame] = deque()
        self.rate = _sane_rate(stream)
        self.duration = _duration(self._container, stream)
        self._promised = stream.frames
        self._unit = stream.time_base
        self._clock = _Clock(self.rate, self.duration)
        self.size = decoder.width, decoder.height
        self._packets_read = self._packets_shown = self._lost = self._damaged = 0
        self._broken: str | None = None
        self._formats: dict[str, bool] = {}
        self._counts_packets = self._skips = self._may_skip(stream)
        if self._skips:
            decoder.skip_frame = "NONREF"

    def _may_skip(self, stream: VideoStream) -> bool:
        """Frames that no other refers to may go by undecoded: they are dense, one a packet."""
        return bool(
            self._fps
            and self.rate
            and self.rate >= _SKIPPING_FROM * self._fps
            and stream.codec_context.name in _SKIPPING
            and stream.codec_context.field_order in (0, 1)  # unknown, progressive
        )

    def _read(self) -> tuple[float, VideoFrame] | None:
        while True:
            while not self._pending:
                if self._stopped or not self._decode():
                    return None
            frame = self._pending.popleft()
            t = self._time_of(frame)
            if not self._counts_packets:
                self.frames_read += 1
            if not frame.is_corrupt:
                return t, frame
            self._damaged += 1  # patched up by the decoder, it would look fake without being so

    def _time_of(self, frame: VideoFrame) -> float:
        stamp = frame.pts if frame.pts is not None else frame.dts
        known = stamp is not None and self._unit
        last = self._clock.t
        t = self._clock.read(float(stamp * self._unit) if known else None)
        if self._skips and self._fps and last is not None and t - last >= 1 / self._fps:
            self._skip_no_more()
        return t

    def _skip_no_more(self) -> None:
        """What is left when frames are skipped is too sparse, so decode all from here on."""
        assert self._stream is not None
        self._skips = False
        self._stream.codec_context.skip_frame = "DEFAULT"

    def _decode(self) -> bool:
        """Feed the decoder one packet, or tell it that there are no more; false after that."""
        import av

        if self._packets is None or self._stream is None:
            return False
        packet = self._next_packet()
        if packet is None:
            self._packets = None
        else:
            self._packets_read += 1
            self._packets_shown += not packet.is_discard
        try:
            self._pending.extend(self._stream.codec_context.decode(packet))
        except av.EOFError:  # the decoder ends itself
            pass
        except (av.FFmpegError, ValueError, MemoryError):  # this packet; the next ones may do
            self._lost += 1
        if self._counts_packets:
            self.frames_read = max(self._packets_shown - self._lost, 0)
        return True

    def _next_packet(self) -> av.Packet | None:
        """The next packet with something in it; an empty one would end the decoding."""
        assert self._container is not None and self._stream is not None
        errors, reason = 0, ""
        while errors < _MAX_ERRORS:
            try:
                for packet in self._packets or ():
                    if packet.size:
                        return packet
                return None
            except Exception as error:  # PyAV's errors, and those of the file while it is read
                errors += 1
                reason = _reason(error)
                self._packets = self._container.demux(self._stream)
        self._broken = reason
        return None

    def _pixels(self, frame: VideoFrame) -> Pixels | None:
        try:
            return _upright(self._rgb(frame), frame)
        except Exception:  # a pixel format that cannot be converted, or no memory for it
            self._damaged += 1
            return None

    def _rgb(self, frame: VideoFrame) -> Pixels:
        name = frame.format.name
        has_alpha = self._formats.get(name)
        if has_alpha is None:
            has_alpha = any(component.is_alpha for component in frame.format.components)
            self._formats[name] = has_alpha
        flags = _BILINEAR
        if _suits_new_scaler(frame):
            flags |= _NEW_SCALER
        assert self._reformatter is not None
        wanted = "rgba" if has_alpha else "rgb24"
        options: dict[str, Any] = {"format": wanted, "interpolation": flags, "threads": 1}
        try:
            converted = self._reformatter.reformat(frame, **options)
        except Exception:  # colour tags that are reserved: as if there were none
            frame.colorspace, frame.color_range = 2, 0
            converted = self._reformatter.reformat(frame, **options)
        pixels = _array_of(converted, 4 if has_alpha else 3)
        return _over_white(pixels) if has_alpha else pixels

    def _sum_up(self) -> None:
        faults = []
        damaged = self._damaged + self._lost
        if damaged:
            faults.append(f"damaged: {damaged} frame{'s' if damaged > 1 else ''} left out")
        end = f"after {self._clock.t or 0.0:.1f} s"
        if self._broken is not None:
            faults.append(f"reading failed {end} ({self._broken})")
        elif self._is_cut_short():
            whole = f", it should be {self.duration:.1f} s long" if self.duration else ""
            faults.append(f"cut short {end}{whole}")
        self.fault = "; ".join(faults) or None

    def _is_cut_short(self) -> bool:
        if self._packets_read < self._promised * (1 if self._has_index() else 0.98):
            return True
        if _ends_early(self._file):
            return True
        if self.duration is None or self._clock.t is None:
            return False
        return self._clock.t + self._clock.step < self.duration - max(1.0, 0.1 * self.duration)

    def _has_index(self) -> bool:
        """The number of frames is exact; AVI counts those that it dropped while recording too."""
        return self._container is not None and self._container.format.name.startswith("mov")

    def _release(self) -> None:
        with self._lock:
            container, self._container = self._container, None
            self._stream = self._packets = self._reformatter = None
            self._pending = deque()
            if container is not None:
                container.close()
            self._file.close()


class _Bytes:
    """A file without its name, by which FFmpeg would guess a format."""

    def __init__(self, file: IO[bytes]) -> None:
        self.read, self.seek, self.tell = file.read, file.seek, file.tell


def _open_container(file: IO[bytes], start: bytes) -> av.container.InputContainer:
    import av

    options = {"protocol_whitelist": "none", "max_pixels": str(_MAX_PIXELS)}
    try:
        container = av.open(
            _Bytes(file), "r", options=options, buffer_size=_BUFFER_BYTES, metadata_errors="replace"
        )
    except MemoryError:
        raise _Unreadable("too large for the memory of this machine: scale it down") from None
    except Exception as error:  # PyAV's errors, and those of the file while it is read
        if _begins_like_a_clip(start) or _format_of(start):
            raise _Unreadable(
                "damaged, or cut short before the first frame can be read "
                f"({_reason(error)}): {_COPY_AGAIN}"
            ) from None
        raise _Unreadable(f"neither a picture nor a clip of a known format: {_SAVE_AS}") from None
    name = container.format.name
    if name.split(",")[0] in _NO_CLIPS or name.endswith("_pipe"):
        container.close()
        raise _Unreadable(f"not a picture or clip of a known format, but {name}: {_SAVE_AS}")
    return container


def _best_stream(container: av.container.InputContainer) -> VideoStream:
    from av.stream import Disposition

    still = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image
    moving = [stream for stream in container.streams.video if not stream.disposition & still]
    if not moving:
        what = "only sound" if container.streams.audio else "nothing that moves"
        cover = " and a cover picture" if container.streams.video else ""
        raise _Unreadable(f"no clip, {what}{cover} in it: give a file with a picture track")
    known = [stream for stream in moving if stream.codec_context is not None]
    if not known:
        raise _Unreadable(f"a codec that the installed PyAV does not read: {_SAVE_AS}")
    best = container.streams.best("video")
    for stream in known:
        if best is not None and stream.index == best.index:
            return stream
    return max(known, key=lambda stream: stream.codec_context.width * stream.codec_context.height)


def _sane_rate(stream: VideoStream) -> float | None:
    for rate in (stream.average_rate, stream.guessed_rate):
        if rate and 0 < rate <= _MAX_FPS:
            return float(rate)
    return None


def _duration(container: av.container.InputContainer, stream: VideoStream) -> float | None:
    """Seconds of the picture track, else of the whole file."""
    if stream.duration and stream.time_base:
        return _positive(float(stream.duration * stream.time_base))
    hours, minutes, seconds = (stream.metadata.get("DURATION", "").split(":") + [""] * 3)[:3]
    try:
        return _positive(3600 * int(hours) + 60 * int(minutes) + float(seconds))
    except ValueError:  # only Matroska has it
        return _positive(container.duration / 1e6) if container.duration else None


def _positive(seconds: float) -> float | None:
    return seconds if math.isfinite(seconds) and seconds > 0 else None


class _Clock:
    """Time stamps as they are in files become times that start at 0 and grow.

    A stamp that is missing is a frame's length after the last; one that repeats or goes back a
    little (in files that number frames in another order than they show them) counts a millisecond.
    One that goes back by more than a second, stands still for eight frames, or leaps beyond the end
    of the clip means that the file's clock was set anew, as where recordings were joined: from
    there on the times continue where they were.
    """

    def __init__(self, rate: float | None, duration: float | None) -> None:
        self.step = 1 / (rate or _USUAL_RATE)
        self.t: float | None = None
        self._zero = 0.0
        self._stuck = 0
        self._longest = max(duration or 0.0, 60.0)

    def read(self, stamp: float | None) -> float:
        if self.t is None:
            self._zero = stamp or 0.0
            self.t = 0.0
            return 0.0
        after = self.t + self.step
        if stamp is None:
            self.t = after
            return after
        t = stamp - self._zero
        self._stuck = self._stuck + 1 if t <= self.t else 0
        if t < self.t - 1 or self._stuck >= 8 or t - self.t > self._longest:
            self._zero, self._stuck = stamp - after, 0
            t = after
        self.t = max(t, self.t + 1e-3)
        return self.t


# --- pixels ------------------------------------------------------------------------------

#: Flags of FFmpeg's scaler.
_BILINEAR = 2
#: Its rewritten half, called unstable because its interface may change.  Only for 4:4:4, which the
#: older half converts in 3.4 ms a 1280 x 720 frame and this one in 0.7; only in the versions with
#: which it was tried; and only for whole blocks of pixels: up to 16 pixels wide it crashes.
_NEW_SCALER = 1 << 20
_NEW_SCALER_VERSIONS = (9, 5), (10,)
_NEW_SCALER_BLOCK = 64


def _suits_new_scaler(frame: VideoFrame) -> bool:
    return (
        frame.format.name in ("yuv444p", "yuvj444p")
        and frame.width % _NEW_SCALER_BLOCK == 0
        and _is_new_scaler_right()
    )


@functools.cache
def _is_new_scaler_right() -> bool:
    """Tried on a few colours once, so that an FFmpeg that lacks it or errs is found out."""
    import av

    oldest, newest = _NEW_SCALER_VERSIONS
    if not oldest <= av.library_versions["libswscale"] < newest:
        return False
    return _try_new_scaler()


def _try_new_scaler() -> bool:
    from av.video.frame import VideoFrame
    from av.video.reformatter import VideoReformatter

    generator = np.random.default_rng(0)
    planes = generator.integers(16, 236, (3, 16, _NEW_SCALER_BLOCK), dtype=np.uint8)
    frame = VideoFrame.from_ndarray(planes, "yuv444p")
    found = []
    try:
        for flags in (_BILINEAR, _BILINEAR | _NEW_SCALER):
            converted = VideoReformatter().reformat(
                frame, format="rgb24", interpolation=flags, threads=1
            )
            found.append(_array_of(converted, 3).astype(np.int16))
    except Exception:  # then there is the older half
        return False
    return bool(np.abs(found[0] - found[1]).max() <= 2)


def _array_of(frame: VideoFrame, channels: int) -> Pixels:
    """The pixels of a packed frame, without a copy if its rows have no gaps."""
    plane = frame.planes[0]
    rows = np.frombuffer(plane, np.uint8, frame.height * plane.line_size)
    rows = rows.reshape(frame.height, plane.line_size)[:, : frame.width * channels]
    return np.ascontiguousarray(rows).reshape(frame.height, frame.width, channels)


def _over_white(pixels: Pixels) -> Pixels:
    """(H, W, 4) with alpha on white, as pictures are."""
    alpha = pixels[:, :, 3:]
    if alpha.min() == 255:
        return np.ascontiguousarray(pixels[:, :, :3])
    weight = alpha.astype(np.uint16)
    mixed = pixels[:, :, :3] * weight + (255 - weight) * np.uint16(255)
    return np.asarray((mixed + 127) // 255, np.uint8)


def _upright(pixels: Pixels, frame: VideoFrame) -> Pixels:
    """Turned and mirrored as the display matrix says, to the nearest quarter.

    The matrix sends the point (x, y) to (a x + c y, b x + d y).
    """
    from av.sidedata.sidedata import Type

    for data in frame.side_data:
        if data.type == Type.DISPLAYMATRIX and len(bytes(data)) >= 36:
            a, b, _, c, d = struct.unpack("=5i", bytes(data)[:20])
            if abs(b) + abs(c) > abs(a) + abs(d):
                pixels = pixels.transpose(1, 0, 2)
                a, d = c, b
            return np.ascontiguousarray(pixels[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])
    return pixels


# --- animations and raw frames -----------------------------------------------------------


class _Animation(Clip[int]):
    """An animated WebP, by Pillow."""

    def __init__(self, name: str, file: IO[bytes], fps: float | None) -> None:
        super().__init__(fps)
        self.path = name
        self._file = file
        with _pillow_silence:
            self._image = _identify(file)
        self._count = int(getattr(self._image, "n_frames", 1))
        self._t = 0.0
        self.size = self._image.size

    def _read(self) -> tuple[float, int] | None:
        if self.frames_read >= self._count:
            return None
        t, number = self._t, self.frames_read
        try:
            with _pillow_silence:
                self._image.seek(number)
                self._image.load()
        except Exception as error:
            self.fault = f"damaged after {number} of {self._count} frames ({_reason(error)})"
            return None
        self.frames_read += 1
        milliseconds = self._image.info.get("duration", 0)
        self._t += max(float(milliseconds), 10.0) / 1000
        return t, number

    def _pixels(self, frame: int) -> Pixels:
        return rgb_of_image(self._image)

    def _release(self) -> None:
        with self._lock:
            self._image.close()
            self._file.close()


class _RawFrames(Clip[bytearray]):
    """rgb24 without a container."""

    def __init__(
        self, file: IO[bytes], size: tuple[int, int], rate: float, fps: float | None
    ) -> None:
        super().__init__(fps)
        width, height = size
        if not (width >= 1 and height >= 1 and width * height <= _MAX_PIXELS):
            raise InputError(
                f"frames of {width} x {height}: from 1 x 1 to {_MAX_PIXELS} pixels can be read"
            )
        if not (math.isfinite(rate) and 0 < rate <= _MAX_FPS):
            raise InputError(f"rate {rate}: give the frames a second, above 0, at most 1000")
        self.size = size
        self.rate = rate
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
                    self.fault = (
                        f"the last frame is incomplete: {filled} of {self._bytes} bytes; "
                        "check the size"
                    )
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
        except (OSError, ValueError):  # no file of the system, or Windows: just read
            pass
        if self._stopped:
            return 0
        try:
            read_some = getattr(self._file, "read1", self._file.read)
            data = read_some(len(view))
        except OSError as error:
            self.fault = f"reading stopped: {error.strerror or error}"
            return 0
        view[: len(data or b"")] = data or b""
        return len(data or b"")

    def _pixels(self, frame: bytearray) -> Pixels:
        return np.frombuffer(frame, np.uint8).reshape(self.size[1], self.size[0], 3)

    def _release(self) -> None:
        pass


# --- small things ------------------------------------------------------------------------


def _checked_fps(fps: float | None, every_frame: bool) -> float | None:
    if every_frame:
        if fps is not None:
            raise InputError(f"fps {fps} and every frame: choose one of them")
        return None
    if fps is None:
        return DEFAULT_FPS
    if not (math.isfinite(fps) and 0 < fps <= _MAX_FPS):
        raise InputError(f"fps {fps}: give a number above 0 and at most {_MAX_FPS:.0f}")
    return float(fps)


def _has_pyav() -> bool:
    return importlib.util.find_spec("av") is not None


def _begins_like_a_clip(start: bytes) -> bool:
    return any(start.startswith(content, offset) for offset, content in _CLIP_SIGNATURES)


def _reason(error: Exception) -> str:
    text = error.strerror if isinstance(error, OSError) else getattr(error, "strerror", None)
    return str(text or error).partition("\n")[0][:200] or type(error).__name__


def _ends_early(file: IO[bytes]) -> bool:
    """Whether the outermost parts of an MP4, Matroska or AVI file reach beyond its end."""
    try:
        length = file.seek(0, os.SEEK_END)
        file.seek(0)
        start = file.read(64)
        if start[4:8] in (b"ftyp", b"moov", b"wide", b"mdat", b"free", b"skip"):
            return _boxes_reach(file, length) > length
        if start[:4] == b"RIFF":
            return 8 + int(struct.unpack("<I", start[4:8])[0]) > length
        if start[:4] == b"\x1a\x45\xdf\xa3":
            return _segment_reaches(start) > length
    except (OSError, ValueError, struct.error):
        pass
    return False


def _boxes_reach(file: IO[bytes], length: int) -> int:
    at = 0
    while at + 8 <= length:
        file.seek(at)
        size = int.from_bytes(file.read(4), "big")
        if size == 1:
            file.seek(at + 8)
            size = int.from_bytes(file.read(8), "big")
        if size < 8:  # 0: up to the end
            return length
        at += size
    return at


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
