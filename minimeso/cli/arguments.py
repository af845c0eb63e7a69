"""Arguments that several commands share, and what they may be."""

from __future__ import annotations

import argparse
from collections.abc import Callable

_MAX_THREADS = 1024


def add_engine_arguments(parser: argparse.ArgumentParser, threads_help: str) -> None:
    """``--threads`` and ``--isa``, the same in every command that runs a network."""
    parser.add_argument(
        "--threads", type=whole_number(_MAX_THREADS), metavar="N", help=threads_help
    )
    parser.add_argument(
        "--isa",
        metavar="NAME",
        help="instruction set: scalar, sse2, avx2, avx512 or neon; default: the environment's "
        "MINIMESO_ISA, else the fastest that this machine has",
    )


def add_json_argument(parser: argparse.ArgumentParser, what: str) -> None:
    """``--json``."""
    parser.add_argument("--json", action="store_true", help=f"print JSON: {what}")


def whole_number(most: int) -> Callable[[str], int]:
    """A type for argparse: whole numbers from 1 to ``most``."""

    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = 0
        if not 1 <= number <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to {most}")
        return number

    return parse


def positive_number(most: float) -> Callable[[str], float]:
    """A type for argparse: numbers above 0 and at most ``most``."""

    def parse(text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = 0.0
        if not 0 < number <= most:
            limit = f"{most:.0f}" if most == int(most) else f"{most:g}"
            raise argparse.ArgumentTypeError(
                f"{text!r} is not a number above 0 and at most {limit}"
            )
        return number

    return parse


def fraction(text: str) -> float:
    """A type for argparse: numbers above 0 and below 1."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0 and below 1")
    return number


def frame_size(max_side: int) -> Callable[[str], tuple[int, int]]:
    """A type for argparse: ``WIDTHxHEIGHT``, each from 1 to ``max_side``."""

    def parse(text: str) -> tuple[int, int]:
        width, _, height = text.lower().partition("x")
        if not (width.isdecimal() and height.isdecimal() and len(text) < 20):
            raise argparse.ArgumentTypeError(f"{text!r} is not WIDTHxHEIGHT, such as 1280x720")
        size = int(width), int(height)
        if not (0 < size[0] <= max_side and 0 < size[1] <= max_side):
            raise argparse.ArgumentTypeError(f"{text!r}: each side must be 1 to {max_side}")
        return size

    return parse
