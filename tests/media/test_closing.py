"""Closing a clip frees everything, from any thread; memory is flat."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest
from support.clips import (
    clip_file,
    made,
    number_of,
    numbered,
    refused,
    sound_bytes,
)

from minimeso.media.prefetch import prefetch
from minimeso.media.video import open_clip

pytest.importorskip("av")


def open_files() -> int:
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.is_dir() else 0


def system_threads() -> int:
    folder = Path("/proc/self/task")
    return len(list(folder.iterdir())) if folder.is_dir() else threading.active_count()


def test_closing_frees_everything(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(made("mp4", "libx264", "yuv420p", frames=50))
    for _ in range(2):  # the first time libraries load
        files, threads = open_files(), system_threads()
        with open_clip(path) as clip:
            pixels = next(clip).pixels
            assert system_threads() > threads or threads == 1
        assert (open_files(), system_threads()) == (files, threads)
        assert list(clip) == [] and clip.fault is None
        clip = open_clip(path)
        next(clip)
        del clip  # nobody closes it
        assert (open_files(), system_threads()) == (files, threads)
        list(open_clip(path))  # to its end
        assert (open_files(), system_threads()) == (files, threads)
    assert number_of(pixels) == 0


def test_refused_files_are_closed(tmp_path: Path) -> None:
    path = tmp_path / "song.mp4"
    path.write_bytes(sound_bytes())
    before = open_files()
    for _ in range(5):
        refused(path, "only sound")
    assert open_files() == before


def test_closing_from_another_thread(tmp_path: Path) -> None:
    path = clip_file(tmp_path, frames=200)
    for _ in range(20):
        clip = open_clip(path, every_frame=True)
        next(clip)
        reader = threading.Thread(target=lambda clip=clip: list(clip))
        reader.start()
        clip.close()
        reader.join()
        assert clip.fault is None


def test_through_a_thread(tmp_path: Path) -> None:
    path = clip_file(tmp_path, frames=60)
    with open_clip(path, every_frame=True) as clip, prefetch(clip, 3) as frames:
        assert [number_of(f.pixels) for f in frames] == list(range(60))
    assert clip.frames_read == 60
    with open_clip(path, every_frame=True) as clip, prefetch(clip, 3) as frames:
        next(frames)
    assert clip.frames_read < 60


def test_clips_side_by_side(tmp_path: Path) -> None:
    path = clip_file(tmp_path, frames=40)
    clips = [open_clip(path, every_frame=True) for _ in range(6)]
    for number in range(40):
        assert [number_of(next(clip).pixels) for clip in clips] == [number] * 6
    for clip in clips:
        assert list(clip) == []


@pytest.mark.skipif(sys.platform == "win32", reason="no getrusage")
def test_memory_is_flat(tmp_path: Path) -> None:
    """A clip ten times as long needs no more, counted with what FFmpeg takes."""
    frames = [numbered(n, (640, 480)) for n in range(100)]
    data = made("mpegts", "mpeg2video", "yuv420p", frames=frames, options={"g": "12"})
    program = (
        "import resource, sys\nfrom minimeso.media.video import open_clip\n"
        "from minimeso.media.prefetch import prefetch\n"
        "with open_clip(sys.argv[1], every_frame=True) as clip, prefetch(clip, 4) as frames:\n"
        "    n = sum(1 for _ in frames)\n"
        "print(n, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
    )
    found = {}
    for times in (1, 15):
        path = tmp_path / "long.ts"
        path.write_bytes(data * times)
        done = subprocess.run(
            [sys.executable, "-c", program, path], capture_output=True, check=True
        )
        count, kibibytes = map(int, done.stdout.split())
        assert count >= 99 * times
        found[times] = kibibytes
    assert found[15] - found[1] < 25_000 * (1024 if sys.platform == "darwin" else 1)
