"""Trains `tools/train/classifiers.py` on pictures of ten classes, for Fig. 3 and Table 5.

Cross-entropy, a constant learning rate, batches in a new order each epoch. After each epoch the
whole test split is judged; a run's figure is that of its last epoch, so nothing is chosen by the
test split. A run that was cut goes on from its last whole epoch with the numbers that it would have
had. Checkpoints are what `tools.convert` makes model files of.

In bfloat16, too, activations compute and round alike: each gets float32 and gives float32. Without
that, Pish, which PyTorch computes in four operations, would be rounded four times where Swish and
Mish are rounded once.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from tools import files
from tools.activations import Pish
from tools.paper import stages
from tools.paper.images import Images
from tools.paper.results import Options, ResultsError, Runs
from tools.train import classifiers, detectors

CHECKPOINT_FORMAT = 1
JUDGED_AT_ONCE = 500
FIGURES = ("train_loss", "train_accuracy", "test_accuracy", "test_loss", "seconds")  # of an epoch
ACTIVATION_MODULES = (nn.ReLU, nn.LeakyReLU, nn.SiLU, nn.Mish, Pish)


@dataclass(frozen=True)
class Recipe:
    """All that the numbers of a run depend on, beside the data."""

    architecture: str
    activation: str
    optimizer: str  # "sgd" (plain) or "adam"
    learning_rate: float
    epochs: int
    examples: int  # the first so many of a split; 0: all
    augment: bool
    precision: str  # "fp32" or "bf16"
    seed: int
    batch: int = 128


def to_float(pictures: Tensor) -> Tensor:
    """(N, H, W, C) uint8 to (N, C, H, W) float32 in [0, 1], channels last in memory."""
    return pictures.permute(0, 3, 1, 2).float() / 255


def flip_and_rotate(x: Tensor) -> Tensor:
    """Each picture mirrored with probability 0.4 and turned by up to 30 degrees either way, black
    coming in at the corners: the augmentation of Misra's notebook."""
    count = len(x)
    angle = (torch.rand(count, device=x.device) * 2 - 1) * (math.pi / 6)
    mirror = 1 - 2 * (torch.rand(count, device=x.device) < 0.4).float()
    cosine, sine, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    rows = torch.stack((cosine * mirror, -sine, zero, sine * mirror, cosine, zero), 1)
    grid = functional.affine_grid(rows.view(count, 2, 3), list(x.shape), align_corners=False)
    return functional.grid_sample(x, grid, "nearest", "zeros", align_corners=False)


