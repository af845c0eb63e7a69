"""What a teacher says of the training faces: `python tools/distill.py TEACHER.pt TABLE.npz`.

A small network learns more from "this one can hardly be told" than from "fake". The teacher must
see what its pupil will see, but takes longer for a look than the pupil for a whole training step.
So it looks once at a number of draws of changes (`tools/batches.py`), which come again in the
pupils' epochs, one after the other. See Hinton et al., "Distilling the knowledge in a neural
network", 2015, and Beyer et al., "Knowledge distillation: a good teacher is patient and
consistent", CVPR 2022.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path

if __package__ in (None, ""):  # started by its path
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from tqdm import tqdm

from tools import batches, faces, files, measures, teacher, train
from tools.arguments import number


def logits_of(
    network: nn.Module, supply: batches.Batches, draw: int, bf16: bool
) -> NDArray[np.float32]:
    """(N,): what the network says of all faces under one draw of changes."""
    logits = np.empty(len(supply.faces), np.float32)
    bar = tqdm(supply.epoch(draw), f"draw {draw + 1}", len(supply), unit="batch", disable=None)
    with torch.inference_mode(), torch.autocast(supply.device.type, torch.bfloat16, enabled=bf16):
        for batch in bar:
            logits[batch.rows] = network(batch.x)[:, 0].float().cpu().numpy()
    return logits


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="distill.py",
        usage="%(prog)s --data DIR [--draws N] TEACHER.pt TABLE.npz",
        description="Write what a teacher says of the training faces, for train.py --teacher.",
        epilog="An interrupted run goes on with the same command.",
    )
    parser.add_argument("checkpoint", type=Path, help="best.pt of tools/train.py")
    parser.add_argument("table", type=Path, help="the table to write or to continue (.npz)")
    parser.add_argument("--data", type=Path, required=True, help="folder with the faces")
    parser.add_argument("--cache", type=Path, help="folder for decoded faces (default: beside it)")
    parser.add_argument("--draws", type=number(1 << 10), default=8, help="(default: %(default)s)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, ... (default: %(default)s)")
    options = parser.parse_args(arguments)
    try:
        device = train.device_of(options.device)
        saved = train.load_checkpoint(options.checkpoint)
        recipe = train.Recipe(**saved["recipe"])
        if recipe.augment == "paper":
            raise train.TrainError(
                f"{options.checkpoint}: trained with --augment paper, whose changes cannot be drawn"
                " again for a pupil; train it with another one"
            )
        network = train.build(recipe).to(device)
        network.load_state_dict(saved["state_dict"])
        network.eval()
        cache = options.cache or options.table.parent / "cache"
        data = faces.load(options.data, "train", cache, recipe.limit)
        supply = batches.Batches(data, 32, recipe.augment, device)
        rows: list[NDArray[np.float32]] = []
        if options.table.exists():
            before = teacher.read_table(options.table, data, recipe.augment)
            if before.recipe != saved["recipe"]:
                raise train.TrainError(
                    f"{options.table}: of a teacher of another recipe than {options.checkpoint};"
                    " choose another table, or delete that one"
                )
            rows.extend(before.logits)
        for draw in range(len(rows), options.draws):
            rows.append(logits_of(network, supply, draw, recipe.precision == "bf16"))
            table = teacher.Table(np.stack(rows), teacher.digest(data), saved["recipe"])
            with files.replacing(options.table) as part, part.open("wb") as file:
                table.save(file)
            auc = measures.area_under_curve(data.fake, rows[-1])
            print(f"draw {draw + 1}/{options.draws}: AUC {auc:.4f}", file=sys.stderr, flush=True)
    except (train.TrainError, faces.DataError, OSError, KeyError, TypeError, RuntimeError) as error:
        print(f"distill.py: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on after the last whole draw", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    with contextlib.suppress(OSError):  # only slower without
        train.set_environment()
    sys.exit(main())
