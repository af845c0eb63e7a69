"""What is drawn on or beside a face and hides neither eyes nor mouth, see `cover_drawings`."""

from __future__ import annotations

import numpy as np

from tools.train.cover_canvas import (
    BROW,
    CHEEK,
    CHIN,
    MOUTH,
    NOSE,
    Axes,
    Pixels,
    blob,
    box,
    clouds,
    laid,
    line,
    oval,
    plain,
    polygon,
    ramp,
    skin,
)
from tools.train.cover_drawings import Draw, Drawn, Random, around, filling, glasses


def clear_glasses(random: Random, picture: Pixels, axes: Axes, other: Pixels) -> Drawn:
    """Glasses through which the eyes are seen: a frame, a slight tint, small reflections."""
    lenses, frame = glasses(random, picture.shape, axes)
    opacity = lenses * random.uniform(0.0, 0.28)
    picture = laid(picture, plain(random, picture.shape), opacity)
    if random.random() < 0.5:
        x, y = axes.place(int(random.integers(2)))
        points = oval(around(random, x, y, 0.15), (0.12, 0.05), random.uniform(0, 3))
        shine = polygon(axes, picture.shape, points, 1.0) * lenses * random.uniform(0.2, 0.8)
        picture = laid(picture, np.full(picture.shape, 240.0, np.float32), shine)
        opacity = np.maximum(opacity, shine)
    colour = plain(random, picture.shape, dark=random.random() < 0.7)
    return laid(picture, colour, frame * random.uniform(0.5, 1)), opacity


def beard(random: Random, picture: Pixels, axes: Axes, other: Pixels) -> Drawn:
    """Dark hair around the mouth, which stays free; perhaps a moustache only."""
    (xl, yl), (xr, yr) = axes.place(3), axes.place(4)
    x, y, wide = (xl + xr) / 2, (yl + yr) / 2, max((xr - xl) / 2, 0.2)
    if random.random() < 0.5:
        points = [
            (-CHEEK, NOSE), (-0.5, MOUTH - 0.15), (0, MOUTH - 0.22), (0.5, MOUTH - 0.15),
            (CHEEK, NOSE), (0.6, CHIN + 0.1), (0, CHIN + 0.3), (-0.6, CHIN + 0.1),
        ]  # fmt: skip
        hair = polygon(axes, picture.shape, points, 3)
    else:
        hair = polygon(axes, picture.shape, oval((x, y - 0.2), (wide * 1.2, 0.1), 0, 3), 2)
    lips = polygon(axes, picture.shape, oval((x, y), (wide * 1.1, 0.14)), 1.5)
    opacity = np.clip(hair - lips, 0, 1) * random.uniform(0.5, 0.95)
    colour = plain(random, picture.shape, dark=True) * random.uniform(0.7, 3)
    colour = colour + 0.6 * clouds(random, picture.shape, 12)
    return laid(picture, colour, opacity), opacity


def fringe(random: Random, picture: Pixels, axes: Axes, other: Pixels) -> Drawn:
    """Hair or a hat above the eyes, and some strands across the face."""
    low = BROW + random.uniform(-0.35, 0.06)
    bend = random.normal(0, 0.1)
    points = [(-1.5, -2.5), (1.5, -2.5), (1.5, low + bend), (0, low), (-1.5, low - bend)]
    mask = polygon(axes, picture.shape, points, random.uniform(0.5, 3))
    colour = plain(random, picture.shape, dark=random.random() < 0.6)
    colour = colour + clouds(random, picture.shape, 8)
    picture = laid(picture, colour, mask)
    for _ in range(int(random.integers(0, 6))):
        start = random.uniform(-0.9, 0.9)
        ends = [(start, low - 0.1), (start + random.normal(0, 0.3), random.uniform(0, 1.4))]
        strand = line(axes, picture.shape, ends, random.uniform(0.01, 0.04))
        picture = laid(picture, colour, strand)
        mask = np.maximum(mask, strand)
    return picture, mask


def shadow(random: Random, picture: Pixels, axes: Axes, other: Pixels) -> Drawn:
    """A part of the face in the dark, or in a light of another colour."""
    if random.random() < 0.5:
        mask = np.clip(0.5 + ramp(random, picture.shape, random.uniform(1, 8)), 0, 1)
    else:
        center = around(random, 0, random.uniform(-0.2, 1.2), 0.5)
        size = random.uniform(0.4, 1.5), random.uniform(0.3, 1.2)
        mask = polygon(axes, picture.shape, oval(center, size), random.uniform(2, 12))
    light = random.uniform(0.25, 0.8) * random.uniform(0.8, 1.2, 3)
    if random.random() < 0.2:
        light = random.uniform(1.1, 1.6, 3)
    share = mask[:, :, None]
    mixed = picture * (1 - share + share * light)
    return np.asarray(np.clip(mixed, 0, 255), np.uint8), np.zeros_like(mask)


def beside(random: Random, picture: Pixels, axes: Axes, other: Pixels) -> Drawn:
    """A bar, a patch or a hand on the forehead, a cheek, the nose, the chin, or at the edge."""
    center, size = [
        ((0.0, -0.62), (0.9, 0.22)),
        ((0.0, NOSE - 0.05), (0.16, 0.24)),
        ((0.0, CHIN + 0.1), (0.6, 0.24)),
        ((random.choice([-1, 1]) * 0.72, 0.6), (0.22, 0.3)),
        ((random.choice([-1, 1]) * 1.25, 0.5), (0.3, 1.3)),
    ][int(random.integers(5))]
    center = around(random, *center, 0.03)
    shape = [box, oval][int(random.integers(2))]
    points = shape(center, size) if random.random() < 0.7 else blob(random, center, size)
    mask = polygon(axes, picture.shape, points)
    return laid(picture, filling(random, picture, axes, other), mask), mask


def thin(random: Random, picture: Pixels, axes: Axes, other: Pixels) -> Drawn:
    """Thin lines, a watermark or a net across the face."""
    mask = np.zeros(picture.shape[:2], np.float32)
    for _ in range(int(random.integers(1, 8))):
        ends = [around(random, 0, 0.5, 1.0), around(random, 0, 0.5, 1.0)]
        mask = np.maximum(mask, line(axes, picture.shape, ends, random.uniform(0.01, 0.05)))
    mask = mask * random.uniform(0.3, 1)
    return laid(picture, plain(random, picture.shape), mask), mask


def closed_eyes(random: Random, picture: Pixels, axes: Axes, other: Pixels) -> Drawn:
    """Lids of the face's colour with a dark line of lashes where the eyes were."""
    colour = skin(random, picture, axes)
    for eye in (0, 1):
        x, y = axes.place(eye)
        lid = polygon(axes, picture.shape, oval((x, y - 0.02), (0.2, 0.1)), 1.5)
        picture = laid(picture, colour, lid * random.uniform(0.7, 1))
        lashes = [(x - 0.17, y + 0.02), (x, y + 0.07), (x + 0.17, y + 0.02)]
        drawn = line(axes, picture.shape, lashes, random.uniform(0.02, 0.04))
        picture = laid(picture, colour * random.uniform(0.25, 0.6), drawn)
    return picture, np.zeros(picture.shape[:2], np.float32)


#: What hides nothing, by name, for training.
HARMLESS: dict[str, Draw] = {
    "clear glasses": clear_glasses,
    "beard": beard,
    "fringe": fringe,
    "shadow": shadow,
    "beside": beside,
    "thin lines": thin,
    "closed eyes": closed_eyes,
}