def batches(images: Images, size: int, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
    """All pictures (n, H, W, C) uint8 with their labels, in a new order.

    A last batch of one is left out: it has no variance for a batch norm.
    """
    order = torch.randperm(len(images.labels)).numpy()
    for start in range(0, len(order), size):
        index = order[start : start + size]
        if len(index) > 1:
            yield (
                torch.from_numpy(images.pictures[index]).to(device),
                torch.from_numpy(images.labels[index]).to(device),
            )


def judge(network: nn.Module, images: Images, device: torch.device) -> dict[str, float]:
    """Accuracy and loss, in float32."""
    network.eval()
    right = loss = 0.0
    with torch.inference_mode():
        for start in range(0, len(images.labels), JUDGED_AT_ONCE):
            part = slice(start, start + JUDGED_AT_ONCE)
            labels = torch.from_numpy(images.labels[part]).to(device)
            logits = network(to_float(torch.from_numpy(images.pictures[part]).to(device)))
            loss += functional.cross_entropy(logits, labels, reduction="sum").item()
            right += (logits.argmax(1) == labels).sum().item()
    count = len(images.labels)
    return {"test_accuracy": right / count, "test_loss": loss / count}


class Run:
    """A network in training, and its checkpoint `path`."""

    def __init__(self, recipe: Recipe, path: Path, device: torch.device) -> None:
        self.recipe = recipe
        self.path = path
        self.device = device
        torch.manual_seed(recipe.seed)
        network = classifiers.build(recipe.architecture, recipe.activation)
        self.network = network.to(device)
        # PyTorch's types know `memory_format` only beside a tensor.
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        for module in network.modules():
            if isinstance(module, ACTIVATION_MODULES):
                module.register_forward_pre_hook(lambda _module, inputs: (inputs[0].float(),))
        make = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[recipe.optimizer]
        self.optimizer = make(network.parameters(), lr=recipe.learning_rate)
        self.history: list[dict[str, float]] = []

    def train_epoch(self, images: Images) -> dict[str, float]:
        """One pass over the training pictures; loss and accuracy are those under dropout."""
        self.network.train()
        loss_sum = torch.zeros((), device=self.device)
        right = torch.zeros((), device=self.device)
        bar = tqdm(
            batches(images, self.recipe.batch, self.device),
            f"epoch {len(self.history) + 1}/{self.recipe.epochs}",
            math.ceil(len(images.labels) / self.recipe.batch),
            unit="batch",
            disable=None,  # a bar only where stderr is a terminal
            leave=False,
        )
        for pictures, labels in bar:
            x = to_float(pictures)
            if self.recipe.augment:
                x = flip_and_rotate(x)
            bf16 = self.recipe.precision == "bf16"
            with torch.autocast(self.device.type, torch.bfloat16, enabled=bf16):
                logits = self.network(x.contiguous(memory_format=torch.channels_last))
            logits = logits.float()
            loss = functional.cross_entropy(logits, labels)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]  # PyTorch does not type it
            self.optimizer.step()
            loss_sum += loss.detach() * len(labels)
            right += (logits.argmax(1) == labels).sum()
        count = len(images.labels)
        return {"train_loss": loss_sum.item() / count, "train_accuracy": right.item() / count}

    def train(self, train_set: Images, test_set: Images, further: int = 0) -> None:
        """Trains to the last epoch of the recipe, saving after each; `further` runs are to come."""
        while len(self.history) < self.recipe.epochs:
            start = time.perf_counter()
            row = self.train_epoch(train_set) | judge(self.network, test_set, self.device)
            row["seconds"] = time.perf_counter() - start
            self.history.append(row)
            detectors.write_checkpoint(self.checkpoint(), self.path)
            left = (1 + further) * self.recipe.epochs - len(self.history)
            print(
                f"  epoch {len(self.history)}/{self.recipe.epochs}"
                f"  train loss {row['train_loss']:.4f} acc {row['train_accuracy']:.3f}"
                f"  test loss {row['test_loss']:.4f} acc {row['test_accuracy']:.4f}"
                f"  {row['seconds']:.0f} s, about {left * row['seconds'] / 60:.0f} min left in all",
                file=sys.stderr,
                flush=True,
            )

    def checkpoint(self) -> dict[str, Any]:
        """Tensors, numbers, strings, lists and dicts only: torch.load(weights_only=True)."""
        return {
            "format": CHECKPOINT_FORMAT,
            "architecture": self.recipe.architecture,
            "activation": self.recipe.activation,
            "recipe": asdict(self.recipe),
            "state_dict": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "history": self.history,
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state_all() if self.device.type == "cuda" else [],
        }

    def resume(self) -> None:
        """Continues from the checkpoint, if there is one of the same recipe."""
        if not self.path.exists():
            return
        try:
            saved = files.read_checkpoint(self.path)
            if saved["format"] != CHECKPOINT_FORMAT or saved["recipe"] != asdict(self.recipe):
                raise ResultsError(f"{self.path}: of another recipe; remove it, or choose --out")
            self.network.load_state_dict(saved["state_dict"])
            self.optimizer.load_state_dict(saved["optimizer"])
            self.history = [
                {figure: float(row[figure]) for figure in FIGURES} for row in saved["history"]
            ]
            torch.set_rng_state(saved["random"])
            if self.device.type == "cuda" and saved["random_cuda"]:
                torch.cuda.set_rng_state_all(saved["random_cuda"])
            print(f"  going on after epoch {len(self.history)}", file=sys.stderr, flush=True)
        except ResultsError:
            raise
        except Exception as error:  # torch raises half a dozen kinds for a damaged file
            reason = (str(error).strip() or type(error).__name__).split("\n", 1)[0][:200]
            raise ResultsError(
                f"{self.path}: not a whole checkpoint ({reason}); remove it"
            ) from None


def train_runs(
    options: Options,
    runs: Runs,
    wanted: Sequence[Mapping[str, object]],
    recipe_of: Callable[[Mapping[str, object], str], Recipe],
    load: Callable[[str], Images],
) -> None:
    """Trains the wanted runs that are not finished.

    Args:
        options: the command line.
        runs: where finished runs stand; checkpoints go beside that file.
        wanted: keys of runs.
        recipe_of: of such a run, and the precision to train with.
        load: the pictures of "train" or "test".
    """
    with stages.told():
        device = stages.chosen_device(options)
    precision = stages.precision(device)
    splits: list[Images] = []
    for run in runs.left(wanted):
        splits = splits or [load("train"), load("test")]
        recipe = recipe_of(run, precision)
        name = "-".join(str(value) for value in run.values())
        path = runs.path.parent / "checkpoints" / name / "last.pt"
        path.parent.mkdir(parents=True, exist_ok=True)
        training = Run(recipe, path, device)
        training.resume()
        training.train(splits[0], splits[1], len(wanted) - 1 - wanted.index(run))
        last = dict(training.history[-1])
        del last["seconds"]
        runs.add(
            run,
            {
                **last,
                "train_pictures": len(splits[0].labels),
                "test_pictures": len(splits[1].labels),
                "precision": precision,
                "device": str(device),
                "seconds": sum(epoch["seconds"] for epoch in training.history),
            },
        )
