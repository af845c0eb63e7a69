"""What several networks of the zoo are made of."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

Activation = Callable[[], nn.Module]


def relu() -> nn.Module:
    return nn.ReLU(inplace=True)


def conv_norm(
    inputs: int,
    outputs: int,
    kernel: int = 1,
    stride: int = 1,
    groups: int = 1,
    activation: Activation | None = relu,
    eps: float = 1e-5,
) -> nn.Sequential:
    """Convolution of the same size, batch norm, and an activation."""
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs, eps=eps),
    ]
    return nn.Sequential(*layers, *([activation()] if activation else []))


class SqueezeExcite(nn.Module):
    """Channels weighed by what a small network makes of their means."""

    def __init__(self, channels: int, inner: int, activation: Activation, gate: Activation) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.reduce = nn.Conv2d(channels, inner, 1)
        self.activation = activation()
        self.expand = nn.Conv2d(inner, channels, 1)
        self.gate = gate()

    def forward(self, x: Tensor) -> Tensor:
        scale = self.gate(self.expand(self.activation(self.reduce(self.pool(x)))))
        return torch.mul(x, scale)


class InvertedResidual(nn.Module):
    """1x1 to many channels, each by itself, perhaps weighed, 1x1 to few; added where it fits."""

    def __init__(
        self,
        inputs: int,
        wide: int,
        outputs: int,
        kernel: int,
        stride: int,
        activation: Activation,
        excite: Callable[[int], nn.Module] | None = None,
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        if wide != inputs:
            layers.append(conv_norm(inputs, wide, activation=activation, eps=eps))
        layers.append(conv_norm(wide, wide, kernel, stride, wide, activation, eps))
        if excite is not None:
            layers.append(excite(wide))
        layers.append(conv_norm(wide, outputs, activation=None, eps=eps))
        self.layers = nn.Sequential(*layers)
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        return x + y if self.adds else y


def head(channels: int, classes: int = 1000, dropout: float = 0.2) -> nn.Sequential:
    """Means of the channels, and a dense layer."""
    return nn.Sequential(
        nn.AdaptiveAvgPool2d(1), nn.Flatten(1), nn.Dropout(dropout), nn.Linear(channels, classes)
    )
