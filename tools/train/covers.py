"""Trains the network that sees whether eyes or mouth of a face are covered.

    python -m tools.train.covers DST.npz --data DIR --cache DIR

Examples are drawn by a script on the faces of the train splits (`cover_examples`); epochs and
limits are chosen on those of val: of faces without a cover, `ALLOWED` lie above the limits.  What
comes of it in use, `python -m tools.bench.covers` measures on test.  Same seed, same network, on
the same machine and version of PyTorch.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from tqdm import tqdm

from minimeso import Graph, Model, save_model
from tools.arguments import number
from tools.errors import exit_status
from tools.train import cover_examples, device, sources
from tools.train.cover_examples import FRAMING, MARGIN, PLAIN, SIDE
from tools.train.cover_harmless import HARMLESS

NAME, ARCHITECTURE = "covers", "five convolutions and a dense layer"
#: Output channels and stride of the convolutions, 3x3 each; width of the dense layer.
CONVOLUTIONS = ((16, 2), (24, 2), (24, 1), (32, 2), (40, 2))
DENSE, EPS = 32, 1e-5
PARTS = ("eyes", "mouth")
#: Share of the plain faces of val, and of what looks like a cover and is none, above either limit.
ALLOWED = 0.01
#: Faces that the examples are drawn on, four for each.
FACES, VAL_FACES = 4000, 400
BATCH, EPOCHS, RATE, DECAY, AVERAGE = 128, 16, 2e-3, 0.02, 0.99


class Examples(NamedTuple):
    """Crops (N, S, S, 3) uint8, targets (N, 2), what is drawn on each, and of which row it is."""

    crops: NDArray[np.uint8]
    targets: NDArray[np.float32]
    kinds: NDArray[np.str_]
    rows: NDArray[np.int64]


def network() -> nn.Sequential:
    """The PyTorch twin of `graph`: (N, 3, 64, 64) in [0, 1] to logits (N, 2) of eyes and mouth."""
    layers: dict[str, nn.Module] = {}
    channels, side = 3, SIDE
    for place, (wide, stride) in enumerate(CONVOLUTIONS, start=1):
        layers[f"conv{place}"] = nn.Conv2d(channels, wide, 3, stride, 1, bias=False)
        layers[f"bn{place}"] = nn.BatchNorm2d(wide, eps=EPS)
        layers[f"relu{place}"] = nn.ReLU()
        channels, side = wide, math.ceil(side / stride)
    layers["flatten"] = nn.Flatten()
    layers["dropout"] = nn.Dropout(0.2)
    layers["fc1"] = nn.Linear(channels * side * side, DENSE)
    layers["relu"] = nn.ReLU()
    layers["fc2"] = nn.Linear(DENSE, len(PARTS))
    found = nn.Sequential()
    for name, layer in layers.items():
        found.add_module(name, layer)
    return found


def graph() -> Graph:
    """(3, 64, 64) in [0, 1] to the probabilities (2,) that eyes and mouth are covered."""
    found = Graph(NAME)
    x = found.input("image", (3, SIDE, SIDE))
    for place, (wide, stride) in enumerate(CONVOLUTIONS, start=1):
        x = found.node(
            "conv2d", x, name=f"conv{place}", out_channels=wide, kernel_size=3, stride=stride,
            padding=1, bias=False,
        )  # fmt: skip
        x = found.node("batch_norm", x, name=f"bn{place}", eps=EPS)
        x = found.node("relu", x, name=f"relu{place}")
    x = found.node("flatten", x, name="flatten")
    x = found.node("linear", x, name="fc1", out_features=DENSE)
    x = found.node("relu", x, name="relu")
    x = found.node("linear", x, name="fc2", out_features=len(PARTS))
    found.output(found.node("sigmoid", x, name="covered"))
    return found


def model_of(trained: nn.Module, limits: dict[str, float], meta: dict[str, Any]) -> Model:
    """The model file's contents."""
    state, built = trained.state_dict(), graph()
    weights = {
        name: np.ascontiguousarray(state[name].numpy(), np.float32) for name in built.parameters()
    }
    return Model(NAME, built, weights, meta, FRAMING, {"limits": limits})


def drawn(data: Path, split: str, cache: Path, count: int, seed: int) -> Examples:
    """Examples on faces of a split of all sets."""
    split_ = sources.load(data, "all", split, cache)
    crops, targets, kinds, rows = cover_examples.arrays(split_, count, seed)
    return Examples(crops, targets, np.array(kinds), rows)


def moved(crops: NDArray[np.uint8], random: np.random.Generator) -> NDArray[np.uint8]:
    """(N, 64, 64, 3): a part of each crop, half of them mirrored."""
    found = np.empty((len(crops), SIDE, SIDE, 3), np.uint8)
    for seen, whole in zip(found, crops, strict=True):
        y, x = random.integers(0, 2 * MARGIN + 1, 2)
        part = whole[y : y + SIDE, x : x + SIDE]
        seen[...] = part[:, ::-1] if random.random() < 0.5 else part
    return found


