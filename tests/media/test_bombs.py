"""Bombs: small files that promise or unpack to what no memory or patience can hold."""

from __future__ import annotations

import io
import itertools
import resource
import struct
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from support.clips import animation_bytes, clip_bytes
from support.detectors import photo
from support.odd_files import png, sized

from minimeso import PictureError
from minimeso.media.origin import origin_of
from minimeso.media.pictures import read_picture
from minimeso.media.video import is_clip, open_clip


def packed_zeros(mebibytes: int) -> bytes:
    """Made piece by piece, so that the process never has them all."""
    packing = zlib.compressobj()
    parts = [packing.compress(bytes(1 << 20)) for _ in range(mebibytes)]
    return b"".join([*parts, packing.flush()])


_PACKED = packed_zeros(200)
_ROWS = zlib.compress((b"\0" + bytes(3 * 8)) * 8)


def small_png(*chunks: tuple[bytes, bytes]) -> bytes:
    head = struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0)
    return png((b"IHDR", head), *chunks, (b"IDAT", _ROWS), (b"IEND", b""))


def pages(count: int) -> bytes:
    """A TIFF of one pixel whose pages are so many, one behind the other."""
    entries = [(256, 3, 1, 1), (257, 3, 1, 1), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1),
               (273, 4, 1, 8), (277, 3, 1, 1), (278, 3, 1, 1), (279, 4, 1, 1)]  # fmt: skip
    fields = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    size = 2 + len(fields) + 4
    parts = [b"II*\0", struct.pack("<I", 10), b"\x7f\0"]
    for number in range(count):
        following = 10 + size * (number + 1) if number + 1 < count else 0
        parts.append(struct.pack("<H", len(entries)) + fields + struct.pack("<I", following))
    return b"".join(parts)


def animated(kind: str) -> bytes:
    return animation_bytes(kind)


def wide_webp() -> bytes:
    data = bytearray(animated("WEBP"))
    data[24:30] = b"\xff\x3f\0\xff\x3f\0"
    return bytes(data)


def wide_apng() -> bytes:
    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 6, 0, 0, 0)
    control = struct.pack(">II", 1 << 30, 0)
    return png((b"IHDR", head), (b"acTL", control), (b"IDAT", _ROWS), (b"IEND", b""))


def huge_mkv() -> bytes:
    data = clip_bytes("matroska", "mpeg4")
    return data.replace(b"\x18\x53\x80\x67", b"\x18\x53\x80\x67\x01" + b"\x7f" * 7, 1)


def huge_avi() -> bytes:
    """Counts of frames and lengths of chunks are the largest there are."""
    data = bytearray(clip_bytes("avi", "mpeg4"))
    at = data.index(b"avih") + 8
    data[at + 16 : at + 20] = data[at + 28 : at + 32] = b"\xff" * 4
    at = data.index(b"strh") + 8
    data[at + 32 : at + 40] = b"\xff" * 8
    return bytes(data)


BOMBS: dict[str, Callable[[], bytes]] = {
    "profile.png": lambda: small_png((b"iCCP", b"x\0\0" + _PACKED)),
    "text.png": lambda: small_png((b"zTXt", b"x\0\0" + _PACKED)),
    "texts.png": lambda: small_png(*[(b"tEXt", b"x\0" + b"y" * (1 << 20))] * 70),
    "international.png": lambda: small_png((b"iTXt", b"x\0\1\0\0\0" + _PACKED)),
    "pixels.png": lambda: small_png((b"IDAT", _PACKED)),
    "canvas.gif": lambda: sized(animated("GIF"), 65535, 65535),
    "canvas.webp": wide_webp,
    "canvas.apng": wide_apng,
    "pages.tif": lambda: pages(60_000),
    "segment.mkv": huge_mkv,
    "counts.avi": huge_avi,
}


@pytest.mark.parametrize("name", BOMBS)
def test_it_costs_little(name: str, tmp_path: Path) -> None:
    """Read or refused, in a second or so and a hundred megabytes."""
    path = tmp_path / name
    path.write_bytes(BOMBS[name]())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    try:
        if is_clip(path):
            with open_clip(path, every_frame=True) as clip:
                for _ in itertools.islice(clip, 20):
                    pass
        else:
            read_picture(path)
    except PictureError as error:
        assert name in str(error)
    assert origin_of(path) is not None
    assert time.process_time() - start < 3
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10


def test_pages_of_a_tiff_are_told_and_not_counted(tmp_path: Path) -> None:
    for count in (1, 2, 3):
        path = tmp_path / f"{count}.tif"
        path.write_bytes(pages(count))
        found = read_picture(path)
        assert found.pixels.shape == (1, 1, 3) and int(found.pixels[0, 0, 0]) == 127
        assert [note.code for note in found.notes] == ["first_frame_only"] * (count > 1)
    buffer = io.BytesIO()
    image = Image.fromarray(photo())
    image.save(buffer, "TIFF", save_all=True, append_images=[image.rotate(180)])
    assert (read_picture(buffer.getvalue()).pixels == photo()).all()
