"""Sources: an archive, wherever it is and however it is listed, becomes entries, one by one.

A folder, a list of paths, a column of a table, or any of these behind an address that fsspec knows
(``s3://bucket/clips``).  Nothing of the content is read here.  Of folders nothing is kept, of lists
a hash of each path (``once``), so a source may have any number of entries.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from ..errors import InputError
from ..media.folders import fault_of_link, files_in, skipped_kind
from .addresses import files_at, filesystem, is_address
from .schema import storable
from .tables import LISTS, TABLES, paths_of

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


def stamp_of(path: str) -> tuple[int, str]:
    """Size and stamp of a local file: what changes with its content, at the cost of one ``stat``.

    The time of the last change of its entry cannot be set back, so content that was replaced is
    seen even where size and time of modification were kept.
    """
    status = os.stat(path)  # noqa: PTH116
    change = f"{status.st_size}-{status.st_mtime_ns}-{status.st_ctime_ns}-{status.st_ino}"
    return status.st_size, change


def remote_stamp(info: dict[str, Any]) -> str:
    """The same of what a remote file system tells of a file; empty if that is too little."""
    told = {k: str(v) for k, v in info.items() if k in _TELLING and v is not None}
    if "ETag" in told:  # which tells enough, and alone did so in stamps of earlier versions
        told.pop("Last-Modified", None)
    if told.keys() <= {"size", "uid"}:  # which may stay as they are while the content changes
        return ""
    return hashlib.blake2b(repr(sorted(told.items())).encode(), digest_size=12).hexdigest()


#: What file systems call what changes with a file: size, entity tags, times, versions.
_TELLING = frozenset(
    {
        "size", "ETag", "etag", "LastModified", "last_modified", "mtime", "modified", "updated",
        "created", "VersionId", "generation", "md5Hash", "content_settings", "uid", "ino",
        "modify", "modificationTime", "Content-MD5", "CRC", "Last-Modified",
    }
)  # fmt: skip


def entries(
    source: str,
    column: str | None,
    skipped: Counter[str],
    listed: Callable[[str], None] = lambda folder: None,
) -> Iterator[Entry]:
    """Everything that a source has, each path once.

    Args:
        source: folder, file, list (``.txt``), table (``.csv``, ``.tsv``, ``.parquet``), or the
            address of one, where an address may have wildcards.
        column: of a table; by default the only one, or that called ``path``, ``file`` ...
        skipped: what is not looked at is counted here by its kind.
        listed: called with the path of each folder that could be listed, and so has no entry.

    Raises:
        InputError: there is no such source, or a table without that column.
    """
    if source.lower().endswith((*LISTS, *TABLES)) and not os.path.isdir(source):  # noqa: PTH112
        paths = paths_of(source, column, skipped)
        yield from once((_named(path) for path in paths), skipped)
        return
    if column is not None:
        raise InputError(f"{storable(source)}: --column is for tables: {', '.join(TABLES)}")
    if is_address(source):
        yield from _remote(source, skipped, listed)
    elif os.path.isdir(source):  # noqa: PTH112
        for path, fault in files_in(source, skipped, listed):
            yield local_entry(path, fault)
    elif os.path.lexists(source):
        yield local_entry(source, fault_of_link(source))
    else:
        raise InputError(f"{source}: no such folder, list or table: check the name")


def local_entry(path: str, fault: str | None = None) -> Entry:
    """A file of this machine."""
    if fault is not None:
        return _faulty(path, fault)
    try:
        return Entry(path, *stamp_of(path))
    except OSError:  # who judges it says why
        return Entry(path, -1, GONE)
    except ValueError as error:
        return _faulty(path, f"no file has such a name ({error}): check the list")


def once(found: Iterable[Entry], skipped: Counter[str]) -> Iterator[Entry]:
    """Entries without those whose path comes again."""
    seen: set[bytes] = set()
    for entry in found:
        path = entry.path.encode("utf-8", "surrogateescape")
        digest = hashlib.blake2b(path, digest_size=16).digest()
        if digest in seen:
            skipped["paths named again"] += 1
            continue
        seen.add(digest)
        yield entry


def _named(path: str) -> Entry:
    return Entry(path) if is_address(path) else local_entry(path)


def _faulty(path: str, fault: str) -> Entry:
    return Entry(path, -1, storable(f"{GONE}: {fault}"), fault)


def _remote(source: str, skipped: Counter[str], listed: Callable[[str], None]) -> Iterator[Entry]:
    """The pictures and clips behind an address; a file that it names itself, whatever it is."""
    top = filesystem(source)[1]
    for address, info, fault in files_at(source, skipped, listed):
        if fault is not None:
            yield _faulty(address, fault)
            continue
        path, size = info["name"], info.get("size")
        if not size and path.endswith("/"):  # stands for a folder
            continue
        kind = None if path == top else skipped_kind(path.rpartition("/")[2])
        if kind is None:
            yield Entry(address, -1 if size is None else int(size), remote_stamp(info))
        else:
            skipped[kind] += 1
