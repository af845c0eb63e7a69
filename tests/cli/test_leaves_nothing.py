"""``minimeso detect`` talks to nobody and leaves nothing behind, however it ends."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from support.clips import animation_bytes, clip_bytes, clip_file
from support.credentials import jpeg
from support.detectors import constant_detector, photo, saved
from support.odd_files import huge_png

SUPPORT = Path(__file__).parent.parent / "support"
#: What could make a reader of files ask for another one.
TALKATIVE = {
    "list.m3u8": b"#EXTM3U\n#EXTINF:9,\nhttp://127.0.0.1:9/a.ts\n",
    "list.mpd": b'<?xml version="1.0"?><MPD><BaseURL>http://127.0.0.1:9/</BaseURL></MPD>',
    "list.ffconcat": b"ffconcat version 1.0\nfile 'http://127.0.0.1:9/a.mp4'\n",
    "call.sdp": b"v=0\nc=IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
    "page.svg": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="http://127.0.0.1:9/"/></svg>',
}


@pytest.fixture
def model(tmp_path: Path) -> str:
    folder = tmp_path / "model"
    folder.mkdir()
    return saved(constant_detector(-2.0), folder)


def as_in_a_terminal() -> None:
    """What starts tests in the background may have signals ignored, and children inherit that."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        signal.signal(getattr(signal, name), signal.SIG_DFL)


def command(model: str, *arguments: Any) -> list[str]:
    words = ["detect", "--model", model, "--crops", "--threads", "1", *map(str, arguments)]
    return [sys.executable, "-m", "minimeso", *words]


@pytest.mark.skipif(not shutil.which("gcc"), reason="no C compiler on the path")
@pytest.mark.skipif(sys.platform != "linux", reason="no LD_PRELOAD")
def test_no_socket_is_opened(model: str, tmp_path: Path) -> None:
    """Not by Python and not by FFmpeg: the C library is asked who asks it."""
    library, log, files = tmp_path / "no_sockets.so", tmp_path / "log", tmp_path / "files"
    source = SUPPORT / "no_sockets.c"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    environment = {**os.environ, "LD_PRELOAD": str(library), "SOCKET_LOG": str(log)}
    asking = [sys.executable, "-c", "import socket; socket.socket(socket.AF_INET)"]
    subprocess.run(asking, env=environment, check=True)
    assert log.read_text() == "socket\n", "the look-out itself does not work"
    log.unlink()

    files.mkdir()
    for name, data in TALKATIVE.items():
        (files / name).write_bytes(data)
        (files / f"{name}.mp4").write_bytes(data)
    clip_file(files)
    (files / "signed.jpg").write_bytes(jpeg(part=2000))
    (files / "moving.gif").write_bytes(animation_bytes("GIF"))
    report = tmp_path / "report.html"
    wanted = command(model, *sorted(files.iterdir()), "--report", report, "--json")
    done = subprocess.run(wanted, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 3, done.stderr  # the lists are none
    assert len(done.stdout.splitlines()) == len(list(files.iterdir())) and report.exists()
    assert not log.exists(), log.read_text()


@pytest.mark.skipif(os.name == "nt", reason="Windows has other signals")
@pytest.mark.parametrize(
    ("number", "status"), [(None, 0), ("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)]
)
def test_no_temporary_file_stays(
    number: str | None, status: int, model: str, tmp_path: Path
) -> None:
    """A copy is being written, and a pipe is kept, when the signal comes."""
    out, temporary = tmp_path / "out", tmp_path / "temporary"
    for folder in (out, temporary):
        folder.mkdir()
    source = tmp_path / "long.mp4"
    # noise by its seed: long enough that the signal comes before the end
    source.write_bytes(clip_bytes(frames=5 if number is None else 240, size=(640, 480)))
    annotated = out / "copy.mp4"
    environment = {**os.environ, "TMPDIR": str(temporary)}
    with subprocess.Popen(
        command(model, source, "--every-frame", "--annotate", annotated),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
        preexec_fn=as_in_a_terminal,
    ) as process:  # fmt: skip
        if number is not None:
            end = time.monotonic() + 60
            while not list(out.iterdir()) and process.poll() is None:
                assert time.monotonic() < end
                time.sleep(0.01)
            os.kill(process.pid, getattr(signal, number))
        _, error = process.communicate(timeout=60)
    assert process.returncode == status, error
    assert "Traceback" not in error
    assert not list(temporary.iterdir())
    left = {path.name for path in out.iterdir()}
    assert left <= {"copy.mp4"} and (number is not None or left)


@pytest.mark.skipif(os.name == "nt", reason="pipes of Windows know no signals")
@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM"])
def test_what_came_through_a_pipe_is_gone(number: str, model: str, tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    with subprocess.Popen(
        command(model, "-"), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, env={**os.environ, "TMPDIR": str(temporary)},
        preexec_fn=as_in_a_terminal,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        # more than a pipe holds, so it has read some when this returns; it waits for more
        process.stdin.write(clip_bytes() + bytes(1 << 20))
        process.stdin.flush()
        os.kill(process.pid, getattr(signal, number))
        assert process.wait(60) in (130, 143)
    assert not list(temporary.iterdir())


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux holds a process to its memory")
def test_a_limit_of_memory_is_kept(model: str, tmp_path: Path) -> None:
    """What needs more is refused, and the next file is judged."""
    large, small = tmp_path / "large.png", tmp_path / "small.png"
    large.write_bytes(huge_png(12_000))
    Image.fromarray(photo()).save(small)
    limited = command(model, "--memory", 500, large, small)
    done = subprocess.run(limited, capture_output=True, text=True, check=False)
    assert done.returncode == 3, done.stderr
    first, second = done.stdout.splitlines()
    assert first.startswith("unreadable") and "memory" in first and "Traceback" not in done.stderr
    assert "small.png" in second and not second.startswith("unreadable")
