"""Pictures of faces that are no photographs of them, made of photographs by a script.

What is learned from such filters is how drawings, paintings, statues, dolls, prints and screens
differ from a photograph in surface, edges and colours; their shapes stay those of real faces.
`KINDS` is what `tools.train.domain` learns from, `HELD_OUT` other kinds, to measure with.
A filter turns a picture (H, W, 3) uint8 into another of the same size; `side` is that of the
square of the face in it, so that strokes and dots are in proportion.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter, ImageOps
from scipy import ndimage

from minimeso.media.pixels import Pixels

Floats = NDArray[np.float32]
Random = np.random.Generator
Filter = Callable[[Pixels, float, Random], Pixels]


def _floats(image: Image.Image) -> Floats:
    return np.asarray(image, np.float32)


def _bytes(values: NDArray[np.floating[Any]]) -> Pixels:
    found: Pixels = np.clip(values + 0.5, 0, 255).astype(np.uint8)
    return found


def _grey(picture: Pixels) -> Floats:
    return _floats(Image.fromarray(picture).convert("L"))


def _blurred(values: Floats, sigma: float) -> Floats:
    sigmas = (sigma, sigma, 0)[: values.ndim]
    return np.asarray(ndimage.gaussian_filter(values, sigmas), np.float32)


def _smooth(values: Floats, radius: float, edge: float) -> Floats:
    """A guided filter: what is flatter than `edge` levels becomes flat (He, Sun & Tang, 2010)."""
    size = (2 * round(radius) + 1,) * 2 + (1,) * (values.ndim - 2)
    mean = ndimage.uniform_filter(values, size)
    variance = ndimage.uniform_filter(values * values, size) - mean * mean
    slope = variance / (variance + edge * edge)
    shift = mean - slope * mean
    slope, shift = (ndimage.uniform_filter(part, size) for part in (slope, shift))
    return np.asarray(slope * values + shift, np.float32)


def _median(picture: Pixels, size: float, times: int = 1) -> Pixels:
    image = Image.fromarray(picture)
    for _ in range(times):
        image = image.filter(ImageFilter.MedianFilter(2 * max(round(size / 2), 1) + 1))
    return np.asarray(image)


def _grid(shape: tuple[int, ...], angle: float) -> tuple[Floats, Floats]:
    """Coordinates turned by an angle."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    return x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)


def _levels(values: Floats, count: int) -> Floats:
    return np.asarray(np.round(values / 255 * (count - 1)) * (255 / (count - 1)), np.float32)


def _rough(shape: tuple[int, ...], random: Random, grain: float) -> Floats:
    """Noise of deviation 1 with so coarse a grain."""
    noise = _blurred(random.standard_normal(shape[:2], np.float32), grain)
    return np.asarray(noise / max(float(noise.std()), 1e-6), np.float32)


def posterised(picture: Pixels, side: float, random: Random) -> Pixels:
    """A few levels of each colour."""
    smooth = _median(picture, side / 50)
    return np.asarray(ImageOps.posterize(Image.fromarray(smooth), int(random.integers(2, 4))))


def cartoon(picture: Pixels, side: float, random: Random) -> Pixels:
    """Flat colours with dark lines where it is darker than its surroundings."""
    smooth = _median(picture, side / 40, 3).astype(np.float32)
    flat = _levels(smooth, int(random.integers(6, 12)))
    grey, fine = _grey(picture), side / 140
    lines = _blurred(grey, fine) - _blurred(grey, 2.2 * fine) < -random.uniform(2, 5)
    flat[lines] *= random.uniform(0.1, 0.4)
    return _bytes(flat)


def flat(picture: Pixels, side: float, random: Random) -> Pixels:
    """A dozen colours, each a plain shape, as in a vector drawing."""
    smooth = Image.fromarray(_median(picture, side / 30, 2))
    few = smooth.quantize(int(random.integers(5, 14)), dither=Image.Dither.NONE).convert("RGB")
    return _median(np.asarray(few), side / 50)


