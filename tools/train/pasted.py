"""What a score is worth in use: faces pasted into larger pictures, found and cut again.

    python -m tools.train.pasted --data DIR --cache DIR --model NAME --faces 500

Each face of the set is pasted at a random place into a picture of smooth, cloudy colours, once as
large as it is and once by a random factor (one bilinear resize), then found by `FaceFinder`, cut
by the model's framing and scored, as a picture from outside would be. Beside that stand the scores
of the same faces in the squares of training, and how well both tell fake from real.
All by minimeso's own engine.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from minimeso import FaceFinder, Model, Session
from minimeso.detect import framing
from minimeso.detect.box import AnyBox, scaled
from tools.arguments import number
from tools.errors import exit_status
from tools.train import divisions, faces, metrics

HEIGHT, WIDTH = 480, 640
SCALES = (0.7, 1.3)
BATCH = 32

Array = NDArray[np.float64]
Pixels = NDArray[np.uint8]


class Face(NamedTuple):
    """What is scored: a picture and where the face lies in it."""

    picture: Pixels
    square: AnyBox
    rotation: int = 0


def logit_layer(model: Model) -> str:
    """What a detector computes before it is calibrated."""
    output = next(node for node in model.graph.nodes if node.name == model.graph.outputs[0])
    (layer,) = output.inputs
    if layer == "calibration":
        (layer,) = (node.inputs[0] for node in model.graph.nodes if node.name == layer)
    return layer


def score(
    model: Model,
    views: Iterable[Face],
    layer: str | None = None,
    mirrored: bool = False,
    wider: float = 1.0,
) -> Array:
    """The value (N,) that the model gives each face, or its mirror image, cut so many times as wide
    as its square: p_fake, or that of another layer."""
    values: Array = scores([model], views, [layer or model.graph.outputs[0]], mirrored, wider)[0]
    return values


def scores(
    models: Sequence[Model],
    views: Iterable[Face],
    layers: Sequence[str],
    mirrored: bool = False,
    wider: float = 1.0,
) -> Array:
    """The values (M, N) that models of one framing give each face, each in a layer of its own."""
    sessions = [Session(model) for model in models]
    cutting: Mapping[str, Any] = models[0].framing or faces.FRAMING
    size, parts = (faces.SIZE, faces.SIZE), []
    views = iter(views)
    while batch := list(islice(views, BATCH)):
        crops = [
            framing.cut(
                face.picture,
                face.square if wider == 1 else scaled(face.square, wider),
                size,
                cutting,
                rotation=face.rotation,
            )
            for face in batch
        ]
        seen = np.concatenate(crops)
        if mirrored:
            seen = np.ascontiguousarray(seen[..., ::-1])
        parts.append(
            [
                session.run(seen, outputs=[layer])[layer][:, 0]
                for session, layer in zip(sessions, layers, strict=True)
            ]
        )
    values: Array = np.concatenate(parts, 1).astype(np.float64)
    return values


def as_trained(split: faces.Faces) -> Iterator[Face]:
    """The faces in the squares that training cuts."""
    for picture, square in zip(split.images, split.squares, strict=True):
        x, y, width, height = square.tolist()
        yield Face(picture, (x, y, width, height))


def background(random: np.random.Generator) -> Pixels:
    """(480, 640, 3): clouds of colour, coarse ones stronger than fine ones, without noise."""
    sky = np.full((HEIGHT, WIDTH, 3), random.uniform(60, 200, 3), np.float32)
    for cells, strength in ((3, 50), (6, 30), (12, 15), (24, 8)):
        spots = random.normal(0, strength, (3, cells, cells + 1)).astype(np.float32)
        for channel, plane in enumerate(spots):
            cloud = Image.fromarray(plane).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
            sky[:, :, channel] += np.asarray(cloud)
    return np.clip(sky, 0, 255).astype(np.uint8)


def paste(
    picture: Pixels, scale: float, random: np.random.Generator
) -> tuple[Pixels, tuple[int, int]]:
    """A background with the picture somewhere in it, whole; and where its left top corner is."""
    if scale != 1:
        size = round(picture.shape[1] * scale), round(picture.shape[0] * scale)
        image = Image.fromarray(picture).resize(size, Image.Resampling.BILINEAR)
        picture = np.asarray(image)
    height, width = picture.shape[:2]
    y = int(random.integers(HEIGHT - height + 1))
    x = int(random.integers(WIDTH - width + 1))
    whole = background(random)
    whole[y : y + height, x : x + width] = picture
    return whole, (x, y)


def found(
    finder: FaceFinder, picture: Pixels, cutting: Mapping[str, Any] = faces.FRAMING
) -> Face | None:
    """The best face of a picture, as a detector would cut it."""
    best = next(iter(finder.find(picture)), None)
    if best is None:
        return None
    steady = finder.steadied(picture, best)
    return Face(picture, framing.square(steady, cutting), steady.rotation)


def pasted(
    split: faces.Faces, cutting: Mapping[str, Any], scales: tuple[float, float], seed: int = 0
) -> Iterator[Face | None]:
    """Each face of a split pasted by a factor between two, and found again; None where it isn't."""
    finder, random = FaceFinder(), np.random.default_rng(seed)
    for picture in tqdm(split.images, "pasted faces", unit="face", disable=None):
        whole, _ = paste(picture, random.uniform(*scales), random)
        yield found(finder, whole, cutting)


