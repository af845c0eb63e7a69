"""What is to be done: kept on the disk, long clips first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fsspec")
pytest.importorskip("pyarrow")

from support.scans import outcome, write

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


def test_a_list_in_another_order_than_the_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of addresses, say, whose stamps are not known before: each of a million read a part."""
    for part in range(3):
        write(tmp_path, *(outcome(f"{number}-{part}") for number in range(20)))
    dataset, calls = Dataset(str(tmp_path)), list[int]()
    index, read = dataset.index(), Dataset._read

    def counted(self: Dataset, table: str, number: int, columns: list[str] | None = None) -> Any:
        calls.append(number)
        return read(self, table, number, columns)

    monkeypatch.setattr(Dataset, "_read", counted)
    entries = [Entry(f"{number}-{part}") for number in range(20) for part in range(4)]
    with Pending(iter(entries), dataset, index, "s") as pending:
        found = list(pending)
    assert calls == [0, 1, 2]
    assert [job.entry for job in found] == entries
    known = "ab" * 32
    assert [job.sha256 for job in found] == [known, known, known, None] * 20
    assert found[5].stamp == "stamp of 1-1"
