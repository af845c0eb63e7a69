"""How time and memory grow: a small run of the measurement, and what it measures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from minimeso.engine.native import available_isas
from minimeso.networks import mesoinception4
from tools.bench import __main__ as bench_command
from tools.bench import growth


def test_a_small_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(growth, "BATCHES", (1, 3))
    monkeypatch.setattr(growth, "SIDES", (256, 320))
    monkeypatch.setattr(growth, "PIXELS", 1)
    monkeypatch.setattr(growth, "WINDOW", 0.01)
    path = tmp_path / "report.json"
    isa = available_isas()[-1]
    arguments = ["--growth", "--rounds", "1", "--threads", "1,2", "--isa", isa]
    assert bench_command.main([*arguments, "--json", str(path)]) == 0
    parts = json.loads(path.read_text())["growth"]
    assert len(parts) == 9
    printed = capsys.readouterr().out
    for part in parts:
        assert part["title"] in printed
        assert all(row["value"] > 0 for row in part["rows"])
        assert part["rows"][0]["ratio"] == 1
    assert [row["variant"] for row in parts[0]["rows"]] == [1, 3]
    assert [row["variant"] for row in parts[2]["rows"]] == [256, 320]


def test_the_convolutions_take_any_size() -> None:
    graph = growth.convolutions(mesoinception4())
    assert list(graph.inputs.values()) == [(3, None, None)]
    assert graph.outputs == ["pool4"]


def test_medians_leave_the_first_round_out() -> None:
    values = iter([100.0, 1.0, 3.0, 2.0])
    assert growth._medians({1: lambda: next(values)}, 3) == {1: 2.0}
