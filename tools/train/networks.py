"""Meso-4 and MesoInception-4 as PyTorch modules, for training and as the truth of our tests.

Source: Afchar et al., "MesoNet: a compact facial video forgery detection network", WIFS 2018,
and the authors' published code; the activations from Kawa & Syga, SECRYPT 2021.

Module paths are the node names of minimeso's graphs and `state_dict` keys are the names of the
arrays in a model file (`num_batches_tracked` aside), so nothing ever has to be renamed.

`forward` takes (N, 3, 256, 256) float32 in [0, 1], RGB, and returns the logit (N, 1); the sigmoid
is left to the caller, because losses want the logit: p_fake = sigmoid(logit).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from minimeso.networks import ACTIVATION_SETTINGS, NETWORKS, trainable_parameters
from tools import activations
from tools.train import fused
from tools.train.device import bfloat16_is_fast

ACTIVATIONS = ACTIVATION_SETTINGS
LEAKY_SLOPE = 0.1  # Afchar et al.; PyTorch's own default is 0.01
DROPOUT = 0.5


def activation_module(name: str) -> nn.Module:
    """A new module for one activation function ("original" is a mix, not a function)."""
    if name not in ACTIVATIONS[1:]:
        raise ValueError(f"unknown activation {name!r}; known: {', '.join(ACTIVATIONS)}")
    attributes = {"negative_slope": LEAKY_SLOPE} if name == "leaky_relu" else {}
    return activations.module(name, **attributes)


def fastest_precision(architecture: str, device: torch.device) -> str:
    """ "bf16" where the hardware has it, but for what `fused` takes less time for in "fp32"."""
    if architecture in ARCHITECTURES and device.type == "cpu" and fused.kernels():
        return "fp32"
    return "bf16" if bfloat16_is_fast(device) else "fp32"


def _same(inputs: int, outputs: int, kernel: int, dilation: int = 1) -> nn.Conv2d:
    """A convolution, stride 1, whose zero padding keeps the size of the picture."""
    padding = dilation * (kernel - 1) // 2
    return nn.Conv2d(inputs, outputs, kernel, padding=padding, dilation=dilation)


class Inception(nn.Module):
    """Four branches beside each other: 1x1; 1x1 and 3x3; the same with dilation 2; with dilation 3.

    (N, inputs, H, W) -> (N, sum(outputs), H, W), concatenated in that order. An activation follows
    every convolution.
    """

    def __init__(self, inputs: int, outputs: tuple[int, int, int, int], activation: str) -> None:
        super().__init__()
        one, two, three, four = self.outputs = outputs
        self.conv1 = _same(inputs, one, 1)
        self.activation1 = activation_module(activation)
        self.conv2a = _same(inputs, two, 1)
        self.activation2a = activation_module(activation)
        self.conv2b = _same(two, two, 3)
        self.activation2b = activation_module(activation)
        self.conv3a = _same(inputs, three, 1)
        self.activation3a = activation_module(activation)
        self.conv3b = _same(three, three, 3, dilation=2)
        self.activation3b = activation_module(activation)
        self.conv4a = _same(inputs, four, 1)
        self.activation4a = activation_module(activation)
        self.conv4b = _same(four, four, 3, dilation=3)
        self.activation4b = activation_module(activation)

    def forward(self, x: Tensor) -> Tensor:
        two = self.activation2a(self.conv2a(x))
        three = self.activation3a(self.conv3a(x))
        four = self.activation4a(self.conv4a(x))
        if self.training:
            # One activation for all four: 13 % less time a step than with one each. The 1x1
            # convolutions as one were faster only with channels first: slices of channels are
            # copied before a convolution.
            branches = self.conv1(x), self.conv2b(two), self.conv3b(three), self.conv4b(four)
            y: Tensor = self.activation1(torch.cat(branches, 1))
            return y
        # Evaluation runs submodule by submodule, so that forward hooks see every layer.
        one = self.activation1(self.conv1(x))
        two = self.activation2b(self.conv2b(two))
        three = self.activation3b(self.conv3b(three))
        four = self.activation4b(self.conv4b(four))
        return torch.cat((one, two, three, four), 1)


class _MesoNet(nn.Module):
    """What both networks share: four blocks ending in (N, 16, 8, 8), then two dense layers."""

    #: Of the blocks.
    activation: str
    #: Feature maps that `patches.py` may look at, and their channels.
    patch_channels: ClassVar = {"pool3": 16, "pool4": 16}

    def _add_block(self, number: int, channels: int, activation: str, eps: float) -> None:
        """Activation (none if ""), batch norm and pool behind convolution or inception `number`."""
        if activation:
            self.add_module(f"activation{number}", activation_module(activation))
        self.add_module(f"bn{number}", nn.BatchNorm2d(channels, eps=eps))
        self.add_module(f"pool{number}", nn.MaxPool2d(4 if number == 4 else 2))

    def _add_head(self, activation: str, dropout: float) -> None:
        self.flatten = nn.Flatten()  # over (C, H, W)
        self.dropout1 = nn.Dropout(dropout)
        self.fc1 = nn.Linear(16 * 8 * 8, 16)
        self.activation5 = activation_module(activation)
        self.dropout2 = nn.Dropout(dropout)
        self.fc2 = nn.Linear(16, 1)

    def forward(self, x: Tensor) -> Tensor:
        device = x.device.type
        if torch.is_autocast_enabled(device):  # once, rather than for each convolution of it
            x = x.to(torch.get_autocast_dtype(device))
        # Modules were added in the order in which they run.
        block: list[nn.Module] = []
        for module in self.children():
            if block or isinstance(module, (nn.Conv2d, Inception)):
                block.append(module)
                if isinstance(module, nn.MaxPool2d):
                    x = self._through(x, block)
                    block = []
            else:
                x = module(x)
        return x

    def _through(self, x: Tensor, block: Sequence[nn.Module]) -> Tensor:
        """A block; as one where that is cheaper and nobody watches a part of it."""
        if not any(_is_watched(part) for module in block for part in module.modules()):
            *layers, norm, pool = block
            assert isinstance(norm, nn.BatchNorm2d) and isinstance(pool, nn.MaxPool2d)
            assert isinstance(pool.kernel_size, int)
            whole = fused.Block(
                _convolutions(layers[0]), self.activation, LEAKY_SLOPE, norm, pool.kernel_size
            )
            if fused.applies(x, whole):
                return fused.run(x, whole)
        for module in block:
            x = module(x)
        return x


def _is_watched(module: nn.Module) -> bool:
    hooks = (module._forward_pre_hooks, module._forward_hooks)
    return any((*hooks, module._backward_pre_hooks, module._backward_hooks))


def _convolutions(module: nn.Module) -> list[nn.Conv2d]:
    """As `fused.Block` has them."""
    if isinstance(module, nn.Conv2d):
        return [module]
    assert isinstance(module, Inception)
    first = [module.conv1, module.conv2a, module.conv3a, module.conv4a]
    return [*first, module.conv2b, module.conv3b, module.conv4b]


class Meso4(_MesoNet):
    """(N, 3, 256, 256) -> logit (N, 1); 27,977 trainable parameters."""

    def __init__(self, convolution: str, dense: str, eps: float, dropout: float) -> None:
        super().__init__()
        self.activation = convolution
        shapes = ((3, 8, 3), (8, 8, 5), (8, 16, 5), (16, 16, 5))
        for number, (inputs, outputs, kernel) in enumerate(shapes, 1):
            self.add_module(f"conv{number}", _same(inputs, outputs, kernel))
            self._add_block(number, outputs, convolution, eps)
        self._add_head(dense, dropout)


class MesoInception4(_MesoNet):
    """(N, 3, 256, 256) -> logit (N, 1); 28,615 trainable parameters."""

    def __init__(self, convolution: str, dense: str, eps: float, dropout: float) -> None:
        super().__init__()
        self.activation = convolution
        self.inception1 = Inception(3, (1, 4, 4, 2), convolution)
        self._add_block(1, 11, "", eps)
        self.inception2 = Inception(11, (2, 4, 4, 2), convolution)
        self._add_block(2, 12, "", eps)
        self.conv3 = _same(12, 16, 5)
        self._add_block(3, 16, convolution, eps)
        self.conv4 = _same(16, 16, 5)
        self._add_block(4, 16, convolution, eps)
        self._add_head(dense, dropout)


#: The twin of each of `NETWORKS`, made of the activation of its convolutions, that of its dense
#: layers, the epsilon of its batch norms and its dropout.
TWINS: dict[str, Callable[[str, str, float, float], nn.Module]] = {
    "meso4": Meso4,
    "mesoinception4": MesoInception4,
}
ARCHITECTURES = tuple(TWINS)


def build(
    architecture: str, activation: str, batch_norm_eps: float = 1e-5, dropout: float = DROPOUT
) -> nn.Module:
    """A new network with PyTorch's default initialisation.

    `batch_norm_eps`: 1e-5 is PyTorch's default; the published Keras weights need 1e-3.
    `dropout` is that of both dense layers, in training alone.
    """
    if activation not in ACTIVATIONS:
        raise ValueError(f"unknown activation {activation!r}; known: {', '.join(ACTIVATIONS)}")
    if architecture not in TWINS:
        known = ", ".join(ARCHITECTURES)
        raise ValueError(f"unknown architecture {architecture!r}; known: {known}")
    mix = ("relu", "leaky_relu") if activation == "original" else (activation, activation)
    network: nn.Module = TWINS[architecture](*mix, batch_norm_eps, dropout)
    count = sum(parameter.numel() for parameter in network.parameters())
    assert count == trainable_parameters(NETWORKS[architecture](activation, 1e-5, False)), count
    return network
