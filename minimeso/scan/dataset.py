"""The data set: parts of bounded size, written as results come, in which every file has one row.

``files/part-00000.parquet`` and ``tracks/part-00000.parquet`` hold the same files.  A part is
written anew, whole, as long as it grows, its tracks first; a row that is replaced leaves its old
part before the new one comes.  So whenever the writer dies, a file has one row or none, and
``repair`` finds the tracks that have no file.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from ..errors import InputError, OutputError
from .index import Index, Place
from .schema import (
    FILES,
    TRACKS,
    TRIED_AGAIN,
    VERSION,
    VERSION_KEY,
    Outcome,
    Row,
    schemas,
    storable,
    stored_path,
)
from .store import Store

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow import parquet

#: Rows of a part, in either table.  Some 3 MB of files; a reader holds one part at a time.
FILES_OF_PART, TRACKS_OF_PART = 10_000, 40_000
#: Seconds after which what came is written, although the part is not full.
FLUSH_SECONDS = 20.0
_PART = re.compile(r"part-(\d{5,})\.parquet")
_SETTINGS = "_settings"
_STATE_COLUMNS = ["path", "stamp", "settings", "status"]


def state(stamp: str, settings: str) -> str:
    """What a file's row must have been made of for it to be done."""
    return f"{stamp}\n{settings}"


