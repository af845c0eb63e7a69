"""Size of a JPEG XL picture by its header (ISO/IEC 18181), before its plugin decodes all of it."""

from __future__ import annotations

from typing import IO

#: Width over height by the three bits that stand for a usual ratio.
_RATIOS = {1: (1, 1), 2: (12, 10), 3: (4, 3), 4: (3, 2), 5: (16, 9), 6: (5, 4), 7: (2, 1)}
#: Bits of a side by the two bits that tell how large it is.
_BITS = (9, 13, 18, 30)
_MOST_BOXES = 4096


def jxl_size(file: IO[bytes]) -> tuple[int, int]:
    """Width and height; the file stays where it was.

    Raises:
        ValueError: it does not say.
    """
    place = file.tell()
    try:
        file.seek(0)
        start = file.read(12)
        if start[:2] != b"\xff\x0a":
            start = _codestream(file)
        if start[:2] != b"\xff\x0a":
            raise ValueError("no size in it")
        return _size(int.from_bytes(start[2:], "little"))
    finally:
        file.seek(place)


def _codestream(file: IO[bytes]) -> bytes:
    """How the pixels begin that lie in the boxes of a file."""
    at = 0
    for _ in range(_MOST_BOXES):
        file.seek(at)
        head = file.read(16)
        size, kind, behind = int.from_bytes(head[:4], "big"), head[4:8], 8
        if size == 1:
            size, behind = int.from_bytes(head[8:16], "big"), 16
        if kind in (b"jxlc", b"jxlp"):
            file.seek(at + behind + (4 if kind == b"jxlp" else 0))  # its number first
            return file.read(12)
        if len(head) < 8 or size < behind:
            break
        at += size
    return b""


def _size(bits: int) -> tuple[int, int]:
    """Of a size header, its first bit the lowest one."""

    def take(count: int) -> int:
        nonlocal bits
        found, bits = bits & ((1 << count) - 1), bits >> count
        return found

    is_small = take(1)

    def side() -> int:
        return 8 * (1 + take(5)) if is_small else 1 + take(_BITS[take(2)])

    height = side()
    ratio = take(3)
    if not ratio:
        return side(), height
    wide, high = _RATIOS[ratio]
    return height * wide // high, height
