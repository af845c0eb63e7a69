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
from support.clips import animation_bytes, clip_bytes, read, refused
from support.detectors import photo
from support.odd_files import png, sized

from minimeso import PictureError
from minimeso.media.jpeg_scans import has_one_scan
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


def still_animation(kind: str, width: int, height: int) -> bytes:
    """Two frames of one colour, of which the second differs in one pixel."""
    images = [Image.new("P" if kind == "GIF" else "RGB", (width, height)) for _ in range(2)]
    images[1].putpixel((0, 0), 1 if kind == "GIF" else (255, 255, 255))
    file = io.BytesIO()
    more = {"lossless": True} if kind == "WEBP" else {}
    images[0].save(file, kind, save_all=True, append_images=images[1:], duration=200, **more)
    return file.getvalue()


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


def wide_jpeg(kind: int, components: int) -> bytes:
    """400 megapixels of nothing, whose coefficients take 2.4 GB where there are several scans.

    Args:
        kind: of the frame, 0xC2 is progressive.
        components: of three, so many are in the first scan.
    """
    one_code = bytes([1, *[0] * 15, 0])
    last = bytes([0, 0 if kind == 0xC2 else 63, 0])
    segments = (
        (0xDB, bytes([0, *[16] * 64])),
        (kind, struct.pack(">BHHB", 8, 20_000, 20_000, 3) + bytes([1, 17, 0, 2, 17, 0, 3, 17, 0])),
        (0xC4, b"\0" + one_code), (0xC4, b"\x10" + one_code),
        (0xDA, bytes([components, *[1, 0, 2, 0, 3, 0][: 2 * components]]) + last),
    )  # fmt: skip
    parts = (struct.pack(">BBH", 255, code, len(body) + 2) + body for code, body in segments)
    return b"\xff\xd8" + b"".join(parts) + bytes(100) + b"\xff\xd9"


