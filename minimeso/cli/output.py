"""What the commands share: arguments, lines that any terminal can take, JSON, tables, progress."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from typing import Any

#: Exit status after Ctrl-C.
INTERRUPTED = 130
_MAX_THREADS = 1024
#: Fewer steps than this are over before a person wonders.
_PROGRESS_FROM = 10


def add_engine_arguments(parser: argparse.ArgumentParser, threads_help: str) -> None:
    """``--threads`` and ``--isa``, the same in every command that runs a network."""
    parser.add_argument("--threads", type=_threads, metavar="N", help=threads_help)
    parser.add_argument(
        "--isa",
        metavar="NAME",
        help="instruction set: scalar, sse2, avx2, avx512 or neon; default: the environment's "
        "MINIMESO_ISA, else the fastest that this machine has",
    )


def add_json_argument(parser: argparse.ArgumentParser, what: str) -> None:
    """``--json``."""
    parser.add_argument("--json", action="store_true", help=f"print JSON: {what}")


def _threads(text: str) -> int:
    try:
        threads = int(text)
    except ValueError:
        threads = 0
    if not 1 <= threads <= _MAX_THREADS:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to {_MAX_THREADS}")
    return threads


def printable(text: str) -> str:
    r"""``text`` on one line; what no terminal should get is escaped, as ``\n`` and ``\x1b``."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def line(text: str = "") -> None:
    """Print a line of data, at once, whatever the encoding of stdout can hold."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding), flush=True)


def json_line(data: Any) -> None:
    """Print JSON on one line, at once; pure ASCII, so every encoding will do."""
    print(json.dumps(data, allow_nan=False), flush=True)


def message(text: str) -> None:
    """Tell the person something on stderr."""
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


class Progress:
    """One line on stderr that says how far a long job is; silent unless a person looks at it."""

    def __init__(self, total: int) -> None:
        self._total = total
        stream = sys.stderr
        self._shown = total >= _PROGRESS_FROM and stream is not None and stream.isatty()

    def show(self, number: int, text: str) -> None:
        """Say that step ``number`` (from 1) is under way."""
        if self._shown:
            columns = shutil.get_terminal_size().columns
            state = printable(f"{number}/{self._total} {text}")[: columns - 1]
            encoding = sys.stderr.encoding or "utf-8"
            state = state.encode(encoding, "backslashreplace").decode(encoding)
            print(f"\r\x1b[K{state}", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Remove the line, so that something else can be printed."""
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
