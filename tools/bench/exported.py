"""How large an exported network is, compiled for some machines: python -m tools.bench.exported

Of each compiler that is found: bytes of code and constants beside the weights, those of the
weights, and of the arena that the caller provides.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from minimeso.cli.output import table
from minimeso.engine import bundled_models, find_model
from minimeso.export import Export, export, write
from tools.arguments import name_list

DEFAULT = "meso4-leaky_relu,mesoinception4-mish,efficientnet-lite0"


class Target(NamedTuple):
    """A machine by its compiler, the program that tells sizes there, and flags."""

    machine: str
    compiler: str
    size: str
    flags: tuple[str, ...]


TARGETS = (
    Target("x86-64, all sets", "gcc", "size", ("-O2",)),
    Target("x86-64, scalar", "gcc", "size", ("-Os", "-DMINIMESO_SCALAR")),
    Target("aarch64", "aarch64-linux-gnu-gcc", "aarch64-linux-gnu-size", ("-O2",)),
    Target("aarch64, scalar", "aarch64-linux-gnu-gcc", "aarch64-linux-gnu-size",
           ("-Os", "-DMINIMESO_SCALAR")),
    Target("armv7", "arm-linux-gnueabihf-gcc", "arm-linux-gnueabihf-size", ("-Os",)),
)  # fmt: skip


def code_bytes(exported: Export, target: Target, folder: Path) -> int:
    """Bytes of an object file without the weights.

    Raises:
        CalledProcessError: it does not compile.
    """
    write(exported.files, folder)
    made = folder / "network.o"
    source = folder / f"{exported.name}.c"
    subprocess.run(
        [target.compiler, "-std=c11", *target.flags, "-c", source, "-o", made], check=True
    )
    told = subprocess.run([target.size, made], check=True, capture_output=True, text=True).stdout
    found = re.search(r"^\s*(\d+)\s+(\d+)\s+\d+", told, re.MULTILINE)
    assert found is not None, told
    return int(found[1]) + int(found[2]) - exported.weight_bytes


def rows(names: list[str]) -> list[list[str]]:
    """A row for each network and machine, under a head."""
    found = [["network", "machine", "flags", "code", "weights", "arena"]]
    targets = [t for t in TARGETS if shutil.which(t.compiler) and shutil.which(t.size)]
    for name in names:
        exported = export(find_model(name))
        for target in targets:
            with tempfile.TemporaryDirectory() as folder:
                code = code_bytes(exported, target, Path(folder))
            sizes = (code, exported.weight_bytes, exported.public.arena_bytes)
            found.append(
                [name, target.machine, " ".join(target.flags), *(f"{size:,}" for size in sizes)]
            )
    return found


def main(argv: list[str] | None = None) -> int:
    """Print the table; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.bench.exported", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument(
        "--models", type=name_list(bundled_models()), default=DEFAULT.split(","),
        metavar="NAME,...", help=f"default: {DEFAULT}",
    )  # fmt: skip
    options = parser.parse_args(argv)
    for target in TARGETS:
        if not shutil.which(target.compiler):
            print(f"{target.machine}: no {target.compiler}", file=sys.stderr)
    for line in table(rows(options.models), right=[3, 4, 5]):
        print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
