"""Outer boxes: what lies in a file beside picture and sound, where neither Pillow nor PyAV tells.

Boxes of ISO base media files, chunks of RIFF (WebP, AVI) and extensions of a GIF are walked through
from the start of the file.  They are counted, what is too large is passed over, and what does not
fit into the file ends the walk.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import IO

#: Of what is given back, mostly the thumbnails of a manifest store; boxes that are looked at, and
#: parts of at most 255 bytes that the extensions of a GIF have together.
MOST_BYTES, MOST_BOXES, _MOST_PARTS = 1 << 24, 4096, 1 << 17


def uuid_boxes(file: IO[bytes], length: int) -> Iterator[tuple[bytes, bytes]]:
    """UUID and content of such boxes at the top of an ISO base media file.

    Args:
        file: with ``seek``.
        length: of it, in bytes.
    """
    at = 0
    for number in range(MOST_BOXES):
        file.seek(at)
        head = file.read(32)
        if len(head) < 8 or (number == 0 and head[4:8] != b"ftyp"):
            return
        size, start = int.from_bytes(head[:4], "big"), 8
        if size == 1:
            size, start = int.from_bytes(head[8:16], "big"), 16
        size = size or length - at
        if size < start or at + size > length:
            return
        if head[4:8] == b"uuid" and size <= MOST_BYTES:
            file.seek(at + start)
            content = file.read(size - start)
            yield content[:16], content[16:]
        at += size


def riff_chunks(file: IO[bytes], length: int, name: bytes) -> Iterator[bytes]:
    """Content of the chunks of that name (four letters) at the top of a RIFF file."""
    file.seek(0)
    head = file.read(12)
    if head[:4] != b"RIFF" or len(head) < 12:
        return
    at, end = 12, min(8 + int.from_bytes(head[4:8], "little"), length)
    for _ in range(MOST_BOXES):
        file.seek(at)
        head = file.read(8)
        size = int.from_bytes(head[4:8], "little")
        if len(head) < 8 or at + 8 + size > end:
            return
        if head[:4] == name and size <= MOST_BYTES:
            yield file.read(size)
        at += 8 + size + size % 2


def gif_applications(file: IO[bytes], name: bytes) -> Iterator[bytes]:
    """Content of the application extensions of that name (eight letters) before the first picture
    of a GIF."""
    file.seek(0)
    head = file.read(13)
    if head[:3] != b"GIF" or len(head) < 13:
        return
    if head[10] & 128:  # a table of colours
        file.seek(3 << ((head[10] & 7) + 1), os.SEEK_CUR)
    left = _MOST_PARTS
    for _ in range(MOST_BOXES):
        if file.read(1) != b"!":
            return
        is_application = file.read(1) == b"\xff"
        found = _gif_parts(file, left)
        if found is None:
            return
        left -= len(found)
        first, *parts = found or [b""]
        if is_application and first[:8] == name:
            yield b"".join(parts)


def _gif_parts(file: IO[bytes], most: int) -> list[bytes] | None:
    """The parts of an extension; ``None`` if there are more, or it ends early."""
    parts: list[bytes] = []
    while len(parts) <= most:
        size = file.read(1)
        if size == b"\0":
            return parts
        part = file.read(size[0]) if size else b""
        if not size or len(part) < size[0]:
            break
        parts.append(part)
    return None
