"""Makes a shipped model of a checkpoint: calibrates it on val, looks at test once, writes its card.

    python tools/release.py CHECKPOINT DST.npz --data DIR --cache DIR --name default

Platt scaling (a logistic regression on the logit) is fitted on the val split and becomes the node
`calibration` of the network, so every probability that leaves the model is calibrated.  A verdict
is given where the calibrated probability is at least `CONFIDENT`, else the face is uncertain.
All figures come from minimeso's own engine.  DST.md is the model card.
"""

from __future__ import annotations

import argparse
import datetime
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

if __package__ in (None, ""):  # started by its path
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from tqdm import tqdm

from minimeso import Model, Session, save_model
from minimeso.errors import MinimesoError
from minimeso.networks import NETWORKS, trainable_parameters
from tools import convert, faces

CONFIDENT = 0.8
BINS = 10
RESAMPLES = 1000
BATCH = 75

Array = NDArray[np.float64]


def run_model(model: Model, split: faces.Faces, layer: str) -> Array:
    """Output of a layer with one value a face: (N,)."""
    session = Session(model)
    parts = [
        session.run(split.images[start : start + BATCH], outputs=[layer])[layer][:, 0]
        for start in tqdm(range(0, len(split), BATCH), desc=layer, disable=None)
    ]
    return np.concatenate(parts).astype(np.float64)


def calibrate(model: Model, val: faces.Faces) -> Model:
    """The model with Platt scaling fitted on val, and thresholds."""
    logit = run_model(model, val, "fc2")
    fit = LogisticRegression(C=1e6).fit(logit[:, None], val.fake)
    graph = NETWORKS[model.meta["architecture"]](model.meta["activation"], convert.TORCH_EPS, True)
    graph.name = model.name
    weights = {
        **model.weights,
        "calibration.weight": fit.coef_.astype(np.float32),
        "calibration.bias": fit.intercept_.astype(np.float32),
    }
    calibration = {
        "kind": "Platt scaling, as the node 'calibration'",
        "fitted_on": f"val, {len(val)} faces",
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
    p_fake = run_model(model, split, model.graph.outputs[0])
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
    return {key: round(v, 4) if isinstance(v, float) else v for key, v in values.items()}


CARD = """\
# {name}

{architecture}, activation setting `{activation}`, {count:,} trained values. Made {date}.

**It errs often.** It separates the fakes of the test split from the real faces with an AUC of
{test[auc]:.3f} (0.5 is chance, 1 is perfect), so it says `uncertain` for most faces.

| | val (used to choose and calibrate) | test (looked at once) |
|---|---|---|
{rows}

AUC intervals are 95 %, by drawing whole identities. "Decided" faces are those that are called
real (p_fake <= {thresholds[real]}) or fake (p_fake >= {thresholds[fake]}).

## Data
DFDC face crops: tight boxes of dlib's face finder, 224 x 224 JPEG, one real and one fake face of
each video, split by person; {train_faces} faces to train. The crops are easier and cleaner than
raw DFDC: figures are not comparable with published ones. The faces are not in this repository.

## Recipe
{recipe}

To make it again:

    {command}
    python tools/release.py OUT/best.pt DST.npz --data DIR --cache OUT/cache --name {name}

Epoch {epoch} of the run was the best on val.

## What it cannot do
- It knows one family of swaps (DFDC, mostly autoencoders, indoor clips). On other generators,
  whole synthetic pictures or edited ones it has not been tested; expect chance.
- It was trained on tight face crops. Until faces are found automatically, a whole picture is
  judged as if it were one face: crop the picture to the face, brows to chin, first.
- Compression, small faces (below about 100 px) and blur hide the traces it looks for.
- A probability is calibrated for faces like those of the val split, half of them fake. It is no
  proof.

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
        recipe=recipe,
        command=command,
        epoch=meta["best_epoch"],
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
    options = parser.parse_args(arguments)
    try:
        model = convert.to_model(convert.checkpoint_arrays(options.checkpoint), options.name)
        val = faces.load(options.data, "val", options.cache)
        test = faces.load(options.data, "test", options.cache)
        model = calibrate(model, val)
        recipe, epoch = model.meta["recipe"], model.meta["metrics"]["epoch"]
        if recipe["schedule"] == "paper":  # does not depend on how many more were planned
            recipe["epochs"] = epoch
        meta = {
            **model.meta,
            "best_epoch": epoch,
            "trained_values": trainable_parameters(model.graph),
            "date": datetime.date.today().isoformat(),
            "licence": "MIT",
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
