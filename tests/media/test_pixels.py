"""Pixels from memory: Pillow images and arrays."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.detectors import photo
from support.pictures import encoded, pixels

from minimeso import InputError, PictureError
from minimeso.media.pictures import read_picture

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
