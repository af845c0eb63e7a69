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

import copy
import csv
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from tools import files
from tools.train import batches, faces, measures, networks, patches, teacher

CHECKPOINT_FORMAT = 1


class TrainError(Exception):
    """The run cannot start or go on; the message names the cause and the remedy."""


@dataclass(frozen=True)
class Recipe:
    """All that the numbers of a run depend on. `epochs` may change later; see `Run.resume`."""

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
    network: nn.Module, data: faces.Faces, loss: str, device: torch.device
) -> dict[str, float]:
    """Loss, accuracy at p_fake 0.5 and AUC, in float32 and without augmentation."""
    network.eval()
    images = torch.split(torch.from_numpy(data.framed), 32)
    with torch.inference_mode():
        parts = [network(batches.to_float(part.to(device)))[:, 0] for part in images]
        logit = torch.cat(parts).float().cpu()
    fake = torch.from_numpy(data.fake.astype(np.float32))
    return {
        "val_loss": loss_of(loss, logit, fake).item(),
        "val_accuracy": ((logit > 0) == (fake > 0)).float().mean().item(),
        "val_auc": measures.area_under_curve(data.fake, logit.numpy()),
    }


class Run:
    """A network in training: everything that changes from epoch to epoch, and its checkpoint."""

    def __init__(self, recipe: Recipe, out: Path, device: torch.device) -> None:
        self.recipe = recipe
        self.out = out
        self.device = device
        torch.manual_seed(recipe.seed)
        self.network = build(recipe).to(device)
        #: What is judged and shipped: the trained network itself, or the average of its past.
        self.judged = copy.deepcopy(self.network) if recipe.average else self.network
        channels = cast(dict[str, int], self.network.patch_channels) if recipe.patches else {}
        self.patch_loss = patches.PatchLoss(self.network, channels).to(device)
        self.optimizer = torch.optim.Adam(
            [*self.network.parameters(), *self.patch_loss.parameters()], recipe.learning_rate
        )
        self.step = 0
        self.history: list[dict[str, float]] = []
        self.table: teacher.Table | None = None  # to distil from
        self.faces = ""  # digest of what was trained on, once anything was
        self.taught_by: dict[str, Any] | None = None  # origin of the table so far

    @property
    def epoch(self) -> int:
        return len(self.history)

    def train_epoch(self, supply: batches.Batches) -> dict[str, float]:
        """One pass over the training faces; the loss and accuracy are those under dropout. With the
        table of a teacher the faces are changed as it saw them."""
        self.network.train()
        draw = None if self.table is None else self.epoch % len(self.table.logits)
        bar = tqdm(
            supply.epoch(draw),
            f"epoch {self.epoch + 1}/{self.recipe.epochs}",
            len(supply),
            unit="batch",
            disable=None,  # a bar only where stderr is a terminal
            leave=False,
        )
        steps = self.recipe.epochs * len(supply)
        loss_sum = torch.zeros((), device=self.device)
        right = torch.zeros((), device=self.device)
        for x, fake, rows in bar:
            for group in self.optimizer.param_groups:
                group["lr"] = learning_rate(self.recipe, self.step, steps)
            with torch.autocast(
                self.device.type, torch.bfloat16, enabled=self.recipe.precision == "bf16"
            ):
                logit = self.network(x)[:, 0]
            logit = logit.float()
            target = fake
            if self.table is not None:
                said = torch.from_numpy(self.table.logits[draw, rows]).to(self.device)
                target = torch.lerp(fake, torch.sigmoid(said), self.recipe.distill)
            loss = loss_of(self.recipe.loss, logit, target)
            if self.recipe.rank:
                loss = loss + self.recipe.rank * rank_loss(logit, fake)
            if self.recipe.patches:
                loss = loss + self.recipe.patches * self.patch_loss(x, fake)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]  # PyTorch does not type it
            self.optimizer.step()
            self.step += 1
            self._average()
            loss_sum += loss.detach() * len(fake)
            right += ((logit > 0) == (fake > 0)).sum()
        count = len(supply.faces)
        return {"train_loss": loss_sum.item() / count, "train_accuracy": right.item() / count}

    def _average(self) -> None:
        """The judged weights and statistics follow the trained ones.

        The decay starts small, so that the first weights, which mean nothing, are soon forgotten.
        """
        if self.judged is self.network:
            return
        decay = min(self.recipe.average, self.step / (self.step + 9))
        trained = self.network.state_dict()
        for name, value in self.judged.state_dict().items():
            if value.is_floating_point():
                value.lerp_(trained[name], 1 - decay)
            else:
                value.copy_(trained[name])

    def checkpoint(self) -> dict[str, Any]:
        """Tensors, numbers, strings, lists and dicts only: torch.load(weights_only=True).

        `state_dict` is the judged network; `trained` stands beside it where they differ.
        """
        averaged = self.judged is not self.network
        return {
            "format": CHECKPOINT_FORMAT,
            "architecture": self.recipe.architecture,
            "activation": self.recipe.activation,
            "framing": dict(faces.FRAMING),
            "recipe": asdict(self.recipe),
            **({"teacher": self.table.origin} if self.table else {}),
            "faces": self.faces,
            "state_dict": self.judged.state_dict(),
            **({"trained": self.network.state_dict()} if averaged else {}),
            "patch_loss": self.patch_loss.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "epoch": self.epoch,
            "history": self.history,
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state_all() if self.device.type == "cuda" else [],
        }

    def resume(self) -> bool:
        """Continues from `last.pt` if there is one; only the number of epochs may differ, and only
        where no step so far would have had another rate."""
        path = self.out / "last.pt"
        if not path.exists():
            return False
        saved = load_checkpoint(path)
        try:
            self._restore(saved, path)
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            reason = str(error).split("\n", 1)[0][:200]
            raise TrainError(f"{path}: not a whole checkpoint ({reason}); delete it") from None
        return True

    def _restore(self, saved: dict[str, Any], path: Path) -> None:
        for key, value in asdict(self.recipe).items():
            before = saved["recipe"].get(key, getattr(Recipe, key))  # older than the setting
            if before != value and not (key == "epochs" and self._same_rates(saved, before)):
                raise TrainError(
                    f"{path}: a run with {key} {before}, but now {key} is {value};"
                    " choose another --out, or the same settings to continue it"
                )
        self.network.load_state_dict(saved["trained" if self.recipe.average else "state_dict"])
        self.judged.load_state_dict(saved["state_dict"])
        self.patch_loss.load_state_dict(saved.get("patch_loss", {}))
        self.optimizer.load_state_dict(saved["optimizer"])
        self.taught_by = saved.get("teacher")
        self.step = saved["step"]
        self.history = saved["history"]
        self.faces = saved.get("faces", "")  # older than that
        torch.set_rng_state(saved["random"])
        if self.device.type == "cuda" and saved["random_cuda"]:
            torch.cuda.set_rng_state_all(saved["random_cuda"])

    def _same_rates(self, saved: dict[str, Any], epochs: int) -> bool:
        """Whether the steps done had their rates of now when `epochs` were planned."""
        planned = replace(self.recipe, epochs=epochs)
        done, an_epoch = saved["step"], saved["step"] // saved["epoch"]
        return all(
            learning_rate(planned, step, epochs * an_epoch)
            == learning_rate(self.recipe, step, self.recipe.epochs * an_epoch)
            for step in range(done)
        )

    def save(self) -> None:
        """Best first, then last: whenever a kill falls between, the epoch is simply repeated."""
        checkpoint = self.checkpoint()
        if self.history[-1]["val_auc"] >= max(row["val_auc"] for row in self.history):
            write_checkpoint(checkpoint, self.out / "best.pt")
        write_log(self.history, self.out / "log.csv")
        write_checkpoint(checkpoint, self.out / "last.pt")


