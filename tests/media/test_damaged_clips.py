"""Damaged clips: every intact frame is given, and what is missing is named."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.clips import (
    KINDS,
    SIZE,
    clip_file,
    made,
    number_of,
    numbered,
    read,
    refused,
)

from minimeso import PictureError
from minimeso.media import opening
from minimeso.media.video import is_clip, open_clip

av = pytest.importorskip("av")


NOISY = [
    np.clip(numbered(n) + np.random.default_rng(n).normal(0, 12, (*SIZE[::-1], 3)), 0, 255).astype(
        np.uint8
    )
    for n in range(40)
]
#: Containers that can be read from the front, and say how long they are.
STREAMED: list[tuple[str, str, str | None, dict[str, Any]]] = [
    ("mp4", "libx264", "yuv420p", {"container_options": {"movflags": "faststart"}}),
    (
        "mp4",
        "libx264",
        "yuv420p",
        {"container_options": {"movflags": "frag_keyframe+empty_moov"}, "options": {"g": "10"}},
    ),
    ("matroska", "libx264", "yuv420p", {}),
    ("webm", "libvpx", "yuv420p", {}),
    ("avi", "mjpeg", "yuvj420p", {}),
    ("mpegts", "mpeg2video", "yuv420p", {}),
    ("gif", "gif", "rgb8", {}),
    ("apng", "apng", "rgb24", {}),
]


@pytest.mark.parametrize(("kind", "codec", "pix_fmt", "options"), STREAMED)
def test_cut_short(
    tmp_path: Path, kind: str, codec: str, pix_fmt: str | None, options: dict[str, Any]
) -> None:
    data = made(kind, codec, pix_fmt, frames=NOISY, **options)
    path = tmp_path / "cut.dat"
    told = counts = 0
    for twentieths in range(1, 20):
        path.write_bytes(data[: len(data) * twentieths // 20])
        try:
            _, numbers, clip = read(path, every_frame=True)
        except PictureError as error:
            assert str(path) in str(error) and twentieths < 10
            continue
        intact = max(0, len(numbers) - 6)  # frames that others refer to come before their turn
        assert numbers[:intact] == list(range(intact)) and numbers == sorted(numbers)
        assert len(numbers) >= 40 * twentieths // 20 - 14
        counts += 1
        told += clip.fault is not None and "cut short" in clip.fault
    assert counts >= 8 and told >= counts - 1  # a part may end just there


def test_cut_before_the_index(tmp_path: Path) -> None:
    path = clip_file(tmp_path)
    data = path.read_bytes()
    for length in (9, 100, len(data) // 2, data.index(b"moov") + 150):
        path.write_bytes(data[:length])
        assert is_clip(path)
        refused(path, "cut short")


@pytest.mark.parametrize(("kind", "codec", "pix_fmt"), KINDS)
def test_cut_anywhere(tmp_path: Path, kind: str, codec: str, pix_fmt: str | None) -> None:
    data = made(kind, codec, pix_fmt, frames=12)
    path = tmp_path / "cut.dat"
    for length in sorted({*range(1, 40, 3), *range(40, len(data), max(1, len(data) // 40))}):
        path.write_bytes(data[:length])
        try:
            with open_clip(path, every_frame=bool(length % 2)) as clip:
                assert len(list(clip)) <= 12
        except PictureError as error:
            assert str(path) in str(error)


@pytest.mark.parametrize(("kind", "codec", "pix_fmt"), KINDS)
def test_flipped_bytes(tmp_path: Path, kind: str, codec: str, pix_fmt: str | None) -> None:
    data = made(kind, codec, pix_fmt, frames=NOISY[:20])
    generator = random.Random(f"{kind} {codec}")
    path = tmp_path / "damaged.dat"
    for turn in range(40):
        damaged = bytearray(data)
        for _ in range(generator.choice((1, 4, 20))):
            damaged[generator.randrange(len(data))] = generator.randrange(256)
        path.write_bytes(damaged)
        try:
            with open_clip(path, every_frame=bool(turn % 2)) as clip:
                for count, (t, pixels) in enumerate(clip):
                    assert t >= 0 and pixels.ndim == 3 and count < 400
        except PictureError as error:
            assert str(path) in str(error)


def test_damage_in_the_middle_is_passed_over(tmp_path: Path) -> None:
    """The frames before and after are given, the damaged one is not, and the fault says so."""
    data = bytearray(made("avi", "mjpeg", "yuvj420p", frames=NOISY))
    starts = [n for n in range(len(data)) if data[n : n + 4] == b"00dc"]
    middle, end = (starts[21] + starts[22]) // 2, starts[22]  # the first is in the file's header
    data[middle:end] = bytes(end - middle)
    path = tmp_path / "damaged.avi"
    path.write_bytes(data)
    times, numbers, clip = read(path, every_frame=True)
    assert numbers == [n for n in range(40) if n != 20]
    assert times == [n / 25 for n in numbers]
    assert clip.fault == "damaged: 1 frame left out"
    assert read(path)[1] == [0, 7, 13, 19, 25, 32, 38]


def test_damage_of_h264_is_told(tmp_path: Path) -> None:
    data = made("mp4", "libx264", "yuv420p", frames=NOISY, options={"g": "10"})
    start, end = data.index(b"mdat") + 1500, data.index(b"moov") - 100
    end = start + (end - start) * 3 // 10  # in the first two of four groups
    generator = random.Random(5)
    path = tmp_path / "damaged.mp4"
    told = 0
    for _ in range(10):
        damaged = bytearray(data)
        for _ in range(10):
            damaged[generator.randrange(start, end)] ^= 0xFF
        path.write_bytes(damaged)
        _, numbers, clip = read(path, every_frame=True)
        assert numbers[-20:] == list(range(20, 40))
        told += clip.fault is not None
    assert told >= 7


def test_what_refers_to_a_damaged_frame_is_damaged(tmp_path: Path) -> None:
    """Up to the next key frame; of those frames no decoder says so, and they are not intact."""
    rng = np.random.default_rng(0)
    texture = np.repeat(rng.integers(0, 256, (240, 520), np.uint8)[:, :, None], 3, 2)
    moving = [np.ascontiguousarray(texture[:, 5 * n : 5 * n + 320]) for n in range(40)]
    path = tmp_path / "whole.mp4"
    options = {"g": "20", "bf": "0", "sc_threshold": "0", "x264-params": "scenecut=0"}
    data = bytearray(made("mp4", "libx264", "yuv420p", frames=moving, options=options))
    path.write_bytes(data)
    with open_clip(path, every_frame=True) as clip:
        whole = {round(t * 25): pixels.astype(np.int16) for t, pixels in clip}
    assert sorted(whole) == list(range(40))
    with av.open(str(path)) as container:
        packets = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    at = packets[6][0] + packets[6][1] // 3
    data[at : at + 100] = rng.bytes(100)
    path.write_bytes(data)
    with open_clip(path, every_frame=True) as clip:
        found = {round(t * 25): pixels for t, pixels in clip}
    assert clip.fault == "damaged: 14 frames left out"
    assert sorted(found) == [*range(6), *range(20, 40)]
    assert max(np.abs(pixels - whole[n]).mean() for n, pixels in found.items()) < 0.5


def test_not_one_frame(tmp_path: Path) -> None:
    data = bytearray(made("avi", "mjpeg", "yuvj420p", frames=5))
    at = data.index(b"movi")
    data[at + 4 :] = bytes(len(data) - at - 4)
    path = tmp_path / "blank.avi"
    path.write_bytes(data)
    refused(path, "not one frame|before the first frame")


def test_file_that_shrinks_while_it_is_read(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    frames = [generator.integers(0, 256, (96, 128, 3), np.uint8) for _ in range(60)]
    path = tmp_path / "clip.mov"
    options = {"movflags": "faststart"}
    path.write_bytes(made("mov", "mjpeg", "yuvj420p", frames=frames, container_options=options))
    with open_clip(path, every_frame=True) as clip:
        next(clip)
        with path.open("r+b") as file:
            file.truncate(path.stat().st_size // 3)
        rest = list(clip)
    assert len(rest) < 59 and clip.fault is not None and "cut short" in clip.fault


def test_disk_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "clip.ts"
    path.write_bytes(made("mpegts", "mpeg2video", "yuv420p", frames=NOISY * 20))
    assert path.stat().st_size > 4 * opening._BUFFER_BYTES
    real = opening.NamelessFile.read

    def failing(self: opening.NamelessFile, size: int) -> bytes:
        if self.file.tell() > 2 * opening._BUFFER_BYTES:
            self.fault = "Input/output error"
            return b""
        return real(self, size)

    monkeypatch.setattr(opening.NamelessFile, "read", failing)
    _, numbers, clip = read(path, every_frame=True)
    assert len(numbers) > 50 and clip.fault is not None
    assert "reading failed" in clip.fault and "Input/output error" in clip.fault


def test_nothing_is_printed(tmp_path: Path) -> None:
    paths = []
    for number, (kind, codec, pix_fmt, options) in enumerate(STREAMED):
        data = bytearray(made(kind, codec, pix_fmt, frames=NOISY, **options))
        for at in range(len(data) // 3, len(data), 997):
            data[at] ^= 0x55
        paths.append(tmp_path / f"{number}.dat")
        paths[-1].write_bytes(data[: len(data) * 9 // 10])
    program = (
        "import sys\nfrom minimeso.media.video import open_clip\n"
        "for path in sys.argv[1:]:\n"
        "    try:\n        for _ in open_clip(path, every_frame=True): pass\n"
        "    except OSError: pass\n"
    )
    done = subprocess.run([sys.executable, "-c", program, *paths], capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def parts_of(data: bytes) -> list[bytes]:
    """The outermost parts of an MP4 file."""
    parts = []
    while data:
        size = int.from_bytes(data[:4], "big")
        parts.append(data[:size])
        data = data[size:]
    return parts


PROTECTED = {
    "encryption_scheme": "cenc-aes-ctr",
    "encryption_key": "00112233445566778899aabbccddeeff",
    "encryption_kid": "ffeeddccbbaa99887766554433221100",
}


@pytest.mark.parametrize("codec", ["libx264", "libx265", "libsvtav1"])
def test_an_encrypted_clip_is_not_damaged(tmp_path: Path, codec: str) -> None:
    """As shops rent them out (Common Encryption): noise may look like frames to a decoder."""
    path = tmp_path / "rented.mp4"
    path.write_bytes(made("mp4", codec, "yuv420p", frames=NOISY, container_options=PROTECTED))
    refused(path, r"reading failed after 0.0 s \(encrypted\)\): give a copy without protection")


def test_what_lies_in_the_open_is_given(tmp_path: Path) -> None:
    fragments = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
    plain, rented = (
        parts_of(
            made("mp4", "libx264", "yuv420p", frames=NOISY, options={"g": "10", "bf": "0"},
                 container_options=fragments | more)
        )
        for more in ({}, PROTECTED)
    )  # fmt: skip
    path = tmp_path / "preview.mp4"
    path.write_bytes(b"".join([*rented[:2], *plain[2:6], *rented[6:]]))
    with open_clip(path, every_frame=True) as clip:
        numbers = [number_of(frame.pixels) for frame in clip]
    assert numbers == list(range(20))
    assert clip.fault == "reading failed after 0.8 s (encrypted)"
