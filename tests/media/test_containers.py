"""Time stamps as they are in files become times that start at 0 and grow."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.clips import clip_bytes

from minimeso.media import containers
from minimeso.media.origin import origin_of
from minimeso.media.video import open_clip


@pytest.mark.parametrize(
    ("stamps", "expected"),
    [
        ([None] * 4, [0, 0.04, 0.08, 0.12]),
        ([5.0, 5.04, None, 5.12], [0, 0.04, 0.08, 0.12]),
        ([0.0, 0.04, 0.04, 0.08], [0, 0.04, 0.041, 0.08]),
        ([0.0, 0.12, 0.04, 0.08, 0.16], [0, 0.12, 0.121, 0.122, 0.16]),
        ([0.0, 0.04, 0.08, 0.0, 0.04, 3.0], [0, 0.04, 0.08, 0.081, 0.082, 3.0]),
        ([90.0, 90.04, 1.0, 1.04], [0, 0.04, 0.08, 0.12]),
        ([0.0, 0.04, 7e5, 7e5 + 0.04], [0, 0.04, 0.08, 0.12]),
        ([0.0, 30.0, 31.0], [0, 30.0, 31.0]),
        ([0.0, -0.5, -0.4, 0.1], [0, 0.001, 0.002, 0.1]),
    ],
)
def test_clock(stamps: list[float | None], expected: list[float]) -> None:
    from minimeso.media.containers import Clock

    clock = Clock(25.0, 10.0)
    assert [clock.read(stamp) for stamp in stamps] == pytest.approx(expected)


def test_clock_whose_first_stamps_are_missing() -> None:
    from minimeso.media.containers import Clock

    clock = Clock(25.0, 3600.0)
    stamps = [None, None, 90.0, 90.04, 190.0]
    assert [clock.read(t) for t in stamps] == pytest.approx([0, 0.04, 0.08, 0.12, 100.08])


def test_clock_that_stands_still() -> None:
    from minimeso.media.containers import Clock

    clock = Clock(25.0, None)
    times = [clock.read(3.0) for _ in range(100)] + [clock.read(3.04)]
    assert (np.diff(times) > 0).all()
    assert times[8:] == pytest.approx(np.arange(93) / 25 + times[8])
    clock = Clock(None, None)
    assert clock.step == 1 / 25


def test_a_gif_is_no_transport_stream() -> None:
    """Though it begins with a G, and so do the places where packets would begin."""
    data = bytearray(b"GIF89a" + bytes(600) + b";")
    data[188] = data[376] = ord("G")
    assert not containers.ends_early(io.BytesIO(bytes(data)))
    packets = bytearray(188 * 4)
    packets[::188] = b"GGGG"
    assert not containers.ends_early(io.BytesIO(bytes(packets)))
    assert containers.ends_early(io.BytesIO(bytes(packets[:-5])))


def test_a_length_beyond_all_numbers(tmp_path: Path) -> None:
    """A tag of Matroska, whose hours have 400 digits."""
    pytest.importorskip("av")

    def tagged(stream: Any) -> None:
        stream.metadata["DURATIOX"] = "9" * 400 + ":00:00"  # the muxer writes its own DURATION

    data = clip_bytes("matroska", "mpeg4", set_up=tagged)
    data = data.replace(b"DURATION", b"DURATIOY").replace(b"DURATIOX", b"DURATION")
    (tmp_path / "a.mkv").write_bytes(data)
    with open_clip(tmp_path / "a.mkv", every_frame=True) as clip:
        assert len(list(clip)) == 10 and (clip.duration is None or clip.duration < 1)
    assert origin_of(tmp_path / "a.mkv") is not None


@pytest.mark.parametrize("start", [0, 90_000])
@pytest.mark.parametrize("kind", ["matroska", "webm", "asf", "flv", "nut", "mp4", "mpegts", "ogg"])
def test_the_times_of_a_live_stream_add_nothing_to_the_length(
    tmp_path: Path, kind: str, start: int
) -> None:
    """Of some containers the length counts from zero; nothing is missing there for that."""
    pytest.importorskip("av")
    codec = {"webm": "libvpx", "ogg": "libvpx", "flv": "flv", "mpegts": "mpeg2video"}
    stamps = range(start, start + 50)
    data = clip_bytes(kind, codec.get(kind, "mpeg4"), frames=50, stamps=stamps)
    if kind == "flv":  # a recorder that does not go back to write it
        at = data.index(b"duration") + 9
        data = data[:at] + bytes(8) + data[at + 8 :]
    path = tmp_path / "clip"
    path.write_bytes(data)
    with open_clip(path, every_frame=True) as clip:
        assert len(list(clip)) == 50
    assert clip.faults == ()
    assert clip.duration == pytest.approx(2, abs=0.1)
    told = origin_of(path)
    assert told is not None and told.duration == pytest.approx(2, abs=0.1)


def test_a_length_that_counts_from_the_first_frame(tmp_path: Path) -> None:
    """That of a track by mkvmerge, which says so by a tag."""
    pytest.importorskip("av")

    def tagged(stream: Any) -> None:
        stream.metadata["DURATIOX"] = "00:00:02.000000000"
        stream.metadata["_STATISTICS_TAGS"] = "BPS DURATION NUMBER_OF_FRAMES NUMBER_OF_BYTES"

    data = clip_bytes("matroska", "mpeg4", 50, stamps=range(25, 75), set_up=tagged)
    data = data.replace(b"DURATION", b"DURATIOY").replace(b"DURATIOX", b"DURATION")
    (tmp_path / "a.mkv").write_bytes(data)
    with open_clip(tmp_path / "a.mkv", every_frame=True) as clip:
        assert len(list(clip)) == 50 and clip.duration == pytest.approx(2, abs=0.05)


@pytest.mark.parametrize(
    "trailer",
    [
        b"\x12\x34\x56\x78\x9a\xbc\xde\xf0" * 100,
        b"\0\0\x01\x0bSEFH" + bytes(64) + b"SEFT",
        b"8db42d694ccc418790edff439fe026bf",
        b"\xff" * 300,
        bytes(300),
        b"\x7f",
    ],
)
def test_what_a_camera_appends_to_an_mp4_is_no_part_of_it(tmp_path: Path, trailer: bytes) -> None:
    """Some write data of their own behind the last part, which say no length that one can trust."""
    pytest.importorskip("av")
    path = tmp_path / "a.mp4"
    path.write_bytes(clip_bytes() + trailer)
    with open_clip(path, every_frame=True) as clip:
        assert len(list(clip)) == 10
    assert clip.faults == ()
