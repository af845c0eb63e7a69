"""``minimeso verify``: stored outputs of every layer against the engine, hostile files too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from support.detectors import random_detector, saved

from minimeso import Graph, Model, Session
from minimeso.cli import main, verify
from minimeso.engine.reference import evaluate

Entries = dict[str, npt.NDArray[Any]]
Captured = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return saved(random_detector(), tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def stored(model: str) -> Entries:
    """What ``tools/convert/reference.py`` would write, from the float64 definition."""
    session = Session(model)
    x = np.random.default_rng(1).integers(0, 256, (1, 256, 256, 3), np.uint8)
    planar = x.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255)
    graph = session.graph
    outputs = evaluate(graph, session.model.weights, {"image": planar})
    entries: Entries = {"input": x}
    for node in graph.nodes:
        output = np.asarray(outputs[node.name])
        if output.size > 96:
            index = np.arange(96, dtype=np.int32) * (output.size // 96)
            entries[f"index/{node.name}"] = index
            output = output.reshape(-1)[index]
        entries[f"output/{node.name}"] = output.astype(np.float32)
    scales = [np.abs(outputs[node.name]).max() for node in graph.nodes]
    entries["scale"] = np.array(scales, np.float32)
    return entries


def written(entries: Entries, folder: Path) -> str:
    path = folder / "reference.npz"
    np.savez_compressed(path, **entries)  # type: ignore[arg-type]
    return str(path)


def report(capsys: Captured, status: int, *arguments: str) -> Any:
    assert main(["verify", "--json", *arguments]) == status
    output = capsys.readouterr()
    assert output.err == "" and output.out.count("\n") == 1
    return json.loads(output.out)


def test_all_layers_agree(
    model: str, stored: Entries, tmp_path: Path, capsys: Captured, isa: str
) -> None:
    data = report(capsys, 0, model, written(stored, tmp_path), "--isa", isa)
    nodes = random_detector().graph.nodes
    assert data["ok"] and data["isa"] == isa and data["model"] == "random"
    assert [layer["node"] for layer in data["layers"]] == [node.name for node in nodes]
    assert [layer["op"] for layer in data["layers"]] == [node.op for node in nodes]
    assert all(layer["ok"] and layer["relative"] <= data["bound"] for layer in data["layers"])
    assert data["layers"][0]["scale"] == pytest.approx(float(stored["scale"][0]))


def test_text(model: str, stored: Entries, tmp_path: Path, capsys: Captured) -> None:
    assert main(["verify", model, written(stored, tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["layer", "operation", "scale", "error", "error/scale"]
    assert lines[2].startswith("inception1.conv1 ") and lines[2].endswith("  ok")
    assert lines[-1] == f"all {len(lines) - 3} layers within 2e-05"


def test_a_wrong_layer_fails(model: str, stored: Entries, tmp_path: Path, capsys: Captured) -> None:
    values = stored["output/bn3"].copy()
    values[5] += np.float32(3e-5) * stored["scale"][[n.name for n in nodes()].index("bn3")]
    path = written({**stored, "output/bn3": values}, tmp_path)
    data = report(capsys, 1, model, path)
    assert not data["ok"]
    assert [layer["node"] for layer in data["layers"] if not layer["ok"]] == ["bn3"]
    assert main(["verify", model, path]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert sum(row.endswith("FAIL") for row in lines) == 1
    assert lines[-1] == f"1 of {len(nodes())} layers NOT within 2e-05"


def nodes() -> list[Any]:
    return list(random_detector().graph.nodes)


def test_some_layers_and_no_scale(
    model: str, stored: Entries, tmp_path: Path, capsys: Captured
) -> None:
    some = {name: stored[name] for name in ("input", "output/p_fake", "output/fc2")}
    data = report(capsys, 0, model, written(some, tmp_path))
    assert [layer["node"] for layer in data["layers"]] == ["fc2", "p_fake"]
    assert data["layers"][0]["scale"] == pytest.approx(float(np.abs(stored["output/fc2"]).max()))


def test_result_that_is_no_number(tmp_path: Path, capsys: Captured) -> None:
    graph = Graph("overflow")
    x = graph.node("linear", graph.input("x", (2,)), name="fc1", out_features=2)
    graph.output(graph.node("linear", x, name="fc2", out_features=1))
    weights = {
        "fc1.weight": np.array([[3e38, 3e38], [-3e38, -3e38]], np.float32),
        "fc1.bias": np.zeros(2, np.float32),
        "fc2.weight": np.ones((1, 2), np.float32),
        "fc2.bias": np.zeros(1, np.float32),
    }
    path = saved(Model("overflow", graph, weights), tmp_path)
    one = np.ones((1, 2), np.float32)
    reference = written({"input": one, "output/fc2": one[:, :1]}, tmp_path)
    (layer,) = report(capsys, 1, path, reference)["layers"]
    assert layer["error"] is None and layer["relative"] is None and not layer["ok"]
    assert main(["verify", path, reference]) == 1
    assert "nan" in capsys.readouterr().out


def change(stored: Entries, **changes: npt.NDArray[Any] | None) -> Entries:
    entries = {name.replace("__", "/"): array for name, array in changes.items()}
    merged = {**stored, **entries}
    return {name: array for name, array in merged.items() if array is not None}


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"input": None}, "no 'input'"),
        ({"input": np.zeros((1, 3, 8, 8), np.float32)}, "shape"),
        ({"input": np.zeros((1, 256, 256, 3), np.int64)}, "int64"),
        ({"output__nobody": np.zeros(1, np.float32)}, "'nobody'"),
        ({"output__fc2": np.zeros((1, 2), np.float32)}, "'fc2'"),
        ({"output__fc2": np.full((1, 1), np.nan, np.float32)}, "not finite"),
        ({"output__fc2": np.zeros((1, 0), np.float32)}, "no values"),
        ({"index__conv3": np.zeros(3, np.int32)}, "does not fit"),
        ({"index__conv3": np.zeros(96, np.float32)}, "does not fit"),
        ({"index__conv3": np.full(96, -1, np.int32)}, "past its"),
        ({"index__conv3": np.full(96, 10**9, np.int64)}, "past its"),
        ({"index__conv3": np.full(96, 2**64 - 1, np.uint64)}, "past its"),
        ({"scale": np.ones(3, np.float32)}, "3 layers, the model 47: another network?"),
        ({"scale": np.full(47, np.inf, np.float32)}, "'scale' is inf"),
        ({"scale": np.full(47, -1, np.float32)}, "'scale' is -1"),
    ],
)
def test_references_that_cannot_be_used(
    changes: Any, part: str, model: str, stored: Entries, tmp_path: Path, capsys: Captured
) -> None:
    path = written(change(stored, **changes), tmp_path)
    assert main(["verify", model, path]) == 2
    output = capsys.readouterr()
    assert output.out == "" and part in output.err and "Traceback" not in output.err


def test_references_without_outputs(model: str, tmp_path: Path, capsys: Captured) -> None:
    path = written({"input": np.zeros((1, 256, 256, 3), np.uint8)}, tmp_path)
    assert main(["verify", model, path]) == 2
    assert "no outputs inside" in capsys.readouterr().err


def test_files_that_cannot_be_read(model: str, tmp_path: Path, capsys: Captured) -> None:
    text = tmp_path / "text.npz"
    text.write_text("not an archive")
    for arguments in ([model, "gone.npz"], [model, str(text)], ["nobody", str(text)], [model]):
        assert main(["verify", *arguments]) == 2
        assert "Traceback" not in capsys.readouterr().err


def test_bound() -> None:
    assert verify.BOUND == 2e-5
