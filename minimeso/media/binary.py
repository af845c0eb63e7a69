"""What a program has in its hands - bytes, an upload, a member of an archive - as an open file."""

from __future__ import annotations

import io
import os
from typing import Any, Protocol

from ..errors import InputError


class Readable(Protocol):
    """Anything that gives bytes: an upload, a member of an archive, a pipe."""

    def read(self, size: int = ..., /) -> bytes: ...


def binary_of(source: Any) -> Any:
    """Bytes, and objects with ``read``, as a ``BufferedIOBase``; anything else as it is.

    Raises:
        InputError: the object reads text.
    """
    if isinstance(source, memoryview) and source.ndim == 1 and source.itemsize == 1:
        source = source.tobytes()  # also where it has gaps
    if isinstance(source, (bytes, bytearray)):
        return io.BytesIO(source)
    if isinstance(source, io.BufferedIOBase):
        return source
    # a picture of Pillow has none, an array neither
    if not isinstance(source, io.IOBase) and not callable(getattr(source, "read", None)):
        return source
    file: Any = source
    try:
        is_text = isinstance(file, io.TextIOBase) or isinstance(file.read(0), str)
    except (OSError, ValueError):  # closed, say: who reads it has words for that
        is_text = False
    if is_text:
        raise InputError("a file that reads text: open it with mode 'rb'")
    return _Reading(file)


class _Reading(io.BufferedIOBase):
    """A file by its ``read``; sought in where it says that it can be."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def read(self, size: int | None = -1, /) -> bytes:
        """All that is wanted, as ``BufferedIOBase`` promises and a raw file does not."""
        wanted = -1 if size is None else size
        parts: list[bytes] = []
        while wanted:
            part = self._file.read(wanted)
            if not part:
                break
            parts.append(bytes(part))
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
