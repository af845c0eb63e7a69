"""Pictures: a file, a Pillow image or an array becomes pixels, and what happened on the way.

A file is hostile: only regular files are opened, only the formats below are tried (no plugin that
starts programs), and Pillow's guard against decompression bombs is an error.  Of a damaged file
the part that could be decoded is kept.  Pillow is imported when the first picture is read.
"""

from __future__ import annotations

import contextlib
import io
import math
import os
import stat
import sys
import warnings
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, NamedTuple

import numpy as np

from ..errors import PictureError
from ..locks import Lock
from ..notes import Note
from . import tiff
from .behind import has_track, unseen
from .binary import binary_of
from .code_points import CodePoints, hdr_points
from .compression import doubt_about
from .formats import RAW, SIGNATURE_BYTES, format_of, missing, opener
from .jpeg_scans import has_empty_end, has_one_scan
from .memory_limit import check_memory, check_room_for_jxl, is_scarce
from .pixels import Pixels, rgb_of_array, rgb_of_image, strips

if TYPE_CHECKING:
    from PIL import Image

_END_OF_JPEG = b"\xff\xd9"
_MAX_JPEG_BYTES = 1 << 30
_MAX_STREAM_BYTES = 1 << 28
#: More of a JPEG is decoded at a half, a quarter or an eighth of its size, which libjpeg does on
#: the way: phones take 200 megapixels, which would fill 600 MB.
MOST_PIXELS = 50_000_000
_REDUCTIONS = (1, 2, 4, 8)
#: Formats that take so many times the memory of others while they are decoded (7 to 12 bytes a
#: pixel), and may have so many times fewer pixels.
_TIMES_MEMORY = {"WEBP": 2, "JPEG2000": 3}
#: What a picture that is read from an open file is called.
STREAM = "-"
_SAVE_AS = "save it as JPEG or PNG"
_COPY_AGAIN = "copy or download it again"
_SERIES = (
    "pictures that follow each other, and none by itself: read it as a clip, by PyAV: "
    "pip install 'minimeso[video]'"
)
_COPY_OR_SAVE = f"copy it again, or {_SAVE_AS}"


class Picture(NamedTuple):
    """Pixels, and what happened on the way to them.

    Attributes:
        pixels: (H, W, 3) uint8 RGB, contiguous.
        complete: false if the file is cut short or damaged and this is what could be read.
        notes: remarks for the reader.
        doubt: a note if it cannot be called real, or fake, however it looks.
    """

    pixels: Pixels
    complete: bool = True
    notes: tuple[Note, ...] = ()
    doubt: Note | None = None


def read_picture(source: object, max_pixels: int | None = None) -> Picture:
    """Read a picture from wherever it is.

    Args:
        source: path of a file (``str`` or path-like), bytes of one, open binary file, Pillow image,
            or array: uint8 or float in [0, 1], of shape (H, W, 3), (H, W, 4) with alpha, or (H, W).
        max_pixels: a larger JPEG file is decoded at a half to an eighth of its size, other files
            are refused; by default those above ``MOST_PIXELS``, and what Pillow takes for a bomb
            (half as many pixels for WebP, a third for JPEG 2000).

    Raises:
        PictureError: a file or Pillow image cannot be read; names the file, the reason and
            what to do.
        InputError: the source is none of these, or an array of another shape, dtype or range.
    """
    source = binary_of(source)
    if isinstance(source, (str, os.PathLike)):
        return _read_file(os.fsdecode(source), max_pixels)
    if isinstance(source, io.BufferedIOBase):
        return _read_stream(source, max_pixels)
    return picture_in_memory(source)


def picture_in_memory(source: object) -> Picture:
    """That of a Pillow image or an array; errors are those of ``read_picture``."""
    pillow = sys.modules.get("PIL.Image")
    if pillow is not None and isinstance(source, pillow.Image):
        return _read_image(source)
    return Picture(rgb_of_array(source))


class Unreadable(Exception):  # noqa: N818 (a message on its way to a PictureError)
    """Reason and remedy, without the name of the file."""


def _read_file(path: str, max_pixels: int | None) -> Picture:
    with named(path), open_regular(path) as file:
        return _decode(file, max_pixels)


def _read_stream(file: io.BufferedIOBase, max_pixels: int | None) -> Picture:
    """A stream may be endless, and Pillow wants to go back and forth: read it first."""
    with named(STREAM):
        data = file.read(_MAX_STREAM_BYTES + 1)
        if len(data) > _MAX_STREAM_BYTES:
            raise Unreadable(f"more than {_MAX_STREAM_BYTES >> 20} MiB: give a picture file")
        if not data:
            raise Unreadable("nothing comes from it: give a picture")
        return _decode(io.BytesIO(data), max_pixels)


