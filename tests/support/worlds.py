"""Worlds for the tests of tracks and followers: coloured people who move, and a finder that knows.

Not a test itself.  A person is a patch of some colours of his own at a place that a function of
time gives; who stands in front is drawn last, and who is hidden is not found.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minimeso.detect.finder import FoundFace

Pixels = Any
#: Centre and side in pixels of a frame of the size given, or ``None`` where he is not in view.
Path = Callable[[float], "tuple[float, float, float] | None"]


def found(x: float, y: float, side: float, score: float = 0.9) -> FoundFace:
    """A face around a centre."""
    left, top = x - side / 2, y - side / 2
    places = ((0.3, 0.35), (0.7, 0.35), (0.5, 0.55), (0.35, 0.75), (0.65, 0.75))
    points = tuple((left + side * u, top + side * v) for u, v in places)
    return FoundFace((left, top, side, side), score, points)


@dataclass
class World:
    """People before a backdrop.

    Attributes:
        people: seed of a person's colours -> path.
        size: height and width of a frame, or a function of time that gives it.
        backdrop: seed of the backdrop, or a function of time that gives it.
        hidden: who is not found at a time although drawn (a hand before the face).
        finds, nears: how often the finder was asked for the whole picture, and near a face.
    """

    people: dict[int, Path]
    size: tuple[int, int] | Callable[[float], tuple[int, int]] = (180, 320)
    backdrop: int | Callable[[float], int] = 1000
    hidden: Callable[[int, float], bool] = lambda person, t: False
    noise: float = 0.0
    light: Callable[[float], float] = lambda t: 1.0
    finds: int = 0
    nears: int = 0
    now: float = field(default=0.0, init=False)

    def frame(self, t: float) -> Pixels:
        """(H, W, 3) uint8 of a time; the finder then knows who is where."""
        self.now = t
        height, width = self.size(t) if callable(self.size) else self.size
        seed = self.backdrop(t) if callable(self.backdrop) else self.backdrop
        picture = _pattern(seed, height, width, 6).copy()
        for person, path in self.people.items():
            place = path(t)
            if place is not None:
                _draw(picture, person, *place)
        picture = picture * self.light(t)
        if self.noise:
            rng = np.random.default_rng(round(1000 * t))
            picture = picture + rng.normal(0, self.noise, picture.shape)
        return np.clip(picture, 0, 255).astype(np.uint8)

    def in_view(self) -> list[tuple[int, FoundFace]]:
        """Who can be found; who is covered by half by somebody in front cannot."""
        seen: list[tuple[int, FoundFace]] = []
        for person, path in self.people.items():
            place = path(self.now)
            if place is None or self.hidden(person, self.now):
                continue
            x, y, side = place
            seen = [
                (other, face)
                for other, face in seen
                if max(abs(face.box[0] - x + side / 2), abs(face.box[1] - y + side / 2)) > side / 2
            ]
            seen.append((person, found(x, y, side)))
        return seen

    def find(self, picture: Pixels) -> tuple[FoundFace, ...]:
        self.finds += 1
        return tuple(face for _, face in self.in_view())

    def find_near(self, picture: Pixels, face: FoundFace, move: float = 1.0) -> FoundFace | None:
        self.nears += 1
        x, y = _centre(face)
        reach = (0.5 + 0.5 * move) * max(face.box[2:])
        near = [
            (math.dist(_centre(other), (x, y)), other)
            for _, other in self.in_view()
            if max(abs(_centre(other)[0] - x), abs(_centre(other)[1] - y)) < reach
        ]
        return min(near, key=lambda pair: pair[0])[1] if near else None

    def who(self, face: FoundFace) -> int:
        """The person whose face it is."""
        return min(self.in_view(), key=lambda pair: math.dist(_centre(pair[1]), _centre(face)))[0]


def _centre(face: FoundFace) -> tuple[float, float]:
    return face.box[0] + face.box[2] / 2, face.box[1] + face.box[3] / 2


@functools.lru_cache(maxsize=256)
def _pattern(seed: int, height: int, width: int, cells: int) -> Any:
    """(H, W, 3) float32: ``cells`` x ``cells`` fields of random colours."""
    colours = np.random.default_rng(seed).uniform(30, 220, (cells, cells, 3)).astype(np.float32)
    rows = np.arange(height) * cells // height
    columns = np.arange(width) * cells // width
    return colours[rows[:, None], columns]


def _draw(picture: Any, person: int, x: float, y: float, side: float) -> None:
    height, width = picture.shape[:2]
    size = max(round(side), 1)
    patch = _pattern(person, size, size, 5)
    left, top = round(x - side / 2), round(y - side / 2)
    rows = np.arange(max(top, 0), min(top + size, height))
    columns = np.arange(max(left, 0), min(left + size, width))
    if len(rows) and len(columns):
        picture[rows[:, None], columns] = patch[rows[:, None] - top, columns - left]
