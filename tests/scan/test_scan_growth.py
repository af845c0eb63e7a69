"""A small version of ``python -m tools.bench.scan simulate``: nothing grows with the archive.

Without Dask and its processes, which only ever have a few batches; so by far the most of what could
grow is here: the list of what is to be done, the index, the parts.
"""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import pytest
from support.memory import peak_of

pytest.importorskip("fsspec")
pytest.importorskip("pyarrow")

from minimeso.scan import Limits, pending
from minimeso.scan import dataset as module
from minimeso.scan.batches import Batches
from minimeso.scan.dataset import Dataset
from minimeso.scan.pending import Pending
from minimeso.scan.task import Plan, packed
from tools.bench.stub_judge import Stub, entries

pytest_plugins = ["support.leftovers"]
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # of scans before
    pytest.mark.usefixtures("no_leftovers"),
]
_SMALL, _LARGE = 3_000, 15_000
#: How much more a file may take, of memory and of CPU time; this is another machine's worst moment.
_MEMORY, _TIME = 1.2, 2.0


def judged(count: int, out: Path) -> float:
    """CPU seconds of a scan of so many stubs."""
    start = time.process_time()
    judge, dataset = Stub()(None), Dataset(str(out))
    index = dataset.index()
    with Pending(entries(count), dataset, index, "stub") as left:
        batches, writer = Batches(iter(left), left.count), dataset.writer(index)
        while batch := batches.give(2):
            assert packed(batch, Plan(Stub(), Limits()))
            batches.measured(batch, 1e-3)
            writer.add([judge(job, lambda: None) for job in batch])
        writer.flush()
    assert len(dataset) == count
    return time.process_time() - start


def test_time_and_memory_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FILES_OF_PART", 1000)
    monkeypatch.setattr(pending, "_COMPARED", 2000)
    judged(_SMALL, tmp_path / "first")  # imports
    cpu = {count: judged(count, tmp_path / f"{count}") for count in (_SMALL, _LARGE)}
    assert cpu[_LARGE] / _LARGE < _TIME * cpu[_SMALL] / _SMALL
    peaks = {}
    for count in (_SMALL, _LARGE):
        _, peaks[count] = peak_of(partial(judged, count, tmp_path / f"{count} again"))
    assert peaks[_LARGE] < _MEMORY * peaks[_SMALL]


def test_a_second_run_finds_all_done(tmp_path: Path) -> None:
    judged(_SMALL, tmp_path)
    dataset = Dataset(str(tmp_path))
    index = dataset.index()
    with Pending(entries(_SMALL + 1), dataset, index, "stub") as left:
        assert (left.done, left.count) == (_SMALL, 1)
