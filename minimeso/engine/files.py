"""Files whose content is not trusted: read whole up to a limit, written at once or not at all.

Nothing here uses ``pathlib`` before a file is written: its import takes as long as a model's load.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import stat
from typing import Any

from ..beside import make_beside, move_to, name_beside
from ..errors import ModelError, OutputError


def read_file(path: str | os.PathLike[str], size_limit: int) -> bytes:
    """All bytes of a regular file.

    Raises:
        ModelError: the file is missing, no regular one, or larger than ``size_limit`` bytes.
    """
    where = os.fspath(path)
    try:
        if not stat.S_ISREG(os.stat(where).st_mode):  # noqa: PTH116 - opening a pipe would wait
            raise ModelError(f"{where}: not a regular file")
        with open(where, "rb") as file:  # noqa: PTH123
            size = os.fstat(file.fileno()).st_size
            if size > size_limit:
                raise ModelError(f"{where}: {size} bytes, more than the limit of {size_limit}")
            data = file.read(size + 1)
    except ModelError:
        raise
    except OSError as error:
        raise ModelError(f"{where}: cannot be read: {error.strerror or error}") from None
    except ValueError as error:  # not a path at all
        raise ModelError(f"{where!r}: cannot be read: {error}") from None
    if len(data) > size_limit:
        raise ModelError(f"{where}: more than the limit of {size_limit} bytes")
    return data


def parse_object(text: bytes, where: str, what: str) -> dict[str, Any]:
    """The JSON object that ``text`` is; every number in it is finite.

    Raises:
        ModelError: it is no JSON object; the message begins with ``where`` and names ``what``.
    """

    def finite(number: str) -> float:
        if not math.isfinite(float(number)):
            raise ValueError(f"{number} is not a finite number")
        return float(number)

    try:
        found = json.loads(text.decode(), parse_constant=finite, parse_float=finite)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{where}: {what} is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise ModelError(f"{where}: {what} is not an object")
    return found


def check_not_over(path: str | os.PathLike[str], *others: str | os.PathLike[str]) -> None:
    """``OutputError`` if a file that is written to ``path`` would take the place of another one,
    by whatever name or link."""
    for other in others:
        is_same = False
        with contextlib.suppress(OSError):  # one of them is not there, or the current folder
            is_same = os.path.realpath(path) == os.path.realpath(other)
            is_same = is_same or os.path.samefile(path, other)  # noqa: PTH121 (case may not count)
        if is_same:
            what = f"{os.fsdecode(path)}: would take the place of {os.fsdecode(other)}"
            raise OutputError(f"{what}: name another one")


def write_file(path: str | os.PathLike[str], data: bytes) -> None:
    """Write at once or not at all; a link is followed, what was there before is replaced, and its
    rights stay.

    Raises:
        OutputError: there is a folder, pipe or device, which root could replace, too.
        OSError: the folder cannot be written.
    """
    from pathlib import Path  # not above: who only loads models need not wait for it

    given = os.fsdecode(path)
    path = Path(os.path.realpath(given))  # Path.resolve fails on links in a circle
    if path.exists() and not path.is_file():
        raise OutputError(f"{given}: is no regular file: name another one")
    temporary = name_beside(str(path))
    try:
        try:
            handle, rights = make_beside(temporary, str(path))
        except OSError as error:
            error.filename = given  # nobody knows the name of the temporary one
            raise
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        move_to(str(path), temporary, rights)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
