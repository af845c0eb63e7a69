"""Arguments that several commands share, and what they may be."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..detect import Detector

_MAX_THREADS = 1024
FINDER = "yunet-s"
#: Frames a second and pixels of a face.
_MOST = 1000
#: Memory, in MiB.
MOST_MIB = 1 << 24
#: What ``--fail-on`` takes -> the verdicts that it means.
FAILING = {"fake": ("fake",), "uncertain": ("fake", "uncertain")}


def add_detector_arguments(parser: argparse.ArgumentParser) -> None:
    """What a verdict depends on, the same in every command that judges."""
    add = parser.add_argument
    add("--model", default="default", metavar="NAME|FILE",
        help="bundled model or pair, or a file of one")  # fmt: skip
    add("--fast", action="store_true",
        help="of a pair of networks, leave out the thorough one")  # fmt: skip
    add("--finder", default=FINDER, metavar="NAME|FILE",
        help="what finds faces: yunet-s, or yunet-n, better at small and tilted ones")  # fmt: skip
    add("--min-face", type=positive_number(_MOST), metavar="PIXELS",
        help="smallest face to search for; default: 40, more in large pictures; those under 50 "
        "are not judged")  # fmt: skip
    add("--crops", action="store_true",
        help="every picture is a face already: judge it as a whole")  # fmt: skip
    add("--prior", type=fraction, default=0.5, metavar="P",
        help="share of files like these in which you expect a swapped face, above 0 and below 1, "
        "such as 0.05; default 0.5")  # fmt: skip
    add(
        "--fps",
        type=positive_number(_MOST),
        metavar="N",
        help="frames of a clip to judge in a second; default 4",
    )
    add("--every-frame", action="store_true", help="judge all frames of a clip")
    add("--max-pixels", type=positive_number(1 << 32), metavar="N",
        help="of a picture; a larger JPEG is decoded at a half to an eighth of it, others are "
        "refused; default: 50 million, of others 179 million")  # fmt: skip


def check_detector_arguments(options: argparse.Namespace) -> None:
    """``InputError`` where arguments of detectors exclude each other."""
    from ..errors import InputError

    if options.fps is not None and options.every_frame:
        raise InputError("--fps and --every-frame exclude each other")
    if options.crops and (options.min_face is not None or options.finder != FINDER):
        raise InputError("--crops searches for no faces: not with --min-face or --finder")


def detector_settings(options: argparse.Namespace) -> dict[str, Any]:
    """What the arguments of detectors tell one, by the names of ``Detector``."""
    names = ("model", "fast", "finder", "min_face", "crops", "prior", "isa")
    most = options.max_pixels
    return {name: getattr(options, name) for name in names} | {"max_pixels": most and int(most)}


def detector_of(options: argparse.Namespace) -> Detector:
    """The detector that the arguments ask for."""
    from ..detect import Detector

    return Detector(**detector_settings(options), threads=options.threads)


def looked_at(options: argparse.Namespace) -> dict[str, str]:
    """How frames and faces were chosen, for the reader of a report: nothing about the place."""
    from ..detect.prior import EVEN
    from ..media.clip import DEFAULT_FPS

    frames = "every one" if options.every_frame else f"{options.fps or DEFAULT_FPS:g} a second"
    finder = os.path.basename(options.finder)  # noqa: PTH119
    faces = "every picture is one" if options.crops else f"found by {finder}"
    if options.min_face is not None:
        faces += f", from {options.min_face:g} pixels on"
    told = {"Frames of a clip": frames, "Faces": faces}
    if options.prior != EVEN:
        told["Prior"] = f"{of_prior(options.prior)} % of files are taken to have a swapped face"
    return told


def of_prior(prior: float) -> str:
    """``5`` of 0.05, however small; one below 1 is not 100."""
    text = f"{100 * prior:.3g}"
    return ">99.9" if text == "100" else text


def add_fail_on_argument(parser: argparse.ArgumentParser, where: str) -> None:
    """``--fail-on``."""
    parser.add_argument(
        "--fail-on",
        choices=list(FAILING),
        help=f"exit status 1 if a file of the {where} is fake; with `uncertain`, fake or uncertain",
    )


def add_engine_arguments(parser: argparse.ArgumentParser, threads_help: str) -> None:
    """``--threads`` and ``--isa``, the same in every command that runs a network."""
    parser.add_argument(
        "--threads", type=whole_number(_MAX_THREADS), metavar="N", help=threads_help
    )
    add_isa_argument(parser)


def add_isa_argument(parser: argparse.ArgumentParser) -> None:
    """``--isa``."""
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
