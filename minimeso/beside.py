"""A new file beside a place, to be written there and then moved to it.

``tempfile.mkstemp`` makes files that nobody but their owner can read, and a ``chmod`` after it
would show everybody what was to stay private: here a file has the rights that the system gives to
any new one, or those of the file whose place it takes.  Its name is known before it is there, so
that whoever is interrupted while it is made can remove it.
"""

from __future__ import annotations

import contextlib
import os
import stat


def name_beside(place: str, ending: str = "") -> str:
    """A free name in the folder of a place, an absolute path; not of the place's own name, which
    may be as long as a name can be."""
    folder = os.path.dirname(place)  # noqa: PTH120 (pathlib's import takes time, and so below)
    while True:
        path = os.path.join(folder, f".{os.urandom(4).hex()}.part{ending}")  # noqa: PTH118
        if not os.path.lexists(path):
            return path


def make_beside(path: str, place: str) -> tuple[int, int]:
    """Make the file of ``name_beside``.

    Returns:
        A handle that writes to it, and the rights that it gets by ``move_to``.

    Raises:
        OSError: the folder is missing or cannot be written.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    handle = os.open(path, flags, 0o666)
    rights = stat.S_IMODE(os.fstat(handle).st_mode)
    owners = stat.S_IRUSR | stat.S_IWUSR
    if rights & owners != owners:  # a mask that forbids us to write what we have made
        os.chmod(path, rights | owners)  # noqa: PTH101
    with contextlib.suppress(OSError):  # nothing is there yet
        rights = stat.S_IMODE(os.stat(place).st_mode) & 0o777  # noqa: PTH116
    return handle, rights


def move_to(place: str, path: str, rights: int) -> None:
    """Put the file into its place; what was there is gone.

    Raises:
        OSError: it cannot be put there.
    """
    if stat.S_IMODE(os.stat(path).st_mode) != rights:  # noqa: PTH116
        with contextlib.suppress(OSError):  # a disk without rights, as of a camera
            os.chmod(path, rights)  # noqa: PTH101
    os.replace(path, place)  # noqa: PTH105
