"""The paper's stages 1 and 2: MesoInception-4 trained again and again on faces.

The protocol is the paper's, which is `tools.train`'s default. A run's figures are those of its
last epoch: the paper does not say which it took, and choosing one by the validation faces would
flatter those figures. A run that was cut goes on from its last whole epoch. Runs of one seed on one
division of the faces are trained together, settings side by side on the same batches.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from tools.bench.machine import cpu_model
from tools.paper.results import PROTOCOLS, Budget, Options, ResultsError, Runs, cell
from tools.train import detectors, divisions, faces, networks, sources
from tools.train.device import device_of
from tools.train.trainer import TrainError

#: What names a run; the other columns of `runs.csv` are settings and figures.
KEY = ("activation", "learning_rate", "split", "seed")

#: Epochs; to judge each took a tenth of the time, and only the last one counts.
JUDGE_EVERY = 10

Splits = tuple[faces.Faces, faces.Faces]


def checkpoint(folder: Path, run: Mapping[str, object]) -> Path:
    """The last epoch of a run of the experiment in `folder`."""
    name = "{activation}-{learning_rate}-split{split}-seed{seed}".format_map(run)
    return folder / "checkpoints" / name / "last.pt"


def train_runs(
    options: Options,
    name: str,
    budget: Budget,
    wanted: Sequence[Mapping[str, object]],
    divide: Callable[[Splits, int], Splits] = lambda given, split: given,
) -> None:
    """Trains the wanted runs that are not finished; `divide` makes the splits of another number."""
    folder = options.folder(name)
    protocol = PROTOCOLS[options.protocol]
    epochs = budget.epochs * protocol.times
    settings = {"budget": options.budget, "epochs": epochs, "limit": budget.examples}
    settings |= options.faces
    runs = Runs(folder, settings, KEY)
    with told():
        device = chosen_device(options)

        @lru_cache(1)
        def splits(number: object) -> Splits:
            assert isinstance(number, int)
            train_set, val_set = (load(options, name, budget.examples) for name in ("train", "val"))
            found = divide((train_set, val_set), number)
            _same_faces(runs, number, found)
            return found

        for few in runs.left(wanted, together=("split", "seed")):
            trainers = []
            for run in few:
                recipe = detectors.Recipe(
                    activation=str(run["activation"]),
                    learning_rate=float(str(run["learning_rate"])),
                    epochs=epochs,
                    precision=networks.fastest_precision("mesoinception4", device),
                    seed=int(str(run["seed"])),
                    limit=budget.examples,
                    **protocol.recipe,
                )
                out = checkpoint(folder, run).parent
                out.mkdir(parents=True, exist_ok=True)
                trainers.append(detectors.DetectorTrainer(recipe, out, device))
                trainers[-1].resume()
            given = splits(few[0]["split"])
            detectors.train_together(trainers, *given, judge_every=JUDGE_EVERY)
            for run, trainer in zip(few, trainers, strict=True):
                runs.add(run, _figures(trainer, given))


def _same_faces(runs: Runs, number: int, splits: Splits) -> None:
    """Refuses a --data that is evidently not that of the runs there are."""
    now = _sizes(splits)
    for row in runs.table.to_dict("records"):
        if row["split"] == cell(number) and any(row.get(key) != cell(now[key]) for key in now):
            there = ", ".join(f"{key} {row.get(key)}" for key in now)
            raise ResultsError(
                f"{runs.path}: holds runs of other faces ({there}); choose another --out, or the"
                " --data that it began with"
            )


def _sizes(splits: Splits) -> dict[str, object]:
    return {
        "train_faces": len(splits[0]),
        "val_faces": len(splits[1]),
        "faces_in": splits[0].layout,
    }


def load(options: Options, split: str, limit: int) -> faces.Faces:
    """Faces of --data, or of its set. Use it within `told`."""
    if options.set:
        if options.data is None:
            raise ResultsError("--data DIR is missing: the folder with faces/ and more/")
        return sources.load(options.data, options.set, split, options.cache, limit)
    return faces.load(options.data_folder("faces"), split, options.cache, limit)


def _figures(run: detectors.DetectorTrainer, splits: Splits) -> dict[str, object]:
    """Of a finished run."""
    last = run.history[-1]
    p_fake = torch.sigmoid(detectors.logits(run.judged, splits[1], run.device)).numpy()
    shown = ("train_accuracy", "train_loss", "val_accuracy", "val_loss", "val_auc")
    return {
        **{figure: last[figure] for figure in shown},
        "steps": run.step,
        "last_rate": last["learning_rate"],
        **_sizes(splits),
        "precision": run.recipe.precision,
        **where(run.device),
        **of_each_person(p_fake, splits[1]),
        "seconds": sum(epoch["seconds"] for epoch in run.history),
    }


def of_each_person(p_fake: NDArray[np.float32], judged: faces.Faces) -> dict[str, object]:
    """How many people there are, and how many faces of every one are right: for intervals."""
    right = (p_fake >= 0.5) == (judged.fake == 1)
    part = divisions.parts(judged) if judged.layout == "sets" else None
    people, person = np.unique(faces.people(judged) if part is None else part, return_inverse=True)
    rights = np.bincount(person[right], minlength=len(people))
    counts = np.bincount(person, minlength=len(people))
    return {
        "people": len(people),
        "right_of_each_person": " ".join(f"{a}/{b}" for a, b in zip(rights, counts, strict=True)),
    }


@contextlib.contextmanager
def told() -> Iterator[None]:
    """What the training tools complain about, as an error of ours."""
    try:
        yield
    except (TrainError, faces.DataError) as error:
        raise ResultsError(str(error)) from None


def chosen_device(options: Options) -> torch.device:
    """That of --device; sets the number of threads, too. Use it within `told`."""
    if options.threads:
        torch.set_num_threads(options.threads)
    return device_of(options.device)


def where(device: torch.device) -> dict[str, object]:
    """What a run was trained on: another kind of CPU or GPU rounds otherwise."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else cpu_model()
    return {"device": str(device), "machine": name}