def oil(picture: Pixels, side: float, random: Random) -> Pixels:
    """Strokes: each place has the colour that is most frequent around it."""
    size = 2 * round(side * random.uniform(0.015, 0.035)) + 1
    return np.asarray(Image.fromarray(picture).filter(ImageFilter.ModeFilter(max(size, 5))))


def canvas(picture: Pixels, side: float, random: Random) -> Pixels:
    """Fine strokes, uneven paint and the weave below it."""
    size = max(2 * round(side / 60) + 1, 5)
    image = Image.fromarray(picture).filter(ImageFilter.ModeFilter(size))
    x, y = _grid(picture.shape, random.uniform(-0.1, 0.1))
    weave = np.sin(2 * np.pi * x / (side / 50)) * np.sin(2 * np.pi * y / (side / 45))
    paint = _rough(picture.shape, random, side / 150)
    uneven = random.uniform(3, 8) * weave + random.uniform(4, 10) * paint
    return _bytes(_floats(image) + uneven[:, :, None].astype(np.float32))


def pencil(picture: Pixels, side: float, random: Random) -> Pixels:
    """Grey where it is darker than around: the dodge of a picture with its blurred negative."""
    grey = _grey(picture)
    around = _blurred(255 - grey, side * random.uniform(0.02, 0.05))
    drawn = np.clip(grey * 255 / np.maximum(255 - around, 1), 0, 255)
    drawn = 255 * (drawn / 255) ** random.uniform(1, 2.5)
    drawn += random.uniform(0, 8) * _rough(picture.shape, random, 0.7)
    tone = np.array([1, random.uniform(0.94, 1), random.uniform(0.82, 1)], np.float32)
    return _bytes(drawn[:, :, None] * tone)


def halftone(picture: Pixels, side: float, random: Random) -> Pixels:
    """Dots of a printing screen, black or of three colours."""
    period, angle = side * random.uniform(0.02, 0.045), random.uniform(0, 1.5)
    source = picture.astype(np.float32)
    if random.random() < 0.4:
        source = np.repeat(_grey(picture)[:, :, None], 3, 2)
        angles = (angle,) * 3
    else:
        angles = (angle, angle + 0.4, angle + 0.8)
    found = np.empty_like(source)
    for channel, turned in enumerate(angles):
        x, y = _grid(picture.shape, turned)
        dots = np.cos(2 * np.pi * x / period) * np.cos(2 * np.pi * y / period)
        over = source[:, :, channel] / 255 + 0.5 * dots - 0.5
        found[:, :, channel] = 255 / (1 + np.exp(np.clip(-12 * over, -50, 50)))
    return _bytes(found)


def screen(picture: Pixels, side: float, random: Random) -> Pixels:
    """Stripes of red, green and blue, and lines across them, as on a screen."""
    period = side * random.uniform(0.012, 0.03)
    found = 255 * (picture.astype(np.float32) / 255) ** random.uniform(0.7, 1.5)
    x, y = _grid(picture.shape, random.normal(0, 0.15))
    for channel in range(3):
        stripes = 0.5 + 0.5 * np.cos(2 * np.pi * (x / period + channel / 3))
        found[:, :, channel] *= 0.55 + 0.6 * stripes
    lines = 0.85 + 0.15 * np.cos(2 * np.pi * y / (side * random.uniform(0.012, 0.025)))
    return _bytes(found * lines[:, :, None])


def statue(picture: Pixels, side: float, random: Random) -> Pixels:
    """One pale colour, smooth, with the grain of stone."""
    grey = _median(np.asarray(Image.fromarray(picture).convert("L")), side / 45, 2)
    shape = grey.astype(np.float32)
    shape = (shape - shape.mean()) * random.uniform(0.5, 0.9) + random.uniform(110, 190)
    shape += random.uniform(2, 9) * _rough(picture.shape, random, side / 170)
    tone = np.array([1, random.uniform(0.92, 1), random.uniform(0.8, 1)], np.float32)
    return _bytes(shape[:, :, None] * tone)


