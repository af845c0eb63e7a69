"""What a program has in its hands - bytes, an upload, a member of an archive - as an open file."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Awaitable, Coroutine
from typing import Any, Protocol

from ..errors import InputError

_TEXT = "a file that reads text: open it with mode 'rb'"
_NOT_READABLE = "a file that is open for writing only: open it with mode 'rb'"


class Readable(Protocol):
    """Anything that gives bytes: an upload, a member of an archive, a pipe."""

    def read(self, size: int = ..., /) -> bytes: ...


def binary_of(source: Any) -> Any:
    """Bytes, and objects with ``read``, as a ``BufferedIOBase``; anything else as it is.

    Raises:
        InputError: the object reads no bytes, but text, say, or what is to be awaited, or its
            ``read`` takes no number of them.
    """
    if isinstance(source, memoryview) and source.ndim == 1 and source.itemsize == 1:
        source = source.tobytes()  # also where it has gaps
    if isinstance(source, (bytes, bytearray)):
        return io.BytesIO(source)
    if isinstance(source, io.BufferedIOBase):
        if isinstance(source, io.BufferedWriter):
            raise InputError(_NOT_READABLE)
        return source
    # a picture of Pillow has none, an array neither
    if not isinstance(source, io.IOBase) and not callable(getattr(source, "read", None)):
        return source
    _check_reads_bytes(source)
    return _Reading(source)


def _check_reads_bytes(file: Any) -> None:
    if isinstance(file, io.TextIOBase):
        raise InputError(_TEXT)
    kind = type(file).__name__
    try:
        nothing = file.read(0)
    except io.UnsupportedOperation:
        raise InputError(_NOT_READABLE) from None
    except (OSError, ValueError):  # closed, say: who reads it has words for that
        return
    except MemoryError:
        raise
    except Exception as error:  # a ``read`` of another kind, as of a camera of OpenCV
        reason = str(error).strip().partition("\n")[0][:200] or type(error).__name__
        raise InputError(f"{kind}: its read takes no number of bytes: {reason}") from None
    if isinstance(nothing, str):
        raise InputError(_TEXT)
    if isinstance(nothing, Awaitable):
        if isinstance(nothing, Coroutine):
            nothing.close()  # or Python complains that nobody awaited it
        raise InputError(f"{kind}: its read is to be awaited: give what comes of it")
    if nothing is not None and not isinstance(nothing, (bytes, bytearray, memoryview)):
        raise InputError(f"{kind}: its read gives {type(nothing).__name__}, no bytes")


def next_part(file: Any, size: int) -> bytes:
    """What a file gives next, ``size`` bytes at most; nothing at its end only.

    Another program may have left a pipe that it shares with this one so that reading does not wait
    (``O_NONBLOCK``), and a read then gives ``None`` where nothing has come yet.

    Raises:
        BlockingIOError: nothing has come yet, and there is no way to wait for it.
    """
    while (part := file.read(size)) is None:
        import select  # hardly anybody needs it

        try:
            select.select([file], [], [])
        except (OSError, TypeError, ValueError):  # no file of the system, or Windows
            text = "its read gave nothing, and it cannot be waited for"
            raise BlockingIOError(errno.EAGAIN, text) from None
    return bytes(part)


class _Reading(io.BufferedIOBase):
    """A file by its ``read``; sought in where it says that it can be."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def read(self, size: int | None = -1, /) -> bytes:
        """All that is wanted, as ``BufferedIOBase`` promises and a raw file does not."""
        wanted = -1 if size is None else size
        parts: list[bytes] = []
        while wanted:
            part = next_part(self._file, wanted)
            if not part:
                break
            parts.append(part)
            if wanted > 0:
                wanted = max(wanted - len(part), 0)
        return b"".join(parts)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        try:
            return bool(self._file.seekable())
        except AttributeError:
            return hasattr(self._file, "seek") and hasattr(self._file, "tell")

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        self._file.seek(offset, whence)
        return self.tell()  # some return nothing

    def tell(self) -> int:
        position: int = self._file.tell()
        return position
