"""Faces in a picture: boxes, scores and five landmarks, by YuNet on our own engine.

Wu, Peng, Yu: "YuNet: A Tiny Millisecond-level Face Detector", Machine Intelligence Research 2023;
the decoding is that of OpenCV's ``FaceDetectorYN``.  ``find`` looks at a whole picture,
``find_near`` only around a face of the frame before.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from ..checks import is_number
from ..closing import Closing
from ..engine import Model, Session
from ..engine.exact import distance
from ..engine.float_errors import with_usual_float_errors
from ..errors import InputError, ModelError
from ..locks import Lock
from ..media.pixels import Pixels
from .box import center, iou, is_part
from .canvas import CELL, Canvases, filling, in_cells
from .decode import Array, FoundFace, decode, faces_of, rotate_back
from .near import NEAR_FACE, NEAR_WIDEST, check_face, reach_of

_Own = TypeVar("_Own", bound="FaceFinder")

#: A face is found from so many pixels of the network's input on (its README: 20 and more).
_SMALLEST = 20
#: A picture of this width is searched for faces from ``MIN_FACE`` pixels on, larger ones for
#: faces that are larger by as much, or the search of an 8K picture would take a second.
_USUAL_WIDTH = 1920
MIN_FACE = 40
#: Of those that are longer by more (screenshots, panoramas) the shorter side says what is large, as
#: long as the search takes no more than that of a square.
_USUAL_RATIO = 2.5
#: Unless asked for by ``min_face``, no picture is scaled down to less than this.
_USUAL_INPUT = 640
#: The network misses faces of more than some 600 pixels of its input: wider inputs are searched
#: once more, four times smaller.
_WIDEST = 1280
_COARSER = 4
_CHANNELS = 16  # of a head: cls, obj, box (4), landmarks (10)
#: What the threshold of ``find_near`` is lowered by: a face that was there a moment ago needs less
#: evidence.
_NEAR_BONUS = 0.15
#: A face that scores less is looked at turned, too: one that lies on its side or stands on its head
#: is found, but its landmarks are not; from the second on it does not lie.  Turned it must score so
#: much better.
_CLEAR, _CLEAR_OF_LYING = 0.92, 0.88
_BETTER_ROTATED = 0.03
_TURNED = (90, 270, 180)
#: Faces that stand on their head are rare, so what looks like one must look more like it: turned,
#: and in a second look at what scores so much unturned (those of clips do: 0.5 to 0.91).
_SURE_ON_HEAD = 0.84
_SURELY_TURNED = 0.88
_ON_HEAD = 0.5
#: A face that scores less than the first is looked at once more with its box scaled to the second,
#: and must then reach the third: doughnuts and clocks are faces at one scale only.
_SURE = 0.8
_AGAIN_FACE = 48
_AGAIN_SCORE = 0.35
_AGAIN_IOU = 0.3
#: A face that fills the picture is missed for want of anything around it.  Where nothing clear was
#: found, the whole picture is searched so small (its longer side), with such a border of black; a
#: face must then score ``_SURE`` and fill so much of the picture's width and height.
_CLOSE_SIDE, _CLOSE_BORDER = 96, 48
_CLOSE_FILLED = 0.5


class FaceFinder(Closing):
    """Finds faces in pictures.

    Args:
        model: ``yunet-s``, ``yunet-n`` (better at small and tilted faces, takes half as long
            again), path of a model file or a ``Model``.
        min_face: side in pixels of the smallest face that must be found; it picks the scale at
            which a picture is searched, and the time goes with its inverse square.  By default
            40, a 48th of the longer side (of one beyond 2.5 times the shorter, less) in pictures
            larger than 1920 pixels, and less than 40 in those smaller than 1280.
        threshold: least score of a face, 0 to 1.
        doubt: look twice at faces that do not score well, which tells most things that only
            look like faces, and faces that lie on their side; without it, the result is that of
            OpenCV's ``FaceDetectorYN``.
        threads: as for ``Session``.
        isa: as for ``Session``.

    A finder may be used from several threads, one at a time; it is pickled, copied and closed as a
    ``Session`` is.

    Raises:
        ModelError: the model is missing, damaged or no face finder.
        GraphError: the weights of a ``Model`` do not fit its graph.
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
        if min_face is not None and not (is_number(min_face) and 1 <= min_face <= 1 << 20):
            raise InputError(f"min_face must be 1 pixel or more, not {min_face!r}")
        if not is_number(threshold) or not 0 < threshold < 1:
            raise InputError(f"threshold must lie between 0 and 1, not {threshold!r}")
        self.session = Session(model, threads=threads, isa=isa)
        self.min_face = min_face
        self.threshold = threshold
        self.doubt = doubt
        _check_finder(self.session.model)
        self._canvases = Canvases()
        self._given: dict[str, Any] = {"threads": threads, "isa": isa}
        self._lock = Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(_made, type(self), self.session.model, self._settings()), ()

    def _settings(self) -> dict[str, Any]:
        """Attributes, those of a derived class, too, without what each finder has for itself."""
        return {k: v for k, v in vars(self).items() if k not in ("session", "_canvases", "_lock")}

    def close(self) -> None:
        """Give threads and memory back; nothing is found any more."""
        self.session.close()
        with self._lock:
            self._canvases.clear()

    def with_threads(self, threads: int) -> FaceFinder:
        """The same finder on another number of threads; they share weights and attributes."""
        given = {"threads": threads, "isa": self.session.isa}
        return _made(type(self), self.session.model, {**self._settings(), "_given": given})

    @with_usual_float_errors
    def find(self, picture: Pixels) -> tuple[FoundFace, ...]:
        """All faces in a picture, best score first.

        Where none is found, the picture is searched lying on either side and on its head, too, and
        faces found so say it in ``rotation``.

        Args:
            picture: (H, W, 3) uint8 RGB.

        Raises:
            InputError: the picture is something else, or too large for this machine.
            ModelError: nothing was found, as the network's results are no numbers.
        """
        _check_picture(picture)
        with self._lock:
            for rotation in (0, *_TURNED):
                faces = self._found(picture, rotation)
                if self.doubt and not any(face.score >= _CLEAR for face in faces):
                    faces = self._with_close_up(picture, rotation, faces)
                if faces:
                    return faces
        return ()

    def _with_close_up(
        self, picture: Pixels, rotation: int, faces: tuple[FoundFace, ...]
    ) -> tuple[FoundFace, ...]:
        """The face that fills a picture turned so in place of the worse ones within it."""
        close = self._close_up(picture, rotation)
        if close is None:
            return faces
        parts = [face for face in faces if is_part(face.box, close.box)]
        if any(face.score >= close.score for face in parts):
            return faces
        return (close, *(face for face in faces if face not in parts))

    def _found(self, picture: Pixels, rotation: int) -> tuple[FoundFace, ...]:
        """The faces of a picture turned so, best score first."""
        height, width = picture.shape[:2]
        whole = (0.0, 0.0, float(width), float(height))
        scale = self._scale(height, width)
        cells = self._cells(picture, whole, scale, rotation, self.threshold)
        if scale * max(height, width) > _WIDEST:
            coarse = scale / _COARSER
            more = self._cells(picture, whole, coarse, rotation, self.threshold)
            cells = np.concatenate([cells, more])
        looked = [self._looked_at_again(picture, face) for face in faces_of(cells, rotation)]
        return _of_one_rotation([face for face in looked if face is not None])

    def _close_up(self, picture: Pixels, rotation: int) -> FoundFace | None:
        """The face that fills a picture turned so, if there is one."""
        height, width = picture.shape[:2]
        whole = (0.0, 0.0, float(width), float(height))
        scale = min(1.0, _CLOSE_SIDE / max(height, width))
        cells = self._cells(picture, whole, scale, rotation, _SURE, border=_CLOSE_BORDER)
        for face in faces_of(cells, rotation):
            if face.box[2] >= _CLOSE_FILLED * width and face.box[3] >= _CLOSE_FILLED * height:
                return self._looked_at_again(picture, face)
        return None

    def _looked_at_again(self, picture: Pixels, face: FoundFace) -> FoundFace | None:
        """The face, the same one turned if that fits better, or ``None`` if it is none."""
        if face.score >= _CLEAR or not self.doubt:
            return face
        turned = self._turned(picture, face)
        if turned is not None:
            return turned
        sure = _SURE_ON_HEAD if face.rotation == 180 else _SURE
        if face.score >= sure:
            return face
        if face.rotation:  # once turned it should score like any other
            return None
        least = min(_AGAIN_SCORE, self.threshold)
        return face if self._best_there(picture, face, least, _AGAIN_FACE) else None

    def _turned(self, picture: Pixels, face: FoundFace) -> FoundFace | None:
        """The face turned otherwise, where that fits clearly better."""
        best: FoundFace | None = None
        for rotation in (0, *_TURNED):
            by = (rotation - face.rotation) % 360
            if by == 0 or (rotation == 180 and face.score < _ON_HEAD):
                continue
            if by != 180 and face.score >= _CLEAR_OF_LYING:
                continue
            least = _SURE_ON_HEAD if rotation == 180 else _SURE
            if by != 180:  # a tilted head may look as much like a lying one
                least = max(least, face.score + _BETTER_ROTATED)
            found = self._best_there(picture, replace(face, rotation=rotation), least, NEAR_FACE)
            if found is not None and (best is None or found.score > best.score):
                best = found
        if best is None:
            return None
        # Compared is what both score at this scale: at the first one a small face scores little.
        if self._best_there(picture, face, best.score - _BETTER_ROTATED, NEAR_FACE):
            return None
        # Where a face was looked for by a wrong box, up and down may be taken for each other.
        both = [replace(best, rotation=r) for r in (best.rotation, (best.rotation + 180) % 360)]
        looks = [self._best_there(picture, one, _SURE, NEAR_FACE) for one in both]
        return max((f for f in looks if f is not None), key=lambda f: f.score, default=best)

    def _best_there(
        self, picture: Pixels, face: FoundFace, threshold: float, wanted: int
    ) -> FoundFace | None:
        """The best face that a second look finds in the place of a face."""
        found = self._near(picture, face, 1.0, threshold, wanted)
        return next((f for f in found if iou(f.box, face.box) >= _AGAIN_IOU), None)

    def _scale(self, height: int, width: int) -> float:
        if self.min_face is not None:
            return filling(min(1.0, _SMALLEST / self.min_face), height, width)
        of_shorter = max(_USUAL_RATIO * min(height, width), math.sqrt(height * width))
        longer = min(max(height, width), of_shorter)
        least = MIN_FACE * max(1.0, longer / _USUAL_WIDTH)
        return filling(min(1.0, max(_SMALLEST / least, _USUAL_INPUT / longer)), height, width)

    def find_near(self, picture: Pixels, face: FoundFace, move: float = 1.0) -> FoundFace | None:
        """The face in a later frame that is nearest to where it was; ``None`` if there is none.

        Args:
            picture: (H, W, 3) uint8 RGB.
            face: from ``find`` or ``find_near`` on the frame before.
            move: how far the face may have moved, in sides of its box.

        Raises:
            InputError, ModelError: as from ``find``; or ``face`` or ``move`` makes no sense.
        """
        _check_picture(picture)
        check_face(face, move)
        with self._lock:
            threshold = max(self.threshold - _NEAR_BONUS, 0.05)
            found = self._near(picture, face, move, threshold, NEAR_FACE)
        if not found:
            return None
        here = center(face.box)
        return min(found, key=lambda f: distance(center(f.box), here) / math.sqrt(f.score))

    def steadied(self, picture: Pixels, face: FoundFace) -> FoundFace:
        """A face with the mean of its landmarks and those of a second look at another scale.

        What is cut by them then differs less from one view of a face to another; in a clip the many
        frames see to that.

        Args:
            picture: (H, W, 3) uint8 RGB.
            face: from ``find`` on this picture.

        Raises:
            InputError, ModelError: as from ``find``; or ``face`` makes no sense.
        """
        _check_picture(picture)
        check_face(face)
        with self._lock:
            other = self._best_there(picture, face, self.threshold, NEAR_FACE)
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
        x, y = center(face.box)
        side = max(face.box[2], face.box[3], 1.0)
        scale = min(1.0, wanted / side)
        reach = reach_of(side, move, scale)
        edges = max(x - reach, 0), max(y - reach, 0), min(x + reach, width), min(y + reach, height)
        if edges[2] - edges[0] < 1 or edges[3] - edges[1] < 1:
            return ()
        scale = min(scale, NEAR_WIDEST / (2 * reach))
        canvas = math.ceil(2 * reach * scale / CELL) * CELL
        return faces_of(
            self._cells(picture, edges, scale, face.rotation, threshold, canvas), face.rotation
        )

    def _cells(
        self,
        picture: Pixels,
        edges: tuple[float, float, float, float],
        scale: float,
        rotation: int,
        threshold: float,
        least: int = CELL,
        border: int = 0,
    ) -> Array:
        """Cells that reach a threshold in a part of a picture, scaled and then turned, with so many
        pixels of the input black around it.

        Returns:
            (N, 15): score, box as left, top, right, bottom, and 5 x (x, y), in the picture.
        """
        left, top, right, bottom = edges
        size = max(round((bottom - top) * scale), 1), max(round((right - left) * scale), 1)
        if scale == 1 and not rotation and not border and size == picture.shape[:2]:
            x: npt.NDArray[Any] = in_cells(picture)  # has the same bits, and a quarter of the bytes
            height = x.shape[1]
        else:
            room = least, border
            x = self._canvases.filled(picture, edges, size, rotation, room, self.session.isa)
            height = x.shape[2]
        heads = self.session.run(x, outputs=self.session.graph.outputs)
        cells = np.concatenate(
            [decode(head[0], height // head.shape[2], threshold) for head in heads.values()]
        )
        if not len(cells) and not all(np.isfinite(head).all() for head in heads.values()):
            raise ModelError(f"{self.session.model.name}: heads that are no numbers: they overflow")
        cells[:, 1:] -= border
        if rotation and len(cells):
            rotate_back(cells, size, rotation)
        cells[:, 1:] /= scale
        cells[:, 1::2] += left
        cells[:, 2::2] += top
        return cells


def _made(kind: type[_Own], model: Model, settings: dict[str, Any]) -> _Own:
    """A finder, whatever the constructor of its class asks for."""
    found = kind.__new__(kind)
    vars(found).update(settings)
    found.session = Session(model, **found._given)
    found._canvases, found._lock = Canvases(), Lock()
    return found


def _of_one_rotation(faces: Sequence[FoundFace]) -> tuple[FoundFace, ...]:
    """Faces without those that are turned otherwise than the best one, unless they are clear: a
    picture that stands on its head shows other false faces than an upright one."""
    best = max(faces, key=lambda face: face.score, default=None)
    if best is None:
        return ()
    kept = [f for f in faces if f.rotation == best.rotation or f.score >= _SURELY_TURNED]
    return tuple(sorted(kept, key=lambda face: -face.score))


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
