"""Origin of a file: what metadata say is read, and files that were made to hurt do no harm."""

from __future__ import annotations

import hashlib
import io
import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from support.clips import clip_bytes, clip_file
from support.credentials import (
    CLAIM,
    STORE,
    TRAINED,
    box,
    cbor,
    gif,
    jpeg,
    jumb,
    png,
    riff_chunk,
    store,
    tiff,
    uuid_box,
    webp,
)
from support.detectors import photo

from minimeso.media import origin as origin_module
from minimeso.media.jumbf import Cbor, Credentials, as_text, credentials_of
from minimeso.media.origin import Origin, _source_type, jpeg_boxes, origin_of
from minimeso.media.outer_boxes import gif_applications, riff_chunks

FOUND = Credentials("Some Camera 1.2", TRAINED)
PICTURES = [jpeg, png, webp, tiff, gif]


def origin(path: Path, data: bytes) -> Origin:
    path.write_bytes(data)
    found = origin_of(path)
    assert found is not None
    assert (found.name, found.size) == (path.name, len(data))
    assert found.sha256 == hashlib.sha256(data).hexdigest()
    return found


def test_a_jpeg(tmp_path: Path) -> None:
    found = origin(tmp_path / "a.jpg", jpeg())
    assert (found.container, found.software, found.c2pa) == ("JPEG", "Editor 9", FOUND)
    assert found.digital_source_type == TRAINED
    assert found.to_json()["c2pa"] == {
        "claim_generator": "Some Camera 1.2", "signature": "not verified",
    }  # fmt: skip


def test_a_png(tmp_path: Path) -> None:
    found = origin(tmp_path / "a.png", png())
    assert (found.container, found.software, found.c2pa) == ("PNG", "Painter", FOUND)


@pytest.mark.parametrize(
    ("make", "container", "software"),
    [(webp, "WEBP", None), (tiff, "TIFF", "Scanner"), (gif, "GIF", None)],
)
@pytest.mark.parametrize("odd", [False, True])
def test_other_pictures(
    make: Callable[[bytes], bytes],
    container: str,
    software: str | None,
    odd: bool,
    tmp_path: Path,
) -> None:
    found = origin(tmp_path / "a", make(store({**CLAIM, "odd": "x" * (300 + odd)})))
    assert (found.container, found.software, found.c2pa) == (container, software, FOUND)
    assert found.digital_source_type == TRAINED
    assert origin(tmp_path / "b", make(jumb("other"))).c2pa is None


def test_an_avi(tmp_path: Path) -> None:
    clip = clip_bytes("avi")
    assert origin(tmp_path / "a.avi", clip).c2pa is None
    assert origin(tmp_path / "b.avi", riff_chunk(clip)).c2pa == FOUND


def test_tags_that_are_no_utf8(tmp_path: Path) -> None:
    """Every PyAV leaves text of them that can be written."""
    clip = clip_bytes("avi").replace(b"Lavf", b"La\xe9f")
    software = origin(tmp_path / "a.avi", clip).software
    assert software is not None and software.startswith("La\ufffdf")
    assert as_text("a\udcff \ud800b") == "a\ufffd \ufffdb"


@pytest.mark.parametrize("kind", ["matroska", "webm"])
@pytest.mark.parametrize("type_", ["application/c2pa", "application/x-c2pa-manifest-store"])
def test_what_is_attached_to_a_matroska_file(kind: str, type_: str, tmp_path: Path) -> None:
    codec = "mpeg4" if kind == "matroska" else "libvpx"

    def attached(type_: str) -> Origin:
        def attach(stream: Any) -> None:
            stream.container.add_attachment("manifest.c2pa", type_, STORE)

        # the muxer writes the letters of WebM, but takes no attachment for it: a reader does
        data = clip_bytes("matroska", codec, set_up=attach)
        if kind == "webm":
            data = data.replace(b"\x42\x82\x88matroska", b"\x42\x82\x88webm\0\0\0\0", 1)
        return origin(tmp_path / f"a.{kind}", data)

    assert attached(type_).c2pa == FOUND
    assert attached("font/ttf").c2pa is None


def test_an_mp4(tmp_path: Path) -> None:
    clip = clip_file(tmp_path, "clip.mp4").read_bytes()
    found = origin(tmp_path / "a.mp4", clip + uuid_box())
    assert found.c2pa == FOUND and "mp4" in (found.container or "") and found.codec == "mpeg4"
    assert found.digital_source_type == TRAINED and "Lavf" in (found.encoder or "")
    assert found.duration and 0 < found.duration < 60
    plain = origin(tmp_path / "b.mp4", clip)
    assert plain.c2pa is None and plain.digital_source_type is None


