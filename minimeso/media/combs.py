"""Combs: whether the lines of a frame are of two moments though its file does not say so.

Many a file that was made of an interlaced recording (a tape, a broadcast) says that it is
progressive.  FFmpeg's ``idet`` compares frames that follow each other, but of those between two
looks many are never decoded; so this looks at one frame: where something moves sideways, a line is
unlike the one below and like the one after it.  In blocks of pixels that is rare in pictures (fine
stripes, which mostly stand still) and common in combed frames.  What was measured is in NOTES.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

#: Height and width of a block, in pixels.
_BLOCK = 16
#: Of each line every fourth pixel is looked at; all of them take four times as long.
_COLUMNS = 4
#: Of a combed block: levels (of 256) by which a line differs from the next one, on average, and how
#: many times as much as from the one after it.
_LEVELS, _RATIO = 6.0, 1.6
#: Blocks of a combed frame that have changed since the last look: so many, and so large a share of
#: all; at the first look, where nobody knows what moves, so many times as many.
_BLOCKS, _SHARE, _AT_FIRST = 4, 0.002, 4
#: Levels by which a block that moved has changed.
_CHANGED = 3.0
_PIXELS = _BLOCK * _BLOCK // _COLUMNS
#: Interlaced pictures are not higher, and a frame of fewer lines has been scaled.
_HEIGHTS = 160, 1152


class CombWatch:
    """Looks at frames of a clip, one after the other; keeps the last one's luma."""

    def __init__(self) -> None:
        self._last: npt.NDArray[Any] | None = None

    def is_combed(self, frame: VideoFrame) -> bool:
        """Whether a frame that does not call itself interlaced looks so; false where nobody can
        tell."""
        luma = _luma(frame)
        if luma is None:
            return False
        last, self._last = self._last, luma.copy()  # the frame is the decoder's
        combed = combed_blocks(luma)
        least = max(_BLOCKS, _SHARE * combed.size)
        if last is None or last.shape != luma.shape:
            return bool(combed.sum() >= _AT_FIRST * least)
        if combed.sum() < least:
            return False
        height, width = (n * _BLOCK for n in combed.shape)
        change = np.abs(
            luma[:height, :width:_COLUMNS].astype(np.int16) - last[:height, :width:_COLUMNS]
        )
        moved = _block_sums(change) > _CHANGED * _PIXELS
        return bool((combed & moved).sum() >= least)


def combed_blocks(luma: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Which blocks are combed.

    Args:
        luma: (H, W) uint8, H and W at least 16.

    Returns:
        (H // 16, W // 16) bool.
    """
    height, width = (n // _BLOCK * _BLOCK for n in luma.shape)
    lines = luma[:height, :width:_COLUMNS].astype(np.int16)
    near = np.abs(lines[1:] - lines[:-1])
    far = np.abs(lines[2:] - lines[:-2])
    near_sums, far_sums = _block_sums(near[:-1]), _block_sums(far)
    return np.asarray((near_sums > _LEVELS * _PIXELS) & (near_sums > _RATIO * far_sums))


def _block_sums(differences: npt.NDArray[np.int16]) -> npt.NDArray[Any]:
    """Sums of blocks; of the last one, where lines are differences, two lines less."""
    rows = np.add.reduceat(differences, range(0, len(differences), _BLOCK), axis=0)
    return np.add.reduceat(
        rows, range(0, rows.shape[1], _BLOCK // _COLUMNS), axis=1, dtype=np.int32
    )


def _luma(frame: VideoFrame) -> npt.NDArray[Any] | None:
    """(H, W) uint8; ``None`` of a frame that has no plane of it, or that cannot be interlaced."""
    components = frame.format.components
    low, high = _HEIGHTS
    if not low <= frame.height <= high or frame.height % 2 or frame.width < _BLOCK:
        return None
    if frame.format.is_rgb or not frame.format.is_planar or components[0].bits not in (8, 10, 12):
        return None
    plane = frame.planes[0]
    deep = components[0].bits > 8
    rows = np.frombuffer(plane, np.uint16 if deep else np.uint8).reshape(frame.height, -1)
    rows = rows[:, : frame.width]
    return (rows >> (components[0].bits - 8)).astype(np.uint8) if deep else rows
