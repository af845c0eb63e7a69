"""Reads HDF5 files as Keras writes them: groups, plain arrays of numbers, texts as attributes.

HDF5's own library is made for files that one trusts: a byte changed in a text's place makes it read
memory that is not its own.  So what Keras needs of the format is read here, in Python; packed
arrays, links and other files' arrays are refused.  The format: "HDF5 File Format Specification",
version 3, chapters II (superblock), III (B-trees, heaps) and IV (object headers).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from ..errors import GraphError
from .builder import Array

MAGIC = b"\x89HDF\r\n\x1a\n"
#: Groups in groups: Keras needs two for each model in a model.
_DEEPEST = 32
#: What a look at a piece of a file, or a message in one, costs beside its bytes, and what all may
#: cost: so much, and a few times the file.  Pieces may lead to each other in circles.
_LOOK, _LOOKS, _TIMES = 64, 1 << 20, 4
#: Of the optimizer, which no network needs.
_LEFT_OUT = frozenset({"optimizer", "optimizer_weights"})
_NOWHERE = (1 << 64) - 1

# Kinds of messages in an object's header.
_SPACE, _LINKS, _TYPE, _LINK, _EXTERNAL, _LAYOUT = 0x01, 0x02, 0x03, 0x06, 0x07, 0x08
_ATTRIBUTE, _CONTINUED, _SYMBOLS = 0x0C, 0x10, 0x11
_SHARED = 2  # flag of one that stands elsewhere
_FIXED, _FLOAT, _STRING, _VARIABLE = 0, 1, 3, 9  # classes of numbers and texts
#: Size of a float -> bits of its exponent, as IEEE has them.
_EXPONENTS = {2: 5, 4: 8, 8: 11}


class Content(NamedTuple):
    """What a file holds.

    Attributes:
        arrays: by their path in the file, ``layers/dense/vars/0``, groups in the order of the file.
        attributes: texts at its root.
    """

    arrays: dict[str, Array]
    attributes: dict[str, str]


def read(data: bytes) -> Content:
    """Everything in the bytes of a file.

    Raises:
        GraphError: it is damaged, or holds something that Keras does not write.
    """
    file = _File(data)
    try:
        root = file.header(_root(data))
        return Content(file.arrays(root), file.texts(root))
    except (struct.error, ValueError, OverflowError, IndexError) as error:
        if isinstance(error, GraphError):
            raise
        raise GraphError(f"a damaged HDF5 file ({str(error)[:80]})") from None


def _root(data: bytes) -> int:
    """Where the root's header is, by the superblock."""
    version = data[8] if len(data) > 8 else 255
    if not data.startswith(MAGIC) or version > 3:
        raise GraphError("no HDF5 file, or of a later version")
    sizes = data[13:15] if version < 2 else data[9:11]
    if sizes != b"\x08\x08":
        raise GraphError("an HDF5 file with addresses that are not of 8 bytes")
    (base,) = struct.unpack_from("<Q", data, (24, 28, 12, 12)[version])
    if base:
        raise GraphError("an HDF5 file that does not begin at its beginning")
    (root,) = struct.unpack_from("<Q", data, (64, 68, 36, 36)[version])
    return int(root)


class _Message(NamedTuple):
    kind: int
    flags: int
    data: bytes


