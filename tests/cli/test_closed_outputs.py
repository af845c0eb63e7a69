"""Outputs that are closed: what was asked for is not lost in silence, what was not ends nothing."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from support.detectors import constant_detector, photo, saved

from minimeso.cli import main
from minimeso.cli.progress import Progress, ScanProgress

Captured = pytest.CaptureFixture[str]


@pytest.mark.parametrize("json", [[], ["--json"]])
@pytest.mark.parametrize("command", ["info", "detect"])
def test_a_closed_stdout(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch, command: str, json: list[str]
) -> None:
    """Python has none then, and its ``print`` says nothing."""
    arguments = ["info", *json]
    if command == "detect":
        Image.fromarray(photo()).save(tmp_path / "a.png")
        model = saved(constant_detector(3.0), tmp_path)
        arguments = ["detect", "--crops", "--model", model, str(tmp_path / "a.png"), *json]
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", None)
        assert main(arguments) == 4
    assert capsys.readouterr().err == "minimeso: the output cannot be written: it is closed\n"


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["detect", "--help"]])
def test_help_that_cannot_be_written(
    arguments: list[str], capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    """argparse keeps such errors to itself."""
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", None)
        assert main(arguments) == 4
    assert capsys.readouterr().err == "minimeso: the output cannot be written: it is closed\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_help_on_a_full_disk() -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "minimeso", "--help"], stdout=full, stderr=subprocess.PIPE
        )
    assert done.returncode == 4
    assert done.stderr.startswith(b"minimeso: the output cannot be written: No space")


class ClosedTerminal(io.StringIO):
    """As after its window was closed, while the job goes on in the background."""

    def isatty(self) -> bool:
        return True

    def flush(self) -> None:
        raise OSError(5, "Input/output error")


def test_a_terminal_that_was_closed_ends_no_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", ClosedTerminal())
    progress, scan = Progress(100), ScanProgress()
    for number in (1, 2):
        progress.show(number, "a file")
        scan.show_line("so many files")
    progress.clear()
    scan.clear()
    monkeypatch.undo()
