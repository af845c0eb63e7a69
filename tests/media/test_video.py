"""Clips as people have them: containers and codecs, rates, sizes, animations; real ones."""

from __future__ import annotations

import csv
import math
import os
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.clips import (
    KINDS,
    SIZE,
    animation_bytes,
    clip_file,
    made,
    numbered,
    read,
)
from support.detectors import photo

from minimeso import InputError
from minimeso.media import video
from minimeso.media.video import is_clip, open_clip
from minimeso.notes import Note

pytest.importorskip("av")


@pytest.mark.parametrize(("kind", "codec", "pix_fmt"), KINDS)
def test_every_frame(tmp_path: Path, kind: str, codec: str, pix_fmt: str | None) -> None:
    path = tmp_path / "clip.dat"
    path.write_bytes(made(kind, codec, pix_fmt, frames=30))
    assert is_clip(path)
    times, numbers, clip = read(path, every_frame=True)
    assert numbers == list(range(30))
    assert np.allclose(times, np.arange(30) / 25, atol=2e-3)
    assert (clip.frames_read, clip.fault, clip.size) == (30, None, SIZE)
    assert clip.path == str(path)
    assert clip.rate == pytest.approx(25, abs=0.1)


@pytest.mark.parametrize(("kind", "codec", "pix_fmt"), KINDS)
def test_four_a_second(tmp_path: Path, kind: str, codec: str, pix_fmt: str | None) -> None:
    path = tmp_path / "clip.dat"
    path.write_bytes(made(kind, codec, pix_fmt, frames=60))
    times, numbers, clip = read(path)
    assert len(times) == 10 and (clip.frames_read, clip.fault) == (60, None)
    assert [int(t * 4 + 1e-3) for t in times] == list(range(10))
    assert np.allclose(times, np.array(numbers) / 25, atol=2e-3)


def test_duration_in_seconds(tmp_path: Path) -> None:
    for kind in ("mp4", "matroska", "avi"):
        clip = read(clip_file(tmp_path, kind=kind, frames=30), every_frame=True)[2]
        assert clip.duration == pytest.approx(1.2, abs=0.05)
    path = tmp_path / "clip.h264"
    path.write_bytes(made("h264", "libx264", "yuv420p"))
    assert read(path)[2].duration is None


@pytest.mark.parametrize("fps", [0.5, 1, 3, 7.5, 24, 25, 100, 1000])
def test_frames_a_second(tmp_path: Path, fps: float) -> None:
    path = clip_file(tmp_path, frames=100)
    times, numbers, clip = read(path, fps=fps)
    stretches = [math.floor(n / 25 * fps + 1e-6) for n in range(100)]
    assert numbers == [n for n in range(100) if n == 0 or stretches[n] != stretches[n - 1]]
    assert clip.frames_read == 100 and times[0] == 0


@pytest.mark.parametrize("fps", [0, -1, math.nan, math.inf, 1e6])
def test_absurd_frames_a_second(tmp_path: Path, fps: float) -> None:
    path = clip_file(tmp_path)
    with pytest.raises(InputError, match="fps"):
        open_clip(path, fps)
    with pytest.raises(InputError, match="choose one"):
        open_clip(path, 5, every_frame=True)


