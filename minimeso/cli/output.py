"""What the commands print: lines that any terminal can take, JSON, tables."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import sys
from collections.abc import Sequence
from typing import Any, TextIO

from ..errors import OutputError

#: Exit statuses, see ``minimeso.cli``.
SOME_WRONG, USAGE, SOME_UNREADABLE, NOT_WRITTEN = 1, 2, 3, 4
FAILED = 70
INTERRUPTED, BROKEN_PIPE, TERMINATED = 130, 141, 143


class StdoutError(OutputError):
    """Stdout takes nothing more.

    Attributes:
        is_broken_pipe: nobody reads it any longer, which is no fault.
    """

    def __init__(self, error: OSError) -> None:
        super().__init__(f"the output cannot be written: {error.strerror or error}")
        self.is_broken_pipe = isinstance(error, BrokenPipeError)


def printable(text: str) -> str:
    r"""``text`` on one line; what no terminal should get is escaped, as ``\n`` and ``\x1b``."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def line(text: str = "") -> None:
    """Print a line of data, at once, whatever the encoding of stdout can hold."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    _write(text.encode(encoding, "backslashreplace").decode(encoding))


def json_line(data: Any) -> None:
    """Print JSON on one line, at once; pure ASCII, so every encoding will do."""
    _write(json.dumps(data, allow_nan=False))


def _write(text: str) -> None:
    """Print a line on stdout; ``StdoutError`` if that fails."""
    if sys.stdout is None:  # print would say nothing, and nobody would know
        raise StdoutError(OSError(errno.EBADF, "it is closed"))
    try:
        print(text, flush=True)
    except OSError as error:
        raise StdoutError(error) from None


def columns(stream: TextIO | None = None) -> int:
    """Of the terminal that a stream is (by default stdout), as ``shutil.get_terminal_size`` finds
    them; else 80."""
    with contextlib.suppress(KeyError, ValueError):
        if (number := int(os.environ["COLUMNS"])) > 0:
            return number
    with contextlib.suppress(AttributeError, ValueError, OSError):
        # None without a console: the AttributeError is suppressed
        fileno = (stream or sys.__stdout__).fileno()  # type: ignore[union-attr]
        return os.get_terminal_size(fileno).columns or 80
    return 80


def message(text: str) -> None:
    """Tell the person something on stderr, if there is one."""
    if sys.stderr is None:  # print would take stdout
        return
    with contextlib.suppress(OSError):  # there is nowhere left to say so
        print(f"minimeso: {printable(text)}", file=sys.stderr, flush=True)


def table(rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> list[str]:
    """Rows (the first is the head) as lines of aligned columns; those in ``right`` end flush."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
