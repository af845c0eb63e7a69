"""Meso-4 and MesoInception-4 as graphs (Afchar et al. 2018, WIFS).

Node names are the module paths of the PyTorch twins in ``tools/train/networks.py``, so a
``state_dict`` key is an array name.  Order inside a block: convolution, activation,
(concat,) batch norm, max-pool.  A ``calibrated`` network has one more node, the linear
1 -> 1 ``calibration`` between ``fc2`` and the sigmoid (Platt scaling, fitted after training).
"""

from __future__ import annotations

import math
from collections.abc import Callable

from .engine.graph import Graph
from .errors import GraphError

#: Activation settings of Kawa & Syga 2021: one function everywhere, or the networks'
#: ``original`` mix of ReLU in the convolutions and Leaky ReLU after the dense layer.
ACTIVATION_SETTINGS = ("original", "relu", "leaky_relu", "swish", "mish", "pish")
NEGATIVE_SLOPE = 0.1


def _activate(graph: Graph, x: str, activation: str, name: str) -> str:
    if activation == "leaky_relu":
        return graph.node(activation, x, name=name, negative_slope=NEGATIVE_SLOPE)
    return graph.node(activation, x, name=name)


def _block(
    graph: Graph, x: str, number: int, activation: str, eps: float, channels: int, kernel: int,
    pool: int,
) -> str:  # fmt: skip
    x = graph.node(
        "conv2d",
        x,
        name=f"conv{number}",
        out_channels=channels,
        kernel_size=kernel,
        padding=kernel // 2,
    )
    x = _activate(graph, x, activation, f"activation{number}")
    return _normalise_and_pool(graph, x, number, eps, pool)


def _normalise_and_pool(graph: Graph, x: str, number: int, eps: float, pool: int) -> str:
    x = graph.node("batch_norm", x, name=f"bn{number}", eps=eps)
    return graph.node("max_pool2d", x, name=f"pool{number}", kernel_size=pool)


def _inception(graph: Graph, x: str, number: int, activation: str, widths: tuple[int, ...]) -> str:
    """1x1 || 1x1, 3x3 || 1x1, 3x3 dilation 2 || 1x1, 3x3 dilation 3; activation after each."""
    prefix = f"inception{number}"
    branches = []
    for branch, width in enumerate(widths, start=1):
        letter = "" if branch == 1 else "a"
        y = graph.node(
            "conv2d", x, name=f"{prefix}.conv{branch}{letter}", out_channels=width, kernel_size=1
        )
        y = _activate(graph, y, activation, f"{prefix}.activation{branch}{letter}")
        if branch > 1:
            dilation = branch - 1
            y = graph.node(
                "conv2d",
                y,
                name=f"{prefix}.conv{branch}b",
                out_channels=width,
                kernel_size=3,
                padding=dilation,
                dilation=dilation,
            )
            y = _activate(graph, y, activation, f"{prefix}.activation{branch}b")
        branches.append(y)
    return graph.node("concat", *branches, name=prefix)


def _classifier(graph: Graph, x: str, activation: str, calibrated: bool) -> None:
    x = graph.node("flatten", x, name="flatten")
    x = graph.node("linear", x, name="fc1", out_features=16)
    x = _activate(graph, x, activation, "activation5")
    x = graph.node("linear", x, name="fc2", out_features=1)
    if calibrated:
        x = graph.node("linear", x, name="calibration", out_features=1)
    graph.output(graph.node("sigmoid", x, name="p_fake"))


def _split(activation: str) -> tuple[str, str]:
    if activation not in ACTIVATION_SETTINGS:
        known = ", ".join(ACTIVATION_SETTINGS)
        raise GraphError(f"unknown activation {activation!r} (known: {known})")
    return ("relu", "leaky_relu") if activation == "original" else (activation, activation)


def meso4(activation: str = "original", eps: float = 1e-5, calibrated: bool = False) -> Graph:
    """Meso-4, 27,977 trainable parameters: (3, 256, 256) in [0, 1] to ``p_fake`` (1,).

    Args:
        activation: ``relu``, ``leaky_relu`` (slope 0.1), ``swish``, ``mish`` or ``pish``
            everywhere, or ``original``: ReLU behind convolutions, Leaky ReLU behind the dense
            layer.
        eps: of the batch norms.
        calibrated: with a linear node ``calibration`` more, between ``fc2`` and the sigmoid.

    Returns:
        The graph, which has no weights.

    Raises:
        GraphError: there is no such activation.
    """
    convolution, dense = _split(activation)
    graph = Graph("meso4")
    x = graph.input("image", (3, 256, 256))
    for number, (channels, kernel, pool) in enumerate(
        [(8, 3, 2), (8, 5, 2), (16, 5, 2), (16, 5, 4)], start=1
    ):
        x = _block(graph, x, number, convolution, eps, channels, kernel, pool)
    _classifier(graph, x, dense, calibrated)
    return graph


def mesoinception4(
    activation: str = "original", eps: float = 1e-5, calibrated: bool = False
) -> Graph:
    """MesoInception-4, 28,615 trainable parameters: (3, 256, 256) in [0, 1] to ``p_fake`` (1,).

    Arguments, result and errors are those of ``meso4``.
    """
    convolution, dense = _split(activation)
    graph = Graph("mesoinception4")
    x = graph.input("image", (3, 256, 256))
    for number, widths in enumerate([(1, 4, 4, 2), (2, 4, 4, 2)], start=1):
        x = _inception(graph, x, number, convolution, widths)
        x = _normalise_and_pool(graph, x, number, eps, 2)
    x = _block(graph, x, 3, convolution, eps, 16, 5, 2)
    x = _block(graph, x, 4, convolution, eps, 16, 5, 4)
    _classifier(graph, x, dense, calibrated)
    return graph


#: Architecture name to ``builder(activation, eps, calibrated) -> Graph``.
NETWORKS: dict[str, Callable[[str, float, bool], Graph]] = {
    "meso4": meso4,
    "mesoinception4": mesoinception4,
}


def trainable_parameters(graph: Graph) -> int:
    """Number of trained values: no running statistics, no calibration (fitted afterwards)."""
    total = 0
    for name, shape in graph.parameters().items():
        node, _, parameter = name.rpartition(".")
        if node != "calibration" and parameter not in ("running_mean", "running_var"):
            total += math.prod(shape)
    return total
