"""Sample tables of MP4 files: those that promise what no memory can hold are refused in time."""

from __future__ import annotations

import io
import resource
import struct
import zlib
from pathlib import Path

import pytest
from support.clips import SIZE, clip_bytes, clip_file, read, refused
from support.credentials import box
from support.memory import peak_of

from minimeso.media.containers import ends_early, last_whole_box
from minimeso.media.origin import origin_of
from minimeso.media.sample_tables import MAX_PARTS, MAX_SAMPLES, MAX_UNPACKED, promises
from minimeso.notes import Note


def full(kind: bytes, *words: int) -> bytes:
    """A part with version and flags 0 and numbers of 32 bits."""
    return box(kind, struct.pack(f">{1 + len(words)}I", 0, *words))


def track(
    count: int, handler: bytes = b"vide", times: tuple[int, ...] = (1,), size: int = 1
) -> bytes:
    """A track whose table of sizes says that so many samples have this one."""
    width, height = SIZE
    entry = struct.pack(
        ">6xH16xHHIIIH32sHh", 1, width, height, 0x480000, 0x480000, 0, 1, bytes(32), 24, -1
    )
    described = full(b"stsd", 1)[8:] + struct.pack(">I4s", 8 + len(entry), b"mjpa") + entry
    tables = (
        box(b"stsd", described)
        + full(b"stts", len(times), *(word for time in times for word in (count, time)))
        + full(b"stsc", 1, 1, count, 1)
        + full(b"stsz", size, count)
        + full(b"stco", 1, 100)
    )
    references = box(b"dinf", box(b"dref", struct.pack(">II", 0, 1) + full(b"url ")))
    media = (
        full(b"mdhd", 0, 0, 1000, 1000, 0)
        + box(b"hdlr", struct.pack(">II4s12xx", 0, 0, handler))
        + box(b"minf", full(b"vmhd", 0, 0) + references + box(b"stbl", tables))
    )
    head = struct.pack(">6I", 7, 0, 0, 1, 0, 1000) + bytes(60)
    return box(b"trak", box(b"tkhd", head) + box(b"mdia", media))


def movie(*tracks: bytes, behind: bytes = b"") -> bytes:
    header = full(b"mvhd", 0, 0, 1000, 1000, *[0] * 19, 2)
    return (
        box(b"ftyp", b"isom\0\0\2\0isom")
        + box(b"moov", header + b"".join(tracks))
        + behind
        + box(b"mdat", bytes(100))
    )


def fragment(count: int) -> bytes:
    runs = full(b"tfhd", 1) + full(b"trun", count)
    return box(b"moof", full(b"mfhd", 1) + box(b"traf", runs))


def compressed(inner: bytes) -> bytes:
    data = struct.pack(">I", len(inner)) + zlib.compress(inner)
    return box(b"cmov", box(b"dcom", b"zlib") + box(b"cmvd", data))


MANY = 80_000_000
BOMBS = {
    "sizes": movie(track(MANY)),
    "several": movie(*[track(MAX_SAMPLES // 4)] * 5),
    "sound": movie(track(MANY, b"soun", (1, 2))),
    "slow sound": movie(track(MANY, b"soun", (2,))),
    "perhaps no sound": movie(box(b"trak", track(MANY, b"soun")[8:] + box(b"hdlr", bytes(24)))),
    "fragment": movie(track(1), behind=fragment(MANY)),
    "fragments": movie(track(1), behind=fragment(MAX_SAMPLES // 50) * 60),
    "compressed": movie(compressed(track(MANY))),
    "huge": movie(track((1 << 32) - 1)),
    "in a strange place": movie(track(1), behind=box(b"udta", full(b"stsz", 1, MANY))),
    "long size": box(b"ftyp", b"isom\0\0\2\0isom")
    + struct.pack(">I4sQ", 1, b"moov", 16 + len(track(MANY)))
    + track(MANY),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_before_ffmpeg_has_it(name: str, tmp_path: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    path = tmp_path / "bomb.mp4"
    path.write_bytes(BOMBS[name])
    refused(path, "taken for a bomb")
    found = origin_of(path)
    assert found is not None and found.container is None
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < before + (100 << 10)


def test_sound_may_count_its_values() -> None:
    """An hour of plain sound in QuickTime has as many samples as values."""
    hour = 3600 * 48_000
    assert promises(io.BytesIO(movie(track(25), track(hour, b"soun", (1,), 2)))).samples == 25


@pytest.mark.parametrize("kind", ["mp4", "mov", "matroska", "avi", "mpegts"])
def test_a_clip_promises_what_it_has(kind: str) -> None:
    data = clip_bytes(kind)
    assert promises(io.BytesIO(data)).samples == (10 if kind in ("mp4", "mov") else 0)


def test_fragments_are_counted(tmp_path: Path) -> None:
    options = {"movflags": "frag_keyframe+empty_moov"}
    path = clip_file(tmp_path, container_options=options, options={"g": "3"})
    with path.open("rb") as file:
        assert promises(file).samples == 10
    assert len(read(path, every_frame=True)[1]) == 10


FRAGMENTS = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}


@pytest.mark.parametrize("kind", ["mp4", "mov"])
@pytest.mark.parametrize("options", [{}, {"movflags": "faststart"}, {"movflags": "frag_keyframe"}])
def test_clips_that_are_joined_byte_by_byte(
    kind: str, options: dict[str, str], tmp_path: Path
) -> None:
    """As by ``cat``: FFmpeg passes over the second, and nothing was said of that."""
    one, other = (clip_bytes(kind, frames=n, container_options=options) for n in (10, 7))
    (tmp_path / "joined").write_bytes(one + other)
    _, numbers, clip = read(tmp_path / "joined", every_frame=True)
    assert numbers == list(range(10)) and Note("first_clip_only") in clip.remarks


def test_what_is_one_clip_is_not_joined(tmp_path: Path) -> None:
    """As where a description comes again before later fragments, or a clip has a tail."""
    data = clip_bytes(container_options=FRAGMENTS, options={"g": "3"})
    at = data.index(b"moof") - 4
    for number, whole in enumerate((data, data[:at] + data, clip_bytes() + box(b"free", b""))):
        (tmp_path / str(number)).write_bytes(whole)
        assert not read(tmp_path / str(number), every_frame=True)[2].remarks


def test_what_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    for number, inner in enumerate((bytes(MAX_UNPACKED + 9), compressed(b"") * 100)):
        path = tmp_path / f"{number}.mov"
        path.write_bytes(movie(compressed(inner)))
        refused(path, "unpack to more than")


def test_what_is_no_description_is_not_copied_for_each_that_it_could_be() -> None:
    data = movie((b"cmvd" + bytes(8)) * 50 + bytes(1 << 22))
    file = io.BytesIO(data)
    promised, most = peak_of(lambda: promises(file))
    assert promised.samples == 0
    assert most < 1.5 * len(data)  # it is read once


def test_very_many_parts_take_no_minutes() -> None:
    file = io.BytesIO(box(b"ftyp", b"isom") + box(b"free", b"") * (2 * MAX_PARTS))
    assert promises(file).samples == 0
    assert not ends_early(file) and last_whole_box(file) is None
