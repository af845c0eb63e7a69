"""One network with every operator of the engine."""

from __future__ import annotations

from typing import Any

import numpy as np
from conftest import random_weights

from minimeso import Graph, Model
from minimeso.engine.operators import OPERATORS, examples

#: Attributes without a default; several are several nodes.
_GIVEN: dict[str, list[dict[str, Any]]] = {
    "conv2d": [
        {"out_channels": 9, "kernel_size": 3, "padding": 1},
        {"out_channels": 8, "kernel_size": 5, "padding": 2, "dilation": 1},
        {"out_channels": 6, "kernel_size": [2, 3], "stride": [1, 3], "groups": 2},
        {"out_channels": 8, "kernel_size": 3, "padding": 1, "groups": 8},
        {"out_channels": 8, "kernel_size": 5, "padding": 2, "groups": 8, "stride": 2},
    ],
    "linear": [{"out_features": 5}],
    "conv_transpose2d": [{"out_channels": 3, "kernel_size": 3, "stride": 2, "padding": 1}],
    "group_norm": [{"num_groups": 2}],
    "layer_norm": [{"normalized_shape": [20]}],
    "max_pool2d": [{"kernel_size": 2}, {"kernel_size": 3, "stride": 2, "padding": 1}],
    "avg_pool2d": [{"kernel_size": 2}, {"kernel_size": 3, "padding": 1}],
    "clamp": [{"min": -0.5, "max": 0.25}],
    "pad_channels": [{"before": 1, "after": 2}],
    "pad": [{"padding": [1, 2, 3, 4], "mode": mode} for mode in ("reflect", "circular")],
    "resize": [
        {"mode": "nearest", "scale": [2.0, 1.5]},
        {"mode": "bilinear", "scale": [2.0, 1.5]},
        {"mode": "bilinear", "scale": [2.0, 1.5], "align_corners": True},
    ],
    "reshape": [{"shape": [12, 8, 20]}],
    "permute": [{"dims": [2, 0, 1]}],
    "pixel_shuffle": [{"upscale_factor": 2}],
    "prelu": [{"num_parameters": 8}],
    "slice_channels": [{"start": 2, "end": 7, "step": 2}],
    "channel_shuffle": [{"groups": 2}],
}


def every_operator() -> Model:
    """(8, 12, 20) to one output for each operator, several for some."""
    graph = Graph("every")
    x = graph.input("x", (8, 12, 20))
    vector = graph.node("flatten", graph.node("max_pool2d", x, kernel_size=4), name="vector")
    for op, entry in OPERATORS.items():
        for number, attributes in enumerate(_GIVEN.get(op, examples(op))):
            inputs = [vector if op in ("linear", "argmax") else x]
            if entry.arity[1] > 1:
                inputs.append(graph.node("sigmoid", x))
            graph.output(graph.node(op, *inputs, name=f"{op}-{number}", **attributes))
    return Model("every", graph, random_weights(graph, np.random.default_rng(1)))
