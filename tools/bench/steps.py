"""What a training step takes on this CPU: `python -m tools.bench.steps`.

MesoInception-4 with each activation, and EfficientNet-Lite0 with its first three blocks frozen, a
batch of 16, one thread: milliseconds a face, in turns by our kernels (`tools.train.fused`,
`tools.train.depthwise`) and by PyTorch's own operations, in float32 and, where the CPU has it, in
bfloat16 (which `fused` has no kernels for).
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple
from unittest import mock

import torch
from torch import nn

from tools.arguments import number
from tools.errors import exit_status
from tools.train import depthwise, fused, networks, teacher
from tools.train.device import bfloat16_is_fast, set_environment

BATCH = 16
_WARM = 3


class Way(NamedTuple):
    """How a step is computed."""

    precision: torch.dtype
    kernels: bool

    def __str__(self) -> str:
        name = str(self.precision).removeprefix("torch.")
        return f"{name}, {'our kernels' if self.kernels else 'PyTorch'}"


def ways(of: str) -> list[Way]:
    """Those that this CPU and a network have."""
    found = [Way(torch.float32, True), Way(torch.float32, False)]
    if bfloat16_is_fast(torch.device("cpu")):
        found += [Way(torch.bfloat16, True)] if of in teacher.ARCHITECTURES else []
        found.append(Way(torch.bfloat16, False))
    return found


def build(of: str) -> nn.Module:
    """A new network in training: EfficientNet-Lite, or MesoInception-4 with an activation."""
    if of not in teacher.ARCHITECTURES:
        return networks.build("mesoinception4", of).train()
    network = teacher.Teacher(of).train()
    network.freeze(3)
    last: Any = {"memory_format": torch.channels_last}  # which PyTorch's types of `to` do not know
    return network.to(**last)


def stepper(of: str, precision: torch.dtype) -> Callable[[], None]:
    """Takes a step of a new network on noise."""
    network = build(of)
    x = torch.rand(BATCH, 3, 256, 256).contiguous(memory_format=torch.channels_last)
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


def milliseconds(of: str, rounds: int) -> dict[Way, float]:
    """A face, each way: medians of steps in turns."""
    steps = {way: stepper(of, way.precision) for way in ways(of)}
    times: dict[Way, list[float]] = {way: [] for way in steps}
    for turn in range(_WARM + rounds):
        for way, step in steps.items():
            with contextlib.ExitStack() as stack:
                if not way.kernels:
                    stack.enter_context(mock.patch.object(fused, "applies", lambda *_: False))
                    stack.enter_context(mock.patch.object(depthwise, "fits", lambda _: False))
                seconds = _seconds(step)
            if turn >= _WARM:
                times[way].append(seconds)
    return {way: 1000 * statistics.median(found) / BATCH for way, found in times.items()}


def _seconds(step: Callable[[], None]) -> float:
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    return exit_status("tools.bench.steps", lambda: _measure(_options(arguments)))


def _measure(options: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    print("ms a face and step:")
    for of in options.network or (*networks.ACTIVATIONS[1:], "efficientnet_lite0"):
        found = milliseconds(of, options.rounds)
        print(of, *(f"{way}: {ms:.2f}" for way, ms in found.items()), sep="  ", flush=True)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tools.bench.steps", description="What a training step takes on this CPU."
    )
    add = parser.add_argument
    known = (*networks.ACTIVATIONS[1:], *teacher.ARCHITECTURES)
    about = "an activation of MesoInception-4, or an EfficientNet-Lite; default: all but Lite1, 2"
    add("--network", nargs="+", choices=known, metavar="NAME", help=about)
    add("--rounds", type=number(1000), default=10, metavar="N", help="default: %(default)s")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    set_environment()
    sys.exit(main())
