"""An annotated clip has every frame of its source at its time, and its sound."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.clips import clip_file
from support.detectors import photo
from support.seen import THRESHOLDS, face, frame

from minimeso.report.annotate import Annotation
from minimeso.report.sound import Sound
from minimeso.report.whole_clip import WholeClip

av: Any = pytest.importorskip("av", reason="PyAV (extra video) is not installed")


def annotated(source: Path, path: Path, times: list[float], stopped: bool = False) -> Sound:
    sound = Sound(source)
    annotation = Annotation(path, clip=True, rate=25, thresholds=THRESHOLDS, sound=sound)
    with WholeClip(annotation, source, lambda: stopped) as whole:
        for number, t in enumerate(times):
            whole.add(frame(t, [face(1, 0.9, 20 + 60 * number, 30)]))
    return sound


def decoded(path: Path) -> tuple[list[float], list[Any]]:
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    return [f.time for f in frames], [f.to_ndarray(format="rgb24") for f in frames]


def sound_of(path: Path) -> tuple[str, float, float]:
    """Codec, start and end in seconds."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        frames = list(container.decode(stream))
        name = stream.codec_context.name
    last = frames[-1]
    return name, frames[0].time, last.time + last.samples / last.sample_rate


@pytest.mark.parametrize(
    ("ending", "codec"),
    [("mp4", "aac"), ("mkv", "aac"), ("mov", "aac"), ("webm", "opus"), ("avi", "aac")],
)
def test_every_frame_and_the_sound(tmp_path: Path, ending: str, codec: str) -> None:
    source = clip_file(tmp_path, "a.mp4", frames=[photo(120, 160)] * 25, sound=True)
    path = tmp_path / f"b.{ending}"
    sound = annotated(source, path, [0.0, 0.48])
    times, frames = decoded(path)
    assert times == pytest.approx(np.arange(25) / 25, abs=0.002) and sound.fault is None
    name, start, end = sound_of(path)
    assert name == codec and start == pytest.approx(0, abs=0.06)
    assert end == pytest.approx(1, abs=0.1)
    plain = photo(120, 160).astype(int)
    first = [np.abs(found - plain)[25:85, 15:75].mean() for found in frames]
    assert min(first[:12]) > max(first[12:]) + 3  # the box moves with the look, at its time


def test_times_of_a_variable_rate(tmp_path: Path) -> None:
    stamps = [0, 1, 2, 10, 11, 30]
    source = clip_file(tmp_path, "a.mkv", kind="matroska", frames=6, stamps=stamps)
    annotated(source, tmp_path / "b.mkv", [0.0])
    assert decoded(tmp_path / "b.mkv")[0] == pytest.approx(np.array(stamps) / 25, abs=0.002)


def test_a_clip_that_was_stopped_ends_at_its_last_look(tmp_path: Path) -> None:
    source = clip_file(tmp_path, "a.mp4", frames=25, sound=True)
    annotated(source, tmp_path / "b.mp4", [0.0, 0.2], stopped=True)
    assert len(decoded(tmp_path / "b.mp4")[0]) == 6
    assert sound_of(tmp_path / "b.mp4")[2] < 0.4


def test_without_a_look_there_is_no_file(tmp_path: Path) -> None:
    source = clip_file(tmp_path, "a.mp4", frames=3)
    annotated(source, tmp_path / "b.mp4", [])
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]