def rendered(picture: Pixels, side: float, random: Random) -> Pixels:
    """Smooth surfaces, strong contrast and colours, as of a simple program."""
    smooth = Image.fromarray(_median(picture, side / 28, 3))
    stretched = ImageOps.autocontrast(smooth, 2)
    hue = np.asarray(stretched.convert("HSV")).copy()
    hue[:, :, 1] = np.clip(hue[:, :, 1] * random.uniform(1.2, 1.8), 0, 255)
    return np.asarray(Image.fromarray(hue, "HSV").convert("RGB"))


def woodcut(picture: Pixels, side: float, random: Random) -> Pixels:
    """Two colours."""
    grey = _blurred(_grey(picture), side / 110)
    light = grey > np.median(grey) * random.uniform(0.85, 1.1)
    dark, bright = random.uniform(0, 90, 3), random.uniform(170, 255, 3)
    return _bytes(np.where(light[:, :, None], bright, dark).astype(np.float32))


def dithered(picture: Pixels, side: float, random: Random) -> Pixels:
    """A handful of colours, mixed of points."""
    if random.random() < 0.5:
        few = Image.fromarray(picture).quantize(int(random.integers(4, 13)))
        return np.asarray(Image.fromarray(picture).quantize(palette=few).convert("RGB"))
    bayer = np.array([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]], np.float32)
    height, width = picture.shape[:2]
    tiles = np.tile((bayer + 0.5) / 16 - 0.5, (height // 4 + 1, width // 4 + 1))[:height, :width]
    count = int(random.integers(2, 5))
    return _bytes(_levels(np.clip(picture + tiles[:, :, None] * 255 / (count - 1), 0, 255), count))


def relief(picture: Pixels, side: float, random: Random) -> Pixels:
    """Beaten metal: the slope of the brightness along one direction."""
    grey = _blurred(_grey(picture), side / 130)
    angle = random.uniform(0, 2 * np.pi)
    dy, dx = np.gradient(grey)
    shape = (dx * np.cos(angle) + dy * np.sin(angle)) * random.uniform(4, 8) * side / 170
    tone = random.uniform([0.8, 0.7, 0.5], [1, 1, 1]).astype(np.float32)
    return _bytes((random.uniform(110, 160) + shape)[:, :, None] * tone)


def doll(picture: Pixels, side: float, random: Random) -> Pixels:
    """Skin without pores: flat where it is nearly so, with glints."""
    values = picture.astype(np.float32)
    for _ in range(2):
        values = _smooth(values, side / 20, random.uniform(14, 24))
    bright = values.max(2, keepdims=True)
    glint = np.clip((bright - np.percentile(bright, 88)) / 30, 0, 1)
    return _bytes(values * random.uniform(1, 1.12) + glint * random.uniform(10, 50))


def pixel_art(picture: Pixels, side: float, random: Random) -> Pixels:
    """Squares of a few colours."""
    cell = side * random.uniform(0.03, 0.06)
    size = max(round(picture.shape[1] / cell), 4), max(round(picture.shape[0] / cell), 4)
    small = Image.fromarray(picture).resize(size, Image.Resampling.BOX)
    few = small.quantize(int(random.integers(8, 25)), dither=Image.Dither.NONE).convert("RGB")
    large = few.resize((picture.shape[1], picture.shape[0]), Image.Resampling.NEAREST)
    return np.asarray(large)


def watercolour(picture: Pixels, side: float, random: Random) -> Pixels:
    """Pale washes with darker rims on rough paper."""
    values = _smooth(picture.astype(np.float32), side / 16, random.uniform(25, 45))
    wash = _levels(values, int(random.integers(7, 12)))
    grey = wash.mean(2)
    rims = np.hypot(*np.gradient(_blurred(grey, side / 250)))
    paper = 1 + random.uniform(0.02, 0.05) * _rough(picture.shape, random, side / 180)
    pale = 255 - (255 - _blurred(wash, side / 300)) * random.uniform(0.6, 0.85)
    return _bytes((pale - 0.8 * rims[:, :, None]) * paper[:, :, None])


def engraving(picture: Pixels, side: float, random: Random) -> Pixels:
    """Lines, broader where it is darker, as on a banknote."""
    grey, period = _blurred(_grey(picture), side / 120), side * random.uniform(0.018, 0.03)
    x, y = _grid(picture.shape, random.uniform(-0.8, 0.8))
    waves = np.cos(2 * np.pi * (y + 0.015 * side * np.sin(2 * np.pi * x / side)) / period)
    over = (grey - grey.min()) / max(float(np.ptp(grey)), 1) + 0.5 * waves - 0.5
    light = 1 / (1 + np.exp(np.clip(-10 * over, -50, 50)))
    ink, sheet = random.uniform(0, 80, 3), random.uniform(215, 255, 3)
    return _bytes((ink + light[:, :, None] * (sheet - ink)).astype(np.float32))


def mosaic(picture: Pixels, side: float, random: Random) -> Pixels:
    """Cells of one colour each with dark seams, as stained glass."""
    height, width = picture.shape[:2]
    cell = side * random.uniform(0.04, 0.08)
    count = max(int(height * width / cell**2), 8)
    seeds = np.stack([random.uniform(0, height, count), random.uniform(0, width, count)], 1)
    at = np.zeros((height, width), bool)
    rows, columns = seeds.astype(int).T
    at[rows, columns] = True
    _, (y, x) = ndimage.distance_transform_edt(~at, return_indices=True)
    label = y * width + x
    smooth = _median(picture, side / 40)
    found = smooth[y, x].astype(np.float32)
    seams = (label != np.roll(label, 1, 0)) | (label != np.roll(label, 1, 1))
    found[seams] *= random.uniform(0.2, 0.7)
    return _bytes(found)


def photographed_screen(picture: Pixels, side: float, random: Random) -> Pixels:
    """The picture on a screen of three stripes a pixel, taken by a camera that is turned a little
    and has other pixels: the moire is that of the two grids."""
    image = Image.fromarray(picture)
    pixels = max(round(picture.shape[1] * random.uniform(0.45, 0.8)), 24)
    rows = max(round(pixels * picture.shape[0] / picture.shape[1]), 24)
    shown = np.asarray(image.resize((pixels, rows), Image.Resampling.BILINEAR), np.float32)
    lit = np.repeat(np.repeat(shown, 3, 0), 3, 1)
    for channel in range(3):
        dark = [place for place in range(3) if place != channel]
        for place in dark:
            lit[:, place::3, channel] *= random.uniform(0.05, 0.3)
    lit[::3] *= random.uniform(0.4, 0.9)
    taken = Image.fromarray(_bytes(np.clip(lit * 1.9, 0, 255)))
    taken = taken.rotate(random.normal(0, 2.5), Image.Resampling.BILINEAR)
    back = taken.resize((picture.shape[1], picture.shape[0]), Image.Resampling.BILINEAR)
    bright = _floats(back) * (random.uniform(0.85, 1.2))
    return _bytes(bright * np.array([0.95, 1, random.uniform(1, 1.12)], np.float32))


#: What is learned from.
KINDS: dict[str, Filter] = {
    "posterised": posterised,
    "cartoon": cartoon,
    "flat colours": flat,
    "oil": oil,
    "canvas": canvas,
    "pencil": pencil,
    "halftone": halftone,
    "screen": screen,
    "statue": statue,
    "rendered": rendered,
    "woodcut": woodcut,
}
#: Kinds that training never sees.
HELD_OUT: dict[str, Filter] = {
    "dithered": dithered,
    "relief": relief,
    "doll": doll,
    "pixel art": pixel_art,
    "watercolour": watercolour,
    "engraving": engraving,
    "mosaic": mosaic,
    "photographed screen": photographed_screen,
}
