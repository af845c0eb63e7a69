"""Trains `tools/train/classifiers.py` on pictures of ten classes, for Fig. 3, Table 5, `elsewhere`.

Cross-entropy, batches in a new order each epoch. After each epoch the whole test split is judged; a
run's figure is that of its last epoch, so nothing is chosen by the test split. A run that was cut
goes on from its last whole epoch with the numbers that it would have had. Checkpoints are what
`tools.convert` makes model files of.

In bfloat16, too, activations compute in float32 and are rounded once (`elementwise.py`); PyTorch
would round Pish four times, which it computes in four operations.
"""

from __future__ import annotations

import math
import sys
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from tools.paper import stages
from tools.paper.images import Images
from tools.paper.results import Options, Runs
from tools.train import classifiers, depthwise, elementwise
from tools.train.device import bfloat16_is_fast
from tools.train.trainer import Epoch, Step, Trainer, fit_together

JUDGED_AT_ONCE = 500
SHIFT = 4  # pixels
RISE = 0.05  # of the steps
FIGURES = ("train_loss", "train_accuracy", "test_accuracy", "test_loss")  # of an epoch
Batch = tuple[Tensor, Tensor]  # pictures (N, H, W, C) uint8 and labels (N,)


@dataclass(frozen=True)
class Recipe:
    """All that the numbers of a run depend on, beside the data."""

    architecture: str
    activation: str
    optimizer: str  # "sgd" (plain) or "adam"
    learning_rate: float
    epochs: int
    examples: int  # the first so many of a split; 0: all
    augment: str  # a key of AUGMENTATIONS, or "none"
    precision: str  # "fp32" or "bf16"
    seed: int
    batch: int = 128
    schedule: str = "constant"  # or "cosine": down to zero over the run, after a rise


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


def shift_and_flip(x: Tensor) -> Tensor:
    """Each picture moved by up to 4 pixels in both directions, black coming in, and mirrored with
    probability 0.5: the augmentation of He et al. (2016)."""
    count, size = len(x), x.shape[-1]
    steps = torch.arange(size, device=x.device)
    y, left = torch.randint(0, 2 * SHIFT + 1, (2, count, 1), device=x.device)
    columns = torch.where(torch.rand(count, 1, device=x.device) < 0.5, size - 1 - steps, steps)
    padded = functional.pad(x, (SHIFT,) * 4).permute(0, 2, 3, 1)
    which = torch.arange(count, device=x.device)[:, None, None]
    return padded[which, (y + steps)[:, :, None], (left + columns)[:, None]].permute(0, 3, 1, 2)


AUGMENTATIONS = {"rotate": flip_and_rotate, "shift": shift_and_flip}


def batches(images: Images, size: int, device: torch.device) -> Iterator[Batch]:
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


class ClassifierTrainer(Trainer[Recipe, Batch]):
    """A network of `tools/train/classifiers.py` on pictures of ten classes."""

    figures = (*FIGURES, "seconds")

    def build(self) -> nn.Module:
        network = classifiers.build(self.recipe.architecture, self.recipe.activation)
        network = network.to(self.device)
        # PyTorch's types know `memory_format` only beside a tensor.
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        for module in network.modules():
            if type(module) in elementwise.MODULES:
                _run_by(elementwise.activation, module)
            elif isinstance(module, nn.Conv2d) and 1 < module.groups == module.in_channels:
                _run_by(depthwise.convolution, module)
        return network

    def make_optimizer(self) -> torch.optim.Optimizer:
        if self.recipe.optimizer == "sgd":
            return torch.optim.SGD(self.network.parameters(), lr=self.recipe.learning_rate)
        return torch.optim.Adam(self.network.parameters(), lr=self.recipe.learning_rate)

    def learning_rate(self, recipe: Recipe, step: int, steps: int) -> float:
        """Constant, or half a cosine from the first step to behind the last, to which it rises
        over the first steps."""
        if recipe.schedule == "constant":
            return recipe.learning_rate
        falling = (1 + math.cos(math.pi * step / steps)) / 2
        return recipe.learning_rate * min((step + 1) / (RISE * steps), falling)

    def forward(self, batch: Batch) -> Step:
        pictures, labels = batch
        x = to_float(pictures)
        if self.recipe.augment != "none":
            x = AUGMENTATIONS[self.recipe.augment](x)
        with self.autocast():
            logits = self.network(x.contiguous(memory_format=torch.channels_last))
        logits = logits.float()
        loss = functional.cross_entropy(logits, labels)
        return Step(loss, (logits.argmax(1) == labels).sum(), len(labels))


def _run_by(function: Callable[[Any, Tensor], Tensor], module: nn.Module) -> None:
    """Lets a function of a module and its input be the module's `forward`."""
    module.forward = types.MethodType(function, module)


def train_together(
    trainers: Sequence[ClassifierTrainer], train_set: Images, test_set: Images, further: int = 0
) -> None:
    """Trains networks of recipes that differ in the activation alone to their last epoch, on the
    same batches; `further` such groups are to come."""
    count, first = len(train_set.labels), trainers[0]

    def next_epoch() -> Epoch[Batch]:
        supply = batches(train_set, first.recipe.batch, first.device)
        return Epoch(supply, math.ceil(count / first.recipe.batch), count)

    fit_together(
        trainers,
        next_epoch,
        lambda trainer: judge(trainer.network, test_set, trainer.device),
        lambda row: f"test loss {row['test_loss']:.4f} acc {row['test_accuracy']:.4f}",
        further,
    )


def train_runs(
    options: Options,
    runs: Runs,
    wanted: Sequence[Mapping[str, object]],
    recipe_of: Callable[[Mapping[str, object], str], Recipe],
    load: Callable[[str], Images],
    together: Sequence[str] = (),
) -> None:
    """Trains the wanted runs that are not finished.

    Args:
        options: the command line.
        runs: where finished runs stand; checkpoints go beside that file.
        wanted: keys of runs.
        recipe_of: of such a run, and the precision to train with.
        load: the pictures of "train" or "test".
        together: the columns in which those runs are alike that are trained on the same batches;
            none: one run after the other.
    """
    with stages.told():
        device = stages.chosen_device(options)
        precision = "bf16" if bfloat16_is_fast(device) else "fp32"
        splits: list[Images] = []
        for few in runs.left(wanted, together):
            splits = splits or [load("train"), load("test")]
            trainers = []
            for run in few:
                name = "-".join(str(value) for value in run.values())
                folder = runs.path.parent / "checkpoints" / name
                folder.mkdir(parents=True, exist_ok=True)
                trainers.append(ClassifierTrainer(recipe_of(run, precision), folder, device))
                if trainers[-1].resume():
                    epoch = trainers[-1].epoch
                    print(f"resuming after epoch {epoch}", file=sys.stderr, flush=True)
            further = (len(wanted) - 1 - wanted.index(few[-1])) // len(few)
            train_together(trainers, splits[0], splits[1], further)
            for run, trainer in zip(few, trainers, strict=True):
                last = trainer.history[-1]
                runs.add(
                    run,
                    {
                        **{figure: last[figure] for figure in FIGURES},
                        "train_pictures": len(splits[0].labels),
                        "test_pictures": len(splits[1].labels),
                        "precision": precision,
                        **stages.where(device),
                        "seconds": sum(epoch["seconds"] for epoch in trainer.history),
                    },
                )
