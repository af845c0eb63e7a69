"""The benchmark against other engines: a small run, and what it makes of strange peers."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest

from minimeso import Graph, Session
from minimeso.engine.graph import Weights
from minimeso.engine.library import find_model
from minimeso.engine.native import activate, available_isas
from minimeso.engine.operators import functions, kernel_of
from minimeso.engine.session import Array
from minimeso.networks import NETWORKS

pytest.importorskip("torch")

from conftest import random_weights

from tools.bench import __main__ as bench_command
from tools.bench import cases, elements, peers, report, workers


def test_a_cell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "report.json"
    cell = ["--networks", "meso4", "--activations", "pish", "--threads", "1", "--batches", "1"]
    isa = available_isas()[-1]
    arguments = ["--peers", "--quick", "--only", "torch", *cell, "--isa", isa, "--json", str(path)]
    assert bench_command.main(arguments) == 0

    written = json.loads(path.read_text())
    (found,) = written["cells"]
    assert set(found["engines"]) == {f"minimeso-{isa}", "torch"}
    assert not found["unavailable"]
    assert found["fastest_peer"] == "torch"
    assert found["error_against_float64"] < 1e-5
    for values in found["engines"].values():
        assert values["verdict"] == "agrees"
        assert 0 < values["q1_ms"] <= values["median_ms"] <= values["q3_ms"]
        assert values["cores"] < 1.5
        assert values["fma_share"] > 0
    ours, theirs = (found["engines"][name]["median_ms"] for name in (f"minimeso-{isa}", "torch"))
    assert found["engines"][f"minimeso-{isa}"]["ratio_to_fastest_peer"] == theirs / ours
    assert written["machine"]["cpu"] and written["versions"]["torch"]
    assert "fastest peer" in capsys.readouterr().out


def by_litert(graph: Graph, weights: Weights, images: Array) -> Array:
    """What LiteRT computes for images (N, C, H, W), of the file that the benchmark makes for it."""
    interpreter = pytest.importorskip("ai_edge_litert.interpreter")
    from tools.bench import tflite

    content = tflite.convert(graph, weights, len(images))
    network = interpreter.Interpreter(model_content=content)
    network.allocate_tensors()
    source = network.get_input_details()[0]["index"]
    network.set_tensor(source, np.ascontiguousarray(images.transpose(0, 2, 3, 1)))
    network.invoke()
    found: Array = network.get_tensor(network.get_output_details()[0]["index"])
    return found


def test_everybody_takes_turns() -> None:
    order: list[str] = []
    turns = {name: lambda name=name: order.append(name) for name in "abc"}
    assert list(workers.take_turns(turns, 4)) == [0, 1, 2, 3]
    assert "".join(order) == "abcbcacababc"


def cell(verdicts: dict[str, str]) -> dict[str, Any]:
    """A cell of made-up peers, each twice as slow as the one before."""
    engines: dict[str, Any] = {"minimeso-avx2": {"median_ms": 1.0, "verdict": "agrees"}}
    for number, (name, verdict) in enumerate(verdicts.items(), 1):
        error = {"agrees": 0.0, "inexact": 2.6e-4, "wrong": None}[verdict]
        engines[name] = {"median_ms": 2.0**number, "verdict": verdict, "p_fake_error": error}
    return {
        "network": "meso4", "activation": "mish", "threads": 1, "batch": 1,
        "engines": engines, "unavailable": {"ncnn": "not installed"},
    }  # fmt: skip


def test_a_wrong_peer_is_shown_but_does_not_count() -> None:
    found = cell({"litert": "wrong", "mnn": "inexact", "torch": "agrees"})
    report.compare(found, 50e9)
    assert found["fastest_peer"] == "mnn"
    assert found["engines"]["minimeso-avx2"]["ratio_to_fastest_peer"] == 4.0
    text = "\n".join(report.tables([found], list(found["engines"])))
    assert "!2.000" in text and "~4.000" in text and " 8.000" in text and "4.00x" in text
    lines = "\n".join(report.notes([found]))
    assert "not measured: ncnn: not installed" in lines
    assert "mnn: p_fake is up to 2.6e-04 off" in lines


def test_the_finder_is_the_same_for_all() -> None:
    """As a module, and as a TensorFlow Lite file."""
    import torch

    graph = cases.graph_of(cases.FINDER, "relu")
    weights = find_model(cases.FINDER).weights
    images = cases.Case(Path(), cases.FINDER, "relu", 1, 1).images()
    ours = Session(graph, weights).run(images)
    with mock.patch.object(cases.Case, "weights", lambda _: dict(weights)):
        module = cases.torch_network(cases.Case(Path(), cases.FINDER, "relu", 1, 1))
    with torch.inference_mode():
        theirs = module(torch.from_numpy(images)).numpy()
    assert report.agreement(theirs, ours)["verdict"] == "agrees"

    assert report.agreement(by_litert(graph, weights, images), ours)["verdict"] == "agrees"


def test_no_peer_at_all() -> None:
    found = cell({})
    report.compare(found, 50e9)
    assert found["fastest_peer"] is None
    assert "1.000" in "\n".join(report.tables([found], ["minimeso-avx2"]))


def test_agreement() -> None:
    truth = np.array([0.25, 0.5], np.float32)
    assert report.agreement(truth + np.float32(1e-5), truth)["verdict"] == "agrees"
    assert report.agreement(truth + np.float32(3e-4), truth)["verdict"] == "inexact"
    assert report.agreement(truth + np.float32(1e-2), truth)["verdict"] == "wrong"
    assert report.agreement(truth[:1], truth)["verdict"] == "wrong"
    assert report.agreement(truth * np.float32(np.nan), truth)["verdict"] == "wrong"


def test_a_peer_that_fails_or_dies_is_unavailable(tmp_path: Path) -> None:
    worker = workers.Worker(1, tmp_path / "log")
    try:
        with pytest.raises(peers.UnavailableError, match=r"^KeyError: 'nobody'$"):
            worker.ask(peers.engine, "nobody")
        with pytest.raises(peers.UnavailableError, match=r"its process died .*status 3"):
            worker.ask(_exit, 3)
    finally:
        worker.close()


def _exit(status: int) -> None:
    import os

    os._exit(status)


def test_profile(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "report.json"
    cell = ["--networks", "meso4", "--activations", "mish", "--threads", "1", "--batches", "1"]
    assert bench_command.main(["--profile", "--quick", *cell, "--json", str(path)]) == 0
    written = json.loads(path.read_text())
    (found,) = written["profile"]
    assert (found["network"], found["activation"], found["runs"]) == ("meso4", "mish", 12)
    assert sum(step["multiply_adds"] for step in found["steps"]) == 60_047_376
    assert sum(step["share"] for step in found["steps"]) == pytest.approx(1)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[-3:]] == list(written["crops"])[-3:]
    del lines[lines.index("A frame's other work, one thread:") - 1 :]
    assert "of peak" in lines[-3 - len(found["steps"])]
    whole = 2 * 60_047_376 / (1e6 * found["steps_ms"])
    peak = 2e-9 * found["multiply_adds_per_second"]
    assert lines[-2].split() == [
        "all", "steps", f"{found['steps_ms']:.3f}", "100.0%", f"{whole:.1f}", f"{whole / peak:.0%}",
    ]  # fmt: skip


def test_elements(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, isas = tmp_path / "report.json", available_isas()
    assert bench_command.main(["--elements", "--quick", "--json", str(path)]) == 0
    found = json.loads(path.read_text())["elements"]
    rows = {(row["function"], row["size"]): row["per_ns"] for row in found["rows"]}
    assert set(rows) == {(f, size) for f in elements.FUNCTIONS for size in ("L1", "L2")}
    for size in ("L1", "L2"):
        for engine in (*isas, "torch"):
            assert np.isfinite([rows[f, size][engine] for f in ("relu", "pish")]).all()
    lines = capsys.readouterr().out.splitlines()
    ratio = rows["mish", "L2"][isas[-1]] / rows["mish", "L2"]["torch"]
    assert any(line.startswith("mish") and f"{ratio:.2f}x" in line for line in lines)


@pytest.mark.timing
def test_relu_is_faster_than_pish(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    assert bench_command.main(["--elements", "--quick", "--json", str(path)]) == 0
    rows = json.loads(path.read_text())["elements"]["rows"]
    rates = {(row["function"], row["size"]): row["per_ns"] for row in rows}
    vectors = [isa for isa in available_isas() if isa != "scalar"]  # that ReLU is a branch
    for size in ("L1", "L2"):
        for engine in (*vectors, "torch"):
            assert rates["relu", size][engine] > rates["pish", size][engine]


@pytest.mark.timing
def test_what_a_call_costs_does_not_count() -> None:
    def busy(microseconds: float) -> None:
        start = time.perf_counter()
        while time.perf_counter() - start < 1e-6 * microseconds:
            pass

    calls = {"a": (lambda: busy(150), lambda: busy(50)), "b": (lambda: busy(60), lambda: busy(10))}
    found = elements._rates(calls, 5000, 9)
    assert found["per_ns"] == pytest.approx({"a": 0.05, "b": 0.1}, rel=0.1)
    assert found["call_ns"] == pytest.approx({"a": 50_000, "b": 10_000}, rel=0.2)


@pytest.mark.parametrize("name", elements.FUNCTIONS)
def test_both_do_the_same(name: str) -> None:
    theirs = np.asarray(elements._torch()(name, 100)())
    ours = activate(elements.inputs(100), *kernel_of(functions()[name]))
    error = 2e-4 if name.endswith("piecewise") else 1e-6
    np.testing.assert_allclose(ours, theirs, atol=error)


def test_efficientnet_in_tensorflow_lite() -> None:
    """Strides, windows of one channel, sums and ReLU6, with batch norms folded."""
    pytest.importorskip("efficientnet_lite_pytorch")
    from tools.convert import efficientnet, reference

    graph = efficientnet.efficientnet_lite0()
    weights = reference.random_arrays("efficientnet_lite0", "relu6", cases.EPS, 0)
    images = np.random.default_rng(2).random((1, 3, 256, 256), np.float32)
    p_fake = by_litert(graph, weights, images)
    np.testing.assert_allclose(p_fake, Session(graph, weights).run(images), atol=1e-5, rtol=0)


@pytest.mark.parametrize("activation", bench_command.ACTIVATIONS)
@pytest.mark.parametrize("name", ["meso4", "mesoinception4"])
def test_the_tensorflow_lite_file_is_the_same_network(name: str, activation: str) -> None:
    """With activations far beyond the 89 at which exp overflows."""
    graph = NETWORKS[name](activation, cases.EPS, False)
    weights = random_weights(graph, np.random.default_rng(1))
    weights["fc2.weight"] *= np.float32(0.001)  # the logit near 1
    images = np.random.default_rng(2).random((2, 3, 256, 256), np.float32)
    p_fake = by_litert(graph, weights, images)
    np.testing.assert_allclose(p_fake, Session(graph, weights).run(images), atol=1e-5, rtol=0)
