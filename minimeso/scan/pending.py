"""What is to be done: entries of a source that a data set lacks, kept on the disk meanwhile.

So that the time left can be told, the whole source is listed before the first file is judged; a
million entries are some 150 MB in a temporary file, and nothing in memory.
"""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Iterable, Iterator
from types import TracebackType

from .dataset import Dataset, state
from .index import Index
from .judge import Job
from .schema import storable
from .source import Entry

_MIB = 1 << 20
#: Files of so many MiB come first, so that no worker is alone with a long clip in the end.
_HEAVY = 64.0
_AT_ONCE = 512


def weight(entry: Entry) -> float:
    """What an entry costs, about, in pictures: one, and one for each MiB, for clips are large."""
    return 1 + max(entry.bytes, 0) / _MIB


class Pending:
    """Jobs for the entries that are missing or may have changed: large files first, else in the
    order of the source.

    Attributes:
        found: how many entries the source has.
        done: how many of them need no work.
        count: how many are to be done.
        weight: of these, see ``weight``.
    """

    def __init__(
        self, entries: Iterable[Entry], dataset: Dataset, index: Index, settings: str
    ) -> None:
        self.found = self.done = self.count = 0
        self.weight = 0.0
        self._first, self._others = _Spool(), _Spool()
        for entry in entries:
            self.found += 1
            path = storable(entry.path)
            if entry.stamp and index.has(path, state(entry.stamp, settings)):
                self.done += 1
                continue
            self.count += 1
            self.weight += weight(entry)
            spool = self._first if weight(entry) > _HEAVY else self._others
            spool.append(_job(entry, path, dataset, index, settings))

    def __iter__(self) -> Iterator[Job]:
        yield from self._first
        yield from self._others

    def __enter__(self) -> Pending:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._first.close()
        self._others.close()


class _Spool:
    """Jobs in a temporary file."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="minimeso-")  # noqa: SIM115 (``close``)
        self._jobs: list[Job] = []

    def append(self, job: Job) -> None:
        self._jobs.append(job)
        if len(self._jobs) == _AT_ONCE:
            self._keep()

    def _keep(self) -> None:
        pickle.dump(self._jobs, self._file, pickle.HIGHEST_PROTOCOL)
        self._jobs.clear()

    def __iter__(self) -> Iterator[Job]:
        """All of them; nothing is appended any more."""
        self._keep()
        self._file.seek(0)
        while True:
            try:
                jobs: list[Job] = pickle.load(self._file)
            except EOFError:
                return
            yield from jobs

    def close(self) -> None:
        self._file.close()


def _job(entry: Entry, path: str, dataset: Dataset, index: Index, settings: str) -> Job:
    """With what is known of the file, if it was judged with the same settings before."""
    place = index.find(path)
    if place is None:
        return Job(entry)
    row = dataset.row(place)
    if row["settings"] != settings or row["status"] == "given_up":
        return Job(entry)
    # a stamp that the source knows differs, or nothing were to be done
    return Job(entry, row["sha256"], None if entry.stamp else row["stamp"] or None)
