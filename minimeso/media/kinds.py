"""Kinds: whether a file is a clip or a picture, by how it begins.

Knows nothing of what reads clips, so that who judges pictures need not wait for its import.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from typing import IO, cast

from .behind import has_frames, has_track
from .formats import ANIMATED, SIGNATURE_BYTES, format_of, says_series
from .pictures import identify, open_regular, pillow_silence

#: Endings of the files that are taken from a folder, beside those of pictures.
CLIP_ENDINGS = (
    ".mp4", ".m4v", ".mov", ".qt", ".3gp", ".3g2", ".mkv", ".webm", ".avi", ".divx", ".wmv", ".asf",
    ".flv", ".f4v", ".mpg", ".mpeg", ".m2v", ".vob", ".ts", ".mts", ".m2ts", ".mxf", ".ogv", ".ogm",
    ".h264", ".264", ".h265", ".265", ".hevc", ".ivf", ".y4m", ".rm", ".rmvb",
    ".dv", ".nut", ".wtv",
)  # fmt: skip


def is_clip(path: str | os.PathLike[str] | io.BufferedIOBase) -> bool:
    """Whether ``open_clip`` is the door for a file, by its content; else ``read_picture`` is.

    Animated GIF, PNG, WebP, AVIF and HEIF files are clips where PyAV is installed.  What is no
    known picture is a clip if it begins like one, or if PyAV is there to look closer.  What cannot
    be opened is left to ``read_picture``, which says why.
    """
    try:
        with _opened(path) as file, pillow_silence:
            start = file.read(SIGNATURE_BYTES)
            name = format_of(start)
            if name is None:
                from .containers import begins_like_a_clip

                return begins_like_a_clip(start) or has_pyav()
            if not has_pyav():
                return False
            if name not in ANIMATED:
                return is_series(file, start)
            if name == "WEBP":
                from .animation import is_animated_webp

                return is_animated_webp(start)
            file.seek(0)
            with identify(file) as image:
                return has_frames(image)
    except Exception:  # damaged in a way that read_picture knows words for
        return False


@contextlib.contextmanager
def _opened(path: str | os.PathLike[str] | io.BufferedIOBase) -> Iterator[IO[bytes]]:
    """A file at its beginning, and so it is left."""
    if isinstance(path, io.BufferedIOBase):
        path.seek(0)
        try:
            yield cast(IO[bytes], path)
        finally:
            path.seek(0)
    else:
        with open_regular(os.fsdecode(path)) as file:
            yield file


def is_series(file: IO[bytes], start: bytes) -> bool:
    """Whether a file that begins so is an AVIF or HEIF of pictures that follow each other."""
    return says_series(start) and has_track(file)


def has_pyav() -> bool:
    """Whether clips can be read here at all."""
    from importlib.util import find_spec

    return find_spec("av") is not None
