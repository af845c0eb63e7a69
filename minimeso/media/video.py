"""Video: a clip becomes frames, one at a time, each with its time in seconds.

FFmpeg, by way of PyAV (extra ``video``), decodes in threads of its own; memory holds the few frames
that its decoder needs, however long the clip is.  A file is hostile: it is opened here and FFmpeg
gets its bytes only, not its name, so neither the ending counts nor can a playlist make it open
other files or addresses.  Of a damaged file every intact frame is given, then ``faults`` says what
is missing.  Without PyAV raw frames can still be read, and an animation is its first frame.
"""

from __future__ import annotations

import copy
import os
from collections import deque
from collections.abc import Iterator, Sequence
from typing import IO, TYPE_CHECKING, cast

from ..errors import PictureError
from ..notes import Note
from . import kinds
from .animation import animation_of
from .camera_raw import UNDEVELOPED
from .clip import DEFAULT_FPS, Clip, Convert, Timed, checked_fps
from .combs import CombWatch
from .compression import EXPORT_QUANTISERS, Quantisers, is_palette
from .containers import Clock, Promise, duration_of, ends_early, rate_of
from .deinterlace import Deinterlacer, can_deinterlace
from .formats import ANIMATED, RAW, SIGNATURE_BYTES, format_of
from .hdr import is_hdr
from .key_frames import Span
from .kinds import CLIP_ENDINGS, is_clip
from .losses import Losses
from .opening import NamelessFile, best_stream, open_container, text_of
from .partial import Conversion
from .pictures import STREAM, Unreadable, open_regular
from .pixels import Pixels
from .raw import raw_frames
from .side_data import is_encrypted
from .streams import Stream
from .to_rgb import Converter, Converters

if TYPE_CHECKING:
    import av
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

__all__ = [
    "CLIP_ENDINGS", "DEFAULT_FPS", "Clip", "Span", "Timed", "is_clip", "open_clip", "raw_frames",
]  # fmt: skip

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
#: Containers that promise a length and nothing by which one could tell better whether it is there.
_LENGTH_ONLY = ("flv", "asf")
#: Of a clip with copy protection, which decoders take for damage: what, and what to do.
_ENCRYPTED = "encrypted", "give a copy without protection"
_READ = "read it as one"
_INSTALL = "needs PyAV: pip install 'minimeso[video]'"


def open_clip(
    path: str | os.PathLike[str] | Stream,
    fps: float | None = None,
    every_frame: bool = False,
    span: Span | None = None,
) -> Clip:
    """Open a clip: any container and codec that PyAV reads, and animated pictures.

    Args:
        path: a regular file, or an open one, which is closed with the clip.
        fps: how many frames of a second to take; by default 4.
        every_frame: take them all instead.
        span: a piece of it, as ``key_frames.spans`` found it; the times stay those of the clip.

    Returns:
        An iterator of ``(t, pixels)``; close it, or use it as a context manager.

    Raises:
        PictureError: PyAV is missing, or the file is no clip or cannot be read; also raised at the
            end of the iteration if no frame at all could be decoded.
        InputError: ``fps`` is no number above 0 (and at most 1000), or stands beside
            ``every_frame``.
    """
    rate = checked_fps(fps, every_frame)
    name = STREAM if isinstance(path, Stream) else os.fsdecode(path)
    try:
        file = cast(IO[bytes], path) if isinstance(path, Stream) else open_regular(name)
        try:
            return _open(name, file, rate, span)
        except BaseException:
            file.close()
            raise
    except Unreadable as error:
        raise PictureError(f"{name}: {error}") from None


def _open(name: str, file: IO[bytes], fps: float | None, span: Span | None) -> Clip:
    if not kinds.has_pyav():
        raise Unreadable(f"a clip {_INSTALL}")
    start = file.read(SIGNATURE_BYTES)
    kind = format_of(start)
    is_series = kinds.is_series(file, start)
    file.seek(0)
    if kind is not None and kind not in ANIMATED and not is_series:
        raise Unreadable(UNDEVELOPED if kind == RAW else f"a picture ({kind}), no clip: {_READ}")
    animation = animation_of(kind, name, file, fps, start)
    if animation is not None:
        return animation
    return _File(name, file, fps, start, span)


