"""Trains what tells faces unlike those that the thorough network of a pair learned from.

    python -m tools.train.domain PAIR.json --data DIR --cache DIR

The values of one layer of the network, which it computes anyway, are what is looked at. Those of
faces, as they are and made worse as on their way to a user, are told from those of drawings,
statues, screens and prints that a script makes of them (`domain_drawings`), by a logistic
regression. It is fitted on a part of the people of val, whom the network has not learned by heart;
the limit is chosen on the others (`ALLOWED`, `ALLOWED_WORSE`). `domain.npz` is written beside the
manifest, which is written anew to name it. What comes of it in use, `python -m tools.bench.domain`
measures. Another network needs another one.
"""

from __future__ import annotations

import argparse
import sys
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from scipy import optimize, special
from tqdm import tqdm

from minimeso import Graph, Model, Session, save_model
from minimeso.detect import framing
from minimeso.detect.pair import load_pair, save_pair
from minimeso.media.pixels import Pixels
from tools.errors import exit_status
from tools.train import cover_examples, faces, harms, sources
from tools.train.domain_drawings import HELD_OUT, KINDS, Filter
from tools.train.pasted import Face

NAME, LAYER = "domain", "body._avg_pooling"
#: Of five people of val so many are fitted on.
FITTED = 3
#: Share of the faces of each source of val that may lie above the limit, by a single look; and of
#: those of each view.
ALLOWED, ALLOWED_WORSE = 0.01, 0.02
DECAY = 0.01
#: Faces of a view, and drawings of a kind that is learned from, and of others.
OF_VIEW, OF_KIND, OF_HELD_OUT = 450, 100, 80
#: What is wrong with every face of a view: by what, and how much.
VIEWS = {
    "JPEG quality 40": ("jpeg", 40.0),
    "half the size": ("size", 0.5),
    "blur of 1 pixel": ("blur", 1.0),
    "H.264 crf 32": ("h264", 32.0),
}
PLAIN, GREY, WORSE = "plain", "without colours", "made worse"
GRADED, SMOOTHED = "other light and colours", "smoothed and sharpened"
#: What is no drawing, and what the limit is chosen with beside the faces as they are.
PHOTOGRAPHS = (PLAIN, *VIEWS, GREY, WORSE, GRADED, SMOOTHED)
LIMITED = (*VIEWS, GREY, GRADED, SMOOTHED)
#: Pixels of the square of a drawn face, the least and the most.
LEAST, MOST = 80, 240
STRENGTH = harms.STRENGTHS["clips"]
#: What may befall half of the drawings, and how often: by what and how much.
_WORSE = {"blur": (0.3, 0.9), "size": (0.6, 1.2), "jpeg": (40.0, 95.0)}
_OFTEN = 0.4
_BATCH = 16

Array = NDArray[np.float64]
Random = np.random.Generator


class Seen(NamedTuple):
    """What was computed of some faces (N, F), and of which rows of the split they are."""

    values: Array
    rows: Sequence[int]


class Fit(NamedTuple):
    """A logistic regression: values (N, F) are `values @ weight + bias` strange."""

    weight: Array
    bias: float

    def strangeness(self, values: Array) -> Array:
        """(N,) of values (N, F)."""
        return np.asarray(values @ self.weight + self.bias)


def values_of(session: Session, layer: str, views: Iterable[Face]) -> Array:
    """(N, F): what a layer of a network computes of some faces."""
    cutting = session.model.framing or faces.FRAMING
    views, parts, size = iter(views), [], (faces.SIZE, faces.SIZE)
    while batch := list(islice(views, _BATCH)):
        crops = [
            framing.cut(face.picture, face.square, size, cutting, session.isa) for face in batch
        ]
        found = session.run(np.concatenate(crops), outputs=[layer])[layer]
        parts.append(found.reshape(len(batch), -1).astype(np.float64))
    return np.concatenate(parts)


def whole(split: faces.Faces, row: int) -> Face:
    """A face of a split, with nothing around it that is no picture."""
    picture, side = cover_examples.whole(split, row)
    x, y = split.squares[row][:2].tolist()
    return Face(np.asarray(picture), (x, y, side, side))


def harmed(face: Face, name: str, amount: float, seed: int = 0) -> Face:
    """A face after one of `harms`."""
    worse = harms.harm(face.picture, name, amount, seed)
    scale = worse.shape[1] / face.picture.shape[1]
    x, y, width, height = face.square
    return Face(worse, (x * scale, y * scale, width * scale, height * scale))


def without_colours(picture: Pixels) -> Pixels:
    """(H, W, 3), grey."""
    return np.repeat(picture.mean(2, keepdims=True), 3, 2).astype(np.uint8)


