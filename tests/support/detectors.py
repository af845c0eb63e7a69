"""Models and picture files that the tests of the upper floors share."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from conftest import random_weights

from minimeso import Graph, Model, save_model
from minimeso.detect.pair import Combination, Pair, save_pair
from minimeso.networks import mesoinception4


def random_detector(**changes: Any) -> Model:
    """MesoInception-4 with random weights by a fixed seed, and thresholds."""
    graph = mesoinception4()
    weights = random_weights(graph, np.random.default_rng(7))
    weights["fc2.weight"] *= np.float32(0.05)  # away from 0 and 1, so that pictures differ
    values: dict[str, Any] = {
        "meta": {"architecture": "mesoinception4", "licence": "none"},
        "framing": {"resample": "bilinear", "side": 2.3},
        "thresholds": {"real": 0.4, "fake": 0.6},
    }
    return Model("random", graph, weights, **{**values, **changes})


def constant_detector(p_fake_logit: float, **changes: Any) -> Model:
    """A detector that answers sigmoid(logit) whatever it sees, on pictures of 8 x 6."""
    graph = Graph("constant")
    x = graph.node("flatten", graph.input("image", (3, 6, 8)), name="flatten")
    x = graph.node("linear", x, name="fc", out_features=1)
    graph.output(graph.node("sigmoid", x, name="p_fake"))
    weights = {
        "fc.weight": np.zeros((1, 3 * 6 * 8), np.float32),
        "fc.bias": np.array([p_fake_logit], np.float32),
    }
    values: dict[str, Any] = {
        "framing": {"resample": "nearest", "side": 2.3},
        "thresholds": {"real": 0.4, "fake": 0.6},
    }
    return Model("constant", graph, weights, **{**values, **changes})


def small_detector(name: str, seed: int, **changes: Any) -> Model:
    """A detector of a few thousand multiply-adds on pictures of 32 x 32, unlike other seeds'."""
    graph = Graph(name)
    x = graph.input("image", (3, 32, 32))
    x = graph.node("conv2d", x, name="conv1", out_channels=4, kernel_size=3, padding=1)
    x = graph.node("max_pool2d", graph.node("mish", x), name="pool1", kernel_size=4)
    x = graph.node("flatten", x, name="flatten")
    x = graph.node("linear", x, name="fc", out_features=1)
    graph.output(graph.node("sigmoid", x, name="p_fake"))
    weights = random_weights(graph, np.random.default_rng(seed))
    weights["fc.weight"] *= np.float32(2)
    values: dict[str, Any] = {
        "framing": {"resample": "bilinear", "side": 2.1},
        "thresholds": {"real": 0.4, "fake": 0.6},
    }
    return Model(name, graph, weights, **{**values, **changes})


def small_domain(bias: float, limit: float = 0.0, weight: float = 0.0) -> Model:
    """What says of every face of ``small_pair`` that it is ``bias`` strange, and ``weight`` times
    the sum of what the thorough network computes."""
    graph = Graph("domain")
    x = graph.input("values", (4 * 8 * 8,))
    graph.output(graph.node("linear", x, name="far", out_features=1))
    weights = {
        "far.weight": np.full((1, 4 * 8 * 8), weight, np.float32),
        "far.bias": np.array([bias], np.float32),
    }
    return Model("domain", graph, weights, calibration={"layer": "flatten", "limit": limit})


def small_pair(**changes: Any) -> Pair:
    """A pair of small detectors that disagree."""
    values: dict[str, Any] = {
        "name": "both",
        "fast": small_detector("quick", 1),
        "thorough": small_detector("slow", 2),
        "combination": Combination(0.1, 0.3, 0.8),
        "thresholds": {"real": 0.3, "fake": 0.7},
    }
    return Pair(**{**values, **changes})


def saved_pair(pair: Pair, folder: Path) -> str:
    """The path of the manifest, written to ``folder`` beside its models."""
    for model in (pair.fast, pair.thorough, pair.domain):
        if model is not None:
            saved(model, folder)
    path = folder / f"{pair.name}.json"
    save_pair(pair, path)
    return str(path)


def saved(model: Model, folder: Path) -> str:
    """The path of the model, written to ``folder``."""
    path = folder / f"{model.name}.npz"
    save_model(model, path)
    return str(path)


def photo(height: int = 120, width: int = 90) -> npt.NDArray[np.uint8]:
    """(H, W, 3) smooth colours, different in every corner."""
    y, x = np.mgrid[0:height, 0:width]
    red, green = 255 * y / (height - 1), 255 * x / (width - 1)
    blue = 127 + 80 * np.sin(x / 9) * np.cos(y / 7)
    return np.stack([red, green, blue], axis=2).astype(np.uint8)


def png_header(width: int, height: int) -> bytes:
    """A PNG that promises a grey picture of that size and holds one byte of it."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks
