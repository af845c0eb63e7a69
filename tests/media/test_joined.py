"""Files of several clips, joined byte by byte: where FFmpeg reads the first only, that is said."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from PIL.Image import Palette
from support.clips import animation_bytes, clip_bytes, made, numbered, read

from minimeso.media import joined
from minimeso.media.joined import Others, others
from minimeso.media.ts_tables import changes_of_codec
from minimeso.media.video import open_clip
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
        assert others(io.BytesIO(data), data[:256]).starts == (len(one),) * (number > 0)


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


@pytest.mark.parametrize("count", [2, 3, 20])
@pytest.mark.parametrize("kind", ["avi", "matroska", "gif"])
def test_many_are_all_read_or_it_is_said(kind: str, count: int, tmp_path: Path) -> None:
    """Of Matroska FFmpeg left out the third and what followed, in silence; AVI and GIF beyond the
    seventeenth made us leave out all but the first."""
    codec, pix_fmt = {"gif": ("gif", "rgb8")}.get(kind, ("mpeg2video", "yuv420p"))
    one = clip_of(kind, codec, pix_fmt, (64, 48), 0, 5)
    (tmp_path / "clip").write_bytes(one * count)
    _, numbers, clip = read(tmp_path / "clip", every_frame=True)
    all_of_them = kind != "matroska" or count == 2
    assert numbers == list(range(5)) * (count if all_of_them else 1) and clip.fault is None
    assert (Note("first_clip_only") in clip.remarks) == (not all_of_them)


@pytest.mark.parametrize("codec", ["mpeg1video", "libx264"])
def test_a_short_lead_in_is_not_all_that_is_read(codec: str, tmp_path: Path) -> None:
    """Broadcasts are recorded from a moment before they begin."""
    lead_in = clip_of("mpegts", codec, "yuv420p", (64, 48), 0, 3)
    programme = clip_of("mpegts", "mpeg2video", "yuv420p", (64, 48), 100, 140)
    (tmp_path / "clip").write_bytes(lead_in + programme)
    _, numbers, clip = read(tmp_path / "clip", every_frame=True)
    assert numbers[-140:] == list(range(100, 240)) and clip.remarks == ()


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
    places = [0, *others(io.BytesIO(whole), whole[:256]).starts]
    assert all(whole[place:].startswith(layout.signature) for place in places)
    assert sorted(set(places)) == places and len(places) <= 1 + joined.MOST_OTHERS


def test_very_many_parts_take_no_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joined, "MOST_PARTS", 1000)
    head = b"FLV\x01\x05\0\0\0\x09\0\0\0\0"
    for count, found in ((900, True), (1100, False)):
        data = head + bytes(15) * count + head
        assert bool(others(io.BytesIO(data), data[:256]).starts) == found


def test_a_file_that_says_little_of_itself_is_no_fault() -> None:
    data = clip_bytes("flv", "flv", pix_fmt="yuv420p")
    for cut in range(4, len(data), 7):
        assert others(io.BytesIO(data[:cut]), data[:cut][:256]) == Others()


AVI = ("avi", "mpeg4", None), ("avi", "mjpeg", "yuvj420p"), ("avi", "libx264", "yuv420p")
MATROSKA = (
    ("matroska", "libx264", "yuv420p"),
    ("matroska", "ffv1", "yuv420p"),
    ("webm", "libvpx", "yuv420p"),
)


@pytest.mark.parametrize("one", [*AVI, *MATROSKA])
@pytest.mark.parametrize("large", [False, True])
def test_only_what_is_described_alike_is_read_as_one(
    one: tuple[str, str, str | None], large: bool, tmp_path: Path
) -> None:
    """Frames of the second were decoded as if they were of the first: damaged, or noise."""
    size = (128, 96) if large else (64, 48)
    first = clip_of(*one, (64, 48), 0, 10)
    for other in AVI if one in AVI else MATROSKA:
        (tmp_path / "clip").write_bytes(first + clip_of(*other, size, 100, 7))
        _, numbers, clip = read(tmp_path / "clip", every_frame=True)
        alike = one == other and not (large and one in MATROSKA[:2])
        assert numbers == [*range(10), *(range(100, 107) if alike else ())]
        assert clip.fault is None
        assert (Note("first_clip_only") in clip.remarks) == (not alike)


def test_one_clip_in_many_parts_is_no_joined_one(tmp_path: Path) -> None:
    """What browsers record says of nothing how long it is."""
    live = {"live": "1"}
    for count in (1, 2, joined.MOST_OTHERS + 1):
        data = clip_bytes("webm", "libvpx", pix_fmt="yuv420p", container_options=live)
        found = others(io.BytesIO(data * count), data[:256])
        assert found == Others(
            tuple(len(data) * n for n in range(1, count))[: joined.MOST_OTHERS], True
        )
        (tmp_path / "clip").write_bytes(data * count)
        _, numbers, clip = read(tmp_path / "clip", every_frame=True)
        assert numbers == list(range(10)) * (count if count < joined.MOST_OTHERS else 1)
        assert (Note("first_clip_only") in clip.remarks) == (count > joined.MOST_OTHERS)


def test_the_others_may_be_damaged(tmp_path: Path) -> None:
    first, other = (clip_of("avi", "mpeg4", None, (64, 48), n, 10) for n in (0, 100))
    (tmp_path / "clip").write_bytes(first + other[:60])
    _, numbers, clip = read(tmp_path / "clip", every_frame=True)
    assert numbers == list(range(10)) and Note("first_clip_only") in clip.remarks


def gif(*colours: str, size: tuple[int, int] = (16, 16)) -> bytes:
    images = [Image.new("RGB", size, c).convert("P", palette=Palette.ADAPTIVE) for c in colours]
    file = io.BytesIO()
    images[0].save(file, "GIF", save_all=True, append_images=images[1:], duration=100)
    return file.getvalue()


@pytest.mark.parametrize("piece", [3, 1 << 20])
@pytest.mark.parametrize("large", [False, True])
def test_a_gif_has_its_own_colours(
    large: bool, piece: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FFmpeg took those of the first for the second, too: blue came out red."""
    monkeypatch.setattr(joined, "_PIECE_BYTES", piece)
    one, other = gif("red", "lime"), gif("blue", "yellow", size=(32, 32) if large else (16, 16))
    for data, count, is_said in ((one, 2, False), (one + one, 4, False), (one + other, 2, True)):
        (tmp_path / "clip").write_bytes(data)
        with open_clip(tmp_path / "clip", every_frame=True) as clip:
            seen = [tuple(pixels[4, 4]) for _, pixels in clip]
        assert seen == [(255, 0, 0), (0, 255, 0)] * (count // 2)
        assert (Note("first_clip_only") in clip.remarks) == is_said and clip.fault is None
    found = others(io.BytesIO(one + one + other), one)
    assert found == Others((len(one), 2 * len(one)), False)


CODECS = ("libx264", "mpeg2video", "libx265")


@pytest.mark.parametrize("disc", [{}, {"mpegts_m2ts_mode": "1"}])
@pytest.mark.parametrize("one", CODECS)
def test_transport_streams_of_several_codecs(
    one: str, disc: dict[str, str], tmp_path: Path
) -> None:
    """Of the first nothing came, or of the second, and nothing was said."""
    made_of = {"pix_fmt": "yuv420p", "container_options": disc}
    first = made("mpegts", one, frames=10, **made_of)
    for codec in CODECS:
        frames = [numbered(100 + number) for number in range(7)]
        (tmp_path / "clip").write_bytes(first + made("mpegts", codec, frames=frames, **made_of))
        _, numbers, clip = read(tmp_path / "clip", every_frame=True)
        assert numbers == [*range(10), *(range(100, 107) if codec == one else ())]
        assert (Note("first_clip_only") in clip.remarks) == (codec != one) and clip.fault is None


@given(data=st.binary(max_size=900), places=st.lists(st.integers(0, 899), max_size=6))
def test_tables_that_are_none(data: bytes, places: list[int]) -> None:
    whole = bytearray((b"G@" + data).ljust(5 * 188, b"G"))
    for place in (*places, *range(0, len(whole), 188)):
        whole[place] = 0x47
    assert changes_of_codec(io.BytesIO(whole)) == ()


@given(data=st.binary(max_size=400), count=st.integers(0, 5))
def test_packets_that_are_none_come_to_an_end(data: bytes, count: int) -> None:
    """Whatever stands where packets may begin: heads of tables, cut short, in pieces."""
    head = bytes.fromhex("474000 10 00 00b00d0001c10000")
    changes_of_codec(io.BytesIO((head * count + data) * 3))


#: MPEG-2 and then H.264 under one number, as after a change of programme, a fifth of the packets
#: with other contents; the first part is short, or the first packet is not whole.
DAMAGED = """
import io, random, sys
from minimeso import PictureError
from minimeso.media.pictures import Unreadable
from minimeso.media.streams import stream_of
from minimeso.media.video import open_clip
one, other = (open(path, "rb").read() for path in sys.argv[1:])
packets = [[data[at : at + 188] for at in range(0, len(data), 188)] for data in (one, other)]
number = lambda packet: packet[1] % 32 * 256 + packet[2]
tables = [[p for p in of if number(p) in (0, 0x1000)] for of in packets]
contents = [p for of in packets for p in of if number(p) == 0x100]
for seed in range(300):
    r, parts = random.Random(seed), []
    for of, most in zip(tables, (3, 60) if seed % 2 else (30, 30)):
        parts += of[:2]
        for _ in range(r.randint(3, most)):
            at = r.randrange(len(contents))
            parts += r.sample(of, 1) if r.random() < 0.2 else contents[at : at + r.randint(1, 4)]
    parts = [p if r.random() < 0.8 else p[:4] + r.randbytes(184) for p in parts]
    if seed % 2 == 0:
        parts[0] = parts[0][r.randrange(188) :]
    try:
        with stream_of(io.BytesIO(b"".join(parts))) as stream, open_clip(stream) as frames:
            next(iter(frames), None)
    except (PictureError, Unreadable):
        pass
"""


def test_a_damaged_change_of_codec_ends_no_process(tmp_path: Path) -> None:
    """FFmpeg 8 asserts where it still knows the codec before."""
    paths = [str(tmp_path / codec) for codec in ("mpeg2video", "libx264")]
    noise = np.random.default_rng(1).integers(0, 40, (6, 240, 320, 3), np.uint8)
    for path in paths:
        Path(path).write_bytes(made("mpegts", Path(path).name, "yuv420p", frames=list(noise)))
    done = subprocess.run([sys.executable, "-c", DAMAGED, *paths], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("head", [b"G@\0\x10", bytes.fromhex("47400010 00 00b00d0001c10000")])
def test_very_many_tables_take_no_minutes(head: bytes) -> None:
    with pytest.raises(ValueError, match="more tables"):
        changes_of_codec(io.BytesIO(head * (1 << 17)))
