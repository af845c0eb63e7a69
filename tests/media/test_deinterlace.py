"""Interlaced clips come out as frames of one moment, and say so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.clips import Pixels, clip_file
from support.detectors import constant_detector, photo

from minimeso import Detector
from minimeso.media.video import open_clip
from minimeso.notes import Note

av = pytest.importorskip("av")
pytestmark = pytest.mark.skipif(
    "libx264" not in av.codecs_available, reason="this PyAV cannot write H.264"
)

STEP = 6  # pixels that all moves from field to field


def fields(count: int) -> list[Pixels]:
    """A picture that moves to the right, field after field."""
    return [np.roll(photo(96, 160), STEP * n, 1) for n in range(count)]


def woven(count: int) -> list[Pixels]:
    """Frames whose odd lines are of the later field."""
    moments = fields(2 * count)
    frames = []
    for number in range(count):
        frame = moments[2 * number].copy()
        frame[1::2] = moments[2 * number + 1][1::2]
        frames.append(frame)
    return frames


def clip(
    folder: Path, frames: list[Pixels], name: str = "a.mkv", flagged: bool = True, **more: Any
) -> Path:
    options = {"crf": "8", "preset": "veryfast"}
    if flagged:
        options["x264-params"] = "tff=1"
    return clip_file(
        folder, name, kind="matroska", codec="libx264", frames=frames, options=options, **more
    )


def combs(pixels: Pixels) -> float:
    """How much each line differs from those beside it, over those one further."""
    lines = pixels.mean(2)
    return float(np.abs(np.diff(lines, axis=0)).mean() / np.abs(lines[2:] - lines[:-2]).mean())


def test_frames_of_one_moment(tmp_path: Path) -> None:
    with open_clip(clip(tmp_path, woven(12)), every_frame=True) as found:
        frames = [frame.pixels for frame in found]
    assert found.remarks == (Note("deinterlaced"),) and not found.faults
    assert len(frames) == 12 == found.frames_read
    moments = fields(24)
    for number in range(2, 10):
        assert combs(frames[number]) < 0.2 * combs(woven(12)[number])
        one, other, before = (
            np.abs(frames[number] - moments[2 * number + step].astype(int)).mean()
            for step in (0, 1, -1)
        )
        assert min(one, other) < 0.4 * before  # of one of its two moments


def test_sampled_frames_have_their_times(tmp_path: Path) -> None:
    path = clip(tmp_path, woven(40))
    with open_clip(path, fps=5) as found:
        times = [frame.t for frame in found]
    assert times == pytest.approx(np.arange(len(times)) / 5, abs=0.05) and len(times) == 8


def test_a_verdict_says_it_and_is_whole(tmp_path: Path) -> None:
    verdict = Detector(constant_detector(0.0), crops=True).check(clip(tmp_path, woven(30)))
    assert verdict.status == "ok" and Note("deinterlaced") in verdict.notes
    assert "deinterlaced" in str(verdict.to_json()["note"])


def test_progressive_clips_stay_as_they_are(tmp_path: Path) -> None:
    path = clip_file(tmp_path, frames=fields(8), options={"qscale": "2"})
    with open_clip(path, every_frame=True) as found:
        assert len(list(found)) == 8 and not found.remarks


def test_a_clip_that_changes_its_size(tmp_path: Path) -> None:
    small = clip(tmp_path, woven(8), "small.mkv")
    large = clip(tmp_path, [np.kron(f, np.ones((2, 1, 1), np.uint8)) for f in woven(8)], "b.mkv")
    joined = tmp_path / "joined.h264"
    parts = []
    for path in (small, large):
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            keep = av.BitStreamFilterContext("h264_mp4toannexb", stream)
            parts += [bytes(p) for q in container.demux(stream) for p in keep.filter(q)]
    joined.write_bytes(b"".join(parts))
    with open_clip(joined, every_frame=True) as found:
        shapes = [frame.pixels.shape[0] for frame in found]
    assert shapes.count(96) == 8 == shapes.count(192)


# --- those that do not say so ------------------------------------------------------------


def large_fields(count: int) -> list[Pixels]:
    """As ``fields``, as large as interlaced pictures are."""
    return [np.roll(photo(288, 352), STEP * n, 1) for n in range(count)]


def large_woven(count: int) -> list[Pixels]:
    moments = large_fields(2 * count)
    for number in range(count):
        moments[2 * number][1::2] = moments[2 * number + 1][1::2]
    return moments[::2]


@pytest.mark.parametrize("codec", ["yuv420p", "yuv420p10le"])
def test_a_clip_that_does_not_say_so(tmp_path: Path, codec: str) -> None:
    path = clip(tmp_path, large_woven(12), flagged=False, pix_fmt=codec)
    with open_clip(path, every_frame=True) as found:
        frames = list(found)
    assert found.remarks == (Note("deinterlaced"),) and not found.faults
    assert [frame.t for frame in frames] == pytest.approx(np.arange(12) / 25, abs=0.002)
    assert found.frames_read == 12
    for number in range(12):
        assert combs(frames[number].pixels) < 0.35 * combs(large_woven(12)[number])


def test_sampled_frames_of_a_clip_that_does_not_say_so(tmp_path: Path) -> None:
    path = clip(tmp_path, large_woven(40), flagged=False)
    with open_clip(path, fps=5) as found:
        times = [frame.t for frame in found]
    assert times == pytest.approx(np.arange(8) / 5, abs=0.05) and not found.faults
    assert found.remarks == (Note("deinterlaced"),)


def test_combs_that_begin_later(tmp_path: Path) -> None:
    path = clip(tmp_path, [*large_fields(40), *large_woven(40)], flagged=False)
    with open_clip(path, fps=5) as found:
        frames = list(found)
    assert found.remarks == (Note("deinterlaced"),) and len(frames) == 16
    assert max(combs(frame.pixels) for frame in frames) < 0.4 * combs(large_woven(1)[0])


def test_stripes_that_stand_still_in_a_corner_are_no_combs(tmp_path: Path) -> None:
    frames = large_fields(8)
    for frame in frames:
        frame[32:64:2, 32:64] = 255
    with open_clip(clip(tmp_path, frames, flagged=False), every_frame=True) as found:
        assert len(list(found)) == 8 and not found.remarks


def test_a_filter_that_fails_loses_one_frame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from minimeso.media import deinterlace

    def refuse(*arguments: Any) -> None:
        raise av.error.UnknownError(1, "no such luck")

    path = clip(tmp_path, large_woven(4), flagged=False)
    monkeypatch.setattr(deinterlace, "chain", refuse)
    with open_clip(path, every_frame=True) as found, pytest.raises(Exception, match="not one fr"):
        list(found)
    assert found.faults
