"""Covers as a script draws them over a face, and what is like a cover and is none.

`COVERS` hide the eyes, the mouth or both; `HELD_OUT` are covers that training never sees, to
measure what a network makes of other ones; `HARMLESS` hide neither (frames of glasses, beards,
fringes, shadows, bars beside eyes and mouth).  Each takes a random generator, a picture (H, W, 3),
the coordinates of its face and another picture of the same size to take content from, and gives the
picture and how opaque each pixel of what was drawn is.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageFilter

from tools.train.cover_canvas import (
    BROW,
    CHIN,
    MOUTH,
    NOSE,
    Axes,
    Mask,
    Pixels,
    blob,
    box,
    clouds,
    flat,
    laid,
    line,
    noise,
    oval,
    pattern,
    plain,
    polygon,
    ramp,
    skin,
)

Random = np.random.Generator
Drawn = tuple[Pixels, Mask]
Draw = Callable[[Random, Pixels, Axes, Pixels], Drawn]


def around(random: Random, x: float, y: float, spread: float = 0.07) -> tuple[float, float]:
    return x + random.normal(0, spread), y + random.normal(0, spread)


def filling(random: Random, picture: Pixels, axes: Axes, other: Pixels) -> Mask:
    """What a cover is made of: (H, W, 3)."""
    kind = random.integers(6)
    if kind == 0:
        return plain(random, picture.shape, dark=True)
    if kind in (1, 2):
        return plain(random, picture.shape)
    if kind == 3:
        return noise(random, picture.shape)
    if kind == 4:
        return skin(random, picture, axes)
    shift = tuple(int(v) for v in random.integers(0, picture.shape[0], 2))
    return np.roll(other, shift, (0, 1)).astype(np.float32)


def _eyes_or_mouth(random: Random) -> tuple[float, float, float, float]:
    """Place and half width and height of something over both eyes, or over the mouth."""
    if random.random() < 0.6:
        x, y = around(random, 0, 0)
        return x, y, random.uniform(0.72, 1.1), random.uniform(0.2, 0.42)
    x, y = around(random, 0, MOUTH)
    return x, y, random.uniform(0.42, 0.95), random.uniform(0.22, 0.5)


def bar(random: Random, picture: Pixels, axes: Axes, other: Pixels) -> Drawn:
    """A bar over the eyes or the mouth, of a colour, noise or other content."""
    x, y, wide, high = _eyes_or_mouth(random)
    mask = polygon(axes, picture.shape, box((x, y), (wide, high), random.normal(0, 0.08)))
    return laid(picture, filling(random, picture, axes, other), mask), mask


def patch(random: Random, picture: Pixels, axes: Axes, other: Pixels) -> Drawn:
    """An oval or an irregular shape over the eyes or the mouth."""
    x, y, wide, high = _eyes_or_mouth(random)
    if random.random() < 0.5:
        points = oval((x, y), (wide * 1.1, high * 1.15), random.normal(0, 0.1), 2.6)
    else:
        points = blob(random, (x, y), (wide * 1.15, high * 1.25))
    mask = polygon(axes, picture.shape, points, random.choice([0.5, 1.0, 3.0]))
    return laid(picture, filling(random, picture, axes, other), mask), mask


def coarsened(random: Random, picture: Pixels, axes: Axes, other: Pixels) -> Drawn:
    """Eyes, mouth or all of the face in coarse squares, or blurred until nothing is seen."""
    if random.random() < 0.25:
        x, y, wide, high = 0.0, 0.5, random.uniform(0.8, 1.2), random.uniform(0.8, 1.3)
    else:
        x, y, wide, high = _eyes_or_mouth(random)
    points = (box if random.random() < 0.6 else oval)((x, y), (wide, high))
    mask = polygon(axes, picture.shape, points)
    size = random.uniform(0.24, 0.45) * axes.unit
    image = Image.fromarray(picture)
    if random.random() < 0.6:
        cells = max(round(picture.shape[0] / size), 2)
        small = image.resize((cells, cells), Image.Resampling.BOX)
        worse = small.resize(image.size, Image.Resampling.NEAREST)
    else:
        worse = image.filter(ImageFilter.GaussianBlur(0.8 * size))
    return laid(picture, np.asarray(worse, np.float32), mask), mask


def _lens(random: Random) -> tuple[Callable[[float, float], list[tuple[float, float]]], float]:
    """A shape of lenses, by the place of an eye, and half their width."""
    wide, high = random.uniform(0.3, 0.43), random.uniform(0.2, 0.36)
    power, drop = random.uniform(2, 5), random.uniform(-0.02, 0.1)
    return lambda x, y: oval((x, y + drop), (wide, high), 0.0, power), wide


def glasses(random: Random, shape: tuple[int, ...], axes: Axes) -> tuple[Mask, Mask]:
    """Masks of the lenses and of the frame of glasses, where this face wears them."""
    lens, wide = _lens(random)
    (xl, yl), (xr, yr) = axes.place(0), axes.place(1)
    off = random.normal(0, 0.03, 2)
    left, right = (xl - 0.03 + off[0], yl + off[1]), (xr + 0.03 + off[0], yr + off[1])
    thick = random.uniform(0.02, 0.09)
    lenses = np.maximum(polygon(axes, shape, lens(*left)), polygon(axes, shape, lens(*right)))
    frame = np.zeros(shape[:2], np.float32)
    for center in (left, right):
        points = lens(*center)
        frame = np.maximum(frame, line(axes, shape, [*points, points[0]], thick))
    bridge = [(left[0] + wide, left[1] - 0.03), (right[0] - wide, right[1] - 0.03)]
    frame = np.maximum(frame, line(axes, shape, bridge, thick))
    for center, side in ((left, -1), (right, 1)):
        ends = [(center[0] + side * wide, center[1] - 0.05), (side * 1.15, center[1] - 0.05)]
        frame = np.maximum(frame, line(axes, shape, ends, thick))
    return lenses, frame


def dark_glasses(random: Random, picture: Pixels, axes: Axes, other: Pixels) -> Drawn:
    """Sunglasses: dark or mirroring lenses, with a gradient, reflections, and a frame."""
    lenses, frame = glasses(random, picture.shape, axes)
    tint = plain(random, picture.shape, dark=random.random() < 0.8)
    if random.random() < 0.4:
        tint = tint + ramp(random, picture.shape, random.uniform(10, 70))[:, :, None]
    if random.random() < 0.45:
        tint = tint + random.uniform(0.1, 0.45) * (other.astype(np.float32) - 60)
    opacity = lenses * random.uniform(0.8, 1.0)
    picture = laid(picture, tint, opacity)
    if random.random() < 0.5:
        x, y = axes.place(int(random.integers(2)))
        shine = polygon(
            axes, picture.shape,
            oval(around(random, x, y, 0.1), (0.15, 0.04), random.uniform(0, 3)), 1.5,
        )  # fmt: skip
        picture = laid(picture, np.full_like(tint, 235), shine * lenses * random.uniform(0.2, 0.9))
    picture = laid(picture, plain(random, picture.shape, random.random() < 0.7), frame)
    return picture, np.maximum(opacity, frame)


def cloth_mask(random: Random, picture: Pixels, axes: Axes, other: Pixels) -> Drawn:
    """A mask over mouth and nose, with folds and straps."""
    top = NOSE + random.uniform(-0.32, 0.12)
    side = top + random.uniform(0.0, 0.2)
    wide, low = random.uniform(0.65, 0.95), CHIN + random.uniform(-0.12, 0.35)
    points = [
        (-wide, side), (-0.3, top), (0, top - random.uniform(0, 0.12)), (0.3, top), (wide, side),
        (wide * 0.85, low - 0.3), (0.35, low), (-0.35, low), (-wide * 0.85, low - 0.3),
    ]  # fmt: skip
    mask = polygon(axes, picture.shape, points, random.uniform(0.5, 1.5))
    kind = random.random()
    if kind < 0.35:
        colours = np.array([(235, 238, 240), (150, 190, 215), (170, 205, 200), (35, 35, 40)])
        colour = colours[random.integers(4)] + random.normal(0, 12, 3)
        cloth = colour + ramp(random, picture.shape, 25)[:, :, None]
    elif kind < 0.65:
        cloth = plain(random, picture.shape)
    else:
        cloth = pattern(random, picture.shape)
    cloth = cloth + clouds(random, picture.shape, random.uniform(2, 10))
    picture = laid(picture, cloth, mask)
    for _ in range(int(random.integers(0, 4))):
        y = random.uniform(top + 0.15, low - 0.15)
        fold = line(
            axes, picture.shape, [(-wide, y - 0.05), (0, y + 0.05), (wide, y - 0.05)], 0.03, 1.2
        )
        picture = laid(picture, np.zeros_like(cloth) + random.choice([0, 255]), fold * mask * 0.3)
    if random.random() < 0.6:
        for way in (-1, 1):
            strap = line(axes, picture.shape, [(way * wide, side), (way * 1.2, side - 0.2)], 0.04)
            picture = laid(picture, cloth, strap)
    return picture, mask


def hand(random: Random, picture: Pixels, axes: Axes, other: Pixels) -> Drawn:
    """A palm and fingers of the face's colour, over eyes, mouth or one half."""
    over_eyes = random.random() < 0.5
    x, y = around(random, 0, 0.0 if over_eyes else MOUTH, 0.12)
    angle = random.uniform(-0.5, 0.5) + (0 if random.random() < 0.7 else math.pi / 2)
    c, s = math.cos(angle), math.sin(angle)
    mask = np.zeros(picture.shape[:2], np.float32)
    shade = np.zeros_like(mask)
    count, thick = int(random.integers(3, 6)), random.uniform(0.17, 0.26)
    for finger in range(count):
        off = (finger - (count - 1) / 2) * thick * random.uniform(0.85, 1.0)
        reach = random.uniform(0.7, 1.15)
        ends = [(x - c * 1.6 - s * off, y - s * 1.6 + c * off),
                (x + c * reach - s * off, y + s * reach + c * off)]  # fmt: skip
        mask = np.maximum(mask, line(axes, picture.shape, ends, thick))
        tip = oval(ends[1], (thick / 2, thick / 2), steps=16)
        mask = np.maximum(mask, polygon(axes, picture.shape, tip))
        edge = [(px - s * thick / 2, py + c * thick / 2) for px, py in ends]
        shade = np.maximum(shade, line(axes, picture.shape, edge, 0.03, 1.0))
    colour = skin(random, picture, axes)
    picture = laid(picture, colour, mask)
    return laid(picture, colour * 0.45, shade * mask * random.uniform(0.3, 0.9)), mask