class _File:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._left = _LOOKS + _TIMES * len(data)

    def _spend(self, cost: int) -> None:
        self._left -= cost
        if self._left < 0:
            raise GraphError("a damaged HDF5 file, or one of too many pieces")

    def _take(self, at: int, size: int, mark: bytes = b"") -> bytes:
        """Bytes that are there, and begin so."""
        self._spend(_LOOK + size)
        if at + size > len(self._data):
            raise GraphError(f"a damaged HDF5 file (it ends before byte {at + size})")
        found = self._data[at : at + size]
        if not found.startswith(mark):
            raise GraphError(f"a damaged HDF5 file (no {mark.decode()} at byte {at})")
        return found

    # --- headers ----------------------------------------------------------------------------

    def header(self, at: int) -> list[_Message]:
        """The messages of an object."""
        if self._take(at, 4) == b"OHDR":
            return self._new_header(at)
        version, count, size = struct.unpack("<BxH4xI", self._take(at, 12))
        if version != 1:
            raise GraphError(f"an HDF5 header of version {version}")
        found: list[_Message] = []
        blocks = [(at + 16, size)]
        for start, length in blocks:
            block, place = self._take(start, length), 0
            while place + 8 <= len(block) and len(found) < count:
                self._spend(_LOOK)
                kind, own, flags = struct.unpack_from("<HHB", block, place)
                found.append(_Message(kind, flags, block[place + 8 : place + 8 + own]))
                if kind == _CONTINUED:
                    blocks.append(struct.unpack("<QQ", found[-1].data[:16]))
                place += 8 + own
        return found

    def _new_header(self, at: int) -> list[_Message]:
        """One of version 2, which groups have that keep the order of what is in them."""
        flags = self._take(at + 5, 1)[0]
        start = at + 6 + (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
        width = 1 << (flags & 3)
        size = int.from_bytes(self._take(start, width), "little")
        head = 6 if flags & 4 else 4
        found: list[_Message] = []
        blocks = [(start + width, size)]
        for begin, length in blocks:
            block, place = self._take(begin, length), 0
            while place + head <= len(block):
                self._spend(_LOOK)
                kind, own, more = struct.unpack_from("<BHB", block, place)
                found.append(_Message(kind, more, block[place + head : place + head + own]))
                if kind == _CONTINUED:
                    address, whole = struct.unpack("<QQ", found[-1].data[:16])
                    self._take(address, 4, b"OCHK")
                    blocks.append((address + 4, whole - 8))  # a checksum ends it
                place += head + own
        return found

    # --- groups -----------------------------------------------------------------------------

    def arrays(self, root: list[_Message]) -> dict[str, Array]:
        """All arrays of numbers below a group."""
        found: dict[str, Array] = {}
        waiting, left = [("", root)], len(self._data)
        while waiting:
            path, group = waiting.pop()
            below = []
            for name, address in self._members(group):
                own = f"{path}/{name}".lstrip("/")
                self._spend(len(own))  # members may share one long name
                if own.count("/") >= _DEEPEST:
                    raise GraphError(f"{own[:120]!r} lies too deep")
                if own in _LEFT_OUT:
                    continue
                header = self.header(address)
                kinds = {message.kind for message in header}
                if _LAYOUT not in kinds:
                    below.append((own, header))
                    continue
                array = self._array(own, header)
                if array is None:
                    continue
                left -= array.nbytes  # really stored, so all are no larger than the file
                if left < 0:
                    raise GraphError(f"array {own[:120]!r}: more of them than the file is long")
                found[own] = array
            waiting += reversed(below)
        return found

    def _members(self, group: list[_Message]) -> Iterator[tuple[str, int]]:
        """Name and header of everything in a group."""
        for message in group:
            if message.kind == _SYMBOLS:
                tree, heap = struct.unpack("<QQ", message.data[:16])
                yield from self._symbols(tree, heap)
            elif message.kind == _LINK:
                yield _link(message.data)
            elif message.kind == _LINKS:
                at = 10 if message.data[1] & 1 else 2
                (heap,) = struct.unpack_from("<Q", message.data, at)
                if heap != _NOWHERE:
                    raise GraphError("a group of an HDF5 file that is kept in a heap")

    def _symbols(self, tree: int, heap: int) -> Iterator[tuple[str, int]]:
        size, segment = struct.unpack_from("<Q8xQ", self._take(heap, 32, b"HEAP"), 8)
        names = self._take(segment, size)
        waiting = [tree]
        while waiting:
            at = waiting.pop()
            if self._take(at, 4) == b"TREE":
                count = struct.unpack_from("<H", self._take(at, 24), 6)[0]
                keys = self._take(at + 24, 16 * count + 8)
                children = [struct.unpack_from("<Q", keys, 16 * i + 8)[0] for i in range(count)]
                waiting += reversed(children)
                continue
            (count,) = struct.unpack_from("<6xH", self._take(at, 8, b"SNOD"))
            for i in range(count):
                entry = self._take(at + 8 + 40 * i, 40)
                place, header, cached = struct.unpack_from("<QQI", entry)
                name = names[place : names.index(b"\0", place)].decode()
                if cached == 2:
                    raise GraphError(f"{name[:80]!r} is a link to elsewhere")
                yield name, header

    # --- arrays and texts -------------------------------------------------------------------

    def _array(self, name: str, header: list[_Message]) -> Array | None:
        """An array; None if it is of no numbers."""
        parts: Mapping[int, _Message] = {message.kind: message for message in reversed(header)}
        if _EXTERNAL in parts:
            raise GraphError(f"array {name[:120]!r} is in another file")
        if _SPACE not in parts or _TYPE not in parts or parts[_TYPE].flags & _SHARED:
            raise GraphError(f"array {name[:120]!r} is of no known type")
        dtype, shape = _dtype(parts[_TYPE].data), _shape(parts[_SPACE].data)
        if dtype is None:
            return None
        size = math.prod(shape) * dtype.itemsize
        content = self._content(parts[_LAYOUT].data, size)
        if content is None:
            raise GraphError(f"array {name[:120]!r} is packed, not stored, or longer than the file")
        as_stored: Array = np.ndarray(shape, dtype, content)
        return np.array(as_stored, dtype.newbyteorder("="))

    def _content(self, layout: bytes, size: int) -> bytes | None:
        """The bytes of an array that lie in one piece."""
        version, kind = layout[:2]
        if version not in (3, 4) or kind > 1 or size > len(self._data):
            return None
        if kind == 0:
            (length,) = struct.unpack_from("<H", layout, 2)
            return layout[4 : 4 + size] if length >= size and len(layout) >= 4 + size else None
        address, length = struct.unpack_from("<QQ", layout, 2)
        if size == 0:
            return b""
        return self._take(address, size) if address != _NOWHERE and length >= size else None

    def texts(self, header: list[_Message]) -> dict[str, str]:
        """Attributes that are one text."""
        found = {}
        for message in header:
            if message.kind != _ATTRIBUTE:
                continue
            version, name_size, type_size, space_size = struct.unpack_from("<BxHHH", message.data)
            at = 9 if version == 3 else 8
            parts = []
            for size in (name_size, type_size, space_size):
                parts.append(message.data[at : at + size])
                at += -(-size // 8) * 8 if version == 1 else size
            name, kind, space = parts
            if math.prod(_shape(space)) == 1 and kind:
                text = self._text(kind, message.data[at:])
                if text is not None:
                    found[name.rstrip(b"\0").decode()] = text
        return found

    def _text(self, kind: bytes, data: bytes) -> str | None:
        (size,) = struct.unpack_from("<I", kind, 4)
        if kind[0] & 15 == _STRING:
            return data[:size].rstrip(b"\0").decode()
        if kind[0] & 15 != _VARIABLE or kind[1] & 15 != 1:
            return None
        length, heap, index = struct.unpack_from("<IQI", data)
        (whole,) = struct.unpack_from("<8xQ", self._take(heap, 16, b"GCOL"))
        at, end = heap + 16, heap + whole
        while at + 16 <= end:
            number, own = struct.unpack("<H6xQ", self._take(at, 16))
            if number == index:
                return self._take(at + 16, min(length, own)).rstrip(b"\0").decode()
            at += 16 + -(-own // 8) * 8
        raise GraphError("a text of an HDF5 file that is nowhere")


def _link(data: bytes) -> tuple[str, int]:
    """A member of a group that keeps its order."""
    flags, at = data[1], 2
    kind = data[at] if flags & 8 else 0
    at += (1 if flags & 8 else 0) + (8 if flags & 4 else 0) + (1 if flags & 16 else 0)
    width = 1 << (flags & 3)
    length = int.from_bytes(data[at : at + width], "little")
    name = data[at + width : at + width + length].decode()
    if kind:
        raise GraphError(f"{name[:80]!r} is a link to elsewhere")
    (address,) = struct.unpack_from("<Q", data, at + width + length)
    return name, int(address)


def _shape(space: bytes) -> tuple[int, ...]:
    version, rank = struct.unpack_from("<BB", space)
    if version not in (1, 2) or rank > 32 or (version == 2 and space[3:4] == b"\2"):
        raise GraphError("an HDF5 file with a shape of a later version")
    return struct.unpack_from(f"<{rank}Q", space, 8 if version == 1 else 4)


def _dtype(kind: bytes) -> np.dtype[np.generic] | None:
    """Of numbers as a computer has them; None of anything else."""
    (size,) = struct.unpack_from("<I", kind, 4)
    order = ">" if kind[1] & 1 else "<"
    if kind[0] & 15 == _FLOAT and _EXPONENTS.get(size) == kind[13]:
        return np.dtype(f"{order}f{size}")
    if kind[0] & 15 == _FIXED and size in (1, 2, 4, 8):
        return np.dtype(f"{order}{'i' if kind[1] & 8 else 'u'}{size}")
    return None
