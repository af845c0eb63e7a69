"""The data set: one row a file, whatever is replaced and whenever the writer dies."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fsspec")
pytest.importorskip("pyarrow")

import pyarrow as pa
from pyarrow import parquet
from support.scans import both, outcome, rows, write
from support.stub_judges import verdict_of

from minimeso.errors import InputError, OutputError
from minimeso.scan import dataset as module
from minimeso.scan.dataset import Dataset, state
from minimeso.scan.schema import VERSION_KEY, Outcome, given_up, schemas
from minimeso.scan.summary import summarize


def test_rows(tmp_path: Path) -> None:
    write(tmp_path / "out", outcome("b"), outcome("a"))
    files, tracks = both(tmp_path / "out")
    assert [row["path"] for row in files] == ["a", "b"]
    verdict = verdict_of("b")
    assert files[1]["p_fake"] == verdict.p_fake and files[1]["persons"] == len(verdict.tracks)
    assert dict(files[1]["left_out"]) == verdict.left_out
    of_b = [row for row in tracks if row["path"] == "b"]
    assert {row["id"] for row in of_b} == {track.id for track in verdict.tracks}
    assert [segment["low"] for segment in of_b[0]["segments"]] == []
    assert of_b[0]["worst_box"] == [1, 2, 30, 40] and of_b[0]["end"] == 0.5
    part = next((tmp_path / "out" / "files").iterdir())
    assert parquet.read_schema(part).equals(schemas()["files"])
    assert parquet.read_schema(part).metadata[VERSION_KEY] == b"1"


def test_index(tmp_path: Path) -> None:
    blamed = {"settings": "s", "prior": 0.5, "model": "m"}
    dataset = write(tmp_path, outcome("a"), given_up("b", 1, "B", "it hung", blamed))
    index = dataset.index()
    assert len(index) == 2 == len(dataset)
    assert index.has("a", state("stamp of a", "s")) and index.has("b", state("B", "s"))
    assert not index.has("a", state("another", "s")) and not index.has("a", state("B", "t"))
    assert not index.has("c", state("stamp of a", "s")) and index.find("c") is None
    place = index.find("a")
    assert place is not None and dataset.rows([place])[place]["sha256"] == "ab" * 32
    assert not dataset.index(retry=True).has("b", state("B", "s"))


def test_a_row_is_replaced(tmp_path: Path) -> None:
    write(tmp_path, outcome("a"), outcome("b"), outcome("c"))
    write(tmp_path, outcome("b", "t"), Outcome("c", None, [], "new stamp", 5))
    files, tracks = both(tmp_path)
    assert [(row["path"], row["settings"]) for row in files] == [("a", "s"), ("b", "t"), ("c", "s")]
    assert [row["stamp"] for row in files] == ["stamp of a", "stamp of b", "new stamp"]
    assert len(tracks) == sum(row["persons"] for row in files)


def test_a_row_that_is_replaced_while_somebody_reads_counts_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or not at all, as while neither is there."""
    write(tmp_path, outcome("a"), outcome("b"))
    dataset = Dataset(str(tmp_path))
    writer = dataset.writer(dataset.index())
    writer.add([outcome("c")])
    writer.flush()
    read = Dataset._read

    def meanwhile(self: Dataset, *which: Any) -> Any:
        found = read(self, *which)
        monkeypatch.undo()
        writer.add([outcome("a", "t")])
        writer.flush()
        return found

    reader = Dataset(str(tmp_path))
    monkeypatch.setattr(Dataset, "_read", meanwhile)
    assert summarize(reader).files in (2, 3)
    assert summarize(reader).files == 3


def test_a_summary_of_rows_that_are_there_twice(tmp_path: Path) -> None:
    """As after two scans at once where nothing can be locked."""
    write(tmp_path / "one", outcome("a"))
    write(tmp_path / "other", outcome("a", "t"))
    part = tmp_path / "other" / "files" / "part-00000.parquet"
    part.rename(tmp_path / "one" / "files" / "part-00001.parquet")
    found = summarize(Dataset(str(tmp_path / "one"))).suspects
    assert sorted(row["settings"] for row in found) == ["s", "t"]


