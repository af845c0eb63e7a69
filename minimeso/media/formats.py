"""Formats of pictures: by what a file begins with, and what reads them.

A new format is a line in each of the tables below.  Pillow's plugins are imported one by one, when
a file needs them; ``Image.open`` would begin with five.  HEIF (the photos of phones) and JPEG XL
are read by packages of their own, which register a plugin with Pillow.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

#: Endings of the files that are taken from a folder.
PICTURE_ENDINGS = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".gif", ".webp", ".bmp", ".tif", ".tiff",
    ".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k", ".avif", ".avifs", ".heic", ".heif", ".hif",
    ".heics", ".heifs", ".jxl",
)  # fmt: skip

#: What raw files of cameras are called here, for which Pillow has no name; and how those begin that
#: are no plain TIFF: of Canon, Fujifilm, Olympus, Panasonic, Minolta and Sigma.
RAW = "RAW"
_RAW_HEADS = (
    b"II*\0\x10\0\0\0CR\2", b"II\x1a\0\0\0HEAPCCDR", b"FUJIFILMCCD-RAW", b"IIRO", b"IIRS", b"MMOR",
    b"IIU\0", b"\0MRM", b"FOVb",
)  # fmt: skip
#: Pillow's name of a format, and the bytes by which it is known: offset, content.
_SIGNATURES: tuple[tuple[str, int, bytes], ...] = (
    ("JPEG", 0, b"\xff\xd8\xff"),
    ("PNG", 0, b"\x89PNG\r\n\x1a\n"),
    ("GIF", 0, b"GIF8"),
    ("WEBP", 8, b"WEBP"),
    ("BMP", 0, b"BM"),
    *((RAW, 0, head) for head in _RAW_HEADS),
    *(("TIFF", 0, order) for order in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
    *(("PPM", 0, b"P%d" % number) for number in range(1, 7)),
    ("JPEG2000", 0, b"\0\0\0\x0cjP  "),
    ("JPEG2000", 0, b"\xff\x4f\xff\x51"),
    ("JXL", 0, b"\0\0\0\x0cJXL \r\n\x87\n"),
    ("JXL", 0, b"\xff\x0a"),
)
#: Brands of ISO base media files that hold pictures (ISO/IEC 23008-12, AV1 Image File Format); the
#: first line with one of those that a file names.
_BRANDS: tuple[tuple[str, tuple[bytes, ...]], ...] = (
    (RAW, (b"crx ",)),
    ("AVIF", (b"avif", b"avis")),
    ("HEIF", (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs")),
    ("HEIF", (b"mif1", b"mif2", b"msf1", b"miaf")),
)
#: Those of files that are there for a series of pictures, and not for a single one.
SERIES = (b"avis", b"msf1", b"hevc", b"hevx", b"hevm", b"hevs")
#: Formats that can move; AVIF and HEIF can, too, by a track as a clip has.
ANIMATED = ("GIF", "PNG", "WEBP")
#: So much of a file ``format_of`` wants to see.
SIGNATURE_BYTES = 256
#: ``PIL.*ImagePlugin`` of each format.
_PLUGINS = {
    "JPEG": "Jpeg", "PNG": "Png", "GIF": "Gif", "WEBP": "WebP", "BMP": "Bmp", "TIFF": "Tiff",
    "PPM": "Ppm", "JPEG2000": "Jpeg2K", "AVIF": "Avif",
}  # fmt: skip


class _Package(NamedTuple):
    """What reads a format that Pillow does not.

    Attributes:
        module: which registers its plugin when it is imported, or by its function ``register``.
        remedy: how to get it.
    """

    module: str
    register: str | None
    remedy: str


_PACKAGES = {
    "HEIF": _Package("pillow_heif", "register_heif_opener", "pip install 'minimeso[photos]'"),
    "JXL": _Package("pillow_jxl", None, "pip install pillow-jxl-plugin"),
}

#: From a file to its picture, not decoded yet; as Pillow keeps it.
Opener = Callable[[Any, str], "ImageFile"]


def format_of(start: bytes) -> str | None:
    """The format of a picture that begins so, Pillow's name or ``RAW``; ``None`` if it is none."""
    for name, offset, signature in _SIGNATURES:
        if start.startswith(signature, offset):
            return name
    brands = _brands(start)
    return next((name for name, known in _BRANDS if brands.intersection(known)), None)


def says_series(start: bytes) -> bool:
    """Whether an AVIF or HEIF file that begins so is there for a series of pictures."""
    return start[4:8] == b"ftyp" and start[8:12] in SERIES


def _brands(start: bytes) -> frozenset[bytes]:
    """Those that an ISO base media file names, if it may be a picture: by the first one."""
    if start[4:8] != b"ftyp" or not any(start[8:12] in known for _, known in _BRANDS):
        return frozenset()
    end = min(int.from_bytes(start[:4], "big"), len(start))
    places = (8, *range(16, end - 3, 4))
    return frozenset(start[place : place + 4] for place in places)


def opener(name: str) -> Opener | None:
    """What opens files of a format here, ``None`` if nothing does."""
    from PIL import Image

    if name not in Image.OPEN:
        with contextlib.suppress(ImportError):
            if name in _PLUGINS:
                importlib.import_module(f"PIL.{_PLUGINS[name]}ImagePlugin")
            elif name in _PACKAGES:
                package = _PACKAGES[name]
                module = importlib.import_module(package.module)
                if package.register is not None:
                    getattr(module, package.register)()
    found = Image.OPEN.get(name)
    return found[0] if found else None


def missing(name: str) -> str:
    """Why nothing opens files of a format, and what to do."""
    if name in _PACKAGES:
        return f"a photo in {name}, for which a package is missing: {_PACKAGES[name].remedy}"
    return f"the installed Pillow does not read {name}: save it as JPEG or PNG"
