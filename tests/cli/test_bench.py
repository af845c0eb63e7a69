"""``minimeso bench``: the five activations side by side, and what remains after Ctrl-C."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.detectors import saved_pair, small_pair

from minimeso.cli import bench, main
from minimeso.engine import Session

ACTIVATIONS = ["relu", "leaky_relu", "mish", "swish", "pish"]
Captured = pytest.CaptureFixture[str]


def test_json(capsys: Captured) -> None:
    assert main(["bench", "--images", "2", "--json"]) == 0
    output = capsys.readouterr()
    report = json.loads(output.out)
    assert output.err == "" and output.out.count("\n") == 1
    assert (report["network"], report["threads"], report["images"]) == ("mesoinception4", 1, 2)
    assert [result["activation"] for result in report["results"]] == ACTIVATIONS
    relu = report["results"][0]["median_ms"]
    for result in report["results"]:
        expected = 100 * (result["median_ms"] / relu - 1)
        assert result["median_ms"] > 0 and result["percent"] == pytest.approx(expected)
    paper = {result["activation"]: result["paper_percent"] for result in report["results"]}
    assert paper == {"relu": 0, "leaky_relu": 0.929, "mish": 1.074, "swish": 2.217, "pish": 3.174}


def test_text(capsys: Captured, isa: str) -> None:
    assert main(["bench", "--images", "1", "--threads", "2", "--isa", isa]) == 0
    head, names, *rows = capsys.readouterr().out.splitlines()
    assert head == f"MesoInception-4, 1 random images one at a time, 2 threads, {isa}"
    assert names.split() == ["activation", "median", "ms", "over", "ReLU", "in", "the", "paper"]
    assert [row.split()[0] for row in rows] == ACTIVATIONS
    assert rows[0].endswith("+0.000 %") and rows[4].endswith("+3.174 %")


def interrupt_after(calls: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in the run with this number."""
    run, left = Session.run, [calls]

    def counted(self: Session, x: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return run(self, x)

    monkeypatch.setattr(Session, "run", counted)


def test_ctrl_c_prints_what_there_is(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupt_after(5 * (bench._WARM_UP + 2) + 3, monkeypatch)
    assert main(["bench", "--json"]) == 130
    output = capsys.readouterr()
    report = json.loads(output.out)
    assert report["images"] == 2 and len(report["results"]) == 5 and output.err == ""


def test_ctrl_c_before_the_first_image(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupt_after(2, monkeypatch)
    assert main(["bench"]) == 130
    assert capsys.readouterr().out == ""


def test_the_same_weights_whatever_the_activation() -> None:
    first, second = (bench._session(name, 1, None).model.weights for name in ("relu", "pish"))
    assert first.keys() == second.keys()
    assert all((first[name] == second[name]).all() for name in first)


@pytest.mark.parametrize("images", ["0", "-1", "many", "1.5"])
def test_wrong_usage(images: str, capsys: Captured) -> None:
    assert main(["bench", "--images", images]) == 2
    assert "--images" in capsys.readouterr().err


def test_profile_of_a_pair(tmp_path: Path, capsys: Captured) -> None:
    path = saved_pair(small_pair(), tmp_path)
    assert main(["bench", path, "--profile", "--images", "2", "--json"]) == 0
    rows = [json.loads(row) for row in capsys.readouterr().out.splitlines()]
    assert [row["model"] for row in rows] == ["quick", "slow"]
    assert main(["bench", path, "--profile", "--images", "2"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("quick, one picture") and "\nslow, one picture" in text


def test_profile(capsys: Captured, isa: str) -> None:
    arguments = ["bench", "mish", "--profile", "--images", "3", "--isa", isa]
    assert main([*arguments, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["model"] == "mesoinception4-mish"
    assert (report["isa"], report["runs"]) == (isa, 3)
    assert sum(step["share"] for step in report["steps"]) == pytest.approx(1)
    assert any(step["gflops"] for step in report["steps"])

    assert main(arguments) == 0
    head, names, *rows = capsys.readouterr().out.splitlines()
    assert head.startswith(f"mesoinception4-mish, one picture, 1 thread, {isa}: ")
    assert names.split() == ["step", "nodes", "output", "ms", "share", "GFLOP/s"]
    assert len(rows) == len(report["steps"]) + 2
    assert [row.split()[0] for row in rows[:-2]] == [step["op"] for step in report["steps"]]
    assert rows[-2].split()[:2] == ["all", "steps"] and "100.0%" in rows[-2]


def test_a_model_without_profile(capsys: Captured) -> None:
    assert main(["bench", "default"]) == 2
    assert "--profile" in capsys.readouterr().err
