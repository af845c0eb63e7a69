"""Lists and tables as people make them: every row is an entry, or said to be none."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("fsspec")
pytest.importorskip("pyarrow")

import pyarrow as pa
from fsspec.spec import AbstractBufferedFile
from pyarrow import parquet

from minimeso.errors import InputError
from minimeso.scan import tables
from minimeso.scan.source import entries


def read(source: Path, column: str | None = None) -> tuple[list[str], dict[str, int]]:
    """What is named, and what is said to be left out."""
    skipped: Counter[str] = Counter()
    return [entry.path for entry in entries(str(source), column, skipped)], dict(skipped)


def csv(folder: Path, data: bytes, name: str = "t.csv") -> Path:
    (folder / name).write_bytes(data)
    return folder / name


def test_names_stay_as_they_are(tmp_path: Path) -> None:
    """Whatever they look like: numbers, dates, nothing, no UTF-8, two lines."""
    names = [b"0012", b"2020-01-01 10:00", b"true", b"NA", b"a\xff.jpg", b'"a\nb, c.jpg"', b" d"]
    table = csv(tmp_path, b"\xef\xbb\xbfpath,n\r\n" + b"".join(name + b",1\r\n" for name in names))
    found, skipped = read(table)
    assert found == [os.fsdecode(name.strip(b'"')) for name in names] and not skipped


def test_other_columns_do_not_matter(tmp_path: Path) -> None:
    """One that looks like numbers for a megabyte may hold text behind that."""
    rows = [b"%07d.jpg,%d\n" % (number, number) for number in range(100_000)]
    table = csv(tmp_path, b"path,note\n" + b"".join(rows) + b"last.jpg,none\n")
    assert len(read(table)[0]) == 100_001
    pictures = b"aGk=" * 50_000  # in a column, as exports of data bases have them
    assert read(csv(tmp_path, b"path,data\na.jpg," + pictures + b"\nb.jpg,\n"))[0] == [
        "a.jpg", "b.jpg",
    ]  # fmt: skip


class Far(AbstractBufferedFile):  # type: ignore[misc]  # fsspec has no types
    """As an object on a server: its ``readline`` reads a whole block, and goes back."""

    def __init__(self, data: bytes) -> None:
        self.data, self.taken = data, 0
        super().__init__(None, "far", "rb", cache_type="none", size=len(data))

    def _fetch_range(self, start: int, end: int) -> bytes:
        self.taken += len(self.data[start:end])
        return self.data[start:end]

    def seek(self, *_: object) -> int:
        raise ValueError("a stream")  # as HTTP without a length


@pytest.mark.parametrize("name", ["t.csv", "t.txt"])
def test_a_list_at_an_address_is_read_once(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    far = Far(b"path\n" + b"".join(b"%05d.jpg\n" % number for number in range(2000)))
    there = SimpleNamespace(open=lambda *_: far)
    monkeypatch.setattr(tables, "filesystem", lambda _: (there, "far"))
    paths = list(tables.paths_of(f"far://{name}", None, Counter()))
    assert paths[-1] == "01999.jpg" and far.taken == len(far.data)


def test_rows_without_a_path_and_rows_named_again_are_counted(tmp_path: Path) -> None:
    table = csv(tmp_path, b"path,n\na,1\n,2\n  ,3\n\na,4\nb,5\n")
    told = {"rows without a path": 2, "paths named again": 1}
    assert read(table) == (["a", "b"], told)
    paths = ["a", None, " ", "a", "b"]
    parquet.write_table(pa.table({"path": paths}), tmp_path / "t.parquet")
    assert read(tmp_path / "t.parquet") == (["a", "b"], told)
    assert read(csv(tmp_path, b"a\n\nb\na\n", "t.txt")) == (["a", "b"], {"paths named again": 1})


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"a.jpg\nb.jpg\n", "its first line, 'a.jpg', is no name of a column"),
        (b"s3://bucket/a\ns3://bucket/b\n", "is no name of a column"),
        (b"id;path\n1;a.jpg\n", "put commas between them"),
        (b"path,n\na.jpg,1\nb, c.jpg,2\n", r"line 3 has 3 columns, not 2: quote"),
        (b"path,n\na.jpg\n", "line 2 has 1 columns, not 2"),
        (b"path,path\na,b\n", "2 columns 'path'"),
        (b"", "no row with the names"),
        (b'path\na.jpg\n"' + b"x" * 70_000 + b"\ny.jpg" * 9_000, "line 3: unexpected end"),
        (b'path,n\n"a"b.jpg,1\n', "line 2: ',' expected after"),
        (b'path,n\na.jpg,"1\n', "unexpected end of data"),
        ("path,n\na.jpg,1\n".encode("utf-16"), "is UTF-16, .* save it as UTF-8"),
    ],
)
def test_tables_that_would_lose_something(tmp_path: Path, data: bytes, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        read(csv(tmp_path, data))
    assert str(caught.value).startswith(f"{tmp_path}/t.csv: ")


def test_a_list_in_another_encoding(tmp_path: Path) -> None:
    """As of PowerShell: every line was taken for a name that no file can have."""
    with pytest.raises(InputError, match="is UTF-16"):
        read(csv(tmp_path, "a.jpg\nb.jpg\n".encode("utf-16"), "t.txt"))
    name = b"\xff\xfe.jpg"
    assert read(csv(tmp_path, name, "t.txt"))[0] == [os.fsdecode(name)]


def test_a_name_that_no_file_has(tmp_path: Path) -> None:
    source = csv(tmp_path, b"a\0b.jpg\n" + b"x" * 5000 + b".jpg\n", "t.txt")
    odd, long = entries(str(source), None, Counter())
    assert odd.fault and "no file has such a name" in odd.fault and odd.stamp
    assert long.fault is None and long.stamp, "who judges it says why"


def test_the_column_may_be_said(tmp_path: Path) -> None:
    assert read(csv(tmp_path, b"a.jpg\nb.jpg\n"), "a.jpg")[0] == ["b.jpg"]


@pytest.mark.parametrize(
    "column",
    [
        pa.array(["a", "b", "a"]).dictionary_encode(),
        pa.array([b"a", b"b"], pa.binary()),
        pa.array(["a", "b"], pa.large_string()),
        pa.array(["a", "b"], pa.string_view()),
    ],
)
def test_kinds_of_text(tmp_path: Path, column: pa.Array) -> None:
    parquet.write_table(pa.table({"path": column}), tmp_path / "t.parquet")
    assert read(tmp_path / "t.parquet")[0] == ["a", "b"]


@pytest.mark.parametrize("column", [[1, 2], [{"path": "a"}], [["a"]]])
def test_columns_without_text(tmp_path: Path, column: list[object]) -> None:
    parquet.write_table(pa.table({"image": column}), tmp_path / "t.parquet")
    with pytest.raises(InputError, match="column 'image' has no text but"):
        read(tmp_path / "t.parquet")


def test_a_table_in_an_odd_place(tmp_path: Path) -> None:
    folder = tmp_path / "a::b"
    folder.mkdir()
    assert read(csv(folder, b"path\na\n"))[0] == ["a"]
