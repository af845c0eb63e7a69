"""Code points: what the levels of a picture stand for (ITU-T H.273), where its decoder leaves them.

Of a photograph in HDR Pillow and its plugins give the levels as they are stored, which look pale
and flat; only that of HEIF tells which they are.  Of AVIF the code points stand among the
properties of the item that is shown (ISO/IEC 23008-12), of PNG in a chunk.  Profiles (ICC) are not
looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from PIL import Image


#: Parts of a picture that are looked at, and bytes of the largest one.
_MOST_PARTS, _MOST_BYTES = 4096, 1 << 24
#: Transfer functions of HDR.
PQ, HLG = 16, 18


class CodePoints(NamedTuple):
    """Numbers of H.273 for the primaries and the transfer function."""

    primaries: int
    transfer: int


def hdr_points(image: Image.Image, file: IO[bytes] | None = None) -> CodePoints | None:
    """Those of a picture in HDR; ``None`` for all others.

    Args:
        image: identified, not necessarily decoded.
        file: that it is read from, if any; stays where it was.
    """
    found = _code_points(image, file)
    return found if found is not None and found.transfer in (PQ, HLG) else None


def _code_points(image: Image.Image, file: IO[bytes] | None) -> CodePoints | None:
    """``None`` also where what is said is damaged."""
    if image.format == "HEIF":
        said = image.info.get("nclx_profile") or {}
        names = "color_primaries", "transfer_characteristics"
        return CodePoints(*(int(said.get(name, 2)) for name in names))  # 2: unspecified
    if file is None or image.format not in ("AVIF", "PNG"):
        return None
    place = file.tell()
    try:
        return _of_png(file) if image.format == "PNG" else _of_item(file)
    except (IndexError, KeyError):  # damaged
        return None
    finally:
        file.seek(place)


def _of_png(file: IO[bytes]) -> CodePoints | None:
    at = 8
    for _ in range(_MOST_PARTS):
        file.seek(at)
        head = file.read(10)
        if len(head) < 10 or head[4:8] == b"IDAT":
            break
        if head[4:8] == b"cICP":
            return CodePoints(head[8], head[9])
        at += 12 + int.from_bytes(head[:4], "big")
    return None


def _of_item(file: IO[bytes]) -> CodePoints | None:
    """Of the item that is shown; others, as a second rendering of the same picture, have theirs."""
    from .sample_tables import outer_parts  # hardly any picture needs it

    for kind, start, end in outer_parts(file):
        if kind == b"meta" and end - start <= _MOST_BYTES:
            file.seek(start + 4)
            meta = dict(_boxes(file.read(end - start - 4)))
            break
    else:
        return None
    item, of_items = meta[b"pitm"][4:], dict(_boxes(meta[b"iprp"]))
    properties = list(_boxes(of_items[b"ipco"]))
    for number in _properties_of(int.from_bytes(item, "big"), of_items[b"ipma"]):
        kind, content = properties[number - 1]
        if kind == b"colr" and content[:4] == b"nclx":
            return CodePoints(*(int.from_bytes(content[at : at + 2], "big") for at in (4, 6)))
    return None


def _properties_of(item: int, table: bytes) -> list[int]:
    """Numbers, from 1 on, of the properties of an item."""
    id_bytes, bytes_each = 4 if table[0] else 2, 2 if table[3] & 1 else 1
    at = 8
    while at < len(table):
        found, count = int.from_bytes(table[at : at + id_bytes], "big"), table[at + id_bytes]
        at += id_bytes + 1
        if found == item:
            mask = (1 << 8 * bytes_each - 1) - 1  # without "this one has to be understood"
            places = range(at, at + count * bytes_each, bytes_each)
            found_here = (int.from_bytes(table[at : at + bytes_each], "big") for at in places)
            return [number & mask for number in found_here if number & mask]  # 0: none
        at += count * bytes_each
    return []


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kinds and contents, one behind the other."""
    at = 0
    for _ in range(_MOST_PARTS):
        size = int.from_bytes(data[at : at + 4], "big")
        if size < 8 or at + size > len(data):
            return
        yield data[at + 4 : at + 8], data[at + 8 : at + size]
        at += size
