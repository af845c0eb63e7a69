"""The schema of the data set, and how a verdict becomes its rows.

Two tables, ``files`` with one row a file and ``tracks`` with one a person, joined by ``path``.
``docs/scan.md`` says what each column means.  A column that is added raises ``VERSION`` by nothing;
one that changes its meaning, its type or vanishes raises it by one.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from ..notes import DOUBTS

if TYPE_CHECKING:
    import pyarrow as pa

    from ..detect.verdict import Segment, Track, Verdict

VERSION = 1
#: The key of the version among the metadata of each Parquet file.
VERSION_KEY = b"minimeso.scan"
FILES, TRACKS = "files", "tracks"
#: The status of a file that was given up, beside those of a verdict.
GIVEN_UP = "given_up"
#: What is tried again if somebody wants it.
TRIED_AGAIN = (GIVEN_UP, "unreadable")
#: Verdicts and, of what has none, statuses: the most suspect first.
RESULTS = ("fake", "uncertain", "real", "no_face", "unreadable", "partial", GIVEN_UP)

Row = dict[str, Any]


#: A backslash that would be taken for the beginning of an escape.
_BACKSLASH = re.compile(r"\\(?=x[0-9a-f]{2})")
_PASSWORD = re.compile(r"(?<=://)([^/\s:@]*):[^/\s]*@")


def storable(text: str) -> str:
    """A text as the data set has it: bytes that are no UTF-8 are written as ``\\xff``, and
    passwords of addresses left out."""
    text = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return _PASSWORD.sub(r"\1@", text) if "://" in text else text


def stored_path(path: str) -> str:
    """A path as the data set has it, as ``storable`` and unlike that of any other path."""
    return storable(_BACKSLASH.sub(r"\\x5c", path) if os.sep == "/" else path)


class Outcome(NamedTuple):
    """What is known of one file after it was handed to a worker.

    Attributes:
        path: of its entry.
        file: its row in ``files``; ``None`` where nothing changed but the stamp.
        tracks: its rows in ``tracks``.
        stamp: of the file as it was judged; empty if it changed meanwhile.
        bytes: its size.
        is_model: whether it was given up because of the model, which may not be the file's fault.
    """

    path: str
    file: Row | None
    tracks: list[Row]
    stamp: str
    bytes: int
    is_model: bool = False


@functools.cache
def schemas() -> dict[str, pa.Schema]:
    """Name of a table -> its schema, with the version as metadata."""
    import pyarrow as pa

    text, whole, real = pa.string(), pa.int64(), pa.float64()
    texts = pa.list_(text)
    numbers = ("start", "end", "p_fake", "low", "high")
    segment = pa.struct([*((name, real) for name in numbers), ("verdict", text)])
    files: dict[str, pa.DataType] = {
        "path": text, "sha256": text, "bytes": whole, "stamp": text, "settings": text,
        "status": text, "reason": text, "verdict": text, "p_fake": real, "low": real, "high": real,
        "prior": real, "model": text, "note": text, "doubts": texts, "persons": whole,
        "frames_read": whole, "frames_scored": whole, "left_out": pa.map_(text, whole),
    }  # fmt: skip
    tracks: dict[str, pa.DataType] = {
        "path": text, "id": whole, "verdict": text, "p_fake": real, "low": real, "high": real,
        "doubts": texts, "frames": whole, "start": real, "end": real, "worst": real,
        "worst_box": pa.list_(whole, 4), "segments": pa.list_(segment),
    }  # fmt: skip
    required = {"path", "status", "settings", "persons", "id"}
    return {
        name: pa.schema(
            [pa.field(key, kind, nullable=key not in required) for key, kind in columns.items()],
            {VERSION_KEY: str(VERSION).encode()},
        )
        for name, columns in ((FILES, files), (TRACKS, tracks))
    }


def outcome_of(
    verdict: Verdict, path: str, sha256: str | None, size: int, stamp: str, settings: str
) -> Outcome:
    """The rows of a verdict about the file that the source calls ``path``."""
    low, high = verdict.interval or (None, None)
    reasons = [note.values["reason"] for note in verdict.notes if note.code == "unreadable"]
    file: Row = {
        "path": path,
        "sha256": sha256,
        "bytes": size,
        "settings": settings,
        "status": verdict.status,
        "reason": str(reasons[0]) if reasons else None,
        "verdict": verdict.verdict,
        "p_fake": verdict.p_fake,
        "low": low,
        "high": high,
        "prior": verdict.prior,
        "model": verdict.model,
        "note": verdict.note,
        "doubts": [note.code for note in verdict.notes if note.code in DOUBTS],
        "persons": len(verdict.tracks),
        "frames_read": verdict.frames_read,
        "frames_scored": verdict.frames_scored,
        "left_out": list(verdict.left_out.items()),
    }
    return Outcome(path, file, [_track(path, track) for track in verdict.tracks], stamp, size)


def given_up(path: str, size: int, stamp: str, reason: str, settings: Mapping[str, Any]) -> Outcome:
    """The row of a file that nobody could judge.

    Args:
        reason: why, for a person.
        settings: ``settings``, ``prior`` and ``model`` of its row.
    """
    file = dict.fromkeys(schemas()[FILES].names) | {
        "path": path, "bytes": size, "status": GIVEN_UP, "reason": reason, "note": reason,
        "doubts": [], "persons": 0, "frames_read": 0, "frames_scored": 0, "left_out": [],
        **settings,
    }  # fmt: skip
    return Outcome(path, file, [], stamp, size)


def _track(path: str, track: Track) -> Row:
    low, high = track.interval
    worst = max(track.frames, key=lambda moment: moment.p_fake)
    return {
        "path": path,
        "id": track.id,
        "verdict": track.verdict,
        "p_fake": track.p_fake,
        "low": low,
        "high": high,
        "doubts": [note.code for note in track.doubts],
        "frames": len(track.frames),
        "start": track.frames[0].t,
        "end": track.frames[-1].t,
        "worst": worst.t,
        "worst_box": [int(value) for value in worst.box],
        "segments": [_segment(segment) for segment in track.segments],
    }


def _segment(segment: Segment) -> Row:
    low, high = segment.interval
    return {**segment._asdict(), "low": low, "high": high}
