"""``minimeso info``: the installation, and a model with its graph and plan."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.detectors import (
    constant_detector,
    random_detector,
    saved,
    saved_pair,
    small_domain,
    small_pair,
)

import minimeso
from minimeso import Graph, Model, save_model
from minimeso.cli import main
from minimeso.detect.pair import load_pair
from minimeso.engine import bundled_models, native
from minimeso.engine.native import available_isas, choose_isa, kernel_names

Captured = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return saved(random_detector(), tmp_path_factory.mktemp("models"))


def info(capsys: Captured, *arguments: str) -> Any:
    assert main(["info", "--json", *arguments]) == 0
    (row,) = capsys.readouterr().out.splitlines()
    return json.loads(row)


def test_installation(capsys: Captured) -> None:
    data = info(capsys)
    assert data["version"] == minimeso.__version__
    assert data["isa"] == choose_isa() and data["isas"] == available_isas()
    assert data["kernels"] == kernel_names() and data["cores"] >= 1
    assert [model["name"] for model in data["models"]] == list(bundled_models())
    assert main(["info"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"minimeso {minimeso.__version__}\ninstruction set: {choose_isa()} (")
    assert "bundled models:" in text


def test_forced_isa(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "_WANTED_ISA", "scalar")
    assert info(capsys)["isa"] == "scalar"
    monkeypatch.setattr(native, "_WANTED_ISA", "mmx")
    assert main(["info"]) == 2
    assert "MINIMESO_ISA='mmx'" in capsys.readouterr().err


def test_bundled_models_are_listed(
    model: str, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("minimeso.engine.library._FOLDER", Path(model).parent)
    assert info(capsys)["models"] == [
        {
            "name": "random", "aliases": [], "architecture": "mesoinception4", "activation": None,
            "detector": True, "parameters": 28725,
        }
    ]  # fmt: skip
    assert main(["info"]) == 0
    listed = capsys.readouterr().out.splitlines()[-1]
    assert listed == "  random: detector, mesoinception4, 28,725 parameters"
    assert info(capsys, "random")["name"] == "random"


def test_model(model: str, capsys: Captured) -> None:
    data = info(capsys, model)
    assert data["name"] == "random" and data["detector"] is True
    assert data["meta"]["licence"] == "none"
    assert data["framing"] == {"resample": "bilinear", "side": 2.3}
    assert data["thresholds"] == {"real": 0.4, "fake": 0.6}
    assert data["trainable_parameters"] == 28615 and data["parameters"] == 28615 + 2 * 55
    assert sum(node["parameters"] for node in data["graph"]["nodes"]) == data["parameters"]
    shapes = {node["name"]: node["shape"] for node in data["graph"]["nodes"]}
    assert shapes["pool1"] == [11, 128, 128] and shapes["p_fake"] == [1]


def test_plan(model: str, capsys: Captured) -> None:
    data = info(capsys, model)
    steps, nodes = data["plan"]["steps"], [node["name"] for node in data["graph"]["nodes"]]
    assert steps[0]["op"] == "INPUT_F32" and steps[-1]["op"] == "OUTPUT"
    covered = [name for step in steps for name in step["covers"]]
    twice = {name for name in covered if covered.count(name) > 1}
    assert twice == {"pool1", "bn1", "pool2", "bn2"}  # by parts of the concatenation before
    left_out = set(nodes) - set(covered)
    assert all(name.startswith("inception") for name in left_out)  # concatenated in place
    assert len(steps) < len(nodes)
    assert any(len(step["covers"]) > 1 for step in steps)
    assert 0 < data["plan"]["arena_floats"] <= data["plan"]["unshared_floats"]
    assert all(0 < step["floats"] <= data["plan"]["arena_floats"] for step in steps)


def test_model_as_text(model: str, capsys: Captured) -> None:
    assert main(["info", model]) == 0
    text = capsys.readouterr().out
    for part in (
        "random: detector\n", "of them trained 28,615\n", "  licence: none\n", "  fake: 0.6\n",
        "conv2d out_channels=4 kernel_size=3 padding=2 dilation=2", "plan for image 3x256x256:",
        "pool1 + inception1.activation1 + bn1", "arena: ",
    ):  # fmt: skip
        assert part in text
    assert all(row == row.rstrip() and row.isprintable() for row in text.splitlines())


def test_a_pair_and_both_its_networks(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved_pair(small_pair(meta={"auc": 0.9}, calibration={"spread": 0.6}), tmp_path)
    data = info(capsys, path)
    assert (data["name"], data["detector"], data["meta"]) == ("both", True, {"auc": 0.9})
    assert data["combination"] == {"bias": 0.1, "fast": 0.3, "thorough": 0.8}
    assert data["thresholds"] == {"real": 0.3, "fake": 0.7}
    for key, name in (("fast", "quick"), ("thorough", "slow")):
        alone = info(capsys, str(tmp_path / f"{name}.npz"))
        assert data[key] == alone and alone["plan"]["steps"]
    assert main(["info", path]) == 0
    text = capsys.readouterr().out
    assert text.startswith("both: detector, a pair: fast quick, thorough slow\ncombination:\n")
    assert text.count("graph:") == text.count("arena: ") == 2 and "  spread: 0.6\n" in text
    assert data["domain"] is None
    with_domain = dataclasses.replace(load_pair(path), domain=small_domain(1.0), name="three")
    (tmp_path / "three").mkdir()
    path_of_it = saved_pair(with_domain, tmp_path / "three")
    assert info(capsys, path_of_it)["domain"]["name"] == "domain"
    assert main(["info", path_of_it]) == 0
    assert capsys.readouterr().out.count("graph:") == 3

    Path(path).rename(tmp_path / "default.json")
    monkeypatch.setattr("minimeso.engine.library._FOLDER", str(tmp_path))
    monkeypatch.setattr("minimeso.engine.library.ALIASES", {"default": "quick", "q": "quick"})
    monkeypatch.setattr("minimeso.engine.ALIASES", {"default": "quick", "q": "quick"})
    assert info(capsys, "default")["fast"]["name"] == "quick"
    installed = info(capsys)
    assert installed["pairs"] == [{"name": "default", "fast": "quick", "thorough": "slow"}]
    assert [model["aliases"] for model in installed["models"]] == [["q"], []]
    assert main(["info"]) == 0
    assert "  default: pair, fast quick, thorough slow\n" in capsys.readouterr().out


def test_network_of_any_size(tmp_path: Path, capsys: Captured) -> None:
    graph = Graph("any")
    x = graph.input("image", (3, None, None))
    graph.output(graph.node("global_avg_pool2d", graph.node("relu", x)))
    data = info(capsys, saved(Model("any", graph, {}), tmp_path))
    assert data["plan"]["inputs"] == [{"name": "image", "shape": [3, 256, 256]}]
    assert data["graph"]["inputs"][0]["shape"] == [3, None, None]
    assert data["detector"] is False and data["parameters"] == 0
    assert main(["info", str(tmp_path / "any.npz")]) == 0
    assert "3xanyxany" in capsys.readouterr().out


def test_network_of_vectors(tmp_path: Path, capsys: Captured) -> None:
    graph = Graph("vectors")
    graph.output(graph.node("add", graph.input("a", (5,)), graph.input("b", (5,))))
    data = info(capsys, saved(Model("vectors", graph, {}), tmp_path))
    assert [i["shape"] for i in data["plan"]["inputs"]] == [[5], [5]]


def test_unknown_model(capsys: Captured) -> None:
    assert main(["info", "nobody"]) == 2
    assert "nobody: no bundled model" in capsys.readouterr().err


def nested(depth: int) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for _ in range(depth):
        data = {"deeper": data}
    return data


@pytest.mark.parametrize(
    "meta", [{"bell\x07": "esc\x1b[2J\nnext"}, nested(50), nested(800), {"big": 10**400}]
)
def test_hostile_cards(meta: dict[str, Any], tmp_path: Path, capsys: Captured) -> None:
    path = tmp_path / "hostile.npz"
    try:
        save_model(constant_detector(0.0, meta=meta), path)
    except (RecursionError, ValueError):
        pytest.skip("not even written")
    for flags in ([], ["--json"]):
        assert main(["info", str(path), *flags]) in (0, 2)
        output = capsys.readouterr()
        assert all(row.isprintable() for row in (output.out + output.err).splitlines())


def test_lists_in_a_card_stand_line_by_line(tmp_path: Path, capsys: Captured) -> None:
    meta = {"clips": [{"file": "a.mp4", "p_fake": 0.5}], "bins": [[0.1, 3]], "said": ["x\ny"]}
    save_model(constant_detector(0.0, meta=meta), tmp_path / "a.npz")
    assert main(["info", str(tmp_path / "a.npz")]) == 0
    rows = capsys.readouterr().out.splitlines()
    start = rows.index("card:")
    assert rows[start + 1 : start + 6] == [
        "  clips:", "    - file a.mp4, p_fake 0.5", "  bins:", "    - 0.1, 3", "  said:",
    ]  # fmt: skip
    assert rows[start + 6].startswith("    - x")


def test_number_in_the_card_that_json_lacks(tmp_path: Path, capsys: Captured) -> None:
    path = tmp_path / "infinite.npz"
    save_model(constant_detector(0.0, meta={"loss": 777.0}), path)
    with np.load(path) as file:
        entries = dict(file)
    text = entries["model.json"].tobytes().replace(b"777.0", b"1e999")
    entries["model.json"] = np.frombuffer(text, np.uint8)
    np.savez(path, **entries)
    assert main(["info", str(path), "--json"]) == 2
    assert "infinite.npz" in capsys.readouterr().err
