"""Decoding: the heads of YuNet become faces.

Each cell of a head says how likely a face begins there, its box and five landmarks; of cells that
overlap the best is kept.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..engine.exact import exps, log, sigmoids
from .box import Box

Array = npt.NDArray[np.float64]
Landmarks = tuple[tuple[float, float], ...]

_NMS_IOU = 0.3
#: Only so many of the best cells are compared with each other.
_MOST_CELLS = 1000


@dataclass(frozen=True)
class FoundFace:
    """A face in a picture.

    Attributes:
        box: x, y, width, height in pixels of the picture as a person sees it; may reach outside.
        score: how sure the finder is, 0 to 1.
        landmarks: (x, y) of the eye on the left in the picture, the eye on the right, the tip of
            the nose, the corners of the mouth on the left and on the right.
        rotation: 90, 180 or 270 where the picture had to be turned clockwise by so many degrees for
            the face to be found; left and right of the landmarks are those of the turned picture.
    """

    box: Box
    score: float
    landmarks: Landmarks
    rotation: int = 0

    @property
    def turned(self) -> int:
        """``rotation`` by its first name."""
        return self.rotation


def rotate_back(cells: Array, size: tuple[int, int], rotation: int) -> None:
    """Places in a picture that was turned clockwise become those in it as it was, of ``size``."""
    x, y = cells[:, 1::2].copy(), cells[:, 2::2].copy()
    places = {90: (y, size[0] - x), 180: (size[1] - x, size[0] - y), 270: (size[1] - y, x)}
    cells[:, 1::2], cells[:, 2::2] = places[rotation]
    cells[:, 1:4:2].sort(1)  # left and right, top and bottom
    cells[:, 2:5:2].sort(1)


def decode(head: npt.NDArray[np.float32], stride: int, threshold: float) -> Array:
    """Cells (N, 15) of a head (16, h, w) that reach the threshold; no half-cell offset."""
    # both factors of the score are below 1, so each must reach the threshold's square
    least = log(threshold * threshold / (1 - threshold * threshold))
    rows, columns = np.nonzero((head[0] >= least) & (head[1] >= least))
    if not len(rows):
        return np.empty((0, 15))
    values = head[:, rows, columns].astype(np.float64)
    cells = np.empty((len(rows), 15))
    cells[:, 0] = np.sqrt(sigmoids(values[0]) * sigmoids(values[1]))
    x, y = (columns + values[2]) * stride, (rows + values[3]) * stride
    half = exps(np.minimum(values[4:6], 20)) * (stride / 2)
    cells[:, 1:5] = np.stack([x - half[0], y - half[1], x + half[0], y + half[1]], 1)
    cells[:, 5::2] = ((columns + values[6::2]) * stride).T
    cells[:, 6::2] = ((rows + values[7::2]) * stride).T
    return cells[(cells[:, 0] >= threshold) & np.isfinite(cells).all(1)]


def without_overlap(cells: Array) -> list[int]:
    """Greedy non-maximum suppression: indices of what is kept, best score first."""
    order = np.argsort(-cells[:, 0], kind="stable")[:_MOST_CELLS]
    left, top, right, bottom = cells[order, 1:5].T
    area = (right - left) * (bottom - top)
    alive, kept = np.ones(len(order), bool), []
    for i in range(len(order)):
        if not alive[i]:
            continue
        kept.append(int(order[i]))
        wide = np.minimum(right, right[i]) - np.maximum(left, left[i])
        high = np.minimum(bottom, bottom[i]) - np.maximum(top, top[i])
        shared = np.maximum(wide, 0) * np.maximum(high, 0)
        alive &= shared <= _NMS_IOU * (area + area[i] - shared)
    return kept


def faces_of(cells: Array, rotation: int) -> tuple[FoundFace, ...]:
    """Faces of the cells that are not another one's neighbours, best score first."""
    if not len(cells):
        return ()
    return tuple(
        FoundFace(
            Box(left, top, right - left, bottom - top),
            score,
            tuple(zip(marks[0::2], marks[1::2], strict=True)),
            rotation,
        )
        for score, left, top, right, bottom, *marks in cells[without_overlap(cells)].tolist()
    )
