"""The data set where something goes wrong: full disks, missing parts, leftovers, wrong places."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fsspec")
pytest.importorskip("pyarrow")

import pyarrow as pa
from pyarrow import parquet
from support.scans import both, outcome, rows, write

from minimeso.errors import InputError, OutputError
from minimeso.scan.dataset import Dataset, Writer
from minimeso.scan.schema import storable, stored_path
from minimeso.scan.store import Store


def check_agreement(out: Path, *paths: str) -> None:
    """These files have one row each, and all their tracks."""
    files, tracks = both(out)
    assert [row["path"] for row in files] == sorted(paths)
    assert len(tracks) == sum(row["persons"] for row in files)


@pytest.mark.parametrize("call", ["drop", "_write"])
def test_a_disk_that_is_full_for_a_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """Nothing is doubled by the flush at the end, and nothing lost."""
    write(tmp_path, outcome("a"), outcome("b"))
    writer = (dataset := Dataset(str(tmp_path))).writer(dataset.index())
    writer.add([outcome("b", "t"), outcome("c", "t")])

    def full(*_: object) -> None:
        raise OutputError("no room")

    with monkeypatch.context() as patch:
        patch.setattr(Dataset, call, full)
        with pytest.raises(OutputError):
            writer.flush()
    writer.flush()
    check_agreement(tmp_path, "a", "b", "c")
    assert [row["settings"] for row in rows(tmp_path)] == ["s", "t", "t"]


def test_a_flush_that_fails_at_the_files_of_a_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its tracks are there already."""
    writer = (dataset := Dataset(str(tmp_path))).writer(dataset.index())
    writer.add([outcome("a")])
    write_part = Dataset._write

    def full(self: Dataset, table: str, *more: object) -> None:
        if table == "files":
            raise OutputError("no room")
        write_part(self, table, *more)  # type: ignore[arg-type]  # whatever it takes

    with monkeypatch.context() as patch:
        patch.setattr(Dataset, "_write", full)
        with pytest.raises(OutputError):
            writer.flush()
    writer.flush()
    check_agreement(tmp_path, "a")


def test_tracks_that_somebody_deleted(tmp_path: Path) -> None:
    """As the message about a damaged part advises: what was in it is not there, so judged again."""
    write(tmp_path, outcome("a"), outcome("b"))
    (tmp_path / "tracks" / "part-00000.parquet").unlink()
    dataset = Dataset(str(tmp_path))
    dataset.repair()
    assert all(row["persons"] == 0 for row in rows(tmp_path))
    writer = dataset.writer(dataset.index())
    writer.add([outcome("a"), outcome("b", "t")])
    writer.flush()
    check_agreement(tmp_path, "a", "b")


@pytest.mark.parametrize("table", ["files", "tracks"])
@pytest.mark.parametrize("left", [0, 4, 100])
def test_a_part_that_is_cut(tmp_path: Path, table: str, left: int) -> None:
    """The message names it, and its advice is right."""
    write(tmp_path, outcome("a"), outcome("b"))
    part = tmp_path / table / "part-00000.parquet"
    part.write_bytes(part.read_bytes()[:left])
    with pytest.raises(InputError, match=rf"{table}/part-00000\.parquet: damaged .* delete it"):
        Dataset(str(tmp_path)).repair()
    part.unlink()
    dataset = Dataset(str(tmp_path))
    dataset.repair()
    write(tmp_path, outcome("a"), outcome("b"))
    check_agreement(tmp_path, "a", "b")


def test_a_part_that_may_not_be_read_is_not_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, outcome("a"))

    def refuse(self: Store, name: str) -> None:
        raise PermissionError(13, "Permission denied", name)

    monkeypatch.setattr(Store, "open", refuse)
    with pytest.raises(InputError, match="Permission denied") as caught:
        Dataset(str(tmp_path))
    assert "delete" not in str(caught.value)


def test_what_came_since_the_data_set_was_opened(tmp_path: Path) -> None:
    """Another scan may have ended before this one has the lock."""
    late = Dataset(str(tmp_path))
    write(tmp_path, outcome("a"))
    late.repair()
    writer = late.writer(late.index())
    writer.add([outcome("b")])
    writer.flush()
    check_agreement(tmp_path, "a", "b")


def test_leftovers_of_a_kill_are_removed(tmp_path: Path) -> None:
    dataset = write(tmp_path, outcome("a"))
    dataset.describe("0123", {"fps": 2})
    left = [
        tmp_path / "files" / ".abcdef_1.part.parquet",
        tmp_path / "tracks" / ".abcdef_2.part.parquet",
        tmp_path / "_settings" / ".abcdef_3.part.json",
    ]
    for path in left:
        path.write_bytes(b"")
    assert dataset.settings() == {"0123": {"fps": 2}}
    (tmp_path / "files" / ".mine.part.jpg").write_bytes(b"")
    dataset.repair()
    assert not any(path.exists() for path in left)
    assert (tmp_path / "files" / ".mine.part.jpg").exists()


