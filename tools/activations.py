"""PyTorch's modules for minimeso's activations: the one place that knows both names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from minimeso.engine.operators import OPERATORS


class Pish(nn.Module):
    """x * arctan(softplus(x) + sigmoid(x)); Kawa & Syga 2021, equation 5."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.atan(functional.softplus(x) + torch.sigmoid(x))


#: From the attributes of an operator to a new module.
MODULES: dict[str, Callable[[Mapping[str, Any]], nn.Module]] = {
    "relu": lambda a: nn.ReLU(),
    "relu6": lambda a: nn.ReLU6(),
    "leaky_relu": lambda a: nn.LeakyReLU(a["negative_slope"]),
    "prelu": lambda a: nn.PReLU(a["num_parameters"]),
    "swish": lambda a: nn.SiLU(),
    "mish": lambda a: nn.Mish(),
    "pish": lambda a: Pish(),
    "sigmoid": lambda a: nn.Sigmoid(),
    "tanh": lambda a: nn.Tanh(),
    "hardsigmoid": lambda a: nn.Hardsigmoid(),
    "hardswish": lambda a: nn.Hardswish(),
    "gelu": lambda a: nn.GELU(a["approximate"]),
    "elu": lambda a: nn.ELU(a["alpha"]),
    "softplus": lambda a: nn.Softplus(),
    "silu": lambda a: nn.SiLU(),
}


def module(op: str, **attributes: Any) -> nn.Module:
    """A new module for an activation; raises ``GraphError`` for a wrong attribute."""
    return MODULES[op](OPERATORS[op].read_attributes(attributes))