@contextlib.contextmanager
def named(name: str) -> Iterator[None]:
    """Whatever goes wrong in it is a ``PictureError`` about ``name``."""
    try:
        with pillow_silence:
            yield
    except Unreadable as error:
        raise PictureError(f"{name}: {error}") from None
    except Exception as error:  # for damaged files Pillow raises whatever comes along
        if isinstance(error, ImportError) and is_scarce():  # no room for Pillow itself
            error = MemoryError()
        raise PictureError(f"{name}: {reason_of(error)}: {remedy_of(error)}") from None


def _read_image(image: Image.Image) -> Picture:
    name = getattr(image, "filename", "") or "Pillow image"
    try:
        if 0 in image.size:
            raise Unreadable(f"no pixels (size {image.size}): give another picture")
        with pillow_silence:
            image.load()
            points = hdr_points(image)
            notes = () if points is None else (Note("tone_mapped"),)
            return Picture(_shown(image, points), notes=notes, doubt=doubt_about(image))
    except Exception as error:
        raise PictureError(f"{name}: {reason_of(error)}: convert it to RGB first") from None


def open_regular(path: str) -> IO[bytes]:
    """Open a regular file with something in it; pipes and devices might hang or never end."""
    try:
        _check_regular(os.stat(path))  # noqa: PTH116 (Path turns "" into the current folder)
        file = open(path, "rb", opener=_without_waiting)  # noqa: SIM115 (the caller closes it)
    except OSError as error:
        remedy = _REMEDIES.get(type(error), "check the name and the disk")
        if isinstance(error, FileNotFoundError) and "://" in path:
            remedy = "nothing is fetched, so save what is at the address and name that file"
        raise Unreadable(f"{error.strerror or error}: {remedy}") from None
    except ValueError as error:  # a null byte in the name
        raise Unreadable(f"{error}: check the name") from None
    try:
        _check_regular(os.fstat(file.fileno()))
    except Unreadable:
        file.close()
        raise
    return file


