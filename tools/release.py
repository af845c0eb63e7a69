"""Makes a shipped model of a checkpoint: calibrates it on val, looks at test once, writes its card.

    python tools/release.py CHECKPOINT DST.npz --data DIR --cache DIR --name default

Platt scaling (a logistic regression on the logit) is fitted on the val split and becomes the node
`calibration` of the network, so every probability that leaves the model is calibrated.  It is
fitted on the faces as they are in the set and as they come in use (`VIEWS`), all alike, because a
logit that is sure of a clean face must not be as sure of a compressed one.  A verdict is given
where the calibrated probability is at least `CONFIDENT`, else the face is uncertain.
All figures come from minimeso's own engine, of faces cut by the framing.  DST.md is the model card.
"""

from __future__ import annotations

import argparse
import datetime
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

if __package__ in (None, ""):  # started by its path
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from minimeso import Model, save_model
from minimeso.errors import MinimesoError
from minimeso.networks import NETWORKS, trainable_parameters
from tools import batches, convert, faces, pasted

CONFIDENT = 0.8
BINS = 10
RESAMPLES = 1000

Array = NDArray[np.float64]


def harmed(split: faces.Faces, harm: str, amount: float) -> Iterator[pasted.Face]:
    """The faces with the whole picture made worse before they are cut."""
    for picture, square in zip(split.images, split.squares, strict=True):
        worse = batches.harm(picture, harm, amount)
        x, y, width, height = (square * (worse.shape[1] / picture.shape[1])).tolist()
        yield pasted.Face(worse, (x, y, width, height))


def found_again(split: faces.Faces) -> Iterator[pasted.Face]:
    """The faces pasted into larger pictures and found again; as trained where they aren't."""
    views = pasted.pasted(split, faces.FRAMING, pasted.SCALES)
    for view, before in zip(views, pasted.as_trained(split), strict=True):
        yield view or before


#: What may have become of a picture before a face is found in it.
VIEWS: dict[str, Callable[[faces.Faces], Iterator[pasted.Face]]] = {
    "as trained": pasted.as_trained,
    "JPEG quality 40": lambda split: harmed(split, "jpeg", 40),
    "half the size": lambda split: harmed(split, "size", 0.5),
    "blur of 1 pixel": lambda split: harmed(split, "blur", 1),
    "pasted and found": found_again,
}


def calibrate(model: Model, val: faces.Faces) -> Model:
    """The model with Platt scaling fitted on the views of val, and thresholds."""
    logit = np.concatenate([pasted.score(model, view(val), "fc2") for view in VIEWS.values()])
    fit = LogisticRegression(C=1e6).fit(logit[:, None], np.tile(val.fake, len(VIEWS)))
    graph = NETWORKS[model.meta["architecture"]](model.meta["activation"], convert.TORCH_EPS, True)
    graph.name = model.name
    weights = {
        **model.weights,
        "calibration.weight": fit.coef_.astype(np.float32),
        "calibration.bias": fit.intercept_.astype(np.float32),
    }
    calibration = {
        "kind": "Platt scaling, as the node 'calibration'",
        "fitted_on": f"val, {len(val)} faces, each so: {', '.join(VIEWS)}",
        "scale": float(fit.coef_[0, 0]),
        "shift": float(fit.intercept_[0]),
    }
    return replace(
        model,
        graph=graph,
        weights=weights,
        calibration=calibration,
        thresholds={"real": round(1 - CONFIDENT, 6), "fake": CONFIDENT},
    )


def calibration_error(p_fake: Array, fake: NDArray[np.uint8]) -> float:
    """Expected calibration error over equally wide bins (Naeini et al. 2015)."""
    bins = np.minimum((p_fake * BINS).astype(int), BINS - 1)
    gaps = [
        (bins == b).mean() * abs(p_fake[bins == b].mean() - fake[bins == b].mean())
        for b in np.unique(bins)
    ]
    return float(np.sum(gaps))


