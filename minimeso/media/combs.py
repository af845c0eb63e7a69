"""Combs: whether the lines of a frame are of two moments though its file does not say so.

Many a file that was made of an interlaced recording (a tape, a broadcast) says that it is
progressive.  FFmpeg's ``idet`` compares frames that follow each other, but of those between two
looks many are never decoded; so this looks at one frame: where something moves sideways, a line is
unlike the one below and like the one after it.  In blocks of pixels that is rare in pictures (fine
stripes, which mostly stand still) and common in combed frames.  What was measured is in NOTES.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from .planes import lines_of

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

#: Height and width of a block, in pixels.
_HEIGHT, _WIDTH = 18, 16
#: In each group of three lines the first is compared with the other two: whole lines in place, as a
#: sample of columns would have to be gathered first; and in turns even and odd ones.
_LINES = 3
#: Of a combed block: levels (of 256) by which a line differs from the next one, on average, and how
#: many times as much as from the one after it.
_LEVELS, _RATIO = 6.0, 1.6
#: Blocks of a combed frame that have changed since the last look: so many, and so large a share of
#: all; at the first look, where nobody knows what moves, so many times as many.
_BLOCKS, _SHARE, _AT_FIRST = 4, 0.002, 4
#: Levels by which a block that moved has changed.
_CHANGED = 3.0
_PIXELS = _HEIGHT // _LINES * _WIDTH
#: Looks at a clip before they become rare, and seconds between them from then on: where every frame
#: is taken, four frames of 25 a second may stay combed where combs begin in the middle.
_LOOKS, _SECONDS = 8, 0.19
#: Interlaced pictures are not higher, and a frame of fewer lines has been scaled.
_HEIGHTS = 160, 1152

Luma = npt.NDArray[np.uint8]


class CombWatch:
    """Looks at frames of a clip, one after the other; keeps the last one."""

    def __init__(self) -> None:
        self._last: Luma | None = None
        self._looks, self._t = 0, 0.0

    def is_combed(self, frame: VideoFrame, t: float) -> bool:
        """Whether a frame at ``t`` seconds that does not call itself interlaced looks so; false
        where nobody can tell, or looks."""
        if self._looks >= _LOOKS and t < self._t + _SECONDS:
            return False
        self._looks, self._t = self._looks + 1, t
        luma = _luma(frame)
        if luma is None:
            return False
        last, self._last = self._last, luma
        combed = combed_blocks(luma)
        least = max(_BLOCKS, _SHARE * combed.size)
        if last is None or last.shape != luma.shape:
            return bool(combed.sum() >= _AT_FIRST * least)
        if combed.sum() < least:
            return False
        changes = _block_sums(_differences(_lines(luma, 0), _lines(last, 0)))
        return bool((combed & (changes > _CHANGED * _PIXELS)).sum() >= least)


def combed_blocks(luma: Luma) -> npt.NDArray[np.bool_]:
    """Which blocks are combed.

    Args:
        luma: (H, W) uint8, H at least 18 and W at least 16.

    Returns:
        (H // 18, W // 16) bool.
    """
    line = _lines(luma, 0)
    near = _block_sums(_differences(line, _lines(luma, 1)))
    far = _block_sums(_differences(line, _lines(luma, 2)))
    return np.asarray((near > _LEVELS * _PIXELS) & (near > _RATIO * far))


def _lines(luma: Luma, number: int) -> Luma:
    """So many lines further in each group, of whole blocks."""
    height, width = luma.shape[0] // _HEIGHT * _HEIGHT, luma.shape[1] // _WIDTH * _WIDTH
    return luma[number:height:_LINES, :width]


def _differences(one: Luma, other: Luma) -> Luma:
    """Absolute ones, without leaving bytes."""
    return np.maximum(one, other) - np.minimum(one, other)


def _block_sums(differences: Luma) -> npt.NDArray[np.uint16]:
    """Of lines in groups; two bytes are added at once, which a sum over bytes would not be."""
    rows = differences.reshape(-1, _HEIGHT // _LINES, differences.shape[1]).view(np.uint16)
    sums = ((rows & 255) + (rows >> 8)).sum(1, np.uint16)
    step = _WIDTH // 2
    return np.asarray(sum(sums[:, n::step] for n in range(step)), np.uint16)


def _luma(frame: VideoFrame) -> Luma | None:
    """(H, W) uint8; ``None`` of a frame that has no plane of it, or that cannot be interlaced."""
    components = frame.format.components
    low, high = _HEIGHTS
    if not low <= frame.height <= high or frame.height % 2 or frame.width < _WIDTH:
        return None
    if frame.format.is_rgb or not frame.format.is_planar or components[0].bits not in (8, 10, 12):
        return None
    lines = lines_of(frame.planes[0])[: frame.height]
    bits = int(components[0].bits)
    if bits == 8:
        return lines[:, : frame.width]
    deep = lines.view(np.uint16)[:, : frame.width]
    return (deep >> (bits - 8)).astype(np.uint8)
