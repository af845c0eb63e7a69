"""Origin of a file: what metadata say is read, and files that were made to hurt do no harm."""

from __future__ import annotations

import hashlib
import io
import random
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from support.clips import clip_file
from support.detectors import photo

from minimeso.media.jumbf import Cbor, Credentials, credentials_of
from minimeso.media.origin import Origin, _source_type, jpeg_boxes, origin_of

TRAINED = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF><rdf:Description '
    f'Iptc4xmpExt:DigitalSourceType="{TRAINED}"/></rdf:RDF></x:xmpmeta>'
)


def cbor(value: object) -> bytes:
    """A value in CBOR."""
    if isinstance(value, str):
        data = value.encode()
        return head(3, len(data)) + data
    if isinstance(value, bytes):
        return head(2, len(value)) + value
    if isinstance(value, list):
        return head(4, len(value)) + b"".join(map(cbor, value))
    if isinstance(value, dict):
        parts = [cbor(key) + cbor(one) for key, one in value.items()]
        return head(5, len(parts)) + b"".join(parts)
    assert isinstance(value, int)
    return head(0, value) if value >= 0 else head(1, -1 - value)


def head(major: int, number: int) -> bytes:
    if number < 24:
        return bytes([32 * major + number])
    power = next(power for power in range(4) if number < 1 << (8 << power))
    return bytes([32 * major + 24 + power]) + number.to_bytes(1 << power, "big")


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind) + content


def jumb(label: str, *content: bytes) -> bytes:
    described = box(b"jumd", bytes(16) + b"\3" + label.encode() + b"\0")
    return box(b"jumb", described + b"".join(content))


def store(claim: object, label: str = "c2pa.claim.v2") -> bytes:
    """A manifest store of two manifests, of which the last counts."""
    old = jumb("urn:c2pa:old", jumb("c2pa.claim", box(b"cbor", cbor({"claim_generator": "Old"}))))
    actions = {"actions": [{"action": "c2pa.created", "digitalSourceType": TRAINED}]}
    assertions = jumb("c2pa.assertions", jumb("c2pa.actions.v2", box(b"cbor", cbor(actions))))
    new = jumb("urn:c2pa:new", assertions, jumb(label, box(b"cbor", cbor(claim))))
    return jumb("c2pa", old, new)


CLAIM = {"alg": "sha256", "claim_generator_info": {"name": "Some Camera", "version": "1.2"}}
STORE = store(CLAIM)
FOUND = Credentials("Some Camera 1.2", TRAINED)


def jpeg(store: bytes = STORE, part: int = 200) -> bytes:
    """A JPEG with a JUMBF box in APP11 segments of so many bytes."""
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[305] = "Editor\0 9"
    Image.fromarray(photo()).save(buffer, "JPEG", exif=exif, xmp=XMP.encode())
    whole = buffer.getvalue()
    segments = b""
    for number, at in enumerate(range(8, len(store), part), start=1):
        content = b"JP" + struct.pack(">HI", 7, number) + store[:8] + store[at : at + part]
        segments += b"\xff\xeb" + struct.pack(">H", 2 + len(content)) + content
    return whole[:2] + segments + whole[2:]


def png(store: bytes = STORE) -> bytes:
    buffer = io.BytesIO()
    info = PngInfo()
    info.add_text("Software", "Painter")
    info.add_itxt("XML:com.adobe.xmp", XMP)
    Image.fromarray(photo()).save(buffer, "PNG", pnginfo=info)
    whole = buffer.getvalue()
    chunk = struct.pack(">I", len(store)) + b"caBX" + store
    chunk += struct.pack(">I", zlib.crc32(b"caBX" + store))
    return whole[:33] + chunk + whole[33:]


def uuid_box(store: bytes = STORE) -> bytes:
    uuid = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
    return box(b"uuid", uuid + bytes(4) + b"manifest\0" + bytes(8) + store)


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
        pytest.skip("this Pillow writes no AVIF")
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


@given(st.binary(max_size=400))
def test_anything(data: bytes) -> None:
    for content in (data, jumb("c2pa", data), jumb("c2pa", jumb("u", jumb("c2pa.claim", data)))):
        assert isinstance(credentials_of(content), (Credentials, type(None)))
    jpeg_boxes([data, b"JP" + data, data])
    _source_type(b"DigitalSourceType" + data)


def test_bytes_that_changed(tmp_path: Path) -> None:
    chance = random.Random(1)
    for whole in (jpeg(), png()):
        for _ in range(150):
            data = bytearray(whole)
            for _ in range(chance.randint(1, 8)):
                data[chance.randrange(min(len(data), 2000))] = chance.randrange(256)
            origin(tmp_path / "a", bytes(data))
