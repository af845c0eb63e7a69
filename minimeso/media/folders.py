"""Folders: the pictures and clips in them and below, and what in them is not looked at.

They are found one by one, so a folder may hold any number of them.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple

from .formats import PICTURE_ENDINGS, RAW, SIGNATURE_BYTES, format_of
from .kinds import CLIP_ENDINGS
from .pictures import Unreadable, open_regular


class Found(NamedTuple):
    """A picture or clip, or what may be one.

    Attributes:
        path: the folder's as it was given, and what is below it.
        fault: why it cannot be judged at all, if so.
    """

    path: str
    fault: str | None = None


def files_in(
    folder: str, skipped: Counter[str], listed: Callable[[str], None] | None = None
) -> Iterator[Found]:
    """Pictures and clips in a folder and below, folder by folder, in each by name.

    Linked folders are followed, and each folder is entered once; one that stays closed is found,
    too, with its reason.

    Args:
        folder: where to look.
        skipped: what is not looked at is counted here by its kind.
        listed: called with the path of each folder that could be listed.
    """
    entered: set[tuple[int, int]] = set()
    refused: list[Found] = []

    def refuse(error: OSError) -> None:
        refused.append(Found(error.filename, f"{error.strerror}: ask for the right to read it"))

    for place, folders, files in os.walk(folder, onerror=refuse, followlinks=True):
        yield from _taken(refused)
        if not _enter(place, entered):
            folders.clear()
            continue
        if listed is not None:
            listed(place)
        hidden = [name for name in folders if name.startswith(".")]
        if hidden:
            skipped["hidden folders"] += len(hidden)
        folders[:] = sorted(set(folders) - set(hidden))
        for name in sorted(files):
            path = os.path.join(place, name)  # noqa: PTH118
            kind = skipped_kind(name, path)
            if kind is None:
                yield Found(path, fault_of_link(path))
            else:
                skipped[kind] += 1
    yield from _taken(refused)


def _taken(found: list[Found]) -> list[Found]:
    taken = list(found)
    found.clear()
    return taken


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


def skipped_kind(name: str, path: str | None = None) -> str | None:
    """What kind of file it is that nobody looks at; ``None`` for a picture or clip.

    Args:
        name: of the file, without its folder.
        path: where its content can be looked at if the name has no ending, or that of raw files.
    """
    if name.startswith("."):
        return "hidden files"
    if name.lower().endswith((*PICTURE_ENDINGS, *CLIP_ENDINGS)):
        return None
    ending = os.path.splitext(name)[1].lower()  # noqa: PTH122
    if ending and path is not None and _is_raw(ending, path):
        return f"{ending} (raw files of a camera: develop and save them as JPEG)"
    if ending:
        return ending
    return None if path is not None and _begins_like_media(path) else "without an ending"


def _is_raw(ending: str, path: str) -> bool:
    from .camera_raw import RAW_ENDINGS, is_raw_tiff

    if ending not in RAW_ENDINGS:
        return False
    try:
        with open_regular(path) as file:
            name = format_of(file.read(SIGNATURE_BYTES))
            return name == RAW or (name == "TIFF" and is_raw_tiff(file))
    except (OSError, Unreadable):
        return False


def _begins_like_media(path: str) -> bool:
    try:
        with open_regular(path) as file:
            start = file.read(SIGNATURE_BYTES)
    except (OSError, Unreadable):
        return False
    from .containers import begins_like_a_clip

    return format_of(start) is not None or begins_like_a_clip(start)


def fault_of_link(path: str) -> str | None:
    """Why a link leads nowhere, if it does."""
    if os.path.islink(path) and not os.path.exists(path):  # noqa: PTH110, PTH114
        return f"a link to {os.readlink(path)}, which is not there: restore it"  # noqa: PTH115
    return None


def counted(skipped: Counter[str]) -> str:
    """The commonest first, such as ``12 .txt, 3 hidden files``."""
    return ", ".join(f"{count} {kind}" for kind, count in skipped.most_common())
