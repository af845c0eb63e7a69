"""What teachers say of the training faces: `python -m tools.train.distill TEACHER.pt TABLE.npz`.

A small network learns more from "this one can hardly be told" than from "fake". Teachers must see
what their pupil will see, but take longer for a look than the pupil for a whole training step. So
they look once at a number of draws of changes (`batches.py`), which come again in the pupils'
epochs, one after the other. Of several teachers the mean logit counts. See Hinton et al.,
"Distilling the knowledge in a neural network", 2015, and Beyer et al., "Knowledge distillation: a
good teacher is patient and consistent", CVPR 2022.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from tqdm import tqdm

from tools import files
from tools.arguments import number
from tools.errors import exit_status
from tools.train import batches, detectors, faces, metrics, teacher
from tools.train.device import device_of, set_environment
from tools.train.trainer import TrainError, load_checkpoint

BATCH = {"cpu": 32, "cuda": 128}  # a GPU would wait for a CPU that launches small ones


class Asked(NamedTuple):
    """A teacher, ready to be asked."""

    network: nn.Module
    recipe: detectors.Recipe
    faces: str  # digest of what it was trained on


def load(path: Path, device: torch.device) -> Asked:
    """The teacher of a checkpoint."""
    saved = load_checkpoint(path)
    try:
        recipe = detectors.Recipe(**saved["recipe"])
        network = detectors.build(recipe).to(device)
        network.load_state_dict(saved["state_dict"])
        asked = Asked(network.eval(), recipe, saved["faces"])
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        reason = str(error).split("\n", 1)[0][:200]
        raise TrainError(
            f"{path}: not a whole checkpoint of this version ({reason}); train it anew"
        ) from None
    if recipe.augment == "paper":
        raise TrainError(
            f"{path}: trained with --augment paper, whose changes cannot be drawn again for a"
            " pupil; train it with another one"
        )
    return asked


def logits_of(teachers: Sequence[Asked], supply: batches.Batches, draw: int) -> NDArray[np.float32]:
    """(N,): the mean of what the teachers say of all faces under one draw of changes."""
    logits = np.empty(len(supply.faces), np.float32)
    bar = tqdm(supply.epoch(draw), f"draw {draw + 1}", len(supply), unit="batch", disable=None)
    bf16 = all(asked.recipe.precision == "bf16" for asked in teachers)
    with torch.inference_mode(), torch.autocast(supply.device.type, torch.bfloat16, enabled=bf16):
        for batch in bar:
            said = torch.stack([asked.network(batch.x)[:, 0].float() for asked in teachers])
            logits[batch.rows] = said.mean(0).cpu().numpy()
    return logits


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.train.distill",
        usage="%(prog)s --data DIR [--draws N] TEACHER.pt [TEACHER.pt ...] TABLE.npz",
        description="Write what teachers say of the training faces, for tools.train --teacher.",
        epilog="An interrupted run goes on with the same command.",
    )
    parser.add_argument("checkpoints", type=Path, nargs="+", help="best.pt of tools.train")
    parser.add_argument("table", type=Path, help="the table to write or to continue (.npz)")
    parser.add_argument("--data", type=Path, required=True, help="folder with the faces")
    parser.add_argument("--cache", type=Path, help="folder for decoded faces (default: beside it)")
    parser.add_argument("--draws", type=number(1 << 10), default=8, help="(default: %(default)s)")
    parser.add_argument(
        "--keep-draws",
        action="store_true",
        help="keep the changed faces of every draw in --cache (0.2 MB a face and draw), for pupils"
        " with the same --cache and --keep-draws",
    )
    parser.add_argument("--device", default="cpu", help="cpu, cuda, ... (default: %(default)s)")
    options = parser.parse_args(arguments)

    def work() -> None:
        device = device_of(options.device)
        teachers = [load(path, device) for path in options.checkpoints]
        first = teachers[0].recipe
        cache = options.cache or options.table.parent / "cache"
        data = faces.load(options.data, "train", cache, first.limit)
        for path, asked in zip(options.checkpoints, teachers, strict=True):
            if asked.faces != faces.digest(data) or asked.recipe.augment != first.augment:
                raise TrainError(
                    f"{path}: trained on other faces, or with another --augment than"
                    f" {options.checkpoints[0]}; all must have seen the same"
                )
        keep = cache if options.keep_draws else None
        supply = batches.Batches(data, BATCH.get(device.type, 32), first.augment, device, keep)
        recipes = [asdict(asked.recipe) for asked in teachers]
        rows: list[NDArray[np.float32]] = []
        if options.table.exists():
            before = teacher.read_table(options.table, data, supply.augmentation)
            if before.recipes != recipes:
                raise TrainError(
                    f"{options.table}: of teachers of other recipes than those of"
                    f" {', '.join(map(str, options.checkpoints))}; choose another table, or delete"
                    " that one"
                )
            rows.extend(before.logits)
        for draw in range(len(rows), options.draws):
            rows.append(logits_of(teachers, supply, draw))
            table = teacher.Table(np.stack(rows), faces.digest(data), recipes)
            with files.atomic_file(options.table) as part, part.open("wb") as file:
                table.save(file)
            auc = metrics.roc_auc(data.fake, rows[-1])
            print(f"draw {draw + 1}/{options.draws}: AUC {auc:.4f}", file=sys.stderr, flush=True)

    return exit_status("distill", work, "the same command goes on after the last whole draw")


if __name__ == "__main__":
    with contextlib.suppress(OSError):  # only slower without
        set_environment()
    sys.exit(main())