def graded(face: Face, random: Random) -> Face:
    """As films and apps have it: brightness, contrast, strength and tint of the colours."""
    x = (face.picture / 255.0) ** random.uniform(0.6, 1.6)
    x = (x - 0.5) * random.uniform(0.7, 1.7) + 0.5 + random.uniform(-0.08, 0.08)
    grey = x.mean(2, keepdims=True)
    x = (grey + (x - grey) * random.uniform(0, 1.7)) * random.uniform(0.85, 1.15, 3)
    return Face(np.clip(x * 255 + 0.5, 0, 255).astype(np.uint8), face.square)


def smoothed(face: Face, random: Random) -> Face:
    """As cameras and codecs do it: noise taken away, edges sharpened; the face in any size."""
    scale, image = random.uniform(1, 2) * 170 / face.square[2], Image.fromarray(face.picture)
    size = round(image.width * scale), round(image.height * scale)
    image = image.resize(size, Image.Resampling.BICUBIC).filter(ImageFilter.MedianFilter(3))
    radius, percent = random.uniform(0.8, 2), round(random.uniform(50, 250))
    image = image.filter(ImageFilter.UnsharpMask(radius, percent, 0))
    x, y, width, height = face.square
    return Face(np.asarray(image), (x * scale, y * scale, width * scale, height * scale))


def worse(face: Face, random: Random) -> Face:
    """As faces are on their way to a user: other light, without colours, harms of training."""
    picture = face.picture
    if random.random() < 0.5:
        gain = 1 + random.uniform(-0.3, 0.3) + random.uniform(-0.12, 0.12, 3)
        bright = picture * gain + random.uniform(-20, 20)
        picture = np.clip(bright, 0, 255).astype(np.uint8)
    if random.random() < 0.05:
        picture = without_colours(picture)
    face = Face(picture, face.square)
    for name, (share, mild, strong) in STRENGTH.harms.items():
        if random.random() < share:
            amount = random.uniform(min(mild, strong), max(mild, strong))
            face = harmed(face, name, amount, int(random.integers(1 << 16)))
    return face


def drawing(face: Face, draw: Filter, random: Random) -> Face:
    """A face of some size drawn by a filter, and perhaps made a little worse."""
    side = float(np.exp(random.uniform(np.log(LEAST), np.log(MOST))))
    scale, image = side / face.square[2], Image.fromarray(face.picture)
    size = max(round(image.width * scale), 8), max(round(image.height * scale), 8)
    picture = draw(np.asarray(image.resize(size, Image.Resampling.BICUBIC)), side, random)
    drawn = Face(picture, (face.square[0] * scale, face.square[1] * scale, side, side))
    if random.random() < 0.5:
        amounts = {name: random.uniform(low, high) for name, (low, high) in _WORSE.items()}
        for name, amount in amounts.items():
            if random.random() < _OFTEN:
                drawn = harmed(drawn, name, amount, int(random.integers(1 << 16)))
    return drawn


def looked_at(session: Session, layer: str, val: faces.Faces) -> dict[str, Seen]:
    """What a layer makes of the faces of val: of `PHOTOGRAPHS`, and drawn in each way."""
    found: dict[str, Seen] = {}

    def look(name: str, rows: Sequence[int], change: Callable[[Face, int], Face]) -> None:
        views = (change(whole(val, row), row) for row in rows)
        found[name] = Seen(values_of(session, layer, views), rows)

    look(PLAIN, range(len(val)), lambda face, row: face)
    rows = cover_examples.chosen_rows(val, OF_VIEW, 1)
    for name, (harm, amount) in VIEWS.items():
        look(name, rows, lambda face, row, how=(harm, amount): harmed(face, *how))  # type: ignore[misc]  # a default that binds
    look(GREY, rows, lambda face, row: Face(without_colours(face.picture), face.square))
    for seed, (name, change) in enumerate(
        ((WORSE, worse), (GRADED, graded), (SMOOTHED, smoothed)), start=3
    ):
        look(name, rows, lambda face, row, do=change, seed=seed: do(  # type: ignore[misc]  # as above
            face, np.random.default_rng([seed, row])))  # fmt: skip
    for kinds, count in ((KINDS, OF_KIND), (HELD_OUT, OF_HELD_OUT)):
        for place, (name, draw) in enumerate(tqdm(kinds.items(), unit="kind", disable=None)):
            look(
                name,
                cover_examples.chosen_rows(val, count, 10 + place),
                lambda face, row, draw=draw, seed=20 + place: drawing(  # type: ignore[misc]  # as above
                    face, draw, np.random.default_rng([seed, row])
                ),
            )
    return found


