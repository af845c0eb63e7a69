"""What the tests of scans share: tables as plain rows, and the processes of a running scan."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from pyarrow import dataset as arrow

from minimeso.scan.dataset import Dataset
from minimeso.scan.schema import Outcome, outcome_of
from minimeso.scan.source import Entry
from support.stub_judges import verdict_of

Row = dict[str, Any]

#: Marks of modules that start clusters, with the plugin ``support.leftovers``: the warnings are
#: Dask's own, at the end of clusters whose workers were killed.
OF_CLUSTERS = [
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::RuntimeWarning"),
    pytest.mark.usefixtures("no_leftovers"),
]


def rows(out: Path | str, table: str = "files") -> list[Row]:
    """All rows of a table, as any reader of Parquet finds them, sorted."""
    found: list[Row] = arrow.dataset(f"{out}/{table}", format="parquet").to_table().to_pylist()
    return sorted(found, key=lambda row: (row["path"], row.get("id", 0)))


def both(out: Path | str) -> tuple[list[Row], list[Row]]:
    return rows(out), rows(out, "tracks")


def outcome(name: str, settings: str = "s", stamp: str | None = None) -> Outcome:
    """A whole row of a stub's verdict."""
    stamp = stamp or f"stamp of {name}"
    return outcome_of(verdict_of(name), name, "ab" * 32, 5, stamp, settings)


def write(out: Path, *outcomes: Outcome) -> Dataset:
    """A data set with these rows, in a part each."""
    dataset = Dataset(str(out))
    writer = dataset.writer(dataset.index())
    for one in outcomes:
        writer.add([one])
    writer.flush()
    return dataset


def stubs(*names: str) -> list[Entry]:
    """Entries for stub judges, which no file has to exist for."""
    return [Entry(f"/stub/{name}", 100, f"stamp of {name}") for name in names]


def numbered(count: int) -> list[Entry]:
    return stubs(*(f"{number:05}" for number in range(count)))


def workers() -> list[psutil.Process]:
    """The processes of the local cluster of this process."""
    return children_with("spawn_main")


def judges() -> list[psutil.Process]:
    """The processes that judge for these."""
    found = []
    for worker in workers():
        with suppress(psutil.NoSuchProcess):
            found += worker.children()
    return found


def children_with(word: str) -> list[psutil.Process]:
    """Children of this process whose command has the word; those that just ended have none."""
    found = []
    for child in psutil.Process(os.getpid()).children():
        with suppress(psutil.NoSuchProcess):
            found += [child] * (word in " ".join(child.cmdline()))
    return found
