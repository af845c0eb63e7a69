"""Building and running C programs that hold the engine's sources to their word."""

from __future__ import annotations

import shutil
from pathlib import Path

from tools.check.build import CHECKS, CSRC, KERNEL_CHECK, run
from tools.check.build import build as build_by

__all__ = ["COMPILERS", "CSRC", "HERE", "KERNEL_CHECK", "SANITIZE", "build", "run"]

HERE = CHECKS
COMPILERS = [c for c in ("gcc", "clang", "cc") if shutil.which(c)]
SANITIZE = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g"]


def build(
    folder: Path,
    compiler: str,
    flags: list[str],
    sources: dict[str, list[str]],
    csrc: Path = CSRC,
) -> Path:
    """Compile each source with its own flags and link; returns the program."""
    return build_by(folder, [compiler], flags, sources, csrc)
