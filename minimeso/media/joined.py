"""Joined: files of several clips one behind the other, as ``cat`` makes them.

Of most kinds FFmpeg reads the first and says nothing of the others, or takes bytes of theirs for
frames.  Of AVI and GIF it reads all, as if they were described as the first one is, and of Matroska
all or, where segments say how long they are, two; of MPEG and streams without a container all, but
for transport streams of several codecs (``ts_tables``).  Told by going from part to part; those of
MP4 and MOV files are counted elsewhere (``sample_tables``).
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from itertools import islice
from typing import IO, NamedTuple

from .containers import is_named
from .ts_tables import PACKET_BYTES, changes_of_codec

#: Parts that are looked at, hours of a clip; where there are more, nothing is said.
MOST_PARTS = 1 << 19
#: Clips behind the first that are looked at.
MOST_OTHERS = 256
#: How many times longer than its lead-in a broadcast is at least.
_LEAD_IN = 8
_HEAD_BYTES = 24
#: The end of a GIF and the beginning of another; in its pixels these bytes are next to impossible.
_GIF_BEHIND_GIF = re.compile(rb"\x3bGIF8[79]a")
_PIECE_BYTES = 1 << 20
_SECTOR = 4096


def _little(data: bytes, start: int, end: int) -> int:
    return int.from_bytes(data[start:end], "little")


def _big(data: bytes, start: int, end: int) -> int:
    return int.from_bytes(data[start:end], "big")


class _Kind(NamedTuple):
    """How one kind of file is laid out.

    Attributes:
        signature: how it begins.
        first: from how a file begins to where its second part does.
        part: from how a part begins to its length; ``None`` where there is only one.
        again: where in a file its name stands beside the signature, and that name.
        surplus: bytes that a usual writer counts beyond the end of a part.
        goes_on: whether FFmpeg reads what is behind the first clip, too.
    """

    signature: bytes
    first: Callable[[bytes], int]
    part: Callable[[bytes], int] | None
    again: tuple[int, bytes] = (0, b"")
    surplus: int = 0
    goes_on: bool = False


def _riff(head: bytes) -> int:
    size = _little(head, 4, 8)
    return 8 + size + size % 2


def _ebml(head: bytes) -> int:
    """Of an element of Matroska; its head alone where it does not say how long it is."""
    at = 9 - head[0].bit_length()
    if at > 8 or len(head) < at + 8 or not head[at]:
        return 0
    end = at + 9 - head[at].bit_length()
    most = (1 << 7 * (end - at)) - 1
    size = _big(head, at, end) & most
    return end if size == most else end + size


_KINDS = (
    _Kind(b"FLV\x01", lambda file: _big(file, 5, 9) + 4, lambda tag: 15 + _big(tag, 1, 4)),
    _Kind(b"DKIF", lambda file: _little(file, 6, 8), lambda frame: 12 + _little(frame, 0, 4)),
    _Kind(  # ASF
        bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"),
        lambda file: _little(file, 16, 24),
        lambda part: _little(part, 16, 24),
    ),
    _Kind(b".RMF", lambda file: _big(file, 4, 8), lambda part: _big(part, 4, 8), surplus=10),
    _Kind(b"\x89PNG\r\n\x1a\n", lambda _: 8, lambda chunk: 12 + _big(chunk, 0, 4)),
    _Kind(b"RIFF", _riff, None, (8, b"WEBP")),
    _Kind(  # WTV
        bytes.fromhex("b7d800203749da11a64e0007e95ead8d"),
        lambda file: _SECTOR * _little(file, 0x5C, 0x60),
        None,
    ),
    _Kind(b"FWS", lambda file: _little(file, 4, 8), None),
    _Kind(b"RIFF", _riff, _riff, (8, b"AVI "), goes_on=True),
    _Kind(b"\x1a\x45\xdf\xa3", _ebml, _ebml, goes_on=True),
)


class Others(NamedTuple):
    """Where the clips behind the first one begin, ``MOST_OTHERS`` at most, and whether FFmpeg reads
    them, too; and where that one begins, which is behind a short lead-in."""

    starts: tuple[int, ...] = ()
    are_read: bool = False
    first: int = 0


def others(file: IO[bytes], start: bytes) -> Others:
    """The other clips of a file that begins so; none where the first does not say where it ends.

    Args:
        file: is left anywhere.
        start: ``formats.SIGNATURE_BYTES`` of it.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is a transport stream of too many tables.
    """
    if start.startswith(b"GIF8"):
        starts = tuple(islice(_starts_of_gifs(file), MOST_OTHERS))
        heads = {_head_of_gif(file, at) for at in (0, *starts)}
        return Others(starts, len(heads) == 1)
    if may_be_transport_stream(start):
        found = _of_transport_stream(file)
        if found != Others():
            return found
    for kind in _KINDS:
        if _begins(start, kind):
            starts = tuple(islice(_starts(file, kind, start), MOST_OTHERS if kind.goes_on else 1))
            return Others(starts, kind.goes_on and not _stops(file, kind, start, len(starts)))
    return Others()


def may_be_transport_stream(start: bytes) -> bool:
    """Whether FFmpeg may take a file that starts so for an MPEG transport stream; it also does so
    with damaged ones, and where the first packet is not whole."""
    if any(start[first::PACKET_BYTES][:2] == b"GG" for first in range(PACKET_BYTES)):
        return True
    return not is_named(start) and not any(_begins(start, kind) for kind in _KINDS)


def _of_transport_stream(file: IO[bytes]) -> Others:
    """Of several codecs in turn FFmpeg knows one: the first clip is read, but no short lead-in."""
    changes = changes_of_codec(file)
    begins = [0, *(directory for directory, _ in changes)]
    ends = [*(table for _, table in changes), file.seek(0, os.SEEK_END)]
    for begin, end in zip(begins, ends, strict=True):
        if _LEAD_IN * (end - begin) >= ends[-1]:
            break
    else:
        begin, end = 0, ends[0]
    return Others((end,) if end < ends[-1] else (), first=begin)


def _begins(head: bytes, kind: _Kind) -> bool:
    return head.startswith(kind.signature) and head.startswith(kind.again[1], kind.again[0])


def _stops(file: IO[bytes], kind: _Kind, start: bytes, count: int) -> bool:
    """Whether FFmpeg stops behind the second clip: of Matroska whose segments say how long they
    are."""
    if kind.first is not _ebml or count < 2:
        return False
    file.seek(_ebml(start))
    return _ebml(file.read(_HEAD_BYTES)) > 12  # its head alone has so many bytes


def _starts(file: IO[bytes], kind: _Kind, start: bytes) -> Iterator[int]:
    length = file.seek(0, os.SEEK_END)
    at = kind.first(start)
    for _ in range(MOST_PARTS):
        if not 0 < at < length:
            return
        for place in dict.fromkeys((at - kind.surplus, at)):
            file.seek(place)
            head = file.read(_HEAD_BYTES)
            if _begins(head, kind):
                yield place
                at = place
                break
        size = kind.part(head) if kind.part is not None else 0
        if size < 1:
            return
        at += size


def _starts_of_gifs(file: IO[bytes]) -> Iterator[int]:
    """A GIF consists of parts of 255 bytes at most: going from one to the next would take long."""
    file.seek(0)
    at, left = 0, b""
    while piece := file.read(_PIECE_BYTES):
        data = left + piece
        end = file.tell()
        for found in _GIF_BEHIND_GIF.finditer(data):
            yield at - len(left) + found.start() + 1
        file.seek(end)
        at, left = end, data[-6:]


def _head_of_gif(file: IO[bytes], at: int) -> bytes:
    """Size and colours, which FFmpeg takes from the first."""
    file.seek(at)
    head = file.read(13 + 3 * 256)
    colours = 3 << (head[10] & 7) + 1 if len(head) > 10 and head[10] & 0x80 else 0
    return head[6 : 13 + colours]
