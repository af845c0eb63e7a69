"""Frames with faces in them, made up: what the tests of report and annotate feed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from minimeso.detect.finder import FoundFace
from minimeso.detect.verdict import (
    Moment,
    SeenFace,
    SeenFrame,
    Track,
    Verdict,
    doubts_of_face,
    judge,
)
from support.detectors import photo

THRESHOLDS = {"real": 0.4, "fake": 0.6}
#: What the network judged of every face.
CROP = np.ascontiguousarray(photo(256, 256).transpose(2, 0, 1), np.float32) / np.float32(255)


def face(
    track: int, p_fake: float | None, x: float = 20, y: float = 30, reason: Any = None
) -> SeenFace:
    """A face of 40 x 50 pixels; one that is judged has a crop of 256 x 256."""
    eyes = ((x + 12, y + 20), (x + 28, y + 20), (x + 20, y + 30))
    found = FoundFace((x, y, 40.0, 50.0), 0.9, (*eyes, (x + 14, y + 40), (x + 26, y + 40)))
    crop = None if p_fake is None else CROP
    return SeenFace(track, found, (x - 2, y + 3, 44.0, 44.0), reason, p_fake, crop)


def frame(
    t: float, faces: Sequence[SeenFace] = (), pixels: npt.NDArray[np.uint8] | None = None
) -> SeenFrame:
    """A frame of 160 x 120 unless told otherwise."""
    return SeenFrame(t, photo(120, 160) if pixels is None else pixels, tuple(faces))


def track_of(number: int, frames: Sequence[SeenFrame], width: float = 0.1) -> Track:
    """What the frames say of one person."""
    moments = tuple(
        Moment(seen.t, tuple(int(v) for v in found.face.box), found.p_fake)
        for seen in frames
        for found in seen.faces
        if found.track == number and found.p_fake is not None
    )
    p_fake = float(np.mean([moment.p_fake for moment in moments]))
    interval = max(p_fake - width, 0.0), min(p_fake + width, 1.0)
    word, doubts = judge(p_fake, THRESHOLDS), doubts_of_face(p_fake, THRESHOLDS)
    return Track(number, p_fake, interval, word, moments, doubts)


def verdict_of(
    path: str | None,
    frames: Sequence[SeenFrame],
    numbers: Sequence[int] = (1,),
    left_out: dict[str, int] | None = None,
    **changes: Any,
) -> Verdict:
    """The verdict on a clip of these frames."""
    tracks = tuple(sorted((track_of(n, frames) for n in numbers), key=lambda t: -t.p_fake))
    values: dict[str, Any] = {
        "path": path,
        "status": "ok",
        "verdict": tracks[0].verdict if tracks else None,
        "p_fake": tracks[0].p_fake if tracks else None,
        "faces": (),
        "model": "random",
        "notes": (),
        "tracks": tracks,
        "frames_read": len(frames),
        "frames_scored": len(frames),
        "left_out": left_out or {},
        "interval": tracks[0].interval if tracks else None,
    }
    return Verdict(**{**values, **changes})