_REMEDIES: dict[type[OSError], str] = {
    FileNotFoundError: "check the name",
    NotADirectoryError: "check the name",
    PermissionError: "ask for the right to read it",
}


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _check_regular(status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise Unreadable("a folder: name what is in it")
    if not stat.S_ISREG(status.st_mode):
        raise Unreadable("a pipe, device or socket: give a picture or clip")
    if status.st_size == 0:
        raise Unreadable(f"the file is empty: {_COPY_AGAIN}")


def _decode(file: IO[bytes], max_pixels: int | None) -> Picture:
    with identify(file, max_pixels) as image:
        notes = unseen(image, file)
        by = _reduce(image, max_pixels)
        if by > 1:
            notes = (*notes, Note("reduced", {"by": by}))
        points = hdr_points(image, file)
        if points is not None:
            notes = (*notes, Note("tone_mapped"))
        fault, is_jpeg = _load(image), _is_reducible(image)
        if fault is None and is_jpeg and has_empty_end(file):
            fault = "nothing but zeros at its end"
        doubt = doubt_about(image)
        if fault is None:
            return Picture(_shown(image, points), True, notes, doubt)
        if image.info.get("interlace"):  # of a PNG: a face with a grid of black would look fake
            raise Unreadable(f"{fault}, and what there is of it has gaps: {_COPY_AGAIN}")
        if image.format == "JPEG2000" or (is_jpeg and not has_one_scan(file)):
            doubt = doubt or Note("lost_scans")
        pixels = _shown(_load_with_end(file, max_pixels) if is_jpeg else image, points)
    if _is_blank(pixels):
        raise Unreadable(f"{fault}, and nothing before that can be seen: {_COPY_OR_SAVE}")
    note = Note("damaged_picture", {"reason": fault})
    return Picture(pixels, False, (*notes, note), doubt)


def _shown(image: Image.Image, points: CodePoints | None) -> Pixels:
    """The pixels of a loaded image as a usual screen shows them."""
    pixels = rgb_of_image(image)
    if points is not None:
        from .hdr_pictures import map_picture  # hardly anybody needs it

        map_picture(pixels, points)
    return pixels


def identify(file: IO[bytes], max_pixels: int | None = None) -> Image.Image:
    """What kind of picture a file holds, not decoded yet."""
    from PIL import Image

    name = format_of(file.read(SIGNATURE_BYTES))
    if name is None:
        raise Unreadable(f"not a picture of a known format: {_SAVE_AS}")
    if name in (RAW, "TIFF"):
        from .camera_raw import UNDEVELOPED, is_raw_tiff

        if name == RAW or is_raw_tiff(file):
            raise Unreadable(UNDEVELOPED)
    open_image = opener(name)
    if open_image is None:
        raise MemoryError if is_scarce() else Unreadable(missing(name))
    file.seek(0)
    whole: float = 2 * (Image.MAX_IMAGE_PIXELS or math.inf)
    most: float = max_pixels or whole / _TIMES_MEMORY.get(name, 1)
    try:
        if name == "JXL":  # its plugin decodes all as soon as it opens a file
            from .jxl_size import jxl_size

            pixels = math.prod(jxl_size(file))
            _check_pixels(pixels, most)
            check_room_for_jxl(pixels)
        image = open_image(file, "")
    except (Image.DecompressionBombError, Unreadable):
        raise
    except Exception as error:
        check_memory(error, name)
        if name in ("AVIF", "HEIF") and has_track(file):
            raise Unreadable(_SERIES) from None
        reason = f"{name} file with a damaged or unusual header ({reason_of(error)})"
        raise Unreadable(f"{reason}: {_COPY_OR_SAVE}") from None
    if _is_reducible(image):
        most = (max_pixels or MOST_PIXELS) * _REDUCTIONS[-1] ** 2
        if not has_one_scan(file):  # its coefficients would fill gigabytes
            most = min(most, whole)
    _check_pixels(max(image.width * image.height, tiff.pixels_of_tile(image)), most)
    if tiff.is_preview(image):
        raise Unreadable(f"a camera's raw file, of which only a preview can be read: {_SAVE_AS}")
    tiff.mend(image)
    return image


def _check_pixels(pixels: int, most: float) -> None:
    if pixels > most:
        raise Unreadable(f"more than {most:.0f} pixels, taken for a bomb: scale it down")


def _is_reducible(image: Image.Image) -> bool:
    return image.format in ("JPEG", "MPO")


def _reduce(image: Image.Image, max_pixels: int | None) -> int:
    """Have a JPEG that is too large decoded at a part of its size; returns which, 1 for all."""
    width, height = image.size
    most = max_pixels or MOST_PIXELS
    by = next((by for by in _REDUCTIONS if width * height <= most * by * by), _REDUCTIONS[-1])
    if by == 1 or not _is_reducible(image):
        return 1
    image.draft(image.mode, (max(width // by, 1), max(height // by, 1)))
    return by


def _load(image: Image.Image) -> str | None:
    """Decode; returns what went wrong, and then keeps the part that was decoded."""
    try:
        image.load()
    except Exception as error:
        check_memory(error, image.format)
        image.tile = []  # type: ignore[attr-defined]  # nothing more to decode: keep the pixels
        tiff.turn(image)
        return reason_of(error)
    return None


def _load_with_end(file: IO[bytes], max_pixels: int | None) -> Image.Image:
    """A JPEG that stops too early, decoded as if it had an end.

    Only so a progressive one gives its coarse scans.  Pillow's own switch for this,
    ``LOAD_TRUNCATED_IMAGES``, belongs to the process, and other threads would see it.
    """
    from PIL.JpegImagePlugin import JpegImageFile  # `Image.open` knows nothing of reducing

    file.seek(0)
    image = JpegImageFile(io.BytesIO(file.read(_MAX_JPEG_BYTES) + _END_OF_JPEG))
    _reduce(image, max_pixels)
    _load(image)
    return image


def _is_blank(pixels: Pixels) -> bool:
    """Less than a hundredth of a damaged picture was decoded: the rest is filled evenly."""
    counts = np.zeros((3, 256), np.intp)
    for lines in strips(pixels.shape):
        counts += [
            np.bincount(band.ravel(), minlength=256) for band in pixels[lines].transpose(2, 0, 1)
        ]
    return bool(counts.max(1).min() > 0.99 * pixels[:, :, 0].size)


def reason_of(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return "too large for the memory of this machine"
    from PIL import Image

    if isinstance(error, Image.DecompressionBombError):
        return f"more than {2 * (Image.MAX_IMAGE_PIXELS or 0)} pixels, taken for a bomb"
    text = error.strerror if isinstance(error, OSError) else None
    return (text or str(error)).partition("\n")[0][:200] or type(error).__name__


def remedy_of(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return "scale it down"
    from PIL import Image

    return "scale it down" if isinstance(error, Image.DecompressionBombError) else _COPY_OR_SAVE


class _PillowSilence:
    """A context in which Pillow's Python warnings are dropped, for any number of threads, and what
    it logs is not printed: Python does that where a program has not set up logging.

    Warning filters and loggers belong to the process, so the first one in sets the filter and the
    last one out restores what was there.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._inside = 0
        self._restored = contextlib.ExitStack()

    def __enter__(self) -> None:
        import logging  # as Pillow does; `import minimeso` need not wait for it

        with self._lock:
            if self._inside == 0:
                self._restored.enter_context(warnings.catch_warnings())
                for module in (r"PIL\.", r"minimeso\.detect\."):
                    warnings.filterwarnings("ignore", module=module)
                logger, handler = logging.getLogger("PIL"), logging.NullHandler()
                logger.addHandler(handler)
                self._restored.callback(logger.removeHandler, handler)
            self._inside += 1

    def __exit__(self, *exception: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._restored.close()


pillow_silence = _PillowSilence()
