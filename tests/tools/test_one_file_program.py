"""Frozen programs: what PyInstaller is told about the package (`.ci/programs` makes some)."""

from __future__ import annotations

import importlib
import runpy
import sys
import types
from collections.abc import Sequence
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import minimeso
from minimeso._pyinstaller import get_hook_dirs
from tools import program

PACKAGE = Path(minimeso.__file__).parent


def read_hook(
    monkeypatch: pytest.MonkeyPatch, hook: str = "hook-minimeso.py"
) -> dict[str, list[str]]:
    """What a hook says, by a stand-in for PyInstaller that collects files as it does."""

    def collect_data_files(name: str, includes: Sequence[str] = ("**/*",)) -> list[str]:
        assert name == "minimeso"
        return [str(path) for pattern in includes for path in PACKAGE.glob(pattern)]

    for name in ("PyInstaller", "PyInstaller.utils", "PyInstaller.utils.hooks"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    hooks = sys.modules["PyInstaller.utils.hooks"]
    monkeypatch.setattr(hooks, "collect_data_files", collect_data_files, raising=False)
    monkeypatch.setattr(hooks, "collect_submodules", lambda name: [name], raising=False)
    (folder,) = get_hook_dirs()
    return runpy.run_path(str(Path(folder, hook)))


def test_the_hook_names_what_no_import_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    said = read_hook(monkeypatch)
    names = {Path(path).name for path in said["datas"]}
    assert {"default.json", "mesoinception4-mish.npz", "yunet-s.npz", "style.css"} <= names
    for name in said["hiddenimports"]:
        importlib.import_module(name)
    homes = {f"minimeso.{home}" for home in minimeso._HOMES.values()}
    assert homes <= {*said["hiddenimports"]}


def test_a_program_with_the_commands_has_what_they_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """`minimeso gui` in one that calls `minimeso.cli.main` had no page."""
    said = read_hook(monkeypatch, "hook-minimeso.cli.py")
    names = {Path(path).name for path in said["datas"]}
    assert {"page.html", "page.js", "page.css", "portrait.jpg"} <= names


def test_pyinstaller_finds_the_hook() -> None:
    found = [e for e in entry_points(group="pyinstaller40") if e.value.startswith("minimeso.")]
    if not found:
        pytest.skip("minimeso was installed before it had the hook: pip install -e . again")
    assert found[0].load()() == get_hook_dirs()


def test_without_pyinstaller(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    (tmp_path / "python").write_text("#!/bin/sh\necho No module named PyInstaller >&2\nexit 1\n")
    (tmp_path / "python").chmod(0o755)
    assert program.main([str(tmp_path / "out")]) == 2
    assert "pip install pyinstaller" in capsys.readouterr().err
