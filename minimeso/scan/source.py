"""Sources: an archive, wherever it is and however it is listed, becomes entries, one by one.

A folder, a list of paths, a column of a table, or any of these behind an address that fsspec knows
(``s3://bucket/clips``).  Nothing of the content is read here, and nothing is kept, so a source may
have any number of entries.
"""

from __future__ import annotations

import glob
import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import IO, Any, NamedTuple

from ..errors import InputError
from ..media.folders import fault_of_link, files_in, skipped_kind
from .schema import storable

#: What a source that is a list or a table ends with.
LISTS, TABLES = (".txt", ".lst", ".list"), (".csv", ".tsv", ".parquet", ".pq")
#: Columns that are looked for, if none is named.
_USUAL_COLUMNS = ("path", "file", "filename", "address", "url")
#: The stamp of what is not there.
GONE = "gone"


class Entry(NamedTuple):
    """Something to judge.

    Attributes:
        path: as the source calls it: a path or an address.
        bytes: its size; -1 if unknown.
        stamp: a text that changes whenever the file does; empty if unknown.
        fault: why it cannot be judged at all, if so.
    """

    path: str
    bytes: int = -1
    stamp: str = ""
    fault: str | None = None


def is_address(path: str) -> bool:
    """Whether a path is one for fsspec, not of a file of this machine."""
    return "://" in path


def filesystem(address: str) -> tuple[Any, str]:
    """The file system of an address, and its path there.

    Raises:
        InputError: no such protocol, or its package is missing.
    """
    from fsspec.core import url_to_fs

    try:
        found: tuple[Any, str] = url_to_fs(address)
    except (ImportError, ValueError) as error:
        raise InputError(f"{address}: {error}") from None
    return found


def stamp_of(path: str) -> tuple[int, str]:
    """Size and stamp of a local file: what changes with its content, at the cost of one ``stat``.

    The time of the last change of its entry cannot be set back, so content that was replaced is
    seen even where size and time of modification were kept.
    """
    status = os.stat(path)  # noqa: PTH116
    change = f"{status.st_size}-{status.st_mtime_ns}-{status.st_ctime_ns}-{status.st_ino}"
    return status.st_size, change


def remote_stamp(info: dict[str, Any]) -> str:
    """The same of what a remote file system tells of a file."""
    told = {k: str(v) for k, v in info.items() if k in _TELLING and v is not None}
    return hashlib.blake2b(repr(sorted(told.items())).encode(), digest_size=12).hexdigest()


#: What file systems call what changes with a file: size, entity tags, times, versions.
_TELLING = frozenset(
    {
        "size", "ETag", "etag", "LastModified", "last_modified", "mtime", "modified", "updated",
        "created", "VersionId", "generation", "md5Hash", "content_settings", "uid", "ino",
    }
)  # fmt: skip


def entries(source: str, column: str | None, skipped: Counter[str]) -> Iterator[Entry]:
    """Everything that a source has, each path once.

    Args:
        source: folder, file, list (``.txt``), table (``.csv``, ``.tsv``, ``.parquet``), or the
            address of one, where an address may have wildcards.
        column: of a table; by default that called ``path``, or the only one.
        skipped: what in folders is not looked at is counted here by its kind.

    Raises:
        InputError: there is no such source, or a table without that column.
    """
    kind = source.lower()
    if kind.endswith((*LISTS, *TABLES)) and not os.path.isdir(source):  # noqa: PTH112
        yield from _once(_listed(source, column))
        return
    if column is not None:
        raise InputError(f"{source}: --column is for tables: {', '.join(TABLES)}")
    if is_address(source):
        yield from _remote(source, skipped)
    elif os.path.isdir(source):  # noqa: PTH112
        for path, fault in files_in(source, skipped):
            yield local_entry(path, fault)
    elif os.path.lexists(source):
        yield local_entry(source, fault_of_link(source))
    else:
        raise InputError(f"{source}: no such folder, list or table: check the name")


def local_entry(path: str, fault: str | None = None) -> Entry:
    """A file of this machine."""
    if fault is not None:
        return Entry(path, -1, storable(f"{GONE}: {fault}"), fault)
    try:
        return Entry(path, *stamp_of(path))
    except (OSError, ValueError):  # who judges it says why
        return Entry(path, -1, GONE)