class _File(Clip):
    """A file by PyAV."""

    _container: InputContainer | None = None

    def __init__(
        self, name: str, file: IO[bytes], fps: float | None, start: bytes, span: Span | None = None
    ) -> None:
        super().__init__(fps)
        self.path, self._span, self._start = name, span, start
        self._file = NamelessFile(file)
        self._container = open_container(self._file, start)
        try:
            self._set_up(best_stream(self._container, self._file))
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
        decoder.thread_type = "AUTO"
        many = decoder.width * decoder.height <= _MANY_THREADS_PIXELS
        decoder.thread_count = _DECODER_THREADS if many else _FEWER_THREADS
        decoder.options = {"max_pixels": str(self._file.most_pixels), **EXPORT_QUANTISERS}
        self._quantisers, self._combs = Quantisers(), CombWatch()
        self._deinterlacer: Deinterlacer | None = None
        self._stream: VideoStream | None = stream
        self._packets: Iterator[av.Packet] | None = self._container.demux(stream)
        self._pending: deque[VideoFrame] = deque()
        self.rate = rate_of(stream)
        self.duration = duration_of(self._container, stream)
        self._kind, self._unit = self._container.format.name, stream.time_base
        self._converters: Converters | None = Converters(stream, self._kind)
        self._promise = Promise(stream, self._kind)
        self._clock = Clock(self.rate, self.duration, kind=self._kind)
        self._is_over = False  # the span, though the clip goes on
        self.size, self._is_size_seen = (decoder.width, decoder.height), False
        from_start = self._span is None or self._span.start == self._span.zero
        unit = float(self._unit) if self._unit else None
        self._losses = Losses(decoder.name, unit, self._clock.step, from_start)
        self._packets_shown = 0
        self._broken: str | None = None
        self.remarks = self._file.remarks
        self._counts_packets = self._skips = self._may_skip(stream)
        if self._skips:
            decoder.skip_frame = "NONREF"
        if self._span is not None:
            self._begin_at(self._span, stream, from_start)

    def _begin_at(self, span: Span, stream: VideoStream, is_first: bool) -> None:
        """Go to where the span begins."""
        import av

        assert self._container is not None and self._unit is not None
        self._clock = Clock(self.rate, self.duration, float(span.zero * self._unit))
        start = self.starts_at = float((span.start - span.zero) * self._unit)
        if start and self._stretch_of(start) == self._stretch_of(start - self._clock.step / 2):
            self._stretch = self._stretch_of(start)  # its first frame lies before
        if is_first:
            return
        try:
            self._container.seek(span.start, stream=stream)
        except av.FFmpegError as error:
            raise Unreadable(f"cannot go to {start:.1f} s of it: {text_of(error)}") from None
        self._packets = self._container.demux(stream)

    def _in_span(self, stamp: int | None) -> bool:
        return self._span is None or stamp is None or self._span.holds(stamp)

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
                if self._stopped or self._is_over or not self._decode():
                    return None
            frame = self._pending.popleft()
            if not self._in_span(frame.pts):
                assert self._span is not None and frame.pts is not None
                self._is_over = self._is_over or frame.pts > self._span.start
                continue
            before = copy.copy(self._clock)
            t = self._time_of(frame)
            if self._begins_to_be_combed(frame, t):
                self._clock = before  # the frame comes once more
                continue
            if not self._counts_packets:
                self.frames_read += 1
            if not self._losses.is_damaged(frame, t):
                return t, frame

    def _lose(self, error: Exception) -> None:
        """A packet gave no frame."""
        self._ask_why(error)
        self._losses.lose(self._clock.t or 0.0, self._starved)

    def _begins_to_be_combed(self, frame: VideoFrame, t: float) -> bool:
        """Whether a frame is interlaced without saying so; then it goes through the filter, and so
        do all that follow.  Asked of frames that would be looked at; those before have no combs."""
        import av

        if self._deinterlacer is not None or frame.is_corrupt or not self._is_due(t):
            return False
        if not (self._combs.is_combed(frame, t) and can_deinterlace()):
            return False
        self._deinterlacer = Deinterlacer(all_frames=True)
        self._remark(Note("deinterlaced"))
        self._skip_no_more()
        waiting, self._pending = (frame, *self._pending), deque()
        try:
            self._pending.extend(self._deinterlaced(waiting))
        except (av.FFmpegError, ValueError, MemoryError) as error:
            self._lose(error)
        return True

    def _remark(self, note: Note) -> None:
        if note not in self.remarks:
            self.remarks = (*self.remarks, note)

    def _time_of(self, frame: VideoFrame) -> float:
        stamp = frame.pts if frame.pts is not None else frame.dts
        known = stamp is not None and self._unit
        last = self._clock.t
        t = self._clock.read(float(stamp * self._unit) if known else None)
        if self.zero is None:
            self.zero = self._clock.zero
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
            self._promise.count(packet)
            self._losses.count(packet)
            self._packets_shown += not packet.is_discard and self._in_span(packet.pts)
        try:
            frames = self._losses.shown(self._stream.codec_context.decode(packet))
            self._pending.extend(self._deinterlaced(frames))
            if packet is None and self._deinterlacer is not None:
                self._pending.extend(self._deinterlacer.drain())
        except av.EOFError:  # the decoder ends itself
            pass
        except (av.FFmpegError, ValueError, MemoryError) as error:  # the next packets may do
            self._lose(error)
        if self._losses.note is not None:
            self._remark(self._losses.note)
        if self._counts_packets:
            lost = self._losses.packets + self._losses.before_key
            self.frames_read = max(self._packets_shown - lost, 0)
        return True

    def _deinterlaced(self, frames: Sequence[VideoFrame]) -> Iterator[VideoFrame]:
        """The frames as they are, but from the first interlaced one on through the filter."""
        for frame in frames:
            if self._deinterlacer is None and frame.interlaced_frame and can_deinterlace():
                self._deinterlacer = Deinterlacer()
                self._remark(Note("deinterlaced"))
            if self._deinterlacer is None:
                yield frame
            else:
                yield from self._deinterlacer.pass_on(frame)

    def _next_packet(self) -> av.Packet | None:
        """The next packet with something in it; an empty one would end the decoding."""
        assert self._container is not None and self._stream is not None
        errors, reason = 0, ""
        while errors < _MAX_ERRORS:
            try:
                for packet in self._packets or ():
                    if packet.size and is_encrypted(packet):
                        self._broken, self._remedy = _ENCRYPTED
                        return None
                    if packet.size:
                        return packet
                return None
            except Exception as error:  # PyAV's errors, and those of the file while it is read
                errors += 1
                reason = text_of(error)
                self._packets = self._container.demux(self._stream)
        self._broken = reason
        return None

    def _conversion_of(self, frame: VideoFrame) -> Convert:
        self._quantisers.add(frame)
        if is_hdr(frame):
            self._remark(Note("tone_mapped"))
        codec = self._stream.codec_context.name if self._stream is not None else ""
        self.doubt = self._quantisers.coarse()
        if is_palette(codec, frame.format.name, self._start):
            self.doubt = Note("palette")
        assert self._converters is not None
        converter = self._converters.of(frame)  # which may be converted after the clip is closed

        def whole() -> Pixels | None:
            return self._converted(frame, converter)

        is_first = self._given == 0  # says how large the frames are
        return whole if is_first else Conversion(whole, frame, converter, self._has_failed)

    def _converted(self, frame: VideoFrame, converter: Converter) -> Pixels | None:
        try:
            pixels = converter.rgb(frame)
        except Exception as error:  # a pixel format that cannot be converted, or no memory for it
            self._ask_why(error)
            self._has_failed()
            return None
        if not self._is_size_seen:
            self.size, self._is_size_seen = (pixels.shape[1], pixels.shape[0]), True
        return pixels

    def _sum_up(self) -> None:
        faults = []
        self._losses.end()
        if self._given == 0 and self._losses.note is not None:
            faults.append(self._losses.note)
        damaged = self._losses.frames + self._losses.packets + self._failed
        if damaged:
            faults.append(self._left_out(damaged))
        end = (self._clock.t or 0.0) + self._clock.step
        broken = self._file.fault or self._broken
        if broken is not None:
            faults.append(Note("reading_failed", {"seconds": end, "reason": broken}))
        elif self._is_cut_short(end + self._losses.late):
            is_known = self.duration is not None and self.duration - end >= 0.1
            whole = self.duration if is_known else None
            faults.append(Note("cut_short", {"seconds": end, "whole": whole}))
        self.faults = tuple(faults)

    def _is_cut_short(self, end: float) -> bool:
        if self._span is not None and self._span.end is not None:
            return not self._is_over
        if self._span is not None:  # what is promised is of the whole clip
            return ends_early(self._file.file)
        if not self._promise.is_kept or ends_early(self._file.file):
            return True
        if self._kind not in _LENGTH_ONLY or self.duration is None:
            return False
        return end < self.duration - max(1.0, 0.05 * self.duration)  # sound may be longer

    def _release(self) -> None:
        with self._lock:
            container, self._container = self._container, None
            self._stream = self._packets = self._converters = self._deinterlacer = None
            self._pending = deque()
            if container is not None:
                container.close()
                self._file.file.close()
