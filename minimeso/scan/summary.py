"""The summary of a data set: what was found, in numbers, and the files to look at first."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

from .dataset import Dataset
from .schema import FILES, RESULTS, TRACKS, TRIED_AGAIN, VERSION, Row

#: Files that a summary names.
MOST_NAMED = 10
#: Reasons that are told apart; some name their file.
_MOST_REASONS, _OTHERS = 1000, "other reasons"
_RANK = {kind: -place for place, kind in enumerate(RESULTS)}


class Summary(NamedTuple):
    """What a data set has.

    Attributes:
        files: how many.
        bytes: of all files whose size is known.
        persons: how many were judged.
        results: files by verdict, or by status where there is none, the most suspect first.
        partial: how many were judged in part only.
        reasons: of files that were given up, by reason, the commonest first.
        unreadable: of files that could not be read, the same.
        settings: files by the key of the settings that they were judged with.
        suspects: rows of the most suspect files, the first the most.
    """

    files: int
    bytes: int
    persons: int
    results: dict[str, int]
    partial: int
    reasons: dict[str, int]
    unreadable: dict[str, int]
    settings: dict[str, int]
    suspects: list[Row]

    def to_json(self) -> dict[str, Any]:
        """JSON-able data under the names of the attributes, and the version of the schema."""
        return {"schema": VERSION, **self._asdict()}


def summarize(dataset: Dataset, most: int = MOST_NAMED) -> Summary:
    """The summary of a data set, read part by part.

    Args:
        dataset: of verdicts.
        most: how many files ``suspects`` has at most.

    Raises:
        InputError: a part is damaged.
    """
    results, settings = Counter[str](), Counter[str]()
    reasons = {status: Counter[str]() for status in TRIED_AGAIN}
    size = persons = partial = 0
    best: list[tuple[Any, str, int, Row]] = []
    for number, row in enumerate(_rows(dataset)):
        result = row["verdict"] or row["status"]
        results[result] += 1
        settings[row["settings"]] += 1
        size += max(row["bytes"] or 0, 0)
        persons += row["persons"]
        partial += row["status"] == "partial" and row["verdict"] is not None
        if row["status"] in reasons:
            known, reason = reasons[row["status"]], row["reason"] or ""
            known[reason if reason in known or len(known) < _MOST_REASONS else _OTHERS] += 1
        item = suspicion(row), row["path"], -number, row  # rows themselves have no order
        if len(best) < most:
            heapq.heappush(best, item)
        elif best and item > best[0]:
            heapq.heapreplace(best, item)
    suspects = [row for *_, row in sorted(best, reverse=True)]
    of_results = {kind: results[kind] for kind in RESULTS if results[kind]}
    given_up, unreadable = (dict(reasons[status].most_common()) for status in TRIED_AGAIN)
    return Summary(
        results.total(), size, persons, of_results, partial, given_up, unreadable,
        dict(settings.most_common()), suspects,
    )  # fmt: skip


def suspicion(row: Row) -> tuple[int, float]:
    """Sorts rows of files: by verdict, then by probability; the most suspect is the largest."""
    p_fake = row["p_fake"]
    return _RANK.get(
        row["verdict"] or row["status"], -len(_RANK)
    ), -1.0 if p_fake is None else p_fake


_COLUMNS = [
    "path", "status", "verdict", "p_fake", "low", "high", "persons", "note", "reason", "settings",
    "bytes",
]  # fmt: skip


def _rows(dataset: Dataset) -> Iterator[Row]:
    for table in dataset.batches(FILES, _COLUMNS):
        for batch in table.to_batches(max_chunksize=1000):
            yield from batch.to_pylist()


def worst_moments(dataset: Dataset, paths: set[str]) -> dict[str, float]:
    """Of some files, when the most suspicious person looks most suspicious, in seconds."""
    found: dict[str, tuple[float, float]] = {}
    for table in dataset.batches(TRACKS, ["path", "p_fake", "worst"]):
        for row in table.to_pylist():
            path, p_fake = row["path"], row["p_fake"]
            if path in paths and (path not in found or p_fake > found[path][0]):
                found[path] = p_fake, row["worst"]
    return {path: worst for path, (_, worst) in found.items()}
