"""Tables of an MPEG transport stream (ISO/IEC 13818-1): where the codec of a picture track changes.

Clips of different codecs that are joined mostly use the same number for it (``cat`` changes
nothing), and FFmpeg, which looks at some 5 MB before it decodes, then knows the last codec only: of
the clip before nothing comes, and nothing is said.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

import numpy as np

#: Bytes that are looked at; FFmpeg has decided by then.
WINDOW = 1 << 23
#: Lengths of a packet, and where its first byte, which is a G, stands: broadcast, and of a disc.
_PACKETS = (188, 0), (192, 4)
_SYNC, _STARTS = 0x47, 0x40
_PAT, _PMT = 0, 2
#: Types of picture tracks: MPEG-1, -2, -4, H.264, JPEG 2000, HEVC, VVC, AVS, Dirac, AVS2, AVS3,
#: VC-1.
_PICTURES = frozenset((0x01, 0x02, 0x10, 0x1B, 0x21, 0x24, 0x33, 0x42, 0xD1, 0xD2, 0xD4, 0xEA))


def change_of_codec(file: IO[bytes], start: bytes) -> int | None:
    """Where the table stands that gives a picture track another codec; ``None`` if none does.

    Args:
        file: is left anywhere.
        start: how it begins, a packet and a byte at least.

    Raises:
        OSError: the file cannot be read.
    """
    for size, first in _PACKETS:
        if start[first::size][:2] == b"GG":
            file.seek(0)
            return _change(file.read(WINDOW), size, first)
    return None


def _change(data: bytes, size: int, first: int) -> int | None:
    count = len(data) // size
    packets = np.frombuffer(data, np.uint8, count * size).reshape(count, size)[:, first:]
    begins = (packets[:, 0] == _SYNC) & ((packets[:, 1] & _STARTS) > 0)
    numbers = (packets[:, 1].astype(np.uint16) & 0x1F) << 8 | packets[:, 2]
    programs: set[int] = set()
    for place in np.nonzero(begins & (numbers == 0))[0]:
        table = _table(packets[place].tobytes(), _PAT)
        entries = (table[at : at + 4] for at in range(8, len(table) - 7, 4))
        programs.update(_number(entry[2:]) for entry in entries if any(entry[:2]))
    known: dict[int, int] = {}
    for place in np.nonzero(begins & np.isin(numbers, sorted(programs)))[0]:
        for track, kind in _tracks(_table(packets[place].tobytes(), _PMT)):
            if kind in _PICTURES and known.setdefault(track, kind) != kind:
                return int(place) * size
    return None


def _number(data: bytes) -> int:
    return int.from_bytes(data[:2], "big") & 0x1FFF


def _table(packet: bytes, kind: int) -> bytes:
    """A table of this kind that counts and stands in one packet; nothing if there is none."""
    at = 4 + (1 + packet[4] if packet[3] & 0x20 else 0)
    if not packet[3] & 0x10 or at >= len(packet):
        return b""
    table = packet[at + 1 + packet[at] :]
    end = 3 + (int.from_bytes(table[1:3], "big") & 0xFFF)
    whole = table[:end]
    counts = len(whole) == end >= 12 and whole[0] == kind and whole[5] & 1
    return whole if counts else b""


def _tracks(table: bytes) -> Iterator[tuple[int, int]]:
    """Number and type of each track that a table names."""
    at = 12 + (int.from_bytes(table[10:12], "big") & 0xFFF)
    while at + 9 <= len(table):  # a checksum of 4 bytes ends it
        yield _number(table[at + 1 : at + 3]), table[at]
        at += 5 + (int.from_bytes(table[at + 3 : at + 5], "big") & 0xFFF)
