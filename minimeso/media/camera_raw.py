"""Raw files of cameras: what a sensor saw, which a program has yet to make a picture of.

Most are TIFF files and tell by their fields only; the others have signatures of their own, see
``formats``.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import IO

#: Endings, only to say of a file in a folder what it is.
RAW_ENDINGS = (
    ".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".fff", ".gpr", ".iiq", ".kdc",
    ".mef", ".mos", ".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2",
    ".srf", ".srw", ".x3f",
)  # fmt: skip
#: Why none of them is judged, and what to do.  Their previews are small, or what the camera made of
#: the picture for its own screen.
UNDEVELOPED = (
    "a camera's raw file, of which no picture has been made yet: develop it in the camera or a "
    "photo program, and save it as JPEG or PNG"
)
#: Fields of a TIFF: what the values stand for (a mosaic of colours, colours of the sensor), where
#: further pictures are, and the version of DNG.
_MEANING, _FURTHER, _DNG = 262, 330, 50706
_OF_A_SENSOR = frozenset({32803, 34892})
#: Bytes of a value, by the number of its kind: 16 and 32 bits, a place, 64 bits, a place of 64.
_SIZES = {3: 2, 4: 4, 13: 4, 16: 8, 18: 8}
_CODES = {2: "H", 4: "I", 8: "Q"}
#: Directories that are looked at, fields of each, and pictures that one names: a raw file has five
#: directories of 70 fields.
_MOST_DIRECTORIES, _MOST_FIELDS, _MOST_FURTHER = 32, 1024, 16


def is_raw_tiff(file: IO[bytes]) -> bool:
    """Whether a TIFF file has a picture of a camera's sensor in it; the file stays where it was."""
    place = file.tell()
    try:
        return _Tiff(file).is_raw()
    except (
        OSError,
        ValueError,
        OverflowError,
        struct.error,
    ):  # damaged, which who reads it has words for
        return False
    finally:
        file.seek(place)


class _Tiff:
    """Directories of a file, in either order of bytes, with places of 32 or 64 bits."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        file.seek(0)
        head = file.read(16)
        self._order = "<" if head.startswith(b"II") else ">"
        self._is_big = 43 in (head[2], head[3])
        first = head[8:16] if self._is_big else head[4:8]
        self._waiting = [self._number(first)]

    def is_raw(self) -> bool:
        seen: set[int] = set()
        while self._waiting and len(seen) < _MOST_DIRECTORIES:
            place = self._waiting.pop(0)
            if place == 0 or place in seen:
                continue
            seen.add(place)
            for field, values in self._fields(place):
                if field == _DNG or (field == _MEANING and not _OF_A_SENSOR.isdisjoint(values)):
                    return True
                if field == _FURTHER:
                    self._waiting += values
        return False

    def _fields(self, place: int) -> Iterator[tuple[int, tuple[int, ...]]]:
        """Those of a directory that are asked for; then the next one waits, too."""
        width, head = (8, 8) if self._is_big else (4, 2)
        self._file.seek(place)
        count = self._number(self._file.read(head))
        data = self._file.read(min(count, _MOST_FIELDS) * (4 + 2 * width))
        after = self._file.read(width) if count <= _MOST_FIELDS else b""
        for at in range(0, len(data), 4 + 2 * width):
            field, kind = struct.unpack_from(f"{self._order}HH", data, at)
            if field in (_MEANING, _FURTHER, _DNG):
                number = self._number(data[at + 4 : at + 4 + width])
                yield field, self._values(kind, number, data[at + 4 + width :][:width])
        if len(after) == width:
            self._waiting.append(self._number(after))

    def _values(self, kind: int, count: int, here: bytes) -> tuple[int, ...]:
        """The first of a field, which stand in it where they have room."""
        size = _SIZES.get(kind, 0)
        count = min(count, _MOST_FURTHER)
        if not size or not count:
            return ()
        if count * size > len(here):
            self._file.seek(self._number(here))
            here = self._file.read(count * size)
        return struct.unpack_from(f"{self._order}{count}{_CODES[size]}", here)

    def _number(self, data: bytes) -> int:
        return int.from_bytes(data, "little" if self._order == "<" else "big")
