"""What the experiments share: options, finished runs, and tables of them.

An experiment keeps a row a finished run in `runs.csv` and never does that run again. All else that
it shows (`NAME.csv`, `NAME.md`, `NAME.png`) is made of that file by its `render`, and can be made
anew on a machine without data or PyTorch.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from tools.errors import ToolError
from tools.files import atomic_file
from tools.paper.intervals import over_runs

BUDGETS = ("smoke", "cpu", "days", "gpu", "full")


class ResultsError(ToolError):
    """An experiment cannot start, go on or be shown; the message names the file and the remedy."""


class Protocol(NamedTuple):
    """How stages 1 to 3 train.

    Attributes:
        about: for people.
        recipe: what is not the paper's of `tools.train.detectors.Recipe`.
        times: how many times the epochs of a budget.
    """

    about: str
    recipe: Mapping[str, Any]
    times: int = 1


_PIXEL = {"augment": "pixel", "batch": 16, "schedule": "trapezoid"}


PROTOCOLS = {
    "paper": Protocol("the paper's", {}),
    "pixel": Protocol(
        "faces shifted by whole pixels and mirrored, instead of zoomed and rotated, which smooths"
        " what a swap leaves behind; batches of 16; the rate falls over the last third only",
        _PIXEL,
    ),
    "pixel-long": Protocol(
        "as `pixel`, but with dropout .1, for twice as many epochs, as even the faces of its"
        " training are learned too little",
        {**_PIXEL, "dropout": 0.1},
        times=2,
    ),
}


@dataclass(frozen=True)
class Options:
    """The command line: what every experiment gets."""

    out: Path
    data: Path | None = None
    cache_folder: Path | None = None
    budget: str = "smoke"
    device: str = "cpu"
    seed: int = 0
    threads: int | None = None
    set: str = ""  # of `tools.train.sets.SETS`; empty: the faces of --data
    protocol: str = "paper"  # of `PROTOCOLS`

    def folder(self, name: str) -> Path:
        """Where an experiment writes, made if need be: of each set of faces a folder of its own."""
        path = self.out / self.called(name)
        path.mkdir(parents=True, exist_ok=True)
        return path

    def called(self, name: str) -> str:
        """The name of an experiment, of the set of faces if one is named, and of the protocol if it
        is not the paper's."""
        return called(name, self.set, self.protocol)

    @property
    def faces(self) -> dict[str, str]:
        """Columns of `runs.csv`: the set of faces if one is named, and the protocol if it is not
        the paper's."""
        found = {"set": self.set} if self.set else {}
        return found | ({"protocol": self.protocol} if self.protocol != "paper" else {})

    @property
    def cache(self) -> Path:
        """For what is slow to read: decoded faces."""
        return self.cache_folder or self.out / "cache"

    def data_folder(self, kind: str) -> Path:
        """Of --data the folder `kind` ("faces", "mnist", "cifar10"), or else --data itself."""
        if self.data is None:
            raise ResultsError(f"--data DIR is missing: the folder with {kind}/, or {kind}/ itself")
        if not self.data.is_dir():
            raise ResultsError(f"{self.data}: no such folder; point --data at the one with {kind}/")
        inside = self.data / kind
        return inside if inside.is_dir() else self.data


def called(name: str, of_set: str, protocol: str) -> str:
    """See `Options.called`."""
    return "-".join(filter(None, (name, of_set, "" if protocol == "paper" else protocol)))


class Budget(NamedTuple):
    """Runs of a setting, epochs of a run, and examples of a split to use (0: all there are)."""

    runs: int
    epochs: int
    examples: int


# --- finished runs ---------------------------------------------------------------------------


class Runs:
    """The finished runs of an experiment, a row each in a file.

    Args:
        folder: of the experiment.
        settings: what all rows have in common, such as the budget; a file of others is refused.
        key: the columns that say which run a row is of.
        name: of the file.
    """

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, object],
        key: Sequence[str],
        name: str = "runs.csv",
    ) -> None:
        self.path = folder / name
        self.key = key
        self.settings = {name: cell(value) for name, value in settings.items()}
        self._read()
        if self.table.empty:
            return
        for name, value in self.settings.items():
            there = set(self.table[name]) if name in self.table else {None}
            if other := there - {value}:
                raise ResultsError(
                    f"{self.path}: holds runs with {name} {other.pop()}, not {value};"
                    " choose another --out, or remove that folder"
                )
        if not set(key) <= set(self.table):
            raise ResultsError(f"{self.path}: lacks {', '.join(key)}; remove that folder")

    def _read(self) -> None:
        self.table = read_table(self.path) if self.path.exists() else pd.DataFrame()

    def done(self) -> list[dict[str, str]]:
        """The keys of the finished runs."""
        if self.table.empty:
            return []
        keys: list[dict[str, str]] = self.table[list(self.key)].to_dict("records")
        return keys

    def missing(self, wanted: Sequence[Mapping[str, object]]) -> list[Mapping[str, object]]:
        """Those of the wanted runs that are not finished."""
        done = self.done()
        return [run for run in wanted if {k: cell(run[k]) for k in self.key} not in done]

    def left(
        self, wanted: Sequence[Mapping[str, object]], together: Sequence[str] = ()
    ) -> Iterator[list[Mapping[str, object]]]:
        """The same, those at once that are alike in the columns `together`, of which none names no
        two; says on stderr how far it is. What another process has finished meanwhile is left out.
        """
        while missing := self.missing(wanted):
            few = [
                run
                for run in missing
                if together and all(run[name] == missing[0][name] for name in together)
            ] or missing[:1]
            what = "; ".join(", ".join(f"{name} {run[name]}" for name in self.key) for run in few)
            first = len(wanted) - len(missing) + 1
            numbers = f"run {first}" if len(few) == 1 else f"runs {first} to {first + len(few) - 1}"
            minutes = self._mean_seconds() * len(missing) / 60
            left = f"; about {minutes:.0f} min left" if minutes >= 1 else ""
            print(f"{numbers} of {len(wanted)}: {what}{left}", file=sys.stderr, flush=True)
            yield few
            self._read()

    def add(self, run: Mapping[str, object], figures: Mapping[str, object]) -> None:
        """Keeps a finished run, beside those that another process has added meanwhile. `figures`
        has its share of the wall time as `seconds`."""
        self._read()
        row = {**self.settings, **run, **figures}
        added = pd.DataFrame([{name: cell(value) for name, value in row.items()}])
        self.table = pd.concat([self.table, added], ignore_index=True).fillna("")
        write_table(self.path, self.table)

    def _mean_seconds(self) -> float:
        return 0.0 if self.table.empty else statistics.fmean(values(self.table, "seconds"))