def test_frames_that_no_other_refers_to_are_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is seen is what a full decoding has at that time, to the bit."""
    frames = [photo(48, 64) // 2 + numbered(n) // 2 for n in range(100)]
    path = tmp_path / "clip.mp4"
    path.write_bytes(made("mp4", "libx264", "yuv420p", frames=frames, options={"bf": "3"}))
    with open_clip(path, every_frame=True) as clip:
        whole = {round(f.t, 3): f.pixels for f in clip}
    with open_clip(path) as clip:
        sparse = list(clip)
    assert len(sparse) == 16 and clip.frames_read == 100
    assert all(np.array_equal(f.pixels, whole[round(f.t, 3)]) for f in sparse)
    monkeypatch.setattr(video, "_SKIPPING", ())
    with open_clip(path) as clip:
        plain = list(clip)
    assert [int(f.t * 4 + 1e-6) for f in plain] == [int(f.t * 4 + 1e-6) for f in sparse]
    assert [f.t for f in plain] != [f.t for f in sparse]  # else nothing was skipped


def test_too_many_skipped_frames_are_decoded(tmp_path: Path) -> None:
    """Fifteen frames in a row to which no other refers would leave stretches empty."""
    options = {"bf": "15", "b-pyramid": "none", "b_strategy": "0", "sc_threshold": "0"}
    path = tmp_path / "clip.mp4"
    path.write_bytes(made("mp4", "libx264", "yuv420p", frames=240, options=options))
    times, numbers, clip = read(path)
    assert clip.frames_read == 240
    assert len(times) >= 38 - 2  # up to two are gone before it is noticed
    assert np.allclose(times, np.array(numbers) / 25, atol=2e-3)


@pytest.mark.parametrize(("start", "frames"), [(0, 25), (37, 25), (50, 50), (90, 10)])
def test_a_trimmed_clip_is_whole(tmp_path: Path, start: int, frames: int) -> None:
    """Phones cut by an edit list, which shows a part of the samples that the file has."""
    options = {"g": "25", "bf": "0"}
    data = bytearray(made("mp4", "libx264", "yuv420p", frames=100, options=options))
    at = data.index(b"mdhd") + 16
    unit = int.from_bytes(data[at : at + 4], "big") // 25
    at = data.index(b"elst") + 12
    data[at : at + 8] = struct.pack(">Ii", frames * 40, start * unit)
    path = tmp_path / "trimmed.mp4"
    path.write_bytes(data)
    times, numbers, clip = read(path, every_frame=True)
    assert numbers == list(range(start, start + frames)) and times[0] == 0
    assert clip.fault is None and clip.duration == frames / 25


@pytest.mark.parametrize(("kind", "codec"), [("h264", "libx264"), ("hevc", "libx265")])
def test_a_stream_without_a_container_has_the_rate_that_its_codec_says(
    tmp_path: Path, kind: str, codec: str
) -> None:
    """Of 10 frames a second FFmpeg's reader says 25, so 0.7 s would be 0.3."""
    options = {"x265-params": "log-level=none"} if kind == "hevc" else {}
    path = tmp_path / "raw"
    path.write_bytes(made(kind, codec, "yuv420p", rate=10, frames=8, options=options))
    times, _, clip = read(path, every_frame=True)
    assert clip.rate == 10 and times == pytest.approx([number / 10 for number in range(8)])


def test_variable_frame_rate(tmp_path: Path) -> None:
    stamps = [0, 1, 2, 3, 40, 41, 42, 100, 200, 201]
    path = clip_file(tmp_path, stamps=stamps, kind="matroska")
    times, numbers, clip = read(path, every_frame=True)
    assert np.allclose(times, np.array(stamps) / 25, atol=2e-3) and numbers == list(range(10))
    assert read(path)[1] == [0, 4, 7, 8] and clip.fault is None


@pytest.mark.parametrize(("codec", "pix_fmt"), [("mpeg4", None), ("mjpeg", "yuvj420p")])
def test_an_avi_that_lacks_frames_in_its_middle_is_whole(
    tmp_path: Path, codec: str, pix_fmt: str | None
) -> None:
    """What a recorder dropped is counted in the head of the file, and has no packet."""
    stamps = [0, 1, 2, 100, 101, 102]
    path = clip_file(
        tmp_path, "a.avi", kind="avi", codec=codec, pix_fmt=pix_fmt, frames=6, stamps=stamps
    )
    times, numbers, clip = read(path, every_frame=True)
    assert clip.faults == () and numbers == list(range(6))
    assert times == pytest.approx([stamp / 25 for stamp in stamps])
    data = path.read_bytes()
    path.write_bytes(data[: data.rindex(b"00dc", 0, data.index(b"idx1"))])  # before the last frame
    assert read(path, every_frame=True)[2].faults[0].code == "cut_short"