def test_an_avif(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    try:
        Image.fromarray(photo()).save(buffer, "AVIF")
    except (KeyError, OSError):  # before Pillow 11.3, or built without libavif
        pytest.skip("this Pillow writes no AVIF: before 11.3, or built without libavif")
    found = origin(tmp_path / "a.avif", buffer.getvalue() + uuid_box())
    assert (found.container, found.c2pa) == ("AVIF", FOUND)


@pytest.mark.parametrize(
    ("claim", "label", "generator"),
    [
        ({"claim_generator": "App/1 lib/2"}, "c2pa.claim", "App/1 lib/2"),
        ({"claim_generator_info": [{"name": "A"}]}, "c2pa.claim", "A"),
        ({"claim_generator_info": 5, "claim_generator": b"x\xff"}, "c2pa.claim", "x\ufffd"),
        ({"claim_generator": "  "}, "c2pa.claim", None),
        ({"claim_generator": "a" * 10_000}, "c2pa.claim", "a" * 200),
        ([1, -5, "x"], "c2pa.claim", None),
    ],
)  # fmt: skip
def test_claims(claim: object, label: str, generator: str | None) -> None:
    assert credentials_of(store(claim, label)) == Credentials(generator, TRAINED)


def test_other_boxes_are_none() -> None:
    assert credentials_of(jumb("some.other", jumb("c2pa.claim"))) is None
    assert credentials_of(box(b"jumb", b"")) is None and credentials_of(b"") is None
    assert credentials_of(jumb("c2pa")) == Credentials()


@pytest.mark.parametrize(
    "text",
    [
        f'<a:DigitalSourceType>{TRAINED}</a:DigitalSourceType>',
        f"x DigitalSourceType = '{TRAINED}'",
        f'<I:DigitalSourceType rdf:resource="{TRAINED}"/>',
    ],
)  # fmt: skip
def test_digital_source_type(text: str) -> None:
    assert _source_type(text) == TRAINED == _source_type(tuple(text.encode()))


def test_nothing_is_said_of_what_cannot_be_read(tmp_path: Path) -> None:
    assert origin_of(tmp_path / "gone.jpg") is None and origin_of(tmp_path) is None
    assert origin_of("\0") is None
    found = origin(tmp_path / "a.txt", b"neither picture nor clip")
    assert found.container is None and found.c2pa is None


# --- hostile -----------------------------------------------------------------------------


def test_stores_cut_short_at_every_length() -> None:
    for length in range(len(STORE)):
        assert credentials_of(STORE[:length]) is None


def test_values_cut_short_at_every_length() -> None:
    data = cbor({"a": [1, -70_000, "b", b"c" * 300], "d": {"e": "f"}})
    assert Cbor(data).value() == {"a": [1, -70_000, "b", b"c" * 300], "d": {"e": "f"}}
    for length in range(len(data)):
        with pytest.raises(ValueError, match="early"):
            Cbor(data[:length]).value()


@pytest.mark.parametrize("make", [jpeg, png])
def test_pictures_cut_short_at_every_length(make: Callable[[], bytes], tmp_path: Path) -> None:
    data = make()
    for length in [*range(1, 1400, 3), *range(1400, len(data), 97)]:
        found = origin(tmp_path / "a", data[:length])
        assert found.c2pa in (None, Credentials(), FOUND)


@pytest.mark.parametrize("make", [webp, tiff, gif])
def test_other_pictures_cut_short(make: Callable[[], bytes], tmp_path: Path) -> None:
    data = make()
    for length in [*range(1, 900, 19), *range(900, len(data), len(data) // 40)]:
        assert origin(tmp_path / "a", data[:length]).c2pa in (None, Credentials(), FOUND)


def test_a_clip_cut_short(tmp_path: Path) -> None:
    data = clip_file(tmp_path, "clip.mp4").read_bytes() + uuid_box()
    for length in [*range(1, len(data), len(data) // 40), *range(len(data) - 900, len(data), 7)]:
        assert origin(tmp_path / "a.mp4", data[:length]).c2pa is None


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 2**31, 2**32 - 1])
def test_sizes_that_lie(size: int, tmp_path: Path) -> None:
    """Of every box: whatever it says, something or nothing is found, at once."""
    kinds = (b"jumb", b"jumd", b"cbor")
    starts = [at - 4 for at in range(4, len(STORE)) if STORE[at : at + 4] in kinds]
    for start in starts:
        data = STORE[:start] + struct.pack(">I", size) + STORE[start + 4 :]
        found = credentials_of(data) or Credentials()
        assert found.claim_generator in (None, "Old", "Some Camera 1.2")
        assert found.digital_source_type in (None, TRAINED)
    for lying in (uuid_box()[4:], uuid_box()[4:12] * 1000):
        clip = box(b"ftyp", b"isom" + bytes(4)) + struct.pack(">I", size) + lying
        origin(tmp_path / "a.mp4", clip)


@pytest.mark.parametrize("size", [0, 1, 2**31 - 1, 2**32 - 1])
def test_chunks_that_lie(size: int) -> None:
    chunk = b"C2PA" + struct.pack("<I", size)
    for whole in (b"RIFF" + struct.pack("<I", size) + b"WEBP", b"RIFF\xff\xff\xff\xffWEBP"):
        for data in (whole + chunk, whole + chunk * 10_000, whole + chunk + STORE):
            found = list(riff_chunks(io.BytesIO(data), len(data), b"C2PA"))
            assert len(found) <= 4096 and all(len(content) == size for content in found)


def test_extensions_that_lie() -> None:
    head = b"GIF89a" + bytes(7)
    name = b"!\xff\x0bC2PA_GIF\1\0\0"
    for data in (name + b"\xff", name + b"\1a" * 200_000, name, name + b"\0", b"!", b"!\xff\0" * 9):
        found = list(gif_applications(io.BytesIO(head + data), b"C2PA_GIF"))
        assert found in ([], [b""])
    table = b"GIF89a" + bytes(4) + b"\xf7" + bytes(2)  # says that 768 bytes of colours follow
    assert list(gif_applications(io.BytesIO(table + name + b"\0"), b"C2PA_GIF")) == []


@pytest.mark.parametrize(
    "data",
    [
        b"\x81" * 100_000,  # arrays in one another
        b"\x9f" * 100_000,
        b"\xd8\x01" * 100_000,  # tags
        b"\x9b" + b"\xff" * 8,  # an array of 2^64
        b"\x7b" + b"\xff" * 8,
        b"\xbb" + b"\xff" * 8,
        b"\x9a\0\x10\0\0" + bytes(1 << 20),  # a million items
        b"\x1c",
        b"\x5f\x61a\xff",
        b"",
    ],
)
def test_values_that_were_made_to_hurt(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"early|items|reserved|kinds"):
        Cbor(data).value()
    damaged = jumb("c2pa", jumb("urn", jumb("c2pa.claim", box(b"cbor", data))))
    assert credentials_of(damaged) == Credentials()


def test_boxes_in_one_another_and_very_many() -> None:
    deep = jumb("c2pa.claim", box(b"cbor", cbor(CLAIM)))
    for _ in range(500):
        deep = jumb("x", deep)
    assert credentials_of(jumb("c2pa", deep)) == Credentials()
    assert credentials_of(jumb("c2pa", *[jumb("urn")] * 10_000)) == Credentials()


def test_items_of_many_values_together() -> None:
    """Of a store, as of one value: 16 MiB of them would take a dozen seconds."""
    zeros = box(b"cbor", b"\x99\x23\x28" + bytes(9000))
    claim = jumb("c2pa.claim", box(b"cbor", cbor(CLAIM)))
    for count, generator in ((20, FOUND.claim_generator), (30, None)):
        found = credentials_of(jumb("c2pa", jumb("urn", jumb("x", *[zeros] * count), claim)))
        assert found is not None and found.claim_generator == generator


def test_only_the_first_store_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[bytes] = []

    def told(data: bytes) -> Credentials | None:
        read.append(data)
        return credentials_of(data)

    monkeypatch.setattr(origin_module, "credentials_of", told)
    data = box(b"ftyp", b"isomiso2") + uuid_box() * 9
    assert origin(tmp_path / "a.mp4", data).c2pa == FOUND and len(read) == 1


def test_parts_of_many_extensions_together() -> None:
    wanted = b"!\xff\x0bC2PA_GIF\1\0\0\1a\0"
    for each, found in ((9, [b"a"]), (50_000, [])):
        comments = (b"!\xfe" + b"\1x" * each + b"\0") * 3
        whole = b"GIF89a" + bytes(7) + comments + wanted
        assert list(gif_applications(io.BytesIO(whole), b"C2PA_GIF")) == found


@given(st.binary(max_size=400))
def test_anything(data: bytes) -> None:
    for content in (data, jumb("c2pa", data), jumb("c2pa", jumb("u", jumb("c2pa.claim", data)))):
        assert isinstance(credentials_of(content), (Credentials, type(None)))
    jpeg_boxes([data, b"JP" + data, data])
    for start, walk in ((b"RIFF", riff_chunks), (b"GIF89a", gif_applications)):
        whole = start + data
        length = [len(whole)] if walk is riff_chunks else []
        for content in walk(io.BytesIO(whole), *length, b"C2PA"):  # type: ignore[operator]  # two kinds
            assert content in whole or start != b"RIFF"
    _source_type(b"DigitalSourceType" + data)


def test_bytes_that_changed(tmp_path: Path) -> None:
    chance = random.Random(1)
    for whole in [make() for make in PICTURES]:
        for _ in range(60):
            data = bytearray(whole)
            for _ in range(chance.randint(1, 8)):
                data[chance.randrange(min(len(data), 2000))] = chance.randrange(256)
            origin(tmp_path / "a", bytes(data))
