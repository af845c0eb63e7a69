"""JUMBF: the boxes in which C2PA ("content credentials") tells where a file comes from.

Of a manifest store the claim of its last manifest, which is the one that counts, is read for the
program that made it (C2PA Technical Specification 2.1; ISO/IEC 19566-5).  Nothing is verified: no
hash, no signature, no certificate, so whoever writes a file may write this, too.  Depth, boxes and
items are counted, and what is damaged ends the search, not the process.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

#: Of a store: boxes in one another, boxes together, items of one CBOR value and of all, its depth.
_MOST_DEPTH, _MOST_BOXES, _MOST_CBOR_DEPTH = 8, 4096, 16
_MOST_ITEMS, _MOST_ITEMS_TOGETHER = 10_000, 200_000
_MOST_LABEL = 512
_MOST_TEXT = 200
#: What PyAV makes of bytes that are no UTF-8; nothing that writes text takes it.
_SURROGATES = re.compile("[\ud800-\udfff]")
_ACTIONS = ("c2pa.actions", "c2pa.actions.v2")


@dataclass(frozen=True)
class Credentials:
    """What a C2PA manifest store says; its signature was not verified.

    Attributes:
        claim_generator: the program that made the claim, if it can be read.
        digital_source_type: of the actions that the manifest tells of, if there is one.
    """

    claim_generator: str | None = None
    digital_source_type: str | None = None


class Box(NamedTuple):
    """A box of an ISO base media file or of JUMBF: its kind, and where its content lies."""

    kind: bytes
    start: int
    end: int


def credentials_of(data: bytes) -> Credentials | None:
    """What a JUMBF box says; ``None`` if it is no C2PA manifest store.

    Args:
        data: the box with its length and kind, and perhaps more of the kind.
    """
    reader = _Reader(data)
    try:
        stores = [box for box in reader.boxes(0, len(data)) if box.kind == b"jumb"]
    except ValueError:
        return None
    store = next((box for box in stores if reader.label(box) == "c2pa"), None)
    if store is None:
        return None
    try:
        manifests = [box for box in reader.inside(store) if box.kind == b"jumb"]
        found = _of_manifest(reader, manifests[-1]) if manifests else Credentials()
    except (ValueError, RecursionError):  # damaged, or made to be
        found = Credentials()
    return found


def _of_manifest(reader: _Reader, manifest: Box) -> Credentials:
    generator = source = None
    for label, value in reader.values(manifest, 0):
        if label in ("c2pa.claim", "c2pa.claim.v2") and isinstance(value, dict):
            generator = generator or _generator(value)
        elif label in _ACTIONS:
            source = source or _named(value, "digitalSourceType")
    return Credentials(generator, source)


def _generator(claim: dict[str, Any]) -> str | None:
    """Name and version of the program; of older claims a text like that of a browser."""
    info = claim.get("claim_generator_info")
    info = info[0] if isinstance(info, list) and info else info
    if isinstance(info, dict):
        parts = [text for text in (as_text(info.get(key)) for key in ("name", "version")) if text]
        if parts:
            return as_text(" ".join(parts))
    return as_text(claim.get("claim_generator"))


def _named(value: object, key: str) -> str | None:
    """The first text under a key, however deep."""
    if isinstance(value, dict):
        own = as_text(value.get(key))
        return own or next(filter(None, (_named(part, key) for part in value.values())), None)
    if isinstance(value, list):
        return next(filter(None, (_named(part, key) for part in value)), None)
    return None


def as_text(value: object) -> str | None:
    """Text of somebody else's, on one line and of bounded length; ``None`` if there is none."""
    if isinstance(value, bytes):
        value = value[: 4 * _MOST_TEXT].decode("utf-8", "replace")
    if not isinstance(value, str):
        return None
    value = _SURROGATES.sub("\ufffd", value[: 4 * _MOST_TEXT].replace("\0", " "))
    return " ".join(value.split())[:_MOST_TEXT] or None