def fitted(plain: Array, drawn: Array, decay: float = DECAY) -> Fit:
    """The regression, of values that are scaled to a deviation of 1 first."""
    x = np.concatenate([plain, drawn])
    sign = np.repeat([1.0, -1.0], [len(plain), len(drawn)])
    mean, scale = plain.mean(0), plain.std(0) + 1e-3
    x = (x - mean) / scale

    def loss(parameters: Array) -> tuple[float, Array]:
        weight = parameters[:-1]
        margin = sign * (x @ weight + parameters[-1])
        slope = sign * special.expit(margin) / len(x)
        gradient = np.append(slope @ x + decay * weight, slope.sum())
        return np.logaddexp(0, margin).mean() + decay / 2 * weight @ weight, gradient

    start = np.zeros(x.shape[1] + 1)
    found = optimize.minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 500}).x
    weight = found[:-1] / scale
    return Fit(weight, float(found[-1] - weight @ mean))


def model_of(fit: Fit, limit: float, layer: str, meta: Mapping[str, Any]) -> Model:
    """The model file's contents."""
    graph = Graph(NAME)
    x = graph.input("values", (len(fit.weight),))
    graph.output(graph.node("linear", x, name="far", out_features=1))
    weights = {
        "far.weight": fit.weight[None].astype(np.float32),
        "far.bias": np.array([fit.bias], np.float32),
    }
    return Model(NAME, graph, weights, dict(meta), calibration={"layer": layer, "limit": limit})


def is_fitted_on(val: faces.Faces) -> NDArray[np.bool_]:
    """Of each face whether the regression may see it: nobody is on both sides."""
    names = (name.encode() for name in val.identity)
    return np.array([zlib.crc32(name) % 5 < FITTED for name in names])


def limit_of(plain: Array, source: NDArray[np.str_], worse: Iterable[Array]) -> float:
    """Above which a face is a stranger, by the strangeness of faces as they are and of views."""
    highest = [np.quantile(plain[source == name], 1 - ALLOWED) for name in set(source.tolist())]
    highest += [np.quantile(view, 1 - ALLOWED_WORSE) for view in worse]
    return round(float(max(highest)), 3)


def trained(seen: Mapping[str, Seen], val: faces.Faces, layer: str) -> Model:
    """What tells strangers, by what `looked_at` found; prints what it says of those people of val
    whom the regression has not seen."""
    fit_on = is_fitted_on(val)
    fitting = {name: one.values[fit_on[one.rows]] for name, one in seen.items()}
    others = {name: one.values[~fit_on[one.rows]] for name, one in seen.items()}
    faces_ = np.concatenate([fitting[name] for name in PHOTOGRAPHS])
    fit = fitted(faces_, np.concatenate([fitting[name] for name in KINDS]))
    far = {name: fit.strangeness(values) for name, values in others.items()}
    source = np.array(val.source)[~fit_on]
    limit = limit_of(far[PLAIN], source, (far[name] for name in LIMITED))
    fake = np.array(val.fake)[~fit_on] == 1
    for name in sorted(set(source.tolist())):
        for label, which in (("real", ~fake), ("fake", fake)):
            if (some := (source == name) & which).any():
                far[f"{PLAIN}, {name}, {label}"] = far[PLAIN][some]
    for name, of_kind in far.items():
        label = f"{name} (new)" if name in HELD_OUT else name
        print(f"{label:28} {len(of_kind):5} {100 * (of_kind > limit).mean():6.1f} %")
    meta = {
        "architecture": "one dense layer on what the thorough network computes",
        "kind": "domain: tells faces unlike those of training",
        "data": "DFDC, FaceForensics++ and LFW, drawings by a script",
        "licence": "MIT",
        "recipe": {"decay": DECAY, "allowed": ALLOWED, "allowed_worse": ALLOWED_WORSE},
    }
    return model_of(fit, limit, layer, meta)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.train.domain", description=(__doc__ or "").split("\n")[0]
    )
    add: Callable[..., Any] = parser.add_argument
    add("pair", type=Path, help="manifest of a pair (.json), beside its model files")
    add("--data", type=Path, required=True, help="folder with faces/ and more/")
    add("--cache", type=Path, required=True, help="folder for decoded faces")
    add("--layer", default=LAYER, help="of the thorough network (default: %(default)s)")
    options = parser.parse_args(arguments)

    def work() -> None:
        pair = load_pair(options.pair)
        val = sources.load(options.data, "all", "val", options.cache)
        seen = looked_at(Session(pair.thorough), options.layer, val)
        domain = trained(seen, val, options.layer)
        save_model(domain, options.pair.with_name(f"{NAME}.npz"))
        save_pair(replace(pair, domain=domain), options.pair)

    return exit_status("domain", work)


if __name__ == "__main__":
    sys.exit(main())