def microphone(random: Random, picture: Pixels, axes: Axes, other: Pixels) -> Drawn:
    """A ball of foam or mesh before the mouth, and its handle."""
    x, y = around(random, 0, MOUTH + 0.08, 0.08)
    radius = random.uniform(0.36, 0.6)
    lean = random.uniform(-0.5, 0.5)
    head = oval((x, y), (radius, radius * random.uniform(0.9, 1.25)), 0.0, random.uniform(2, 3))
    mask = polygon(axes, picture.shape, head)
    foam = plain(random, picture.shape, dark=random.random() < 0.7)
    if random.random() < 0.5:
        foam = foam + random.uniform(10, 50) * (pattern(random, picture.shape) > 128)
    foam = foam + ramp(random, picture.shape, 30)[:, :, None]
    stick = line(axes, picture.shape, [(x, y), (x + 2 * lean, y + 2)], radius * 0.8)
    picture = laid(picture, plain(random, picture.shape, dark=True), stick)
    return laid(picture, foam, mask), np.maximum(mask, stick)


def scarf(random: Random, picture: Pixels, axes: Axes, other: Pixels) -> Drawn:
    """Cloth from the nose down, or from the brows to the nose, to both edges of the face."""
    if random.random() < 0.35:
        top, low = NOSE + random.uniform(-0.15, 0.2), CHIN + 0.8
    else:
        top, low = BROW + random.uniform(-0.6, 0.0), random.uniform(0.22, 0.45)
    bend = random.normal(0, 0.12)
    points = [(-1.4, top - bend), (0, top + bend), (1.4, top - bend), (1.4, low), (-1.4, low)]
    mask = polygon(axes, picture.shape, points, random.uniform(0.5, 2))
    cloth = (
        pattern(random, picture.shape) if random.random() < 0.4 else plain(random, picture.shape)
    )
    cloth = cloth + clouds(random, picture.shape, random.uniform(3, 16))
    return laid(picture, cloth, mask), mask


