"""Zip archives, as far as ``.npz`` files need them: entries stored or deflated, read from memory.

Python's ``zipfile`` does more, and with ``pathlib``, ``shutil`` and ``ipaddress`` behind it takes
twice as long to import as our model to load.  Layouts: PKWARE's APPNOTE.TXT, section 4.3.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

_END_MARK, _ENTRY_MARK = b"PK\5\6", b"PK\1\2"
_END = struct.Struct("<10xH4xI2x")  # number of entries, where the first is described
_ENTRY = struct.Struct("<4s6xH4xIIIHHH8xI")
_LOCAL = struct.Struct("<26xHH")  # lengths of the name and of the extra field before the content
_STORED, _DEFLATED = 0, 8


def entries(data: bytes, size_limit: int) -> Iterator[tuple[str, bytes | memoryview]]:
    """Name and content of every entry of an untrusted archive; what is stored is not copied.

    Raises:
        ValueError: the archive is damaged, of a kind not read here, or unpacks to more than
            ``size_limit`` bytes; hostile bytes may also raise ``struct.error`` and ``zlib.error``.
    """
    end = data.rfind(_END_MARK)
    if end < 0:
        raise ValueError("no zip archive, or cut short")
    count, at = _END.unpack_from(data, end)
    packed_limit = len(data)  # entries that share their bytes could keep us busy for hours
    for _ in range(count):
        (mark, method, checksum, packed, size, *lengths, local) = _ENTRY.unpack_from(data, at)
        if mark != _ENTRY_MARK or method not in (_STORED, _DEFLATED):
            raise ValueError("a zip archive that is damaged or packed in an unknown way")
        packed_limit, size_limit = packed_limit - packed, size_limit - size
        if packed_limit < 0 or size_limit < 0:
            raise ValueError("a zip archive that unpacks to more bytes than the limit")
        name = data[at + _ENTRY.size : at + _ENTRY.size + lengths[0]].decode()
        start = local + _LOCAL.size + sum(_LOCAL.unpack_from(data, local))
        content: bytes | memoryview = memoryview(data)[start : start + packed]
        if method == _DEFLATED:
            content = zlib.decompressobj(-zlib.MAX_WBITS).decompress(content, size + 1)
        if len(content) != size or zlib.crc32(content) != checksum:
            raise ValueError(f"entry {name!r} is damaged")
        yield name, content
        at += _ENTRY.size + sum(lengths)
