"""What may have become of the faces of a split before one is judged: `VIEWS`, and smaller ones."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from minimeso import Model
from tools import files
from tools.train import faces, harms, pasted
from tools.train.calibrate import SMALL

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


def logits(
    model: Model, split: faces.Faces, view: str, cache: Path, mirrored: bool = False
) -> Array:
    """What a network says of a split, or of the mirror images of its faces, under a view of `VIEWS`
    or `SMALLER`: (N,) logits, calibrated as the model is. Kept in `cache`: calibrating, measuring
    and making a pair ask the same."""
    output = next(node for node in model.graph.nodes if node.name == model.graph.outputs[0])
    layer = output.inputs[0]
    if layer == "calibration":
        (layer,) = (node.inputs[0] for node in model.graph.nodes if node.name == layer)
    of = f"{view.replace(' ', '-')}{'-mirrored' if mirrored else ''}"
    path = cache / f"logits-{_digest(model)}-{faces.digest(split)}-{of}.npy"
    if not path.exists():
        make = (VIEWS | SMALLER)[view]
        with files.atomic_file(path) as part, part.open("wb") as file:
            np.save(file, pasted.score(model, make(split), layer, mirrored))
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
