"""Trains a detector of swapped faces: `python -m tools.train --data DIR --out DIR`."""

from __future__ import annotations

import argparse
import contextlib
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from tools.arguments import number
from tools.errors import exit_status
from tools.train import batches, detectors, faces, networks, sets, sources, teacher, weights
from tools.train.device import device_of, set_environment
from tools.train.trainer import TrainError

#: `ArgumentParser.add_argument`.
Add = Callable[..., Any]


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.train",
        description="Train Meso-4 or MesoInception-4 on face crops. The defaults are the paper's.",
        epilog="--data: faces.csv with train.zip and val.zip, or folders df/ and real/.",
    )
    add: Add = parser.add_argument
    add("--data", type=Path, required=True, help="folder with the faces")
    add("--out", type=Path, required=True, help="folder for checkpoints and log; resumes if used")
    add("--cache", type=Path, help="folder for decoded faces (default: OUT/cache)")
    default = detectors.Recipe()
    _add_network(add, default)
    _add_losses(add, default)
    _add_distillation(add, default)
    _add_machine(add)
    add("--limit", type=int, default=default.limit, help="only so many faces of a split, for tests")
    return parser.parse_args(arguments)


def _add_network(add: Add, default: detectors.Recipe) -> None:
    """What is trained, on what changes of the faces, how long."""
    add(
        "--architecture",
        choices=(*networks.ARCHITECTURES, *teacher.ARCHITECTURES),
        default=default.architecture,
        help=f"{', '.join(teacher.ARCHITECTURES)}: large ones to distil from, which begin with the"
        " weights of ImageNet; their activations are their own (default: %(default)s)",
    )
    add(
        "--activation",
        choices=networks.ACTIVATIONS,
        nargs="+",
        default=[default.activation],
        help="several: networks side by side on the same batches, on a GPU as one network, each in"
        " a folder of --out (default: %(default)s)",
    )
    add("--epochs", type=number(1 << 20), default=default.epochs)
    add("--batch", type=number(1 << 20), default=default.batch, help="faces (default: %(default)s)")
    add("--learning-rate", type=_weight, default=default.learning_rate)
    add(
        "--augment",
        choices=batches.AUGMENTATIONS,
        default=default.augment,
        help="paper: zoom, flips, rotation, colour; pixel: shifts by whole pixels, and the two"
        " faces of a pair alike in one batch; pairs: so, but the faces framed anew each time, and"
        " some pairs compressed, rescaled, blurred or noisy; broad: more of all that, and some"
        " fakes blended with their real twins; clips: broad, and what befalls clips, such as H.264"
        " and interlacing; none: no changes (default: %(default)s)",
    )
    add(
        "--set",
        choices=("", *sets.SETS),
        default=default.set,
        help="faces of several sets: --data is the folder that holds faces/ and more/; those called"
        " all take every fake, for --augment clips",
    )
    add(
        "--self-blended",
        type=_share,
        default=default.self_blended,
        help="share of the pairs of --set all... with a self-blended fake (default: %(default)s)",
    )
    add(
        "--start",
        type=Path,
        nargs="+",
        help="weights to begin with: a model file, or a .pt; one for each activation",
    )
    add(
        "--freeze",
        type=number(1 << 10),
        default=default.freeze,
        help="of a large network, blocks that keep the weights of the start (default: 0)",
    )
    add("--schedule", choices=("paper", "cosine", "trapezoid"), default=default.schedule)
    add("--seed", type=int, default=default.seed)


def _add_losses(add: Add, default: detectors.Recipe) -> None:
    """What is minimised, and what keeps the weights from fitting the training faces alone."""
    add("--loss", choices=("mse", "cross-entropy"), default=default.loss)
    add(
        "--rank",
        type=_weight,
        default=default.rank,
        help="weight of softplus(logit_real - logit_fake) in the loss, for batches of pairs"
        " (default: %(default)s)",
    )
    add(
        "--patches",
        type=_weight,
        default=default.patches,
        help="weight of the loss of small heads that judge every patch of the feature maps, for"
        " batches of pairs (default: %(default)s)",
    )
    add(
        "--dropout",
        type=_share,
        default=default.dropout,
        help="of the dense layers (default: %(default)s)",
    )
    add(
        "--average",
        type=_share,
        default=default.average,
        help="judge and keep the moving average of the weights, with this decay a step, such as"
        " 0.999 (default: %(default)s, the weights themselves)",
    )


