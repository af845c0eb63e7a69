"""Builds and runs exported networks."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from minimeso import Model, Session
from minimeso.export import Export, write

WARNINGS = ("-std=c11", "-Wall", "-Wextra", "-pedantic", "-Werror")
Arrays = Mapping[str, npt.NDArray[Any]]


def run(*command: str | Path, data: bytes = b"") -> bytes:
    """What it prints; its exit status must be 0, and there are no warnings."""
    done = subprocess.run([*map(str, command)], input=data, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    assert not done.stderr, done.stderr.decode()[-3000:]
    return done.stdout


def compiled(exported: Export, folder: Path, compiler: str, *flags: str) -> Path:
    """A program that reads all inputs from stdin and writes all outputs; it is told the instruction
    set."""
    write(exported.files, folder)
    main = folder / f"{exported.name}_main.c"
    main.write_text(_main(exported))
    program = folder / f"{exported.name}-{compiler}"
    sources = [folder / f"{exported.name}.c", main]
    run(compiler, *WARNINGS, *flags, *sources, "-o", program, "-lm")
    return program


def _main(exported: Export) -> str:
    name, upper = exported.name, exported.name.upper()
    arrays = (*exported.public.inputs, *exported.public.outputs)
    buffers = "".join(f"static {a.type} {a.name}[{a.values}];\n" for a in arrays)
    reads = "".join(
        f"    if (fread({a.name}, sizeof *{a.name}, {a.values}, stdin) != {a.values}) return 2;\n"
        for a in exported.public.inputs
    )
    writes = "".join(
        f"    fwrite({a.name}, sizeof *{a.name}, {a.values}, stdout);\n"
        for a in exported.public.outputs
    )
    return f"""\
#include "{name}.h"
#include <stdio.h>
static _Alignas(64) unsigned char arena[{upper}_ARENA_BYTES];
{buffers}
int main(int argc, char **argv)
{{
    if (argc < 2 || {name}_init(arena, argv[1])) return 3;
{reads}    if ({name}_run(arena, {", ".join(a.name for a in arrays)})) return 4;
{writes}    return 0;
}}
"""


def python_bytes(model: Model, inputs: Arrays, isa: str) -> bytes:
    """What the program has to write: all outputs of a session."""
    with Session(model, isa=isa, threads=1) as session:
        found = session.run(dict(inputs), list(model.graph.outputs))
    return b"".join(found[name].tobytes() for name in model.graph.outputs)


def input_bytes(inputs: Arrays) -> bytes:
    """What the program reads."""
    return b"".join(array.tobytes() for array in inputs.values())


def random_inputs(exported: Export, seed: int = 0) -> dict[str, npt.NDArray[Any]]:
    """One item of each input."""
    rng = np.random.default_rng(seed)
    made: dict[str, npt.NDArray[Any]] = {}
    for array in exported.public.inputs:
        shape: Sequence[int] = (1, *array.shape)
        made[array.given] = (
            rng.integers(0, 256, shape).astype(np.uint8)
            if array.type == "uint8_t"
            else rng.normal(0, 1, shape).astype(np.float32)
        )
    return made