class _Reader:
    """Walks through the boxes of a store; ``ValueError`` for what is damaged, or too much."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._left = _MOST_BOXES
        self._items_left = _MOST_ITEMS_TOGETHER

    def boxes(self, start: int, end: int) -> Iterator[Box]:
        """The boxes of a stretch, which must fit into it."""
        while start + 8 <= end:
            self._left -= 1
            size, head = int.from_bytes(self._data[start : start + 4], "big"), 8
            if size == 1:
                size, head = int.from_bytes(self._data[start + 8 : start + 16], "big"), 16
            size = size or end - start
            if size < head or start + size > end or self._left < 0:
                raise ValueError("a box that does not fit")
            yield Box(self._data[start + 4 : start + 8], start + head, start + size)
            start += size

    def inside(self, box: Box) -> Iterator[Box]:
        """The boxes in one, without its description."""
        return (one for one in self.boxes(box.start, box.end) if one.kind != b"jumd")

    def label(self, box: Box) -> str | None:
        """What the description of a box calls it."""
        data, start = self._data, box.start
        if data[start + 4 : start + 8] != b"jumd" or box.end - start < 25:
            return None
        end = min(start + int.from_bytes(data[start : start + 4], "big"), box.end)
        if not data[start + 24] & 2:  # behind 16 bytes of a UUID: says whether a label follows
            return None
        text, ends, _ = data[start + 25 : min(end, start + 25 + _MOST_LABEL)].partition(b"\0")
        return text.decode("utf-8", "replace") if ends else None

    def values(self, box: Box, depth: int) -> Iterator[tuple[str | None, object]]:
        """Label and value of every CBOR box, however deep."""
        label = self.label(box)
        for one in self.inside(box):
            if one.kind == b"jumb" and depth < _MOST_DEPTH:
                yield from self.values(one, depth + 1)
            elif one.kind == b"cbor" and label is not None:
                cbor = Cbor(self._data[one.start : one.end], self._items_left)
                yield label, cbor.value()
                self._items_left -= cbor.items


class Cbor:
    """Decodes a value of CBOR (RFC 8949): texts, bytes, whole numbers, arrays, maps by texts.

    Of other keys and of floating point, which nobody here asks for, ``None`` is left.  ``value``
    raises ``ValueError`` for what is damaged, too deep, or of too many items.

    Args:
        data: what begins with a value.
        most: items that it may have, if that is less than any value may.

    Attributes:
        items: that were decoded.
    """

    def __init__(self, data: bytes, most: int = _MOST_ITEMS) -> None:
        self._data = data
        self._at = 0
        self._most = min(most, _MOST_ITEMS)
        self.items = 0

    def value(self, depth: int = 0) -> Any:
        """The next value."""
        self.items += 1
        if depth > _MOST_CBOR_DEPTH or self.items > self._most:
            raise ValueError("too deep, or too many items")
        major, info = divmod(self._take(1)[0], 32)
        if info == 31 and 2 <= major <= 5:
            return self._indefinite(major, depth)
        if info > 27:
            raise ValueError("reserved")
        number = info if info < 24 else int.from_bytes(self._take(1 << (info - 24)), "big")
        if major < 2:
            return number if major == 0 else -1 - number
        if major < 4:
            data = self._take(number)
            return data if major == 2 else data.decode("utf-8", "replace")
        if major == 4:
            return [self.value(depth + 1) for _ in range(self._count(number))]
        if major == 5:
            return self._map(self._count(number), depth)
        return self.value(depth + 1) if major == 6 else None

    def _map(self, count: int, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for _ in range(count):
            key, value = self.value(depth + 1), self.value(depth + 1)
            if isinstance(key, str):
                found[key] = value
        return found

    def _indefinite(self, major: int, depth: int) -> Any:
        """Parts up to a byte of 255."""
        parts: list[Any] = []
        while self._data[self._at : self._at + 1] != b"\xff":
            parts.append(self.value(depth + 1))
        self._at += 1
        if major == 4:
            return parts
        if major == 5:
            pairs = zip(parts[::2], parts[1::2], strict=False)
            return {key: value for key, value in pairs if isinstance(key, str)}
        kind = bytes if major == 2 else str
        if not all(isinstance(part, kind) for part in parts):
            raise ValueError("parts of several kinds")
        return kind().join(parts)

    def _count(self, number: int) -> int:
        if number > len(self._data) - self._at:  # each takes a byte
            raise ValueError("ends early")
        return number

    def _take(self, count: int) -> bytes:
        data = self._data[self._at : self._at + count]
        if len(data) != count:
            raise ValueError("ends early")
        self._at += count
        return data
