"""Meso-4 and MesoInception-4 against what PyTorch gave for them, on every instruction set.

The dumps under tests/data/reference hold both networks with each of the six activation settings,
random weights and running statistics (tools/convert/reference.py made and describes them).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minimeso import Graph, GraphError, Session
from minimeso.engine.model_file import read_arrays
from minimeso.networks import ACTIVATION_SETTINGS, NETWORKS, trainable_parameters

DUMPS = Path(__file__).resolve().parent.parent / "data" / "reference"
BOUND = 2e-5  # of the layer's largest value; the bound for the logit


@pytest.mark.parametrize(("name", "count"), [("meso4", 27_977), ("mesoinception4", 28_615)])
@pytest.mark.parametrize("activation", ACTIVATION_SETTINGS)
def test_parameter_counts(name: str, count: int, activation: str) -> None:
    for calibrated in (False, True):
        assert trainable_parameters(NETWORKS[name](activation, 1e-5, calibrated)) == count


def test_unknown_activation() -> None:
    with pytest.raises(GraphError, match="gelu"):
        NETWORKS["meso4"]("gelu", 1e-5, False)


def test_sizes_may_be_whole_numbers_of_numpy() -> None:
    """As from `math` on shapes and arrays; they come back as Python's, which JSON knows."""

    def made(two: Any, wanted: Any) -> dict[str, Any]:
        graph = Graph()
        x = graph.input("x", (two, None, None))
        x = graph.node("conv2d", x, out_channels=two, kernel_size=(two, two), padding=two)
        graph.output(graph.node("reshape", graph.node("global_avg_pool2d", x), shape=wanted))
        described: dict[str, Any] = json.loads(json.dumps(graph.to_json()))
        return described

    assert made(np.int64(2), [np.int32(2)]) == made(2, [2])


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("activation", ACTIVATION_SETTINGS)
def test_layers_equal_pytorch(network: str, activation: str, isa: str) -> None:
    arrays = read_arrays(DUMPS / f"{network}-{activation}.npz")
    description = json.loads(arrays.pop("model.json").tobytes())
    graph = Graph.from_json(description["graph"])
    assert graph.to_json() == NETWORKS[network](activation, 1e-5, False).to_json()
    weights = {name: arrays[name] for name in graph.parameters()}
    session = Session(graph, weights, isa=isa)
    for node, scale in zip(graph.nodes, arrays["scale"], strict=True):
        result = session.run(arrays["input"], outputs=[node.name])[node.name].ravel()
        index = arrays.get(f"index/{node.name}")
        if index is not None:
            result = result[index]
        wanted = arrays[f"output/{node.name}"].ravel()
        worst = float(np.abs(result - wanted).max() / scale)
        assert worst <= BOUND, f"{node.name}: {worst:.2e} of its scale"
