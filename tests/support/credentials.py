"""Files with metadata that tell where they come from: C2PA stores, XMP, Exif; made up."""

from __future__ import annotations

import io
import struct
import zlib

from PIL import Image
from PIL.PngImagePlugin import PngInfo
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from support.detectors import photo

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


def riff_chunk(whole: bytes, store: bytes = STORE) -> bytes:
    """A RIFF file with a store as its last chunk."""
    chunk = b"C2PA" + struct.pack("<I", len(store)) + store + bytes(len(store) % 2)
    return whole[:4] + struct.pack("<I", len(whole) + len(chunk) - 8) + whole[8:] + chunk


def webp(store: bytes = STORE) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(photo()).save(buffer, "WEBP", xmp=XMP.encode())
    return riff_chunk(buffer.getvalue(), store)


def tiff(store: bytes = STORE) -> bytes:
    buffer = io.BytesIO()
    tags = ImageFileDirectory_v2()
    tags[52545], tags.tagtype[52545] = store, 7
    tags[305] = "Scanner"
    Image.fromarray(photo()).save(buffer, "TIFF", tiffinfo=tags)
    return buffer.getvalue()


def gif(store: bytes = STORE) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(photo()).save(buffer, "GIF", comment=b"made up")
    whole = buffer.getvalue()
    parts = [store[at : at + 255] for at in range(0, len(store), 255)]
    parts.insert(0, b"C2PA_GIF\1\0\0")
    content = b"".join(bytes([len(part)]) + part for part in parts)
    at = 13 + (3 << ((whole[10] & 7) + 1) if whole[10] & 128 else 0)
    return whole[:at] + b"!\xff" + content + b"\0" + whole[at:]
