"""What ``minimeso detect`` is to judge: files, what lies in folders, standard input."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Sequence
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


def find_inputs(paths: Sequence[str]) -> list[Input]:
    """Every input, folders taken apart; says what in them is not looked at."""
    inputs: list[Input] = []
    skipped: Counter[str] = Counter()
    for path in paths:
        if path == STDIN:
            closed = sys.stdin is None
            inputs.append(
                Input(path, "it is closed: send a picture or raw frames" if closed else None)
            )
        elif os.path.isdir(path):  # noqa: PTH112 (Path changes how it is written)
            found = _in_folder(path, skipped)
            if not found:
                message(f"{path}: no pictures or clips in it")
            inputs += found
        else:
            inputs.append(Input(path, _fault_of_link(path)))
    if skipped:
        message(f"not looked at: {_counted(skipped)}")
    return inputs


def _in_folder(folder: str, skipped: Counter[str]) -> list[Input]:
    """Pictures and clips in a folder and below; what is not looked at is counted by its kind.

    Linked folders are followed, and each folder is entered once; one that stays closed is an input,
    too.
    """
    found: list[Input] = []
    entered: set[tuple[int, int]] = set()

    def refused(error: OSError) -> None:
        found.append(Input(error.filename, f"{error.strerror}: ask for the right to read it"))

    for place, folders, files in os.walk(folder, onerror=refused, followlinks=True):
        if not _enter(place, entered):
            folders.clear()
            continue
        hidden = [name for name in folders if name.startswith(".")]
        if hidden:
            skipped["hidden folders"] += len(hidden)
        folders[:] = sorted(set(folders) - set(hidden))
        for name in files:
            path = os.path.join(place, name)  # noqa: PTH118
            kind = _skipped_kind(path, name)
            if kind is None:
                found.append(Input(path, _fault_of_link(path)))
            else:
                skipped[kind] += 1
    return sorted(found, key=lambda one: one.path)


def _enter(folder: str, entered: set[tuple[int, int]]) -> bool:
    """Whether a folder, by whatever way, is there and was not entered before."""
    try:
        status = os.stat(folder)  # noqa: PTH116
    except OSError:  # it went away
        return False
    if not status.st_ino:  # a file system that does not number; Python's own limit ends a loop
        return True
    here = status.st_dev, status.st_ino
    is_new = here not in entered
    entered.add(here)
    return is_new


def _skipped_kind(path: str, name: str) -> str | None:
    """What kind of file it is that nobody looks at; ``None`` for a picture or clip."""
    from ..media.formats import PICTURE_ENDINGS
    from ..media.video import CLIP_ENDINGS

    if name.startswith("."):
        return "hidden files"
    if name.lower().endswith((*PICTURE_ENDINGS, *CLIP_ENDINGS)):
        return None
    ending = os.path.splitext(name)[1].lower()  # noqa: PTH122
    if ending:
        return ending
    return None if _begins_like_media(path) else "without an ending"


def _begins_like_media(path: str) -> bool:
    from ..media.containers import begins_like_a_clip
    from ..media.formats import SIGNATURE_BYTES, format_of
    from ..media.pictures import Unreadable, open_regular

    try:
        with open_regular(path) as file:
            start = file.read(SIGNATURE_BYTES)
    except (OSError, Unreadable):
        return False
    return format_of(start) is not None or begins_like_a_clip(start)


def _fault_of_link(path: str) -> str | None:
    """Why a link leads nowhere, if it does."""
    if os.path.islink(path) and not os.path.exists(path):  # noqa: PTH110, PTH114
        return f"a link to {os.readlink(path)}, which is not there: restore it"  # noqa: PTH115
    return None


def _counted(skipped: Counter[str]) -> str:
    """The commonest first, such as ``12 .txt, 3 hidden files``."""
    return ", ".join(f"{count} {kind}" for kind, count in skipped.most_common())
