"""``minimeso export``: a network as C that needs no Python."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import OutputError
from .arguments import add_json_argument, frame_size
from .output import json_line, line

if TYPE_CHECKING:
    from ..export import Export

HELP = "write a network as plain C11"
DETAILS = (
    "OUT gets one .c and one .h for each network, with its weights and the kernels that it needs; "
    "for a detector an example that judges a face; and a page that says how to compile them. They "
    "need nothing of the C library but memcpy, memmove, memset, strcmp and a little of math.h, and "
    "give the same bits as in Python. A pair is exported as its two networks."
)
EXAMPLES = """\
  minimeso export mesoinception4-mish out/
  minimeso export my_network.npz out/ --size 320x240 --floats
  minimeso export default out/ --plan --library"""
#: Of a picture, as of the engine's own limit of memory.
_MAX_SIDE = 1 << 13


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    add = parser.add_argument
    add("model", metavar="MODEL", help="bundled model or pair, or a file of one")
    add("out", metavar="OUT", help="folder, made if it is missing; files in it are replaced")
    add("--size", type=frame_size(_MAX_SIDE), metavar="WIDTHxHEIGHT",
        help="of the picture; for a network that takes any size")  # fmt: skip
    add("--floats", action="store_true",
        help="pictures are float32 (3, H, W) from 0 to 1, not bytes (H, W, 3)")  # fmt: skip
    add("--plan", action="store_true",
        help="a plan file for the installed C library in place of C")  # fmt: skip
    add("--library", action="store_true",
        help="besides, that library, static and shared, its header and minimeso.pc")  # fmt: skip
    add("--crop", action="store_true",
        help="besides, minimeso_crop.c: cuts a face out of a picture and scales it")  # fmt: skip
    add("--name", metavar="PREFIX", help="of files and functions; default: from the model's name")
    add_json_argument(parser, "one object for each network")


def run(options: argparse.Namespace) -> int:
    """Export; returns the exit status."""
    from ..detect.pair import ENDING, detector_path, load_pair
    from ..engine import find_model
    from ..errors import InputError
    from ..export import crop_files, export, write, write_library

    path = detector_path(options.model)
    pair = load_pair(path) if path.endswith(ENDING) else None
    models = [pair.fast, pair.thorough] if pair else [find_model(options.model)]
    if options.name and pair:
        raise InputError("--name is for one network: export those of a pair one by one")
    exports = [
        export(
            model,
            _shapes(model.graph.inputs, options.size),
            name=options.name,
            as_bytes=False if options.floats else None,
            as_plan=options.plan,
        )
        for model in models
    ]
    if pair and (shared := set(exports[0].files) & set(exports[1].files)):
        raise InputError(
            f"{pair.fast.name} and {pair.thorough.name} would both be {min(shared)}: export them "
            "one by one, with --name"
        )
    folder = Path(options.out)
    try:
        for exported in exports:
            write(exported.files, folder)
        if options.crop:
            write(crop_files(), folder)
        if options.library:
            write_library(folder, os.environ.get("CC") or "cc")
    except OutputError:
        raise
    except OSError as error:
        # without a number it is our own, of a package that is not whole, and has its remedy
        reason = f"{error.strerror}: name a folder" if error.strerror else error
        raise OutputError(f"{options.out}: cannot be written: {reason}") from None
    for exported in exports:
        if options.json:
            json_line(_facts(exported))
        else:
            line(
                f"{folder / next(iter(exported.files))}: weights {exported.weight_bytes:,} bytes, "
                f"arena {exported.public.arena_bytes:,} bytes"
            )
    return 0


def _shapes(declared: Any, size: tuple[int, int] | None) -> dict[str, tuple[int, ...]]:
    """The declared shapes, with the size where they take any."""
    from ..errors import InputError

    shapes = {}
    for name, shape in declared.items():
        if None in shape and size is None:
            raise InputError(f"input {name!r} takes any size: say which, with --size WIDTHxHEIGHT")
        if size is not None and len(shape) == 3:
            shape = (shape[0], size[1], size[0])
        shapes[name] = shape
    return shapes


def _facts(exported: Export) -> dict[str, Any]:
    return {
        "name": exported.name,
        "files": sorted(exported.files),
        "weight_bytes": exported.weight_bytes,
        "arena_bytes": exported.public.arena_bytes,
    }
