"""The detector: a picture in, a verdict out."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING

import numpy.typing as npt

from ..engine import Model, Session
from ..errors import ModelError, PictureError
from .framing import Square, cut, whole
from .pictures import Picture, read_picture
from .pixels import Pixels
from .verdict import Face, Verdict, judge

if TYPE_CHECKING:
    from PIL import Image

#: Said in every verdict as long as nobody looks for faces.
WHOLE_PICTURE = "the whole picture judged as one face"


class Detector:
    """Judges pictures: was the face in it swapped?

    Until faces are searched for, the whole picture counts as one face (and the verdict's ``note``
    says so): give it pictures that a face fills.

    Args:
        model: name of a bundled model, path of a model file, or a ``Model``.
        threads: how many threads work on a picture; by default one per available core.
        isa: instruction set, as for ``Session``.

    A detector may be used from several threads, one at a time runs the network.

    Raises:
        ModelError: the model is missing, damaged or no detector.
        EngineError: the instruction set is not available.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | Model = "default",
        *,
        threads: int | None = None,
        isa: str | None = None,
    ) -> None:
        self.session = Session(model, threads=threads, isa=isa)
        self.model: Model = self.session.model
        self._size = _input_size(self.model)

    def check(self, source: str | os.PathLike[str] | Image.Image | npt.ArrayLike) -> Verdict:
        """Judge one picture.

        Args:
            source: path of a picture file, a Pillow image, or an array: uint8 or float in [0, 1],
                of shape (H, W, 3) RGB, (H, W, 4) with alpha, or (H, W).

        Returns:
            A verdict.  A file that cannot be read is no exception but has the status
            ``unreadable`` and the reason in ``note``.

        Raises:
            PictureError: a Pillow image cannot be decoded.
            InputError: ``source`` is none of the above, or an array of another kind.
            ModelError: the network's result is not a number, because its weights overflow; the
                picture is not to blame, so it gets no verdict.
        """
        path = os.fsdecode(source) if isinstance(source, (str, os.PathLike)) else None
        try:
            picture = read_picture(source)
        except PictureError as error:
            if path is None:
                raise
            reason = str(error).removeprefix(f"{path}: ")
            return Verdict(path, "unreadable", None, None, (), self.model.name, reason)
        return self._judge(picture, path)

    def _judge(self, picture: Picture, path: str | None) -> Verdict:
        boxes = [whole(picture.pixels)]
        faces = tuple(
            Face((0, 0, round(box[2]), round(box[3])), self._p_fake(picture.pixels, box))
            for box in boxes
        )
        p_fake = max(face.p_fake for face in faces)
        return Verdict(
            path,
            "ok" if picture.complete else "partial",
            judge(p_fake, self.model.thresholds or {}),
            p_fake,
            faces,
            self.model.name,
            "; ".join((WHOLE_PICTURE, *picture.notes)),
        )

    def _p_fake(self, pixels: Pixels, box: Square) -> float:
        framing = self.model.framing or {}
        crop = cut(pixels, box, self._size, framing["resample"], self.session.isa)
        p_fake = float(self.session.run(crop)[0])
        if not math.isfinite(p_fake):
            raise ModelError(f"{self.model.name}: p_fake is {p_fake}: its weights overflow")
        return p_fake


def _input_size(model: Model) -> tuple[int, int]:
    """Height and width of what a detector looks at; ``ModelError`` if it is no detector."""
    if not model.is_detector:
        raise ModelError(
            f"{model.name}: has no thresholds, so it is no detector: use it with minimeso.Session"
        )
    graph, shapes = model.graph, model.graph.shapes()
    inputs = list(graph.inputs.values())
    channels, height, width = inputs[0] if len(inputs[0]) == 3 else (None, None, None)
    outputs = [shapes[name] for name in graph.outputs]
    if len(inputs) != 1 or channels != 3 or None in (height, width) or outputs != [(1,)]:
        raise ModelError(
            f"{model.name}: no detector: it turns {inputs} into {outputs}, "
            "not one (3, H, W) picture into one p_fake"
        )
    assert height is not None and width is not None
    return height, width
