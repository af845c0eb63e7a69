"""What mm_check lets through keeps to its memory: fuzz_programs.c under sanitizers."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from toolchain import COMPILERS, CSRC, HERE, SANITIZE, build, run

from minimeso.engine.bindings import OP_NUMBERS

pytestmark = pytest.mark.skipif(not COMPILERS, reason="no C compiler on the path")

#: All of the engine but program.c, which fuzz_run.c brings in, and what no program uses.
SOURCES: dict[str, list[str]] = {
    name: []
    for name in (
        *sorted(path.name for path in HERE.glob("fuzz_*.c")),
        *sorted({path.name for path in CSRC.glob("*.c")} - {"program.c", "resize.c"}),
    )
}
#: Programs take turns with the operators: so many are drawn of each, and so many must run.
EACH = 16_700 if os.environ.get("MINIMESO_HYPOTHESIS") == "long" else 334
COUNT = EACH * len(OP_NUMBERS)
LEAST = 0.36 * EACH


def counts(output: str) -> dict[str, tuple[int, ...]]:
    """Steps of each operation: drawn, in programs that passed, in programs that ran."""
    lines = re.findall(r"^(\w+): (\d+) made, (\d+) passed, (\d+) run$", output, re.MULTILINE)
    assert [name for name, *_ in lines] == list(OP_NUMBERS), output
    return {name: tuple(map(int, numbers)) for name, *numbers in lines}


def test_a_checked_program_keeps_to_its_memory(tmp_path: Path) -> None:
    output = run([build(tmp_path, COMPILERS[0], ["-O1", *SANITIZE], SOURCES), str(COUNT)])
    print(output)
    for name, (made, passed, ran) in counts(output).items():
        assert made > passed > made / 4, f"{name}: passed and refused must both happen"
        assert ran > LEAST, f"{name}: hardly ever run"
    changed = re.search(r"changed programs: (\d+) passed, (\d+) refused", output)
    assert changed
    assert min(map(int, changed.groups())) > COUNT / 5


def test_threads_do_not_race(tmp_path: Path) -> None:
    program = build(tmp_path, COMPILERS[0], ["-O1", "-g", "-fsanitize=thread"], SOURCES)
    if subprocess.run([program, "0"], capture_output=True, check=False).returncode:
        # some kernels place a process where its shadow memory must lie; no program at all runs
        pytest.skip("ThreadSanitizer does not start under this kernel")
    # a vector that a convolution or its transform loads may reach over memory that is not meant
    # for it, in lanes that it then drops, and the output may lie there
    suppressed = tmp_path / "suppressed"
    suppressed.write_text(
        "race:v_load_step\nrace:winograd_in\nrace:depthwise_rows\nrace:depthwise_tile\n"
    )
    command = [program, str(COUNT // 20), "0", "plain"]
    output = run(command, TSAN_OPTIONS=f"suppressions={suppressed}")
    assert all(ran for _, _, ran in counts(output).values())
