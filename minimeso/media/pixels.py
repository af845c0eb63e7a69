"""Pixels: what is in memory already, a Pillow image or an array, becomes RGB as a person sees it.

The orientation in EXIF is applied, transparency lies on white, deep grey is scaled to 8 bits and
not clipped; colour profiles are ignored, as they are in training.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..errors import InputError
from . import tiff

if TYPE_CHECKING:
    from PIL import Image
    from PIL.Image import Transpose

Pixels = npt.NDArray[np.uint8]

#: What is made of so many on the way is less than what malloc asks the system for, so that the next
#: strip takes the same memory: fresh pages cost more than the conversion.
_STRIP_PIXELS = 1 << 14


def rgb_of_image(image: Image.Image) -> Pixels:
    """(H, W, 3) of a loaded image, upright."""
    from PIL import Image

    turn, has_alpha = _turn_of(image), _has_alpha(image)
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        grey = _scaled_to_bytes(tiff.unsigned(image, np.asarray(image)), image.mode)
        if tiff.is_negative(image):
            np.subtract(255, grey, out=grey)
        image = Image.fromarray(grey)
    if turn is not None:
        image = image.transpose(turn)
    found = np.empty((image.height, image.width, 3), np.uint8)
    for lines in strips(found.shape):  # what is made on the way would take more than the result
        part = image.crop((0, lines.start, image.width, min(lines.stop, image.height)))
        if part.mode != "RGB" or has_alpha:
            part = _over_white(part) if has_alpha else part.convert("RGB")
        found[lines] = np.asarray(part)
    return found


def _has_alpha(image: Image.Image) -> bool:
    """Whether something is transparent in it."""
    is_bmp = image.format == "BMP" and image.mode == "RGBA"
    if is_bmp and not image.getchannel("A").getextrema()[1]:
        return False  # a byte that nobody filled: all viewers show what is there
    is_deep = image.mode in ("I", "F") or image.mode.startswith("I;16")
    return image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or (
        "transparency" in image.info and not is_deep
    )


def _turn_of(image: Image.Image) -> Transpose | None:
    """What turns the picture upright, by tag 274 of EXIF ("Orientation", 1 to 8)."""
    from PIL.Image import Transpose

    if image.format == "TIFF":  # Pillow turns these itself, and older ones keep the tag
        return None
    if image.format == "JXL" and not getattr(image, "jpeg", False):
        return None  # Exif does not count beside its own field, by which the decoder turns it
    turns = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    try:
        return turns.get(image.getexif().get(274, 1))
    except Exception:  # damaged EXIF is no EXIF
        return None


def _over_white(image: Image.Image) -> Image.Image:
    from PIL import Image

    if image.mode == "La":
        image = image.convert("LA")
    image = image.convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image).convert("RGB")


def _scaled_to_bytes(values: npt.NDArray[Any], mode: str) -> Pixels:
    """Deep grey values as uint8.

    16-bit modes reach from 0 to 65535.  Others do not say: taken is the first of 1 (floats only),
    255 and 65535 that the values fit under; values below 0 or above that are stretched from their
    smallest to their largest.
    """
    low, high = float(values.min()), float(values.max())
    if not np.isfinite([low, high]).all():
        raise ValueError("It holds numbers that are not finite")
    tops = {"F": (1.0, 255.0, 65535.0), "I": (255.0, 65535.0)}.get(mode, (65535.0,))
    top = next((t for t in tops if low >= 0 and high <= t), None)
    zero, factor = (0.0, 255 / top) if top else (low, 255 / ((high - low) or 1.0))
    found = np.empty(values.shape, np.uint8)
    for lines in strips(values.shape):
        found[lines] = np.rint((values[lines].astype(np.float64) - zero) * factor)
    return found


def strips(shape: tuple[int, ...]) -> Iterator[slice]:
    """Lines of a picture (H, W, ...), some at a time, so that wider numbers of them take little
    memory."""
    lines = max(_STRIP_PIXELS // shape[1], 1)
    yield from (slice(y, y + lines) for y in range(0, shape[0], lines))


def rgb_of_array(source: object) -> Pixels:
    array = _checked_array(source)
    if array.dtype != np.uint8:
        array = _bytes_of_floats(array)
    if array.ndim == 2:
        array = np.repeat(array[:, :, None], 3, axis=2)
    if array.shape[2] == 4:
        from PIL import Image

        return rgb_of_image(Image.fromarray(np.ascontiguousarray(array)))
    return np.ascontiguousarray(array)


def _checked_array(source: object) -> npt.NDArray[Any]:
    try:
        array = np.asarray(source)
    except MemoryError:
        raise
    except Exception as error:
        raise InputError(f"{type(source).__name__}: no array can be made of it: {error}") from None
    kind = array.dtype.kind
    if kind not in "uifb":
        raise InputError(
            f"{type(source).__name__} is no picture: give a path, a Pillow image or an array"
        )
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)):
        raise InputError(f"array of shape {array.shape}: {_shape_remedy(array.shape)}")
    if 0 in array.shape:
        raise InputError(f"array of shape {array.shape} has no pixels")
    if array.dtype != np.uint8 and kind != "f":
        raise InputError(f"array of {array.dtype}: use uint8, or float32 scaled to [0, 1]")
    return array


def _shape_remedy(shape: tuple[int, ...]) -> str:
    if len(shape) == 4:
        return "give one picture at a time, x[0]"
    if len(shape) == 3 and shape[0] in (3, 4):
        return "put the channels last, x.transpose(1, 2, 0)"
    if len(shape) == 3 and shape[2] == 1:
        return "leave out the last axis, x[:, :, 0]"
    return "a picture is (H, W, 3), (H, W, 4) or (H, W)"


def _bytes_of_floats(array: npt.NDArray[Any]) -> Pixels:
    if not (array.min() >= 0 and array.max() <= 1):  # also where something is NaN
        raise InputError(
            f"float array from {array.min()} to {array.max()}: scale it to [0, 1] or use uint8"
        )
    return np.asarray(np.rint(array * array.dtype.type(255)), np.uint8)
