"""Faces with covers, without, and with what is like a cover: what the cover network learns from.

A face of a set is laid into a larger picture, turned, scaled, found by `FaceFinder`, covered, made
worse as pictures are on their way to a user, and found again: where a cover moves the landmarks, it
does so here, too.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from minimeso import FaceFinder, FoundFace
from minimeso.detect import framing
from minimeso.detect.box import center, iou, scaled
from tools.train import cover_canvas, faces, harms
from tools.train.cover_canvas import Axes, Pixels
from tools.train.cover_drawings import COVERS, Draw, Random
from tools.train.cover_harmless import HARMLESS

#: Side of the pictures that faces are laid into, of the square of a face in them at the least and
#: at the most, and of what the network sees.
CANVAS, LEAST, MOST, SIDE = 224, 52, 150, 64
#: Pixels beyond that on each side, so that training can move what the network sees.
MARGIN = 4
#: How a face is cut for the cover network: it becomes part of its model file.
FRAMING = {"resample": "bilinear", "side": 2.0}
#: A part of which so much is hidden counts as covered, and as free up to the other; between them
#: the label is.
COVERED, FREE = 0.75, 0.3
PLAIN = "plain"
#: Covers that are drawn more often than others, because few hide the eyes alone.
OFTEN = {"dark glasses": 2.0}
_MILD = ("blur", "noise", "jpeg", "palette", "sharpen")
_SAME = 0.25


class Laid(NamedTuple):
    """A face in a larger picture: the picture, the face as the finder sees it, and another picture
    of the size."""

    pixels: Pixels
    face: FoundFace
    other: Pixels


class Example(NamedTuple):
    """What the network is to see, what it should say (eyes, mouth; 0 to 1), how the face came."""

    crop: Pixels
    target: tuple[float, float]
    kind: str


def laid(data: faces.Faces, row: int, random: Random, finder: FaceFinder) -> Laid | None:
    """A face of a set in a larger picture; None where it is not found there."""
    picture, side = whole(data, row)
    if random.random() < 0.5:
        picture = ImageOps.mirror(picture)
    scale = float(np.exp(random.uniform(np.log(LEAST), np.log(MOST)))) / side
    scale = min(scale, 0.9 * CANVAS / max(picture.size))
    size = max(round(picture.width * scale), 8), max(round(picture.height * scale), 8)
    small = np.asarray(picture.resize(size, Image.Resampling.BILINEAR))
    other_row = int(random.integers(len(data)))
    other = np.asarray(whole(data, other_row)[0].resize((CANVAS, CANVAS)))
    pixels, middle = _surrounded(small, other, random)
    if random.random() < 0.4:
        angle = random.normal(0, 12)
        turned = Image.fromarray(pixels).rotate(angle, Image.Resampling.BILINEAR, center=middle)
        pixels = np.asarray(turned)
    for face in finder.find(pixels):
        if math.dist(center(face.box), middle) < 0.5 * face.box[2] and not face.rotation:
            return Laid(pixels, face, other)
    return None


def whole(data: faces.Faces, row: int) -> tuple[Image.Image, float]:
    """The picture of a face, without what fills its array, and the side of its square."""
    x, y, side, _ = data.squares[row]
    picture = data.images[row]
    if data.source and data.source[row] in ("ffpp", "stills"):  # framed with a margin
        picture = picture[: round(side + 2 * y), : round(side + 2 * x)]
    return Image.fromarray(picture), float(side)


def _surrounded(small: Pixels, other: Pixels, random: Random) -> tuple[Pixels, tuple[float, float]]:
    """A picture somewhere in a larger one: its edges go on, or one colour, or another picture out
    of focus; and where its middle is."""
    height, width = small.shape[:2]
    top = int(random.integers(CANVAS - height + 1))
    left = int(random.integers(CANVAS - width + 1))
    below, right = CANVAS - height - top, CANVAS - width - left
    edges = ((top, below), (left, right), (0, 0))
    middle = left + width / 2, top + height / 2
    kind = random.integers(3)
    if kind == 0:
        return np.pad(small, edges, "edge"), middle
    if kind == 1:
        around = np.broadcast_to(random.integers(0, 256, 3).astype(np.uint8), other.shape).copy()
    else:
        blurred = Image.fromarray(other).resize((6, 6)).resize((CANVAS, CANVAS))
        around = np.array(blurred)
    around[top : top + height, left : left + width] = small
    return around, middle


def drawn(face: Laid, draw: Draw | None, random: Random) -> tuple[Pixels, tuple[float, float]]:
    """The picture with something drawn on its face, and which share of eyes and mouth it hides."""
    if draw is None:
        return face.pixels, (0.0, 0.0)
    axes = Axes.of(face.face.landmarks)
    pixels, opacity = draw(random, face.pixels, axes, face.other)
    return pixels, cover_canvas.hidden(axes, opacity)


def worse(pixels: Pixels, random: Random) -> Pixels:
    """As pictures are on their way to a user: light, colour, and the harms of `tools.train`."""
    strength = harms.STRENGTHS["broad"]
    gain = 1 + random.uniform(-0.3, 0.3) + random.uniform(-0.12, 0.12, 3)
    if random.random() < 0.6:
        shift = random.uniform(-20, 20)
        pixels = np.clip(pixels * gain + shift, 0, 255).astype(np.uint8)
    if random.random() < 0.05:
        pixels = np.repeat(pixels.mean(2, keepdims=True), 3, 2).astype(np.uint8)
    for name in _MILD:
        share, mild, strong = strength.harms[name]
        if random.random() < share:
            amount = random.uniform(min(mild, strong), max(mild, strong))
            pixels = harms.harm(pixels, name, amount, int(random.integers(1 << 16)))
    return pixels


def found_again(
    pixels: Pixels, face: FoundFace, finder: FaceFinder, in_clip: bool
) -> FoundFace | None:
    """The face as a detector finds it: near where it was, as in a clip, or as in a picture."""
    if in_clip:
        again = finder.find_near(pixels, face, 0.5)
        return again if again is not None and iou(again.box, face.box) > _SAME else None
    for again in finder.find(pixels):
        if iou(again.box, face.box) > _SAME and not again.rotation:
            return finder.steadied(pixels, again)
    return None


def label(share: float) -> float:
    """What the network should say of a part of which so much is hidden."""
    return min(max((share - FREE) / (COVERED - FREE), 0.0), 1.0)


def crop(pixels: Pixels, face: FoundFace, margin: int = MARGIN) -> Pixels:
    """What the network sees of a face, rounded to bytes, with some pixels around it."""
    side = SIDE + 2 * margin
    square = scaled(framing.square(face, FRAMING), side / SIDE)
    seen = framing.resized_crop(pixels, square, (side, side), str(FRAMING["resample"]))[0]
    return np.asarray(seen.transpose(1, 2, 0) * 255 + 0.5, np.uint8)


def examples(
    data: faces.Faces, row: int, random: Random, finder: FaceFinder, draws: Mapping[str, Draw]
) -> Iterator[Example]:
    """A face as it is, twice covered, and with something harmless, each made worse in its way."""
    face = laid(data, row, random, finder)
    if face is None:
        return
    weights = np.array([OFTEN.get(name, 1.0) for name in draws])
    covers = random.choice(list(draws), 2, p=weights / weights.sum())
    for name in (PLAIN, *covers, random.choice(list(HARMLESS))):
        draw = None if name == PLAIN else draws.get(name) or HARMLESS[name]
        pixels, shares = drawn(face, draw, random)
        pixels = worse(pixels, random)
        again = found_again(pixels, face.face, finder, in_clip=random.random() < 0.75)
        if again is not None:
            eyes, mouth = map(label, shares)
            yield Example(crop(pixels, again), (eyes, mouth), str(name))


def arrays(
    data: faces.Faces, count: int, seed: int, draws: Mapping[str, Draw] | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.float32], list[str], NDArray[np.int64]]:
    """Examples of so many faces of a set, each set alike often: crops (N, 72, 72, 3), targets
    (N, 2), kinds, and of which row each is."""
    finder = FaceFinder(threads=1)
    rows = chosen_rows(data, count, seed)
    found: list[tuple[Example, int]] = []
    for row in rows:
        random = np.random.default_rng([seed, row])
        one = examples(data, row, random, finder, draws or COVERS)
        found += [(example, row) for example in one]
    return (
        np.stack([one.crop for one, _ in found]),
        np.array([one.target for one, _ in found], np.float32),
        [one.kind for one, _ in found],
        np.array([row for _, row in found], np.int64),
    )


def chosen_rows(data: faces.Faces, count: int, seed: int) -> list[int]:
    """Rows of a set, those of each source alike often as far as there are so many."""
    random = np.random.default_rng(seed)
    order = [int(row) for row in random.permutation(len(data))]
    groups: dict[str, list[int]] = {}
    for row in order:
        groups.setdefault(data.source[row] if data.source else "", []).append(row)
    rows: list[int] = []
    lists = sorted(groups.values(), key=len)
    for done, group in enumerate(lists):
        rows += group[: (count - len(rows)) // (len(lists) - done)]
    return sorted(rows)