def load_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint of this script. No pickled code is executed."""
    try:
        saved = files.read_checkpoint(path)
    except OSError as error:
        raise TrainError(f"{path}: cannot be read ({error.strerror}); name another file") from None
    except ValueError:
        raise TrainError(
            f"{path}: not a checkpoint of tools.train, or cut short; delete it, or name another"
        ) from None
    if not isinstance(saved, dict) or saved.get("format") != CHECKPOINT_FORMAT:
        raise TrainError(f"{path}: not a checkpoint of this version of tools.train; delete it")
    return saved


def write_checkpoint(checkpoint: dict[str, Any], path: Path) -> None:
    """Whole or not at all: a kill in the middle leaves the former file as it was."""
    with files.replacing(path) as part:
        torch.save(checkpoint, part)


def write_log(history: Sequence[dict[str, float]], path: Path) -> None:
    """A CSV row an epoch, written anew each time so that it always matches the checkpoint."""
    with files.replacing(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(history[0]))
        table.writeheader()
        for row in history:
            table.writerow({key: f"{value:.6g}" for key, value in row.items()})


def train(
    recipe: Recipe,
    train_set: faces.Faces,
    val_set: faces.Faces,
    run: Run,
    keep_draws: Path | None = None,
) -> None:
    """Trains to the last epoch of the recipe, saving after each; `keep_draws` is a folder for what
    the draws of a teacher's table make of the faces."""
    supply = batches.Batches(train_set, recipe.batch, recipe.augment, run.device, keep_draws)
    if (recipe.rank or recipe.patches) and not supply.paired:
        raise TrainError(
            "--rank and --patches need batches of pairs: --augment pairs, broad or pixel, and a"
            " faces.csv in which every original_video has one real and one fake face"
        )
    digest = faces.digest(train_set)
    if run.faces not in ("", digest):
        raise TrainError(
            f"{run.out}: a run with other faces; choose another --out, or give the --data (and the"
            " face finder) that it began with"
        )
    run.faces = digest
    while run.epoch < recipe.epochs:
        start = time.perf_counter()
        row: dict[str, float] = {"epoch": run.epoch + 1}
        row |= run.train_epoch(supply)
        row |= evaluate(run.judged, val_set, recipe.loss, run.device)
        row["learning_rate"] = run.optimizer.param_groups[0]["lr"]
        row["seconds"] = time.perf_counter() - start
        run.history.append(row)
        run.save()
        left = (recipe.epochs - run.epoch) * row["seconds"] / 60
        print(
            f"epoch {run.epoch}/{recipe.epochs}"
            f"  train loss {row['train_loss']:.4f} acc {row['train_accuracy']:.3f}"
            f"  val loss {row['val_loss']:.4f} acc {row['val_accuracy']:.3f}"
            f" auc {row['val_auc']:.4f}  {row['seconds']:.0f} s, {left:.0f} min left",
            file=sys.stderr,
            flush=True,
        )
