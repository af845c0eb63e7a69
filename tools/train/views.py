"""What may have become of the faces of a split before one is judged: `VIEWS`, and smaller ones.

    python -m tools.train.views NETWORK [NETWORK ...] --data DIR --cache DIR --views "as trained"

prints what networks (model files, or checkpoints such as those of `tools.train.average`) do with
val under some of them; with `--mirrored`, for the mirror images too, and the mean of both.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from minimeso import Model, load_model
from minimeso.engine.model_file import RESAMPLE
from tools import files
from tools.convert import checkpoints, models
from tools.errors import exit_status
from tools.train import faces, harms, metrics, pasted, sources
from tools.train.calibrate import SMALL
from tools.train.sets import GROUPED

Array = NDArray[np.float64]


def harmed(split: faces.Faces, harm: str, amount: float) -> Iterator[pasted.Face]:
    """The faces with the whole picture made worse before they are cut."""
    for picture, square in zip(split.images, split.squares, strict=True):
        worse = harms.harm(picture, harm, amount)
        x, y, width, height = (square * (worse.shape[1] / picture.shape[1])).tolist()
        yield pasted.Face(worse, (x, y, width, height))


def found_again(split: faces.Faces, scales: tuple[float, float]) -> Iterator[pasted.Face]:
    """The faces pasted into larger pictures and found again; as trained where they aren't."""
    views = pasted.pasted(split, faces.FRAMING, scales)
    for view, before in zip(views, pasted.as_trained(split), strict=True):
        yield view or before


#: What may have become of a picture before a face is found in it.
VIEWS: dict[str, Callable[[faces.Faces], Iterator[pasted.Face]]] = {
    "as trained": pasted.as_trained,
    "JPEG quality 40": lambda split: harmed(split, "jpeg", 40),
    "half the size": lambda split: harmed(split, "size", 0.5),
    "blur of 1 pixel": lambda split: harmed(split, "blur", 1),
    "H.264 crf 32": lambda split: harmed(split, "h264", 32),
    "pasted and found": lambda split: found_again(split, (1.0, 1.0)),
    "pasted, found, rescaled": lambda split: found_again(split, pasted.SCALES),
}


def scaled(split: faces.Faces, side: int) -> Iterator[pasted.Face]:
    """The faces with the picture scaled down until the square has so many pixels."""
    for picture, square in zip(split.images, split.squares, strict=True):
        smaller = min(side / square[2], 1.0)
        worse = harms.harm(picture, "size", smaller, seed=1)  # bicubic
        x, y, width, height = (square * (worse.shape[1] / picture.shape[1])).tolist()
        yield pasted.Face(worse, (x, y, width, height))


#: The faces scaled down to so many pixels, by name.
SMALLER: dict[str, Callable[[faces.Faces], Iterator[pasted.Face]]] = {
    f"square of {side} pixels": partial(scaled, side=side) for side in SMALL
}


#: What is measured alone: nothing is fitted on it.
ODD: dict[str, Callable[[faces.Faces], Iterator[pasted.Face]]] = {
    f"palette of {colours} colours": partial(harmed, harm="palette", amount=colours)
    for colours in (256, 64)
}
EVERY = VIEWS | SMALLER | ODD


def logits(
    model: Model,
    split: faces.Faces,
    view: str,
    cache: Path,
    mirrored: bool = False,
    wider: float = 1.0,
) -> Array:
    """What a network says of a split, or of the mirror images of its faces, cut so many times as
    wide as their squares, under a view of `EVERY`: (N,) logits, calibrated as the model is. Kept in
    `cache`: calibrating, measuring and making a pair ask the same."""
    of = f"{view.replace(' ', '-')}{'-mirrored' if mirrored else ''}"
    of += "" if wider == 1 else f"-{wider:g}"
    path = cache / f"logits-{_digest(model)}-{faces.digest(split)}-{of}.npy"
    if not path.exists():
        make = EVERY[view]
        with files.atomic_file(path) as part, part.open("wb") as file:
            np.save(
                file, pasted.score(model, make(split), pasted.logit_layer(model), mirrored, wider)
            )
    raw: Array = faces.cached(path, np.float64)
    if raw.shape != (len(split),):
        raise faces.DataError(f"{path}: not the logits of these faces; delete it, it is a cache")
    if "calibration.weight" not in model.weights:
        return np.array(raw)
    scale, shift = (model.weights[f"calibration.{name}"].item() for name in ("weight", "bias"))
    return np.asarray(scale * raw + shift)


