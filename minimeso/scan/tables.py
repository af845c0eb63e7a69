"""Lists and tables: the paths that a text, a CSV file or a Parquet file names, one by one."""

from __future__ import annotations

import codecs
import csv
import io
import os
from collections import Counter
from collections.abc import Iterator
from typing import IO, Any

from ..errors import InputError
from ..media.folders import skipped_kind
from .addresses import filesystem, is_address, reason_of
from .schema import storable

#: What a source that is a list or a table ends with.
LISTS, TABLES = (".txt", ".lst", ".list"), (".csv", ".tsv", ".parquet", ".pq")
#: Columns that are looked for, if none is named.
USUAL_COLUMNS = ("path", "file", "filename", "address", "url")
_CHUNK_BYTES = 1 << 20
#: Characters of a field of a table at most; pictures may stand in one, as base64.
_FIELD = 1 << 28
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_OTHER_DELIMITERS = frozenset(";\t|")


def paths_of(source: str, column: str | None, skipped: Counter[str]) -> Iterator[str]:
    """What a list or a table names.

    Args:
        source: path or address of it.
        column: of a table; by default the only one, or one with a usual name.
        skipped: rows without a path are counted here.

    Raises:
        InputError: it cannot be read, or has no such column.
    """
    where = storable(source)
    fs, place = filesystem(source)
    try:
        with fs.open(place, "rb") as file:
            if source.lower().endswith(LISTS):
                if column is not None:
                    raise InputError(f"{where}: a list has no columns: leave out --column")
                for line in _lines(file, where):  # empty ones mean nothing
                    if line.strip():
                        yield line.rstrip("\r\n")
                return
            if source.lower().endswith((".parquet", ".pq")):
                found = _of_parquet(file, where, column)
            else:
                delimiter = "\t" if source.lower().endswith(".tsv") else ","
                found = _of_csv(file, where, column, delimiter)
            for path in found:
                if path is not None and path.strip():
                    yield path
                else:
                    skipped["rows without a path"] += 1
    except InputError:
        raise
    except Exception as error:  # packages of file systems raise whatever they like
        raise InputError(f"{where}: {reason_of(error)}: check the name") from None


def _lines(file: IO[bytes], where: str) -> Iterator[str]:
    """Lines as text, with their ends; a byte-order mark of UTF-8 means nothing."""
    from fsspec.spec import AbstractBufferedFile

    if isinstance(file, AbstractBufferedFile):  # it reads a block for each line, and then goes back
        file = io.BufferedReader(file, _CHUNK_BYTES)
    for number, line in enumerate(file):
        if number == 0 and line.startswith(_UTF_16) and b"\0" in line:  # which no name has
            raise InputError(f"{where}: is UTF-16, as PowerShell writes it: save it as UTF-8")
        yield os.fsdecode(line if number else line.removeprefix(b"\xef\xbb\xbf"))


def _of_csv(
    file: IO[bytes], where: str, column: str | None, delimiter: str
) -> Iterator[str | None]:
    """As text, so that no number or date is made of a name."""
    # of the whole process, and only ever raised: it was 131,072 for the columns of others, too
    csv.field_size_limit(max(csv.field_size_limit(), _FIELD))
    # not strict, it would make the name `ab` of `"a"b`
    rows = csv.reader(_lines(file, where), delimiter=delimiter, strict=True)
    begin = 1  # a quote that is never closed is found at the end of the table
    try:
        names = next(rows, None)
        if not names:
            raise InputError(f"{where}: no row with the names of columns: check the table")
        number = names.index(_chosen(names, where, column))
        if column is None and len(names) == 1:
            _check_only_name(names[0], where)
        begin = rows.line_num + 1
        for row in rows:
            if len(row) != len(names) and row:
                raise InputError(
                    f"{where}: line {begin} has {len(row)} columns, not {len(names)}: "
                    "quote what has the delimiter in it"
                )
            if row:
                yield row[number]
            begin = rows.line_num + 1
    except csv.Error as error:
        raise InputError(f"{where}: line {begin}: {error}: check the table") from None


def _check_only_name(name: str, where: str) -> None:
    """``InputError`` if the name of the only column looks like something else."""
    if skipped_kind(name) is None or is_address(name):
        raise InputError(
            f"{where}: its first line, {storable(name)!r}, is no name of a column: put `path` "
            "above it, or name the file .txt"
        )
    if _OTHER_DELIMITERS.intersection(name):
        raise InputError(
            f"{where}: one column, {storable(name)!r}: put commas between them, or tabs in a .tsv"
        )


def _of_parquet(file: IO[bytes], where: str, column: str | None) -> Iterator[str | None]:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        table = parquet.ParquetFile(file)
        name = _chosen(table.schema_arrow.names, where, column)
        kind = table.schema_arrow.field(name).type
        if not _is_text(kind):
            raise InputError(f"{where}: column {name!r} has no text but {kind}: name another one")
        for batch in table.iter_batches(columns=[name]):
            for value in batch.column(batch.schema.get_field_index(name)).to_pylist():
                yield os.fsdecode(value) if isinstance(value, bytes) else value
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{where}: {str(error)[:200]}: check the table") from None


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    tests = ("string", "large_string", "string_view", "binary", "large_binary", "binary_view",
             "null")  # fmt: skip
    return any(getattr(pa.types, f"is_{name}")(kind) for name in tests)


def _chosen(names: list[str], where: str, column: str | None) -> str:
    told = storable(", ".join(names))[:200]
    if column is not None:
        if column not in names:
            raise InputError(f"{where}: no column {column!r} among {told}")
        found: str | None = column
    elif len(names) == 1:
        found = names[0]
    else:
        found = next((usual for usual in USUAL_COLUMNS if usual in names), None)
    if found is None:
        raise InputError(f"{where}: name the --column with the paths: {told}")
    if names.count(found) > 1:
        raise InputError(f"{where}: {names.count(found)} columns {found!r}: give them other names")
    return found