def test_settings_that_are_damaged(tmp_path: Path) -> None:
    dataset = write(tmp_path, outcome("a"))
    dataset.describe("0123", {"fps": 2})
    (tmp_path / "_settings" / "0123.json").write_text("{")
    with pytest.raises(InputError, match=r"_settings/0123\.json: damaged"):
        dataset.settings()


def test_a_place_that_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InputError, match=r"file: .*name a folder"):
        Dataset(str(tmp_path / "file"))
    with pytest.raises(InputError, match="name a folder"):
        Dataset("")


@pytest.mark.parametrize("name", ["a::b", "a#b?c%20d", "~x", " x", "a\nb", "ä"])
def test_odd_names_of_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path(name), outcome("a"))
    assert os.listdir(tmp_path) == [name]  # noqa: PTH208 (names, not paths)
    check_agreement(tmp_path / name, "a")
    assert Store(f"{name}/").address == name


def test_an_object_that_is_not_finished_replaces_nothing() -> None:
    store = Store("memory://half")
    with store.write("x") as file:
        file.write(b"whole")
    with pytest.raises(KeyboardInterrupt), store.write("x") as file:
        file.write(b"ha")
        raise KeyboardInterrupt
    with store.open("x") as read:
        assert read.read() == b"whole"


def test_a_server_that_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever kind of error its package raises."""
    store = Store("memory://refused")

    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("no credentials")

    monkeypatch.setattr(store._fs, "pipe_file", refuse)
    with (
        pytest.raises(OutputError, match=r"memory://refused/x: .*no credentials"),
        store.write("x") as f,
    ):
        f.write(b"1")
    monkeypatch.setattr(store._fs, "ls", refuse)
    with pytest.raises(InputError, match=r"memory://refused: .*no credentials"):
        store.names("files")


def test_two_names_have_two_rows(tmp_path: Path) -> None:
    """One has bytes that are no UTF-8, the other is spelled as these are written down."""
    odd = os.fsdecode(b"a\xff.jpg")
    names = [odd, "a\\xff.jpg", "a\\x5cxff.jpg", "a\\b.jpg"]
    stored = [stored_path(name) for name in names]
    assert len(set(stored)) == 4
    assert (stored[0], stored[3]) == ("a\\xff.jpg", "a\\b.jpg")
    dataset = write(tmp_path, *(outcome(name)._replace(path=name) for name in names))
    check_agreement(tmp_path, *stored)
    index = dataset.index()
    assert all(index.find(path) is not None for path in stored)


def test_files_with_two_rows_keep_one(tmp_path: Path) -> None:
    """As two scans leave them that ran at once where nothing can be locked."""
    write(tmp_path, outcome("a"), outcome("b"))
    for table in ("files", "tracks"):
        part = tmp_path / table / "part-00000.parquet"
        (tmp_path / table / "part-00001.parquet").write_bytes(part.read_bytes())
    write(tmp_path, outcome("c"))
    dataset = Dataset(str(tmp_path))
    dataset.repair()
    assert len(dataset.index()) == 3
    check_agreement(tmp_path, "a", "b", "c")
    part = tmp_path / "files" / "part-00002.parquet"
    table_of_c = parquet.read_table(part)
    parquet.write_table(pa.concat_tables([table_of_c, table_of_c]), part)
    dataset = Dataset(str(tmp_path))
    dataset.repair()
    assert len(dataset.index()) == 2, "which of the two is right nobody knows: it is judged again"
    check_agreement(tmp_path, "a", "b")


def test_parts_are_read_once_for_all_rows_that_are_doubled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There may be a million, and paths are hashed, in no order of parts."""
    for part in range(3):
        write(tmp_path, *(outcome(f"{part}-{number}") for number in range(20)))
    for table in ("files", "tracks"):
        for part in range(3):
            data = (tmp_path / table / f"part-{part:05}.parquet").read_bytes()
            (tmp_path / table / f"part-{part + 3:05}.parquet").write_bytes(data)
    read, calls = Dataset._read, list[int]()

    def counted(self: Dataset, table: str, number: int, columns: list[str] | None = None) -> Any:
        calls.extend([number] * ("sha256" in (columns or ())))
        return read(self, table, number, columns)

    monkeypatch.setattr(Dataset, "_read", counted)
    assert len(Dataset(str(tmp_path)).index()) == 60
    assert calls == [0, 1, 2]


def test_passwords_are_not_kept() -> None:
    assert stored_path("sftp://me:pa@ss@host:22/a:b@c.jpg") == "sftp://me@host:22/a:b@c.jpg"
    assert storable("see ftp://u:p@h/x") == "see ftp://u@h/x"
    for name in ("s3://bucket/a:b@c.jpg", "/a:b@c.jpg", "sftp://me@host/x"):
        assert stored_path(name) == name


def test_a_writer_that_has_nothing_writes_nothing(tmp_path: Path) -> None:
    writer: Writer = (dataset := Dataset(str(tmp_path))).writer(dataset.index())
    writer.add([])
    writer.flush()
    assert not (tmp_path / "files").exists()
