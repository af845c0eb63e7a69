"""Trains Meso-4 or MesoInception-4 on face crops: `python -m tools.train --data DIR --out DIR`.

The defaults are the recipe of Kawa & Syga (SECRYPT 2021): Adam, mean squared error, batches of 75,
rate 1e-3 divided by 10 every 1000 steps down to 1e-6, dropout 0.5, zoom, flips, rotation, colour.
Into --out go `log.csv` (a row an epoch), `last.pt` (everything an exact resume needs) and `best.pt`
(the highest AUC on val). The same command continues an interrupted run, with the numbers that the
run would have had without the interruption. Checkpoints hold only what
`torch.load(weights_only=True)` accepts; `tools.convert` makes a model file of them.

It is not a framework: one network, one process, one device.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from tools.train import (
    batches,
    faces,
    fused,
    groups,
    metrics,
    networks,
    patches,
    sets,
    side_by_side,
    teacher,
)
from tools.train.trainer import Epoch, Step, Stepper, Trainer, TrainError, fit_together


@dataclass(frozen=True)
class Recipe:
    """All that the numbers of a run depend on. `epochs` may change later; see `Trainer.resume`."""

    architecture: str = "mesoinception4"
    activation: str = "leaky_relu"
    epochs: int = 30
    batch: int = 75
    learning_rate: float = 1e-3
    augment: str = "paper"
    loss: str = "mse"
    rank: float = 0.0
    patches: float = 0.0
    dropout: float = networks.DROPOUT
    teacher: str = ""  # name of the teachers' table
    distill: float = 0.5
    average: float = 0.0
    schedule: str = "paper"
    precision: str = "fp32"
    seed: int = 0
    limit: int = 0
    set: str = ""  # of `sets.SETS`; empty: the faces of one folder
    self_blended: float = 0.0  # share of pairs with a self-blended fake
    start: str = ""  # name of the file whose weights it began with
    freeze: int = 0  # blocks of a teacher's network that are trained no further


def learning_rate(recipe: Recipe, step: int, steps: int) -> float:
    """The rate for step 0, 1, 2, ... of `steps`.

    paper: divided by 10 every 1000 steps, but not below 1e-6; cosine: falls to 0 at the last step;
    trapezoid: stays, and falls to 0 evenly over the last third, so that how many epochs there will
    be may be left open for long.
    """
    if recipe.schedule == "trapezoid":
        return recipe.learning_rate * min(1.0, 3 * (1 - step / steps))
    if recipe.schedule == "cosine":
        return recipe.learning_rate * 0.5 * (1 + math.cos(math.pi * step / steps))
    return max(recipe.learning_rate / 10.0 ** (step // 1000), min(1e-6, recipe.learning_rate))


def build(recipe: Recipe) -> nn.Module:
    """The new network of a recipe."""
    if recipe.architecture in teacher.ARCHITECTURES:
        return teacher.Teacher(recipe.architecture)
    return networks.build(recipe.architecture, recipe.activation, dropout=recipe.dropout)


def loss_of(kind: str, logit: Tensor, fake: Tensor) -> Tensor:
    """Mean loss of logits (N,) against labels (N,), 1 fake and 0 real."""
    if kind == "mse":
        return functional.mse_loss(torch.sigmoid(logit), fake)
    return functional.binary_cross_entropy_with_logits(logit, fake)


def rank_loss(logit: Tensor, fake: Tensor) -> Tensor:
    """Mean softplus(logit_real - logit_fake) of the pairs in a batch, which follow each other."""
    sign = fake[0::2] - fake[1::2]
    return functional.softplus((logit[1::2] - logit[0::2]) * sign).mean()


def evaluate(
    network: nn.Module,
    data: faces.Faces,
    loss: str,
    device: torch.device,
    seen: Sequence[Tensor] = (),
) -> dict[str, float]:
    """Loss, accuracy at p_fake 0.5 and AUC, in float32 and without augmentation; of several sets
    the mean of their AUCs, and beside it each, or the 95th percentile of the logits of real faces
    where there are no fakes. `seen`: as from `logits`."""
    logit = logits(network, data, device, seen)
    fake = torch.from_numpy(data.fake.astype(np.float32))
    figures = {
        "val_loss": loss_of(loss, logit, fake).item(),
        "val_accuracy": ((logit > 0) == (fake > 0)).float().mean().item(),
    }
    if len(set(data.source)) < 2:
        return figures | {"val_auc": metrics.roc_auc(data.fake, logit.numpy())}
    source, aucs = np.array(data.source), []
    for name in sorted(set(data.source)):
        theirs = source == name
        if data.fake[theirs].any():
            aucs.append(metrics.roc_auc(data.fake[theirs], logit.numpy()[theirs]))
            figures[f"val_auc_{name}"] = aucs[-1]
        else:
            figures[f"val_p95_{name}"] = float(np.percentile(logit.numpy()[theirs], 95))
    return figures | {"val_auc": float(np.mean(aucs))}


def logits(
    network: nn.Module, data: faces.Faces, device: torch.device, seen: Sequence[Tensor] = ()
) -> Tensor:
    """What it says of every face, in float32: (N,). `seen`: batches that are on the device."""
    network.eval()
    with torch.inference_mode(), fused.judging():
        parts = [network(part.to(device))[:, 0] for part in seen or _seen(data)]
        return torch.cat(parts).float().cpu()


def _seen(data: faces.Faces, size: int = 32) -> Iterator[Tensor]:
    """Batches (size, 3, 256, 256): of several sets as in use, of one as its networks learned."""
    for start in range(0, len(data), size):
        if data.layout != "sets":
            yield batches.to_float(torch.from_numpy(data.framed[start : start + size]))
            continue
        few = slice(start, start + size)
        cuts = map(faces.seen, data.images[few], data.squares[few])
        yield torch.from_numpy(np.stack(list(cuts)))


class DetectorTrainer(Trainer[Recipe, batches.Batch]):
    """Meso-4, MesoInception-4 or a teacher, on faces."""

    best_by = "val_auc"
    figures = ("val_auc",)

    def __init__(self, recipe: Recipe, folder: Path, device: torch.device) -> None:
        super().__init__(recipe, folder, device, recipe.average)
        self.table: teacher.Table | None = None  # to distil from
        self.teacher: nn.Module | None = None  # or what is asked about every batch anew
        self.draw: int | None = None  # of its draws of changes, in this epoch
        self.workers = 0  # processes that change faces; 0: threads
        self.faces = ""  # digest of what was trained on, once anything was
        self.taught_by: dict[str, Any] | None = None  # origin of the table so far

    def build(self) -> nn.Module:
        network = build(self.recipe).to(self.device)
        if self.recipe.freeze:
            if not isinstance(network, teacher.Teacher):
                raise TrainError("--freeze: only networks with blocks, the teachers")
            network.freeze(self.recipe.freeze)
        return network

    def make_optimizer(self) -> torch.optim.Optimizer:
        channels = cast(dict[str, int], self.network.patch_channels) if self.recipe.patches else {}
        self.patch_loss = patches.PatchLoss(self.network, channels).to(self.device)
        return torch.optim.Adam(
            [*self.network.parameters(), *self.patch_loss.parameters()], self.recipe.learning_rate
        )

    def learning_rate(self, recipe: Recipe, step: int, steps: int) -> float:
        return learning_rate(recipe, step, steps)

    def forward(self, batch: batches.Batch) -> Step:
        """With the table of a teacher the faces are changed as it saw them."""
        with self.autocast():
            logit = self.network(batch.x)[:, 0]
        done = self.judged_by(logit.float(), batch.fake, self.target(batch))
        if self.recipe.patches:
            loss = done.loss + self.recipe.patches * self.patch_loss(batch.x, batch.fake)
            return done._replace(loss=loss)
        return done

    def target(self, batch: batches.Batch) -> Tensor:
        """What a batch should be called: (N,), 1 fake, or what a teacher says of it."""
        if self.table is not None:
            said = torch.from_numpy(self.table.logits[self.draw, batch.rows]).to(self.device)
        elif self.teacher is not None:
            with torch.no_grad(), self.autocast():
                said = self.teacher(batch.x)[:, 0].float()
        else:
            return batch.fake
        return torch.lerp(batch.fake, torch.sigmoid(said), self.recipe.distill)

    def judged_by(self, logit: Tensor, fake: Tensor, target: Tensor) -> Step:
        """The loss of logits (N,)."""
        loss = loss_of(self.recipe.loss, logit, target)
        if self.recipe.rank:
            loss = loss + self.recipe.rank * rank_loss(logit, fake)
        return Step(loss, ((logit > 0) == (fake > 0)).sum(), len(fake))

    def extra(self) -> dict[str, Any]:
        return {
            "framing": dict(faces.FRAMING),
            **({"teacher": self.table.origin} if self.table else {}),
            "faces": self.faces,
            "patch_loss": self.patch_loss.state_dict(),
        }

    def restore_extra(self, saved: dict[str, Any]) -> None:
        self.patch_loss.load_state_dict(saved.get("patch_loss", {}))
        self.taught_by = saved.get("teacher")
        self.faces = saved.get("faces", "")

    def supply(self, train_set: faces.Faces, keep_draws: Path | None) -> batches.Batches:
        """The batches of its recipe."""
        recipe, device = self.recipe, self.device
        chosen = sets.SETS.get(recipe.set)
        if chosen is None or not chosen.repeat:
            return batches.Batches(train_set, recipe.batch, recipe.augment, device, keep_draws)
        if recipe.augment not in batches.PAIRED or self.table is not None:
            raise TrainError(
                f"--set {recipe.set}: its pairs are drawn anew each time; take --augment clips and"
                " no table of a teacher's"
            )
        share = recipe.self_blended
        return groups.Groups(
            train_set, recipe.batch, recipe.augment, device, chosen.repeat, share, self.workers
        )

    def begin_with(self, weights: dict[str, Tensor]) -> None:
        """Before the first epoch: the weights to start from.

        Raises:
            TrainError: they are not this network's.
        """
        try:
            self.network.load_state_dict(weights)
        except RuntimeError as error:
            reason = str(error).split("\n", 2)[:2]
            raise TrainError(f"--start {self.recipe.start}: {' '.join(reason)[:200]}") from None
        self.judged.load_state_dict(self.network.state_dict())

    def train(
        self, train_set: faces.Faces, val_set: faces.Faces, keep_draws: Path | None = None
    ) -> None:
        """Trains to the last epoch of the recipe.

        Args:
            train_set: the faces to train on.
            val_set: those that judge every epoch.
            keep_draws: a folder for what the draws of a teacher's table make of the faces.

        Raises:
            TrainError: the recipe wants pairs and the faces are none, or the run was begun with
                other faces.
        """
        train_together([self], train_set, val_set, keep_draws)

    def prepare(self, train_set: faces.Faces, paired: bool) -> None:
        """Checks that the recipe goes with these faces, and that the run was begun with them."""
        if (self.recipe.rank or self.recipe.patches) and not paired:
            raise TrainError(
                "--rank and --patches need batches of pairs: --augment pairs, broad or pixel, and"
                " a faces.csv in which every original_video has one real and one fake face"
            )
        digest = faces.digest(train_set)
        if self.faces not in ("", digest):
            raise TrainError(
                f"{self.folder}: a run with other faces; choose another --out, or give the --data"
                " (and the face finder) that it began with"
            )
        self.faces = digest


def train_together(
    trainers: Sequence[DetectorTrainer],
    train_set: faces.Faces,
    val_set: faces.Faces,
    keep_draws: Path | None = None,
    as_one: bool | None = None,
    judge_every: int = 1,
) -> None:
    """Trains networks whose recipes differ in activation and rate alone, on the same batches; see
    `trainer.fit_together`, also for `judge_every`. `as_one`: several MesoNets as one network,
    `side_by_side.py`, which a GPU does without being told.

    Raises:
        TrainError: as from `DetectorTrainer.train`.
    """
    if len(kinds := np.unique(val_set.fake)) < 2:
        print(
            f"val has {'fake' if kinds.any() else 'real'} faces alone, so that V.AUC is no number:"
            " no epoch can be the best",
            file=sys.stderr,
        )
    first = trainers[0]
    supply = first.supply(train_set, keep_draws)
    for trainer in trainers:
        trainer.prepare(train_set, supply.paired)

    def next_epoch() -> Epoch[batches.Batch]:
        for trainer in trainers:
            draws = 0 if trainer.table is None else len(trainer.table.logits)
            trainer.draw = trainer.epoch % draws if draws else None
        least = min(trainers, key=lambda trainer: trainer.epoch)
        return Epoch(supply.epoch(least.draw), len(supply), supply.examples)

    device = first.device
    as_one = device.type != "cpu" if as_one is None else as_one
    # A GPU has room for them, and should not wait for them.
    seen = [part.to(device) for part in _seen(val_set)] if device.type != "cpu" else []
    fit_together(
        trainers,
        next_epoch,
        lambda trainer: evaluate(trainer.judged, val_set, first.recipe.loss, device, seen),
        lambda row: (
            f"val loss {row['val_loss']:.4f} acc {row['val_accuracy']:.3f} auc {row['val_auc']:.4f}"
        ),
        stepper=_side_by_side if as_one and _are_mesonets(trainers) else None,
        judge_every=judge_every,
    )
    for trainer in trainers:
        if not any(math.isfinite(row["val_auc"]) for row in trainer.history):
            print(
                f"{trainer.folder}: no best.pt, as V.AUC of no epoch is a number; last.pt is the"
                " last one",
                file=sys.stderr,
            )


def _are_mesonets(trainers: Sequence[DetectorTrainer]) -> bool:
    """Whether they are several that can be trained as one network."""
    recipes = [trainer.recipe for trainer in trainers]
    return (
        len(trainers) > 1
        and len({recipe.architecture for recipe in recipes}) == 1
        and recipes[0].architecture in networks.ARCHITECTURES
        and not any(recipe.patches for recipe in recipes)
    )


def _side_by_side(trainers: Sequence[DetectorTrainer]) -> Stepper[batches.Batch]:
    """Steps of all trainers' networks as of one."""
    together = side_by_side.SideBySide([trainer.network for trainer in trainers])
    first = trainers[0]

    def take_steps(batch: batches.Batch, steps: int) -> list[Step]:
        target = first.target(batch)
        with first.autocast():
            logits = together(batch.x)
        done = [
            trainer.judged_by(logit, batch.fake, target)
            for trainer, logit in zip(trainers, logits.float().unbind(1), strict=True)
        ]
        for trainer in trainers:
            trainer.optimizer.zero_grad(set_to_none=True)
        torch.stack([step.loss for step in done]).sum().backward()  # type: ignore[no-untyped-call]  # not typed there
        for trainer in trainers:
            trainer.follow(steps)
        return done

    return take_steps
