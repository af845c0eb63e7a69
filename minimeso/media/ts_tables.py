"""Tables of an MPEG transport stream (ISO/IEC 13818-1): where the codec of a picture track changes.

Clips of different codecs that are joined mostly use the same number for it (``cat`` changes
nothing), and FFmpeg, which looks at some 5 MB before it decodes, then knows the last codec only: of
the clip before nothing comes, and nothing is said.  Where something is damaged as well, FFmpeg 8
ends the whole process.
"""

from __future__ import annotations

import zlib
from bisect import bisect_right
from collections.abc import Iterator
from typing import IO

import numpy as np
import numpy.typing as npt

#: Bytes that are looked at; FFmpeg has decided by then.
WINDOW = 1 << 23
#: Packets that are looked at for tables; of 188 bytes the window holds some 45,000 in all.
MOST_PACKETS = 1 << 16
PACKET_BYTES = 188
_SYNC, _STARTS = 0x47, 0x40
_PAT, _PMT, _FILL = 0, 2, 0xFF
#: Types of picture tracks: MPEG-1, -2, -4, H.264, JPEG 2000, HEVC, VVC, AVS, Dirac, AVS2, AVS3,
#: VC-1.
_PICTURES = frozenset((0x01, 0x02, 0x10, 0x1B, 0x21, 0x24, 0x33, 0x42, 0xD1, 0xD2, 0xD4, 0xEA))
#: Types that mean the same codec as another: H.264 of a second eye.
_SAME = {0x20: 0x1B}
#: CRC-32 of MPEG begins with the highest bit of a byte, zlib's with the lowest.
_TURNED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
#: FFmpeg believes tables with a wrong checksum after so many, after a right one so many more.
_WRONG, _WRONG_BEHIND_RIGHT = 10, 110


def changes_of_codec(file: IO[bytes]) -> tuple[tuple[int, int], ...]:
    """Where tables stand that give a picture track another codec than one before.

    Packets are looked for wherever one may begin, as FFmpeg does behind damage.

    Args:
        file: is left anywhere.

    Returns:
        Of each change, in order: the packet of the last table of programs before it, with which
        the new clip can be read, and that of the new table itself.

    Raises:
        OSError: the file cannot be read.
        ValueError: more tables than any clip has.
    """
    file.seek(0)
    data = file.read(WINDOW)
    bytes_ = np.frombuffer(data, np.uint8)
    places = np.flatnonzero(bytes_[:-3] == _SYNC)
    numbers = (bytes_[places + 1].astype(np.uint16) & 0x1F) << 8 | bytes_[places + 2]
    programs: set[int] = set()
    directories = []
    for place, table in _tables(data, _few(places[numbers == 0]), _PAT):
        directories.append(place)
        entries = (table[at : at + 4] for at in range(8, len(table) - 7, 4))
        programs.update(_number(entry[2:]) for entry in entries if any(entry[:2]))
    named = np.isin(numbers, sorted(programs))
    places, numbers = _few(places[named]), numbers[named]
    maps = [
        found for number in sorted(programs)
        for found in _tables(data, places[numbers == number], _PMT)
    ]  # fmt: skip
    changes = []
    for place in _changes(sorted(maps)):
        before = bisect_right(directories, place)
        changes.append((directories[before - 1] if before else place, place))
    return tuple(changes)


def _changes(maps: list[tuple[int, bytes]]) -> Iterator[int]:
    known: dict[int, int] = {}
    for place, table in maps:
        changed = False
        for track, kind in _tracks(table):
            before, now = known.get(track, kind), _SAME.get(kind, kind)
            known[track] = now
            changed |= before != now and not _PICTURES.isdisjoint((before, now))
        if changed:
            yield place


def _few(places: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    if len(places) > MOST_PACKETS:
        raise ValueError("more tables than any clip has")
    return places


def _number(data: bytes) -> int:
    return int.from_bytes(data[:2], "big") & 0x1FFF


def _tables(data: bytes, places: npt.NDArray[np.intp], kind: int) -> Iterator[tuple[int, bytes]]:
    """The tables of one kind that count, in the packets of one number, each with the place of the
    packet that it begins in."""
    left = _WRONG
    for place, table in _sections(data, places):
        if zlib.crc32(table.translate(_TURNED)) == 0xFFFFFFFF:
            left = _WRONG_BEHIND_RIGHT
        elif left > 0:
            left -= 1
            continue
        if len(table) >= 12 and table[0] == kind and table[5] & 1:
            yield place, table


def _sections(data: bytes, places: npt.NDArray[np.intp]) -> Iterator[tuple[int, bytes]]:
    """What the packets of one number hold: parts that say how long they are, one behind the other
    and over several packets."""
    begin, held = -1, b""
    for place in places.tolist():
        packet = data[place : place + PACKET_BYTES]
        body = _payload(packet)
        pieces = [(body, begin)]
        if packet[1] & _STARTS:
            at = 1 + (body[0] if body else 0)
            pieces = [(body[1:at], begin), (body[at:], place)]
        for piece, of in pieces:
            held = held + piece if of == begin else piece
            begin = of
            while begin >= 0 and len(held) >= 3 and held[0] != _FILL:
                end = 3 + (int.from_bytes(held[1:3], "big") & 0xFFF)
                if len(held) < end:
                    break
                yield begin, held[:end]
                held = held[end:]
            if begin < 0 or held[:1] == bytes((_FILL,)):
                begin, held = -1, b""


def _payload(packet: bytes) -> bytes:
    """What a packet carries behind its head; nothing if it carries none."""
    if len(packet) < PACKET_BYTES or not packet[3] & 0x10:
        return b""
    return packet[4 + (1 + packet[4] if packet[3] & 0x20 else 0) :]


def _tracks(table: bytes) -> Iterator[tuple[int, int]]:
    """Number and type of each track that a table names."""
    at = 12 + (int.from_bytes(table[10:12], "big") & 0xFFF)
    while at + 9 <= len(table):  # a checksum of 4 bytes ends it
        yield _number(table[at + 1 : at + 3]), table[at]
        at += 5 + (int.from_bytes(table[at + 3 : at + 5], "big") & 0xFFF)
