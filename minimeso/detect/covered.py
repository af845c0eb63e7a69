"""Covered faces: whether a face's eyes or mouth are hidden (glasses, mask, hand, bar, microphone).

Behind a cover nothing of a swap is seen, and the cover itself is unlike all that the networks
learned, so their word on such a face is worth nothing.  A very small network of its own looks at
the square of each face before it is judged; what it was trained on and what it reaches stand in its
card, ``models/covers.md``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..engine import Session
from ..media.partial import AnyPixels, around
from .decode import FoundFace
from .framing import cut, square
from .late_session import LateSession

MODEL = "covers"
_PARTS = ("eyes", "mouth")


class Covers(LateSession):
    """Sees covers; one per detector.

    Args:
        beside: a session that never runs at the same time: both take turns in its memory.
    """

    def __init__(self, beside: Session) -> None:
        super().__init__(MODEL, beside)

    def see(self, pixels: AnyPixels, faces: Sequence[FoundFace]) -> list[bool]:
        """Of each face whether eyes or mouth are hidden.

        Args:
            pixels: (H, W, 3) uint8 RGB, the picture.
            faces: of it.

        Raises:
            InputError: the detector is closed.
        """
        if not faces:
            return []
        session = self._opened()
        framing, calibration = session.model.framing or {}, session.model.calibration or {}
        _, height, width = session.graph.inputs["image"]
        assert height is not None and width is not None
        crops = np.empty((len(faces), 3, height, width), np.float32)
        for crop, face in zip(crops, faces, strict=True):
            box = square(face, framing)
            near = around(pixels, box)
            cut(near, box, (height, width), framing, session.isa, crop, face.rotation)
        limits = [calibration["limits"][part] for part in _PARTS]
        return [bool((p > limits).any()) for p in session.run(crops)]
