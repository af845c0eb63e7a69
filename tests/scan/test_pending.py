"""What is to be done: kept on the disk, long clips first."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("fsspec")
pytest.importorskip("pyarrow")

from minimeso.scan.dataset import Dataset
from minimeso.scan.pending import Pending
from minimeso.scan.source import Entry


def test_order_and_sums(tmp_path: Path) -> None:
    dataset = Dataset(str(tmp_path))
    entries = [Entry(f"{n:05}", 1 << 20) for n in range(1200)]
    entries[700] = Entry("long", 1 << 30)
    with Pending(iter(entries), dataset, dataset.index(), "s") as pending:
        found = [job.entry.path for job in pending]
        assert (pending.found, pending.done, pending.count) == (1200, 0, 1200)
        assert pending.weight == 1199 * 2 + 1025
    assert found == ["long", *(entry.path for entry in entries if entry.path != "long")]
