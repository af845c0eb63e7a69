"""SqueezeNet 1.1, ResNet, DenseNet-121 and Xception."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tools.zoo.blocks import conv_norm, head, relu


class Fire(nn.Module):
    """Iandola et al. 2016: few channels, then 1x1 beside 3x3."""

    def __init__(self, inputs: int, few: int, many: int) -> None:
        super().__init__()
        self.squeeze = nn.Sequential(nn.Conv2d(inputs, few, 1), relu())
        self.expand1 = nn.Sequential(nn.Conv2d(few, many, 1), relu())
        self.expand3 = nn.Sequential(nn.Conv2d(few, many, 3, padding=1), relu())

    def forward(self, x: Tensor) -> Tensor:
        x = self.squeeze(x)
        return torch.cat([self.expand1(x), self.expand3(x)], 1)


def squeezenet1_1() -> nn.Module:
    def pool() -> nn.Module:
        return nn.MaxPool2d(3, 2, ceil_mode=True)

    return nn.Sequential(
        nn.Conv2d(3, 64, 3, 2), relu(), pool(), Fire(64, 16, 64), Fire(128, 16, 64), pool(),
        Fire(128, 32, 128), Fire(256, 32, 128), pool(), Fire(256, 48, 192), Fire(384, 48, 192),
        Fire(384, 64, 256), Fire(512, 64, 256), nn.Dropout(), nn.Conv2d(512, 1000, 1), relu(),
        nn.AdaptiveAvgPool2d((1, 1)), nn.Flatten(1),
    )  # fmt: skip


class Residual(nn.Module):
    """He et al. 2016: two 3x3, or 1x1, 3x3, 1x1 to four times as many, beside a short cut."""

    def __init__(self, inputs: int, width: int, stride: int, deep: bool) -> None:
        super().__init__()
        outputs = width * 4 if deep else width
        if deep:
            layers = [conv_norm(inputs, width), conv_norm(width, width, 3, stride),
                      conv_norm(width, outputs, activation=None)]  # fmt: skip
        else:
            layers = [conv_norm(inputs, width, 3, stride),
                      conv_norm(width, width, 3, activation=None)]  # fmt: skip
        self.layers = nn.Sequential(*layers)
        same = inputs == outputs and stride == 1
        self.short = (
            nn.Identity() if same else conv_norm(inputs, outputs, 1, stride, activation=None)
        )
        self.relu = relu()

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        y += self.short(x)
        y = self.relu(y)
        return y


def resnet(blocks: tuple[int, ...], deep: bool) -> nn.Module:
    layers: list[nn.Module] = [conv_norm(3, 64, 7, 2), nn.MaxPool2d(3, 2, 1)]
    inputs = 64
    for number, count in enumerate(blocks):
        width = 64 << number
        for block in range(count):
            layers.append(Residual(inputs, width, 2 if number and not block else 1, deep))
            inputs = width * 4 if deep else width
    return nn.Sequential(*layers, head(inputs, dropout=0))


class DenseLayer(nn.Module):
    """Huang et al. 2017: everything before it in, 32 new channels out."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.BatchNorm2d(inputs), relu(), nn.Conv2d(inputs, 128, 1, bias=False),
            nn.BatchNorm2d(128), relu(), nn.Conv2d(128, 32, 3, padding=1, bias=False),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.layers(x)], 1)


def densenet121() -> nn.Module:
    layers: list[nn.Module] = [conv_norm(3, 64, 7, 2), nn.MaxPool2d(3, 2, 1)]
    channels = 64
    for number, count in enumerate((6, 12, 24, 16)):
        for _ in range(count):
            layers.append(DenseLayer(channels))
            channels += 32
        layers += [nn.BatchNorm2d(channels), relu()]
        if number < 3:
            layers += [nn.Conv2d(channels, channels // 2, 1, bias=False), nn.AvgPool2d(2)]
            channels //= 2
    return nn.Sequential(*layers, head(channels, dropout=0))


def separable(inputs: int, outputs: int) -> list[nn.Module]:
    """Each channel by itself, then 1x1."""
    return [
        nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs, bias=False),
        nn.Conv2d(inputs, outputs, 1, bias=False),
        nn.BatchNorm2d(outputs),
    ]


class XceptionBlock(nn.Module):
    """Chollet 2017: separable convolutions beside a short cut."""

    def __init__(
        self, inputs: int, outputs: int, count: int, stride: int, first: bool, grow_first: bool
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for number in range(count):
            wide = number > 0 if grow_first else number == count - 1
            before = outputs if wide and grow_first else inputs
            after = outputs if grow_first or wide else inputs
            layers += [*([nn.ReLU()] if number or not first else []), *separable(before, after)]
        if stride > 1:
            layers.append(nn.MaxPool2d(3, stride, 1))
        self.layers = nn.Sequential(*layers)
        same = inputs == outputs and stride == 1
        self.short = (
            nn.Identity() if same else conv_norm(inputs, outputs, 1, stride, activation=None)
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        y = y + self.short(x)
        return y


def xception() -> nn.Module:
    entry = [
        nn.Conv2d(3, 32, 3, 2, bias=False), nn.BatchNorm2d(32), nn.ReLU(),
        nn.Conv2d(32, 64, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(),
        XceptionBlock(64, 128, 2, 2, True, True), XceptionBlock(128, 256, 2, 2, False, True),
        XceptionBlock(256, 728, 2, 2, False, True),
    ]  # fmt: skip
    middle = [XceptionBlock(728, 728, 3, 1, False, True) for _ in range(8)]
    end = [
        XceptionBlock(728, 1024, 2, 2, False, False),
        *separable(1024, 1536), nn.ReLU(), *separable(1536, 2048), nn.ReLU(),
    ]  # fmt: skip
    return nn.Sequential(*entry, *middle, *end, head(2048, dropout=0))
