"""The size of a JPEG XL picture is known before anything of it is decoded."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.detectors import photo

from minimeso import PictureError
from minimeso.media.jxl_size import jxl_size
from minimeso.media.pictures import read_picture

PHOTO = photo(96, 160)
BOX = b"\0\0\0\x0cJXL \r\n\x87\n"


def header(*fields: tuple[int, int]) -> bytes:
    """Values of so many bits each, the lowest bit first."""
    bits = place = 0
    for value, count in fields:
        bits |= value << place
        place += count
    return b"\xff\x0a" + bits.to_bytes(20, "little")


def box(kind: bytes, content: bytes, long: bool = False) -> bytes:
    size = len(content) + 8
    return (
        struct.pack(">I4sQ", 1, kind, size + 8) if long else struct.pack(">I4s", size, kind)
    ) + (content)


WIDE = header((0, 1), (2, 2), (69_999, 18), (0, 3), (3, 2), (1_000_000, 30))
FILES = [
    (header((1, 1), (3, 5), (0, 3), (7, 5)), (64, 32)),
    (header((1, 1), (31, 5), (1, 3)), (256, 256)),
    (header((0, 1), (0, 2), (99, 9), (2, 3)), (120, 100)),
    (header((0, 1), (1, 2), (1079, 13), (5, 3)), (1920, 1080)),
    (header((0, 1), (1, 2), (511, 13), (7, 3)), (1024, 512)),
    (WIDE, (1_000_001, 70_000)),
    (BOX + box(b"ftyp", b"jxl ") + box(b"jxlc", WIDE), (1_000_001, 70_000)),
    (BOX + box(b"Exif", bytes(99), long=True) + box(b"jxlp", bytes(4) + WIDE, long=True),
     (1_000_001, 70_000)),
]  # fmt: skip


@pytest.mark.parametrize(("data", "size"), FILES)
def test_sizes(data: bytes, size: tuple[int, int]) -> None:
    file = io.BytesIO(data)
    file.seek(3)
    assert jxl_size(file) == size and file.tell() == 3


@pytest.mark.parametrize(
    "data",
    [b"", b"\xff", BOX, BOX + box(b"jxlc", b""), BOX + bytes(40), BOX + box(b"ftyp", b"") * 9],
)
def test_none(data: bytes) -> None:
    with pytest.raises(ValueError, match="no size"):
        jxl_size(io.BytesIO(data))


def test_as_it_is_written() -> None:
    pytest.importorskip("pillow_jxl")
    for size in ((1, 1), (8, 8), (640, 360), (300, 400), (7, 2100)):
        for options in ({"lossless": True}, {"use_container": True}):
            file = io.BytesIO()
            Image.new("RGB", size).save(file, "JXL", effort=1, **options)
            assert jxl_size(file) == size
            assert read_picture(file.getvalue()).pixels.shape == (*size[::-1], 3)


def test_its_plugin_never_sees_a_bomb(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would decode all of it."""
    monkeypatch.setattr("minimeso.media.pictures.opener", lambda name: pytest.fail)
    for data in (WIDE, BOX + box(b"jxlc", WIDE)):
        with pytest.raises(PictureError, match="taken for a bomb"):
            read_picture(data)
    with pytest.raises(PictureError, match="damaged or unusual header"):
        read_picture(BOX + bytes(99))


def turned(data: bytes, orientation: int) -> bytes:
    """A picture whose own header, of which all was at its default, tells an orientation."""
    start = int.from_bytes(data[2:12], "little")
    length = 9 if start >> 6 & 7 else 14  # of a size in blocks of eight: with and without a ratio
    assert start & 1 and start >> length & 1, "not the header that this knows"
    size = start & ((1 << length) - 1)
    fields = [(size, length), (0, 1), (1, 1), (orientation - 1, 3), (0, 3), (0, 3), (1, 1), (0, 2),
              (7, 3), (0, 2), (1, 1)]  # fmt: skip
    bits = sum(count for _, count in fields)
    rest = data[2 + -(-(length + 2) // 8) :]
    return header(*fields)[: 2 + -(-bits // 8)] + rest


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("exif", [None, 1, 6])
def test_the_header_turns_it_and_exif_does_not(
    orientation: int, exif: int | None, tmp_path: Path
) -> None:
    """As ISO/IEC 18181-2 has it; the decoder has turned it then."""
    pytest.importorskip("pillow_jxl")
    stored = {
        1: PHOTO, 2: PHOTO[:, ::-1], 3: PHOTO[::-1, ::-1], 4: PHOTO[::-1],
        5: PHOTO.transpose(1, 0, 2), 6: np.rot90(PHOTO), 7: np.rot90(PHOTO[::-1]),
        8: np.rot90(PHOTO, -1),
    }[orientation]  # fmt: skip
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(stored)).save(file, "JXL", quality=95)
    boxes = [box(b"ftyp", b"jxl \0\0\0\0jxl ")]
    if exif is not None:
        told = Image.Exif()
        told[274] = exif
        boxes.append(box(b"Exif", bytes(4) + told.tobytes().removeprefix(b"Exif\0\0")))
    path = tmp_path / "photo.jxl"
    path.write_bytes(BOX + b"".join(boxes) + box(b"jxlc", turned(file.getvalue(), orientation)))
    found = read_picture(path).pixels.astype(int)
    assert found.shape == PHOTO.shape and np.abs(found - PHOTO).mean() < 8


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_exif_turns_what_was_a_jpeg(orientation: int, tmp_path: Path) -> None:
    """Of which the decoder gives the pixels as they lay."""
    pytest.importorskip("pillow_jxl")
    stored = np.rot90(PHOTO, {1: 0, 3: 2, 6: 1}[orientation])
    exif = Image.Exif()
    exif[274] = orientation
    image = Image.fromarray(np.ascontiguousarray(stored))
    image.save(tmp_path / "a.jpg", quality=95, exif=exif)
    with Image.open(tmp_path / "a.jpg") as jpeg:
        jpeg.save(tmp_path / "a.jxl", lossless_jpeg=True)
    found = read_picture(tmp_path / "a.jxl").pixels.astype(int)
    assert found.shape == PHOTO.shape and np.abs(found - PHOTO).mean() < 5
