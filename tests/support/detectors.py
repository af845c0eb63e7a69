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
