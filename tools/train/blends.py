"""Self-blended faces: a real face with a changed copy of itself in its middle, called fake.

Nothing of a generator is in them, only what every swap has: a border, within which colours,
sharpness and place differ a little. So a network that learns them learns no generator by heart.
Source: Shiohara & Yamasaki, "Detecting deepfakes with self-blended images", CVPR 2022. Their mask
is the hull of 81 landmarks; this one is a superellipse in the square that five landmarks fix
(`minimeso.detect.framing`), with a wavy border, some of them of the mouth alone as in reenactment.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

#: Share of the masks that cover the mouth alone.
MOUTHS = 0.35
_FILTERS = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS)


def self_blended(
    picture: NDArray[np.uint8], square: NDArray[np.float64], seed: int
) -> NDArray[np.uint8]:
    """A picture (H, W, 3) whose face, in a square (x, y, side, side), is blended with its copy."""
    random = np.random.default_rng(seed)
    part = mask(picture.shape[0], picture.shape[1], square, random)[:, :, None]
    copy = _moved(_resampled(_recoloured(picture, random), random), square[2], random)
    blended = picture * (1 - part) + np.asarray(copy, np.float32) * part
    return np.clip(blended + 0.5, 0, 255).astype(np.uint8)


def mask(
    height: int, width: int, square: NDArray[np.float64], random: np.random.Generator
) -> NDArray[np.float32]:
    """(height, width): how much of the copy is seen, 0 to 1."""
    x, y, side, _ = square
    middle = random.normal(0.5, 0.03, 2)
    reach = random.uniform((0.28, 0.30), (0.44, 0.48))  # semi-axes
    power = random.uniform(1.7, 3)
    across = np.abs(((np.arange(width) + 0.5 - x) / side - middle[0]) / reach[0]) ** power
    down = np.abs(((np.arange(height) + 0.5 - y) / side - middle[1]) / reach[1]) ** power
    wave = Image.fromarray(random.normal(0, 0.25, (6, 6)).astype(np.float32))
    waves = np.asarray(wave.resize((width, height), Image.Resampling.BICUBIC))
    inside = across[None, :] + down[:, None] < 1 + waves
    if random.random() < MOUTHS:
        inside[: max(int(y + side * random.uniform(0.48, 0.62)), 0)] = False
    border = ImageFilter.GaussianBlur(float(side) * random.uniform(0.007, 0.04))
    soft = Image.fromarray(255 * inside.astype(np.uint8)).filter(border)
    opacity = random.choice((0.25, 0.5, 0.75, 1, 1, 1))
    return np.asarray(np.asarray(soft) * (opacity / 255), np.float32)


def _recoloured(picture: NDArray[np.uint8], random: np.random.Generator) -> NDArray[np.uint8]:
    gains, offsets = random.uniform(0.95, 1.05, 3), random.uniform(-6, 6, 3)
    scale = random.uniform(0.85, 1.15) * gains
    flat = picture.reshape(-1, 3).astype(np.float32)
    mean = np.ones(len(flat), np.float32) @ flat / len(flat)  # a tenth of the time of `mean`
    table = (np.arange(256)[:, None] - mean) * scale + mean * gains + offsets + 0.5
    levels = np.clip(table, 0, 255).astype(np.uint8)
    return np.stack([levels[:, c][picture[:, :, c]] for c in range(3)], 2)


def _resampled(picture: NDArray[np.uint8], random: np.random.Generator) -> Image.Image:
    """As sharp or less sharp, or more, as a generator's face may be."""
    image, kind = Image.fromarray(picture), random.random()
    if kind < 0.45:
        scale = random.uniform(0.4, 0.9)
        smaller = max(round(image.width * scale), 8), max(round(image.height * scale), 8)
        down, up = random.integers(3), random.integers(2)
        return image.resize(smaller, _FILTERS[down]).resize(image.size, _FILTERS[up])
    if kind < 0.6:
        return image.filter(ImageFilter.GaussianBlur(random.uniform(0.4, 1.2)))
    if kind < 0.75:
        return image.filter(ImageFilter.UnsharpMask(1, round(random.uniform(40, 150)), 0))
    return image


def _moved(image: Image.Image, side: float, random: np.random.Generator) -> Image.Image:
    """Up to 5 % larger or smaller, stretched by up to 2 %, moved by up to 3 % of the square."""
    tall = random.uniform(0.95, 1.05)
    wide = tall * random.uniform(0.98, 1.02)
    right, down = random.uniform(-0.03, 0.03, 2) * side
    matrix = (
        *(wide, 0.0, right + (1 - wide) * image.width / 2),
        *(0.0, tall, down + (1 - tall) * image.height / 2),
    )
    transform = Image.Transform.AFFINE
    return image.transform(image.size, transform, matrix, Image.Resampling.BICUBIC)
