"""TIFF: what the fields of such a file say, and Pillow does not heed or tell.

Every function takes any picture of Pillow's, and has nothing to say of those that are no TIFF.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from PIL import Image

#: Fields: kind of a picture (its lowest bit: a small copy of another one), what zero stands for
#: (0: white), order of the planes (2: one after the other), sides of a tile, where further pictures
#: are, whether numbers have a sign (1: none).
_KIND, _ZERO, _PLANES, _TILE, _FURTHER, _SIGN = 254, 262, 284, (322, 323), 330, 339
_BITS = 258
_SMALL, _WHITE, _APART, _NO_SIGN = 1, 0, 2, 1


def _values(image: Image.Image, number: int) -> tuple[Any, ...]:
    """What a field says, nothing if it is not there."""
    fields = getattr(image, "tag_v2", None) if image.format == "TIFF" else None
    try:
        value = () if fields is None else fields.get(number, ())
    except Exception:  # damaged: as if it were not there
        return ()
    return value if isinstance(value, tuple) else (value,)


def _field(image: Image.Image, number: int, default: Any = None) -> Any:
    """Of several values the first one."""
    return next(iter(_values(image, number)), default)


def pixels_of_tile(image: Image.Image) -> int:
    """Of a file that has tiles, which may be larger than what is shown of them; else 0."""
    try:
        return math.prod(int(max(_values(image, side), default=0)) for side in _TILE)
    except Exception:  # no numbers: a picture that had such tiles could not be opened
        return 0


def is_preview(image: Image.Image) -> bool:
    """Whether what Pillow shows is a small copy of what it cannot reach, as in raw files."""
    kind = _field(image, _KIND, 0)
    return isinstance(kind, int) and bool(kind & _SMALL) and _field(image, _FURTHER) is not None


def mend(image: Image.Image) -> None:
    """Have planes of 16 bits read as such; Pillow takes them for bytes where they lie plainly."""
    if _field(image, _PLANES) != _APART or _field(image, _BITS) != 16:
        return
    tiff: Any = image  # has such fields, so it is of a class that Pillow does not make public
    order = "B" if tiff.tag_v2.prefix == b"MM" else "L"
    tiff.tile = [_of_16_bits(tile, order) for tile in tiff.tile]


def _of_16_bits(tile: Any, order: str) -> Any:
    """How one plane is read; Pillow below 11 says so in a plain tuple."""
    codec, box, place, arguments = tile
    if codec != "raw" or len(arguments[0]) != 1:
        return tile
    made = codec, box, place, (f"{arguments[0]};16{order}", *arguments[1:])
    return tile._make(made) if hasattr(tile, "_make") else made


def turn(image: Image.Image) -> None:
    """Turn upright what was decoded of a damaged one; Pillow does that with whole ones only, but
    says of all how large they will be."""
    if image.format == "TIFF":
        from PIL import ImageOps

        ImageOps.exif_transpose(image, in_place=True)


def unsigned(image: Image.Image, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The values of deep grey, those of 32 bits without the sign that Pillow gives them."""
    if image.mode == "I" and image.format == "TIFF" and _field(image, _SIGN, 1) == _NO_SIGN:
        return values.view(np.uint32)
    return values


def is_negative(image: Image.Image) -> bool:
    """Whether deep grey, which Pillow leaves as it is, counts from white to black."""
    return bool(_field(image, _ZERO) == _WHITE)