def compare(
    model: Model, split: faces.Faces, before: Array, scales: tuple[float, float]
) -> dict[str, float]:
    """What becomes of scores (N,) of a split when its faces are pasted and found again.

    Returns:
        `found` is the share of the faces that the finder found; the rest is about those:
        `spearman` the rank correlation of the two scores, `auc_before` and `auc` how well each
        tells fake from real, `moved` the median of how far p_fake moves.
    """
    views = list(pasted(split, model.framing or faces.FRAMING, scales))
    there = np.array([view is not None for view in views])
    after = score(model, (view for view in views if view is not None))
    fake = split.fake[there]
    values = {
        "found": float(there.mean()),
        "spearman": metrics.rank_correlation(before[there], after),
        "auc_before": metrics.roc_auc(fake, before[there]),
        "auc": metrics.roc_auc(fake, after),
        "moved": float(np.median(np.abs(after - before[there]))),
    }
    return {key: round(value, 4) for key, value in values.items()}


def some(split: faces.Faces, count: int) -> faces.Faces:
    """So many faces of a split, evenly over it, pairs together."""
    pairs = len(split) // 2
    chosen = np.unique(np.linspace(0, pairs - 1, min(count // 2, pairs)).round().astype(int))
    index = (2 * chosen[:, None] + np.arange(2)).reshape(-1)
    return divisions.chosen(split, index)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.train.pasted", description=(__doc__ or "").split("\n")[0]
    )
    add: Callable[..., Any] = parser.add_argument
    add("--data", type=Path, required=True, help="folder with the faces")
    add("--cache", type=Path, required=True, help="folder for decoded faces")
    add("--model", default="default", help="bundled name or file (default: %(default)s)")
    add("--split", choices=faces.SPLITS, default="train", help="(default: %(default)s)")
    add("--faces", type=number(1 << 20), default=500, help="how many (default: %(default)s)")
    options = parser.parse_args(arguments)

    def work() -> None:
        model = Session(options.model).model
        split = some(faces.load(options.data, options.split, options.cache), options.faces)
        before = score(model, as_trained(split))
        for low, high in ((1.0, 1.0), SCALES):
            values = compare(model, split, before, (low, high))
            row = "  ".join(f"{key} {value:.4f}" for key, value in values.items())
            print(f"{len(split)} faces, scale {low} to {high}:  {row}")

    return exit_status("pasted", work)


if __name__ == "__main__":
    sys.exit(main())