def middle(crops: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(N, 64, 64, 3), as in use."""
    return crops[:, MARGIN : MARGIN + SIDE, MARGIN : MARGIN + SIDE]


def _tensor(crops: NDArray[np.uint8]) -> torch.Tensor:
    planes = torch.from_numpy(np.ascontiguousarray(crops)).permute(0, 3, 1, 2)
    return planes.float().div_(255)  # channels last, as they lie


def train(examples: Examples, epochs: int, seed: int) -> nn.Module:
    """The network with the mean of its weights over the last steps."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    random, net = np.random.default_rng(seed), network()
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # it is known to it
    averaging = torch.optim.swa_utils.get_ema_multi_avg_fn(AVERAGE)  # type: ignore[no-untyped-call]
    mean = torch.optim.swa_utils.AveragedModel(net, multi_avg_fn=averaging, use_buffers=True)
    optimizer = torch.optim.AdamW(net.parameters(), RATE, weight_decay=DECAY)
    steps = epochs * (len(examples.crops) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, steps, pct_start=0.1)
    loss_of, fast = nn.BCEWithLogitsLoss(), device.bfloat16_is_fast(torch.device("cpu"))
    bar = tqdm(total=steps, desc="training", unit="step", disable=None)
    for _ in range(epochs):
        order = random.permutation(len(examples.crops))
        for at in range(0, len(order) - BATCH + 1, BATCH):
            some = order[at : at + BATCH]
            seen = _tensor(moved(examples.crops[some], random))
            target = torch.from_numpy(examples.targets[some])
            with torch.autocast("cpu", torch.bfloat16, enabled=fast):
                said = net(seen)
            loss = loss_of(said.float(), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            mean.update_parameters(net)
            bar.set_postfix(loss=f"{loss.item():.3f}", refresh=False)
            bar.update()
    bar.close()
    found: nn.Module = mean.module.eval()
    return found


def probabilities(net: nn.Module, crops: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(N, 2) of eyes and mouth."""
    with torch.no_grad():
        parts = [
            net(_tensor(middle(crops[at : at + 512]))).sigmoid() for at in range(0, len(crops), 512)
        ]
    return torch.cat(parts).double().numpy()


def limits_of(p: NDArray[np.float64], examples: Examples) -> dict[str, float]:
    """Above which eyes and mouth count as covered."""
    innocent = np.isin(examples.kinds, [PLAIN, *HARMLESS])
    limits = {}
    for place, part in enumerate(PARTS):
        free = innocent & (examples.targets[:, place] == 0)
        plain = free & (examples.kinds == PLAIN)
        highest = max(np.quantile(p[some, place], 1 - ALLOWED) for some in (free, plain))
        limits[part] = round(float(np.clip(highest, 0.5, 0.98)), 3)
    return limits


def report(p: NDArray[np.float64], examples: Examples, limits: dict[str, float]) -> list[str]:
    """How often each kind is called covered."""
    called: NDArray[np.bool_] = np.any(p > np.array([limits[part] for part in PARTS]), axis=1)
    lines = []
    for kind in sorted(set(examples.kinds)):
        some = examples.kinds == kind
        if kind not in (PLAIN, *HARMLESS):
            some &= (examples.targets >= 1).any(1)
        lines.append(f"{kind:22} {some.sum():5} {100 * called[some].mean():6.1f} %")
    return lines


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.train.covers", description=(__doc__ or "").split("\n")[0]
    )
    add: Callable[..., Any] = parser.add_argument
    add("dst", type=Path, help="the model file to write (.npz)")
    add("--data", type=Path, required=True, help="folder with faces/ and more/")
    add("--cache", type=Path, required=True, help="folder for decoded faces")
    add("--faces", type=number(1 << 20), default=FACES, help="to draw on (default: %(default)s)")
    add("--epochs", type=number(1000), default=EPOCHS, help="(default: %(default)s)")
    add("--seed", type=number(1 << 20), default=1, help="(default: %(default)s)")
    options = parser.parse_args(arguments)

    def work() -> None:
        data, cache, seed = options.data, options.cache, options.seed
        examples = drawn(data, "train", cache, options.faces, seed)
        val = drawn(data, "val", cache, VAL_FACES, seed + 1)
        net = train(examples, options.epochs, seed)
        p = probabilities(net, val.crops)
        limits = limits_of(p, val)
        print(*report(p, val, limits), limits, sep="\n")
        meta = {
            "architecture": ARCHITECTURE,
            "activation": "relu",
            "kind": "cover finder",
            "data": "DFDC, FaceForensics++ and LFW, covers drawn by a script",
            "licence": "MIT",
            "recipe": {"faces": options.faces, "epochs": options.epochs, "seed": seed},
        }
        save_model(model_of(net, limits, meta), options.dst, dtype="float16")

    return exit_status("covers", work)


if __name__ == "__main__":
    sys.exit(main())
