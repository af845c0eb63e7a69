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


#: Windows' shells leave wildcards to the programs.
_SHELL_EXPANDS_NOTHING = os.name == "nt"


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
    from ..media.folders import counted, fault_of_link, files_in

    inputs: list[Input] = []
    skipped: Counter[str] = Counter()
    for path in _expanded(paths) if _SHELL_EXPANDS_NOTHING else paths:
        if path == STDIN:
            closed = sys.stdin is None
            inputs.append(
                Input(path, "it is closed: send a picture or raw frames" if closed else None)
            )
        elif os.path.isdir(path):  # noqa: PTH112 (Path changes how it is written)
            found = [Input(*file) for file in files_in(path, skipped)]
            found.sort(key=lambda one: one.path)
            if not found:
                message(f"{path}: no pictures or clips in it")
            inputs += found
        else:
            inputs.append(Input(path, fault_of_link(path)))
    if skipped:
        message(f"not looked at: {counted(skipped)}")
    return inputs


def _expanded(paths: Sequence[str]) -> list[str]:
    """Paths in place of wildcards; what none matches stays, and is said not to be there."""
    from glob import glob, has_magic

    found: list[str] = []
    for path in paths:
        is_pattern = has_magic(path) and not os.path.lexists(path)  # [1] may be a name
        here = glob(path) if is_pattern else []  # noqa: PTH207 (Path changes how they are written)
        found += sorted(here) or [path]
    return found
