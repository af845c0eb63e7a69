"""MobileNetV2, MobileNetV3-small, EfficientNet-B0 and Lite0, ShuffleNetV2 and BlazeFace."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from tools.zoo.blocks import InvertedResidual, SqueezeExcite, conv_norm, head, relu


def relu6() -> nn.Module:
    return nn.ReLU6(inplace=True)


def mobilenet_v2() -> nn.Module:
    """Sandler et al. 2018."""
    layers: list[nn.Module] = [conv_norm(3, 32, 3, 2, activation=relu6)]
    inputs = 32
    for widening, outputs, count, stride in (
        (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2),
        (6, 320, 1, 1),
    ):  # fmt: skip
        for block in range(count):
            step = 1 if block else stride
            layers.append(InvertedResidual(inputs, inputs * widening, outputs, 3, step, relu6))
            inputs = outputs
    return nn.Sequential(*layers, conv_norm(320, 1280, activation=relu6), head(1280))


#: kernel, wide, outputs, weighed, Hardswish, stride
_V3_SMALL = (
    (3, 16, 16, True, False, 2), (3, 72, 24, False, False, 2), (3, 88, 24, False, False, 1),
    (5, 96, 40, True, True, 2), (5, 240, 40, True, True, 1), (5, 240, 40, True, True, 1),
    (5, 120, 48, True, True, 1), (5, 144, 48, True, True, 1), (5, 288, 96, True, True, 2),
    (5, 576, 96, True, True, 1), (5, 576, 96, True, True, 1),
)  # fmt: skip


def _in_eights(channels: float) -> int:
    """The nearest multiple of 8, not less than nine tenths of it."""
    near = max(8, int(channels + 4) // 8 * 8)
    return near + 8 if near < 0.9 * channels else near


def mobilenet_v3_small() -> nn.Module:
    """Howard et al. 2019."""
    layers: list[nn.Module] = [conv_norm(3, 16, 3, 2, activation=nn.Hardswish, eps=1e-3)]
    inputs = 16
    for kernel, wide, outputs, weighed, hardswish, stride in _V3_SMALL:
        layers.append(
            InvertedResidual(
                inputs, wide, outputs, kernel, stride, nn.Hardswish if hardswish else relu,
                (lambda c: SqueezeExcite(c, _in_eights(c / 4), relu, nn.Hardsigmoid))
                if weighed else None,
                1e-3,
            )
        )  # fmt: skip
        inputs = outputs
    return nn.Sequential(
        *layers, conv_norm(96, 576, activation=nn.Hardswish, eps=1e-3), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(1), nn.Linear(576, 1024), nn.Hardswish(), nn.Dropout(0.2),
        nn.Linear(1024, 1000),
    )  # fmt: skip


_EFFICIENTNET = (
    (1, 3, 1, 16, 1), (6, 3, 2, 24, 2), (6, 5, 2, 40, 2), (6, 3, 2, 80, 3), (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4), (6, 3, 1, 320, 1),
)  # fmt: skip


def efficientnet(lite: bool) -> nn.Module:
    """Tan & Le 2019; Lite0 has ReLU6 for Swish and weighs no channels."""
    activation = relu6 if lite else nn.SiLU
    layers: list[nn.Module] = [conv_norm(3, 32, 3, 2, activation=activation)]
    inputs = 32
    for widening, kernel, stride, outputs, count in _EFFICIENTNET:
        for block in range(count):
            few = inputs // 4

            def excite(channels: int, few: int = few) -> nn.Module:
                return SqueezeExcite(channels, few, nn.SiLU, nn.Sigmoid)

            step = 1 if block else stride
            wide = inputs * widening
            layers.append(
                InvertedResidual(
                    inputs, wide, outputs, kernel, step, activation, None if lite else excite
                )
            )
            inputs = outputs
    return nn.Sequential(*layers, conv_norm(320, 1280, activation=activation), head(1280))


class Shuffle(nn.Module):
    """Ma et al. 2018: half of the channels pass by, then those of both halves in turn."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        half, self.stride = outputs // 2, stride
        before = inputs if stride > 1 else half
        self.left = nn.Identity() if stride == 1 else nn.Sequential(
            conv_norm(inputs, inputs, 3, stride, inputs, None), conv_norm(inputs, half)
        )  # fmt: skip
        self.right = nn.Sequential(
            conv_norm(before, half), conv_norm(half, half, 3, stride, half, None),
            conv_norm(half, half),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        if self.stride == 1:
            by, through = x.chunk(2, 1)
            x = torch.cat([by, self.right(through)], 1)
        else:
            x = torch.cat([self.left(x), self.right(x)], 1)
        batch, channels, height, width = x.shape
        x = x.view(batch, 2, channels // 2, height, width).transpose(1, 2).contiguous()
        return x.view(batch, channels, height, width)


def shufflenet_v2() -> nn.Module:
    layers: list[nn.Module] = [conv_norm(3, 24, 3, 2), nn.MaxPool2d(3, 2, 1)]
    inputs = 24
    for outputs, count in ((116, 4), (232, 8), (464, 4)):
        for block in range(count):
            layers.append(Shuffle(inputs, outputs, 1 if block else 2))
            inputs = outputs
    return nn.Sequential(*layers, conv_norm(464, 1024), head(1024, dropout=0))


class Blaze(nn.Module):
    """Bazarevsky et al. 2019: 5x5 each channel by itself, 1x1; added with zeros as channels."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.stride, self.more = stride, outputs - inputs
        self.layers = nn.Sequential(
            nn.Conv2d(inputs, inputs, 5, stride, 0 if stride == 2 else 2, groups=inputs),
            nn.Conv2d(inputs, outputs, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        y = x
        if self.stride == 2:
            y = F.pad(x, (1, 2, 1, 2))
            x = F.max_pool2d(x, 2)
        if self.more:
            x = F.pad(x, (0, 0, 0, 0, 0, self.more))
        return F.relu(self.layers(y) + x)


class BlazeFace(nn.Module):
    """The network for front cameras: 896 anchors, a score and 16 numbers for each."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 24, 5, 2)
        widths = (24, 24, 28, 32, 36, 42, 48, 56, 64, 72, 80, 88)
        steps = (1, 1, 2, 1, 1, 2, 1, 1, 1, 1, 1)
        self.front = nn.Sequential(
            *(Blaze(a, b, s) for a, b, s in zip(widths, widths[1:], steps, strict=False))
        )
        self.back = nn.Sequential(Blaze(88, 96, 2), *(Blaze(96, 96) for _ in range(4)))
        self.scores = nn.ModuleList([nn.Conv2d(88, 2, 1), nn.Conv2d(96, 6, 1)])
        self.boxes = nn.ModuleList([nn.Conv2d(88, 32, 1), nn.Conv2d(96, 96, 1)])

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        first = self.front(F.relu(self.stem(F.pad(x, (1, 2, 1, 2)))))
        maps = (first, self.back(first))
        results = []
        for heads, each in ((self.scores, 1), (self.boxes, 16)):
            parts = [
                layer(y).permute(0, 2, 3, 1).reshape(y.shape[0], -1, each)
                for layer, y in zip(heads, maps, strict=True)
            ]
            results.append(torch.cat(parts, 1))
        return results[0], results[1]
