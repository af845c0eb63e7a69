"""Builds and runs check_threads.c, the pool of threads by itself, under sanitizers."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from toolchain import COMPILERS, SANITIZE, build, run

pytestmark = pytest.mark.skipif(not COMPILERS, reason="no C compiler on the path")

CHECK: dict[str, list[str]] = {"check_threads.c": []}
JOBS = "100"


def test_each_piece_once(tmp_path: Path) -> None:
    program = build(tmp_path, COMPILERS[0], ["-O1", *SANITIZE], CHECK)
    assert "0 failures" in run([program, JOBS])


def test_no_race(tmp_path: Path) -> None:
    flags = ["-O1", "-g", "-fsanitize=thread"]
    program = build(tmp_path, COMPILERS[0], flags, CHECK)
    if subprocess.run([program, "0"], capture_output=True, check=False).returncode:
        pytest.skip("ThreadSanitizer does not start under this kernel")
    assert "0 failures" in run([program, JOBS])
