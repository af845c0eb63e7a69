"""What a training step takes on this CPU: `python -m tools.bench.steps`.

MesoInception-4, a batch of 16, one thread: milliseconds a face with each activation, with our
kernels and with PyTorch's own operations, in turns; in float32 (`tools.train.fused`) and, where the
CPU has it, in bfloat16 (`tools.train.compiled`).
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from unittest import mock

import torch
from torch import nn

from tools.arguments import number
from tools.errors import exit_status
from tools.train import compiled, fused, networks
from tools.train.device import bfloat16_is_fast, set_environment

BATCH = 16
_WARM = 3


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


def milliseconds(step: Callable[[], None], rounds: int) -> tuple[float, float]:
    """A face, with the kernels and without: medians of steps in turns."""
    ours: list[float] = []
    own: list[float] = []
    for turn in range(_WARM + rounds):
        ours.append(_seconds(step))
        with (
            mock.patch.object(compiled, "applies", lambda *_: False),
            mock.patch.object(fused, "applies", lambda *_: False),
        ):
            own.append(_seconds(step))
        if turn < _WARM:
            ours.clear()
            own.clear()
    with_kernels, without = (1000 * statistics.median(times) / BATCH for times in (ours, own))
    return with_kernels, without


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
    precisions = [torch.float32]
    if bfloat16_is_fast(torch.device("cpu")):
        compiled.can_compile()
        precisions.append(torch.bfloat16)
    print("ms a face and step, with our kernels and with PyTorch's own operations:")
    for activation in networks.ACTIVATIONS[1:]:
        for precision in precisions:
            ours, own = milliseconds(stepper(activation, precision), options.rounds)
            name = str(precision).removeprefix("torch.")
            print(f"{activation:<10} {name:<8} {ours:6.2f} {own:6.2f}", flush=True)


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
