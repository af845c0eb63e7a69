"""Partial frames: pixels become RGB where somebody looks at them, and nowhere else.

Of a frame in which faces are only followed a tenth is looked at, and all of it takes longer to
convert than a face to find.  What is converted has the bits that it has where the whole frame is:
the rectangles lie on a grid, as FFmpeg's dithering depends on the place.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Union

import numpy as np
import numpy.typing as npt

from .pixels import Pixels

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

    from .to_rgb import Converter

#: Height and width of a cell of the grid: 32 lines are whole periods of every dither, 64 pixels the
#: block of FFmpeg's new scaler.
_CELL = 32, 64
#: Smaller frames are converted as a whole.
LEAST_PIXELS = 1 << 18
#: Where more of a frame is wanted, the whole is converted.
_MOST = 0.6


class ConversionError(Exception):
    """A frame that cannot be converted, as its own thread finds out."""


class PartialFrame:
    """A frame of which parts are converted when they are asked for; for one thread at a time.

    Args:
        frame: one for which ``Converter.has_parts``.
        converter: of its clip.
        failed: called once if it cannot be converted.

    Attributes:
        shape: height, width and 3, as of an array of its pixels.
    """

    def __init__(self, frame: VideoFrame, converter: Converter, failed: Callable[[], None]) -> None:
        self.shape = (frame.height, frame.width, 3)
        self._frame, self._converter, self._failed = frame, converter, failed
        self._whole: Pixels | None = None
        self._canvas: Pixels | None = None
        self._luma: npt.NDArray[np.uint8] | None = None
        cells = (-(-n // cell) for n, cell in zip(self.shape[:2], _CELL, strict=True))
        self._there = np.zeros(tuple(cells), bool)

    @property
    def luma(self) -> npt.NDArray[np.uint8]:
        """(H, W) as the file has it, nothing is converted."""
        if self._luma is None:
            self._luma = self._converter.plane(self._frame, 0)
        return self._luma

    def whole(self) -> Pixels:
        """(H, W, 3) uint8 RGB.

        Raises:
            ConversionError: it cannot be converted.
        """
        if self._whole is None:
            try:
                self._whole = self._converter.rgb(self._frame)
            except Exception as error:
                self._failed()
                raise ConversionError(str(error)) from None
            self._canvas = None
        return self._whole

    def around(self, box: tuple[float, float, float, float]) -> Pixels:
        """The same, of which at least the pixels in ``box`` (x, y, width, height) are there; what
        the others are nobody knows."""
        if self._whole is not None:
            return self._whole
        rows = _cells(box[1], box[1] + box[3], _CELL[0], self._there.shape[0])
        columns = _cells(box[0], box[0] + box[2], _CELL[1], self._there.shape[1])
        there = self._there[rows, columns]
        if there.size > _MOST * self._there.size:
            return self.whole()
        if self._canvas is None:
            self._canvas = np.empty(self.shape, np.uint8)
        if not there.all():
            height, width, _ = self.shape
            lines = slice(rows.start * _CELL[0], min(rows.stop * _CELL[0], height))
            pixels = slice(columns.start * _CELL[1], min(columns.stop * _CELL[1], width))
            try:
                part = self._converter.part(self._frame, lines, pixels)
            except Exception:  # the whole knows what to do, or cannot be converted, either
                return self.whole()
            self._canvas[lines, pixels] = part
            self._there[rows, columns] = True
        return self._canvas


class Conversion:
    """What makes the pixels of a frame: all when it is called, or some by ``parts``.

    Args:
        whole: makes all of them, None if that fails.
        frame, converter, failed: of ``PartialFrame``.
    """

    def __init__(
        self,
        whole: Callable[[], Pixels | None],
        frame: VideoFrame,
        converter: Converter,
        failed: Callable[[], None],
    ) -> None:
        self._whole, self._frame = whole, frame
        self._converter, self._failed = converter, failed

    def __call__(self) -> Pixels | None:
        return self._whole()

    def parts(self) -> PartialFrame | None:
        """None where the whole is as good: a small frame, or an unusual one."""
        frame = self._frame
        if frame.width * frame.height < LEAST_PIXELS or not self._converter.has_parts(frame):
            return None
        return PartialFrame(frame, self._converter, self._failed)


#: Pixels of a picture, or a frame that is converted where it is looked at.
AnyPixels = Union[Pixels, PartialFrame]  # noqa: UP007 (evaluated when this is imported)


def _cells(start: float, stop: float, cell: int, count: int) -> slice:
    """The cells of a row or column that a range of pixels meets, one at least."""
    first = min(max(math.floor(start / cell), 0), count - 1)
    return slice(first, min(max(math.ceil(stop / cell), first + 1), count))


def whole_of(pixels: AnyPixels) -> Pixels:
    """All pixels, (H, W, 3) uint8 RGB."""
    return pixels.whole() if isinstance(pixels, PartialFrame) else pixels


def around(pixels: AnyPixels, box: tuple[float, float, float, float]) -> Pixels:
    """Pixels of which at least those in a box are there, see ``PartialFrame.around``."""
    return pixels.around(box) if isinstance(pixels, PartialFrame) else pixels