def _add_distillation(add: Add, default: detectors.Recipe) -> None:
    """Learning from teachers."""
    add(
        "--teacher",
        type=Path,
        nargs="+",
        metavar="TABLE.npz",
        help="what teachers said of the faces, by python -m tools.train.distill; or teachers"
        " themselves (.pt, or model files), which are asked about every batch anew: the mean of"
        " their logits counts, and who is named twice counts twice",
    )
    add(
        "--keep-draws",
        action="store_true",
        help="with --teacher: keep the changed faces of every draw of its table in --cache (0.2 MB"
        " a face and draw: 1.7 GB for each draw of 8,800), instead of changing them again in each"
        " epoch; what tools.train.distill --keep-draws kept in the same --cache is taken",
    )
    add(
        "--distill",
        type=_share,
        default=default.distill,
        help="how much of the label is the teachers', with --teacher (default: %(default)s)",
    )


def _add_machine(add: Add) -> None:
    """Where and how it is computed."""
    add("--device", default="cpu", help="cpu, cuda, cuda:1, ... (default: %(default)s)")
    add(
        "--precision",
        choices=("auto", "bf16", "fp32"),
        default="auto",
        help="bf16 is faster on GPUs and on CPUs with bfloat16 instructions, and six times slower"
        " on others; auto: bf16 where it is faster (default: %(default)s)",
    )
    add(
        "--compile",
        action="store_true",
        help="let torch.compile make kernels first: a minute, then a step takes less time on a GPU;"
        " rounding and dropout differ from those without",
    )
    add("--threads", type=number(1 << 20), help="CPU threads (default: PyTorch's choice)")
    add(
        "--workers",
        type=number(1 << 10),
        default=0,
        help="processes that change faces for --set all..., where a GPU is faster than the threads"
        " of one process; Linux (default: threads)",
    )


def _weight(text: str) -> float:
    value = float(text)
    if not (math.isfinite(value) and value >= 0):
        raise argparse.ArgumentTypeError("must be 0 or more")
    return value


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError("must be 0 or more, and less than 1")
    return value


def _faces(options: argparse.Namespace, split: str, cache: Path) -> faces.Faces:
    if options.set:
        return sources.load(options.data, options.set, split, cache, options.limit)
    return faces.load(options.data, split, cache, options.limit)


def _runs(options: argparse.Namespace) -> list[detectors.DetectorTrainer]:
    """The new runs, one for each activation."""
    activations = list(dict.fromkeys(options.activation))
    if options.keep_draws and not options.teacher:
        raise TrainError("--keep-draws: only the draws of a --teacher come again; name its table")
    if options.start and len(options.start) != len(activations):
        raise TrainError(
            f"--start: {len(options.start)} files for {len(activations)} activations; name one each"
        )
    settings = {key: getattr(options, key) for key in asdict(detectors.Recipe())}
    settings["teacher"] = " ".join(path.name for path in options.teacher or ())
    device = device_of(options.device)
    if options.precision == "auto":
        settings["precision"] = networks.fastest_precision(options.architecture, device)
    runs = []
    for place, activation in enumerate(activations):
        settings["activation"] = activation
        settings["start"] = options.start[place].name if options.start else ""
        folder = options.out / activation if len(activations) > 1 else options.out
        folder.mkdir(parents=True, exist_ok=True)
        runs.append(detectors.DetectorTrainer(detectors.Recipe(**settings), folder, device))
        runs[-1].workers = options.workers
    return runs


def _teach(
    options: argparse.Namespace, runs: Sequence[detectors.DetectorTrainer], data: faces.Faces
) -> None:
    """Gives the runs the table or the network of --teacher, if one is named."""
    if not options.teacher:
        return
    path = options.teacher[0]
    if len(options.teacher) > 1 or not weights.is_table(path):
        asked = weights.teachers_of(options.teacher, runs[0].device)
        for run in runs:
            run.teacher = asked
        return
    table = teacher.read_table(path, data, options.augment)
    for run in runs:
        run.table = table
        if run.taught_by not in (None, table.origin):
            raise TrainError(
                f"{path}: another table than that of the run in {run.folder}, of"
                " other teachers or of more draws; choose another --out, or that table"
            )


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    options = parse(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)

    def work() -> None:
        runs = _runs(options)
        for run in runs:
            if run.resume():
                print(f"{run.folder}: resuming after epoch {run.epoch}", file=sys.stderr)
            elif options.start:
                start = options.start[runs.index(run)]
                run.begin_with(weights.with_counts(weights.read(start), run.network))
        cache = options.cache or options.out / "cache"
        train_set, val_set = (_faces(options, split, cache) for split in ("train", "val"))
        _teach(options, runs, train_set)
        if options.compile:
            for run in runs:
                run.network.compile(dynamic=False)
        try:
            keep = cache if options.keep_draws else None
            detectors.train_together(runs, train_set, val_set, keep)
        except RuntimeError as error:
            if not options.compile:
                raise
            reason = str(error).split("\n", 1)[0][:200]
            raise TrainError(f"{reason}; try it without --compile") from None

    return exit_status("train", work, "the same command resumes after the last whole epoch")


if __name__ == "__main__":
    with contextlib.suppress(OSError):  # only slower without
        set_environment()
    sys.exit(main())
