"""EfficientNet-Lite0 as a graph (Tan & Le 2019, ICML; Google's Lite variant: no squeeze and
excitation, ReLU6), with one output, the logit of a fake face.

Node names are the module paths of the PyTorch twin (`Teacher` in `tools/train/teacher.py`), so a
`state_dict` key is an array name: `body._fc` is the logit, `p_fake` the probability.  A
`calibrated` network has the linear 1 -> 1 `calibration` between them, as in `minimeso/networks.py`.
What no module of the twin stands for is `scaled`, how ImageNet's pictures came: (255 x - 127) /
128.  It is a node of its own because convolutions are padded with zeros behind it, so that its
shift is not in them at the border; its arrays (`SCALING`) are exact.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from minimeso.engine.graph import Graph, Weights

ARCHITECTURE, ACTIVATION = "efficientnet_lite0", "relu6"
EPS = 1e-3
#: Such that its square root and the sum with the variance of `SCALING` are exact.
_EXACT_EPS = 2.0**-20

#: (blocks, kernel, stride of the first, channels of a block's output); all but the first stage
#: widen what they read six times.
STAGES = (
    (1, 3, 1, 16),
    (2, 3, 2, 24),
    (2, 5, 2, 40),
    (3, 3, 2, 80),
    (3, 5, 1, 112),
    (4, 5, 2, 192),
    (1, 3, 1, 320),
)
_STEM, _HEAD, _WIDENING = 32, 1280, 6

#: Arrays of the node `scaled`, which no training changes.
SCALING: Weights = {
    "scaled.weight": np.full(3, 255 / 128, np.float32),
    "scaled.bias": np.full(3, -127 / 128, np.float32),
    "scaled.running_mean": np.zeros(3, np.float32),
    "scaled.running_var": np.full(3, 1 - _EXACT_EPS, np.float32),
}


def efficientnet_lite0(calibrated: bool = False, widths: Mapping[str, int] | None = None) -> Graph:
    """(3, 256, 256) in [0, 1] to `p_fake` (1,).

    Args:
        calibrated: with the node `calibration`.
        widths: output channels of convolutions by name, where they are not the usual ones: of a
            network that was pruned.
    """
    return _Builder(widths or {}).network(calibrated)


def widths_of(arrays: Mapping[str, Any]) -> dict[str, int]:
    """Output channels of the convolutions among these arrays."""
    return {
        name.removesuffix(".weight"): array.shape[0]
        for name, array in arrays.items()
        if array.ndim == 4
    }


class _Builder:
    def __init__(self, widths: Mapping[str, int]) -> None:
        self.graph = Graph(ARCHITECTURE)
        self.widths = widths

    def network(self, calibrated: bool) -> Graph:
        graph = self.graph
        x = graph.input("image", (3, 256, 256))
        x = graph.node("batch_norm", x, name="scaled", eps=_EXACT_EPS)
        x = self.convolution(x, "body._conv_stem", "body._bn0", _STEM, kernel=3, stride=2)
        x = self.relu6(x, "body._swish")
        number = 0
        for blocks, kernel, stride, channels in STAGES:
            x = self.block(x, number, kernel, stride, channels)
            for later in range(number + 1, number + blocks):
                y = self.block(x, later, kernel, 1, channels)
                x = graph.node("add", y, x, name=f"body._blocks.{later}")
            number += blocks
        x = self.convolution(x, "body._conv_head", "body._bn1", _HEAD)
        x = self.relu6(x, "body._swish")
        x = graph.node("global_avg_pool2d", x, name="body._avg_pooling")
        x = graph.node("flatten", x, name="flatten")
        x = graph.node("linear", x, name="body._fc", out_features=1)
        if calibrated:
            x = graph.node("linear", x, name="calibration", out_features=1)
        graph.output(graph.node("sigmoid", x, name="p_fake"))
        return graph

    def block(self, x: str, number: int, kernel: int, stride: int, channels: int) -> str:
        """1x1 to many channels (not in the first block), each by itself, 1x1 to few."""
        prefix = f"body._blocks.{number}"
        if number:
            wide = self.channels(x) * _WIDENING
            x = self.convolution(x, f"{prefix}._expand_conv", f"{prefix}._bn0", wide)
            x = self.relu6(x, f"{prefix}._swish")
        x = self.convolution(
            x,
            f"{prefix}._depthwise_conv",
            f"{prefix}._bn1",
            self.channels(x),
            kernel=kernel,
            stride=stride,
            groups=self.channels(x),
        )
        x = self.relu6(x, f"{prefix}._swish")
        return self.convolution(x, f"{prefix}._project_conv", f"{prefix}._bn2", channels)

    def convolution(
        self, x: str, name: str, norm: str, channels: int, *, kernel: int = 1, stride: int = 1,
        groups: int = 1,
    ) -> str:  # fmt: skip
        """With a batch norm; padded as TensorFlow pads even sizes, more below and right."""
        missing = kernel - stride if stride > 1 else kernel - 1
        before = missing // 2
        x = self.graph.node(
            "conv2d",
            x,
            name=name,
            out_channels=self.widths.get(name, channels),
            kernel_size=kernel,
            stride=stride,
            padding=(before, before, missing - before, missing - before),
            groups=groups,
            bias=False,
        )
        return self.graph.node("batch_norm", x, name=norm, eps=EPS)

    def relu6(self, x: str, name: str) -> str:
        """The twin calls one module again and again: the node's name counts the calls."""
        calls = sum(node.name.startswith(name) for node in self.graph.nodes)
        return self.graph.node("clamp", x, name=f"{name}{calls}", min=0, max=6)

    def channels(self, name: str) -> int:
        return self.graph.shapes()[name][0] or 0
