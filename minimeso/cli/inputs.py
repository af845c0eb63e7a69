"""What ``minimeso detect`` is to judge: files, what lies in folders, standard input."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from .output import message

STDIN = "-"
#: Raw frames in a second, unless told otherwise.
DEFAULT_RATE = 25.0


class Input(NamedTuple):
    """Something to judge.

    Attributes:
        path: as a person calls it; ``STDIN`` for standard input.
        fault: why it cannot be judged at all, if so.
    """

    path: str
    fault: str | None = None


def find_inputs(paths: Sequence[str]) -> Iterator[Input]:
    """Every input, folders taken apart."""
    for path in paths:
        if path == STDIN:
            closed = sys.stdin is None
            yield Input(path, "it is closed: send a picture or raw frames" if closed else None)
        elif not os.path.isdir(path):  # noqa: PTH112 (Path changes how it is written)
            yield Input(path)
        else:
            found = _in_folder(path)
            if not found:
                message(f"{path}: no pictures or clips in it")
            yield from found


def _in_folder(folder: str) -> list[Input]:
    """Pictures and clips in a folder and below; a folder that stays closed is an input, too."""
    from ..media.pictures import PICTURE_ENDINGS
    from ..media.video import CLIP_ENDINGS

    found: list[Input] = []

    def refused(error: OSError) -> None:
        found.append(Input(error.filename, f"{error.strerror}: ask for the right to read it"))

    for place, folders, files in os.walk(folder, onerror=refused):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            is_wanted = name.lower().endswith((*PICTURE_ENDINGS, *CLIP_ENDINGS))
            if is_wanted and not name.startswith("."):
                found.append(Input(os.path.join(place, name)))  # noqa: PTH118
    return sorted(found, key=lambda one: one.path)
