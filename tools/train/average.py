"""The mean of the weights of networks that began with the same ones, as one checkpoint.

    python -m tools.train.average RUN/best.pt OTHER.pt [OTHER.pt ...] OUT.pt --weights 0.6 0.4

A network that was trained further forgets some of what it began with; between both often lies one
that does better than either (Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022),
and so it is with several runs from the same start (the same, "Model soups", ICML 2022). The first
file is a checkpoint of `tools.train`, whose recipe the mean goes on to tell; the others may also be
bare state_dicts or model files. Choose the weights on val.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from tools.errors import exit_status
from tools.train import weights
from tools.train.trainer import TrainError, load_checkpoint, write_checkpoint


def averaged(states: Sequence[dict[str, Tensor]], shares: Sequence[float]) -> dict[str, Tensor]:
    """The mean of state_dicts; counters are those of the first.

    Raises:
        TrainError: they are not of the same network.
    """
    first = states[0]
    mean = dict(first)
    for name, value in first.items():
        if not value.is_floating_point():
            continue
        for state in states:
            if name not in state or state[name].shape != value.shape:
                raise TrainError(f"not of the same network: {name!r} differs; name another file")
        parts = [s * state[name].double() for s, state in zip(shares, states, strict=True)]
        mean[name] = sum(parts[1:], parts[0]).to(value.dtype)
    return mean


def _mean(paths: Sequence[Path], shares: Sequence[float]) -> dict[str, Any]:
    if len(shares) != len(paths) or min(shares) <= 0:
        raise TrainError(f"--weights: give {len(paths)} numbers above 0, one for each network")
    shares = [share / sum(shares) for share in shares]
    checkpoint = load_checkpoint(paths[0])
    states = [weights.read(path) for path in paths]
    checkpoint["state_dict"] = averaged(states, shares)
    for only_to_resume in ("trained", "optimizer", "random", "random_cuda"):
        checkpoint.pop(only_to_resume, None)
    checkpoint["average"] = {
        "of": [f"{path.parent.name}/{path.name}" for path in paths],
        "weights": [round(share, 4) for share in shares],
    }
    return checkpoint


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.train.average", description=(__doc__ or "").split("\n")[0]
    )
    add: Callable[..., Any] = parser.add_argument
    add("networks", type=Path, nargs="+", help="a checkpoint of tools.train, and others")
    add("out", type=Path, help="the checkpoint to write")
    add("--weights", type=float, nargs="+", required=True, help="how much each counts")
    options = parser.parse_args(arguments)

    def work() -> None:
        write_checkpoint(_mean(options.networks, options.weights), options.out)

    return exit_status("average", work)


if __name__ == "__main__":
    sys.exit(main())
