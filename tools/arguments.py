"""Values of command-line options, checked as they are read: for ``type`` of ``add_argument``."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from pathlib import Path


def name_list(known: Iterable[str]) -> Callable[[str], list[str]]:
    """NAME,... of the ``known`` ones."""
    choices = list(known)

    def read(text: str) -> list[str]:
        found = text.split(",")
        for name in found:
            if name not in choices:
                raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(choices)}")
        return found

    return read


def number(most: int) -> Callable[[str], int]:
    """A number from 1 to ``most``."""

    def read(text: str) -> int:
        if not text.isdecimal() or not 1 <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to {most}")
        return int(text)

    return read


def number_list(most: int) -> Callable[[str], list[int]]:
    """N,... each from 1 to ``most``."""
    one = number(most)
    return lambda text: [one(part) for part in text.split(",")]


def input_file(text: str) -> Path:
    """A file that is there."""
    path = Path(text)
    if not path.is_file():
        raise argparse.ArgumentTypeError(f"{text!r} is no file")
    return path


def output_file(text: str) -> Path:
    """A file to be written; whether it can be is better known before hours of measuring."""
    path = Path(text)
    if path.is_dir() or not path.parent.is_dir():
        raise argparse.ArgumentTypeError(
            f"{text!r} cannot be written: no such folder, or one itself"
        )
    return path