#: Covers by name, for training.
COVERS: dict[str, Draw] = {
    "bar": bar,
    "patch": patch,
    "pixelated or blurred": coarsened,
    "dark glasses": dark_glasses,
    "cloth mask": cloth_mask,
    "hand": hand,
    "microphone": microphone,
    "scarf": scarf,
}


# --- covers that training never sees ------------------------------------------------------


def goggles(random: Random, picture: Pixels, axes: Axes, other: Pixels) -> Drawn:
    """Ski goggles or a headset: one large lens with a rainbow of reflections, and its strap."""
    x, y = around(random, 0, 0.02, 0.04)
    points = oval((x, y), (random.uniform(0.8, 0.95), random.uniform(0.32, 0.45)), 0.0, 4)
    mask = polygon(axes, picture.shape, points)
    phase, speed = random.uniform(0, 6, 3), random.uniform(2, 6)
    along = ramp(random, picture.shape, 1.0)[:, :, None] * speed
    lens = 110 + 100 * np.sin(along + phase)
    frame = line(axes, picture.shape, [*points, points[0]], 0.1)
    strap = line(axes, picture.shape, [(-1.5, y), (1.5, y)], 0.3)
    picture = laid(picture, plain(random, picture.shape), strap)
    picture = laid(picture, lens, mask)
    return laid(picture, plain(random, picture.shape), frame), np.maximum(mask, strap)