class Dataset:
    """A data set of verdicts.

    Args:
        address: folder, or address of one that fsspec knows.

    Raises:
        InputError: it holds something else, or was made by a newer minimeso.
    """

    def __init__(self, address: str) -> None:
        self.store = Store(address)
        self._numbers = self._parts(FILES)
        for number in self._numbers[-1:]:  # all are written by one program
            self._read(FILES, number, ["path"])

    def __len__(self) -> int:
        """How many files it has."""
        return sum(self._count(FILES, number) for number in self._numbers)

    def _parts(self, table: str) -> list[int]:
        found = map(_PART.fullmatch, self.store.names(table))
        return sorted(int(match[1]) for match in found if match)

    def batches(self, table: str, columns: list[str]) -> Iterator[pa.Table]:
        """These columns, part by part: the last first, into which rows go that are replaced, so
        that none comes twice while somebody writes."""
        for number in reversed(self._parts(table)):
            yield self._read(table, number, columns)

    @contextlib.contextmanager
    def _part(self, table: str, number: int) -> Iterator[parquet.ParquetFile]:
        """An open part; ``InputError`` of whatever is wrong with it."""
        import pyarrow as pa
        from pyarrow import parquet

        name = f"{self.store.address}/{_name(table, number)}"
        try:
            with self.store.open(_name(table, number)) as file, parquet.ParquetFile(file) as part:
                version = (part.schema_arrow.metadata or {}).get(VERSION_KEY, b"")
                if not version.isdigit() or int(version) > VERSION:
                    raise InputError(
                        f"{name}: not written by minimeso scan, or by a newer one: name another "
                        "folder"
                    )
                yield part
        except (pa.ArrowException, OSError) as error:
            if isinstance(error, OSError) and (error.errno or type(error) is not OSError):
                raise InputError(
                    f"{name}: cannot be read: {error.strerror or error}: ask for the right to "
                    "read it, or try again"
                ) from None
            raise InputError(
                f"{name}: damaged ({str(error)[:200]}): delete it, and what was in it is judged "
                "again"
            ) from None

    def _read(self, table: str, number: int, columns: list[str] | None = None) -> pa.Table:
        with self._part(table, number) as part:
            return part.read(columns)

    def _count(self, table: str, number: int) -> int:
        with self._part(table, number) as part:
            return int(part.metadata.num_rows)

    def repair(self) -> None:
        """Make both tables have the same files, which they have not where a writer died or
        somebody deleted a damaged part."""
        self._numbers = self._parts(FILES)  # another scan may have ended meanwhile
        for folder in (FILES, TRACKS, _SETTINGS):
            self.store.tidy(folder)
        with_tracks = self._parts(TRACKS)
        for number in with_tracks:
            if number not in self._numbers:
                self.store.remove(_name(TRACKS, number))
        for number in self._numbers:
            files = self._read(FILES, number, ["path", "persons"])
            is_there = number in with_tracks
            if not is_there or sum(files["persons"].to_pylist()) != self._count(TRACKS, number):
                self._keep_whole(number, files, is_there)

    def _keep_whole(self, number: int, files: pa.Table, has_tracks: bool) -> None:
        """Of a part, keep the files that have all their tracks, and no other tracks."""
        tracks = self._read(TRACKS, number) if has_tracks else schemas()[TRACKS].empty_table()
        found = Counter(tracks["path"].to_pylist())
        rows = files.to_pylist()
        whole = {row["path"] for row in rows if found[row["path"]] == row["persons"]}
        if len(whole) < len(rows):
            self._write(FILES, number, _only(self._read(FILES, number), whole.__contains__))
        self._write(TRACKS, number, _only(tracks, whole.__contains__))

    def index(self, retry: bool = False) -> Index:
        """What is there; with ``retry``, files that could not be judged do not count.

        A file that has two rows, as after two scans at once where nothing can be locked, keeps the
        later one, or none.
        """
        index = self._index(retry)
        doubled = sorted(index.doubled())
        for part, places in itertools.groupby(doubled, key=attrgetter("part")):
            self.drop(part, {row["path"] for row in self.rows(places).values()}, {})
        return self._index(retry) if doubled else index

    def _index(self, retry: bool) -> Index:
        index = Index()
        for number in self._numbers:
            table = self._read(FILES, number, _STATE_COLUMNS)
            columns = (table[name].to_pylist() for name in _STATE_COLUMNS)
            rows = list(zip(*columns, strict=True))
            states = [
                "" if retry and status in TRIED_AGAIN else state(stamp or "", settings)
                for _, stamp, settings, status in rows
            ]
            index.add(number, [row[0] for row in rows], states)
        return index

    def rows(self, places: Iterable[Place]) -> dict[Place, Row]:
        """Path, content hash, stamp, settings and status of rows; each part is read once."""
        found: dict[Place, Row] = {}
        for part, group in itertools.groupby(sorted(places), key=attrgetter("part")):
            wanted = list(group)
            rows = self._read(FILES, part, ["path", "sha256", *_STATE_COLUMNS[1:]])
            chosen = rows.take([place.row for place in wanted]).to_pylist()
            found.update(zip(wanted, chosen, strict=True))
        return found

    def describe(self, key: str, settings: dict[str, Any]) -> None:
        """Say what settings a key stands for."""
        with self.store.write(f"{_SETTINGS}/{key}.json") as file:
            file.write(json.dumps(settings, indent=1).encode() + b"\n")

    def settings(self) -> dict[str, dict[str, Any]]:
        """What each key of settings stands for."""
        found = {}
        for name in self.store.names(_SETTINGS):
            with self.store.open(f"{_SETTINGS}/{name}") as file:
                data = file.read()
            told: Any = None
            with contextlib.suppress(ValueError):
                told = json.loads(data)
            if not isinstance(told, dict):
                raise InputError(f"{self.store.address}/{_SETTINGS}/{name}: damaged: delete it")
            found[name.partition(".")[0]] = told
        return found

    def drop(self, part: int, gone: set[str], stamps: dict[str, str]) -> None:
        """Remove rows of a part, by their paths, and change the stamps of others."""
        import pyarrow as pa

        files = _only(self._read(FILES, part), lambda path: path not in gone)
        if stamps:
            paths, old = files["path"].to_pylist(), files["stamp"].to_pylist()
            new = [stamps.get(path, stamp) for path, stamp in zip(paths, old, strict=True)]
            place = files.schema.get_field_index("stamp")
            column = pa.array(new, pa.string())
            files = files.set_column(place, files.schema.field(place), column)
        self._write(FILES, part, files)
        if gone:
            tracks = self._read(TRACKS, part)
            self._write(TRACKS, part, _only(tracks, lambda path: path not in gone))

    def _write(self, table: str, number: int, rows: pa.Table) -> None:
        from pyarrow import parquet

        with self.store.write(_name(table, number)) as file:
            parquet.write_table(rows, file, compression="zstd")
        if table == FILES and number not in self._numbers:
            self._numbers.append(number)

    def writer(self, index: Index) -> Writer:
        """What takes the results of a run."""
        return Writer(self, index, max(self._numbers, default=-1) + 1)