@pytest.mark.parametrize("live", [False, True])
def test_a_frame_may_stand_for_minutes(tmp_path: Path, live: bool) -> None:
    """As in what a browser records of a screen, which does not say how long it is."""
    stamps = [0, 1, 130 * 25, 131 * 25, 900 * 25]
    path = clip_file(
        tmp_path, "screen.webm", kind="webm", codec="libvpx", frames=5, stamps=stamps,
        container_options={"live": "1"} if live else None,
    )  # fmt: skip
    times, _, clip = read(path)
    assert times == [0, 130, 131, 900]
    assert (clip.duration is None) == live


def test_a_webp_without_times_moves_as_in_a_browser(tmp_path: Path) -> None:
    path = tmp_path / "animation.webp"
    path.write_bytes(animation_bytes("WEBP", milliseconds=0))
    assert np.allclose(read(path, every_frame=True)[0], np.arange(6) / 10)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_pictures_of_hardly_any_time_move_as_in_a_browser(tmp_path: Path, kind: str) -> None:
    """Which show what is to last a hundredth of a second, as fast as can be, for a tenth."""
    path = tmp_path / "fast"
    path.write_bytes(animation_bytes(kind, milliseconds=10))
    assert np.allclose(read(path, every_frame=True)[0], np.arange(6) / 10)


def test_times_start_at_zero(tmp_path: Path) -> None:
    path = clip_file(tmp_path, stamps=range(500, 510), kind="mpegts", codec="mpeg2video")
    assert np.allclose(read(path, every_frame=True)[0], np.arange(10) / 25)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_animations(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "animation.jpg"
    path.write_bytes(animation_bytes(kind))
    assert is_clip(path)
    times, numbers, clip = read(path, every_frame=True)
    assert numbers == list(range(6)) and np.allclose(times, np.arange(6) / 5)
    assert (clip.frames_read, clip.fault, clip.size) == (6, None, SIZE)
    assert read(path)[1] == [0, 2, 3, 4, 5] and read(path, fps=1)[1] == [0, 5]


def test_an_animation_that_lies_on_its_side(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6
    frames = [Image.fromarray(numbered(n)) for n in range(3)]
    frames[0].save(tmp_path / "a.webp", save_all=True, append_images=frames[1:], exif=exif)
    with open_clip(tmp_path / "a.webp", every_frame=True) as clip:
        shapes = {pixels.shape for _, pixels in clip}
    assert shapes == {(SIZE[0], SIZE[1], 3)} and clip.size == SIZE[::-1]


def test_transparency_lies_on_white(tmp_path: Path) -> None:
    frames = [Image.new("RGBA", (8, 6), (10 * n, 0, 0, 0)) for n in range(3)]
    for n, frame in enumerate(frames):
        frame.paste((0, 0, 90 + 50 * n, 255), (0, 0, 4, 6))
    for name in ("a.png", "a.gif"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], duration=100)
        with open_clip(tmp_path / name, every_frame=True) as clip:
            pixels = [f.pixels for f in clip]
        assert len(pixels) == 3
        for frame in pixels:
            assert (frame[:, 5:] == 255).all() and (frame[:, :3, 0] < 40).all()


def test_size_that_changes(tmp_path: Path) -> None:
    parts = [
        made("mpegts", "mpeg2video", "yuv420p", frames=20, size=size, options={"g": "5"})
        for size in ((64, 48), (96, 32), (128, 96))
    ]
    path = tmp_path / "joined.ts"
    path.write_bytes(b"".join(parts))
    with open_clip(path, every_frame=True) as clip:
        frames = list(clip)
    shapes = [f.pixels.shape for f in frames]
    assert {(48, 64, 3), (32, 96, 3), (96, 128, 3)} == set(shapes)
    assert len(frames) >= 50 and clip.size == (64, 48)
    times = np.array([f.t for f in frames])
    assert (np.diff(times) > 0).all() and times[-1] < 5  # the clock of every part starts anew


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 5), (17, 9), (65, 3), (130, 66)])
def test_odd_sizes(tmp_path: Path, size: tuple[int, int]) -> None:
    for codec, pix_fmt in (("ffv1", "yuv444p"), ("libvpx", "yuv420p"), ("ffv1", "bgr0")):
        grey = np.full((size[1], size[0], 3), 130, np.uint8)
        path = tmp_path / "clip.mkv"
        path.write_bytes(made("matroska", codec, pix_fmt, frames=[grey] * 3))
        with open_clip(path, every_frame=True) as clip:
            frames = [f.pixels.astype(int) for f in clip]
        assert len(frames) == 3 and clip.size == size
        assert all(np.abs(frame - grey).max() <= 2 for frame in frames)


