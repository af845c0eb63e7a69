"""Pictures as people have them: every mode and format, damaged files, hostile ones, arrays."""

from __future__ import annotations

import os
import random
import socket
import struct
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from detectors import photo, png_header
from PIL import Image, ImageFile, PngImagePlugin

from minimeso import InputError, PictureError
from minimeso.media.pictures import PICTURE_ENDINGS, read_picture
from minimeso.notes import Note

PHOTO = photo()
HEIGHT, WIDTH = PHOTO.shape[:2]
GREY = PHOTO[:, :, 0]


def picture_file(folder: Path, image: Image.Image, name: str, **options: Any) -> Path:
    path = folder / name
    image.save(path, **options)
    return path


def pixels(source: object) -> npt.NDArray[np.int16]:
    """As signed numbers, which can be subtracted."""
    picture = read_picture(source)
    assert picture.complete and not picture.notes
    assert picture.pixels.dtype == np.uint8 and picture.pixels.shape[2] == 3
    assert picture.pixels.flags.c_contiguous
    return picture.pixels.astype(np.int16)


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


# --- formats and modes -------------------------------------------------------------------


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


# --- what cannot be read -----------------------------------------------------------------


def refused(path: object, reason: str) -> None:
    """A PictureError that names the file, the reason and a remedy."""
    with pytest.raises(PictureError) as raised:
        read_picture(path)
    name, found, remedy = str(raised.value).rsplit(": ", 2)
    assert name.startswith(str(path)) and reason in f"{name}: {found}" and remedy
    assert "\n" not in found


def test_text_named_jpg(tmp_path: Path) -> None:
    path = tmp_path / "text.jpg"
    path.write_text("Dear Sir or Madam,\n" * 100)
    refused(path, "not a picture")


def test_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "empty.jpg"
    path.touch()
    refused(path, "empty")


def test_missing_path(tmp_path: Path) -> None:
    refused(tmp_path / "nothing.jpg", "No such file")
    refused("", "No such file")
    refused("a\0b.jpg", "null")


def test_path_through_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    refused(tmp_path / "file" / "a.jpg", "Not a directory")


def test_folder(tmp_path: Path) -> None:
    refused(tmp_path, "a folder")


def test_no_permission(tmp_path: Path) -> None:
    path = picture_file(tmp_path, Image.fromarray(PHOTO), "secret.png")
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read everything")
    refused(path, "Permission denied")


