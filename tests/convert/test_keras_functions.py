"""Functions between the layers of a Keras file, and layers that are made of several operators."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.keras_files import keras_file, layer, sequential

from minimeso import Session
from minimeso.convert import convert_file
from minimeso.errors import ConvertError

pytest.importorskip("h5py")
X = np.random.default_rng(0).normal(size=(2, 3, 6, 5)).astype(np.float32)


def called(class_name: str, *arguments: Any, module: str = "keras.src.ops.numpy") -> dict[str, Any]:
    """A functional model of one function, as Keras 3 writes it."""
    image = {"class_name": "InputLayer", "name": "image", "inbound_nodes": [],
             "config": {"name": "image", "batch_shape": [None, 6, 5, 3]}}  # fmt: skip
    function = {
        "module": module, "class_name": class_name, "name": "function",
        "config": {"name": "function"}, "inbound_nodes": [{"args": arguments, "kwargs": {}}],
    }  # fmt: skip
    config = {"layers": [image, function], "input_layers": [["image", 0, 0]],
              "output_layers": [["function", 0, 0]]}  # fmt: skip
    return {"class_name": "Functional", "config": config}


TENSOR = {"class_name": "__keras_tensor__", "config": {"keras_history": ["image", 0, 0]}}


def ran(config: Any, folder: Path) -> Any:
    path = folder / "network.keras"
    path.write_bytes(keras_file(config, {}))
    found = Session(convert_file(path)).run(X)  # in the file's order, (N, H, W, C)
    return found.transpose(0, 3, 1, 2)


FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "Relu": lambda x: np.maximum(x, 0),
    "Sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "Silu": lambda x: x / (1 + np.exp(-x)),
    "Tanh": np.tanh,
    "Softsign": lambda x: x / (1 + abs(x)),
    "Absolute": np.abs,
    "Negative": lambda x: -x,
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_between_layers(name: str, tmp_path: Path) -> None:
    wanted = FUNCTIONS[name](X.astype(np.float64))
    np.testing.assert_allclose(ran(called(name, TENSOR), tmp_path), wanted, 1e-5, 1e-6)


def test_maxima_and_lengths(tmp_path: Path) -> None:
    found = ran(called("Maximum", TENSOR, TENSOR, module="keras.layers"), tmp_path)
    np.testing.assert_array_equal(found, X)
    found = ran(sequential(layer("UnitNormalization")), tmp_path)
    np.testing.assert_allclose(found, X / np.sqrt((X**2).sum(1, keepdims=True)), 1e-5, 1e-6)
    found = ran(sequential(layer("Activation", activation="celu")), tmp_path)
    np.testing.assert_allclose(found, np.maximum(X, 0) + np.minimum(np.expm1(X), 0), 1e-5, 1e-6)


def test_what_a_function_is_called_with_is_named(tmp_path: Path) -> None:
    """``x[..., :2]`` is a call with a slice."""
    cut = {"class_name": "__slice__", "config": {"start": None, "stop": 2, "step": None}}
    with pytest.raises(ConvertError, match=r"'function' .ops.GetItem.: is called with a __slice__"):
        ran(called("GetItem", TENSOR, [cut]),
            tmp_path)  # fmt: skip
