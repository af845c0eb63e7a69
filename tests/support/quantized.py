"""Small networks whose weights are int8 in their file, as only large arrays are elsewhere."""

from __future__ import annotations

from pathlib import Path
from unittest import mock

import numpy as np
from conftest import random_weights

from minimeso import Graph, Model, load_model, save_model
from minimeso.engine import storage


def save_all_int8(model: Model, path: Path) -> None:
    with mock.patch.object(storage, "LARGE", 1):
        save_model(model, path, dtype="int8")


def as_stored(graph: Graph, folder: Path, seed: int = 0) -> Model:
    """The network with random weights, written and read again."""
    weights = dict(random_weights(graph, np.random.default_rng(seed)))
    for name in weights:
        if name.endswith("running_var"):  # tiny ones let rounding grow
            weights[name] = np.abs(weights[name]) + np.float32(0.5)
    save_all_int8(Model("small", graph, weights), folder / "small.npz")
    return load_model(folder / "small.npz")


def blocks(height: int, width: int, channels: int, wide: int, kernel: int, stride: int) -> Graph:
    """What a MobileNet is made of, then convolutions of every other kind."""
    graph = Graph()
    x = graph.input("x", (3, height, width))
    x = graph.node("conv2d", x, out_channels=channels, kernel_size=3, padding=1, stride=stride)
    first = x
    x = graph.node("conv2d", x, out_channels=wide, kernel_size=1, bias=False)
    x = graph.node("relu6", graph.node("batch_norm", x))
    x = graph.node("conv2d", x, out_channels=wide, kernel_size=3, padding=1, groups=wide)
    x = graph.node("conv2d", x, out_channels=channels, kernel_size=1)
    x = graph.node("add", graph.node("batch_norm", x), first)
    y = graph.node("conv2d", x, out_channels=2 * channels, kernel_size=kernel, groups=2)
    y = graph.node("swish", y)
    y = graph.node("conv2d", y, out_channels=12, kernel_size=(1, 2), dilation=2, stride=3)
    z = graph.node("conv2d", x, out_channels=channels, kernel_size=3, padding=1, groups=channels)
    z = graph.node("relu6", graph.node("conv2d", z, out_channels=wide, kernel_size=1))
    z = graph.node("conv2d", z, out_channels=8, kernel_size=1)
    z = graph.node("linear", graph.node("mean", z), out_features=5)
    graph.output(y, z, graph.node("conv2d", x, out_channels=7, kernel_size=1))
    return graph
