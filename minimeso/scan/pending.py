"""What is to be done: entries of a source that a data set lacks, kept on the disk meanwhile.

So that the time left can be told, the whole source is listed before the first file is judged; a
million entries are some 150 MB in a temporary file, and nothing in memory.
"""

from __future__ import annotations

import contextlib
import itertools
import pickle
import tempfile
from collections.abc import Iterable, Iterator
from types import TracebackType

from ..errors import OutputError
from .dataset import Dataset, state
from .index import Index, Place
from .judge import Job
from .schema import GIVEN_UP, TRIED_AGAIN, Row, stored_path
from .source import Entry

_MIB = 1 << 20
#: Files of so many MiB come first, so that no worker is alone with a long clip in the end.
_HEAVY = 64.0
_AT_ONCE = 512
#: Entries that are compared at once.  In them the rows of a part are looked up together: a list may
#: be in another order than the parts, of which each would be read for each entry.
_COMPARED = 20_000


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
        left = iter(entries)
        while some := tuple(itertools.islice(left, _COMPARED)):
            self._compare(some, dataset, index, settings)

    def _compare(
        self, entries: tuple[Entry, ...], dataset: Dataset, index: Index, settings: str
    ) -> None:
        """Add what is to be done of some entries."""
        self.found += len(entries)
        missing: list[tuple[Entry, str, Place | None]] = []
        for entry in entries:
            path = stored_path(entry.path)
            if entry.stamp and index.has(path, state(entry.stamp, settings)):
                self.done += 1
            else:
                missing.append((entry, path, index.find(path)))
        rows = dataset.rows(place for *_, place in missing if place is not None)
        for entry, path, place in missing:
            row = None if place is None else rows[place]
            job = Job(entry) if row is None else _job(entry, path, row, index, settings)
            if job is None:
                self.done += 1
                continue
            self.count += 1
            self.weight += weight(entry)
            spool = self._first if weight(entry) > _HEAVY else self._others
            spool.append(job)

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
        with _room():
            self._file = tempfile.TemporaryFile(prefix="minimeso-")  # noqa: SIM115 (``close``)
        self._jobs: list[Job] = []

    def append(self, job: Job) -> None:
        self._jobs.append(job)
        if len(self._jobs) == _AT_ONCE:
            self._keep()

    def _keep(self) -> None:
        with _room():
            pickle.dump(self._jobs, self._file, pickle.HIGHEST_PROTOCOL)
            self._file.flush()
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
        with contextlib.suppress(OSError):  # what a full disk did not take is not wanted
            self._file.close()


@contextlib.contextmanager
def _room() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"{tempfile.tempdir or 'no folder'}: what is to be done cannot be kept there: "
            f"{error.strerror or error}: make room, or name another folder in TMPDIR"
        ) from None


def _job(entry: Entry, path: str, row: Row, index: Index, settings: str) -> Job | None:
    """With what is known of the file, if it was judged with the same settings before; ``None`` if
    nothing is to be done."""
    if row["settings"] != settings:
        return Job(entry)
    is_tried_again = not index.has(path, state(row["stamp"] or "", settings))
    if row["status"] == GIVEN_UP and not entry.stamp and not is_tried_again:
        return None  # nobody can tell whether it changed since
    if row["status"] == GIVEN_UP or (row["status"] in TRIED_AGAIN and is_tried_again):
        return Job(entry)
    # a stamp that the source knows differs, or nothing were to be done
    return Job(entry, row["sha256"], None if entry.stamp else row["stamp"] or None)
