"""Clips that begin between two key frames: what cannot be shown is said, and not judged."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.clips import KINDS, clip_bytes, made, read, refused
from support.detectors import constant_detector

from minimeso import Detector
from minimeso.media.key_frames import spans
from minimeso.media.video import open_clip
from minimeso.notes import Note

av = pytest.importorskip("av")

CODE = "before_key_frame"
SIZE = (128, 96)
#: Muxer, encoder, pixel format, options, and the first frame that can be shown if six packets lack.
BEGUN = [
    ("mp4", "libx264", "yuv420p", {}, 20),
    ("mpegts", "libx264", "yuv420p", {}, 20),
    ("matroska", "libx264", "yuv420p", {"bf": "0"}, 20),
    ("flv", "libx264", "yuv420p", {}, 20),
    ("h264", "libx264", "yuv420p", {}, 20),
    ("mpegts", "mpeg2video", "yuv420p", {}, 20),
    ("mpeg", "mpeg1video", "yuv420p", {}, 20),
    ("mp4", "mpeg4", None, {}, 20),
    ("avi", "mpeg4", None, {}, 20),
    ("avi", "mpeg4", None, {"bf": "2"}, 21),
    ("asf", "msmpeg4", None, {}, 20),
    ("asf", "wmv2", None, {}, 20),
    ("flv", "flv", "yuv420p", {}, 20),
    ("3gp", "h263", "yuv420p", {}, 20),
    ("webm", "libvpx", "yuv420p", {}, 20),
    ("webm", "libvpx-vp9", "yuv420p", {}, 20),
]


def without(
    data: bytes,
    kind: str,
    packets: int,
    mark: Callable[[Any], None] = lambda packet: None,
) -> bytes:
    """A clip that lacks its first packets, so many or, below 0, those before the n-th key frame."""
    file, number, keys = io.BytesIO(), 0, 0
    with av.open(io.BytesIO(data)) as source, av.open(file, "w", format=kind) as target:
        track = source.streams.video[0]
        copied: Any = target.add_stream_from_template(track)
        for packet in source.demux(track):
            if not packet.size:
                continue
            number, keys = number + 1, keys + packet.is_keyframe
            if number > packets >= 0 or (packets < 0 and keys > -packets):
                packet.stream = copied
                mark(packet)
                target.mux(packet)
    return file.getvalue()


def begun(kind: str, codec: str, pix_fmt: str | None, **options: str) -> bytes:
    """60 frames, a key frame in 20."""
    first = "matroska" if kind == "h264" else kind  # which says where a frame ends
    return made(first, codec, pix_fmt, frames=60, size=SIZE, options={"g": "20", **options})


@pytest.mark.parametrize(("kind", "codec", "pix_fmt", "options", "first"), BEGUN)
def test_said_and_not_judged(
    tmp_path: Path, kind: str, codec: str, pix_fmt: str | None, options: dict[str, str], first: int
) -> None:
    """Of some codecs nothing was said, of the others a drawing on grey was judged, or the clip was
    called damaged."""
    path = tmp_path / "clip"
    path.write_bytes(without(begun(kind, codec, pix_fmt, **options), kind, 6))
    for choice in ({"every_frame": True}, {}):
        times, numbers, clip = read(path, **choice)
        assert numbers[0] == first and times[0] == 0
        assert clip.fault is None
        (note,) = clip.remarks
        assert note.code == CODE and 0.4 < note.values["seconds"] < 1
        assert 1 <= note.values["frames"] <= 15
    times, numbers, clip = read(path, every_frame=True)
    assert numbers == list(range(first, 60)) and clip.frames_read == len(numbers)


@pytest.mark.parametrize(("kind", "codec", "pix_fmt"), KINDS)
def test_nothing_is_said_of_whole_clips(
    tmp_path: Path, kind: str, codec: str, pix_fmt: str | None
) -> None:
    path = tmp_path / "clip"
    path.write_bytes(made(kind, codec, pix_fmt, frames=20))
    assert read(path)[2].remarks == ()


X265 = "log-level=none:open-gop=1:keyint=12:bframes=4"
X264 = "open-gop=1:keyint=12:bframes=3:b-pyramid=normal"
OPEN = [
    ("mpegts", "libx264", {"x264-params": X264}),
    ("mp4", "libx264", {"x264-params": X264}),
    ("mpegts", "libx265", {"x265-params": X265}),
    ("mp4", "libx265", {"x265-params": X265}),
    ("mpegts", "mpeg2video", {"bf": "2", "g": "12"}),
]


@pytest.mark.parametrize("from_key", [0, 1, 2])
@pytest.mark.parametrize(("kind", "codec", "options"), OPEN)
def test_frames_that_lead_to_a_key_frame_are_not_missed(
    tmp_path: Path, kind: str, codec: str, options: dict[str, str], from_key: int
) -> None:
    """Where a clip was cut at a key frame, those that are shown before it and come behind it in the
    file refer to what was cut off: players leave them out, too."""
    data = made(kind, codec, "yuv420p", frames=48, options=options, size=SIZE)
    path = tmp_path / "clip"
    path.write_bytes(without(data, kind, -from_key) if from_key else data)
    _, numbers, clip = read(path, every_frame=True)
    assert len(numbers) > 10 and clip.remarks == () and clip.fault is None


def test_samples_that_an_edit_list_hides_are_not_missed(tmp_path: Path) -> None:
    """A trimmed clip keeps those from the key frame before."""
    data = begun("mp4", "libx264", "yuv420p")
    at = data.index(b"elst")
    path = tmp_path / "trimmed.mp4"
    later = int.from_bytes(data[at + 16 : at + 20], "big") + 5 * 512  # five frames of 25 a second
    path.write_bytes(data[: at + 16] + later.to_bytes(4, "big") + data[at + 20 :])
    _, numbers, clip = read(path, every_frame=True)
    assert numbers[0] == 5 and clip.remarks == ()


def test_marks_of_the_container_may_lie(tmp_path: Path) -> None:
    path = tmp_path / "clip"

    def no_key(packet: Any) -> None:
        packet.is_keyframe = False

    def key(packet: Any) -> None:
        packet.is_keyframe = True

    for codec in ("libx264", "mpeg4"):
        whole = begun("matroska", codec, "yuv420p")
        path.write_bytes(without(whole, "matroska", 0, no_key))
        _, numbers, clip = read(path, every_frame=True)
        assert numbers == list(range(60)) and clip.remarks == () and clip.frames_read == 60
    path.write_bytes(without(whole, "matroska", 6, key))
    _, numbers, clip = read(path, every_frame=True)
    assert numbers == list(range(20, 60))
    assert clip.remarks == (Note(CODE, {"frames": 14, "seconds": pytest.approx(0.56)}),)


def test_refreshed_bit_by_bit(tmp_path: Path) -> None:
    """There is no key frame at all, and what is shown builds on some frames before."""
    whole = made(
        "mpegts", "libx264", "yuv420p", frames=48, size=SIZE,
        options={"x264-params": "intra-refresh=1:keyint=12"},
    )  # fmt: skip
    path = tmp_path / "clip.ts"
    path.write_bytes(without(whole, "mpegts", 13))
    _, numbers, clip = read(path, every_frame=True)
    (note,) = clip.remarks
    assert note.code == CODE
    assert note.values["seconds"] == pytest.approx((numbers[0] - 13) / 25, abs=0.09)


@pytest.mark.parametrize(("kind", "codec"), [("matroska", "libx264"), ("matroska", "mpeg4")])
def test_no_key_frame_at_all(tmp_path: Path, kind: str, codec: str) -> None:
    data = made(kind, codec, "yuv420p", frames=15, size=SIZE, options={"g": "20"})
    path = tmp_path / "clip"
    path.write_bytes(without(data, kind, 3))
    refused(path, r"not one frame can be read \(its first 0\.5 s cannot be shown")


def test_what_begins_late_is_not_cut_short(tmp_path: Path) -> None:
    """Of FLV only a length tells, which counts from the first packet."""
    data = clip_bytes(
        "flv", "libx264", 200, pix_fmt="yuv420p", options={"g": "100"}, size=SIZE, rate=25
    )
    path = tmp_path / "clip.flv"
    path.write_bytes(without(data, "flv", 2))
    _, _, clip = read(path)
    assert clip.fault is None and [note.code for note in clip.remarks] == [CODE]


def test_a_piece_says_it_as_the_whole(tmp_path: Path) -> None:
    path = tmp_path / "clip.mkv"
    path.write_bytes(without(begun("matroska", "libx264", "yuv420p"), "matroska", 6))
    pieces = spans(path, 0.8, 1.0)
    assert len(pieces) == 2
    said = []
    for piece in pieces:
        with open_clip(path, every_frame=True, span=piece) as clip:
            frames = list(clip)
        said.append((len(frames), [note.code for note in clip.remarks], clip.fault))
    assert said == [(20, [CODE], None), (20, [], None)]


def test_a_verdict_says_it_and_is_of_no_part(tmp_path: Path) -> None:
    path = tmp_path / "clip.ts"
    path.write_bytes(without(begun("mpegts", "libx264", "yuv420p"), "mpegts", 6))
    verdict = Detector(constant_detector(0.0)).check(path)
    assert verdict.status == "no_face" and verdict.frames_read == 40
    assert "its first 0.6 s cannot be shown" in (verdict.note or "")
