"""Pixels from memory: Pillow images and arrays."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from support.detectors import photo
from support.memory import peak_of
from support.pictures import encoded, pixels

from minimeso import InputError, PictureError
from minimeso.media.pictures import read_picture
from minimeso.media.pixels import rgb_of_image

PHOTO = photo()
HEIGHT, WIDTH = PHOTO.shape[:2]
GREY = PHOTO[:, :, 0]


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
        (struct, "give a path"),
        ([[1, 2], [3]], "no array"),
        (3.5, r"\(H, W, 3\)"),
    ],
)
def test_refused_arrays(source: object, remedy: str) -> None:
    with pytest.raises(InputError, match=remedy):
        read_picture(source)


def test_want_of_memory_is_not_blamed_on_a_picture() -> None:
    class OnDisk:
        def __array__(self, *arguments: object, **named: object) -> npt.NDArray[np.uint8]:
            raise MemoryError("Unable to allocate")

    with pytest.raises(MemoryError, match="Unable"):
        read_picture(OnDisk())


@pytest.mark.parametrize("mode", ["I;16", "I", "F"])
def test_deep_grey_takes_little_memory(mode: str) -> None:
    """Beside the picture itself and the result; it had been 24 bytes a pixel."""
    deep = np.arange(3000 * 2000).reshape(3000, 2000) % 60_000
    image = Image.fromarray(deep.astype({"I;16": np.uint16, "I": np.int32, "F": np.float32}[mode]))
    assert image.mode == mode
    found, peak = peak_of(lambda: rgb_of_image(image))
    assert (found[:, :, 0] == np.rint(deep * (255 / 65535))).all()
    assert peak < (4 + 1 + 3 + 5) * deep.size


@pytest.mark.parametrize(("mode", "orientation"), [("RGB", 6), ("RGBA", 1), ("CMYK", 1)])
def test_a_large_picture_is_converted_in_strips(mode: str, orientation: int) -> None:
    """Python sees (Pillow's own memory not) the result and a strip; it had been the result twice,
    and of one with alpha Pillow made three copies."""
    image = Image.fromarray(photo(2400, 1500)).convert(mode)
    image.getexif()[274] = orientation
    found, peak = peak_of(lambda: rgb_of_image(image))
    upright = image.transpose(Image.Transpose.ROTATE_270) if orientation == 6 else image
    assert np.array_equal(found, np.asarray(upright.convert("RGB")))
    assert peak < found.nbytes + (1 << 20)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_strips_have_their_own_transparency(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    image = Image.fromarray(photo(100, 90)).convert(mode)
    if mode == "P":
        image.info["transparency"] = bytes(np.random.default_rng(0).integers(0, 256, 256, np.uint8))
    else:
        image.putalpha(Image.fromarray(photo(100, 90)[:, :, 0]))
    whole = rgb_of_image(image)
    monkeypatch.setattr("minimeso.media.pixels._STRIP_PIXELS", 7 * 90)
    assert np.array_equal(rgb_of_image(image), whole)
    white = Image.new("RGBA", image.size, "white")
    assert np.array_equal(
        whole, np.asarray(Image.alpha_composite(white, image.convert("RGBA")).convert("RGB"))
    )
