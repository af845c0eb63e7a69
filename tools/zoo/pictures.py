"""Networks that make pictures: a U-Net, SRCNN, ESPCN; and a small ConvNeXt."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from tools.zoo.blocks import conv_norm


def _twice(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(conv_norm(inputs, outputs, 3), conv_norm(outputs, outputs, 3))


class UNet(nn.Module):
    """Ronneberger et al. 2015, of the width given; up by transposed convolutions."""

    def __init__(self, width: int = 32, classes: int = 2) -> None:
        super().__init__()
        widths = [width << level for level in range(5)]
        self.down = nn.ModuleList(_twice(a, b) for a, b in zip([3, *widths], widths, strict=False))
        self.up = nn.ModuleList(nn.ConvTranspose2d(2 * a, a, 2, 2) for a in widths[:-1])
        self.merge = nn.ModuleList(_twice(2 * a, a) for a in widths[:-1])
        self.last = nn.Conv2d(width, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        kept = []
        for number, layer in enumerate(self.down):
            x = layer(F.max_pool2d(x, 2) if number else x)
            kept.append(x)
        for level in reversed(range(4)):
            x = self.merge[level](torch.cat([kept[level], self.up[level](x)], 1))
        y: Tensor = self.last(x)
        return y


def srcnn() -> nn.Module:
    """Dong et al. 2014 (9-1-5), of a picture that was enlarged before."""
    return nn.Sequential(
        nn.Conv2d(1, 64, 9, padding=4), nn.ReLU(), nn.Conv2d(64, 32, 1), nn.ReLU(),
        nn.Conv2d(32, 1, 5, padding=2),
    )  # fmt: skip


def espcn(factor: int = 3) -> nn.Module:
    """Shi et al. 2016."""
    return nn.Sequential(
        nn.Conv2d(1, 64, 5, padding=2), nn.Tanh(), nn.Conv2d(64, 32, 3, padding=1), nn.Tanh(),
        nn.Conv2d(32, factor**2, 3, padding=1), nn.PixelShuffle(factor),
    )  # fmt: skip


class ConvNeXtBlock(nn.Module):
    """Liu et al. 2022: 7x7 each channel by itself, then a perceptron of each pixel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.wide = nn.Linear(channels, 4 * channels)
        self.narrow = nn.Linear(4 * channels, channels)
        self.gamma = nn.Parameter(torch.full((channels,), 0.5))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        y = self.gamma * self.narrow(F.gelu(self.wide(y)))
        z: Tensor = x + y.permute(0, 3, 1, 2)
        return z


class ChannelNorm(nn.LayerNorm):
    """A layer norm over the channels of a map."""

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = super().forward(x.permute(0, 2, 3, 1))
        back: Tensor = y.permute(0, 3, 1, 2)
        return back


def convnext_atto() -> nn.Module:
    widths, counts = (40, 80, 160, 320), (2, 2, 6, 2)
    layers: list[nn.Module] = [nn.Conv2d(3, 40, 4, 4), ChannelNorm(40, eps=1e-6)]
    for number, (width, count) in enumerate(zip(widths, counts, strict=True)):
        if number:
            before = widths[number - 1]
            layers += [ChannelNorm(before, eps=1e-6), nn.Conv2d(before, width, 2, 2)]
        layers += [ConvNeXtBlock(width) for _ in range(count)]
    return nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(1), nn.LayerNorm(320, eps=1e-6),
        nn.Linear(320, 1000),
    )  # fmt: skip
