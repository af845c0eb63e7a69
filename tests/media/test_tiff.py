"""TIFF files of which Pillow shows something else than what is in them."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from support.detectors import photo
from support.pictures import pixels

from minimeso import PictureError
from minimeso.media.pictures import read_picture
from minimeso.media.tiff import mend

PHOTO = photo(40, 60)
GREY = PHOTO[:, :, 1]
#: Fields: kind, width, height, bits, packing, colours, where the pixels are, channels, lines,
#: their bytes, order of the planes, further pictures, kind of number.
Fields = dict[int, list[int]]


def tiff(fields: Fields, parts: list[npt.NDArray[np.generic]], order: str) -> bytes:
    """A file of parts that lie plainly, each with all lines."""
    height, width = parts[0].shape[:2]
    data = [part.astype(part.dtype.newbyteorder(order)).tobytes() for part in parts]
    places = [8 + sum(map(len, data[:n])) for n in range(len(data))]
    fields = {
        256: [width], 257: [height], 259: [1], 273: places, 278: [height],
        279: [len(part) for part in data], **fields,
    }  # fmt: skip
    pixels = b"".join(data)
    start = 8 + len(pixels)
    behind = start + 2 + 12 * len(fields) + 4
    entries, more = b"", b""
    for number, values in sorted(fields.items()):
        packed = struct.pack(f"{order}{len(values)}I", *values)
        if len(values) > 1:
            more, packed = more + packed, struct.pack(f"{order}I", behind + len(more))
        entries += struct.pack(f"{order}HHI", number, 4, len(values)) + packed
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", start)
    count = struct.pack(f"{order}H", len(fields))
    return head + pixels + count + entries + bytes(4) + more


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("channels", [3, 4])
def test_planes_one_after_the_other(tmp_path: Path, order: str, deep: bool, channels: int) -> None:
    """Of 16 bits they were taken for bytes, which looks like nothing."""
    kind, factor = (np.uint16, 257) if deep else (np.uint8, 1)
    planes = [(PHOTO[:, :, n].astype(np.uint16) * factor).astype(kind) for n in range(3)]
    fields = {258: [16 if deep else 8] * channels, 262: [2], 277: [channels], 284: [2]}
    if channels == 4:
        planes.append(np.full(GREY.shape, 255 * factor, kind))
        fields[338] = [2]
    path = tmp_path / "planes.tif"
    path.write_bytes(tiff(fields, planes, order))
    assert np.array_equal(pixels(path), PHOTO)


def test_plain_tuples_say_where_planes_lie(tmp_path: Path) -> None:
    """As those of Pillow below 11 do; such files could not be read at all."""
    path = tmp_path / "planes.tif"
    plane = GREY.astype(np.uint16)
    path.write_bytes(tiff({258: [16] * 3, 262: [2], 277: [3], 284: [2]}, [plane] * 3, "<"))
    with Image.open(path) as image:
        opened: Any = image
        opened.tile = [tuple(tile) for tile in opened.tile]
        mend(image)
        assert [tile[3][0] for tile in opened.tile] == ["R;16L", "G;16L", "B;16L"]


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
def test_zero_may_be_white(tmp_path: Path, kind: type[np.generic]) -> None:
    white = {np.uint8: 255, np.uint16: 65535, np.float32: 1}[kind]
    values = (white - GREY / 255 * white).astype(kind)
    sign = [3] if kind is np.float32 else [1]
    fields = {258: [values.itemsize * 8], 262: [0], 277: [1], 339: sign}
    path = tmp_path / "negative.tif"
    path.write_bytes(tiff(fields, [values], "<"))
    assert np.abs(pixels(path)[:, :, 0] - GREY).max() <= 1


@pytest.mark.parametrize("signed", [False, True])
def test_32_bits_with_and_without_a_sign(tmp_path: Path, signed: bool) -> None:
    low, high = int(GREY.min()), int(GREY.max())
    values = GREY.astype(np.int64) * 16_843_009 - (signed << 31)
    fields = {258: [32], 262: [1], 277: [1], 339: [2 if signed else 1]}
    path = tmp_path / "deep.tif"
    path.write_bytes(tiff(fields, [values.astype(np.int32 if signed else np.uint32)], "<"))
    stretched = (GREY.astype(float) - low) * 255 / (high - low)
    assert np.abs(pixels(path)[:, :, 0] - stretched).max() <= 1


@pytest.mark.parametrize("order", "<>")
def test_the_preview_of_a_raw_file_is_not_taken_for_it(tmp_path: Path, order: str) -> None:
    fields = {254: [1], 258: [8, 8, 8], 262: [2], 277: [3], 330: [8]}
    path = tmp_path / "DSC_0001.NEF"
    path.write_bytes(tiff(fields, [PHOTO], order))
    with pytest.raises(PictureError, match=r"NEF: a camera.s raw file.*preview.*save it as JPEG"):
        read_picture(path)
    del fields[330]  # there is nothing else in it
    path.write_bytes(tiff(fields, [PHOTO], order))
    assert np.array_equal(pixels(path), PHOTO)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_part_is_upright_too(tmp_path: Path, orientation: int) -> None:
    """Pillow turns what is whole, but says of all how large they will be: the lines of a part were
    of another length than they seemed."""
    exif = Image.Exif()
    exif[274] = orientation
    picture = Image.fromarray(photo(480, 640))
    path = tmp_path / "a.tif"
    picture.save(path, exif=exif)
    whole = read_picture(path)
    path.write_bytes(path.read_bytes()[: 480 * 640 * 3 * 3 // 4])
    part = read_picture(path)
    assert whole.complete and not part.complete and part.pixels.shape == whole.pixels.shape
    same = (part.pixels == whole.pixels).all(2)
    assert same.mean() > 0.7 and (part.pixels[~same] == 0).all()


def test_a_packing_that_libtiff_does_not_know_may_be_no_damage(tmp_path: Path) -> None:
    """WebP in a TIFF: another copy of the file would not help."""
    path = tmp_path / "a.tif"
    fields = {258: [8, 8, 8], 259: [50001], 262: [2], 277: [3]}
    path.write_bytes(tiff(fields, [PHOTO], "<"))
    with pytest.raises(PictureError, match="save it as JPEG or PNG"):
        read_picture(path)
