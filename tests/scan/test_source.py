"""What a source has: folders, lists, tables, addresses; and what changes a stamp."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

pytest.importorskip("fsspec")
pytest.importorskip("pyarrow")

import fsspec
import pyarrow as pa
from pyarrow import parquet

from minimeso.errors import InputError
from minimeso.scan.source import GONE, entries


def paths(source: str | Path, column: str | None = None) -> list[str]:
    return [entry.path for entry in entries(str(source), column, Counter())]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    top = tmp_path / "top"
    (top / "below").mkdir(parents=True)
    for name in ("b.jpg", "a.mp4", "below/c.png", ".hidden.jpg", "notes.doc"):
        (top / name).write_bytes(name.encode())
    (top / "lost.jpg").symlink_to(tmp_path / "nowhere")
    return top


def test_folder(folder: Path) -> None:
    skipped: Counter[str] = Counter()
    found = list(entries(str(folder), None, skipped))
    names = [entry.path.removeprefix(f"{folder}/") for entry in found]
    assert names == ["a.mp4", "b.jpg", "lost.jpg", "below/c.png"]
    assert found[0].bytes == len("a.mp4") and found[0].stamp
    assert found[2].fault and "not there" in found[2].fault
    assert skipped == {"hidden files": 1, ".doc": 1}


def test_one_file(folder: Path) -> None:
    assert paths(folder / "b.jpg") == [str(folder / "b.jpg")]


def test_list(tmp_path: Path) -> None:
    names = "a.jpg\n\n/b/ä.mp4\r\na.jpg\ns3://bucket/c.mp4\n"
    (tmp_path / "list.txt").write_bytes(b"\xef\xbb\xbf" + names.encode())
    assert paths(tmp_path / "list.txt") == ["a.jpg", "/b/ä.mp4", "s3://bucket/c.mp4"]
    with pytest.raises(InputError, match="no columns"):
        paths(tmp_path / "list.txt", "path")


def test_names_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_bytes(b"a\xff.jpg\n")
    assert paths(tmp_path / "list.txt") == [os.fsdecode(b"a\xff.jpg")]


@pytest.mark.parametrize("ending", ["csv", "tsv", "parquet"])
def test_tables(tmp_path: Path, ending: str) -> None:
    table = tmp_path / f"t.{ending}"
    between = "\t" if ending == "tsv" else ","
    if ending == "parquet":
        columns = {"id": [1, 2, 3], "path": ["a", "b", None], "other": ["x", "y", "z"]}
        parquet.write_table(pa.table(columns), table)
    else:
        lines = ["id,path,other", "1,a,x", "2,b,y", "3,,z"]
        table.write_text("\n".join(line.replace(",", between) for line in lines))
    assert paths(table) == ["a", "b"]
    assert paths(table, "other") == ["x", "y", "z"]
    with pytest.raises(InputError, match="no column 'none' among id, path, other"):
        paths(table, "none")


def test_a_table_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "t.parquet").write_text("no table")
    with pytest.raises(InputError, match="check the table"):
        paths(tmp_path / "t.parquet")
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="name the --column"):
        paths(tmp_path / "t.csv")


def test_what_is_not_there(tmp_path: Path) -> None:
    for source in ("none", "none.txt", "memory://none", "nothing://x"):
        with pytest.raises(InputError):
            paths(tmp_path / source if "://" not in source else source)
    (tmp_path / "list.txt").write_text(f"{tmp_path}/gone.jpg\n")
    (found,) = entries(str(tmp_path / "list.txt"), None, Counter())
    assert found.stamp == GONE and found.fault is None


def test_memory() -> None:
    fs = fsspec.filesystem("memory")
    for name in ("b.jpg", "below/a.mp4", "below/x.txt", ".hid/c.jpg"):
        fs.pipe_file(f"/source/{name}", name.encode())
    skipped: Counter[str] = Counter()
    found = list(entries("memory://source", None, skipped))
    assert [e.path for e in found] == ["memory:///source/b.jpg", "memory:///source/below/a.mp4"]
    assert [e.bytes for e in found] == [5, 11] and all(e.stamp for e in found)
    assert skipped == {".txt": 1, "hidden folders": 1}
    assert paths("memory://source/*/*.mp4") == ["memory:///source/below/a.mp4"]
    assert paths("memory://source/b.jpg") == ["memory:///source/b.jpg"]
    fs.pipe_file("/source/list.txt", b"memory:///source/b.jpg\nlocal.jpg\n")
    assert paths("memory://source/list.txt") == ["memory:///source/b.jpg", "local.jpg"]


def test_a_stamp_changes_with_the_content(folder: Path) -> None:
    """Even where size and time are kept."""
    path = folder / "b.jpg"
    (before,) = entries(str(path), None, Counter())
    (again,) = entries(str(path), None, Counter())
    status = path.stat()
    path.write_bytes(b"B.JPG")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    (after,) = entries(str(path), None, Counter())
    assert before == again != after and before.bytes == after.bytes