def checkered(random: Random, picture: Pixels, axes: Axes, other: Pixels) -> Drawn:
    """A bar of squares or stripes, as of a test card."""
    x, y, wide, high = _eyes_or_mouth(random)
    mask = polygon(axes, picture.shape, box((x, y), (wide, high)))
    rows, columns = np.mgrid[: picture.shape[0], : picture.shape[1]]
    size = max(axes.unit * random.uniform(0.08, 0.25), 2)
    share = (columns // size + (rows // size) * random.integers(2)) % 2
    first, second = random.uniform(0, 255, (2, 3))
    return laid(picture, np.where(share[:, :, None] > 0, first, second), mask), mask


def sticker(random: Random, picture: Pixels, axes: Axes, other: Pixels) -> Drawn:
    """A round sticker with a drawn face on it, over each eye or over the mouth."""
    mask = np.zeros(picture.shape[:2], np.float32)
    over = [axes.place(0), axes.place(1)] if random.random() < 0.5 else [(0.0, MOUTH)]
    radius = random.uniform(0.34, 0.44) if len(over) == 2 else random.uniform(0.45, 0.65)
    for x, y in over:
        x, y = around(random, x, y, 0.03)
        disc = polygon(axes, picture.shape, oval((x, y), (radius, radius)))
        picture = laid(picture, flat(picture, 250, 205, 60), disc)
        for side in (-1, 1):
            eye = oval((x + side * 0.35 * radius, y - 0.25 * radius), (0.1 * radius, 0.18 * radius))
            picture = laid(picture, flat(picture, 40, 40, 40), polygon(axes, picture.shape, eye))
        smile = [(x + a * radius, y + (0.5 - a * a) * radius) for a in (-0.5, -0.25, 0, 0.25, 0.5)]
        drawn = line(axes, picture.shape, smile, 0.12 * radius)
        picture = laid(picture, flat(picture, 40, 40, 40), drawn)
        mask = np.maximum(mask, disc)
    return picture, mask


def cup(random: Random, picture: Pixels, axes: Axes, other: Pixels) -> Drawn:
    """A cup or a glass of beer before the mouth."""
    x, y = around(random, 0, MOUTH - 0.22, 0.05)
    wide, high = random.uniform(0.5, 0.65), random.uniform(0.75, 1.2)
    points = [(x - wide, y), (x + wide, y), (x + wide * 0.8, y + high), (x - wide * 0.8, y + high)]
    mask = polygon(axes, picture.shape, points)
    body = plain(random, picture.shape) + ramp(random, picture.shape, 40)[:, :, None]
    picture = laid(picture, body, mask)
    rim = polygon(axes, picture.shape, oval((x, y), (wide, 0.08)))
    return laid(picture, body * 0.7, rim), np.maximum(mask, rim)


def caption(random: Random, picture: Pixels, axes: Axes, other: Pixels) -> Drawn:
    """A bar of the whole width, with writing on it."""
    x, y, _, high = _eyes_or_mouth(random)
    mask = polygon(axes, picture.shape, box((x, y), (2.5, max(high, 0.26))))
    ground = random.choice([0, 255])
    picture = laid(picture, np.full(picture.shape, float(ground), np.float32), mask)
    at = -1.2
    while at < 1.2:
        wide = random.uniform(0.04, 0.12)
        strokes = [(at, y - 0.12), (at + wide, y + 0.12), (at + wide, y - 0.12), (at, y + 0.1)]
        letter = line(axes, picture.shape, strokes[: int(random.integers(2, 5))], 0.035)
        picture = laid(picture, np.full(picture.shape, 255.0 - ground, np.float32), letter * mask)
        at += wide + 0.08
    return picture, mask


#: Covers by name that training never sees.
HELD_OUT: dict[str, Draw] = {
    "goggles": goggles,
    "chequered bar": checkered,
    "stickers": sticker,
    "cup": cup,
    "caption": caption,
}
