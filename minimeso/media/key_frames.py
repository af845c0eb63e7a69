"""Key frames: where a long clip can be cut into pieces that are read one by one, in any order.

A frame that needs no other one begins each piece.  Such frames are found by seeking, so that hours
of a clip need not be read for it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice
from typing import IO, TYPE_CHECKING, NamedTuple, cast

from .containers import duration_of
from .formats import SIGNATURE_BYTES
from .opening import NamelessFile, best_stream, open_container
from .pictures import Unreadable, open_regular
from .streams import Stream

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

#: Containers whose index says where a time is; in others seeking is a guess.
_WITH_INDEX = ("mov,", "matroska,")
#: Seeks in a row that find no further key frame, after which the rest is one piece, however long
#: the clip says it is; and pieces beyond which a clip is taken for one that lies, and not cut.
_MOST_MISSES, _MOST_PIECES = 3, 2000


class Span(NamedTuple):
    """A piece of a clip, in units of its stream's time base.

    Attributes:
        zero: time stamp of the first frame of the clip.
        start: of the first frame of the piece, a key frame.
        end: of the first frame behind it; ``None`` where the clip ends.
    """

    zero: int
    start: int
    end: int | None

    def holds(self, stamp: int) -> bool:
        """Whether a frame of this time stamp belongs to it."""
        return self.start <= stamp and (self.end is None or stamp < self.end)


def spans(path: str | os.PathLike[str] | Stream, seconds: float, least: float) -> list[Span]:
    """The pieces of a clip.

    Args:
        path: a regular file, or an open one, which stays open.
        seconds: of a piece, about: a piece ends with the last key frame in them.
        least: a clip of fewer seconds is not cut.

    Returns:
        Nothing where the clip is shorter, does not say how long it is, cannot be read or cannot be
        cut: then it is to be read in one go.
    """
    try:
        if isinstance(path, Stream):
            path.seek(0)
            return _spans(cast(IO[bytes], path), seconds, least)
        with open_regular(os.fsdecode(path)) as file:
            return _spans(file, seconds, least)
    except (Unreadable, OSError, ValueError, OverflowError):  # who reads it whole has words
        return []


def _spans(file: IO[bytes], seconds: float, least: float) -> list[Span]:
    import av

    start = file.read(SIGNATURE_BYTES)
    file.seek(0)
    container = open_container(nameless := NamelessFile(file), start)
    try:
        stream = best_stream(container, nameless)
        duration = duration_of(container, stream)
        if duration is None or duration < least or not _has_index(container):
            return []
        if nameless.goes_on:  # a seek would find the first clip only
            return []
        first = next(container.decode(stream), None)
        if first is None or first.pts is None or not stream.time_base:
            return []
        zero = first.pts
        cuts = list(islice(_cuts(container, stream, zero, seconds, duration), _MOST_PIECES))
        if len(cuts) == _MOST_PIECES:
            return []
    except (av.FFmpegError, MemoryError):
        return []
    finally:
        container.close()
    return [Span(zero, a, b) for a, b in zip([zero, *cuts], [*cuts, None], strict=True)]


def _has_index(container: InputContainer) -> bool:
    return str(container.format.name).startswith(_WITH_INDEX)


def _cuts(
    container: InputContainer, stream: VideoStream, zero: int, seconds: float, duration: float
) -> Iterator[int]:
    """Time stamps of key frames, each the last one of the seconds of its piece."""
    assert stream.time_base is not None
    length = round(seconds / stream.time_base)
    last, wanted, misses = zero, zero + length, 0
    while (
        misses < _MOST_MISSES
        and wanted * stream.time_base < zero * stream.time_base + duration - seconds / 2
    ):
        container.seek(wanted, stream=stream, backward=True, any_frame=False)
        packet = next(container.demux(stream), None)
        found = packet.pts if packet is not None and packet.is_keyframe else None
        misses += 1
        if found is not None and last < found <= wanted:
            yield found
            last, misses = found, 0
        wanted += length
