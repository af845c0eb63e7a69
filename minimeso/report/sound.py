"""Sound of a clip, copied into the annotated one: as it is where the container takes it, else as
what the container usually has.

Packets are read as the frames go by, so memory holds those of one moment.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..media.formats import SIGNATURE_BYTES
from ..media.opening import NamelessFile, best_stream, open_container, text_of
from ..media.pictures import Unreadable, open_regular

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.packet import Packet

#: By muxer, where it is not AAC: the encoder.
_ENCODERS = {"webm": "libopus", "avi": "libmp3lame"}
#: What the muxer only refuses when it is too late: its name, the codec, whether that has extradata.
_NOT_COPIED = ("avi", "aac", False)
#: Flag of a muxer (AVFMT_TS_NONSTRICT): Matroska counts milliseconds, and some packets are shorter.
_TAKES_EQUAL_TIMES = 0x20000


class Sound:
    """The first sound track of a file.

    Args:
        source: of which it is.
        zero: seconds by the clock of the file from which the times of the frames count; by default
            where its picture track begins.

    Attributes:
        fault: why there is none in the copy although the source has some, so far.
    """

    def __init__(self, source: str | os.PathLike[str], zero: float | None = None) -> None:
        self.fault: str | None = None
        self._source = os.fsdecode(source)
        self._closing = contextlib.ExitStack()
        self._packets: Iterator[Packet] = iter(())
        self._waiting: Packet | None = None
        self._stream: Any = None
        self._track: Any = None
        self._is_copied = True
        self._told_zero = zero
        self._zero, self._last = 0.0, -1.0  # seconds: where the frames begin; the last packet
        self._may_repeat = True  # the time of a packet

    def open(self, output: OutputContainer) -> None:
        """Add the track to a file that is to be written, before its first packet."""
        self._open_source()
        if self._track is None:
            return
        known = self._track.codec_context
        name = known.name if known else "unknown"
        # AAC of a transport stream says in each packet what AVI wants to know once
        self._is_copied = (output.format.name, name, bool(known and known.extradata)) != _NOT_COPIED
        if self._is_copied:
            try:
                self._stream = output.add_stream_from_template(self._track)
                self._may_repeat = bool(int(output.format.flags) & _TAKES_EQUAL_TIMES)
                return
            except Exception:  # PyAV's, and which ones changed
                self._is_copied = False
        encoder = _ENCODERS.get(output.format.name, "aac")
        try:
            rate = 48000 if encoder == "libopus" else self._track.codec_context.sample_rate
            self._stream = output.add_stream(encoder, rate=rate)
            self._stream.codec_context.layout = self._track.codec_context.layout
        except Exception:  # PyAV's, too: the clip is written without sound, and says so
            self.fault = f"its sound ({name}) is not one that this kind of file takes"
            self._stream = None

    def _open_source(self) -> None:
        try:
            file = self._closing.enter_context(open_regular(self._source))
            start = file.read(SIGNATURE_BYTES)
            file.seek(0)
            nameless = NamelessFile(file)
            container = self._closing.enter_context(open_container(nameless, start))
            picture = best_stream(container, nameless)
        except (OSError, Unreadable):  # the frames say so
            return
        if container.streams.audio:
            self._track = container.streams.audio[0]
            if self._told_zero is not None:
                self._zero = self._told_zero
            elif picture.start_time is not None and picture.time_base:
                self._zero = float(picture.start_time * picture.time_base)
            self._packets = container.demux(self._track)

    def until(self, t: float) -> Iterator[Packet]:
        """The packets up to ``t`` seconds, to be written."""
        import av

        while self._stream is not None:
            packet = self._waiting or self._next()
            self._waiting = None
            if packet is None:
                return
            if packet.dts is not None and packet.time_base is not None:
                start = float(packet.dts * packet.time_base) - self._zero
                if start > t:
                    self._waiting = packet
                    return
                if start < 0:
                    continue
                if start < self._last:  # no container takes it
                    self._end("its clock is set anew in the middle")
                    return
                if start == self._last and not self._may_repeat:
                    self._end("its packets are closer than its time stamps")
                    return
                self._last = start
            try:
                yield from self._moved(packet)
            except (av.FFmpegError, ValueError) as error:
                self.fault = f"its sound cannot be read to its end ({text_of(error)})"

    def _next(self) -> Packet | None:
        """The next packet of the source; of a damaged one none any more."""
        try:
            return next(self._packets, None)
        except Exception as error:  # PyAV's, and those of the file
            self._end(text_of(error))
            return None

    def _end(self, reason: str) -> None:
        """No more packets are read, though there may be some."""
        self.fault = f"its sound cannot be read to its end ({reason})"
        self._packets = iter(())

    def _moved(self, packet: Packet) -> Iterator[Packet]:
        """A packet of the source as one or more of the copy."""
        if self._is_copied:
            if packet.dts is not None and packet.time_base is not None:
                shift = round(self._zero / packet.time_base)
                packet.dts -= shift
                packet.pts = packet.dts if packet.pts is None else packet.pts - shift
                packet.stream = self._stream
                yield packet
            return
        for frame in packet.decode():
            if frame.pts is not None and frame.time_base is not None:
                frame.pts -= round(self._zero / frame.time_base)
            yield from self._stream.encode(frame)

    def rest(self, t: float) -> Iterator[Packet]:
        """The packets up to the end of the clip at ``t`` seconds, and what the encoder holds."""
        yield from self.until(t)
        if self._stream is not None and not self._is_copied:
            yield from self._stream.encode(None)

    def close(self) -> None:
        """Close the source."""
        self._stream, self._packets = None, iter(())
        self._closing.close()
