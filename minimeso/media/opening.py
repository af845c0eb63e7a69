"""Opening: a file becomes a container of FFmpeg's with a picture track, or a reason why not."""

from __future__ import annotations

import functools
import os
from typing import IO, TYPE_CHECKING, Any

from ..notes import Note
from .clip import MAX_ANIMATED_PIXELS, MAX_PIXELS
from .containers import begins_like_a_clip, ends_early, last_whole_box, seconds_of
from .formats import ANIMATED, SERIES, format_of
from .joined import MOST_OTHERS, may_be_transport_stream, others
from .memory_limit import is_scarce
from .pictures import Unreadable
from .sample_tables import MAX_SAMPLES, promises

if TYPE_CHECKING:
    from collections.abc import Callable
    from fractions import Fraction

    from av.container import InputContainer
    from av.video.stream import VideoStream

_BUFFER_BYTES = 1 << 16
#: What is no longer is no clip where another track is.
_STILL_SECONDS = 0.1
#: What FFmpeg also opens and nobody means by a clip: lists of other files and addresses, scripts,
#: text as pictures.
_NO_CLIPS = (
    "hls", "dash", "webm_dash_manifest", "concat", "sdp", "rtsp", "rtp", "sap", "imf", "avisynth",
    "vapoursynth", "lavfi", "image2", "ffmetadata", "tty", "bin", "xbin", "adf", "idf",
)  # fmt: skip
_TRANSPORT_STREAMS = ("mpegts", "mpegtsraw")

#: Codecs whose frames tell all that a decoder must know, and those that do so in an AVI file.
_TOLD_IN_FRAMES = ("mjpeg", "vp8", "vp9", "av1", "libdav1d", "mpeg1video", "mpeg2video")
_TOLD_IN_AVI = ("h264", "hevc", "mpeg4")

_COPY_AGAIN = "copy or download it again"
_SAVE_AS = "save it as JPEG, PNG or MP4"
#: How pieces of a streamed MP4 begin, whose description players get in a file of its own.
_INNER_BOXES = (b"styp", b"sidx", b"moof")
_PIECE_ONLY = "a piece of a stream, without its beginning that says what is in it"
_UNKNOWN = f"neither a picture nor a clip of a known format: {_SAVE_AS}"


def usual_time_base() -> Fraction:
    """Of frames without one; their times are those of the stream all the same."""
    from fractions import Fraction

    return Fraction(1, 25)


class NamelessFile:
    """A file without its name, by which FFmpeg would guess a format.

    PyAV prints exceptions that come while FFmpeg deals with another one, so none leave it.
    """

    def __init__(self, file: IO[bytes], begin: int = 0, end: int | None = None) -> None:
        self.file = file
        self.begin, self.end = begin, end  # where the file begins and ends for FFmpeg
        self.fault: str | None = None
        self.most_pixels = MAX_PIXELS  # of a frame
        self.remarks: tuple[Note, ...] = ()  # what of it is read
        self.may_be_transport_stream = False  # its tables have been looked at
        self.goes_on = False  # has others that are read, too, each with times of its own

    def read(self, size: int) -> bytes:
        try:
            if self.end is not None:
                size = max(0, min(size, self.end - self.file.tell()))
            return self.file.read(size)
        except (OSError, ValueError) as error:  # ValueError: closed
            self.fault = text_of(error)
            return b""

    def seek(self, offset: int, whence: int) -> int:
        try:
            if whence == os.SEEK_END and self.end is not None:
                offset, whence = self.end - self.begin + offset, os.SEEK_SET
            if whence == os.SEEK_SET:
                offset += self.begin
            return self.file.seek(offset, whence) - self.begin
        except (OSError, ValueError, OverflowError):  # to where no file reaches
            return -1

    def tell(self) -> int:
        return self.file.tell() - self.begin


def open_container(file: NamelessFile, start: bytes) -> InputContainer:
    """The container of a file that begins so; ``Unreadable`` if it is none."""
    if not start:
        raise Unreadable(f"the file is empty: {_COPY_AGAIN}")
    if format_of(start) in ANIMATED:
        file.most_pixels = MAX_ANIMATED_PIXELS
    _check_promises(file, start)
    try:
        container = _probe(file)
    except (MemoryError, ImportError) as error:
        if isinstance(error, MemoryError) or is_scarce():
            raise Unreadable("too large for the memory of this machine: scale it down") from None
        # it is installed, but something that it needs is not
        raise Unreadable(f"PyAV cannot be loaded ({text_of(error)}): install it again") from None
    except Exception as error:  # whatever PyAV raises
        if start[4:8] in _INNER_BOXES:
            raise Unreadable(_damaged(_PIECE_ONLY)) from None
        if begins_like_a_clip(start) or format_of(start):
            raise Unreadable(_damaged(file.fault or text_of(error))) from None
        raise Unreadable(_UNKNOWN) from None
    begins = _BEGINS.get(container.format.name)
    if begins is not None and not begins(start):
        container.close()
        raise Unreadable(_UNKNOWN)
    return container


def _begins_like_jpegs(start: bytes) -> bool:
    """Whether pictures may follow each other in a file that begins so, as what a camera answers to
    a browser."""
    rest = start.lstrip(b"\0\t\n\r \xef\xbb\xbf")
    return not rest or rest.startswith((b"\xff\xd8", b"HTTP/")) or b"image/jpeg" in start


#: Of what FFmpeg finds anywhere in a file how such files begin: JPEGs lie in documents and cameras'
#: raw files, and what begins a frame of H.263 in pictures without a name (TGA).
_BEGINS: dict[str, Callable[[bytes], bool]] = {
    "mjpeg": _begins_like_jpegs,
    "h263": lambda start: start[:2] == b"\0\0" and start[2] & 0xFC == 0x80,
}


