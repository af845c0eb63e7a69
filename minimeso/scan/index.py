"""An index of what a data set has, in 32 bytes a file: a million files are 32 MB.

Sorted by a hash of the path; each knows a hash of stamp and settings, by which an entry is seen to
be done, and where its row stands.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

_ENTRY = np.dtype([("path", "u8"), ("more", "u8"), ("state", "u8"), ("part", "u4"), ("row", "u4")])


class Place(NamedTuple):
    """Where the row of a file stands: number of the part, and row in it."""

    part: int
    row: int


class Index:
    """What is there; parts are added first, then it is asked."""

    def __init__(self) -> None:
        self._parts: list[npt.NDArray[np.void]] = []
        self._entries: npt.NDArray[np.void] | None = None
        self._paths: npt.NDArray[np.uint64] = np.zeros(0, "u8")

    def __len__(self) -> int:
        return sum(map(len, self._parts)) if self._entries is None else len(self._entries)

    def add(self, part: int, paths: list[str], states: list[str]) -> None:
        """All rows of a part: their paths, and what makes each of them done."""
        new = np.zeros(len(paths), _ENTRY)
        digests = np.frombuffer(b"".join(map(path_digest, paths)), "u8").reshape(-1, 2)
        new["path"], new["more"] = digests[:, 0], digests[:, 1]
        new["state"] = np.frombuffer(b"".join(map(_state_digest, states)), "u8")
        new["part"], new["row"] = part, np.arange(len(paths))
        self._parts.append(new)

    def find(self, path: str) -> Place | None:
        """Where a file's row stands, if it has one."""
        number = self._number(path)
        if number is None or self._entries is None:
            return None
        return Place(int(self._entries["part"][number]), int(self._entries["row"][number]))

    def has(self, path: str, state: str) -> bool:
        """Whether a file is there in just this state."""
        number = self._number(path)
        if number is None or self._entries is None:
            return False
        return bool(self._entries["state"][number] == np.frombuffer(_state_digest(state), "u8")[0])

    def doubled(self) -> list[Place]:
        """Where rows stand of files that have another one later."""
        entries = self._sorted()
        alike = np.zeros(len(entries) + 1, bool)  # by half of the hash, which is nearly always none
        alike[1:-1] = self._paths[1:] == self._paths[:-1]
        entries = entries[alike[:-1] | alike[1:]]
        entries = entries[np.lexsort([entries[key] for key in ("row", "part", "more", "path")])]
        both = [entries[key][1:] == entries[key][:-1] for key in ("path", "more")]
        found = entries[:-1][both[0] & both[1]]
        return [Place(int(entry["part"]), int(entry["row"])) for entry in found]

    def _number(self, path: str) -> int | None:
        entries = self._sorted()
        first, more = np.frombuffer(path_digest(path), "u8")
        number = int(np.searchsorted(self._paths, first))
        while number < len(entries) and self._paths[number] == first:
            if entries["more"][number] == more:
                return number
            number += 1
        return None

    def _sorted(self) -> npt.NDArray[np.void]:
        if self._entries is None:
            whole = np.concatenate(self._parts) if self._parts else np.zeros(0, _ENTRY)
            self._parts.clear()
            self._entries = whole[np.argsort(whole["path"])]
            # every search would copy a column of records
            self._paths = np.ascontiguousarray(self._entries["path"])
        return self._entries


def path_digest(path: str) -> bytes:
    """16 bytes that stand for a path."""
    return hashlib.blake2b(path.encode("utf-8", "surrogateescape"), digest_size=16).digest()


def _state_digest(state: str) -> bytes:
    return hashlib.blake2b(state.encode("utf-8", "surrogateescape"), digest_size=8).digest()