BOMBS: dict[str, Callable[[], bytes]] = {
    "profile.png": lambda: small_png((b"iCCP", b"x\0\0" + _PACKED)),
    "text.png": lambda: small_png((b"zTXt", b"x\0\0" + _PACKED)),
    "texts.png": lambda: small_png(*[(b"tEXt", b"x\0" + b"y" * (1 << 20))] * 70),
    "international.png": lambda: small_png((b"iTXt", b"x\0\1\0\0\0" + _PACKED)),
    "pixels.png": lambda: small_png((b"IDAT", _PACKED)),
    "canvas.gif": lambda: sized(animated("GIF"), 65535, 65535),
    "canvas.webp": wide_webp,
    "canvas.apng": wide_apng,
    "large.gif": lambda: still_animation("GIF", 8192, 4000),
    "large.webp": lambda: still_animation("WEBP", 8192, 4000),
    "large.apng": lambda: still_animation("PNG", 8192, 4000),
    "pages.tif": lambda: pages(60_000),
    "progressive.jpg": lambda: wide_jpeg(0xC2, 3),
    "planes.jpg": lambda: wide_jpeg(0xC0, 1),
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


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_animations_of_4k_are_read_and_larger_ones_refused(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"4k.{kind.lower()}"
    path.write_bytes(still_animation(kind, 4096, 2160))
    _, _, clip = read(path, every_frame=True)
    assert clip.size == (4096, 2160) and clip.frames_read == 2 and clip.fault is None
    path.write_bytes(still_animation(kind, 4096, 2305))
    assert is_clip(path)
    refused(
        path, "frames of 4096 x 2305 pixels, more than 9437184, taken for a bomb: scale it down"
    )


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


def lossless_webp(width: int, height: int) -> bytes:
    data = b"\x2f" + (width - 1 | height - 1 << 14).to_bytes(4, "little") + bytes(20)
    chunk = b"VP8L" + struct.pack("<I", len(data)) + data + bytes(len(data) % 2)
    return b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk


def wide_jp2(width: int, height: int) -> bytes:
    """A codestream without boxes around it."""
    file = io.BytesIO()
    Image.fromarray(photo()).save(file, "JPEG2000", no_jp2=True)
    data = bytearray(file.getvalue())
    at = data.index(b"\xff\x51") + 6
    data[at : at + 8] = struct.pack(">II", width, height)
    return bytes(data)


@pytest.mark.parametrize(("make", "most"), [(lossless_webp, 89_478_485), (wide_jp2, 59_652_323)])
def test_formats_that_take_more_memory_may_have_fewer_pixels(
    make: Callable[[int, int], bytes], most: int
) -> None:
    """34 bytes of WebP took 2.9 GB, 700 of JPEG 2000 4.4."""
    with pytest.raises(PictureError, match=f"more than {most} pixels, taken for a bomb: scale"):
        read_picture(make(10_000, most // 10_000 + 1))
    with pytest.raises(PictureError, match="more than 89 pixels"):  # what is asked for counts
        read_picture(make(10, 9), 89)


def test_only_a_jpeg_of_one_scan_is_decoded_at_a_part_of_any_size() -> None:
    for kind, components, one in ((0xC0, 3, True), (0xC1, 3, True), (0xC0, 1, False),
                                  (0xC2, 3, False), (0xC9, 3, False)):  # fmt: skip
        data = wide_jpeg(kind, components)
        assert has_one_scan(io.BytesIO(data)) is one
        for cut in range(data.index(b"\xff\xda") + 4):
            assert not has_one_scan(io.BytesIO(data[:cut]))
    data = wide_jpeg(0xC0, 3)
    assert has_one_scan(io.BytesIO(data.replace(b"\xff\xc0", b"\xff\xff\xff\xc0")))
    hidden = data[2:].replace(b"\xff\xc0", b"\xff\xc2")
    for alone in (0x00, 0x01, 0xD0, 0xD7):  # a decoder looks for segments right behind these
        skipped = bytes([0xFF, alone]) + struct.pack(">H", len(hidden) + 2)
        assert not has_one_scan(io.BytesIO(data[:2] + skipped + hidden + data[2:]))
    file = io.BytesIO()
    Image.fromarray(photo()).save(file, "JPEG", exif=Image.Exif())
    file.seek(7)
    assert has_one_scan(file) and file.tell() == 7


def test_a_tile_may_be_larger_than_its_picture() -> None:
    """Of a TIFF of 8 x 8 pixels, and all of it is decoded."""
    side = 3000
    data = zlib.compress(bytes(side * side))
    entries = [(256, 8), (257, 8), (258, 8), (259, 8), (262, 1), (277, 1),
               (322, side), (323, side), (324, 8), (325, len(data))]  # fmt: skip
    fields = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
    head = b"II*\0" + struct.pack("<I", 8 + len(data))
    file = head + data + struct.pack("<H", len(entries)) + fields + bytes(4)
    assert read_picture(file, side * side).pixels.shape == (8, 8, 3)
    with pytest.raises(PictureError, match="taken for a bomb"):
        read_picture(file, side * side - 1)


@pytest.mark.parametrize("count", [0, 4])
def test_a_picture_without_tiles_may_say_anything_of_them(count: int) -> None:
    """Such as that they are four letters wide, or none."""
    entries = [(256, 4, 1, 8), (257, 4, 1, 8), (258, 4, 1, 8), (259, 4, 1, 1), (262, 4, 1, 1),
               (273, 4, 1, 8), (277, 4, 1, 1), (278, 4, 1, 8), (279, 4, 1, 64),
               (322, 2 if count else 4, count, 0x65646977)]  # fmt: skip
    fields = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    start = b"II*\0" + struct.pack("<I", 72) + bytes(64)
    file = start + struct.pack("<H", len(entries)) + fields + bytes(4)
    assert read_picture(file).pixels.shape == (8, 8, 3)
