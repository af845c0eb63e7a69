"""Sample tables: how many frames an MP4 or MOV file promises, before FFmpeg believes it.

A table may say "4,000 million samples of one byte each" in 20 bytes, and so may a fragment; FFmpeg
then fills some 36 bytes of memory for each, whatever the length of the file.  All tables that could
be one are counted, wherever they lie, so that FFmpeg finds no more of them than are counted here.
Left out are those of plain PCM sound, which count every value, and of which FFmpeg makes chunks.
"""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Iterator
from typing import IO, NamedTuple

#: Samples of all tables: two days of 60 frames a second.  FFmpeg needs some 36 bytes for each.
MAX_SAMPLES = 10_000_000
#: Bytes of all compressed descriptions in one part, and what each counts for at least.
MAX_UNPACKED, _LEAST_UNPACKED = 1 << 26, 1 << 20
_PIECE = 1 << 16
#: Outermost parts that are looked at, and bytes of one: descriptions are smaller by far.
MAX_PARTS, MAX_DESCRIPTION = 1 << 20, 1 << 28
#: Outermost parts that FFmpeg looks into (mov.c); others it skips.
_OPENED = frozenset(
    b"moov moof trak mdia minf stbl traf mvex cmov rmra rmda dinf edts udta meta wave ilst ipro "
    b"sinf schi iprp iinf tref stsz stz2 trun".split()
)
#: A table, its version and flags, and the count: behind the size of all in the first two.
_TABLE = re.compile(rb"(?s)(?:st(?:sz|z2).{8}|trun.{4})(.{4})")
_COMPRESSED = re.compile(rb"cmvd(?s:.{4})")


class Promises(NamedTuple):
    """What a file promises.

    Attributes:
        samples: of all tables together; 0 if it is no ISO base media file.
        is_joined: whether it has samples of another clip behind those of the first, as where two
            files were joined byte by byte.  FFmpeg and players pass over them.
    """

    samples: int
    is_joined: bool


def promises(file: IO[bytes]) -> Promises:
    """What a file promises.

    Raises:
        OSError: the file cannot be read.
        ValueError: its description is larger than any that is read here.
    """
    total, has_movie, is_joined = 0, False, False
    for kind, start, end in outer_parts(file):
        if kind not in _OPENED:
            continue
        if end - start > MAX_DESCRIPTION:
            raise ValueError(f"a description of {end - start} bytes")
        file.seek(start)
        samples = _in_description(file.read(end - start), _Room(MAX_UNPACKED))
        total += samples
        if kind == b"moov":  # those of fragments may come again and have no samples themselves
            is_joined |= has_movie and samples > 0
            has_movie = True
    return Promises(total, is_joined)


def outer_parts(file: IO[bytes]) -> Iterator[tuple[bytes, int, int]]:
    """Kind, start and end of the content of the outermost parts, as FFmpeg finds them."""
    length = file.seek(0, os.SEEK_END)
    at = 0
    for _ in range(MAX_PARTS):
        file.seek(at)
        head = file.read(16)
        if len(head) < 8:
            return
        size, kind, start = int.from_bytes(head[:4], "big"), head[4:8], at + 8
        if size == 1:
            size, start = int.from_bytes(head[8:], "big"), at + 16
        end = at + size if size else length
        if end < start:
            return
        yield kind, start, min(end, length)
        at = end
        if at >= length:
            return


class _Room:
    """What compressed descriptions may still unpack to, those in one another together."""

    def __init__(self, left: int) -> None:
        self.left = left

    def unpacked(self, data: memoryview) -> bytes:
        """Nothing where the data are damaged: FFmpeg will not take them, either."""
        found, unpack = bytearray(), zlib.decompressobj()
        try:
            for at in range(0, len(data), _PIECE):  # it keeps a copy of what it does not want
                found += unpack.decompress(data[at : at + _PIECE], self.left + 1 - len(found))
                if unpack.eof or len(found) > self.left:
                    break
        except zlib.error:
            found.clear()
        self.left -= len(found) + _LEAST_UNPACKED
        if self.left < 0:
            raise ValueError(f"descriptions that unpack to more than {MAX_UNPACKED} bytes")
        return bytes(found)


def _in_description(data: bytes, room: _Room) -> int:
    whole = memoryview(data)
    total = at = 0
    while found := _TABLE.search(data, at):
        total += int.from_bytes(found[1], "big")
        at = found.start() + 4  # the next one may overlap
    for first, last in _children(data, 0, len(data), b"trak"):
        total -= _samples_of_sound(data[first:last])
    for packed in _COMPRESSED.finditer(data):
        total += _in_description(room.unpacked(whole[packed.end() :]), room)
    return total


def _children(data: bytes, start: int, end: int, kind: bytes) -> Iterator[tuple[int, int]]:
    """Where the contents of the parts of a kind lie, one behind the other."""
    while start + 8 <= end:
        size = int.from_bytes(data[start : start + 4], "big")
        if size < 8 or start + size > end:
            return
        if data[start + 4 : start + 8] == kind:
            yield start + 8, start + size
        start += size


def _samples_of_sound(track: bytes) -> int:
    """Those of a track of plain sound: the only table says that each sample lasts one unit.

    What has two of anything has none that FFmpeg is sure to take.
    """
    if any(track.count(kind) != 1 for kind in (b"hdlr", b"stts", b"stsz")) or b"trak" in track:
        return 0
    where = 0, len(track)
    try:
        media = next(_children(track, *where, b"mdia"))
        handler = next(_children(track, *media, b"hdlr"))
        tables = next(_children(track, *next(_children(track, *media, b"minf")), b"stbl"))
        times = next(_children(track, *tables, b"stts"))
        sizes = next(_children(track, *tables, b"stsz"))
    except StopIteration:
        return 0
    is_sound = track[handler[0] + 8 : handler[0] + 12] == b"soun"
    each_lasts_one = track[times[0] + 4 : times[0] + 8] == b"\0\0\0\1" and (
        track[times[0] + 12 : times[0] + 16] == b"\0\0\0\1"
    )
    if not (is_sound and each_lasts_one):
        return 0
    return int.from_bytes(track[sizes[0] + 8 : sizes[0] + 12], "big")
