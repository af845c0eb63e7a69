"""What the header of a JPEG XL picture says (ISO/IEC 18181): its size, before its plugin decodes
all of it, and whether it moves, which the plugin does not tell."""

from __future__ import annotations

from typing import IO

#: Width over height by the three bits that stand for a usual ratio.
_RATIOS = {1: (1, 1), 2: (12, 10), 3: (4, 3), 4: (3, 2), 5: (16, 9), 6: (5, 4), 7: (2, 1)}
#: Bits of a side by the two bits that tell how large it is.
_BITS = (9, 13, 18, 30)
_MOST_BOXES = 4096
#: More than two sizes take, and what is said between them.
_HEADER_BYTES = 40
#: Least value and bits of a side of the small copy, by two bits; and in units of eight pixels.
_PREVIEW, _PREVIEW_8 = ((1, 6), (65, 8), (321, 10), (1345, 12)), ((16, 0), (32, 0), (1, 5), (33, 9))


def jxl_size(file: IO[bytes]) -> tuple[int, int]:
    """Width and height; the file stays where it was.

    Raises:
        ValueError: it does not say.
    """
    return _size(_header(file))


def jxl_moves(file: IO[bytes]) -> bool:
    """Whether it is an animation; the file stays where it was.

    Raises:
        ValueError: it does not say.
    """
    bits = _header(file)
    _size(bits)
    if bits.take(1) or not bits.take(1):  # the usual of everything, or nothing beside it
        return False
    bits.take(3)  # how it is turned
    if bits.take(1):  # the size at which it is meant to be shown
        _size(bits)
    if bits.take(1):  # a small copy
        _preview_size(bits)
    return bool(bits.take(1))


class _Bits:
    """Those of a header, the lowest of each byte first."""

    def __init__(self, data: bytes) -> None:
        self._left = int.from_bytes(data, "little")

    def take(self, count: int) -> int:
        found, self._left = self._left & ((1 << count) - 1), self._left >> count
        return found


def _header(file: IO[bytes]) -> _Bits:
    place = file.tell()
    try:
        file.seek(0)
        start = file.read(_HEADER_BYTES)
        if start[:2] != b"\xff\x0a":
            start = _codestream(file)
        if start[:2] != b"\xff\x0a":
            raise ValueError("no size in it")
        return _Bits(start[2:])
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
            return file.read(_HEADER_BYTES)
        if len(head) < 8 or size < behind:
            break
        at += size
    return b""


def _size(bits: _Bits) -> tuple[int, int]:
    is_small = bits.take(1)

    def side() -> int:
        return 8 * (1 + bits.take(5)) if is_small else 1 + bits.take(_BITS[bits.take(2)])

    height = side()
    ratio = bits.take(3)
    if not ratio:
        return side(), height
    wide, high = _RATIOS[ratio]
    return height * wide // high, height


def _preview_size(bits: _Bits) -> None:
    """Pass over that of the small copy."""
    sides = _PREVIEW_8 if bits.take(1) else _PREVIEW
    bits.take(sides[bits.take(2)][1])
    if not bits.take(3):
        bits.take(sides[bits.take(2)][1])
