"""The worked examples of ``docs/extend`` are true: their diffs are applied to a copy of the house,
which is then built, and whose own tests of the new operators run.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = ("activation.md", "operator.md")
NAMES = "softsign or roll"

pytestmark = pytest.mark.skipif(
    not shutil.which("git") or not (ROOT / ".git").exists(), reason="no checkout with git"
)


def run(*command: str | Path, cwd: Path) -> str:
    environment = {**os.environ, "PYTHONPATH": str(cwd)}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=cwd, env=environment
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkout with both examples in it, built."""
    folder = tmp_path_factory.mktemp("house")
    listed = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT)
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).exists() and not name.startswith(("tools/paper/results", "tests/data")):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    for page in PAGES:
        text = (ROOT / "docs" / "extend" / page).read_text(encoding="utf-8")
        patch = folder / f"{page}.diff"
        patch.write_text("".join(re.findall(r"^```diff\n(.*?)^```$", text, re.M | re.S)))
        run("git", "apply", "-C1", patch, cwd=folder)
    run(sys.executable, "setup.py", "--quiet", "build_ext", "--inplace", cwd=folder)
    return folder


def test_the_new_house_finds_them_by_itself(house: Path) -> None:
    tests = ["tests/engine/test_activations.py", "tests/engine/test_operations.py"]
    output = run(sys.executable, "-m", "pytest", "-v", *tests, "-k", NAMES, cwd=house)
    for name in ("test_error_bound", "test_ends", "test_operation_equals_definition"):
        assert re.search(rf"{name}\[.*softsign.*PASSED", output), output
    assert re.search(r"test_operation_equals_definition\[roll\] PASSED", output), output


def test_the_kernel_is_listed(house: Path) -> None:
    assert "softsign" in run(sys.executable, "-m", "minimeso", "info", cwd=house)


@pytest.mark.parametrize("linter", [("ruff", "check"), ("ruff", "format", "--check"), ("mypy",)])
def test_linters_have_nothing_to_say(house: Path, linter: tuple[str, ...]) -> None:
    if importlib.util.find_spec(linter[0]) is None:
        pytest.skip(f"{linter[0]} is not installed")
    run(sys.executable, "-m", *linter, "minimeso/engine/operators", cwd=house)
