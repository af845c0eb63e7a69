"""Makes a shipped model of a checkpoint: calibrates it on val, looks at test once, writes its card.

    python -m tools.train.release CHECKPOINT DST.npz --data DIR --cache DIR --name default \\
        --videos DIR --published DIR

Platt scaling (a logistic regression on the logit) is fitted on the val split and becomes the node
`calibration` of the network, so every probability that leaves the model is calibrated.  It is
fitted on the faces as they are in the set and as they come in use (`VIEWS`), all alike, because a
logit that is sure of a clean face must not be as sure of a compressed one.  A verdict is given
where the calibrated probability is at least `CONFIDENT`, else the face is uncertain. How much more
fake small faces look is fitted, too, and taken away by the detector alone.
All figures come from minimeso's own engine, of faces cut by the framing, and stand in the `meta` of
the file; `card.py` makes the model card of them, DST.md and DST.svg.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import math
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from minimeso import Detector, Model, load_model, save_model
from minimeso.detect.pair import Pair
from minimeso.engine.storage import Dtype
from minimeso.networks import trainable_parameters
from tools.convert import checkpoints, efficientnet, keras, models, source
from tools.errors import exit_status
from tools.train import (
    calibrate,
    card,
    detectors,
    faces,
    measures,
    metrics,
    networks,
    pasted,
    sources,
    views,
)
from tools.train.sets import SETS
from tools.train.views import SMALLER, VIEWS

CONFIDENT = 0.8  # of models of one source

Array = NDArray[np.float64]


def calibrated(model: Model, val: faces.Faces, cache: Path, leave_out: Sequence[str] = ()) -> Model:
    """The model with Platt scaling fitted on the views of val, and thresholds; without the faces of
    sources that it may have learned from."""
    logit = np.concatenate([views.logits(model, val, view, cache) for view in VIEWS])
    count = calibrate.importance(val, leave_out)
    repeated = np.tile(count, len(VIEWS))
    fit = calibrate.platt(logit[None], np.tile(val.fake, len(VIEWS)), repeated)
    meta = model.meta
    eps = source.TORCH_EPS
    graph = source.graph_of(meta["architecture"], meta["activation"], eps, model.weights, True)
    graph.name = model.name
    weights = {
        **model.weights,
        "calibration.weight": np.array([fit.weights], np.float32),
        "calibration.bias": np.array([fit.bias], np.float32),
    }
    without = f", but for those of {', '.join(leave_out)}" if leave_out else ""
    calibration = {
        "kind": "Platt scaling, as the node 'calibration'",
        "fitted_on": f"val, {int((count > 0).sum())} faces{without}, each so: {', '.join(VIEWS)}",
        "scale": fit.weights[0],
        "shift": fit.bias,
    }
    p_fake = 1 / (1 + np.exp(-fit.logit(logit[None, : len(val)])))
    if val.layout == "sets":
        thresholds = calibrate.thresholds(p_fake, val, leave_out)
    else:
        thresholds = {"real": round(1 - CONFIDENT, 6), "fake": CONFIDENT}
    return replace(
        model, graph=graph, weights=weights, calibration=calibration, thresholds=thresholds
    )


def small_faces(
    model: Model, val: faces.Faces, cache: Path, leave_out: Sequence[str] = ()
) -> dict[str, float]:
    """The shift of small faces, of the faces of val scaled down."""
    logits = (views.logits(model, val, view, cache) for view in SMALLER)
    return calibrate.small_faces(logits, val.fake, calibrate.importance(val, leave_out))


def metrics_of(model: Model, split: faces.Faces, cache: Path) -> dict[str, Any]:
    """What the card says of one split."""
    scores = {view: special.expit(views.logits(model, split, view, cache)) for view in VIEWS}
    p_fake = scores["as trained"]
    assert model.thresholds is not None
    judged = (p_fake, split.fake, split.pair, model.thresholds)
    values: dict[str, Any] = {
        "faces": len(split),
        **({"people": len(set(faces.people(split)))} if split.layout != "folders" else {}),
        **metrics.judged(*judged),
    }
    for name, (low, high) in metrics.intervals(*judged, faces.people(split).tolist()).items():
        values |= {f"{name}_low": low, f"{name}_high": high}
    for name, p in scores.items():
        if name != "as trained":
            values[f"auc: {name}"] = metrics.roc_auc(split.fake, p)
    found = scores["pasted and found"]
    values["rank correlation: pasted and found"] = metrics.rank_correlation(p_fake, found)
    if split.layout == "sets":
        values["groups"] = measures.by_group(p_fake, split, model.thresholds)
        values["precision"] = {
            name: measures.precision(p_fake, split, model.thresholds, name)
            for name in sorted(set(split.source))
            if split.fake[np.array(split.source) == name].any()
        }
    return {key: _rounded(value) for key, value in values.items()} | {
        "reliability": [
            (round(said, 4), round(true, 4), count)
            for said, true, count in metrics.reliability(p_fake, split.fake)
        ]
    }


def _fixed(model: Model) -> int:
    """How many values of a network no training changes, beside running statistics."""
    return sum(
        array.size
        for name, array in efficientnet.SCALING.items()
        if name in model.weights and "running" not in name
    )


def _rounded(value: Any) -> Any:
    """To four places; None for what is no number."""
    if not isinstance(value, float):
        return value
    return None if math.isnan(value) else round(value, 4)


def published(folder: Path, split: faces.Faces) -> dict[str, float]:
    """AUC on a split of the weights that the MesoNet authors published (their Keras files)."""
    values = {}
    for path in sorted(folder.glob("*.h5")):
        model = models.to_model(keras.keras_arrays(path), path.stem)
        whole = (
            pasted.Face(picture, (0.0, 0.0, float(picture.shape[1]), float(picture.shape[0])))
            for picture in split.images  # as their own faces were: tight crops, whole
        )
        auc = metrics.roc_auc(split.fake, pasted.score(model, whole))
        values[path.stem] = round(auc, 4)
    return values


def clips_of(folder: Path) -> list[dict[str, str]]:
    """The clips that the `videos.csv` of a folder names: file, label, twin."""
    with (folder / "videos.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if any(None in (row.get(key) for key in ("file", "label", "twin")) for row in rows):
        raise faces.DataError(f"{folder / 'videos.csv'}: a row without file, label or twin")
    return rows


def clips(model: Model | Pair, folder: Path) -> list[dict[str, Any]]:
    """The verdicts of whole clips; `videos.csv` says which they are."""
    detector = Detector(model)
    found = []
    for row in clips_of(folder):
        verdict = detector.check(folder / row["file"])
        p_fake = None if verdict.p_fake is None else round(verdict.p_fake, 4)
        known = {"file": row["file"], "label": row["label"], "twin": row["twin"]}
        found.append({**known, "p_fake": p_fake, "verdict": verdict.verdict})
    return found


def commands(meta: Mapping[str, Any], name: str) -> list[str]:
    """What makes the model again, line by line; the names of folders are those in the card."""
    extras = "train,teacher,video" if "teacher" in meta else "train,video"
    lines, teacher = [f"pip install -e '.[{extras}]'"], ""
    if "teacher" in meta:
        table = f"OUT/{meta['recipe']['teacher']}"
        recipes = meta["teacher"]["recipes"]
        folders = [f"OUT/teacher{number}" for number in range(1, len(recipes) + 1)]
        lines += [
            f"python -m tools.train --data FACES --out {folder} {_flags(recipe)}"
            for folder, recipe in zip(folders, recipes, strict=True)
        ]
        lines.append(
            f"python -m tools.train.distill --data FACES --draws {meta['teacher']['draws']}"
            f" {' '.join(f'{folder}/best.pt' for folder in folders)} {table}"
        )
        teacher = f" --teacher {table}"
    elif meta["recipe"].get("teacher"):  # a network, which was asked about every batch
        teacher = f" --teacher {meta['recipe']['teacher']}"
    checkpoint = f"OUT/{name}/best.pt"
    train = f"python -m tools.train --data FACES --out OUT/{name} {_flags(meta['recipe'])}{teacher}"
    lines.append(train)
    if "average" in meta:
        _, *others = meta["average"]["of"]
        mean, shares = f"OUT/{name}/mean.pt", " ".join(map(str, meta["average"]["weights"]))
        of = " ".join((checkpoint, *others))
        lines.append(f"python -m tools.train.average {of} {mean} --weights {shares}")
        checkpoint = mean
    return [
        *lines,
        f"python -m tools.train.release {checkpoint} {name}.npz --name {name} --data FACES"
        f" --cache OUT/{name}/cache --videos CLIPS --published WEIGHTS{_fitting(meta)}",
    ]


def _fitting(meta: Mapping[str, Any]) -> str:
    without = f" --leave-out {' '.join(meta['left_out'])}" if meta.get("left_out") else ""
    return without + (f" --dtype {meta['dtype']}" if "dtype" in meta else "")


def _flags(recipe: Mapping[str, Any]) -> str:
    default = detectors.Recipe()
    return " ".join(
        f"--{key.replace('_', '-')} {value}"
        for key, value in recipe.items()
        if (key == "activation" and recipe["architecture"] in networks.ARCHITECTURES)
        or key in ("architecture", "precision", "seed")
        or (key not in ("teacher", "activation") and value != getattr(default, key))
    )


def split_of(data: Path, chosen: str, split: str, cache: Path) -> faces.Faces:
    """The faces of a split of one of `SETS`, or where none is named, of one folder."""
    if chosen:
        return sources.load(data, chosen, split, cache)
    return faces.load(data, split, cache)


def released(
    model: Model,
    data: Path,
    cache: Path,
    published_weights: Path | None,
    videos: Path | None,
    note: str = "",
    leave_out: Sequence[str] = (),
) -> Model:
    """A converted checkpoint calibrated on val, with all that its card says in its `meta`."""
    chosen = model.meta["recipe"].get("set", "")
    leave_out = leave_out or model.meta.get("left_out", ())
    val, test = (split_of(data, chosen, split, cache) for split in ("val", "test"))
    model = calibrated(replace(model, framing=dict(faces.FRAMING)), val, cache, leave_out)
    small = small_faces(model, val, cache, leave_out)
    calibration = {**(model.calibration or {}), "small_faces": small}
    model = replace(model, calibration=calibration)
    recipe, epoch = model.meta["recipe"], model.meta["metrics"]["epoch"]
    if recipe["schedule"] == "paper":  # does not depend on how many more were planned
        recipe["epochs"] = epoch
    train_split = split_of(data, chosen, "train", cache)
    meta = {
        **model.meta,
        **({"set": chosen, "set_about": SETS[chosen].about} if chosen else {}),
        **({"left_out": list(leave_out)} if leave_out else {}),
        "best_epoch": epoch,
        "trained_values": trainable_parameters(model.graph) - _fixed(model),
        "date": datetime.date.today().isoformat(),
        "licence": "MIT",
        **({"note": note} if note else {}),
        "train_faces": len(train_split),
        "faces_in": train_split.layout,
        "commands": commands(model.meta, model.name),
        "metrics": {"val": metrics_of(model, val, cache), "test": metrics_of(model, test, cache)},
        "published": {},
        "clips": [],
    }
    if published_weights:
        meta["published"] = published(published_weights, test)
    model = replace(model, meta=meta)
    if videos:
        meta["clips"] = clips(model, videos)
        model = replace(model, meta=meta)
    return model


def read_trained(path: Path, name: str) -> Model:
    """The model of a checkpoint, which must say how it was trained.

    Raises:
        ConvertError: it is none, or says too little.
    """
    if path.suffix == ".npz":
        return _uncalibrated(load_model(path), name)
    model = models.to_model(checkpoints.checkpoint_arrays(path), name)
    if not model.is_detector or not {"recipe", "metrics"} <= model.meta.keys():
        raise source.ConvertError(f"{path}: not a checkpoint of tools.train with its recipe")
    if "recipes" not in model.meta.get("teacher", {"recipes": []}):
        raise source.ConvertError(
            f"{path}: does not say how its teachers were trained; it is of an"
            " older version, train it anew"
        )
    return model


def _uncalibrated(model: Model, name: str) -> Model:
    """A model as it was before it was released, to be released anew: calibrated on faces that are
    cut in another way, say."""
    meta = model.meta
    if not {"architecture", "activation", "recipe", "best_epoch"} <= meta.keys():
        raise source.ConvertError(f"{model.name}: not a model of tools.train.release")
    weights = {k: array for k, array in model.weights.items() if not k.startswith("calibration.")}
    graph = source.graph_of(meta["architecture"], meta["activation"], source.TORCH_EPS, weights)
    graph.name = name
    kept = {key: value for key, value in meta.items() if key != "dtype"}
    meta = {**kept, "metrics": {"epoch": meta["best_epoch"]}}
    return replace(model, name=name, graph=graph, weights=weights, meta=meta)


def rounded(model: Model, dtype: Dtype) -> Model:
    """As it comes back from a file of that dtype, so that what is measured is what is shipped."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.npz"
        save_model(replace(model, meta={**model.meta, "dtype": dtype}), path, dtype=dtype)
        return load_model(path)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.train.release", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument(
        "checkpoint", type=Path, help="best.pt of tools.train, or a model to be released anew"
    )
    parser.add_argument("destination", type=Path, help="the model file to write")
    parser.add_argument("--data", type=Path, required=True, help="folder with the faces")
    parser.add_argument("--cache", type=Path, required=True, help="folder for decoded faces")
    parser.add_argument("--name", default="default")
    parser.add_argument("--videos", type=Path, help="folder of clips with videos.csv")
    parser.add_argument("--published", type=Path, help="folder of the published Keras weights")
    parser.add_argument("--note", default="", help="what else the card says of the recipe")
    parser.add_argument(
        "--leave-out",
        nargs="*",
        default=(),
        metavar="SOURCE",
        help="sources whose val faces the network may have learned from: nothing is fitted on them"
        " (default: of a model that is released anew, those that it names)",
    )
    parser.add_argument(
        "--dtype",
        choices=("float32", "float16", "int8"),
        default="float32",
        help="of the stored weights (default: %(default)s)",
    )
    options = parser.parse_args(arguments)

    def work() -> None:
        model = read_trained(options.checkpoint, options.name)
        if options.dtype != "float32":
            model = rounded(model, options.dtype)
        model = released(
            model, options.data, options.cache, options.published, options.videos, options.note,
            options.leave_out,
        )  # fmt: skip
        save_model(model, options.destination, dtype=options.dtype)
        card.write(model, options.destination)
        print(f"{options.destination}: {model.meta['metrics']}")

    return exit_status("release", work)


if __name__ == "__main__":
    sys.exit(main())
