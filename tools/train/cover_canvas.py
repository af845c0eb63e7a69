"""What covers are drawn with: a face's own coordinates, soft masks in them, and textures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from minimeso.detect.decode import Landmarks

Pixels = NDArray[np.uint8]
Mask = NDArray[np.float32]
Point = tuple[float, float]
#: In the coordinates of a face: where its parts are, on the average of the training faces.
BROW, NOSE, MOUTH, CHIN, CHEEK = -0.25, 0.55, 1.0, 1.5, 0.85
#: Half the width and height of an eye, and of the mouth.
_EYE_SIZE, _MOUTH_SIZE = (0.24, 0.13), (0.34, 0.17)


class Axes(NamedTuple):
    """Coordinates of a face: the middle of the eyes is (0, 0), the middle of the mouth (0, 1) for
    most; x goes from the eye on the left to that on the right, y downwards.

    Attributes:
        landmarks: (5, 2) in pixels, as `FoundFace` has them.
        origin: the middle of the eyes, in pixels.
        across, down: unit vectors.
        unit: the larger of the distances between the eyes and from eyes to mouth, in pixels.
    """

    landmarks: NDArray[np.float64]
    origin: NDArray[np.float64]
    across: NDArray[np.float64]
    down: NDArray[np.float64]
    unit: float

    @staticmethod
    def of(landmarks: Landmarks) -> Axes:
        """The coordinates of a face with these landmarks."""
        marks = np.array(landmarks, np.float64)
        eyes, mouth = (marks[0] + marks[1]) / 2, (marks[3] + marks[4]) / 2
        down = mouth - eyes
        length = float(np.hypot(*down))
        down = down / max(length, 1e-6)
        across = np.array([down[1], -down[0]])
        unit = max(float(np.hypot(*(marks[1] - marks[0]))), length, 1.0)
        return Axes(marks, eyes, across, down, unit)

    def pixels(self, points: Sequence[Point]) -> list[Point]:
        """Points of the face in pixels of the picture."""
        found = [self.origin + self.unit * (x * self.across + y * self.down) for x, y in points]
        return [(float(x), float(y)) for x, y in found]

    def place(self, landmark: int) -> Point:
        """A landmark in the coordinates of the face."""
        off = (self.landmarks[landmark] - self.origin) / self.unit
        return float(off @ self.across), float(off @ self.down)


def polygon(axes: Axes, shape: tuple[int, ...], points: Sequence[Point], soft: float = 0.6) -> Mask:
    """1 inside a polygon of the face's coordinates, with an edge that is soft by so many pixels."""
    image = Image.new("L", (shape[1], shape[0]))
    ImageDraw.Draw(image).polygon(axes.pixels(points), fill=255)
    return _softened(image, soft)


def line(
    axes: Axes, shape: tuple[int, ...], points: Sequence[Point], width: float, soft: float = 0.6
) -> Mask:
    """1 along a line of the face's coordinates; `width` in theirs."""
    image = Image.new("L", (shape[1], shape[0]))
    thick = max(round(width * axes.unit), 1)
    ImageDraw.Draw(image).line(axes.pixels(points), fill=255, width=thick, joint="curve")
    return _softened(image, soft)


def _softened(image: Image.Image, soft: float) -> Mask:
    if soft > 0:
        image = image.filter(ImageFilter.GaussianBlur(float(soft)))
    return np.asarray(np.asarray(image, np.float32) / 255, np.float32)


def oval(
    center: Point, size: Point, turned: float = 0.0, power: float = 2.0, steps: int = 32
) -> list[Point]:
    """Points of an ellipse; with a `power` above 2 its corners are fuller."""
    angles = np.linspace(0, 2 * math.pi, steps, endpoint=False)
    x, y = np.cos(angles), np.sin(angles)
    x = np.sign(x) * np.abs(x) ** (2 / power) * size[0]
    y = np.sign(y) * np.abs(y) ** (2 / power) * size[1]
    c, s = math.cos(turned), math.sin(turned)
    return [
        (center[0] + c * float(a) - s * float(b), center[1] + s * float(a) + c * float(b))
        for a, b in zip(x, y, strict=True)
    ]


def box(center: Point, size: Point, turned: float = 0.0) -> list[Point]:
    """Corners of a rectangle of half so wide and high."""
    c, s = math.cos(turned), math.sin(turned)
    corners = [(-1, -1), (1, -1), (1, 1), (-1, 1)]
    return [
        (
            center[0] + c * a * size[0] - s * b * size[1],
            center[1] + s * a * size[0] + c * b * size[1],
        )
        for a, b in corners
    ]


def blob(random: np.random.Generator, center: Point, size: Point) -> list[Point]:
    """Points of an irregular, round shape."""
    waves = [(k, random.normal(0, 0.12 / k), random.uniform(0, 2 * math.pi)) for k in (2, 3, 4, 5)]
    points = []
    for angle in np.linspace(0, 2 * math.pi, 40, endpoint=False):
        radius = 1 + sum(a * math.cos(k * angle + p) for k, a, p in waves)
        x, y = radius * math.cos(angle) * size[0], radius * math.sin(angle) * size[1]
        points.append((center[0] + x, center[1] + y))
    return points


