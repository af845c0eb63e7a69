"""Joined: files of several clips one behind the other, as ``cat`` makes them, of which FFmpeg reads
the first and says nothing of the others, or takes bytes of theirs for frames.

Told by going from part to part of the first one; those of MP4 and MOV files are counted elsewhere
(``sample_tables``).  Of AVI, Matroska, MPEG, GIF and streams without a container FFmpeg reads all.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import IO, NamedTuple

#: Parts that are looked at, hours of a clip; where there are more, nothing is said.
MOST_PARTS = 1 << 21
_HEAD_BYTES = 24
_LEAST_BYTES = 8  # of a part
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
    """

    signature: bytes
    first: Callable[[bytes], int]
    part: Callable[[bytes], int] | None
    again: tuple[int, bytes] = (0, b"")
    surplus: int = 0


def _riff(head: bytes) -> int:
    size = _little(head, 4, 8)
    return 8 + size + size % 2


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
)


def start_of_second(file: IO[bytes], start: bytes) -> int | None:
    """Where the second of several clips begins in a file that begins so.

    Args:
        file: is left anywhere.
        start: ``formats.SIGNATURE_BYTES`` of it.

    Returns:
        ``None`` if there is none, FFmpeg reads it, too, or the first does not say where it ends.

    Raises:
        OSError: the file cannot be read.
    """
    for kind in _KINDS:
        if _begins(start, kind):
            return _second(file, kind, kind.first(start))
    return None


def _begins(head: bytes, kind: _Kind) -> bool:
    return head.startswith(kind.signature) and head.startswith(kind.again[1], kind.again[0])


def _second(file: IO[bytes], kind: _Kind, at: int) -> int | None:
    length = file.seek(0, os.SEEK_END)
    for _ in range(MOST_PARTS):
        if not _LEAST_BYTES <= at < length:
            break
        for place in dict.fromkeys((at - kind.surplus, at)):
            file.seek(place)
            head = file.read(_HEAD_BYTES)
            if _begins(head, kind):
                return place
        size = kind.part(head) if kind.part is not None else 0
        if size < _LEAST_BYTES:
            break
        at += size
    return None