def auc_interval(p_fake: Array, split: faces.Faces) -> tuple[float, float]:
    """95 % interval of the AUC; whole identities are drawn with replacement."""
    random = np.random.default_rng(0)
    people = sorted(set(split.identity))
    members: dict[str, list[int]] = {p: [] for p in people}
    for index, person in enumerate(split.identity):
        members[person].append(index)
    values = []
    for _ in range(RESAMPLES):
        drawn = random.choice(len(people), len(people))
        chosen = np.concatenate([members[people[i]] for i in drawn])
        values.append(roc_auc_score(split.fake[chosen], p_fake[chosen]))
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def metrics(model: Model, split: faces.Faces) -> dict[str, Any]:
    """What the card says of one split."""
    scores = {name: pasted.score(model, view(split)) for name, view in VIEWS.items()}
    p_fake = scores["as trained"]
    assert model.thresholds is not None
    decided = (p_fake <= model.thresholds["real"]) | (p_fake >= model.thresholds["fake"])
    right = (p_fake >= 0.5) == (split.fake == 1)
    low, high = auc_interval(p_fake, split)
    real, fake = (
        {pair: p for pair, p, kind in zip(split.pair, p_fake, split.fake, strict=True) if kind == k}
        for k in (0, 1)
    )
    pairs = [fake[pair] > real[pair] for pair in real if pair in fake and pair >= 0]
    values: dict[str, Any] = {
        "faces": len(split),
        "identities": len(set(split.identity)),
        "auc": float(roc_auc_score(split.fake, p_fake)),
        "auc_low": low,
        "auc_high": high,
        "accuracy": float(right.mean()),
        "fake_above_its_real_twin": float(np.mean(pairs)) if pairs else None,
        "expected_calibration_error": calibration_error(p_fake, split.fake),
        "decided": float(decided.mean()),
        "right_of_decided": float(right[decided].mean()) if decided.any() else None,
    }
    for name, p in scores.items():
        if name != "as trained":
            values[f"auc: {name}"] = float(roc_auc_score(split.fake, p))
    found = scores["pasted and found"]
    values["rank correlation: pasted and found"] = pasted.rank_correlation(p_fake, found)
    return {key: round(v, 4) if isinstance(v, float) else v for key, v in values.items()}


CARD = """\
# {name}

{architecture}, activation setting `{activation}`, {count:,} trained values. Made {date}.

**It errs often.** It separates the fakes of the test split from the real faces with an AUC of
{test[auc]:.3f} (0.5 is chance, 1 is perfect), so it says `uncertain` for most faces.

| | val (used to choose and calibrate) | test (nothing chosen by it) |
|---|---|---|
{rows}

AUC intervals are 95 %, by drawing whole identities. "Decided" faces are those that are called
real (p_fake <= {thresholds[real]}) or fake (p_fake >= {thresholds[fake]}). "Pasted and found": the
crop of the set pasted at a random place into a picture of 640 x 480, {scales[0]} to {scales[1]}
times as large, found there by `FaceFinder` and cut anew; its rank correlation is that with the
score of the face as trained. JPEG, size and blur are those of the whole crop, before the face is
cut.

## Data
DFDC face crops: tight boxes of dlib's face finder, 224 x 224 JPEG, one real and one fake face of
each video, split by person; {train_faces} faces to train. The crops are easier and cleaner than
raw DFDC: figures are not comparable with published ones. The faces are not in this repository.

## Framing
The network sees a square around the face, scaled once to 256 x 256 (bilinear): its centre lies
half way between the middle of the eyes and the middle of the mouth, its side is {side} times the
larger of two distances, between the eyes and from eyes to mouth. Faces are found and cut so in
training and in use: give `minimeso detect` whole pictures, not crops.

## Recipe
{recipe}

To make it again:

    {command}
    python tools/release.py OUT/best.pt DST.npz --data DIR --cache OUT/cache --name {name}

Epoch {epoch} of the run was the best on val.{note}

## What it cannot do
- It knows one family of swaps (DFDC, mostly autoencoders, indoor clips). On other generators,
  whole synthetic pictures or edited ones it has not been tested; expect chance.
- All faces that it has learned from and was measured on were crops of 224 pixels that somebody
  else had scaled before: two thirds of them up, by another program. How it does on faces straight
  from a camera has not been measured on more than a few clips.
- Compression, small faces (below about 100 px) and blur hide the traces it looks for; the table
  says what some of that costs. Strong profiles are rare in the set.
- A probability is calibrated for faces like those of the val split, half of them fake. Where fakes
  are rarer, most of what it calls fake may be real. It is no proof.
- One face of each video was judged. Of the frames of a clip it errs on many in the same way.

Licence of the weights: {licence}.
"""


