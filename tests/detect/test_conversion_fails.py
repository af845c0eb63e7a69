"""Frames that decode and cannot be converted: the answer is the same whichever thread is faster."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from support.clips import clip_file
from support.detectors import constant_detector

from minimeso import Detector, PictureError
from minimeso.media import video
from minimeso.media.to_rgb import Converter
from minimeso.media.video import open_clip
from minimeso.notes import Note

av = pytest.importorskip("av")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return clip_file(tmp_path, size=(96, 80))


def failing(
    monkeypatch: pytest.MonkeyPatch,
    seconds: float,
    spared: int = 0,
    error: type[Exception] = ValueError,
) -> None:
    """Every conversion takes so long; all but the first ``spared`` fail."""
    rgb, calls = Converter.rgb, iter(range(10**6))

    def fails(self: Converter, frame: Any) -> Any:
        time.sleep(seconds)
        if next(calls) >= spared:
            raise error("no such pixel format")
        return rgb(self, frame)

    monkeypatch.setattr(Converter, "rgb", fails)


@pytest.mark.parametrize("decoding", [0.0, 0.05])
@pytest.mark.parametrize("converting", [0.0, 0.05])
def test_a_clip_none_of_whose_frames_converts_is_unreadable(
    path: Path, monkeypatch: pytest.MonkeyPatch, decoding: float, converting: float
) -> None:
    failing(monkeypatch, converting)
    decode = video._File._decode

    def slowly(self: Any) -> bool:
        time.sleep(decoding)
        return decode(self)

    monkeypatch.setattr(video._File, "_decode", slowly)
    verdict = Detector(constant_detector(3.0), crops=True).check(path, every_frame=True)
    assert verdict.status == "unreadable"
    (note,) = verdict.notes
    assert note.code == "unreadable" and "10 frames left out" in str(note)


def test_one_frame_that_converts_is_judged(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, 0.01, spared=1)
    verdict = Detector(constant_detector(3.0), crops=True).check(path, every_frame=True)
    assert (verdict.status, verdict.frames_scored) == ("partial", 1)
    assert verdict.notes[0].code == "damaged_frames" and verdict.notes[0].values == {"frames": 9}


def test_want_of_memory_is_no_damage(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody need copy or download a clip again whose frames only found no room."""
    detector = Detector(constant_detector(3.0), crops=True)
    with monkeypatch.context() as patch:
        failing(patch, 0.0, spared=1, error=MemoryError)
        verdict = detector.check(path, every_frame=True)
    assert verdict.status == "partial"
    assert verdict.notes[0] == Note("frames_without_memory", {"frames": 9})

    for error in (
        av.error.MemoryError(12, "Cannot allocate memory"),
        av.error.BlockingIOError(11, "Resource temporarily unavailable"),  # no threads
    ):

        def full(self: Any, frames: Any, error: Exception = error) -> Any:
            raise error

        monkeypatch.setattr(video._File, "_deinterlaced", full)  # what the decoder gives
        verdict = detector.check(path, every_frame=True)
        assert verdict.status == "unreadable" and verdict.note is not None
        assert "too little memory: 1" in verdict.note
        assert verdict.note.endswith(": free memory, or allow more")


def test_frames_that_are_converted_after_the_end(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, 0.0, spared=4)
    with open_clip(path, every_frame=True) as clip:
        conversions = [convert for _, convert in clip.unconverted()]
        assert clip.faults == ()
        assert sum(convert() is not None for convert in conversions) == 4
        assert clip.fault == "damaged: 6 frames left out"
        clip.require_frames()


def test_iterated_in_one_thread(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, 0.0)
    with open_clip(path, every_frame=True) as clip, pytest.raises(PictureError, match="10 frames"):
        list(clip)
