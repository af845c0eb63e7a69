"""Pictures as people have them: every mode and format, orientation, odd names."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from support.detectors import photo
from support.pictures import picture_file, pixels

from minimeso import PictureError
from minimeso.media.formats import PICTURE_ENDINGS
from minimeso.media.pictures import read_picture
from minimeso.notes import Note

PHOTO = photo()
ROTATE_90 = Image.Transpose.ROTATE_90
HEIGHT, WIDTH = PHOTO.shape[:2]
GREY = PHOTO[:, :, 0]


def test_import_of_minimeso_loads_neither_pillow_nor_scipy() -> None:
    program = "import minimeso, sys; print(sorted({'PIL', 'scipy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout.strip() == b"[]"


def test_only_the_plugin_that_is_needed_is_loaded(tmp_path: Path) -> None:
    """In a process of its own; others may register plugins of their own."""
    kinds = {"Jpeg": "jpg", "Png": "png", "Gif": "gif", "WebP": "webp", "Bmp": "bmp",
             "Tiff": "tiff", "Ppm": "ppm", "Jpeg2K": "jp2"}  # fmt: skip
    program = (
        "import sys; from minimeso.media.pictures import read_picture;"
        "print(read_picture(sys.argv[1]).pixels.shape);"
        "print(*(m for m in sys.modules if m.endswith('ImagePlugin')))"
    )
    for plugin, ending in kinds.items():
        path = picture_file(tmp_path, Image.fromarray(PHOTO), f"photo.{ending}")
        command = [sys.executable, "-c", program, str(path)]
        done = subprocess.run(command, capture_output=True, check=True, text=True)
        shape, plugins = done.stdout.splitlines()
        assert shape == str(PHOTO.shape)
        assert plugins == f"PIL.{plugin}ImagePlugin"


@pytest.mark.parametrize("ending", ["png", "bmp", "tiff", "ppm", "webp", "jp2", "avif"])
def test_formats_without_loss(tmp_path: Path, ending: str) -> None:
    options: dict[str, Any] = {}
    if ending == "webp":
        options = {"lossless": True}
    elif ending == "avif":
        options = {"quality": 100, "subsampling": "4:4:4"}
    try:
        path = picture_file(tmp_path, Image.fromarray(PHOTO), f"photo.{ending}", **options)
    except (KeyError, ValueError, OSError):
        pytest.skip(f"this Pillow writes no {ending}")
    assert np.abs(pixels(path) - PHOTO).max() <= (6 if ending == "avif" else 0)
    assert f".{ending}" in PICTURE_ENDINGS


@pytest.mark.parametrize("brand", [b"heic", b"mif1", b"hevc", b"heix", b"msf1"])
def test_heif_of_phones(tmp_path: Path, brand: bytes) -> None:
    """Also with the orientation that Exif tells, which libheif has turned already."""
    pillow_heif = pytest.importorskip("pillow_heif")
    path, image = tmp_path / "IMG_0001.HEIC", Image.fromarray(PHOTO).transpose(ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned clockwise by 90 degrees
    pillow_heif.from_pillow(image).save(path, quality=-1, chroma=444, exif=exif.tobytes())
    data = path.read_bytes()
    path.write_bytes(data[:8] + brand + data[12:])
    found = pixels(path)
    assert found.shape == PHOTO.shape and np.abs(found - PHOTO).mean() < 3
    assert path.suffix.lower() in PICTURE_ENDINGS


def test_an_avif_whose_first_brand_is_mif1(tmp_path: Path) -> None:
    try:
        path = picture_file(tmp_path, Image.fromarray(PHOTO), "photo.avif", quality=90)
    except (KeyError, ValueError, OSError):
        pytest.skip("this Pillow writes no AVIF: before 11.3, or built without libavif")
    data = path.read_bytes()
    path.write_bytes(data[:8] + b"mif1" + data[12:])
    assert np.abs(pixels(path) - PHOTO).mean() < 8


def test_jpeg(tmp_path: Path) -> None:
    path = picture_file(tmp_path, Image.fromarray(PHOTO), "photo.jpg", quality=95)
    assert np.abs(pixels(path) - PHOTO).mean() < 2
    assert np.array_equal(pixels(str(path)), pixels(path))


def test_the_ending_does_not_matter(tmp_path: Path) -> None:
    path = picture_file(tmp_path, Image.fromarray(PHOTO), "photo.png").rename(tmp_path / "a.jpg")
    assert np.array_equal(pixels(path), PHOTO)


@pytest.mark.parametrize("ending", ["png", "jpg", "tif"])
def test_grey(tmp_path: Path, ending: str) -> None:
    found = pixels(picture_file(tmp_path, Image.fromarray(GREY), f"grey.{ending}"))
    assert np.array_equal(found[:, :, 0], found[:, :, 2])
    assert np.abs(found - GREY[:, :, None]).max() <= 8


def test_black_and_white(tmp_path: Path) -> None:
    path = picture_file(tmp_path, Image.fromarray(GREY > 127), "bits.png")
    assert np.array_equal(pixels(path), np.repeat((GREY > 127)[:, :, None] * 255, 3, axis=2))


def test_palette(tmp_path: Path) -> None:
    image = Image.fromarray(PHOTO).quantize(64)
    path = picture_file(tmp_path, image, "palette.png")
    assert np.array_equal(pixels(path), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("transparency", [0, bytes([0, 255])])
def test_palette_with_transparency_lies_on_white(tmp_path: Path, transparency: int | bytes) -> None:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.paste(0, (0, 0, 2, 4))
    path = picture_file(tmp_path, image, "palette.png", transparency=transparency)
    found = pixels(path)
    assert (found[:, :2] == 255).all() and (found[:, 2:] == (200, 100, 50)).all()


def test_rgb_with_a_transparent_colour_lies_on_white(tmp_path: Path) -> None:
    image = Image.new("RGB", (4, 4), (1, 2, 3))
    image.paste((200, 100, 50), (2, 0, 4, 4))
    found = pixels(picture_file(tmp_path, image, "key.png", transparency=(1, 2, 3)))
    assert (found[:, :2] == 255).all() and (found[:, 2:] == (200, 100, 50)).all()


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA"])
def test_alpha_lies_on_white(mode: str) -> None:
    image = Image.new("RGBA", (2, 1), (100, 100, 100, 0))
    image.putpixel((1, 0), (100, 100, 100, 255))
    if mode == "PA":
        image = image.convert("RGB").quantize(4).convert("PA")
        colour: Any = image.getpixel((0, 0))
        image.putpixel((0, 0), (colour[0], 0))
    found = pixels(image.convert(mode))
    assert found[0, 0].tolist() == [255] * 3 and found[0, 1].tolist() == [100] * 3


def test_half_transparent(tmp_path: Path) -> None:
    path = picture_file(tmp_path, Image.new("RGBA", (3, 3), (0, 0, 0, 128)), "half.png")
    assert (pixels(path) == 127).all()


def test_premultiplied_alpha() -> None:
    image = Image.new("RGBA", (1, 1), (200, 100, 0, 128)).convert("RGBa")
    assert np.abs(pixels(image)[0, 0] - [227, 177, 127]).max() <= 2


@pytest.mark.parametrize("alpha", [0, 255])
def test_a_bmp_whose_alpha_nobody_filled(tmp_path: Path, alpha: int) -> None:
    """All viewers show what is there."""
    height, width, _ = PHOTO.shape
    filled = np.dstack([PHOTO[::-1, :, ::-1], np.full((height, width), alpha, np.uint8)])
    masks = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    head = struct.pack("<IiiHHIIiiII4I", 124, width, height, 1, 32, 3, 0, 0, 0, 0, 0, *masks)
    data = b"BM" + struct.pack("<IHHI", 138 + filled.size, 0, 0, 138) + head + bytes(68)
    path = tmp_path / "copied.bmp"
    path.write_bytes(data + filled.tobytes())
    assert np.array_equal(pixels(path), PHOTO)


def test_cmyk(tmp_path: Path) -> None:
    image = Image.fromarray(PHOTO).convert("CMYK")
    for ending, options in (("jpg", {"quality": 95}), ("tif", {})):
        path = picture_file(tmp_path, image, f"print.{ending}", **options)
        assert np.abs(pixels(path) - PHOTO).mean() < 3


@pytest.mark.parametrize("mode", ["YCbCr", "HSV"])
def test_other_colour_spaces(mode: str) -> None:
    assert np.abs(pixels(Image.fromarray(PHOTO).convert(mode)) - PHOTO).mean() < 3


@pytest.mark.parametrize("name", ["deep.png", "deep.tif"])
def test_grey_of_16_bits_is_scaled_not_clipped(tmp_path: Path, name: str) -> None:
    deep = GREY.astype(np.uint16) * 257
    path = picture_file(tmp_path, Image.fromarray(deep), name)
    assert np.array_equal(pixels(path)[:, :, 1], GREY)


def test_big_endian_16_bits() -> None:
    deep = (GREY.astype(">u2") * 257).astype(">u2")
    image = Image.frombytes("I;16B", (WIDTH, HEIGHT), deep.tobytes())
    assert np.array_equal(pixels(image)[:, :, 1], GREY)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (GREY / np.float32(255), GREY),
        (GREY.astype(np.float32), GREY),
        (GREY * np.float32(257), GREY),
        (GREY.astype(np.float32) * 1000 - 10, GREY),
    ],
)
def test_float_tiff(
    tmp_path: Path, values: npt.NDArray[np.float32], expected: npt.NDArray[np.uint8]
) -> None:
    path = picture_file(tmp_path, Image.fromarray(values.astype(np.float32)), "float.tif")
    assert np.array_equal(pixels(path)[:, :, 0], expected)


def test_float_tiff_with_nan(tmp_path: Path) -> None:
    values = np.full((4, 4), np.nan, np.float32)
    with pytest.raises(PictureError, match=r"float\.tif: .*not finite"):
        read_picture(picture_file(tmp_path, Image.fromarray(values), "float.tif"))


@pytest.mark.parametrize("factor", [1, 257, 70000])
def test_32_bit_integers(tmp_path: Path, factor: int) -> None:
    image = Image.fromarray(GREY.astype(np.int32) * factor)
    assert np.array_equal(pixels(picture_file(tmp_path, image, "deep.tif"))[:, :, 0], GREY)


@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(tmp_path: Path, orientation: int, ending: str) -> None:
    undone = {
        1: PHOTO, 2: PHOTO[:, ::-1], 3: PHOTO[::-1, ::-1], 4: PHOTO[::-1],
        5: PHOTO.transpose(1, 0, 2), 6: np.rot90(PHOTO), 7: np.rot90(PHOTO[::-1]),
        8: np.rot90(PHOTO, -1),
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[274] = orientation
    options: dict[str, Any] = {"lossless": True} if ending == "webp" else {}
    image = Image.fromarray(np.ascontiguousarray(undone))
    path = picture_file(tmp_path, image, f"turned.{ending}", exif=exif, **options)
    found = pixels(path)
    assert found.shape == PHOTO.shape
    assert np.abs(found - PHOTO).mean() < 5
    with Image.open(path) as again:
        assert np.array_equal(pixels(again), found)


def test_damaged_exif_is_no_exif(tmp_path: Path) -> None:
    exif = b"Exif\0\0II*\0\xff\xff\xff\xff" + b"\x12\x01" * 20
    path = picture_file(tmp_path, Image.fromarray(PHOTO), "photo.jpg", exif=exif)
    assert pixels(path).shape == PHOTO.shape


@pytest.mark.parametrize("ending", ["gif", "webp", "png", "tif"])
def test_first_frame_and_a_note(tmp_path: Path, ending: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "lime", "blue")]
    options: dict[str, Any] = {"lossless": True} if ending == "webp" else {}
    path = picture_file(
        tmp_path, frames[0], f"moving.{ending}", save_all=True, append_images=frames[1:], **options
    )
    picture = read_picture(path)
    assert (picture.pixels == (255, 0, 0)).all()
    assert picture.notes == (Note("first_frame_only"),) and picture.complete


def test_the_second_picture_of_a_phone_is_no_frame(tmp_path: Path) -> None:
    image = Image.fromarray(PHOTO)
    path = picture_file(tmp_path, image, "phone.mpo", save_all=True, append_images=[image])
    assert pixels(path).shape == PHOTO.shape


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1)])
def test_extreme_sizes(tmp_path: Path, size: tuple[int, int]) -> None:
    path = picture_file(tmp_path, Image.new("RGB", size, "red"), "thin.png")
    assert pixels(path).shape == (size[1], size[0], 3)


@pytest.mark.parametrize("name", ["Gesicht ä ß 顔.png", "new\nline.png", b"b\xff\xfe.png"])
def test_odd_names(tmp_path: Path, name: str | bytes) -> None:
    path = tmp_path / os.fsdecode(name)
    try:
        with path.open("wb") as file:
            Image.fromarray(PHOTO).save(file, "png")
    except OSError:
        pytest.skip("this file system refuses the name")
    assert np.array_equal(pixels(path), PHOTO)
    assert np.array_equal(pixels(str(path)), PHOTO)


@pytest.mark.parametrize(
    ("most", "by"), [(96 * 128, 1), (96 * 128 - 1, 2), (3072, 2), (3071, 4), (200, 8)]
)
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_jpeg_that_is_too_large_is_reduced(tmp_path: Path, most: int, by: int, mode: str) -> None:
    smooth = np.asarray(Image.fromarray(PHOTO).resize((128, 96)))
    path = picture_file(tmp_path, Image.fromarray(smooth).convert(mode), "large.jpg", quality=95)
    picture = read_picture(path, most)
    assert picture.pixels.shape == (96 // by, 128 // by, 3)
    assert picture.notes == ((Note("reduced", {"by": by}),) if by > 1 else ())
    means = smooth.reshape(96 // by, by, 128 // by, by, 3).mean((1, 3))
    wanted = (
        means
        if mode == "RGB"
        else pixels(path).reshape(*means.shape[:1], by, -1, by, 3).mean((1, 3))
    )
    assert np.abs(picture.pixels - wanted).mean() < 6


def test_what_is_too_large_at_an_eighth_is_a_bomb(tmp_path: Path) -> None:
    jpeg = picture_file(tmp_path, Image.fromarray(PHOTO), "a.jpg")
    png = picture_file(tmp_path, Image.fromarray(PHOTO), "a.png")
    height, width = PHOTO.shape[:2]
    for path, most in ((jpeg, height * width // 64 - 1), (png, height * width - 1)):
        with pytest.raises(PictureError, match="taken for a bomb: scale it down"):
            read_picture(path, most)
    assert read_picture(png, height * width).pixels.shape == PHOTO.shape
