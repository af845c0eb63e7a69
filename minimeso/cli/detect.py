"""``minimeso detect``: pictures and folders of pictures in, one verdict a line out."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from .output import (
    Progress,
    add_engine_arguments,
    add_json_argument,
    json_line,
    line,
    message,
    printable,
)

if TYPE_CHECKING:
    from ..detect import Detector, Verdict

HELP = "say of pictures whether the face in them was swapped"
DETAILS = (
    "p_fake is the probability that it was, as the model sees it; it proves nothing. A picture "
    "that cannot be read gets a line with the reason, the others are still judged. Exit status: "
    "0 all judged, 2 wrong usage, 3 some input could not be read or only in part."
)
EXAMPLES = """\
  minimeso detect face.jpg
  minimeso detect holiday/ --json > verdicts.jsonl
  minimeso detect *.png --model my_model.npz --threads 1"""

SOME_UNREADABLE = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument(
        "paths",
        nargs="+",
        metavar="PATH",
        help="a picture, or a folder: all pictures in it and below, but for hidden ones",
    )
    parser.add_argument(
        "--model", default="default", metavar="NAME|FILE", help="bundled model or model file"
    )
    add_engine_arguments(parser, "threads for one picture; default: one per available core")
    add_json_argument(parser, "one object a line for each picture")


def run(options: argparse.Namespace) -> int:
    """Judge everything; returns the exit status."""
    from ..detect import Detector

    detector = Detector(options.model, threads=options.threads, isa=options.isa)
    inputs = list(_inputs(options.paths))
    progress = Progress(len(inputs))
    status = 0
    for number, (path, reason) in enumerate(inputs, start=1):
        progress.show(number, path)
        try:
            verdict = _verdict(detector, path, reason)
        finally:
            progress.clear()
        if options.json:
            json_line(verdict.to_json())
        else:
            line(_sentence(verdict))
        if verdict.status in ("unreadable", "partial"):
            status = SOME_UNREADABLE
    return status


def _inputs(paths: Sequence[str]) -> Iterator[tuple[str, str | None]]:
    """Every picture by its path, or a folder and the reason why nobody can look into it."""
    for path in paths:
        if not os.path.isdir(path):  # noqa: PTH112 (Path would change how the name is written)
            yield path, None
            continue
        found = _in_folder(path)
        if not found:
            message(f"{path}: no pictures in it")
        yield from found


def _in_folder(folder: str) -> list[tuple[str, str | None]]:
    from ..detect.pictures import PICTURE_ENDINGS

    found: list[tuple[str, str | None]] = []

    def refused(error: OSError) -> None:
        found.append((error.filename, f"{error.strerror}: ask for the right to read it"))

    for place, folders, files in os.walk(folder, onerror=refused):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            if name.lower().endswith(PICTURE_ENDINGS) and not name.startswith("."):
                found.append((os.path.join(place, name), None))  # noqa: PTH118
    return sorted(found)


def _verdict(detector: Detector, path: str, reason: str | None) -> Verdict:
    from ..detect import Verdict

    if reason is None:
        return detector.check(path)
    return Verdict(path, "unreadable", None, None, (), detector.model.name, reason)


def _sentence(verdict: Verdict) -> str:
    """One line for a person: word, probability, path, remark."""
    score = "" if verdict.p_fake is None else f"p_fake {100 * verdict.p_fake:5.1f} %"
    remark = f"  ({verdict.note})" if verdict.note else ""
    return f"{verdict.verdict or verdict.status:<10}  {score:14}  " + printable(
        f"{verdict.path}{remark}"
    )
