"""Near a face: how much of a picture is looked at for one that was found before."""

from __future__ import annotations

from ..checks import is_number
from ..errors import InputError
from .box import AnyBox, Box, center
from .decode import FoundFace

#: Side of the face in the network's input, and the input's most.
NEAR_FACE = 64
NEAR_WIDEST = 512
#: Without so many pixels of the input around its centre a small face is not recognised.
_LEAST_REACH = 48
#: Places and moves beyond it overflow; those of networks stay far below.
_FURTHEST = 1e100


def reach_of(side: float, move: float, scale: float) -> float:
    """How far from the middle of a face it is looked for, in pixels of the picture.

    Args:
        side: of the face in the picture.
        move: how far it may have moved, in sides.
        scale: of the input to the picture.
    """
    return max(side * (0.5 + 0.5 * max(move, 0.0)), _LEAST_REACH / scale)


def near_box(box: AnyBox, move: float) -> Box:
    """All that ``FaceFinder.find_near`` looks at for a face with this box."""
    side = max(box[2], box[3], 1.0)
    scale = min(1.0, NEAR_FACE / side)
    reach = reach_of(side, move, scale)
    reach += 2 / min(scale, NEAR_WIDEST / (2 * reach))  # pixels are means of some beyond the edge
    x, y = center(box)
    return Box(x - reach, y - reach, 2 * reach, 2 * reach)


def check_face(face: FoundFace, move: float = 1.0) -> None:
    """``InputError`` unless it is a face that can be looked for, and a move that can be."""
    if not isinstance(face, FoundFace):
        raise InputError(f"a face to find again comes from find, and is no {type(face).__name__}")
    try:
        numbers = list(face.box)
    except TypeError:
        numbers = []
    if len(numbers) != 4 or not all(is_number(n) and abs(n) <= _FURTHEST for n in numbers):
        raise InputError(f"box {face.box!r} of a face: give x, y, width, height in pixels")
    if face.rotation not in (0, 90, 180, 270) or len(face.landmarks) != 5:
        raise InputError("a face has five landmarks and a rotation of 0, 90, 180 or 270")
    if not is_number(move) or not abs(move) <= _FURTHEST:
        raise InputError(f"move {move!r}: give the sides of a box")
