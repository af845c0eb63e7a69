"""Files of several clips, joined byte by byte: where FFmpeg reads the first only, that is said."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.clips import animation_bytes, clip_bytes, made, numbered, read

from minimeso.media import joined
from minimeso.media.joined import start_of_second
from minimeso.notes import Note

#: Muxer, encoder, pixel format, size.
FIRST_ONLY = [
    ("flv", "flv", "yuv420p", (64, 48)),
    ("flv", "libx264", "yuv420p", (64, 48)),
    ("asf", "msmpeg4", None, (64, 48)),
    ("ivf", "libvpx", "yuv420p", (64, 48)),
    ("rm", "rv20", "yuv420p", (176, 144)),
    ("wtv", "mpeg2video", "yuv420p", (64, 48)),
    ("apng", "apng", "rgb24", (64, 48)),
    ("swf", "flv", "yuv420p", (64, 48)),
]


def clip_of(
    kind: str, codec: str, pix_fmt: str | None, size: tuple[int, int], first: int, count: int
) -> bytes:
    frames = [numbered(first + number, size) for number in range(count)]
    return made(kind, codec, pix_fmt, frames=frames)


@pytest.mark.parametrize(("kind", "codec", "pix_fmt", "size"), FIRST_ONLY)
@pytest.mark.parametrize("count", [1, 17, 120])
def test_that_only_the_first_is_read_is_said(
    kind: str, codec: str, pix_fmt: str | None, size: tuple[int, int], count: int, tmp_path: Path
) -> None:
    """And nothing of the second is taken for frames, as it was of RealMedia."""
    one = clip_of(kind, codec, pix_fmt, size, 0, 10)
    other = clip_of(kind, codec, pix_fmt, size, 100, count)
    for number, data in enumerate((one, one + other, one + other + one)):
        (tmp_path / str(number)).write_bytes(data)
        _, numbers, clip = read(tmp_path / str(number), every_frame=True)
        assert (numbers, clip.fault) == (list(range(10)), None)
        assert (Note("first_clip_only") in clip.remarks) == (number > 0)
        assert start_of_second(io.BytesIO(data), data[:256]) == (len(one) if number else None)


def test_of_animated_webp_browsers_show_the_first(tmp_path: Path) -> None:
    data = animation_bytes("WEBP")
    for times in (1, 2):
        (tmp_path / "clip").write_bytes(data * times)
        _, numbers, clip = read(tmp_path / "clip", every_frame=True)
        assert numbers == list(range(6)) and clip.fault is None
        assert (Note("first_clip_only") in clip.remarks) == (times == 2)


@pytest.mark.parametrize("kind", ["avi", "matroska", "mpegts", "mpeg", "gif"])
def test_of_others_all_are_read(kind: str, tmp_path: Path) -> None:
    codec, pix_fmt = {"gif": ("gif", "rgb8")}.get(kind, ("mpeg2video", "yuv420p"))
    parts = [clip_of(kind, codec, pix_fmt, (64, 48), first, 10) for first in (0, 100)]
    (tmp_path / "clip").write_bytes(b"".join(parts))
    _, numbers, clip = read(tmp_path / "clip", every_frame=True)
    assert numbers == [*range(10), *range(100, 110)] and not clip.remarks


def test_a_large_second_clip_is_not_read_from_its_middle_on(tmp_path: Path) -> None:
    """FFmpeg takes the head of a second FLV for a part of 5 MB, and looks for frames behind it."""
    one, other = (clip_of("flv", "flv", "yuv420p", (64, 48), first, 10) for first in (0, 100))
    tags = other[13:]
    (tmp_path / "clip").write_bytes(one + other + tags * (6_000_000 // len(tags)))
    _, numbers, clip = read(tmp_path / "clip", every_frame=True)
    assert numbers == list(range(10)) and Note("first_clip_only") in clip.remarks


@pytest.mark.parametrize("kind", range(len(joined._KINDS)))
@given(data=st.binary(max_size=600), zeros=st.booleans())
def test_whatever_follows_it_comes_to_an_end(kind: int, data: bytes, zeros: bool) -> None:
    layout = joined._KINDS[kind]
    whole = layout.signature + (bytes(24) if zeros else b"") + data
    found = start_of_second(io.BytesIO(whole), whole[:256])
    assert found is None or (0 < found < len(whole) and whole[found:].startswith(layout.signature))


def test_very_many_parts_take_no_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joined, "MOST_PARTS", 1000)
    head = b"FLV\x01\x05\0\0\0\x09\0\0\0\0"
    for count, found in ((900, True), (1100, False)):
        data = head + bytes(15) * count + head
        assert (start_of_second(io.BytesIO(data), data[:256]) is not None) == found


def test_a_file_that_says_little_of_itself_is_no_fault() -> None:
    data = clip_bytes("flv", "flv", pix_fmt="yuv420p")
    for cut in range(4, len(data), 7):
        assert start_of_second(io.BytesIO(data[:cut]), data[:cut][:256]) is None
