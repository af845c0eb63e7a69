"""What the C compiler of this machine can do."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tools.compiler import c_compiler

SHUFFLES = """\
typedef float v4 __attribute__((vector_size(16)));
v4 turned(v4 x) { return __builtin_shufflevector(x, x, 3, 2, 1, 0); }
int main(void) { return 0; }
"""
SANITIZE = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")


def need_vectors() -> None:
    """Skips where there is none that knows the vectors of `tools/train/*.c`."""
    if not shutil.which(c_compiler()[0]):
        pytest.skip("no C compiler on the path")
    if not compiles(SHUFFLES):
        pytest.skip("a C compiler older than GCC 12")


def compiles(program: str, *flags: str) -> bool:
    command = [*c_compiler(), *flags, "-x", "c", "-", "-o", os.devnull]
    done = subprocess.run(command, input=program.encode(), capture_output=True, check=False)
    return done.returncode == 0


def run_sanitized(source: Path, includes: Path, program: Path) -> None:
    """Compiles a program of C under the sanitizers and runs it; skips where there are none."""
    if not compiles(SHUFFLES, *SANITIZE):
        pytest.skip("this compiler has no sanitizers")
    flags = ["-std=gnu11", "-O1", "-g", *SANITIZE, "-I", str(includes)]
    for command in ([*c_compiler(), *flags, str(source), "-o", str(program)], [str(program)]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
