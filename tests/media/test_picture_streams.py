"""Streams of pictures, one behind the other: the first is judged, and that is said."""

from __future__ import annotations

import io
from typing import Any

import pytest
from PIL import Image
from support.clips import clip_bytes
from support.detectors import photo

from minimeso.media import behind, jpeg_scans
from minimeso.media.pictures import read_picture


def jpeg(**options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(photo()).save(file, "JPEG", **options)
    return file.getvalue()


def with_a_small_copy() -> bytes:
    exif = b"Exif\0\0" + jpeg() + jpeg()
    return jpeg(exif=exif)


def codes(data: bytes) -> list[str]:
    return [note.code for note in read_picture(data).notes]


@pytest.mark.parametrize("piece", [1, 2, 3, 5, 1 << 20])
@pytest.mark.parametrize(
    "data", [jpeg(), jpeg(progressive=True), jpeg(subsampling=0, quality=95), with_a_small_copy()]
)
def test_what_is_behind_the_first_is_told(
    data: bytes, piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jpeg_scans, "_PIECE", piece)
    assert codes(data + data) == ["first_frame_only"]
    for more in (b"", b"\0" * 9, b"\xff", b"\xff\xd8", b"\0" + data, b"\0\0\0\x18ftyp"):
        assert codes(data + more) == []


def test_a_camera_sends_such_a_stream() -> None:
    data = clip_bytes("mjpeg", "mjpeg", pix_fmt="yuvj420p")
    found = read_picture(data)
    assert [note.code for note in found.notes] == ["first_frame_only"] and found.complete


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_others_may_be_joined_too(kind: str) -> None:
    file = io.BytesIO()
    Image.fromarray(photo()).save(file, kind, **({"lossless": True} if kind == "WEBP" else {}))
    data = file.getvalue()
    one, two = read_picture(data), read_picture(data + data)
    assert (one.notes, [note.code for note in two.notes]) == ((), ["first_frame_only"])
    assert (one.pixels == photo()).all() and (two.pixels == photo()).all()
    assert codes(data + b"more") == []


def test_two_pictures_of_one_phone_are_one() -> None:
    """The second of an MPO file is another size of the first, or its depth."""
    file = io.BytesIO()
    image = Image.fromarray(photo())
    image.save(file, "MPO", save_all=True, append_images=[image.rotate(180)])
    assert codes(file.getvalue()) == []


@pytest.mark.parametrize(
    ("marker", "content"),
    [
        (0xE2, b"MPF\0MM\0*"),
        (
            0xE1,
            b"http://ns.adobe.com/xap/1.0/\0<x C='http://ns.google.com/photos/1.0/container/'/>",
        ),
    ],
)
def test_what_belongs_to_a_photograph_is_no_other(marker: int, content: bytes) -> None:
    """How bright each pixel is on a better screen (Ultra HDR), or how far away."""
    data, part = jpeg(), jpeg()
    segment = bytes([0xFF, marker]) + (len(content) + 2).to_bytes(2, "big") + content
    assert codes(data[:2] + segment + data[2:] + part) == []


@pytest.mark.parametrize("piece", [1, 7, 1 << 20])
@pytest.mark.parametrize("between", [b"", b"\0\0\x2f\x0aMotionPhoto_Data", jpeg()])
def test_the_clip_of_a_moving_photograph_is_told(
    between: bytes, piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Phones put it behind the picture, and behind what tells how bright each pixel is."""
    monkeypatch.setattr(behind, "_PIECE", piece)
    file = io.BytesIO()
    image = Image.fromarray(photo())
    image.save(file, "MPO", save_all=True, append_images=[image.rotate(180)])
    for picture in (jpeg(), file.getvalue(), with_a_small_copy()):
        for brand in (b"mp42", b"isom", b"qt  "):
            found = codes(picture + between + b"\0\0\0\x18ftyp" + brand + bytes(12))
            assert found[-1:] == ["clip_behind"] and len(found) <= 2
        assert "clip_behind" not in codes(picture + between + b"\0\0\0\x18ftypheic" + bytes(12))


def test_the_clip_of_a_heif_photograph_is_told() -> None:
    pytest.importorskip("pillow_heif")
    from minimeso.media.formats import opener

    opener("HEIF")
    file = io.BytesIO()
    Image.fromarray(photo()).save(file, "HEIF")
    data = file.getvalue()
    clip = b"\0\0\0\x18ftypmp42" + bytes(12)
    assert codes(data) == []
    assert codes(data + (8 + len(clip)).to_bytes(4, "big") + b"mpvd" + clip) == ["clip_behind"]


def test_wherever_it_is_cut() -> None:
    data = jpeg() * 2
    for cut in range(0, len(data), 13):
        file = io.BytesIO(data[:cut])
        file.seek(min(cut, 5))
        assert jpeg_scans.has_another(file) == (cut >= len(data) // 2 + 3)
        assert file.tell() == min(cut, 5)
