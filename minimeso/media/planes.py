"""Planes: the bytes of a decoded frame as arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .pixels import Pixels

if TYPE_CHECKING:
    from av.video.plane import VideoPlane


def lines_of(plane: VideoPlane) -> Pixels:
    """(H, bytes of a line) of a plane, the gaps at the end of each line included, without a copy.

    Raw frames may lie in memory from the bottom up: then FFmpeg counts the bytes of a line
    negative, and the lowest line is the first one in the buffer.
    """
    lines = np.frombuffer(plane, np.uint8).reshape(-1, abs(plane.line_size))
    return lines[::-1] if plane.line_size < 0 else lines
