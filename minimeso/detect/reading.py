"""Reading a clip to its end: frames are read, cropped and judged in threads of their own."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from ..media.clip import Clip, Convert, parts_of
from ..media.prefetch import prefetch
from ..notes import Note
from .analyzer import Analyzer, CroppedFrame
from .verdict import OnFrame, SeenFrame, Verdict

#: Frames that wait before each thread: one, because a frame of 1920 x 1080 takes 6 MB.
_PREFETCHED_FRAMES = 1
#: Frames that are judged together hold no more, by much: thirty of 8K would be 3.6 GB.
_MOST_BYTES = 1 << 29


def judge_frames(
    analyzer: Analyzer,
    clip: Clip,
    on_frame: OnFrame | None,
    so_far: Callable[[], Verdict],
) -> tuple[Note, ...]:
    """Judge all frames of a clip.

    Args:
        analyzer: judges them.
        clip: gives them.
        on_frame: told of each frame, see ``OnFrame``.
        so_far: makes the verdict that it may ask for.

    Returns:
        What of the clip was not read.

    Raises:
        PictureError: there was no frame at all.
    """
    notes: tuple[Note, ...] = ()
    with (
        prefetch(clip.unconverted(), _PREFETCHED_FRAMES) as frames,
        prefetch(_cropped_frames(analyzer, frames, clip), _PREFETCHED_FRAMES) as cropped,
    ):
        for few in _in_batches(cropped, analyzer.at_once):
            seen = analyzer.judge(few)
            few.clear()  # it would be held until the next ones are there
            if _is_enough(seen, clip, on_frame, so_far):
                frames.stop()  # or a quiet pipe would be waited for
                notes = (Note("stopped"),)
                break
            del seen
    if clip.was_stopped and not notes:
        notes = (Note("stopped"),)
    analyzer.findings.doubt, analyzer.findings.frames_read = clip.doubt, clip.frames_read
    analyzer.finish()
    return (*notes, *clip.faults)


def _is_enough(
    frames: Sequence[SeenFrame],
    clip: Clip,
    on_frame: OnFrame | None,
    so_far: Callable[[], Verdict],
) -> bool:
    """Whether somebody who was told of these frames wants no more of them."""
    if on_frame is None:
        return False
    for frame in frames:
        share = min(frame.t / clip.duration, 1.0) if clip.duration else None
        answer = on_frame(frame._replace(so_far=so_far), share)
        if isinstance(answer, (bool, np.bool_)) and answer:
            return True
    return False


def _cropped_frames(
    analyzer: Analyzer, frames: Iterable[tuple[float, Convert]], clip: Clip
) -> Iterator[CroppedFrame]:
    for t, convert in frames:
        pixels = parts_of(convert)
        cropped = None if pixels is None else analyzer.cropped(t, pixels)
        if cropped is not None:
            yield cropped
    clip.require_frames()


def _in_batches(items: Iterable[CroppedFrame], size: int) -> Iterator[list[CroppedFrame]]:
    """So many frames together, or fewer that are large or have many faces."""
    batch: list[CroppedFrame] = []
    held = 0
    for item in items:
        batch.append(item)
        crops = (*item.crops, *item.wider)
        held += math.prod(item.pixels.shape) + sum(crop.nbytes for crop in crops)
        del item, crops  # else they would be there until the next one is
        if len(batch) >= size or held >= _MOST_BYTES:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch
