"""Streams: an open file, such as standard input, becomes one in which one can go back and forth.

A clip may tell at its end what is in it, so what comes from a pipe is kept in a temporary file
first.
"""

from __future__ import annotations

import io
import os
from typing import IO, cast

from .binary import next_part
from .containers import begins_like_a_clip
from .formats import SIGNATURE_BYTES, format_of
from .kinds import has_pyav
from .opening import NamelessFile, best_stream, open_container, text_of
from .pictures import Unreadable

#: More is refused: an endless stream would fill the disk.
_MAX_BYTES = 1 << 34
_CHUNK_BYTES = 1 << 20
_NOTHING = "nothing comes from it: give a picture or clip"
#: What FFmpeg looks at where the beginning is none that is known here.
_PROBED_BYTES = 1 << 20


class Stream(io.BufferedIOBase):
    """A file that somebody has opened, from its beginning.

    Args:
        file: which can be sought.
        is_ours: whether closing this one closes it, too.
    """

    def __init__(self, file: IO[bytes], is_ours: bool) -> None:
        self._file, self._is_ours = file, is_ours

    def read(self, size: int | None = -1, /) -> bytes:
        return self._file.read(-1 if size is None else size)

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        if self._is_ours:
            self._file.close()
        super().close()


def stream_of(file: io.BufferedIOBase) -> Stream:
    """An open file as one that can be sought; of a pipe all that comes until its end.

    Raises:
        Unreadable: nothing comes, or it is neither picture nor clip, or too much.
    """
    if isinstance(file, Stream):
        return file
    try:
        if file.seekable() and not file.tell():
            stream = Stream(cast(IO[bytes], file), is_ours=False)
            if not _more(file, 1):
                raise Unreadable(_NOTHING)
            stream.seek(0)
            return stream
        start = _begin(file)
        if not start and file.seekable() and file.tell():
            raise Unreadable("it was read to its end before: go back by seek(0)")
        if not start:
            raise Unreadable(_NOTHING)
        if format_of(start) is None and not begins_like_a_clip(start):
            start += _more(file, _PROBED_BYTES)
            _check_beginning(start)
        return _kept(file, start)
    except (OSError, ValueError) as error:  # ValueError: closed
        raise Unreadable(f"{text_of(error)}: give a file") from None


def _begin(file: io.BufferedIOBase) -> bytes:
    """Enough to tell what it is."""
    return _more(file, SIGNATURE_BYTES)


def _more(file: io.BufferedIOBase, size: int) -> bytes:
    """So many bytes, fewer at the end; one that does not wait gives less than was asked for."""
    parts, left = [], size
    while left and (part := next_part(file, left)):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def _check_beginning(start: bytes) -> None:
    """``Unreadable`` for what FFmpeg does not take for a clip, either: it may be endless."""
    if not has_pyav():
        raise Unreadable("neither a picture nor a clip of a known format: give a file")
    file = NamelessFile(io.BytesIO(start))
    with open_container(file, start[:SIGNATURE_BYTES]) as container:
        best_stream(container, file)


def _kept(file: io.BufferedIOBase, start: bytes) -> Stream:
    import tempfile  # who judges files need not wait for it

    kept = Stream(cast(IO[bytes], tempfile.TemporaryFile()), is_ours=True)  # noqa: SIM115
    try:
        size, chunk = 0, start
        while chunk:
            size += len(chunk)
            if size > _MAX_BYTES:
                raise Unreadable(f"more than {_MAX_BYTES >> 30} GiB: give a file")
            kept._file.write(chunk)
            chunk = next_part(file, _CHUNK_BYTES)
        kept.seek(0)
    except BaseException:
        kept.close()
        raise
    return kept
