"""Video: a clip becomes frames, one at a time, each with its time in seconds.

FFmpeg, by way of PyAV (extra ``video``), decodes in threads of its own; memory holds the few frames
that its decoder needs, however long the clip is.  A file is hostile: it is opened here and FFmpeg
gets its bytes only, not its name, so neither the ending counts nor can a playlist make it open
other files or addresses.  Of a damaged file every intact frame is given, then ``faults`` says what
is missing.  Without PyAV raw frames can still be read, and an animation is its first frame.
"""

from __future__ import annotations

import importlib.util
import os
from collections import deque
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, Any

from ..errors import PictureError
from ..notes import Note
from .clip import DEFAULT_FPS, MAX_PIXELS, Clip, Convert, Timed, checked_fps
from .containers import Clock, begins_like_a_clip, duration_of, ends_early, last_whole_box, rate_of
from .pictures import (
    Unreadable,
    format_of,
    has_frames,
    identify,
    open_regular,
    pillow_silence,
    reason_of,
    remedy_of,
)
from .pixels import Pixels, rgb_of_image
from .raw import raw_frames
from .to_rgb import Converter

if TYPE_CHECKING:
    import av
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream
    from PIL import Image

__all__ = ["CLIP_ENDINGS", "DEFAULT_FPS", "Clip", "Timed", "is_clip", "open_clip", "raw_frames"]

#: Endings of the files that are taken from a folder, beside those of pictures.
CLIP_ENDINGS = (
    ".mp4", ".m4v", ".mov", ".qt", ".3gp", ".3g2", ".mkv", ".webm", ".avi", ".divx", ".wmv", ".asf",
    ".flv", ".f4v", ".mpg", ".mpeg", ".m2v", ".vob", ".ts", ".mts", ".m2ts", ".mxf", ".ogv", ".ogm",
    ".h264", ".264", ".h265", ".265", ".hevc", ".ivf", ".y4m", ".rm", ".rmvb",
    ".dv", ".nut", ".wtv",
)  # fmt: skip

#: Threads of the decoder, up to so many pixels and beyond, where each holds frames of 3 to 6 MB;
#: the same on every machine, so that the same frames are skipped everywhere.  On two cores four
#: take 8 % less time than two at 1280 x 720; at 1920 x 1080 they take some 20 MB more.
_DECODER_THREADS, _FEWER_THREADS = 4, 2
_MANY_THREADS_PIXELS = 1280 * 720
#: Decoders in which a packet is a frame, and skipping the frames that no other refers to is exact.
_SKIPPING = ("h264", "hevc")
#: Containers of these names hold no time stamps, so frames that were skipped would leave no gap.
_NO_STAMPS = ("h264", "hevc")
#: Skipped is only where this many frames lie between two that are wanted.
_SKIPPING_FROM = 3
#: Errors of the container in a row after which nothing more is expected.
_MAX_ERRORS = 64
_BUFFER_BYTES = 1 << 16
#: Enough of a file to tell what it is.
_START_BYTES = 32
#: Containers that promise a length and nothing by which one could tell better whether it is there.
_LENGTH_ONLY = ("flv", "asf")
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


def is_clip(path: str | os.PathLike[str]) -> bool:
    """Whether ``open_clip`` is the door for a file, by its content; else ``read_picture`` is.

    Animated GIF, PNG and WebP files are clips where PyAV is installed.  What is no known picture
    is a clip if it begins like one, or if PyAV is there to look closer.  What cannot be opened is
    left to ``read_picture``, which says why.
    """
    try:
        with open_regular(os.fsdecode(path)) as file, pillow_silence:
            start = file.read(_START_BYTES)
            name = format_of(start)
            if name is None:
                return begins_like_a_clip(start) or _has_pyav()
            if name not in _ANIMATED or not _has_pyav():
                return False
            if name == "WEBP":
                return _is_animated_webp(start)
            file.seek(0)
            with identify(file) as image:
                return has_frames(image)
    except Exception:  # damaged in a way that read_picture knows words for
        return False


def open_clip(
    path: str | os.PathLike[str], fps: float | None = None, every_frame: bool = False
) -> Clip:
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
    rate = checked_fps(fps, every_frame)
    name = os.fsdecode(path)
    try:
        file = open_regular(name)
        try:
            return _open(name, file, rate)
        except BaseException:
            file.close()
            raise
    except Unreadable as error:
        raise PictureError(f"{name}: {error}") from None


def _open(name: str, file: IO[bytes], fps: float | None) -> Clip:
    if not _has_pyav():
        raise Unreadable(f"a clip {_INSTALL}")
    start = file.read(_START_BYTES)
    file.seek(0)
    kind = format_of(start)
    if kind == "WEBP":  # FFmpeg's decoder refuses animated ones
        _check_webp(start)
        return _Animation(name, file, fps)
    if kind is not None and kind not in _ANIMATED:
        raise Unreadable(f"a picture ({kind}), no clip: read it as one")
    return _File(name, file, fps, start)


