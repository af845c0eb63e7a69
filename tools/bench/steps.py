"""What a training step takes on this CPU: `python -m tools.bench.steps`.

MesoInception-4, a batch of 16, one thread: milliseconds a face with each activation, in turns in
float32 by our kernels (`tools.train.fused`) and by PyTorch's own operations, and in bfloat16 by
PyTorch's own where the CPU has that.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple
from unittest import mock

import torch
from torch import nn

from tools.arguments import number
from tools.errors import exit_status
from tools.train import fused, networks
from tools.train.device import bfloat16_is_fast, set_environment

BATCH = 16
_WARM = 3


class Way(NamedTuple):
    """How a step is computed."""

    about: str
    precision: torch.dtype
    kernels: bool


WAYS = (
    Way("float32, our kernels", torch.float32, True),
    Way("float32, PyTorch's", torch.float32, False),
    Way("bfloat16, PyTorch's", torch.bfloat16, False),
)
_HAS_BFLOAT16 = bfloat16_is_fast(torch.device("cpu"))


def stepper(activation: str, precision: torch.dtype) -> Callable[[], None]:
    """Takes a step of a new network on noise."""
    network = networks.build("mesoinception4", activation).train()
    x = torch.rand(BATCH, 3, 256, 256).to(precision).contiguous(memory_format=torch.channels_last)
    fake = torch.arange(BATCH) % 2.0
    optimizer = torch.optim.Adam(network.parameters())

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16):
            logit = network(x)[:, 0]
        loss = nn.functional.mse_loss(torch.sigmoid(logit.float()), fake)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # PyTorch does not type it
        optimizer.step()

    return step


def milliseconds(activation: str, rounds: int) -> list[float]:
    """A face, of each of `WAYS` that this CPU has: medians of steps in turns."""
    ways = [way for way in WAYS if way.precision == torch.float32 or _HAS_BFLOAT16]
    steps = [stepper(activation, way.precision) for way in ways]
    times: list[list[float]] = [[] for _ in ways]
    for turn in range(_WARM + rounds):
        for way, step, found in zip(ways, steps, times, strict=True):
            with contextlib.ExitStack() as stack:
                if not way.kernels:
                    stack.enter_context(mock.patch.object(fused, "applies", lambda *_: False))
                seconds = _seconds(step)
            if turn >= _WARM:
                found.append(seconds)
    return [1000 * statistics.median(found) / BATCH for found in times]


def _seconds(step: Callable[[], None]) -> float:
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    return exit_status("tools.bench.steps", lambda: _measure(_options(arguments)))


def _measure(options: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    fused.kernels()
    print("ms a face and step:")
    for activation in networks.ACTIVATIONS[1:]:
        found = zip(WAYS, milliseconds(activation, options.rounds), strict=False)
        print(f"{activation:<10}", *(f"{way.about} {ms:.2f}" for way, ms in found), flush=True)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tools.bench.steps", description="What a training step takes on this CPU."
    )
    add = parser.add_argument
    add("--rounds", type=number(1000), default=10, metavar="N", help="default: %(default)s")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    set_environment()
    sys.exit(main())
