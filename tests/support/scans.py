"""What the tests of scans share: tables as plain rows, and the processes of a running scan."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
from pyarrow import dataset

from minimeso.scan.source import Entry

Row = dict[str, Any]


def rows(out: Path | str, table: str = "files") -> list[Row]:
    """All rows of a table, as any reader of Parquet finds them, sorted."""
    found: list[Row] = dataset.dataset(f"{out}/{table}", format="parquet").to_table().to_pylist()
    return sorted(found, key=lambda row: (row["path"], row.get("id", 0)))


def both(out: Path | str) -> tuple[list[Row], list[Row]]:
    return rows(out), rows(out, "tracks")


def stubs(*names: str) -> list[Entry]:
    """Entries for stub judges, which no file has to exist for."""
    return [Entry(f"/stub/{name}", 100, f"stamp of {name}") for name in names]


def numbered(count: int) -> list[Entry]:
    return stubs(*(f"{number:05}" for number in range(count)))


def workers() -> list[psutil.Process]:
    """The processes of the local cluster of this process."""
    found = []
    for child in psutil.Process(os.getpid()).children():
        with suppress(psutil.NoSuchProcess):  # killed a moment ago
            found += [child] * ("spawn_main" in " ".join(child.cmdline()))
    return found


def judges() -> list[psutil.Process]:
    """The processes that judge for these."""
    return [child for worker in workers() for child in worker.children()]
