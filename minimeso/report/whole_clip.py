"""A clip once more, every frame of it and its sound, boxes held from one look to the next.

Faces are looked at a few times a second, and who has been seen is known only when the look is over;
so the looks are kept (without what was seen) and the source is read a second time, as a stream.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from types import TracebackType

import numpy as np

from ..detect.verdict import SeenFrame
from ..media.video import open_clip
from .annotate import Annotation

_NOTHING = np.zeros((0, 0, 3), np.uint8)


class WholeClip:
    """Takes looks as ``Annotation`` takes frames, and writes all frames when it is closed.

    Args:
        annotation: what writes, whose sound is that of the source.
        source: the clip.
        is_stopped: asked for whether only what was looked at is wanted.
        on_frame: called with the time of each frame that was written.
        on_end: called when all is written.
    """

    def __init__(
        self,
        annotation: Annotation,
        source: str | os.PathLike[str],
        is_stopped: Callable[[], bool] = lambda: False,
        on_frame: Callable[[float], None] = lambda t: None,
        on_end: Callable[[], None] = lambda: None,
    ) -> None:
        self._annotation, self._source = annotation, source
        self._is_stopped, self._on_frame, self._on_end = is_stopped, on_frame, on_end
        self._looks: list[SeenFrame] = []

    def add(self, look: SeenFrame) -> None:
        """Keep a look, without pixels and crops: of the latter 3 MB a second would stay."""
        faces = tuple(seen._replace(cut=None) for seen in look.faces)
        self._looks.append(SeenFrame(look.t, _NOTHING, faces))

    def __enter__(self) -> WholeClip:
        self._annotation.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            self._annotation.discard()
            return
        with self._annotation:
            self._write()
        self._on_end()

    def _write(self) -> None:
        if not self._looks:
            return
        place, last = 0, self._looks[-1].t
        with open_clip(self._source, every_frame=True) as clip:
            for t, pixels in clip:
                if self._is_stopped() and t > last:  # what was not looked at is not shown
                    break
                while place + 1 < len(self._looks) and self._looks[place + 1].t <= t + 1e-6:
                    place += 1
                self._annotation.add(SeenFrame(t, pixels, self._looks[place].faces))
                self._on_frame(t)