def test_8k(tmp_path: Path) -> None:
    frame = np.zeros((4320, 7680, 3), np.uint8)
    frame[:2160] = 255
    path = tmp_path / "clip.mov"
    path.write_bytes(made("mov", "mjpeg", "yuvj420p", frames=[frame] * 2))
    with open_clip(path, every_frame=True) as clip:
        shapes = [f.pixels.shape for f in clip]
    assert shapes == [(4320, 7680, 3)] * 2 and clip.size == (7680, 4320)


@pytest.fixture
def real_clips() -> Path:
    folder = os.environ.get("MINIMESO_DATA")
    if not folder or not (Path(folder) / "videos" / "videos.csv").is_file():
        pytest.skip("MINIMESO_DATA does not name a folder with videos/")
    return Path(folder) / "videos"


def test_real_clips(real_clips: Path) -> None:
    with (real_clips / "videos.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows
    for row in rows:
        path = real_clips / row["file"]
        assert is_clip(path)
        with open_clip(path, every_frame=True) as clip:
            count = sum(1 for _ in clip)
        wanted = (int(row["frames"]), int(row["frames"]), None)
        assert (count, clip.frames_read, clip.fault) == wanted, row["file"]
        assert clip.size == (int(row["width"]), int(row["height"]))
        with open_clip(path) as clip:
            times = [t for t, _ in clip]
        assert clip.frames_read == wanted[0] and clip.fault is None
        assert clip.duration is not None
        assert len(times) == pytest.approx(clip.duration * 4, abs=1.5)


def gif_without_times(
    path: Path, count: int = 6, *, timed: Sequence[int] = (), **options: Any
) -> Path:
    """A GIF as Pillow writes it where nobody says a duration: without the extension that has times,
    by which FFmpeg tells pictures apart.  ``timed`` are the numbers of those that have it."""
    frames = [Image.fromarray(numbered(n)).quantize(256) for n in range(count)]
    durations = {"duration": [100 if n in timed else 0 for n in range(count)]} if timed else {}
    frames[0].save(path, "GIF", save_all=True, append_images=frames[1:], **durations, **options)
    return path


@pytest.mark.parametrize(
    "options", [{}, {"loop": 0}, {"timed": (0, 3)}, {"timed": (1, 2, 3, 4, 5)}]
)
def test_a_gif_whose_pictures_have_no_times_moves(tmp_path: Path, options: dict[str, Any]) -> None:
    """FFmpeg takes what has no times for one packet, and shows its first picture only."""
    path = gif_without_times(tmp_path / "a.gif", **options)
    times, numbers, clip = read(path, every_frame=True)
    assert numbers == list(range(6)) and np.allclose(times, np.arange(6) / 10)
    assert (clip.frames_read, clip.fault, clip.size) == (6, None, SIZE)
    assert clip.doubt == Note("palette")


def test_a_gif_without_times_that_is_cut_says_so(tmp_path: Path) -> None:
    path = gif_without_times(tmp_path / "a.gif")
    whole = path.read_bytes()
    for share in (0.5, 0.95):
        path.write_bytes(whole[: int(share * len(whole))])
        _, numbers, clip = read(path, every_frame=True)
        assert numbers == list(range(len(numbers))) and 0 < len(numbers) < 6 and clip.fault
    path.write_bytes(whole[:-1])
    _, numbers, clip = read(path, every_frame=True)
    assert len(numbers) == 6 and clip.fault


def test_two_gifs_without_times_are_the_first(tmp_path: Path) -> None:
    path = gif_without_times(tmp_path / "a.gif")
    path.write_bytes(2 * path.read_bytes())
    _, numbers, clip = read(path, every_frame=True)
    assert numbers[:6] == list(range(6))
    assert len(numbers) == 12 or clip.remarks == (Note("first_clip_only"),)
