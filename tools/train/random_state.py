"""The state of PyTorch's generators, for runs that draw the same again."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def random_state(device: torch.device) -> list[Tensor]:
    """The state of PyTorch's generators: the CPU's, and those of GPUs where one trains."""
    return [
        torch.get_rng_state(),
        *(torch.cuda.get_rng_state_all() if device.type == "cuda" else []),
    ]


def set_random_state(state: Sequence[Tensor], device: torch.device) -> None:
    """Sets them to a state of `random_state`."""
    torch.set_rng_state(state[0])
    if device.type == "cuda" and len(state) > 1:
        torch.cuda.set_rng_state_all(list(state[1:]))
