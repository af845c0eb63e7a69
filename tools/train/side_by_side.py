"""Networks of one architecture as one network, for training steps on the same batch.

MesoNet leaves a GPU idle: kernels for 4 channels take as long as those for 32. So the channels of
all networks stand beside each other, and each convolution is one of all of them, whose weights are
zero between networks. Activations differ, batch norm works by channel, and each network's dense
layers are one product of a batch of them. Gradients, statistics and dropout are for each network
what they would be alone, up to rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from tools.train.networks import Inception

#: Where in a tensor's channels those of each network are: (networks, channels).
Places = NDArray[np.int64]


class SideBySide:
    """Training steps of several Meso-4 or MesoInception-4, which differ in activations alone.

    Args:
        networks: they keep their parameters, which get their gradients, and their statistics.
    """

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        self.networks = networks
        self._indices: dict[object, Tensor] = {}  # by layer: where weights or channels go
        self._norms: dict[str, list[Tensor]] = {}  # running mean and variance of all, by layer

    def __call__(self, x: Tensor) -> Tensor:
        """(N, C, H, W), the same for all, to logits (N, networks)."""
        places = np.tile(np.arange(x.shape[1]), (len(self.networks), 1))
        for name, module in self.networks[0].named_children():
            beside: list[Any] = [getattr(network, name) for network in self.networks]
            if isinstance(module, Inception):
                x, places = self._inception(name, beside, x, places)
            elif isinstance(module, nn.Conv2d):
                x, places = self._convolution(name, beside, x, places)
            elif isinstance(module, nn.BatchNorm2d):
                x = self._norm(name, beside, x, places)
            elif isinstance(module, nn.MaxPool2d):
                x = module(x)
            elif isinstance(module, nn.Flatten):
                x = self._apart(x, places)
            elif isinstance(module, nn.Dropout):
                x = x * functional.dropout(torch.ones_like(x[:1]), module.p)
            elif isinstance(module, nn.Linear):
                weights = torch.stack([one.weight for one in beside]).transpose(1, 2)
                x = torch.baddbmm(torch.stack([one.bias for one in beside])[:, None], x, weights)
            else:
                axis = 1 if x.ndim == 4 else 0
                x = torch.cat(_activated(beside, x, axis), axis)
        return x[:, :, 0].T

    def _inception(
        self, name: str, beside: Sequence[Any], x: Tensor, places: Places
    ) -> tuple[Tensor, Places]:
        first = [one.conv1 for one in beside]
        y, of_y = self._convolution(f"{name}.conv1", first, x, places)
        parts, found, channels = (
            _activated([one.activation1 for one in beside], y),
            [of_y],
            y.shape[1],
        )
        for branch in "234":
            squeeze, wide = ([getattr(one, f"conv{branch}{ab}") for one in beside] for ab in "ab")
            y, of_y = self._convolution(f"{name}.conv{branch}a", squeeze, x, places)
            y = torch.cat(
                _activated([getattr(one, f"activation{branch}a") for one in beside], y), 1
            )
            y, of_y = self._convolution(f"{name}.conv{branch}b", wide, y, of_y)
            parts += _activated([getattr(one, f"activation{branch}b") for one in beside], y)
            found.append(channels + of_y)
            channels += y.shape[1]
        return torch.cat(parts, 1), np.concatenate(found, 1)

    def _convolution(
        self, name: str, beside: Sequence[Any], x: Tensor, places: Places
    ) -> tuple[Tensor, Places]:
        one = beside[0]
        outputs, _, *window = one.weight.shape
        after = np.arange(len(beside) * outputs).reshape(len(beside), outputs)

        def where() -> NDArray[np.int64]:
            pairs = after[:, :, None] * x.shape[1] + places[:, None, :]
            size = window[0] * window[1]
            return np.ravel(pairs[..., None] * size + np.arange(size))

        values = torch.cat([conv.weight.reshape(-1) for conv in beside])
        shape = (len(beside) * outputs, x.shape[1], *window)
        zeros = torch.zeros(int(np.prod(shape)), dtype=values.dtype, device=values.device)
        weight = zeros.scatter(0, self._index(name, x.device, where), values).view(shape)
        bias = torch.cat([conv.bias for conv in beside])
        y = functional.conv2d(x, weight, bias, one.stride, one.padding, one.dilation)
        return y, after

    def _norm(self, name: str, beside: Sequence[Any], x: Tensor, places: Places) -> Tensor:
        one = beside[0]
        # from channels, network by network, to where they are in x, and back
        there = self._index((name, "there"), x.device, lambda: np.argsort(places.reshape(-1)))
        back = self._index((name, "back"), x.device, lambda: places.reshape(-1))
        means, variances = ([getattr(n, f"running_{k}") for n in beside] for k in ("mean", "var"))
        if name not in self._norms:
            self._norms[name] = [torch.cat(of)[there] for of in (means, variances)]
        mean, variance = self._norms[name]
        weight, bias = (
            torch.cat([getattr(n, k) for n in beside])[there] for k in ("weight", "bias")
        )
        y = functional.batch_norm(x, mean, variance, weight, bias, True, one.momentum, one.eps)
        for merged, of in ((mean, means), (variance, variances)):
            torch._foreach_copy_(of, list(torch.split(merged[back], one.num_features)))
        torch._foreach_add_([n.num_batches_tracked for n in beside], 1)
        return y

    def _apart(self, x: Tensor, places: Places) -> Tensor:
        """(N, channels of all, H, W) to (networks, N, channels of one x H x W)."""
        assert (np.diff(places.reshape(-1)) == 1).all()
        return x.reshape(len(x), len(places), -1).transpose(0, 1)

    def _index(
        self, key: object, device: torch.device, make: Callable[[], NDArray[np.int64]]
    ) -> Tensor:
        if key not in self._indices:
            self._indices[key] = torch.from_numpy(np.ascontiguousarray(make())).to(device)
        return self._indices[key]


def _activated(modules: Sequence[nn.Module], x: Tensor, axis: int = 1) -> list[Tensor]:
    """The parts of x, split evenly by networks, each after its own; neighbours alike at once."""
    parts, start = [], 0
    each = x.shape[axis] // len(modules)
    for _, group in groupby(modules, repr):
        alike = list(group)
        parts.append(alike[0](x.narrow(axis, start, each * len(alike))))
        start += each * len(alike)
    return parts
