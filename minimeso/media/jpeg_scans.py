"""Scans of a JPEG (ITU-T T.81): in one go from the top, or in several that cover all of it.

A decoder of several scans, as of progressive files, keeps every coefficient of the picture, two
bytes each, however small it is asked to decode it; and what such a file lacks at its end is not the
lower part but the fine detail of all.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import IO

#: Beginnings of a frame: sequential ones in Huffman code, and all.
_SEQUENTIAL = (0xC0, 0xC1)
_FRAMES = (*_SEQUENTIAL, 0xC2, 0xC3, *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0))
_SCAN = 0xDA
_FILL = 0xFF
#: Markers without a length, and none at all, which decoders skip: nobody writes them here.
_ALONE = (0x00, 0x01, *range(0xD0, 0xDA))
#: Segments and bytes between them that are looked at before the first scan; there may be more.
_MOST_SEGMENTS = 4096
_BEGINNING, _END = b"\xff\xd8\xff", b"\xff\xd9"
#: Zeros at the end of a file that are looked into; behind the end of a picture there may be any
#: number, and something else in front of them, as the clip of a moving photograph.
_EMPTY, _PIECE = 1024, 1 << 20


def _segments(file: IO[bytes]) -> Iterator[int]:
    """Markers up to that of the first scan, the file at what stands behind each; fewer where
    something does not add up."""
    file.seek(2)
    for _ in range(_MOST_SEGMENTS):
        head = file.read(4)
        size = int.from_bytes(head[2:], "big") - 2
        if len(head) < 4 or head[0] != _FILL or head[1] in _ALONE:
            return
        kind, start = head[1], file.tell()
        if kind == _FILL:  # any number of them may lie before a marker
            file.seek(start - 3)
            continue
        if size < 0:
            return
        yield kind
        if kind == _SCAN:
            return
        file.seek(start + size)


def has_one_scan(file: IO[bytes]) -> bool:
    """Whether it is sure that one scan holds all components; the file stays where it was."""
    place = file.tell()
    components = 0  # of a sequential frame
    try:
        for kind in _segments(file):
            if kind in _FRAMES:
                components = file.read(6)[5] if kind in _SEQUENTIAL else 0
            if kind == _SCAN:
                return components > 0 and file.read(1)[0] == components
        return False
    except IndexError:  # it ends early
        return False
    finally:
        file.seek(place)


def has_empty_end(file: IO[bytes]) -> bool:
    """Whether zeros stand where the last scan went on, as where a copy was broken off whose room
    was made before; the file stays where it was."""
    place = file.tell()
    try:
        end = file.seek(0, os.SEEK_END)
        file.seek(max(0, end - _EMPTY))
        if file.read(_EMPTY).strip(b"\0"):
            return False
        while end > 0:
            start = max(0, end - _PIECE)
            file.seek(start)
            left = file.read(end - start).rstrip(b"\0")
            end = start + len(left)
            if left:
                break
        return not _ends(file, end)
    finally:
        file.seek(place)


def has_another(file: IO[bytes]) -> bool:
    """Whether another picture begins right where this one ends, as in a stream of a camera or of
    ``cat``, of which Pillow knows nothing; the file stays where it was."""
    place = file.tell()
    try:
        end = end_of_first(file)
        file.seek(end or 0)
        return end is not None and file.read(3) == _BEGINNING
    finally:
        file.seek(place)


def end_of_first(file: IO[bytes]) -> int | None:
    """Where the first picture ends, ``None`` if it does not; the file stays where it was."""
    place = file.tell()
    try:
        if _SCAN not in _segments(file):
            return None
        start, last = file.tell(), b""
        while piece := file.read(_PIECE):
            at = (last + piece).find(_END)
            if at >= 0:
                return start - len(last) + at + len(_END)
            start, last = start + len(piece), piece[-1:]
        return None
    finally:
        file.seek(place)


def _ends(file: IO[bytes], end: int) -> bool:
    """Whether the end of a picture stands behind the marker of its first scan, which no scan has in
    it; before that there may be those of small copies."""
    if _SCAN not in _segments(file):
        return True
    last = b""
    while (size := min(_PIECE, end - file.tell())) > 0 and (piece := file.read(size)):
        if _END in last + piece:
            return True
        last = piece[-1:]
    return False
