"""Behind: what a picture's file holds beside the picture that is shown, and nobody looks at.

Further frames or pages, another picture right behind the first, and the short clip that phones put
there, of a photograph that moves.
"""

from __future__ import annotations

import re
from typing import IO, TYPE_CHECKING

from ..notes import Note
from .formats import SIGNATURE_BYTES, format_of
from .jpeg_scans import end_of_first, has_another

if TYPE_CHECKING:
    from PIL import Image

#: In segments of a JPEG that tell of others behind it, such as how bright or how far each pixel is.
_PARTS = b"MPF\0", b"ns.google.com/photos/"
#: How a clip begins (ISO/IEC 14496-12): size of its first box, name, and a brand; and in which box
#: a HEIF file has one.
_CLIP, _HEAD_BYTES = re.compile(rb"\0\0\0[\x10-\xff]ftyp(?s:.{4})"), 12
_CLIP_BOX = b"mpvd"
#: Box that describes the tracks of any such file.
_TRACKS = b"moov"
_PIECE = 1 << 20


def unseen(image: Image.Image, file: IO[bytes]) -> tuple[Note, ...]:
    """Notes on what else is there.

    Args:
        image: identified, not necessarily decoded.
        file: that it is read from; stays where it was.
    """
    place = file.tell()
    try:
        is_first = has_frames(image) or _is_joined(image, file)
        is_one = not is_first and _moves(image, file)
        has_clip = _has_clip(image, file)
    finally:
        file.seek(place)
    first = (Note("first_frame_only"),) if is_first else ()
    if is_one:
        first = (Note("one_frame_only"),)
    return (*first, Note("clip_behind")) if has_clip else first


def has_frames(image: Image.Image) -> bool:
    """More than one frame or page; the second picture of a phone's MPO file is no frame."""
    try:
        return image.format != "MPO" and bool(getattr(image, "is_animated", False))
    except Exception:  # the second frame is damaged: never mind, the first one is wanted
        return False


def _moves(image: Image.Image, file: IO[bytes]) -> bool:
    """Whether a picture moves whose plugin does not say so, nor which of the frames it shows: of
    JPEG XL the last one."""
    if image.format == "JXL":
        from .jxl_size import jxl_moves

        return jxl_moves(file)
    return image.format in ("AVIF", "HEIF") and has_track(file)


def has_track(file: IO[bytes]) -> bool:
    """Whether an AVIF or HEIF file has a track, as a clip has."""
    from .sample_tables import outer_parts

    return any(kind == _TRACKS for kind, _, _ in outer_parts(file))


def _is_joined(image: Image.Image, file: IO[bytes]) -> bool:
    """Whether another picture of its kind stands right behind it, as in a stream of a camera, that
    is no part of it."""
    if image.format == "JPEG":
        told = (data for _, data in getattr(image, "applist", ()))
        return not any(mark in data for data in told for mark in _PARTS) and has_another(file)
    if image.format not in ("PNG", "WEBP"):
        return False
    from .joined import others

    file.seek(0)
    return bool(others(file, file.read(SIGNATURE_BYTES)).starts)


def _has_clip(image: Image.Image, file: IO[bytes]) -> bool:
    """Whether a clip lies behind a photograph."""
    if image.format == "HEIF":
        from .sample_tables import outer_parts

        return any(kind == _CLIP_BOX for kind, _, _ in outer_parts(file))
    end = end_of_first(file) if image.format in ("JPEG", "MPO") else None
    if end is None:
        return False
    file.seek(end)
    data = b""
    while piece := file.read(_PIECE):
        data = data[1 - _HEAD_BYTES :] + piece
        if any(format_of(head) is None for head in _CLIP.findall(data)):  # else a picture in boxes
            return True
    return False
