"""Addresses as their file systems tell them, also those that forget hosts, and what refuses."""

from __future__ import annotations

import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fsspec")
pytest.importorskip("pyarrow")

import fsspec
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.utils import infer_storage_options
from support.scans import rows
from support.stub_judges import Stub

from minimeso.errors import InputError
from minimeso.scan import Scan
from minimeso.scan.addresses import filesystem
from minimeso.scan.schema import stored_path
from minimeso.scan.source import Entry, entries, remote_stamp

pytest_plugins = ["support.instant_cluster"]


class Host(MemoryFileSystem):  # type: ignore[misc]  # fsspec has no types
    """As SFTP, FTP and SMB: a path there has no host."""

    protocol = "hosts"
    store: dict[str, Any] = {}  # noqa: RUF012 (as its parent's)
    pseudo_dirs = [""]  # noqa: RUF012

    def __init__(self, host: str, **more: Any) -> None:
        super().__init__(host=host, **more)
        self.host = host

    @staticmethod
    def _get_kwargs_from_urls(path: str) -> dict[str, Any]:
        told = infer_storage_options(path)
        return {key: told[key] for key in ("host", "username", "password") if key in told}

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(infer_storage_options(path)["path"]).rstrip("/")

    def ls(self, path: str, detail: bool = True, **more: Any) -> list[Any]:
        if path.endswith("closed"):
            raise PermissionError("Permission denied")
        found: list[Any] = super().ls(path, detail, **more)
        return found


@pytest.fixture(autouse=True)
def host() -> Iterator[None]:
    fsspec.register_implementation("hosts", Host, clobber=True)
    fs = Host("here")
    for name in ("a.jpg", "below/b.mp4", "below/x.txt", "closed/c.jpg", "odd/d?e.jpg"):
        fs.pipe_file(f"/clips/{name}", name.encode())
    yield
    Host.store.clear()
    Host.pseudo_dirs[:] = [""]


def found(source: str) -> dict[str, Entry]:
    return {entry.path: entry for entry in entries(source, None, Counter())}


@pytest.mark.parametrize(
    "source", ["hosts://me:secret@here/clips", "hosts://me:secret@here/clips/"]
)
def test_a_host_stays(source: str) -> None:
    there = found(source)
    fs, _ = filesystem(source)
    good = [path for path, entry in there.items() if entry.fault is None]
    assert good == [f"{source.rstrip('/')}/{name}" for name in ("a.jpg", "below/b.mp4")]
    for path in good:
        again, place = filesystem(path)
        assert again == fs and again.cat_file(place)
        assert "secret" not in stored_path(path)


def test_wildcards_at_a_host() -> None:
    assert list(found("hosts://here/clips/*/*.mp4")) == ["hosts://here/clips/below/b.mp4"]
    assert list(found("hosts://here/clips/bel*")) == ["hosts://here/clips/below/b.mp4"]
    assert list(found("hosts://here/clips/a.jpg")) == ["hosts://here/clips/a.jpg"]


@pytest.mark.parametrize("source", ["hosts://here/clips", "hosts://here/clips/*"])
def test_what_cannot_be_listed_or_named_is_found(source: str) -> None:
    there = found(source)
    closed = there["hosts://here/clips/closed"]
    assert closed.fault and "Permission denied" in closed.fault and closed.stamp
    (odd,) = [entry for path, entry in there.items() if "odd" in path]
    assert odd.fault and "rename" in odd.fault


@pytest.mark.parametrize("source", ["hosts://here/clips", "hosts://here/clips/*"])
def test_a_folder_that_can_be_listed_again_has_no_row(
    source: str, tmp_path: Path, cluster: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """But those of its files: nobody could get rid of it else."""
    closed = "hosts://here/clips/closed"
    Scan(source, str(tmp_path / "out"), make=Stub()).run()
    assert closed in [row["path"] for row in rows(tmp_path / "out")]
    monkeypatch.setattr(Host, "ls", MemoryFileSystem.ls)
    state = Scan(source, str(tmp_path / "out"), make=Stub()).run()
    paths = [row["path"] for row in rows(tmp_path / "out")]
    assert closed not in paths and f"{closed}/c.jpg" in paths and state.done == 1
    assert Scan(source, str(tmp_path / "out"), make=Stub()).run().total == 0


def test_files_within_a_file(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.writestr("in/a.jpg", b"a")
    (entry,) = found(f"zip://in::{tmp_path}/z.zip").values()
    assert entry.path == f"zip://in/a.jpg::{tmp_path}/z.zip" and entry.fault is None and entry.stamp
    fs, place = filesystem(entry.path)
    assert fs.cat_file(place) == b"a"


def test_a_colon_in_a_name() -> None:
    fs = fsspec.filesystem("memory")
    fs.pipe_file("/colons/a::b.jpg", b"1")
    fs.pipe_file("/colons/a:b.jpg", b"1")
    fs.pipe_file("/wild[1]/c.jpg", b"1")
    faults = {path: entry.fault is None for path, entry in found("memory://colons").items()}
    assert faults == {"memory:///colons/a::b.jpg": False, "memory:///colons/a:b.jpg": True}
    assert list(found("memory://wild[1]")) == ["memory:///wild[1]/c.jpg"]


@pytest.mark.parametrize("source", ["hosts:///clips", "zip://a", "hosts://here/gone"])
def test_what_is_refused_is_said(source: str) -> None:
    with pytest.raises(InputError, match=source):
        found(source)


def test_errors_of_packages_are_said_without_a_password(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("no such key\nand a page of advice")

    monkeypatch.setattr(Host, "info", refuse)
    with pytest.raises(InputError, match="no such key: check the address") as caught:
        found("hosts://me:secret@here/clips")
    assert "secret" not in str(caught.value) and "advice" not in str(caught.value)


def test_a_size_alone_is_no_stamp() -> None:
    assert remote_stamp({"size": 5, "type": "file", "name": "a"}) == ""
    dated = [{"size": 5, "Last-Modified": f"Sun, 0{day} Nov 2026 00:00:00 GMT"} for day in (1, 8)]
    assert len({"", *map(remote_stamp, dated)}) == 3, "as of HTTP servers without entity tags"
    tagged = {"size": 5, "ETag": "x"}
    assert remote_stamp(tagged) == remote_stamp(tagged | dated[0]), "earlier versions left it out"
    assert remote_stamp(tagged) != remote_stamp({"size": 5, "ETag": "y"})
