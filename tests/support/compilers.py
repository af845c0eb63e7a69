"""What the C compiler of this machine can do."""

from __future__ import annotations

import os
import shutil
import subprocess

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
