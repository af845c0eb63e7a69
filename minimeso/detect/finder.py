"""Faces in a picture: boxes, scores and five landmarks, by YuNet on our own engine.

Wu, Peng, Yu: "YuNet: A Tiny Millisecond-level Face Detector", Machine Intelligence Research 2023;
the decoding is that of OpenCV's ``FaceDetectorYN``.  ``find`` looks at a whole picture,
``find_near`` only around a face of the frame before.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ..engine import Model, Session
from ..engine.native import resize
from ..errors import InputError, ModelError
from ..media.pixels import Pixels

Array = npt.NDArray[np.float64]
Landmarks = tuple[tuple[float, float], ...]

#: A face is found from so many pixels of the network's input on (its README: 20 and more).
_SMALLEST = 20
#: A picture of this width is searched for faces from ``MIN_FACE`` pixels on, larger ones for
#: faces that are larger by as much, or the search of an 8K picture would take a second.
_USUAL_WIDTH = 1920
MIN_FACE = 40
#: Unless asked for by ``min_face``, no picture is scaled down to less than this.
_USUAL_INPUT = 640
#: The network misses faces of more than some 600 pixels of its input: wider inputs are searched
#: once more, four times smaller.
_WIDEST = 1280
_COARSER = 4
#: Height and width of an input are multiples of it: the network halves them five times.
_CELL = 32
_CHANNELS = 16  # of a head: cls, obj, box (4), landmarks (10)
_NMS_IOU = 0.3
#: Only so many of the best cells are compared with each other.
_MOST_CELLS = 1000
#: Inputs that are kept for the next picture, the last used.
_MOST_CANVASES = 8
#: ``find_near``: side of the face in the input, the input's most, and what the threshold is lowered
#: by: a face that was there a moment ago needs less evidence.
_NEAR_FACE = 64
_NEAR_WIDEST = 512
_NEAR_BONUS = 0.15
#: A scale may be smaller by as much as this if that saves time: 720 lines are 352 instead of 384.
_LEAST_FILLING = 0.96
#: Without so many pixels of the input around its centre a small face is not recognised.
_LEAST_REACH = 48
#: A face that scores less is looked at turned, too: one that lies on its side is found, but its
#: landmarks are not.  Turned it must score so much better.
_CLEAR = 0.88
_BETTER_TURNED = 0.03
#: A face that scores less than the first is looked at once more with its box scaled to the second,
#: and must then reach the third: doughnuts and clocks are faces at one scale only.
_SURE = 0.8
_AGAIN_FACE = 48
_AGAIN_SCORE = 0.35
_AGAIN_IOU = 0.3


@dataclass(frozen=True)
class FoundFace:
    """A face in a picture.

    Attributes:
        box: x, y, width, height in pixels of the picture as a person sees it; may reach outside.
        score: how sure the finder is, 0 to 1.
        landmarks: (x, y) of the eye on the left in the picture, the eye on the right, the tip of
            the nose, the corners of the mouth on the left and on the right.
        turned: 90 or 270 where the picture had to be turned clockwise by so many degrees for the
            face to be found; left and right of the landmarks are those of the turned picture.
    """

    box: tuple[float, float, float, float]
    score: float
    landmarks: Landmarks
    turned: int = 0


class FaceFinder:
    """Finds faces in pictures.

    Args:
        model: ``yunet-s``, ``yunet-n`` (better at small and tilted faces, takes half as long
            again), path of a model file or a ``Model``.
        min_face: side in pixels of the smallest face that must be found; it picks the scale at
            which a picture is searched, and the time goes with its inverse square.  By default
            40, a 48th of the longer side in pictures larger than 1920 pixels, and less than 40 in
            those smaller than 1280.
        threshold: least score of a face, 0 to 1.
        doubt: look twice at faces that do not score well, which tells most things that only
            look like faces, and faces that lie on their side; without it, the result is that of
            OpenCV's ``FaceDetectorYN``.
        threads: as for ``Session``.
        isa: as for ``Session``.

    A finder may be used from several threads, one at a time.

    Raises:
        ModelError: the model is missing, damaged or no face finder.
        InputError: ``min_face`` or ``threshold`` makes no sense.
        EngineError: the instruction set is not available.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | Model = "yunet-s",
        *,
        min_face: float | None = None,
        threshold: float = 0.6,
        doubt: bool = True,
        threads: int | None = None,
        isa: str | None = None,
    ) -> None:
        if min_face is not None and not 1 <= min_face <= 1 << 20:
            raise InputError(f"min_face must be 1 pixel or more, not {min_face!r}")
        if not 0 < threshold < 1:
            raise InputError(f"threshold must lie between 0 and 1, not {threshold!r}")
        self.session = Session(model, threads=threads, isa=isa)
        self.min_face = min_face
        self.threshold = threshold
        self.doubt = doubt
        _check_finder(self.session.model)
        self._canvases: dict[tuple[int, int], tuple[npt.NDArray[np.float32], tuple[int, int]]] = {}
        self._lock = threading.Lock()

    def with_threads(self, threads: int) -> FaceFinder:
        """The same finder on another number of threads; they share the weights."""
        return FaceFinder(
            self.session.model,
            min_face=self.min_face,
            threshold=self.threshold,
            doubt=self.doubt,
            threads=threads,
            isa=self.session.isa,
        )

    def find(self, picture: Pixels) -> tuple[FoundFace, ...]:
        """All faces in a picture, best score first.

        Where none is found, the picture is searched lying on either side, too, and faces found
        so say ``turned``.

        Args:
            picture: (H, W, 3) uint8 RGB.

        Raises:
            InputError: the picture is something else, or too large for this machine.
        """
        _check_picture(picture)
        height, width = picture.shape[:2]
        scale = self._scale(height, width)
        whole = (0.0, 0.0, float(width), float(height))
        with self._lock:
            for turned in (0, 90, 270):
                cells = self._cells(picture, whole, scale, turned, self.threshold)
                if scale * max(height, width) > _WIDEST:
                    coarse = scale / _COARSER
                    more = self._cells(picture, whole, coarse, turned, self.threshold)
                    cells = np.concatenate([cells, more])
                looked = [self._looked_at_again(picture, face) for face in _faces(cells, turned)]
                faces = tuple(face for face in looked if face is not None)
                if faces:
                    return faces
        return ()

    def _looked_at_again(self, picture: Pixels, face: FoundFace) -> FoundFace | None:
        """The face, the same one turned if that fits better, or ``None`` if it is none."""
        if face.score >= _CLEAR or not self.doubt:
            return face
        if face.turned:  # once turned it should score like any other
            return face if face.score >= _SURE else None
        for turned in (90, 270):
            lying = self._best_there(picture, replace(face, turned=turned), _SURE, _NEAR_FACE)
            if lying is not None and lying.score >= face.score + _BETTER_TURNED:
                return lying
        if face.score >= _SURE:
            return face
        least = min(_AGAIN_SCORE, self.threshold)
        return face if self._best_there(picture, face, least, _AGAIN_FACE) else None

    def _best_there(
        self, picture: Pixels, face: FoundFace, threshold: float, wanted: int
    ) -> FoundFace | None:
        """The best face that a second look finds in the place of a face."""
        found = self._near(picture, face, 1.0, threshold, wanted)
        return next((f for f in found if _overlap(f.box, face.box) >= _AGAIN_IOU), None)

    def _scale(self, height: int, width: int) -> float:
        if self.min_face is not None:
            return _filling(min(1.0, _SMALLEST / self.min_face), height, width)
        longer = max(height, width)
        least = MIN_FACE * max(1.0, longer / _USUAL_WIDTH)
        return _filling(min(1.0, max(_SMALLEST / least, _USUAL_INPUT / longer)), height, width)

    def find_near(self, picture: Pixels, face: FoundFace, move: float = 1.0) -> FoundFace | None:
        """The face in a later frame that is nearest to where it was; ``None`` if there is none.

        Args:
            picture: (H, W, 3) uint8 RGB.
            face: from ``find`` or ``find_near`` on the frame before.
            move: how far the face may have moved, in sides of its box.

        Raises:
            InputError: the picture is something else.
        """
        _check_picture(picture)
        with self._lock:
            threshold = max(self.threshold - _NEAR_BONUS, 0.05)
            found = self._near(picture, face, move, threshold, _NEAR_FACE)
        if not found:
            return None
        here = _centre(face.box)
        return min(found, key=lambda f: math.dist(_centre(f.box), here) / math.sqrt(f.score))

    def steadied(self, picture: Pixels, face: FoundFace) -> FoundFace:
        """A face with the mean of its landmarks and those of a second look at another scale.

        What is cut by them then differs less from one view of a face to another; in a clip the many
        frames see to that.

        Args:
            picture: (H, W, 3) uint8 RGB.
            face: from ``find`` on this picture.
        """
        _check_picture(picture)
        with self._lock:
            other = self._best_there(picture, face, self.threshold, _NEAR_FACE)
        if other is None:
            return face
        pairs = zip(face.landmarks, other.landmarks, strict=True)
        return replace(
            face, landmarks=tuple(((a + c) / 2, (b + d) / 2) for (a, b), (c, d) in pairs)
        )

    def _near(
        self, picture: Pixels, face: FoundFace, move: float, threshold: float, wanted: int
    ) -> tuple[FoundFace, ...]:
        """Faces around a face, whose box gets ``wanted`` pixels of the input (or fewer)."""
        height, width = picture.shape[:2]
        x, y = _centre(face.box)
        side = max(face.box[2], face.box[3], 1.0)
        scale = min(1.0, wanted / side)
        reach = max(side * (0.5 + 0.5 * max(move, 0.0)), _LEAST_REACH / scale)
        box = (max(x - reach, 0), max(y - reach, 0), min(x + reach, width), min(y + reach, height))
        if box[2] - box[0] < 1 or box[3] - box[1] < 1:
            return ()
        scale = min(scale, _NEAR_WIDEST / (2 * reach))
        canvas = math.ceil(2 * reach * scale / _CELL) * _CELL
        return _faces(self._cells(picture, box, scale, face.turned, threshold, canvas), face.turned)

    def _cells(
        self,
        picture: Pixels,
        box: tuple[float, float, float, float],
        scale: float,
        turned: int,
        threshold: float,
        least: int = _CELL,
    ) -> Array:
        """Cells that reach a threshold in a part of a picture, scaled and then turned.

        Returns:
            (N, 15): score, box as left, top, right, bottom, and 5 x (x, y), in the picture.
        """
        left, top, right, bottom = box
        size = max(round((bottom - top) * scale), 1), max(round((right - left) * scale), 1)
        canvas = self._canvas(size[::-1] if turned else size, least)
        inner = canvas[0, :, : size[1 if turned else 0], : size[0 if turned else 1]]
        if turned:
            small = resize(picture, box, size, "bilinear", self.session.isa)
            inner[:] = np.rot90(small, -(turned // 90), (1, 2))
        else:
            resize(picture, box, size, "bilinear", self.session.isa, inner)
        heads = self.session.run(canvas, outputs=self.session.graph.outputs)
        height = canvas.shape[2]
        cells = np.concatenate(
            [_decode(head[0], height // head.shape[2], threshold) for head in heads.values()]
        )
        if turned and len(cells):
            _turn_back(cells, size, turned)
        cells[:, 1:] /= scale
        cells[:, 1::2] += left
        cells[:, 2::2] += top
        return cells

    def _canvas(self, size: tuple[int, int], least: int) -> npt.NDArray[np.float32]:
        """(1, 3, H, W) with room for a picture of this size, zero around it."""
        height, width = (max(-(-n // _CELL) * _CELL, least) for n in size)
        canvas, filled = self._canvases.pop((height, width), (None, size))
        if canvas is None:
            canvas = np.zeros((1, 3, height, width), np.float32)
        elif filled != size:
            canvas[0, :, size[0] :] = 0
            canvas[0, :, :, size[1] :] = 0
        self._canvases[height, width] = canvas, size
        if len(self._canvases) > _MOST_CANVASES:
            del self._canvases[next(iter(self._canvases))]
        return canvas


def _filling(scale: float, height: int, width: int) -> float:
    """A scale that is a little smaller where the input then has less to fill with zeros."""
    if scale >= 1:
        return scale
    scales = [scale]
    for side in (height, width):
        cells = math.floor(side * scale / _CELL)
        if cells and cells * _CELL / side >= _LEAST_FILLING * scale:
            scales.append(cells * _CELL / side)
    return min(scales, key=lambda s: math.prod(-(-round(n * s) // _CELL) for n in (height, width)))


def _check_picture(picture: Pixels) -> None:
    if not isinstance(picture, np.ndarray) or picture.dtype != np.uint8 or picture.ndim != 3:
        raise InputError("a picture to search is an array (H, W, 3) of uint8")
    if picture.shape[2] != 3 or 0 in picture.shape:
        raise InputError(f"a picture to search is (H, W, 3), not {picture.shape}")


def _check_finder(model: Model) -> None:
    """``ModelError`` unless it turns a picture into heads of 16 channels."""
    graph = model.graph
    inputs = list(graph.inputs.values())
    if inputs == [(3, None, None)] and not model.is_detector:
        shapes = graph.shapes()
        if graph.outputs and all(
            len(shapes[name]) == 3 and shapes[name][0] == _CHANNELS for name in graph.outputs
        ):
            return
    raise ModelError(f"{model.name}: no face finder: the bundled ones are yunet-s and yunet-n")


def _turn_back(cells: Array, size: tuple[int, int], turned: int) -> None:
    """Places in a picture that was turned clockwise become those in it as it was, of ``size``."""
    x, y = cells[:, 1::2].copy(), cells[:, 2::2].copy()
    cells[:, 1::2], cells[:, 2::2] = (y, size[0] - x) if turned == 90 else (size[1] - y, x)
    cells[:, 1:4:2].sort(1)  # left and right, top and bottom
    cells[:, 2:5:2].sort(1)


def _decode(head: npt.NDArray[np.float32], stride: int, threshold: float) -> Array:
    """Cells (N, 15) of a head (16, h, w) that reach the threshold; no half-cell offset."""
    # both factors of the score are below 1, so each must reach the threshold's square
    least = math.log(threshold**2 / (1 - threshold**2))
    rows, columns = np.nonzero((head[0] >= least) & (head[1] >= least))
    if not len(rows):
        return np.empty((0, 15))
    values = head[:, rows, columns].astype(np.float64)
    cells = np.empty((len(rows), 15))
    cells[:, 0] = np.sqrt(1 / (1 + np.exp(-values[0])) / (1 + np.exp(-values[1])))
    x, y = (columns + values[2]) * stride, (rows + values[3]) * stride
    half = np.exp(np.minimum(values[4:6], 20)) * (stride / 2)
    cells[:, 1:5] = np.stack([x - half[0], y - half[1], x + half[0], y + half[1]], 1)
    cells[:, 5::2] = ((columns + values[6::2]) * stride).T
    cells[:, 6::2] = ((rows + values[7::2]) * stride).T
    return cells[(cells[:, 0] >= threshold) & np.isfinite(cells).all(1)]


def _without_overlap(cells: Array) -> list[int]:
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


def _faces(cells: Array, turned: int) -> tuple[FoundFace, ...]:
    """Faces of the cells that are not another one's neighbours, best score first."""
    if not len(cells):
        return ()
    return tuple(
        FoundFace(
            (left, top, right - left, bottom - top),
            score,
            tuple(zip(marks[0::2], marks[1::2], strict=True)),
            turned,
        )
        for score, left, top, right, bottom, *marks in cells[_without_overlap(cells)].tolist()
    )


def _overlap(a: Sequence[float], b: Sequence[float]) -> float:
    """Intersection over union of two boxes."""
    wide = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    high = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    shared = max(wide, 0.0) * max(high, 0.0)
    return shared / max(a[2] * a[3] + b[2] * b[3] - shared, 1e-9)


def _centre(box: tuple[float, float, float, float]) -> tuple[float, float]:
    return box[0] + box[2] / 2, box[1] + box[3] / 2


def as_json(face: FoundFace) -> dict[str, Any]:
    """JSON-able data: ``box`` as ``[x, y, w, h]``, ``score``, ``landmarks``, ``turned``."""
    return {
        "box": list(face.box),
        "score": face.score,
        "landmarks": [list(point) for point in face.landmarks],
        "turned": face.turned,
    }
