"""Every odd file gets its status and a reason: none is skipped, crashes or hangs."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.detectors import constant_detector
from support.odd_files import NOT, OddFile, odd_files

from minimeso import Detector, save_model
from minimeso.cli import main

pytest.importorskip("av", reason="PyAV (extra video) is not installed")
pytestmark = pytest.mark.skipif(os.name != "posix", reason="sockets and pipes of POSIX")

FILES = odd_files()
#: For a file of a few kilobytes, on a machine that does something else.
SECONDS = 60


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector(constant_detector(0.0))


@pytest.fixture
def time_limit() -> Iterator[None]:
    def stop(*_: object) -> None:
        pytest.fail(f"more than {SECONDS} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def made(odd: OddFile, folder: Path) -> Path:
    path = folder / odd.name
    odd.make(path)
    return path


def test_there_are_many() -> None:
    assert len(FILES) >= 60 and len({odd.name for odd in FILES}) == len(FILES)


@pytest.mark.parametrize("odd", FILES, ids=[repr(odd.name)[:40] for odd in FILES])
def test_status(odd: OddFile, detector: Detector, tmp_path: Path, time_limit: None) -> None:
    verdict = detector.check(made(odd, tmp_path))
    assert verdict.status in odd.status, verdict.note
    if verdict.status != "no_face":
        assert verdict.notes and verdict.note
    assert json.loads(json.dumps(verdict.to_json()))["status"] == verdict.status


def test_the_command_says_something_of_each(
    tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given one by one, also those whose ending is of no picture; statuses as alone."""
    model = tmp_path / "model.npz"
    save_model(constant_detector(0.0), model)
    folder = tmp_path / "odd"
    folder.mkdir()
    for odd in FILES:
        made(odd, folder)
    monkeypatch.chdir(folder)
    names = [odd.name for odd in FILES]
    assert main(["detect", "--model", str(model), "--json", "--", *names]) == 3
    output = capsys.readouterr()
    found = [json.loads(line) for line in output.out.splitlines()]
    assert [one["path"] for one in found] == names and "Traceback" not in output.err
    for one, odd in zip(found, FILES, strict=True):
        assert one["status"] in odd.status, one
        assert one["note"] or one["status"] not in ("partial", NOT)
    assert main(["detect", "--model", str(model), "--json", "."]) == 3
    output = capsys.readouterr()
    judged = {Path(json.loads(line)["path"]).name for line in output.out.splitlines()}
    left = set(names) - judged
    assert "not looked at" in output.err and 0 < len(left) < 20
    assert not any(name.endswith((".jpg", ".png", ".mp4", ".mkv")) for name in left)