def test_parts_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FILES_OF_PART", 10)
    write(tmp_path, *(outcome(f"{number:03}") for number in range(95)))
    parts = sorted((tmp_path / "files").iterdir())
    assert [parquet.read_metadata(part).num_rows for part in parts] == [10] * 9 + [5]
    assert len({row["path"] for row in rows(tmp_path)}) == 95


def test_what_a_dead_writer_leaves(tmp_path: Path) -> None:
    """Tracks come first, so some may have no file yet, or no file any more."""
    write(tmp_path, outcome("a"), outcome("b"))
    write(tmp_path, outcome("c"))
    (tmp_path / "files" / "part-00001.parquet").unlink()
    part = tmp_path / "files" / "part-00000.parquet"
    files = parquet.read_table(part)
    parquet.write_table(files.slice(0, 1), part)
    dataset = Dataset(str(tmp_path))
    dataset.repair()
    assert {row["path"] for row in rows(tmp_path, "tracks")} == {"a"}
    write(tmp_path, outcome("b"), outcome("c"))
    files, tracks = both(tmp_path)
    assert [row["path"] for row in files] == ["a", "b", "c"]
    assert len(tracks) == sum(row["persons"] for row in files)


def test_names_that_are_no_text(tmp_path: Path) -> None:
    odd = b"a\xff\n.jpg".decode("utf-8", "surrogateescape")
    dataset = write(tmp_path, outcome(odd)._replace(path=odd))
    assert rows(tmp_path)[0]["path"] == "a\\xff\n.jpg" == rows(tmp_path, "tracks")[0]["path"]
    assert dataset.index().find("a\\xff\n.jpg") is not None


def test_something_else(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    part = tmp_path / "files" / "part-00000.parquet"
    parquet.write_table(pa.table({"path": ["a"]}), part)
    with pytest.raises(InputError, match="not written by minimeso scan"):
        Dataset(str(tmp_path))
    part.write_text("damaged")
    with pytest.raises(InputError, match="damaged"):
        Dataset(str(tmp_path))


def test_newer_data_sets_are_refused(tmp_path: Path) -> None:
    write(tmp_path, outcome("a"))
    part = tmp_path / "files" / "part-00000.parquet"
    table = parquet.read_table(part)
    parquet.write_table(table.replace_schema_metadata({VERSION_KEY: b"2"}), part)
    with pytest.raises(InputError, match="by a newer"):
        Dataset(str(tmp_path))


def test_one_writer(tmp_path: Path) -> None:
    code = (
        "from minimeso.scan.store import Store\n"
        f"with Store({str(tmp_path)!r}).locked(): print('locked', flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"locked\n"
        with (
            pytest.raises(OutputError, match="another scan"),
            Dataset(str(tmp_path)).store.locked(),
        ):
            pass
        other.kill()
        other.wait()
    with Dataset(str(tmp_path)).store.locked():
        pass


@pytest.mark.parametrize("is_made_again", [False, True])
def test_a_folder_that_is_moved_meanwhile(tmp_path: Path, is_made_again: bool) -> None:
    """What was written goes with it; a new one has neither these rows nor our lock."""
    out, moved = tmp_path / "out", tmp_path / "moved"
    dataset = Dataset(str(out))
    with dataset.store.locked():
        writer = dataset.writer(dataset.index())
        writer.add([outcome("a")])
        writer.flush()
        out.rename(moved)
        if is_made_again:
            with Dataset(str(out)).store.locked():
                pass
        writer.add([outcome("b")])
        with pytest.raises(OutputError, match=r"moved, deleted .*run it again"):
            writer.flush()
    assert not (out / "files").exists()
    assert [row["path"] for row in rows(moved)] == ["a"]


def test_an_address() -> None:
    dataset = Dataset("memory://out")
    writer = dataset.writer(dataset.index())
    writer.add([outcome("a"), outcome("b")])
    writer.flush()
    again = Dataset("memory://out")
    assert len(again) == 2
    assert again.index().has("a", state("stamp of a", "s"))
