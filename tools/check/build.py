"""Compiles C programs from the engine's sources, for this machine or another one."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tools.errors import ToolError

ROOT = Path(__file__).resolve().parents[2]
CSRC = ROOT / "csrc"
CHECKS = ROOT / "tests" / "native"
COMMON = ("-std=c11", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror")

#: The kernel check: source -> flags of its own.
KERNEL_CHECK: dict[str, list[str]] = {
    "check_kernels.c": [],
    "check_crops.c": [],
    "resize.c": [],
    "cpu.c": [],
    "kernels.c": [],
    **{path.name: [] for path in sorted(CSRC.glob("kernels_*.c"))},
    "kernels_scalar.c#fma": [
        *("-DMM_SCALAR_FMA", "-DMM_TABLE=mm_kernels_scalar_fma"),
        *("-include", str(CHECKS / "right_fmaf.h")),
    ],
}


def network_check() -> dict[str, list[str]]:
    """``run_networks.c`` with the whole engine."""
    engine = sorted(path.name for path in CSRC.glob("*.c"))
    return {"run_networks.c": [], **{name: [] for name in engine}}


def run(command: Sequence[str | Path], **environment: str) -> str:
    """What it prints.

    Raises:
        ToolError: its exit status is not 0.
    """
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )
    if done.returncode:
        what = " ".join(map(str, command))[:500]
        said = done.stdout[-3000:] + done.stderr[-3000:]
        raise ToolError(f"{what} ended with {done.returncode}:\n{said}")
    return done.stdout


def build(
    folder: Path,
    compiler: Sequence[str],
    flags: Sequence[str],
    sources: Mapping[str, Sequence[str]],
    csrc: Path = CSRC,
    program: str = "program",
    link: Sequence[str] = ("-lm", "-pthread"),
) -> Path:
    """Compile each source with its own flags and link; returns the program.

    ``kernels_scalar.c#fma`` is ``kernels_scalar.c`` once more, under other flags.  Sources are
    looked for among the checks, beside this module and in ``csrc``.
    """
    places = (CHECKS, Path(__file__).parent, csrc)
    common = [*COMMON, *flags, f"-I{csrc}", f"-I{folder}"]

    def compiled(source: str, own: Sequence[str]) -> Path:
        name = source.partition("#")[0]
        path = next(place / name for place in places if (place / name).exists())
        target = folder / f"{program}-{source}.o"
        run([*compiler, *common, *own, "-c", path, "-o", target])
        return target

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        objects = list(pool.map(compiled, sources.keys(), sources.values()))
    output = folder / f"{program}.exe"  # nobody minds the ending, and Windows wants it
    run([*compiler, *flags, *objects, "-o", output, *link])
    return output