def test_no_permission_whoever_runs_this(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = picture_file(tmp_path, Image.fromarray(PHOTO), "secret.png")

    def refuse(*arguments: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    refused(path, "Permission denied")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs here")
def test_pipes_devices_and_sockets_do_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    refused(tmp_path / "pipe.jpg", "a pipe, device or socket")
    refused("/dev/zero", "a pipe, device or socket")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(tmp_path / "s.jpg"))
        refused(tmp_path / "s.jpg", "a pipe, device or socket")


def test_loop_of_links(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").symlink_to("a.jpg")
    refused(tmp_path / "a.jpg", "symbolic link")


def test_decompression_bomb(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(png_header(60_000, 60_000))
    refused(path, "taken for a bomb")


def test_large_but_no_bomb_gives_no_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = picture_file(tmp_path, Image.fromarray(PHOTO), "large.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", PHOTO[:, :, 0].size - 1)
    assert pixels(path).shape == PHOTO.shape  # warnings are errors in the tests
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", PHOTO[:, :, 0].size // 2 - 1)
    refused(path, "taken for a bomb")


def test_bomb_in_text_chunks(tmp_path: Path) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("comment", "a" * (PngImagePlugin.MAX_TEXT_CHUNK + 1), zip=True)
    refused(picture_file(tmp_path, Image.fromarray(PHOTO), "text.png", pnginfo=info), "header")


def test_postscript_starts_no_program(tmp_path: Path) -> None:
    refused(picture_file(tmp_path, Image.fromarray(PHOTO), "photo.eps"), "not a picture")


def test_heic_is_named(tmp_path: Path) -> None:
    path = tmp_path / "phone.jpg"
    path.write_bytes(b"\0\0\0\x18ftypheic" + bytes(100))
    refused(path, "does not read HEIC")


def test_out_of_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = picture_file(tmp_path, Image.fromarray(PHOTO), "photo.png")

    def fail(self: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Image.Image, "load", fail)
    refused(path, "memory")


def test_files_are_closed(tmp_path: Path) -> None:
    if not Path("/proc/self/fd").is_dir():
        pytest.skip("no list of open files here")
    paths = [tmp_path / name for name in ("text.jpg", "cut.jpg", "bomb.png")]
    paths[0].write_text("text" * 10)
    paths[1].write_bytes(encoded("JPEG")[:900])
    paths[2].write_bytes(png_header(60_000, 60_000))
    before = len(list(Path("/proc/self/fd").iterdir()))
    for path in paths:
        try:
            read_picture(path)
        except PictureError as error:
            kept = error  # an exception that is kept must not keep the file
    assert len(list(Path("/proc/self/fd").iterdir())) == before and kept


# --- cut short and damaged ---------------------------------------------------------------


def encoded(kind: str, **options: Any) -> bytes:
    from io import BytesIO

    stream = BytesIO()
    Image.fromarray(photo(200, 160)).save(stream, kind, **options)
    return stream.getvalue()


CUT = [
    ("JPEG", {}),
    ("JPEG", {"progressive": True}),
    ("PNG", {}),
    ("GIF", {}),
    ("BMP", {}),
    ("TIFF", {}),
    ("PPM", {}),
]


@pytest.mark.parametrize(("kind", "options"), CUT)
@pytest.mark.parametrize("share", [0.5, 0.8, 0.97])
def test_truncated_file_is_partial(
    tmp_path: Path, kind: str, options: dict[str, Any], share: float
) -> None:
    data = encoded(kind, **options)
    path = tmp_path / "cut.jpg"
    path.write_bytes(data[: int(len(data) * share)])
    picture = read_picture(path)
    assert not picture.complete and picture.notes[-1].code == "damaged_picture"
    assert picture.pixels.shape == (200, 160, 3)
    good = np.abs(picture.pixels.astype(np.int16) - photo(200, 160)).mean(axis=(1, 2)) < 12
    assert good.mean() > share * 0.5 or kind == "JPEG"
    first = -1 if kind == "BMP" else 0  # which row is written first
    assert good[first]
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False


@pytest.mark.parametrize(("kind", "options"), [*CUT, ("WEBP", {}), ("JPEG2000", {})])
def test_cut_anywhere_is_partial_or_refused(
    tmp_path: Path, kind: str, options: dict[str, Any]
) -> None:
    data = encoded(kind, **options)
    path = tmp_path / "cut.jpg"
    steps = sorted({*range(1, 60, 3), *range(60, len(data), max(1, len(data) // 60))})
    for length in steps:
        path.write_bytes(data[:length])
        try:
            picture = read_picture(path)
        except PictureError as error:
            assert str(path) in str(error)
        else:
            assert picture.pixels.shape == (200, 160, 3)


def test_cut_before_the_first_pixel_is_unreadable(tmp_path: Path) -> None:
    data = encoded("JPEG")
    path = tmp_path / "cut.jpg"
    path.write_bytes(data[: data.index(b"\xff\xda") + 14])  # start of scan, nothing after it
    refused(path, "nothing before that can be seen")
    path.write_bytes(data[: data.index(b"\xff\xda") - 20])
    refused(path, "JPEG")


def test_flipped_bytes(tmp_path: Path) -> None:
    generator = random.Random(3)
    path = tmp_path / "damaged.jpg"
    for kind in ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP"):
        data = encoded(kind)
        for _ in range(40):
            damaged = bytearray(data)
            for _ in range(4):
                damaged[generator.randrange(12, len(data))] = generator.randrange(256)
            path.write_bytes(damaged)
            try:
                assert read_picture(path).pixels.shape[2] == 3
            except PictureError as error:
                assert str(path) in str(error)


def test_partial_and_whole_files_side_by_side(tmp_path: Path) -> None:
    """The tolerant reading of one thread must not hide the damage from another."""
    whole, cut = tmp_path / "whole.jpg", tmp_path / "cut.jpg"
    data = encoded("JPEG")
    whole.write_bytes(data)
    cut.write_bytes(data[: len(data) // 2])
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(read_picture, [whole, cut] * 60))
    assert [picture.complete for picture in found] == [True, False] * 60


def test_warning_filters_are_restored(tmp_path: Path) -> None:
    path = picture_file(tmp_path, Image.fromarray(PHOTO), "photo.png")
    before = list(warnings.filters)
    start = threading.Barrier(4)

    def read() -> None:
        start.wait()
        for _ in range(20):
            read_picture(path)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert warnings.filters == before


# --- Pillow images -----------------------------------------------------------------------


def test_pillow_image_is_left_alone() -> None:
    image = Image.fromarray(PHOTO).convert("RGBA")
    before = image.tobytes()
    assert np.array_equal(pixels(image), PHOTO)
    assert image.mode == "RGBA" and image.tobytes() == before


def test_pillow_image_of_a_damaged_file(tmp_path: Path) -> None:
    path = tmp_path / "cut.jpg"
    path.write_bytes(encoded("JPEG")[:900])
    with Image.open(path) as image, pytest.raises(PictureError, match=r"cut\.jpg: image file is"):
        read_picture(image)


def test_pillow_image_without_pixels() -> None:
    with pytest.raises(PictureError, match="no pixels"):
        read_picture(Image.new("RGB", (0, 5)))


# --- arrays ------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", ">f4"])
def test_float_arrays(dtype: str) -> None:
    found = pixels((PHOTO / 255).astype(dtype))
    assert np.abs(found - PHOTO).max() <= (1 if dtype == "float16" else 0)


def test_uint8_arrays() -> None:
    assert np.array_equal(pixels(PHOTO), PHOTO)
    assert np.array_equal(pixels(PHOTO[::-1, ::2]), PHOTO[::-1, ::2])
    assert np.array_equal(pixels(GREY)[:, :, 2], GREY)
    alpha = np.dstack([PHOTO, np.full_like(GREY, 255)])
    assert np.array_equal(pixels(alpha), PHOTO)
    alpha[:, :, 3] = 0
    assert (pixels(alpha) == 255).all()
    assert (pixels(alpha / 255) == 255).all()


@pytest.mark.parametrize(
    ("source", "remedy"),
    [
        (PHOTO.astype(np.uint16), "use uint8"),
        (PHOTO.astype(np.int64), "use uint8"),
        (PHOTO > 9, "use uint8"),
        (PHOTO.astype(np.float32), r"scale it to \[0, 1\]"),
        (PHOTO / 255 - 0.5, r"scale it to \[0, 1\]"),
        (np.full((4, 4, 3), np.nan), r"scale it to \[0, 1\]"),
        (PHOTO.transpose(2, 0, 1), "transpose"),
        (PHOTO[None], "one picture at a time"),
        (PHOTO[:, :, :1], "leave out the last axis"),
        (PHOTO[:, :, :2], r"\(H, W, 3\)"),
        (PHOTO[0, 0], r"\(H, W, 3\)"),
        (PHOTO[:0], "no pixels"),
        (PHOTO.astype(complex), "give a path"),
        (np.array([["a"]]), "give a path"),
        (None, "give a path"),
        (b"\xff\xd8\xff", "give a path"),
        (struct, "give a path"),
        ([[1, 2], [3]], "no array"),
        (3.5, r"\(H, W, 3\)"),
    ],
)
def test_refused_arrays(source: object, remedy: str) -> None:
    with pytest.raises(InputError, match=remedy):
        read_picture(source)
