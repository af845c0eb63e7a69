"""The training loop, of detectors and of the paper's other networks alike.

A `Trainer` goes through the epochs that its recipe wants, saves after each, and goes on from its
last whole epoch after an interruption, with the numbers that the run would have had without it.
What is trained, on what and by which loss, its subclasses say. One process, one device.
"""

from __future__ import annotations

import abc
import math
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Generic, NamedTuple, TypeAlias, TypeVar

import pandas as pd
import torch
from torch import Tensor, nn
from torch.optim import swa_utils
from tqdm import tqdm

from tools import files
from tools.errors import ToolError
from tools.train.random_state import random_state, set_random_state

CHECKPOINT_FORMAT = 1
_NO_STATE = ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError
#: What an epoch gave: a row of the history.
Figures = dict[str, float]
#: A dataclass of all that the numbers of a run depend on; it has `architecture`, `activation`,
#: `epochs` and `precision`.
R = TypeVar("R", bound=Any)
B = TypeVar("B")
#: Takes a step of every network on a batch, of so many that the recipe has.
Stepper: TypeAlias = "Callable[[B, int], list[Step]]"


class TrainError(ToolError):
    """The run cannot start or go on; the message names the cause and the remedy."""


class Step(NamedTuple):
    """What a batch gave: what is minimised, how many of its examples are right, and how many there
    are; the first two as scalars on the device, so that nothing waits for it."""

    loss: Tensor
    right: Tensor
    examples: int


class Epoch(NamedTuple, Generic[B]):
    """The batches of one epoch, how many there are, and how many examples in all."""

    batches: Iterable[B]
    batch_count: int
    examples: int