class _File(Clip):
    """A file by PyAV."""

    _container: InputContainer | None = None

    def __init__(self, name: str, file: IO[bytes], fps: float | None, start: bytes) -> None:
        super().__init__(fps)
        self.path = name
        self._file = _Bytes(file)
        self._container = _open_container(self._file, start)
        try:
            self._set_up(_best_stream(self._container, self._file))
        except BaseException:
            self._release()
            raise

    def _set_up(self, stream: VideoStream) -> None:
        from av.stream import Discard

        assert self._container is not None
        for other in self._container.streams:
            if other.index != stream.index:
                other.discard = Discard.all  # not even read
        decoder = stream.codec_context
        _check_size(decoder.width, decoder.height)
        decoder.thread_type = "AUTO"
        many = decoder.width * decoder.height <= _MANY_THREADS_PIXELS
        decoder.thread_count = _DECODER_THREADS if many else _FEWER_THREADS
        decoder.options = {"max_pixels": str(MAX_PIXELS)}
        self._stream: VideoStream | None = stream
        self._packets: Iterator[av.Packet] | None = self._container.demux(stream)
        self._converter: Converter | None = Converter()
        self._pending: deque[VideoFrame] = deque()
        self.rate = rate_of(stream)
        self.duration = duration_of(self._container, stream)
        self._kind = self._container.format.name
        # pictures of a GIF that have no times are one packet: the count says nothing there
        self._promised = 0 if self._kind == "gif" else stream.frames
        self._unit = stream.time_base
        self._clock = Clock(self.rate, self.duration)
        self.size, self._is_size_seen = (decoder.width, decoder.height), False
        self._packets_read = self._packets_shown = self._lost = self._damaged = 0
        self._broken: str | None = None
        self._counts_packets = self._skips = self._may_skip(stream)
        if self._skips:
            decoder.skip_frame = "NONREF"

    def _may_skip(self, stream: VideoStream) -> bool:
        """Frames that no other refers to may go by undecoded: they are dense, one a packet."""
        return bool(
            self._fps
            and self.rate
            and self.rate >= _SKIPPING_FROM * self._fps
            and self._kind not in _NO_STAMPS
            and stream.codec_context.name in _SKIPPING
            and getattr(stream.codec_context, "field_order", 0) in (0, 1)  # unknown, progressive
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

    def _conversion_of(self, frame: VideoFrame) -> Convert:
        converter = self._converter  # frames may be converted after the clip is closed
        assert converter is not None
        return lambda: self._converted(frame, converter)

    def _converted(self, frame: VideoFrame, converter: Converter) -> Pixels | None:
        try:
            pixels = converter.rgb(frame)
        except Exception:  # a pixel format that cannot be converted, or no memory for it
            self._has_failed()
            return None
        if not self._is_size_seen:
            self.size, self._is_size_seen = (pixels.shape[1], pixels.shape[0]), True
        return pixels

    def _sum_up(self) -> None:
        faults = []
        damaged = self._damaged + self._lost + self._failed
        if damaged:
            faults.append(Note("damaged_frames", {"frames": damaged}))
        end = (self._clock.t or 0.0) + self._clock.step
        broken = self._file.fault or self._broken
        if broken is not None:
            faults.append(Note("reading_failed", {"seconds": end, "reason": broken}))
        elif self._is_cut_short(end):
            is_known = self.duration is not None and self.duration - end >= 0.1
            whole = self.duration if is_known else None
            faults.append(Note("cut_short", {"seconds": end, "whole": whole}))
        self.faults = tuple(faults)

    def _is_cut_short(self, end: float) -> bool:
        # an index is exact; AVI also counts the frames that were dropped while recording
        share = 1 if self._kind.startswith("mov") else 0.98
        if self._packets_read < share * self._promised or ends_early(self._file.file):
            return True
        if self._kind not in _LENGTH_ONLY or self.duration is None:
            return False
        return end < self.duration - max(1.0, 0.05 * self.duration)  # sound may be longer

    def _release(self) -> None:
        with self._lock:
            container, self._container = self._container, None
            self._stream = self._packets = self._converter = None
            self._pending = deque()
            if container is not None:
                container.close()
                self._file.file.close()


class _Bytes:
    """A file without its name, by which FFmpeg would guess a format.

    PyAV prints exceptions that come while FFmpeg deals with another one, so none leave it.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.end: int | None = None  # where the file ends for FFmpeg
        self.fault: str | None = None

    def read(self, size: int) -> bytes:
        try:
            if self.end is not None:
                size = max(0, min(size, self.end - self.file.tell()))
            return self.file.read(size)
        except (OSError, ValueError) as error:  # ValueError: closed
            self.fault = _reason(error)
            return b""

    def seek(self, offset: int, whence: int) -> int:
        try:
            if whence == os.SEEK_END and self.end is not None:
                offset, whence = self.end + offset, os.SEEK_SET
            return self.file.seek(offset, whence)
        except (OSError, ValueError, OverflowError):  # to where no file reaches
            return -1

    def tell(self) -> int:
        return self.file.tell()


def _open_container(file: _Bytes, start: bytes) -> InputContainer:
    try:
        container = _probe(file)
    except MemoryError:
        raise Unreadable("too large for the memory of this machine: scale it down") from None
    except Exception as error:  # whatever PyAV raises
        if begins_like_a_clip(start) or format_of(start):
            raise Unreadable(_damaged(file.fault or _reason(error))) from None
        raise Unreadable(f"neither a picture nor a clip of a known format: {_SAVE_AS}") from None
    name = container.format.name
    if name.split(",")[0] in _NO_CLIPS or name.endswith("_pipe"):
        container.close()
        raise Unreadable(f"not a picture or clip of a known format, but {name}: {_SAVE_AS}")
    return container


def _probe(file: _Bytes) -> InputContainer:
    import av

    options: dict[str, Any] = {
        "buffer_size": _BUFFER_BYTES,
        "metadata_errors": "replace",
        "options": {"max_pixels": str(MAX_PIXELS)},
        "container_options": {"protocol_whitelist": "none"},
    }
    try:
        return av.open(file, "r", **options)
    except Exception:
        file.end = last_whole_box(file.file)  # half a description in front of a fragment is fatal
        file.file.seek(0)
        if file.end is None:
            raise
        return av.open(file, "r", **options)


def _damaged(reason: str) -> str:
    return f"damaged, or cut short before the first frame can be read ({reason}): {_COPY_AGAIN}"


def _best_stream(container: InputContainer, file: _Bytes) -> VideoStream:
    """The picture track, of several the largest."""
    from av.stream import Disposition

    still = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image
    moving = [stream for stream in container.streams.video if not stream.disposition & still]
    if not moving:
        if ends_early(file.file):
            raise Unreadable(_damaged("no picture track is described"))
        what = "only sound" if container.streams.audio else "nothing that moves"
        cover = " and a cover picture" if container.streams.video else ""
        raise Unreadable(f"no clip, {what}{cover} in it: give a file with a picture track")
    known = [stream for stream in moving if stream.codec_context is not None]
    if not known:
        raise Unreadable(f"a codec that the installed PyAV does not read: {_SAVE_AS}")
    return max(known, key=lambda stream: stream.codec_context.width * stream.codec_context.height)


def _is_animated_webp(start: bytes) -> bool:
    return len(start) >= 30 and start[12:16] == b"VP8X" and bool(start[20] & 2)


def _check_webp(start: bytes) -> None:
    """Refuse a canvas that is too large; Pillow would fill it before it says its size."""
    if _is_animated_webp(start):
        width = 1 + int.from_bytes(start[24:27], "little")
        height = 1 + int.from_bytes(start[27:30], "little")
        _check_size(width, height)


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise Unreadable(f"frames of {width} x {height} pixels, taken for a bomb: scale it down")


class _Animation(Clip):
    """An animated WebP, by Pillow."""

    _image: Image.Image | None = None

    def __init__(self, name: str, file: IO[bytes], fps: float | None) -> None:
        super().__init__(fps)
        self.path = name
        self._file = file
        try:
            with pillow_silence:
                self._image = identify(file)
            self._count = int(getattr(self._image, "n_frames", 1))
        except Unreadable:
            raise
        except Exception as error:  # Pillow's alarm for bombs, and whatever a plugin raises
            raise Unreadable(f"{reason_of(error)}: {remedy_of(error)}") from None
        self._t = 0.0
        self.size = self._image.size

    def _read(self) -> tuple[float, int] | None:
        if self._image is None or self.frames_read >= self._count:
            return None
        t, number = self._t, self.frames_read
        try:
            with pillow_silence:
                self._image.seek(number)
                self._image.load()
        except Exception as error:
            counts = {"frames": number, "whole": self._count}
            self.faults = (Note("damaged_after", {**counts, "reason": _reason(error)}),)
            return None
        self.frames_read += 1
        milliseconds = self._image.info.get("duration", 0)
        self._t += max(float(milliseconds), 10.0) / 1000
        return t, number

    def _conversion_of(self, frame: int) -> Convert:
        assert self._image is not None
        pixels = rgb_of_image(self._image)  # here, as the next frame replaces this one
        return lambda: pixels

    def _release(self) -> None:
        with self._lock:
            image, self._image = self._image, None
            if image is not None:
                image.close()
                self._file.close()


def _has_pyav() -> bool:
    return importlib.util.find_spec("av") is not None


def _reason(error: Exception) -> str:
    text = error.strerror if isinstance(error, OSError) else getattr(error, "strerror", None)
    return str(text or error).partition("\n")[0][:200] or type(error).__name__
