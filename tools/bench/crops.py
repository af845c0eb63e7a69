"""Cutting and scaling faces: our time beside Pillow's, a call of each in turn, medians.

`resize` is Pillow's call alone on a picture that it has already; `to planes` is what a network
needs, from array to array: (H, W, 3) bytes to (3, 256, 256) float32 from 0 to 1.  All of them write
to memory that is there already, as far as they can: fresh pages would cost more than the work.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
from PIL import Image

from minimeso.engine.native import available_isas, resize

FRAME = (1080, 1920)
SIDES = (186, 256, 400, 800, 1080)
SIZE = 256
BILINEAR = Image.Resampling.BILINEAR


def calls(side: int) -> dict[str, Callable[[], object]]:
    """The same work by all of us: a square box of a frame."""
    frame = np.random.default_rng(0).integers(0, 256, (*FRAME, 3), np.uint8)
    image, box = Image.fromarray(frame), (300, 0, 300 + side, side)
    out = np.empty((3, SIZE, SIZE), np.float32)

    def to_planes() -> object:
        face = Image.fromarray(np.ascontiguousarray(frame[:side, 300 : 300 + side]))
        scaled = np.asarray(face.resize((SIZE, SIZE), BILINEAR))
        return np.multiply(scaled.transpose(2, 0, 1), np.float32(1 / 255), out=out)

    def ours(isa: str) -> Callable[[], object]:
        return lambda: resize(frame, box, (SIZE, SIZE), "bilinear", isa, out)

    return {
        "Pillow resize": lambda: image.resize((SIZE, SIZE), BILINEAR, box=box),
        "Pillow to planes": to_planes,
        **{isa: ours(isa) for isa in available_isas()},
    }


def medians(side: int, rounds: int) -> dict[str, float]:
    """Milliseconds of a call."""
    turns = calls(side)
    seconds: dict[str, list[float]] = {name: [] for name in turns}
    for _ in range(rounds):
        for name, call in turns.items():
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)
    return {name: 1e3 * statistics.median(times) for name, times in seconds.items()}


def measure(rounds: int) -> dict[str, dict[str, float]]:
    """Milliseconds of each way, by the side of the box."""
    columns = {side: medians(side, rounds) for side in SIDES}
    ways = columns[SIDES[0]]
    return {name: {str(side): columns[side][name] for side in SIDES} for name in ways}


def table(found: dict[str, dict[str, float]]) -> list[str]:
    """Lines of what ``measure`` found."""
    head = f"ms, box of {FRAME[1]} x {FRAME[0]} to {SIZE} x {SIZE}"
    lines = [f"{head:<36}" + "".join(f"{side:>8}" for side in SIDES)]
    for name, row in found.items():
        lines.append(f"{name:<36}" + "".join(f"{ms:8.3f}" for ms in row.values()))
    return lines