def card(model: Model, command: str, train_faces: int) -> str:
    """The model card as Markdown."""
    meta = model.meta
    labels = {
        "faces": "faces",
        "identities": "people",
        "auc": "AUC",
        "accuracy": "right at 0.5",
        "fake_above_its_real_twin": "fake scores above its real twin",
        "expected_calibration_error": "expected calibration error",
        "decided": "decided",
        "right_of_decided": "right, of the decided",
        **{f"auc: {name}": f"AUC: {name}" for name in VIEWS if name != "as trained"},
        "rank correlation: pasted and found": "rank correlation: pasted and found",
    }
    rows = []
    for key, label in labels.items():
        cells = []
        for split in ("val", "test"):
            value = meta["metrics"][split][key]
            cell = "none decided" if value is None else f"{value:.3f}"
            if isinstance(value, int):
                cell = str(value)
            if key == "auc":
                low, high = (meta["metrics"][split][f"auc_{end}"] for end in ("low", "high"))
                cell += f" [{low:.3f}, {high:.3f}]"
            cells.append(cell)
        rows.append(f"| {label} | {' | '.join(cells)} |")
    recipe = ", ".join(f"{key} {value}" for key, value in meta["recipe"].items())
    return CARD.format(
        name=model.name,
        architecture=meta["architecture"],
        activation=meta["activation"],
        count=meta["trained_values"],
        date=meta["date"],
        test=meta["metrics"]["test"],
        rows="\n".join(rows),
        thresholds=model.thresholds,
        train_faces=f"{train_faces:,}",
        scales=pasted.SCALES,
        side=faces.FRAME_SIDE,
        recipe=recipe,
        command=command,
        epoch=meta["best_epoch"],
        note=f" {meta['note']}" if "note" in meta else "",
        licence=meta["licence"],
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="release.py", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("checkpoint", type=Path, help="best.pt of tools/train.py")
    parser.add_argument("destination", type=Path, help="the model file to write")
    parser.add_argument("--data", type=Path, required=True, help="folder with the faces")
    parser.add_argument("--cache", type=Path, required=True, help="folder for decoded faces")
    parser.add_argument("--name", default="default")
    parser.add_argument("--note", default="", help="what else the card says of the recipe")
    options = parser.parse_args(arguments)
    try:
        model = convert.to_model(convert.checkpoint_arrays(options.checkpoint), options.name)
        val = faces.load(options.data, "val", options.cache)
        test = faces.load(options.data, "test", options.cache)
        model = calibrate(replace(model, framing=dict(faces.FRAMING)), val)
        recipe, epoch = model.meta["recipe"], model.meta["metrics"]["epoch"]
        if recipe["schedule"] == "paper":  # does not depend on how many more were planned
            recipe["epochs"] = epoch
        meta = {
            **model.meta,
            "best_epoch": epoch,
            "trained_values": trainable_parameters(model.graph),
            "date": datetime.date.today().isoformat(),
            "licence": "MIT",
            **({"note": options.note} if options.note else {}),
            "metrics": {"val": metrics(model, val), "test": metrics(model, test)},
        }
        model = replace(model, meta=meta)
        command = "python tools/train.py --data DIR --out OUT " + " ".join(
            f"--{key.replace('_', '-')} {value}" for key, value in recipe.items()
        )
        save_model(model, options.destination)
        text = card(model, command, len(faces.load(options.data, "train", options.cache)))
        options.destination.with_suffix(".md").write_text(text, encoding="utf-8")
    except (MinimesoError, convert.ConvertError, faces.DataError, OSError) as error:
        print(f"release.py: {error}", file=sys.stderr)
        return 2
    print(f"{options.destination}: {meta['metrics']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
