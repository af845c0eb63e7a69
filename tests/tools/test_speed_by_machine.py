"""The page of times by machine is what its files say."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.bench import report, results
from tools.errors import ToolError


def test_the_page_of_machines_is_what_was_measured() -> None:
    assert results.page(results.read(results.RESULTS)) == results.PAGE.read_text(encoding="utf-8")


def test_a_page_of_one_machine() -> None:
    """A peer that is wrong has its time, and does not count."""
    engines = {
        "minimeso-avx2": {"median_ms": 1.0, "verdict": "agrees"},
        "litert": {"median_ms": 2.0, "verdict": "wrong"},
        "torch": {"median_ms": 4.0, "verdict": "agrees"},
    }
    found = {
        "network": "meso4", "activation": "mish", "threads": 1, "batch": 1,
        "engines": engines, "unavailable": {"ncnn": "not installed"},
    }  # fmt: skip
    report.compare(found, 50e9)
    machine = {
        "name": "A small one", "date": "2026-01-02", "minimeso": "1", "compiler": "GCC",
        "cpu": "x", "cores": 2, "system": "Linux", "load_average": [1.5, 1, 1],
    }  # fmt: skip
    peak = {"1": {"multiply_adds_per_second": 50e9}}
    run = {"machine": machine, "peak": peak, "versions": {"torch": "2"}, "cells": [found]}
    text = results.page([run])
    assert "## A small one" in text and "100.0 GFLOP/s by 1 thread. torch 2." in text
    assert "| meso4 | avx2 | 1.20 | 4.00 (torch) |" in text
    assert "| meso4, mish | 1 | wrong, 2 | 4 |" in text
    assert "busy (load 1.5)" in text
    assert "Not measured: ncnn, meso4: not installed." in text


def test_results_that_are_no_whole_run(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="no results in it"):
        results.read(tmp_path)
    (tmp_path / "a.json").write_text('{"cells": [{}], "interrupted": true}')
    with pytest.raises(ToolError, match=r"a\.json: no whole run"):
        results.read(tmp_path)
