"""Origin: which file was judged, and what it says about where it comes from.

Metadata are told, never weighed: whoever makes a file writes them, and whoever sends it on may
have taken them off.  Pillow and PyAV read them; only for C2PA, which neither knows, boxes are
searched here (``jumbf``).  Files are hostile: all that is kept is bounded, and what cannot be read
is absent.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from .containers import begins_like_a_clip, duration_of
from .formats import SIGNATURE_BYTES, format_of
from .jumbf import Credentials, as_text, credentials_of
from .opening import NamelessFile, best_stream, open_container
from .outer_boxes import MOST_BYTES, gif_applications, riff_chunks, uuid_boxes
from .pictures import STREAM, Unreadable, identify, open_regular, pillow_silence
from .streams import Stream

if TYPE_CHECKING:
    from av.container import InputContainer
    from PIL import Image

_CHUNK_BYTES = 1 << 20
_MOST_XMP = 1 << 20
#: Boxes of an ISO base media file that hold a C2PA store, and XMP.
_C2PA_UUID = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
_XMP_UUID = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
#: A chunk of RIFF (WebP, AVI) that does, and an extension of a GIF (C2PA specification, annex A).
_C2PA_CHUNK, _C2PA_GIF = b"C2PA", b"C2PA_GIF"
#: Of files that are attached to a Matroska file, for which we know no place of its own.
_C2PA_TYPES = ("application/c2pa", "application/x-c2pa-manifest-store")
#: Tags of TIFF and Exif.
_SOFTWARE, _TIFF_XMP, _TIFF_C2PA = 305, 700, 52545
#: As an element, as an attribute, or as an element's ``rdf:resource``.
_SOURCE_TYPE = re.compile(
    rb"DigitalSourceType\s*(?:=\s*|(?:\s[\w:]{1,40}\s*=\s*)?)[\"'>]\s*([^<>\"'\s]{1,300})"
)


@dataclass(frozen=True)
class Origin:
    """Which file it is, and what it says of itself; ``None`` where it says nothing.

    Attributes:
        name: without its folders; ``-`` for what came through a pipe.
        size: in bytes.
        sha256: of all of them, in hexadecimal digits.
        container: format of the file, as Pillow or FFmpeg calls it.
        codec: of a clip's picture track, as FFmpeg calls it.
        duration: of a clip, in seconds.
        encoder: of a clip, the program that wrote it.
        software: that made or changed it (Exif, TIFF, PNG, QuickTime).
        digital_source_type: how it came to be, a term of IPTC's, from XMP or C2PA.
        c2pa: what its content credentials say, not verified.
    """

    name: str
    size: int
    sha256: str
    container: str | None = None
    codec: str | None = None
    duration: float | None = None
    encoder: str | None = None
    software: str | None = None
    digital_source_type: str | None = None
    c2pa: Credentials | None = None

    def to_json(self) -> dict[str, Any]:
        """JSON-able data under the names of the attributes."""
        c2pa = self.c2pa and {
            "claim_generator": self.c2pa.claim_generator,
            "signature": "not verified",
        }
        return {**vars(self), "c2pa": c2pa}


def origin_of(source: str | os.PathLike[str] | Stream) -> Origin | None:
    """Where a file comes from, by itself; ``None`` if it cannot be read at all.

    Args:
        source: path of a regular file, or an open one, which is at its beginning then and after.
    """
    try:
        if isinstance(source, Stream):
            source.seek(0)
            found = _of_file(source, STREAM)  # type: ignore[arg-type]  # it reads and seeks: no more is asked
            source.seek(0)
            return found
        path = os.fsdecode(source)
        with open_regular(path) as file:
            return _of_file(file, os.path.basename(path))  # noqa: PTH119
    except (OSError, ValueError, Unreadable):
        return None


def _of_file(file: IO[bytes], name: str) -> Origin:
    size, digest = 0, hashlib.sha256()
    most = file.seek(0, os.SEEK_END)  # and no more, as others may write to it
    file.seek(0)
    while chunk := file.read(min(_CHUNK_BYTES, most - size)):
        digest.update(chunk)
        size += len(chunk)
    file.seek(0)
    start = file.read(SIGNATURE_BYTES)
    file.seek(0)
    said: dict[str, Any] = {}
    # Nothing that a file says of itself may keep it from being judged, whatever Pillow or PyAV
    # raise for it.
    with contextlib.suppress(Exception), pillow_silence:
        if format_of(start) is not None:
            said = _of_picture(file)
        elif begins_like_a_clip(start):
            said = _of_clip(file, start)
    with contextlib.suppress(Exception):
        for uuid, data in uuid_boxes(file, size):
            if uuid == _C2PA_UUID and said.get("c2pa") is None:
                said["c2pa"] = credentials_of(_behind_purpose(data))
            elif uuid == _XMP_UUID:
                _keep(said, "digital_source_type", _source_type(data))
        for data in (*riff_chunks(file, size, _C2PA_CHUNK), *gif_applications(file, _C2PA_GIF)):
            if said.get("c2pa") is None:
                said["c2pa"] = credentials_of(data)
    if said.get("c2pa") is not None:
        _keep(said, "digital_source_type", said["c2pa"].digital_source_type)
    return Origin(name, size, digest.hexdigest(), **said)


def _keep(said: dict[str, Any], key: str, value: object) -> None:
    """The first that says something counts."""
    if said.get(key) is None:
        said[key] = value


def _of_picture(file: IO[bytes]) -> dict[str, Any]:
    with identify(file) as image:
        said: dict[str, Any] = {"container": image.format}
        with contextlib.suppress(Exception):
            said["software"] = as_text(image.getexif().get(_SOFTWARE))
        _keep(said, "software", as_text(image.info.get("Software")))
        xmp = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp")
        xmp = xmp or getattr(image, "tag_v2", {}).get(_TIFF_XMP)
        said["digital_source_type"] = _source_type(xmp)
        said["c2pa"] = next(filter(None, map(credentials_of, _stores_of(image))), None)
    return said


def _stores_of(image: Image.Image) -> Iterator[bytes]:
    """JUMBF boxes of a JPEG, PNG or TIFF."""
    yield from jpeg_boxes(data for name, data in getattr(image, "applist", ()) if name == "APP11")
    for kind, data, *_ in getattr(image, "private_chunks", ()):
        if kind == b"caBX" and len(data) <= MOST_BYTES:
            yield data
    tag = getattr(image, "tag_v2", {}).get(_TIFF_C2PA)
    if isinstance(tag, bytes) and len(tag) <= MOST_BYTES:
        yield tag


def jpeg_boxes(segments: Iterable[bytes]) -> list[bytes]:
    """The JUMBF boxes of a JPEG's APP11 segments, put together (ISO/IEC 19566-5, annex D).

    Each segment has ``JP``, the number of a box, the number of the part, and again the length and
    kind of the box.
    """
    parts: dict[int, dict[int, bytes]] = {}
    size = 0
    for segment in segments:
        size += len(segment)
        if size > MOST_BYTES:
            break
        if segment.startswith(b"JP") and len(segment) >= 16:
            box, part = int.from_bytes(segment[2:4], "big"), int.from_bytes(segment[4:8], "big")
            parts.setdefault(box, {}).setdefault(part, segment[8:])
    boxes = []
    for numbered in parts.values():
        first, *others = (numbered[number] for number in sorted(numbered))
        head = 16 if first[:4] == b"\0\0\0\x01" else 8
        boxes.append(b"".join([first, *(part[head:] for part in others)]))
    return boxes


def _of_clip(file: IO[bytes], start: bytes) -> dict[str, Any]:
    nameless = NamelessFile(file)
    with open_container(nameless, start) as container:
        said: dict[str, Any] = {"container": as_text(container.format.name)}
        tags = _lower(container.metadata)
        software = tags.get("com.apple.quicktime.software") or tags.get("software")
        said["software"] = as_text(software)
        said["encoder"] = as_text(tags.get("encoder") or tags.get("encoded_by"))
        if container.duration:
            said["duration"] = container.duration / 1e6
        stream = best_stream(container, nameless)
        said["codec"] = as_text(stream.codec_context.name)
        said["duration"] = duration_of(container, stream) or said.get("duration")
        of_stream = as_text(_lower(stream.metadata).get("encoder"))
        if of_stream is not None:
            said["encoder"] = ", ".join(filter(None, [said["encoder"], of_stream]))
        said["c2pa"] = next(filter(None, map(credentials_of, _attached(container))), None)
    return said


def _attached(container: InputContainer) -> Iterator[bytes]:
    """Manifest stores among the files that are attached to a clip."""
    for stream in container.streams:
        if stream.type == "attachment" and _lower(stream.metadata).get("mimetype") in _C2PA_TYPES:
            data = getattr(stream, "data", b"")
            if len(data) <= MOST_BYTES:
                yield bytes(data)


def _lower(tags: Mapping[str, str]) -> dict[str, str]:
    return {key.lower(): value for key, value in tags.items()}


def _source_type(xmp: object) -> str | None:
    """IPTC's DigitalSourceType out of XMP; a search, as a parser of XML is more than it needs."""
    if isinstance(xmp, str):
        xmp = xmp.encode("utf-8", "replace")
    if isinstance(xmp, tuple):  # of bytes, in TIFF
        with contextlib.suppress(TypeError, ValueError):
            xmp = bytes(xmp)
    found = _SOURCE_TYPE.search(xmp[:_MOST_XMP]) if isinstance(xmp, bytes) else None
    return as_text(found[1]) if found else None


def _behind_purpose(content: bytes) -> bytes:
    """The JUMBF box of a C2PA box: behind version and flags, its purpose, and an offset."""
    _, _, rest = content[4:].partition(b"\0")
    return rest[8:]
