"""Pictures in files, and what is read of them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from minimeso.media.pictures import read_picture
from support.detectors import photo


def picture_file(folder: Path, image: Image.Image, name: str, **options: Any) -> Path:
    """An image in a file of this name."""
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


def encoded(kind: str, **options: Any) -> bytes:
    """A photo of 160 x 200 as a file."""
    stream = io.BytesIO()
    Image.fromarray(photo(200, 160)).save(stream, kind, **options)
    return stream.getvalue()
