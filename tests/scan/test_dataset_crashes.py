"""A writer that is killed, or has no room, at every single one of its writes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

pytest.importorskip("fsspec")
pytest.importorskip("pyarrow")

from support.scans import both, outcome, rows, write

from minimeso.errors import OutputError
from minimeso.scan import dataset as module
from minimeso.scan.dataset import Dataset, state
from minimeso.scan.schema import Outcome
from minimeso.scan.store import Store

NAMES = [f"{number:02}" for number in range(14)]
FIRST = [outcome(name) for name in NAMES[:9]]
#: Some are judged anew, one has only another stamp, some are new.
SECOND = [
    *(outcome(name, "t") for name in NAMES[1:7:2]),
    Outcome(NAMES[8], None, [], "another stamp", 5),
    *(outcome(name, "t") for name in NAMES[9:]),
]


class Killed(BaseException):
    """What no handler stops, and nothing is tidied after."""


class Writes:
    """Counts writes; one of them fails."""

    def __init__(self, at: int, late: bool, error: type[BaseException]) -> None:
        self.count, self._at, self._late, self._error = 0, at, late, error

    @contextlib.contextmanager
    def write(self, store: Store, name: str) -> Iterator[IO[bytes]]:
        self.count += 1
        is_bad = self.count == self._at
        if is_bad and not self._late:
            raise self._error
        with self._write(store, name) as file:
            yield file
        if is_bad:
            raise self._error

    _write = staticmethod(Store.write)


def second_run(out: Path, writes: Writes) -> None:
    """As ``Scan.run``: whatever happens, the end is a flush, unless it is killed."""
    dataset = Dataset(str(out))
    dataset.repair()
    writer = dataset.writer(dataset.index())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Store, "write", lambda store, name: writes.write(store, name))
        try:
            for number, one in enumerate(SECOND):
                writer.add([one])
                if number % 3 == 2:
                    writer.flush()
        except Killed:
            return
        except OutputError:
            pass
        writer.flush()


def last_run(out: Path) -> None:
    dataset = Dataset(str(out))
    dataset.repair()
    index = dataset.index()
    writer = dataset.writer(index)
    last = {one.path: one for one in (*FIRST, *SECOND) if one.file is not None}
    for path, one in last.items():
        assert one.file is not None
        if not index.has(path, state(one.stamp, one.file["settings"])):
            writer.add([one])
    writer.flush()


@pytest.mark.parametrize("error", [Killed, OutputError])
@pytest.mark.parametrize("late", [False, True])
def test_no_row_is_ever_doubled_and_none_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, late: bool, error: type[BaseException]
) -> None:
    monkeypatch.setattr(module, "FILES_OF_PART", 4)
    monkeypatch.setattr(module, "FLUSH_SECONDS", 1e9)
    at, writes = 0, Writes(0, late, error)
    while at <= writes.count:
        at += 1
        out, writes = tmp_path / f"{at}", Writes(at, late, error)
        write(out, *FIRST)
        second_run(out, writes)
        paths = [row["path"] for row in rows(out)]
        assert len(paths) == len(set(paths)), at
        last_run(out)
        files, tracks = both(out)
        assert [row["path"] for row in files] == NAMES, at
        assert len(tracks) == sum(row["persons"] for row in files), at
    assert at > 10
