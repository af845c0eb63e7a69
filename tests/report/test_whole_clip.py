"""An annotated clip has every frame of its source at its time, and its sound."""

from __future__ import annotations

import weakref
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.clips import clip_bytes, clip_file
from support.detectors import photo
from support.seen import THRESHOLDS, face, frame

from minimeso.media.video import open_clip
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


@pytest.mark.parametrize("ending", ["mp4", "avi"])
def test_sound_whose_clock_is_set_anew_ends_there(tmp_path: Path, ending: str) -> None:
    """As where recordings were joined; the frames go on."""
    part = clip_bytes("mpegts", "mpeg2video", frames=[photo(120, 160)] * 50, sound=True)
    (tmp_path / "a.ts").write_bytes(part * 2)
    sound = annotated(tmp_path / "a.ts", tmp_path / f"b.{ending}", [0.0, 0.5])
    assert sound.fault is not None and "set anew" in sound.fault
    assert len(decoded(tmp_path / f"b.{ending}")[0]) == 100
    assert sound_of(tmp_path / f"b.{ending}")[2] == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("ending", ["mkv", "mov"])
def test_sound_in_packets_of_less_than_a_millisecond(tmp_path: Path, ending: str) -> None:
    """In Matroska some have the same time, which others do not take."""
    source, path = tmp_path / "a.mkv", tmp_path / f"b.{ending}"
    with av.open(str(source), "w") as container:
        pictures = container.add_stream("mpeg4", rate=25)
        pictures.width, pictures.height, pictures.pix_fmt = 160, 120, "yuv420p"
        track = container.add_stream("pcm_s16le", rate=48000, layout="mono")
        for _ in range(5):
            picture = av.VideoFrame.from_ndarray(photo(120, 160), "rgb24")
            container.mux(pictures.encode(picture))
        container.mux(pictures.encode(None))
        for number in range(250):
            samples = av.AudioFrame.from_ndarray(np.zeros((1, 32), np.int16), "s16", "mono")
            samples.sample_rate, samples.pts = 48000, 32 * number
            container.mux(track.encode(samples))
    sound = annotated(source, path, [0.0, 0.16])
    if ending == "mkv":
        assert sound.fault is None and sound_of(path)[2] == pytest.approx(0.16, abs=0.01)
    else:
        assert sound.fault is not None and "closer" in sound.fault


def test_sound_of_a_damaged_file_ends_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = clip_file(tmp_path, "a.mp4", frames=[photo(120, 160)] * 25, sound=True)
    real_next = Sound._next

    def damaged(self: Sound) -> Any:
        if self._last > 0.5:
            self._packets = (1 / 0 for _ in "x")  # type: ignore[assignment]  # whatever PyAV raises
        return real_next(self)

    monkeypatch.setattr(Sound, "_next", damaged)
    sound = annotated(source, tmp_path / "b.mp4", [0.0])
    assert sound.fault == "its sound cannot be read to its end (division by zero)"
    assert len(decoded(tmp_path / "b.mp4")[0]) == 25
    assert sound_of(tmp_path / "b.mp4")[2] == pytest.approx(0.55, abs=0.1)


def test_nothing_large_is_kept_of_a_look(tmp_path: Path) -> None:
    """An hour has 14,400 of them."""
    whole = WholeClip(Annotation(tmp_path / "a.mp4", clip=True), tmp_path / "none.mp4")
    pixels, crop = np.zeros((120, 160, 3), np.uint8), np.zeros((3, 256, 256), np.float32)
    kept = weakref.ref(pixels), weakref.ref(crop)
    whole.add(frame(0.0, [face(1, 0.9, 20, 30)._replace(cut=crop)], pixels))
    del pixels, crop
    assert [part() is None for part in kept] == [True, True]
    whole.__exit__(KeyboardInterrupt, None, None)


def test_sound_of_a_clip_that_begins_between_key_frames(tmp_path: Path) -> None:
    """What cannot be shown was heard all the same, so the rest of the sound came too late."""
    source = tmp_path / "a.ts"
    with av.open(str(source), "w", format="mpegts") as container:
        pictures = container.add_stream("mpeg2video", rate=25, options={"g": "20"})
        pictures.width, pictures.height, pictures.pix_fmt = 160, 120, "yuv420p"
        track = container.add_stream("aac", rate=48000, layout="mono")
        packets = []
        for number in range(60):
            picture = av.VideoFrame.from_ndarray(photo(120, 160), "rgb24")
            picture.pts, picture.time_base = number, Fraction(1, 25)
            packets += pictures.encode(picture)
        packets += pictures.encode(None)
        kept = packets[6:]
        beep = np.sin(np.arange(2 * 48000 + 38400) * 0.3).astype(np.float32)
        beep[:48000] = 0  # it begins after a second
        for place in range(0, len(beep) - 1024, 1024):
            samples = av.AudioFrame.from_ndarray(beep[None, place : place + 1024], "fltp", "mono")
            samples.sample_rate, samples.pts = 48000, place
            kept += track.encode(samples)
        kept += track.encode(None)
        container.mux(sorted(kept, key=lambda packet: packet.dts * packet.time_base))
    with open_clip(source) as clip:
        assert next(clip).t == 0
    path = tmp_path / "b.mp4"
    sound = Sound(source, clip.zero)
    with WholeClip(Annotation(path, clip=True, rate=25, sound=sound), source) as whole:
        whole.add(frame(0.0, []))
    assert len(decoded(path)[0]) == 40
    with av.open(str(path)) as container:
        heard = [
            found.time
            for found in container.decode(audio=0)
            if np.abs(found.to_ndarray()).mean() > 0.3
        ]
    assert heard[0] == pytest.approx(0.2, abs=0.05)  # 0.8 s are not shown
