"""The zip reader: what Python's own writes is read back, hostile archives are refused quickly."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minimeso.engine.archive import entries

METHODS = st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
CONTENTS = st.dictionaries(st.text("ab/.é", min_size=1, max_size=9), st.binary(max_size=300))


def zipped(contents: dict[str, bytes], method: int, comment: bytes = b"") -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        archive.comment = comment
        for name, content in contents.items():
            with archive.open(name, "w", force_zip64=True) as entry:  # as NumPy does
                entry.write(content)
    return stream.getvalue()


@given(
    contents=CONTENTS,
    method=METHODS,
    comment=st.binary(max_size=40).filter(lambda b: b"P" not in b),
)
def test_reads_what_python_writes(contents: dict[str, bytes], method: int, comment: bytes) -> None:
    data = zipped(contents, method, comment)
    total = sum(map(len, contents.values()))
    assert dict(entries(data, total)) == contents
    if total:
        with pytest.raises(ValueError, match="limit"):
            dict(entries(data, total - 1))


@given(contents=CONTENTS, method=METHODS, place=st.integers(0, 10**6), value=st.integers(1, 255))
def test_a_flipped_byte(contents: dict[str, bytes], method: int, place: int, value: int) -> None:
    data = bytearray(zipped(contents, method))
    data[place % len(data)] ^= value
    try:
        found = [content for _, content in entries(bytes(data), 1 << 20)]
    except (ValueError, struct.error, zlib.error):
        return
    assert set(found) <= set(contents.values())


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_methods_are_refused(method: int) -> None:
    with pytest.raises(ValueError, match="unknown way"):
        dict(entries(zipped({"a": b"content"}, method), 100))


def test_a_false_size_is_noticed() -> None:
    data = zipped({"a": bytes(1000)}, zipfile.ZIP_DEFLATED)
    at = data.rfind(b"PK\1\2") + 24
    for size in (0, 999, 1001):
        with pytest.raises(ValueError, match="damaged"):
            dict(entries(data[:at] + struct.pack("<I", size) + data[at + 4 :], 2000))


def test_entries_that_share_their_bytes_are_refused() -> None:
    """Each of them would be unpacked, so a small archive could keep us busy for hours."""
    data = zipped({"a": bytes(range(256)) * 4}, zipfile.ZIP_STORED)
    start, end = data.rfind(b"PK\1\2"), data.rfind(b"PK\5\6")
    twice = data[:start] + 2 * data[start:end] + data[end : end + 10] + b"\2" + data[end + 11 :]
    with pytest.raises(ValueError, match="limit"):
        list(entries(twice, 1 << 20))