class Writer:
    """Takes the results of a run and writes them in parts.

    Args:
        dataset: where they go.
        index: of what it has.
        number: of the first part.
    """

    def __init__(self, dataset: Dataset, index: Index, number: int) -> None:
        self._dataset, self._index, self._number = dataset, index, number
        self._rows: dict[str, list[Row]] = {FILES: [], TRACKS: []}  # that are not Arrow's yet
        self._chunks: dict[str, list[pa.Table]] = {FILES: [], TRACKS: []}
        self._is_written = True  # all of the chunks
        self._gone: dict[int, set[str]] = {}
        self._stamps: dict[int, dict[str, str]] = {}
        self._flushed = time.monotonic()

    def add(self, outcomes: Iterable[Outcome]) -> None:
        """Take results; they are written now, or within ``FLUSH_SECONDS`` by the next call.

        Raises:
            OutputError: they cannot be written.
        """
        for outcome in outcomes:
            path = stored_path(outcome.path)
            place = self._index.find(path)
            if outcome.file is None:
                if place is not None:
                    self._stamps.setdefault(place.part, {})[path] = outcome.stamp
                continue
            if place is not None:
                self._gone.setdefault(place.part, set()).add(path)
            file = {**outcome.file, "stamp": outcome.stamp}
            self._rows[FILES].append({**_storable(file), "path": path})
            self._rows[TRACKS] += ({**_storable(row), "path": path} for row in outcome.tracks)
        if self._is_full() or time.monotonic() - self._flushed > FLUSH_SECONDS:
            self.flush()

    def remove(self, path: str) -> None:
        """Take away the row of a path, if it had one, at the next flush."""
        path = stored_path(path)
        place = self._index.find(path)
        if place is not None:
            self._gone.setdefault(place.part, set()).add(path)

    def _size(self, table: str) -> int:
        return len(self._rows[table]) + sum(int(c.num_rows) for c in self._chunks[table])

    def _is_full(self) -> bool:
        return self._size(FILES) >= FILES_OF_PART or self._size(TRACKS) >= TRACKS_OF_PART

    def flush(self) -> None:
        """Write everything that came."""
        import pyarrow as pa

        self._flushed = time.monotonic()
        for part in sorted({*self._gone, *self._stamps}):
            self._dataset.drop(part, self._gone.get(part, set()), self._stamps.get(part, {}))
            # not before, or who tries it once more after an error would double these rows
            self._gone.pop(part, None)
            self._stamps.pop(part, None)
        for table in (TRACKS, FILES) if self._rows[FILES] else ():
            try:
                chunk = pa.Table.from_pylist(self._rows[table], schemas()[table])
            except pa.ArrowException as error:
                raise OutputError(f"{table}: {error}") from None
            self._is_written, self._rows[table] = False, []
            self._chunks[table].append(chunk)
        if self._is_written:
            return
        is_full = self._is_full()
        self._write()
        self._is_written = True
        if is_full:
            self._number += 1
            self._chunks = {FILES: [], TRACKS: []}

    def _write(self) -> None:
        import pyarrow as pa

        for table in (TRACKS, FILES):
            whole = pa.concat_tables(self._chunks[table]).sort_by("path")
            self._dataset._write(table, self._number, whole)


def _name(table: str, number: int) -> str:
    return f"{table}/part-{number:05}.parquet"


def _storable(row: Row) -> Row:
    return {key: storable(v) if isinstance(v, str) else v for key, v in row.items()}


def _only(table: pa.Table, is_wanted: Any) -> pa.Table:
    """The rows of wanted paths."""
    import pyarrow as pa

    return table.filter(pa.array(map(is_wanted, table["path"].to_pylist()), pa.bool_()))