def cell(value: object) -> str:
    """A value in a CSV file: six figures of a float."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def read_table(path: Path) -> pd.DataFrame:
    """A CSV file that an experiment wrote: all of it text, as it stands there.

    Raises:
        ResultsError: it is not there, cannot be read, or is no whole table.
    """
    try:
        table = pd.read_csv(path, dtype=object, keep_default_na=False, index_col=False)
    except FileNotFoundError:
        raise ResultsError(
            f"{path}: no such file; run the experiment first, without --render"
        ) from None
    except (pd.errors.ParserError, pd.errors.ParserWarning, pd.errors.EmptyDataError):
        raise ResultsError(f"{path}: not a whole table; remove it") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ResultsError(f"{path}: cannot be read ({error}); remove it") from None
    if table.empty or table.isna().to_numpy().any():
        raise ResultsError(f"{path}: not a whole table; remove it")
    if table.duplicated().any():
        raise ResultsError(f"{path}: a row stands in it twice; take one of them out")
    return table


def write_table(path: Path, rows: pd.DataFrame | Sequence[Mapping[str, object]]) -> None:
    """A CSV file, whole or not at all; a column for every name that a row has."""
    if not isinstance(rows, pd.DataFrame):
        rows = pd.DataFrame([{name: cell(value) for name, value in row.items()} for row in rows])
    write_text(path, rows.to_csv(index=False, lineterminator="\n"))


def write_text(path: Path, text: str) -> None:
    """A file in UTF-8, whole or not at all."""
    with atomic_file(path) as part:
        part.write_bytes(text.encode())


# --- what many runs say -----------------------------------------------------------------------


def grouped(table: pd.DataFrame, columns: Sequence[str]) -> dict[tuple[str, ...], pd.DataFrame]:
    """The runs of every setting, which these columns tell, in the order of their first."""
    return dict(iter(table.groupby(list(columns), sort=False)))


def by_seed(table: pd.DataFrame) -> pd.DataFrame:
    """The runs in the order of their seeds, which that of their rows need not be: several processes
    may have added them."""
    return table.iloc[np.argsort(np.array(values(table, "seed")), kind="stable")]


def paired(
    table: pd.DataFrame, columns: Sequence[str], figure: str
) -> tuple[dict[tuple[str, ...], list[float]], bool]:
    """A figure of the runs of every setting, by division of the faces (`split`, where there are
    several) and seed, and whether all settings have the same ones, so that their first runs, their
    second ones and so on can be compared."""
    block = ["split", "seed"] if "split" in table else ["seed"]
    ordered = by_seed(table)
    if "split" in table:
        ordered = ordered.sort_values("split", kind="stable")
    groups = grouped(ordered, columns)
    found = {setting: values(groups[setting], figure) for setting in grouped(table, columns)}
    blocks = [group[block].to_numpy().tolist() for group in groups.values()]
    return found, all(one == blocks[0] for one in blocks)


def values(table: pd.DataFrame, figure: str) -> list[float]:
    """A figure of every run."""
    try:
        found: list[float] = table[figure].astype(float).tolist()
    except (KeyError, ValueError) as error:
        raise ResultsError(
            f"column {figure} of a CSV file is not what the experiment wrote ({error}); undo what"
            " was edited, or remove that folder"
        ) from None
    return found


def summarise(
    table: pd.DataFrame, columns: Sequence[str], figures: Sequence[str]
) -> list[dict[str, Any]]:
    """A row for every setting: how many runs, and of each figure mean and interval."""
    groups = grouped(table, columns)
    found = {
        figure: over_runs({setting: values(group, figure) for setting, group in groups.items()})
        for figure in figures
    }
    summary: list[dict[str, Any]] = []
    for setting, group in groups.items():
        row: dict[str, Any] = dict(zip(columns, setting, strict=True))
        row["runs"] = len(group)
        for figure in figures:
            mean, low, high = found[figure][setting]
            row |= {figure: mean, f"{figure}_low": low, f"{figure}_high": high}
        summary.append(row)
    return summary
