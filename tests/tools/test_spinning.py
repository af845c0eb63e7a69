"""The benchmark of two threads beside whoever spins: that it runs, not what it finds."""

from __future__ import annotations

import pytest

from tools.bench import spinning


def test_a_row_each(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    calls = []
    monkeypatch.setattr(spinning, "engines", lambda: {"Another": lambda: calls.append(1)})
    assert spinning.main(["--rounds", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines if "(" in line][1:] == [
        "alone", "beside Another", "beside a process that spins",
    ]  # fmt: skip
    assert len(calls) == 2 * 2 * len(spinning.MODELS)


def test_other_engines_run() -> None:
    for call in spinning.engines().values():
        call()
