"""Keras files made without Keras: a configuration, and arrays by their paths."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np


def hdf5(arrays: Mapping[str, Any], **attributes: Any) -> bytes:
    """An HDF5 file, its root with attributes of bytes."""
    import h5py

    file = io.BytesIO()
    with h5py.File(file, "w") as root:
        for name, text in attributes.items():
            root.attrs[name] = text
        for path, array in arrays.items():
            root[path] = np.asarray(array, np.float32)
    return file.getvalue()


def sequential(
    *layers: dict[str, Any], shape: tuple[int | None, ...] = (6, 5, 3)
) -> dict[str, Any]:
    """A model of layers one behind the other."""
    first = {"class_name": "InputLayer",
             "config": {"name": "image", "batch_shape": [None, *shape]}}  # fmt: skip
    return {"class_name": "Sequential", "config": {"name": "s", "layers": [first, *layers]}}


def layer(class_name: str, name: str = "", **config: Any) -> dict[str, Any]:
    """A layer, of its class's name by default."""
    return {"class_name": class_name, "config": {"name": name or class_name.lower(), **config}}


def keras_file(config: Any, arrays: Mapping[str, Any], version: str = "3.15.1") -> bytes:
    """A ``.keras``; arrays as ``conv2d/0``."""
    weights = hdf5({f"layers/{p.replace('/', '/vars/')}": a for p, a in arrays.items()})
    return archive(json.dumps(config).encode(), weights, version)


def archive(config: bytes, weights: bytes, version: str = "3.15.1") -> bytes:
    """The zip of its parts."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as parts:
        parts.writestr("metadata.json", json.dumps({"keras_version": version}))
        parts.writestr("config.json", config)
        parts.writestr("model.weights.h5", weights)
    return file.getvalue()


def h5_file(config: Any, arrays: Mapping[str, Any], version: str = "2.15.0") -> bytes:
    """An ``.h5`` with its model; arrays as ``conv2d/kernel``, nested as Keras 2 does it."""
    nested = {}
    for path, array in arrays.items():
        name, _, short = path.rpartition("/")
        nested[f"model_weights/{name}/{name}/{short}:0"] = array
    return hdf5(nested, model_config=json.dumps(config).encode(), keras_version=version.encode())


def old_functional() -> dict[str, Any]:
    """(x + 3) * y as TensorFlow's functions, as Keras 2 writes MobileNetV3."""
    layers = [
        {"class_name": "InputLayer", "name": "image", "inbound_nodes": [],
         "config": {"name": "image", "batch_input_shape": [None, 6, 5, 3]}},
        {"class_name": "TFOpLambda", "name": "tf.math.multiply",
         "config": {"name": "tf.math.multiply", "function": "math.multiply"},
         "inbound_nodes": [["sum", 0, 0, {"y": ["image", 0, 0], "name": None}]]},
        {"class_name": "TFOpLambda", "name": "sum",
         "config": {"name": "sum", "function": "__operators__.add"},
         "inbound_nodes": [["image", 0, 0, {"y": 3.0, "name": None}]]},
        {"class_name": "GlobalAveragePooling2D", "name": "mean", "config": {"name": "mean"},
         "inbound_nodes": [[["tf.math.multiply", 0, 0, {}]]]},
    ]  # fmt: skip
    return {
        "class_name": "Functional",
        "config": {
            "layers": layers,
            "input_layers": [["image", 0, 0]],
            "output_layers": [["mean", 0, 0]],
        },
    }