def hidden(axes: Axes, opacity: Mask) -> tuple[float, float]:
    """Which share of the eyes, and of the mouth, lies behind a cover."""
    eyes = [oval(axes.place(i), _EYE_SIZE) for i in (0, 1)]
    (xl, yl), (xr, yr) = axes.place(3), axes.place(4)
    width = max(abs(xr - xl) / 2, 0.15)
    mouth = oval(((xl + xr) / 2, (yl + yr) / 2), (min(width, _MOUTH_SIZE[0]), _MOUTH_SIZE[1]))
    shares = []
    for part in (*eyes, mouth):
        mask = polygon(axes, opacity.shape, part, 0)
        total = float(mask.sum())
        shares.append(float((mask * opacity).sum()) / total if total else 0.0)
    return (shares[0] + shares[1]) / 2, shares[2]


# --- textures ----------------------------------------------------------------------------


def plain(random: np.random.Generator, shape: tuple[int, ...], dark: bool = False) -> Mask:
    """(H, W, 3) of one colour, which changes a little over the picture, with a little noise."""
    if dark:
        colour = random.uniform(0, 60, 3) * 0.3 + random.uniform(0, 45)
    else:
        grey = random.random() < 0.4
        colour = np.full(3, random.uniform(0, 255)) if grey else random.uniform(0, 255, 3)
    found = colour + ramp(random, shape, random.uniform(0, 40))[:, :, None]
    return _grained(random, found, random.choice([0.0, 2.0, 6.0]))


def flat(picture: Pixels, red: float, green: float, blue: float) -> Mask:
    """(H, W, 3) of one colour."""
    return np.full(picture.shape, (red, green, blue), np.float32)


def skin(random: np.random.Generator, picture: Pixels, axes: Axes) -> Mask:
    """(H, W, 3) of the face's own colour at a cheek or the nose, lighter or darker."""
    x, y = axes.pixels([(random.uniform(-0.4, 0.4), random.uniform(0.35, 0.6))])[0]
    row = int(np.clip(y, 3, picture.shape[0] - 4))
    column = int(np.clip(x, 3, picture.shape[1] - 4))
    part = picture[row - 3 : row + 4, column - 3 : column + 4]
    colour = part.reshape(-1, 3).mean(0) * random.uniform(0.65, 1.25) + random.normal(0, 8, 3)
    spots = clouds(random, picture.shape, 7).mean(2, keepdims=True)
    found = colour + ramp(random, picture.shape, 25)[:, :, None] + spots
    return _grained(random, found, 3.0)


def clouds(random: np.random.Generator, shape: tuple[int, ...], strength: float) -> Mask:
    """(H, W, 3) of coarse and fine spots around 0."""
    found = np.zeros((*shape[:2], 3), np.float32)
    for cells in (4, 12, 36):
        spots = random.normal(0, strength, (cells, cells, 3))
        for channel in range(3):
            plane = Image.fromarray(spots[:, :, channel].astype(np.float32))
            found[:, :, channel] += np.asarray(
                plane.resize((shape[1], shape[0]), Image.Resampling.BICUBIC)
            )
    return found


def noise(random: np.random.Generator, shape: tuple[int, ...]) -> Mask:
    """(H, W, 3) of noise, of one pixel or coarser, colourful or grey."""
    cells = max(round(shape[0] / random.uniform(1, 10)), 2)
    spots = random.uniform(0, 255, (cells, cells, 1 if random.random() < 0.3 else 3))
    small = np.broadcast_to(spots, (cells, cells, 3)).astype(np.uint8)
    resample = Image.Resampling.NEAREST if random.random() < 0.5 else Image.Resampling.BILINEAR
    image = Image.fromarray(np.ascontiguousarray(small)).resize((shape[1], shape[0]), resample)
    return np.asarray(image, np.float32)


def pattern(random: np.random.Generator, shape: tuple[int, ...]) -> Mask:
    """(H, W, 3) of cloth: two colours in dots, stripes or squares."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    period = random.uniform(5, 24)
    kind = random.integers(3)
    angle = random.uniform(0, math.pi)
    wave = np.sin((rows * math.sin(angle) + columns * math.cos(angle)) * 2 * math.pi / period)
    other = np.sin((rows * math.cos(angle) - columns * math.sin(angle)) * 2 * math.pi / period)
    share = (wave, wave * other, np.minimum(wave, other))[kind] > random.uniform(-0.2, 0.4)
    first, second = random.uniform(0, 255, (2, 3))
    return np.asarray(np.where(share[:, :, None], first, second), np.float32)


def ramp(random: np.random.Generator, shape: tuple[int, ...], strength: float) -> Mask:
    """(H, W) that goes from -strength to strength in some direction."""
    angle = random.uniform(0, 2 * math.pi)
    rows, columns = np.ogrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j]
    found = strength * (rows * math.sin(angle) + columns * math.cos(angle))
    return np.asarray(found, np.float32)


def _grained(random: np.random.Generator, found: NDArray[np.float64], grain: float) -> Mask:
    if grain:
        found = found + random.normal(0, grain, (*found.shape[:2], 1))
    return np.clip(found, 0, 255).astype(np.float32)


def laid(picture: Pixels, texture: Mask, opacity: Mask) -> Pixels:
    """A picture with a texture over it."""
    share = opacity[:, :, None]
    mixed = picture * (1 - share) + np.clip(texture, 0, 255) * share
    return np.asarray(mixed + 0.5, np.uint8)