def _once(paths: Iterable[str]) -> Iterator[Entry]:
    """The entries of a list, without those that it names again."""
    seen: set[bytes] = set()
    for path in paths:
        digest = hashlib.blake2b(path.encode("utf-8", "surrogateescape"), digest_size=16).digest()
        if digest not in seen:
            seen.add(digest)
            yield Entry(path) if is_address(path) else local_entry(path)


# --- lists and tables --------------------------------------------------------------------


def _listed(source: str, column: str | None) -> Iterator[str]:
    filesystem_, path = filesystem(source) if is_address(source) else filesystem(_absolute(source))
    try:
        with filesystem_.open(path, "rb") as file:
            if source.lower().endswith(LISTS):
                if column is not None:
                    raise InputError(f"{source}: a list has no columns: leave out --column")
                yield from _lines(file)
            else:
                yield from _column(file, source, column)
    except OSError as error:
        raise InputError(f"{source}: {error.strerror or error}: check the name") from None


def _absolute(path: str) -> str:
    return "file://" + os.path.abspath(path)  # noqa: PTH100


def _lines(file: IO[bytes]) -> Iterator[str]:
    """One path a line; empty lines and a byte-order mark mean nothing."""
    for number, line in enumerate(file):
        if number == 0:
            line = line.removeprefix(b"\xef\xbb\xbf")
        path = os.fsdecode(line.rstrip(b"\r\n"))
        if path.strip():
            yield path


def _column(file: IO[bytes], source: str, column: str | None) -> Iterator[str]:
    import pyarrow as pa

    try:
        if source.lower().endswith((".parquet", ".pq")):
            from pyarrow import parquet

            table = parquet.ParquetFile(file)
            name = _chosen(table.schema_arrow.names, source, column)
            batches: Iterable[Any] = table.iter_batches(columns=[name])
        else:
            from pyarrow import csv

            delimiter = "\t" if source.lower().endswith(".tsv") else ","
            reader = csv.open_csv(file, parse_options=csv.ParseOptions(delimiter=delimiter))
            name = _chosen(reader.schema.names, source, column)
            batches = reader
        for batch in batches:
            for value in batch.column(batch.schema.get_field_index(name)):
                if value.is_valid and str(value.as_py()).strip():
                    yield str(value.as_py())
    except pa.ArrowException as error:
        raise InputError(f"{source}: {str(error)[:200]}: check the table") from None


def _chosen(names: list[str], source: str, column: str | None) -> str:
    if column is not None:
        if column not in names:
            raise InputError(f"{source}: no column {column!r} among {', '.join(names)[:200]}")
        return column
    if len(names) == 1:
        return names[0]
    for usual in _USUAL_COLUMNS:
        if usual in names:
            return usual
    raise InputError(f"{source}: name the --column with the paths: {', '.join(names)[:200]}")


# --- addresses ---------------------------------------------------------------------------


def _remote(source: str, skipped: Counter[str]) -> Iterator[Entry]:
    """The pictures and clips behind an address, folder by folder."""
    fs, top = filesystem(source)
    try:
        if glob.has_magic(top):
            found = fs.glob(top, detail=True)
            files = iter([(path, found[path]) for path in sorted(found)])
        elif fs.isfile(top):
            yield _remote_entry(fs, fs.info(top))
            return
        elif not fs.isdir(top):
            raise InputError(f"{source}: nothing is there: check the address")
        else:
            files = _walked(fs, top, skipped)
        for path, info in files:
            if info["type"] == "directory" or (not info["size"] and path.endswith("/")):
                continue
            kind = skipped_kind(path.rpartition("/")[2])
            if kind is None:
                yield _remote_entry(fs, info)
            else:
                skipped[kind] += 1
    except OSError as error:
        raise InputError(f"{source}: {error.strerror or error}: check the address") from None


def _walked(fs: Any, top: str, skipped: Counter[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    for _, folders, files in fs.walk(top, detail=True):
        for name in [name for name in folders if name.startswith(".")]:
            del folders[name]
            skipped["hidden folders"] += 1
        for name in sorted(files):
            yield files[name]["name"], files[name]


def _remote_entry(fs: Any, info: dict[str, Any]) -> Entry:
    size = info.get("size")
    address = fs.unstrip_protocol(info["name"])
    return Entry(address, -1 if size is None else int(size), remote_stamp(info))