def _digest(model: Model) -> str:
    """Another for other weights, however they are calibrated."""
    found = hashlib.sha256(str(model.framing).encode())
    for name, array in sorted(model.weights.items()):
        if not name.startswith("calibration."):
            found.update(name.encode())
            found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()[:16]


def row(model: Model, split: faces.Faces, logit: Array) -> dict[str, Any]:
    """What a network does with a split of several sources: AUC of those with fakes, percentiles of
    the logits of the real faces of those without, and what is called wrongly by its thresholds."""
    source = np.array(split.source)
    found: dict[str, Any] = {}
    p_fake = special.expit(logit)
    for name in sorted(set(split.source)):
        theirs, fake = source == name, split.fake == 1
        if fake[theirs].any():
            found[f"{name} AUC"] = metrics.roc_auc(split.fake[theirs], logit[theirs])
        else:
            for percent in (50, 95, 99):
                found[f"{name} {percent} %"] = np.percentile(logit[theirs], percent)
        if model.thresholds is not None:
            called = p_fake >= model.thresholds["fake"]
            found[f"{name} real called fake"] = called[theirs & ~fake].mean()
            if fake[theirs].any():
                called = p_fake <= model.thresholds["real"]
                found[f"{name} fake called real"] = called[theirs & fake].mean()
    return found


def read(path: Path) -> Model:
    """A model file, or a checkpoint of `tools.train`, whose logits are as they are."""
    if path.suffix == ".npz":
        return load_model(path)
    model = models.to_model(checkpoints.checkpoint_arrays(path), path.stem)
    return replace(model, framing=dict(faces.FRAMING), thresholds=None)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.train.views", description=(__doc__ or "").split("\n")[0]
    )
    add: Callable[..., Any] = parser.add_argument
    add("networks", type=Path, nargs="+", help="model files or checkpoints")
    add("--data", type=Path, required=True, help="folder that holds faces/ and more/")
    add("--cache", type=Path, required=True, help="folder for decoded faces")
    add("--set", choices=GROUPED, default="all")
    add("--views", nargs="+", choices=EVERY, default=["as trained"], metavar="VIEW",
        help=f"of {', '.join(EVERY)}; default: as trained")  # fmt: skip
    add("--resample", choices=RESAMPLE, help="cut faces by this filter, not by that of the network")
    add("--mirrored", action="store_true", help="of the mirror images, too, and of the mean")
    add("--wider", type=float, default=1.0, metavar="TIMES",
        help="so many times as wide as the square, too, and the mean of all")  # fmt: skip
    options = parser.parse_args(arguments)

    def work() -> None:
        split = sources.load(options.data, options.set, "val", options.cache)
        for path in options.networks:
            model = read(path)
            if options.resample:
                framing = {**faces.FRAMING, **(model.framing or {}), "resample": options.resample}
                model = replace(model, framing=framing)
            for view in options.views:
                seen = {}
                for wider in dict.fromkeys((1.0, options.wider)):
                    for mirrored in (False, True) if options.mirrored else (False,):
                        way = f"{wider:g} x{' mirrored' if mirrored else ''}"
                        seen[way] = logits(model, split, view, options.cache, mirrored, wider)
                seen["mean"] = np.mean(list(seen.values()), 0)
                for way, logit in seen.items():
                    what = ", ".join(filter(None, (path.name, view, way)))
                    cells = (
                        f"{key} {value:.4f}" for key, value in row(model, split, logit).items()
                    )
                    print(f"{what}: {'  '.join(cells)}", flush=True)

    return exit_status("views", work, "what was computed is kept in --cache")


if __name__ == "__main__":
    sys.exit(main())
