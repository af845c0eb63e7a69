"""What ONNX says an operator computes, where the package ``onnx`` computes something else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minimeso import Session
from minimeso.cli import main
from minimeso.convert import convert_file, front

pytest.importorskip("onnx")
from test_onnx_file import node, written

Array = np.ndarray[Any, Any]
RANDOM = np.random.default_rng(0)


def normal(*shape: int) -> Array:
    return RANDOM.standard_normal(shape).astype(np.float32)


#: scale, bias, mean and variance of four channels.
STATISTICS: dict[str, Any] = {"s": normal(4), "b": normal(4), "m": normal(4),
                              "v": RANDOM.random(4, np.float32) + 0.5}  # fmt: skip
NORM = ("BatchNormalization", "x s b m v", "y")
FILES: dict[str, tuple[tuple[Any, ...], dict[str, Any], dict[str, Any], list[int], int]] = {
    # operator, attributes, constants, shape, opset
    "batch norm, opset 7": (NORM, {}, STATISTICS, [1, 4, 5, 6], 7),
    "batch norm, opset 8": (NORM, {"momentum": 0.1}, STATISTICS, [1, 4, 5, 6], 8),
    "batch norm, opset 9": (NORM, {"epsilon": 1e-3}, STATISTICS, [1, 4, 5, 6], 9),
    "batch norm, opset 13": (NORM, {}, STATISTICS, [1, 4, 7], 13),
    "batch norm of a vector": (NORM, {}, STATISTICS, [1, 4], 11),
    "batch norm, opset 15": (NORM, {}, STATISTICS, [1, 4, 5, 6], 15),
    "softmax, opset 11": (("Softmax", "x", "y"), {}, {}, [1, 3, 4, 5], 11),
    "softmax of two axes, opset 12": (("Softmax", "x", "y"), {"axis": 2}, {}, [1, 3, 4, 5], 12),
    "softmax, opset 13": (("Softmax", "x", "y"), {}, {}, [1, 3, 4, 5], 13),
    "global max pool of lines": (("GlobalMaxPool", "x", "y"), {}, {}, [1, 3, 7], 13),
    "global max pool": (("GlobalMaxPool", "x", "y"), {}, {}, [1, 3, 7, 5], 13),
    "convolution in groups, dilated": (
        ("Conv", "x w c", "y"), {"group": 2, "dilations": [2, 1], "pads": [1, 0, 2, 1]},
        {"w": normal(6, 2, 3, 2), "c": normal(6)}, [1, 4, 7, 8], 13),
    "transposed, of each channel": (
        ("ConvTranspose", "x w c", "y"), {"group": 3, "strides": [2, 2]},
        {"w": normal(3, 1, 3, 3), "c": normal(3)}, [1, 3, 4, 5], 13),
    "transposed, in groups": (
        ("ConvTranspose", "x w", "y"), {"group": 2, "strides": [2, 1], "pads": [1, 0, 0, 1]},
        {"w": normal(4, 3, 3, 2)}, [1, 4, 4, 5], 13),
    "max pool, more before than behind": (
        ("MaxPool", "x", "y"), {"kernel_shape": [3, 2], "pads": [1, 1, 0, 0]}, {},
        [1, 3, 6, 8], 13),
    "max pool, dilated, rounded up": (
        ("MaxPool", "x", "y"), {"kernel_shape": [2, 3], "strides": [2, 2], "dilations": [2, 1],
                                "ceil_mode": 1}, {}, [1, 3, 8, 8], 13),
    "max pool of less than its step": (
        ("MaxPool", "x", "y"), {"kernel_shape": [1, 1], "strides": [2, 2],
                                "auto_pad": "SAME_UPPER"}, {}, [1, 3, 7, 8], 13),
    "max pool, the odd pixel before": (
        ("MaxPool", "x", "y"), {"kernel_shape": [2, 4], "auto_pad": "SAME_LOWER"}, {},
        [1, 3, 7, 8], 13),
    "max pool of lines": (
        ("MaxPool", "x", "y"), {"kernel_shape": [3], "pads": [1, 1], "strides": [2]}, {},
        [1, 3, 7], 13),
}  # fmt: skip


@pytest.fixture
def no_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the extra ``onnx`` alone is installed."""
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)


@pytest.mark.usefixtures("no_runtime")
@pytest.mark.parametrize("name", FILES)
def test_a_reference_holds_what_onnx_says(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Right networks were told wrong by ``verify``, or ended ``convert`` with a traceback."""
    (op, inputs, output), attributes, constants, shape, opset = FILES[name]
    path = written(tmp_path, [node(op, inputs, output, **attributes)], constants, shape, opset)
    model, reference = str(tmp_path / "model.npz"), str(tmp_path / "reference.npz")
    assert main(["convert", str(path), model, "--reference", reference]) == 0
    capsys.readouterr()
    status = main(["verify", model, reference, "--json"])
    report = json.loads(capsys.readouterr().out)
    assert status == 0 and report["layers"], report


def test_another_shape_of_the_source_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(front, "evaluate_onnx", lambda *_: {"y": np.zeros((1, 3, 4))})
    path = written(tmp_path, [node("Relu", "x", "y")], {}, [1, 3, 4, 5], 13)
    command = ["convert", str(path), str(tmp_path / "model.npz"), "--reference"]
    assert main([*command, str(tmp_path / "reference.npz")]) == 2
    assert "makes something else of 'y'" in capsys.readouterr().err


def test_constants_are_worked_out_as_onnx_says(tmp_path: Path) -> None:
    """A batch norm and a softmax of constants before opset 13 went into the network wrong."""
    k, shape = normal(1, 4, 3, 5), (4, 1, 1)
    s, b, m, v = (STATISTICS[name].reshape(shape).astype(np.float64) for name in "sbmv")
    normed = (k - m) / np.sqrt(v + 1e-5) * s + b
    powers = np.exp(normed)
    nodes = [
        node("BatchNormalization", "k s b m v", "n"),
        node("Softmax", "n", "p"),
        node("Sum", "x n p", "y"),
    ]
    path = written(tmp_path, nodes, {"k": k, **STATISTICS}, [1, 4, 3, 5], 12)
    x = normal(1, 4, 3, 5)
    found = Session(convert_file(path), threads=1).run(x)
    np.testing.assert_allclose(found, x + normed + powers / powers.sum(), rtol=0, atol=1e-5)
