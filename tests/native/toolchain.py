"""Building and running C programs that hold the engine's sources to their word."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
CSRC = HERE.parent.parent / "csrc"
COMPILERS = [c for c in ("gcc", "clang", "cc") if shutil.which(c)]
SANITIZE = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g"]


def run(command: Sequence[str | Path], **environment: str) -> str:
    """What it prints; its exit status must be 0."""
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def build(
    folder: Path,
    compiler: str,
    flags: list[str],
    sources: dict[str, list[str]],
    csrc: Path = CSRC,
) -> Path:
    """Compile each source with its own flags and link; returns the program.

    ``kernels_scalar.c#fma`` is ``kernels_scalar.c`` once more, under other flags.
    """
    common = ["-std=c11", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror", *flags]
    common += [f"-I{csrc}"]

    def compiled(source: str, own: list[str]) -> Path:
        name = source.partition("#")[0]
        path = HERE / name if (HERE / name).exists() else csrc / name
        target = folder / f"{source}.o"
        run([compiler, *common, *own, "-c", path, "-o", target])
        return target

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        objects = list(pool.map(compiled, sources.keys(), sources.values()))
    program = folder / "program"
    run([compiler, *flags, *objects, "-o", program, "-lm", "-pthread"])
    return program