class Trainer(abc.ABC, Generic[R, B]):
    """A network in training: everything that changes from epoch to epoch, and its checkpoint.

    Args:
        recipe: all that the numbers of the run depend on. `epochs` may change later, see `resume`.
        folder: for `last.pt` (all that an exact resume needs) and, with a `best_by`, `best.pt` (the
            epoch with most of that figure) and `log.csv` (a row an epoch).
        device: where it trains.
        average: the decay a step of an average of the weights, which is then what is kept; 0: none.
    """

    #: The figure that tells the best epoch; None: nothing is chosen.
    best_by: ClassVar[str | None] = None
    #: What a row of the history must have.
    figures: ClassVar[tuple[str, ...]] = ()

    def __init__(self, recipe: R, folder: Path, device: torch.device, average: float = 0.0) -> None:
        self.recipe = recipe
        self.folder = folder
        self.device = device
        torch.manual_seed(recipe.seed)
        self.network = self.build()
        self.averaged = self._averaged(average) if average else None
        self.optimizer = self.make_optimizer()
        self.step = 0
        self.history: list[Figures] = []
        self.random = random_state(device)  # with which the next epoch begins

    # --- what a subclass says ----------------------------------------------------------------

    @abc.abstractmethod
    def build(self) -> nn.Module:
        """The new network, on the device."""

    @abc.abstractmethod
    def make_optimizer(self) -> torch.optim.Optimizer:
        """For the network's parameters, and whatever else is trained."""

    @abc.abstractmethod
    def forward(self, batch: B) -> Step:
        """The loss of a batch, whose gradient is taken."""

    def learning_rate(self, recipe: R, step: int, steps: int) -> float:
        """The rate of a recipe for step 0, 1, 2, ... of `steps`; as it is: a constant."""
        rate: float = recipe.learning_rate
        return rate

    def extra(self) -> dict[str, Any]:
        """What else a checkpoint holds."""
        return {}

    def restore_extra(self, saved: dict[str, Any]) -> None:
        """Takes it back out of a checkpoint, which may be older than an entry."""

    # --- the loop ----------------------------------------------------------------------------

    @property
    def epoch(self) -> int:
        """How many are done."""
        return len(self.history)

    @property
    def judged(self) -> nn.Module:
        """What is judged and kept: the trained network itself, or the average of its past."""
        return self.network if self.averaged is None else self.averaged.module

    def fit(
        self,
        supply: Callable[[], Epoch[B]],
        evaluate: Callable[[], Figures],
        describe: Callable[[Figures], str],
        further: int = 0,
    ) -> None:
        """Trains to the last epoch of the recipe, saving after each.

        Args:
            supply: gives the batches of the next epoch.
            evaluate: judges `judged` on other examples.
            describe: a line of what an epoch gave.
            further: so many runs like this one are to come; for the estimate of the time.
        """
        fit_together([self], supply, lambda _: evaluate(), describe, further)

    def take_step(self, batch: B, steps: int) -> Step:
        """A step of the optimizer, one of so many that the recipe has."""
        done = self.forward(batch)
        self.optimizer.zero_grad(set_to_none=True)
        done.loss.backward()  # type: ignore[no-untyped-call]  # PyTorch does not type it
        self.follow(steps)
        return done

    def follow(self, steps: int) -> None:
        """The gradients there are, by the rate of this step of so many."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate(self.recipe, self.step, steps)
        self.optimizer.step()
        self.step += 1
        if self.averaged is not None:
            self.averaged.update_parameters(self.network)

    def autocast(self) -> torch.autocast:
        """In which the network computes: bfloat16 where the recipe says so."""
        enabled = self.recipe.precision == "bf16"
        return torch.autocast(self.device.type, torch.bfloat16, enabled=enabled)

    def _averaged(self, average: float) -> swa_utils.AveragedModel:
        """Weights and statistics that follow the trained ones.

        The decay starts small, so that the first weights, which mean nothing, are soon forgotten.
        """

        def update(
            averaged: Sequence[Tensor], trained: Sequence[Tensor], _count: Tensor | int
        ) -> None:
            decay = min(average, self.step / (self.step + 9))
            if averaged[0].is_floating_point():  # as all of one call are, or none
                torch._foreach_lerp_(list(averaged), list(trained), 1 - decay)
            else:
                torch._foreach_copy_(list(averaged), list(trained))

        model = swa_utils.AveragedModel(self.network, multi_avg_fn=update, use_buffers=True)
        model.n_averaged.fill_(1)  # the first weights count
        return model

    # --- checkpoints -------------------------------------------------------------------------

    @property
    def path(self) -> Path:
        """The checkpoint of the last whole epoch."""
        return self.folder / "last.pt"

    def checkpoint(self) -> dict[str, Any]:
        """Tensors, numbers, strings, lists and dicts only: torch.load(weights_only=True).

        `state_dict` is the judged network; `trained` stands beside it where they differ.
        """
        return {
            "format": CHECKPOINT_FORMAT,
            "architecture": self.recipe.architecture,
            "activation": self.recipe.activation,
            "recipe": asdict(self.recipe),
            "state_dict": self.judged.state_dict(),
            **({"trained": self.network.state_dict()} if self.averaged else {}),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "epoch": self.epoch,
            "history": self.history,
            "random": self.random[0],
            "random_cuda": self.random[1:],
            **self.extra(),
        }

    def resume(self) -> bool:
        """Continues from `last.pt` if there is one; only the number of epochs may differ, and only
        where no step so far would have had another rate.

        Raises:
            TrainError: it is damaged, or of another recipe.
        """
        if not self.path.exists():
            return False
        saved = load_checkpoint(self.path)
        try:
            self._restore(saved)
        except _NO_STATE as error:
            reason = (str(error).strip() or type(error).__name__).split("\n", 1)[0][:200]
            raise TrainError(f"{self.path}: not a whole checkpoint ({reason}); delete it") from None
        return True

    def _restore(self, saved: dict[str, Any]) -> None:
        for key, value in asdict(self.recipe).items():
            before = saved["recipe"].get(key, getattr(type(self.recipe), key, None))  # or older
            if before != value and not (key == "epochs" and self._same_rates(saved, before)):
                how = "a machine like its first" if key == "precision" else "the same settings"
                raise TrainError(
                    f"{self.path}: a run with {key} {before}, but now {key} is {value};"
                    f" choose another --out, or {how} to continue it, or delete it"
                )
        self.network.load_state_dict(saved["trained" if self.averaged else "state_dict"])
        self.judged.load_state_dict(saved["state_dict"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.step = saved.get("step", 0)  # of a constant rate, and older
        self.history = [dict(row) for row in saved["history"]]
        for row in self.history:
            if missing := set(self.figures) - row.keys():
                raise KeyError(f"an epoch without {', '.join(sorted(missing))}")
        self.restore_extra(saved)
        self.random = [saved["random"], *saved["random_cuda"]]
        set_random_state(self.random, self.device)  # fails if it is none

    def _same_rates(self, saved: dict[str, Any], epochs: int) -> bool:
        """Whether the steps done had their rates of now when `epochs` were planned."""
        planned = replace(self.recipe, epochs=epochs)
        done, an_epoch = saved["step"], saved["step"] // saved["epoch"]
        return all(
            self.learning_rate(planned, step, epochs * an_epoch)
            == self.learning_rate(self.recipe, step, self.recipe.epochs * an_epoch)
            for step in range(done)
        )

    def save(self) -> None:
        """Best first, then last: whenever a kill falls between, the epoch is simply repeated."""
        checkpoint = self.checkpoint()
        if self.best_by is not None:
            scores = [row[self.best_by] for row in self.history]
            if scores[-1] >= max(filter(math.isfinite, scores), default=math.inf):
                write_checkpoint(checkpoint, self.folder / "best.pt")
            log = pd.DataFrame(self.history).astype(float)  # anew, so that it is of the checkpoint
            with files.atomic_file(self.folder / "log.csv") as part:
                log.to_csv(
                    part, index=False, float_format="%.6g", na_rep="nan", lineterminator="\r\n"
                )
        write_checkpoint(checkpoint, self.path)


def fit_together(
    trainers: Sequence[Trainer[Any, B]],
    supply: Callable[[], Epoch[B]],
    evaluate: Callable[[Trainer[Any, B]], Figures],
    describe: Callable[[Figures], str],
    further: int = 0,
    stepper: Callable[[Any], Stepper[B]] | None = None,
    judge_every: int = 1,
) -> None:
    """Trains several networks to the last epoch of their recipes, on the same batches.

    What is drawn (order, changes, dropout) is for each what it would be alone, bit by bit, so that
    settings can be compared run by run. Where some were saved before an interruption and some were
    not, those behind catch up first.

    Args:
        trainers: of recipes with the same seed, batches and epochs.
        supply, describe, further: as for `Trainer.fit`.
        evaluate: judges what a trainer has `judged` on other examples.
        stepper: of the networks of an epoch, what takes a step of all; one after the other without.
        judge_every: so many epochs are between two that are judged; the last always is.
    """
    while min(trainer.epoch for trainer in trainers) < trainers[0].recipe.epochs:
        least = min(trainers, key=lambda trainer: trainer.epoch)
        behind = [trainer for trainer in trainers if is_alike(trainer, least)]
        start = time.perf_counter()
        set_random_state(least.random, least.device)
        take_steps = stepper(behind) if stepper else partial(one_by_one, behind)
        rows = _train_epoch(behind, supply(), take_steps)
        random = random_state(least.device)
        epochs, number = least.recipe.epochs, least.epoch + 1
        judged = number % judge_every == 0 or number == epochs
        for trainer, row in zip(behind, rows, strict=True):
            row |= evaluate(trainer) if judged else dict.fromkeys(trainer.figures, math.nan)
            row["learning_rate"] = trainer.optimizer.param_groups[0]["lr"]
            row["seconds"] = (time.perf_counter() - start) / len(behind)
            trainer.random = random
            trainer.history.append(row)
            trainer.save()
            left = ((1 + further) * epochs - trainer.epoch) * len(behind)
            print(
                *([trainer.folder.name] if len(trainers) > 1 else []),
                f"epoch {trainer.epoch}/{epochs}"
                f"  train loss {row['train_loss']:.4f} acc {row['train_accuracy']:.3f}"
                f"  {describe(row) if judged else 'not judged'}"
                f"  {row['seconds']:.0f} s, {left * row['seconds'] / 60:.0f} min left",
                file=sys.stderr,
                flush=True,
            )


def is_alike(one: Trainer[Any, B], other: Trainer[Any, B]) -> bool:
    """Whether the next epoch of both draws the same."""
    return one.epoch == other.epoch and all(map(torch.equal, one.random, other.random))


def one_by_one(trainers: Sequence[Trainer[Any, B]], batch: B, steps: int) -> list[Step]:
    """A step of each, which draws the same for all."""
    device = trainers[0].device
    random = random_state(device) if len(trainers) > 1 else []
    done = []
    for number, trainer in enumerate(trainers):
        if number:
            set_random_state(random, device)
        done.append(trainer.take_step(batch, steps))
    return done


def _train_epoch(
    trainers: Sequence[Trainer[Any, B]], epoch: Epoch[B], take_steps: Stepper[B]
) -> list[Figures]:
    """One pass over the training examples; loss and accuracy are those under dropout."""
    first = trainers[0]
    for trainer in trainers:
        trainer.network.train()
    bar = tqdm(
        epoch.batches,
        f"epoch {first.epoch + 1}/{first.recipe.epochs}",
        epoch.batch_count,
        unit="batch",
        disable=None,  # a bar only where stderr is a terminal
        leave=False,
    )
    steps = first.recipe.epochs * epoch.batch_count
    losses, right = torch.zeros(2, len(trainers), device=first.device)
    for batch in bar:
        for number, done in enumerate(take_steps(batch, steps)):
            losses[number] += done.loss.detach() * done.examples
            right[number] += done.right
    return [
        {
            "epoch": trainer.epoch + 1,
            "train_loss": losses[number].item() / epoch.examples,
            "train_accuracy": right[number].item() / epoch.examples,
        }
        for number, trainer in enumerate(trainers)
    ]


def load_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint of a trainer. No pickled code is executed.

    Raises:
        TrainError: it cannot be read, or is none of this version.
    """
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
    with files.atomic_file(path) as part:
        torch.save(checkpoint, part)