@functools.cache
def _clips(transport_streams: bool) -> str:
    """FFmpeg's names of the formats that it may open at all; the others are not even looked into:
    some ask the system for an address as soon as they are."""
    from av import formats_available

    closed = _NO_CLIPS if transport_streams else _NO_CLIPS + _TRANSPORT_STREAMS
    return ",".join(
        name for name in sorted(formats_available)
        if (name not in closed and not name.endswith("pipe")) or name == "yuv4mpegpipe"
    )  # fmt: skip


def _check_promises(file: NamelessFile, start: bytes) -> None:
    """``Unreadable`` for tables that FFmpeg would fill gigabytes with; read before it does."""
    try:
        samples, is_joined = promises(file.file)
        found = others(file.file, start)
        file.begin = found.first
        file.may_be_transport_stream = may_be_transport_stream(start)
        file.goes_on = found.are_read and bool(found.starts) and _are_alike(file.file, found.starts)
        if found.starts and not file.goes_on:
            file.end, is_joined = found.starts[0], True
        if is_joined:
            file.remarks += (Note("first_clip_only"),)
        file.file.seek(file.begin)
    except (OSError, ValueError) as error:
        raise Unreadable(_damaged(text_of(error))) from None
    if samples > MAX_SAMPLES:
        raise Unreadable(
            f"promises {samples} samples, more than {MAX_SAMPLES}, taken for a bomb: {_SAVE_AS}"
        )


def _are_alike(file: IO[bytes], starts: tuple[int, ...]) -> bool:
    """Whether clips that are joined can be read as one: all are described as the first is."""
    if len(starts) == MOST_OTHERS:  # there may be more
        return False
    ends = (*starts, None)
    first, *rest = (
        _description(NamelessFile(file, begin, end))
        for begin, end in zip((0, *starts), ends, strict=True)
    )
    return first is not None and all(other == first for other in rest)


def _description(file: NamelessFile) -> tuple[object, ...] | None:
    """What frames of the picture track need to be known for; ``None`` if there is none."""
    try:
        file.seek(0, os.SEEK_SET)
        with _probe(file) as container:
            stream = best_stream(container, file)
            codec = stream.codec_context
            track = stream.index, codec.name
            is_avi = container.format.name == "avi"
            if codec.name in _TOLD_IN_FRAMES or (is_avi and codec.name in _TOLD_IN_AVI):
                return track
            return *track, codec.width, codec.height, codec.pix_fmt, codec.extradata
    except Exception:  # whatever PyAV raises: who reads it has words
        return None


def _probe(file: NamelessFile) -> InputContainer:
    import av

    options: dict[str, Any] = {
        "buffer_size": _BUFFER_BYTES,
        "options": {"max_pixels": str(file.most_pixels)},
        "container_options": {
            "protocol_whitelist": "none",
            "format_whitelist": _clips(file.may_be_transport_stream),
        },
    }
    if int(av.__version__.partition(".")[0]) < 19:
        options["metadata_errors"] = "replace"  # newer ones leave surrogates, as_text replaces them
    try:
        return av.open(file, "r", **options)
    except Exception:
        file.end = last_whole_box(file.file)  # half a description in front of a fragment is fatal
        file.file.seek(file.begin)
        if file.end is None:
            raise
        return av.open(file, "r", **options)


def _damaged(reason: str) -> str:
    return f"damaged, or cut short before the first frame can be read ({reason}): {_COPY_AGAIN}"


def best_stream(container: InputContainer, file: NamelessFile) -> VideoStream:
    """The picture track, of several the largest; ``Unreadable`` for none, or too large a one."""
    from av.stream import Disposition

    still = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image
    moving = [stream for stream in container.streams.video if not stream.disposition & still]
    if not moving:
        if ends_early(file.file):
            raise Unreadable(_damaged("no picture track is described"))
        what = "only sound" if container.streams.audio else "nothing that moves"
        cover = " and a cover picture" if container.streams.video else ""
        raise Unreadable(f"no clip, {what}{cover} in it: give a file with a picture track")
    moving = [track for track in moving if not _is_still(track)] or moving
    if container.metadata.get("major_brand", "").encode(errors="replace") in SERIES:
        moving = [track for track in moving if not _is_grey(track)] or moving  # transparency
    known = [stream for stream in moving if stream.codec_context is not None]
    if not known:
        raise Unreadable(f"a codec that the installed PyAV does not read: {_SAVE_AS}")
    if len(moving) > 1:
        file.remarks += (Note("largest_track_only"),)
    best = max(known, key=lambda stream: stream.codec_context.width * stream.codec_context.height)
    check_size(best.codec_context.width, best.codec_context.height, file.most_pixels)
    return best


def _is_still(track: VideoStream) -> bool:
    """One frame, as of a cover that was copied into a Matroska or MOV file, which then says no more
    what it is."""
    seconds = seconds_of(track)
    return track.frames == 1 or (seconds is not None and seconds <= _STILL_SECONDS)


def _is_grey(track: VideoStream) -> bool:
    codec = track.codec_context
    return codec is not None and str(codec.pix_fmt).startswith("gray")


def check_size(width: int, height: int, most: int) -> None:
    """``Unreadable`` for frames that are too large."""
    if width * height > most:
        raise Unreadable(
            f"frames of {width} x {height} pixels, more than {most}, taken for a bomb: "
            "scale it down"
        )


def text_of(error: Exception) -> str:
    """What an exception of PyAV's, Pillow's or the system's says, in one line."""
    text = error.strerror if isinstance(error, OSError) else getattr(error, "strerror", None)
    return str(text or error).partition("\n")[0][:200] or type(error).__name__
