"""What the experiments share: options, finished runs, intervals, tables and charts.

An experiment keeps a row a finished run in `runs.csv` and never does that run again. All else that
it shows (`NAME.csv`, `NAME.md`, `NAME.png`) is made of that file by its `render`, and can be made
anew on a machine without data or PyTorch.
"""

from __future__ import annotations

import csv
import io
import itertools
import math
import statistics
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from tools.files import replacing

BUDGETS = ("smoke", "cpu", "gpu", "full")
CONFIDENCE = 0.95
RESAMPLES = 2000
SMOKE = (
    "**A smoke run: it shows that the machinery works. Its figures mean nothing;** see `--budget"
    " cpu`, `gpu` and `full`."
)

Row = dict[str, str]
Array = NDArray[np.float64]


class ResultsError(Exception):
    """An experiment cannot start, go on or be shown; the message names the file and the remedy."""


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

    def folder(self, name: str) -> Path:
        """Where an experiment writes, made if need be: of each set of faces a folder of its own."""
        path = self.out / self.called(name)
        path.mkdir(parents=True, exist_ok=True)
        return path

    def called(self, name: str) -> str:
        """The name of an experiment, and of the set of faces if one is named."""
        return f"{name}-{self.set}" if self.set else name

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


class Budget(NamedTuple):
    """Runs of a setting, epochs of a run, and examples of a split to use (0: all there are)."""

    runs: int
    epochs: int
    examples: int


# --- finished runs ---------------------------------------------------------------------------


class Runs:
    """The finished runs of an experiment, a row each in `runs.csv`.

    Args:
        folder: of the experiment.
        settings: what all rows have in common, such as the budget; a file of others is refused.
        key: the columns that say which run a row is of.
    """

    def __init__(self, folder: Path, settings: Mapping[str, object], key: Sequence[str]) -> None:
        self.path = folder / "runs.csv"
        self.key = key
        self.settings = {name: cell(value) for name, value in settings.items()}
        self.rows = read_rows(self.path) if self.path.exists() else []
        for row in self.rows:
            for name, value in self.settings.items():
                if row.get(name) != value:
                    raise ResultsError(
                        f"{self.path}: holds runs with {name} {row.get(name)}, not {value};"
                        " choose another --out, or remove that folder"
                    )
            if any(name not in row for name in key):
                raise ResultsError(f"{self.path}: lacks {', '.join(key)}; remove that folder")

    def missing(self, wanted: Sequence[Mapping[str, object]]) -> list[Mapping[str, object]]:
        """Those of the wanted runs that are not finished."""
        done = {tuple(row[name] for name in self.key) for row in self.rows}
        return [run for run in wanted if self._place(run) not in done]

    def left(self, wanted: Sequence[Mapping[str, object]]) -> Iterator[Mapping[str, object]]:
        """The same one by one; says on stderr how far it is."""
        missing = self.missing(wanted)
        for count, run in enumerate(missing):
            what = ", ".join(f"{name} {run[name]}" for name in self.key)
            number = len(wanted) - len(missing) + count + 1
            minutes = self._mean_seconds() * (len(missing) - count) / 60
            left = f"; about {minutes:.0f} min left" if minutes >= 1 else ""
            print(f"run {number} of {len(wanted)}: {what}{left}", file=sys.stderr, flush=True)
            yield run

    def add(self, run: Mapping[str, object], figures: Mapping[str, object]) -> None:
        """Keeps a finished run. `figures` has its wall time as `seconds`."""
        values = {**run, **figures}
        row = self.settings | {name: cell(value) for name, value in values.items()}
        self.rows.append(row)
        write_rows(self.path, self.rows)

    def _mean_seconds(self) -> float:
        return statistics.fmean(values(self.rows, "seconds")) if self.rows else 0.0

    def _place(self, run: Mapping[str, object]) -> tuple[str, ...]:
        return tuple(cell(run[name]) for name in self.key)


def cell(value: object) -> str:
    """A value in a CSV file: six figures of a float."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def read_rows(path: Path) -> list[Row]:
    """The rows of a CSV file that an experiment wrote."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except FileNotFoundError:
        raise ResultsError(
            f"{path}: no such file; run the experiment first, without --render"
        ) from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ResultsError(f"{path}: cannot be read ({error}); remove it") from None
    if not rows or any(None in row or None in row.values() for row in rows):
        raise ResultsError(f"{path}: not a whole table; remove it")
    if len({tuple(row.items()) for row in rows}) < len(rows):
        raise ResultsError(f"{path}: a row stands in it twice; take one of them out")
    return rows


def write_rows(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """A CSV file, whole or not at all; a column for every name that a row has."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    file = io.StringIO()
    table = csv.DictWriter(file, columns, restval="", lineterminator="\n")
    table.writeheader()
    table.writerows({name: cell(value) for name, value in row.items()} for row in rows)
    write_text(path, file.getvalue())


def write_text(path: Path, text: str) -> None:
    """A file in UTF-8, whole or not at all."""
    with replacing(path) as part:
        part.write_bytes(text.encode())


# --- intervals -------------------------------------------------------------------------------


class Interval(NamedTuple):
    """A mean and its 95 % interval, which is NaN where there is none."""

    mean: float
    low: float
    high: float

    def __format__(self, form: str) -> str:
        """`0.923 ± 0.012`, or `0.923 [0.911, 0.930]` where it is not symmetric."""
        form = form or ".3f"
        mean = format(self.mean, form)
        if math.isnan(self.low):
            return mean
        above, below = (format(d, form) for d in (self.high - self.mean, self.mean - self.low))
        if above == below:
            return f"{mean} ± {above}"
        return f"{mean} [{format(self.low, form)}, {format(self.high, form)}]"


def over_runs(runs: Mapping[Any, Sequence[float]]) -> dict[Any, Interval]:
    """Of every setting the mean over its runs, by Student's t with the scatter that all settings
    have in common: two or three runs alone tell little of theirs.

    What varies is the run, the faces stay the same. Without a setting that was run twice there are
    no intervals; one of which a run diverged has no mean and adds nothing to the scatter.
    """
    finite = [values for values in runs.values() if np.isfinite(values).all()]
    freedom = sum(len(values) - 1 for values in finite)
    found = {}
    for setting, values in runs.items():
        mean = statistics.fmean(values)
        half = math.nan
        if freedom and math.isfinite(mean):
            scatter = math.sqrt(sum(len(v) * float(np.var(v)) for v in finite) / freedom)
            half = stats.t.ppf((1 + CONFIDENCE) / 2, freedom) * scatter / math.sqrt(len(values))
        found[setting] = Interval(mean, mean - half, mean + half)
    return found


def grouped(rows: Sequence[Row], columns: Sequence[str]) -> dict[tuple[str, ...], list[Row]]:
    """The rows of every setting, which these columns tell, in the order of their first."""
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in columns), []).append(row)
    return groups


def values(rows: Iterable[Row], figure: str) -> list[float]:
    """A figure of every run."""
    try:
        return [float(row[figure]) for row in rows]
    except (KeyError, ValueError) as error:
        raise ResultsError(
            f"runs.csv: its column {figure} is not what the experiment wrote ({error}); undo what"
            " was edited, or remove that folder"
        ) from None


def summarise(
    rows: Sequence[Row], columns: Sequence[str], figures: Sequence[str]
) -> list[dict[str, Any]]:
    """A row for every setting: how many runs, and of each figure mean and interval."""
    groups = grouped(rows, columns)
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


def interval(row: Mapping[str, Any], figure: str) -> Interval:
    """What a row of a summary says of a figure."""
    return Interval(row[figure], row[f"{figure}_low"], row[f"{figure}_high"])


def percentiles(mean: float, draws: Array) -> Interval:
    """The 95 % interval of a figure that was drawn (RESAMPLES,) times."""
    low, high = np.quantile(draws, ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2))
    return Interval(mean, float(low), float(high))


def drawn(count: int) -> NDArray[np.int64]:
    """(RESAMPLES, count): how often each of `count` people is drawn, with replacement."""
    return np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), RESAMPLES)


# --- is it the paper's order, or noise? ------------------------------------------------------


class Difference(NamedTuple):
    """How far `one` lies above `other`, with an interval. All of them together hold at 95 %."""

    one: str
    other: str
    by: float
    low: float
    high: float


def differences(figures: Mapping[str, Sequence[float]], blocks: bool = False) -> list[Difference]:
    """Of every two settings, of which each has its figure of every run: Tukey's, who pools their
    scatter. None without two runs each; settings of which a run diverged are left out.

    Args:
        figures: of each setting its runs.
        blocks: the first runs of all settings have something in common (a division of the faces),
            the second ones too, and so on: what that moves is not scatter. It counts where all
            settings have the same number of runs.
    """
    figures = {name: runs for name, runs in figures.items() if np.isfinite(runs).all()}
    counts = {len(runs) for runs in figures.values()}
    if len(figures) < 2 or min(counts) < 2:
        return []
    freedom = sum(len(runs) - 1 for runs in figures.values())
    residuals = [np.subtract(runs, np.mean(runs)) for runs in figures.values()]
    if blocks and len(counts) == 1:
        residuals = list(np.array(residuals) - np.mean(residuals, 0))
        freedom -= min(counts) - 1
    scatter = math.sqrt(sum(float((r**2).sum()) for r in residuals) / freedom)
    reach = stats.studentized_range.ppf(CONFIDENCE, len(figures), freedom) * scatter / math.sqrt(2)
    found = []
    for one, other in itertools.combinations(figures, 2):
        by = statistics.fmean(figures[one]) - statistics.fmean(figures[other])
        half = reach * math.sqrt(1 / len(figures[one]) + 1 / len(figures[other]))
        found.append(Difference(one, other, by, by - half, by + half))
    return found


def order_statement(
    figures: Mapping[str, float],
    paper: Mapping[str, object],
    between: Sequence[Difference],
    names: Mapping[str, str],
    higher: bool = True,
    again: bool = False,
) -> str:
    """Says, from the figures alone, whether the order of the settings is the paper's or noise.

    Args:
        figures: our figure of every setting.
        paper: the paper's figures, the best setting first; equal figures share a place. Settings
            that we lack, or that it lacks, do not count.
        between: differences of every two settings.
        names: what settings are called.
        higher: whether the highest figure is the best.
        again: the paper's order was said already, of another figure.
    """
    sign = 1 if higher else -1
    theirs = [name for name in paper if math.isfinite(figures.get(name, math.nan))]
    places = {name: list(paper.values()).index(paper[name]) for name in theirs}
    lost = [names[name] for name in paper if not math.isfinite(figures.get(name, 0.0))]
    ours = sorted(theirs, key=lambda name: -sign * figures[name])
    if len(theirs) < 2:
        return "Fewer than two settings are in both tables, so there is no order to compare."
    values = [-sign * figures[name] for name in theirs]
    tied = min(len(set(values)), len(set(places.values()))) < len(theirs)
    tau = stats.kendalltau(
        list(places.values()),
        values,
        method="asymptotic" if tied else "exact",
        alternative="greater",
    )
    lines = [
        *([f"Left out, because a run of it diverged: {', '.join(lost)}."] if lost else []),
        f"Best first, here: {_ranked(ours, figures, names)}"
        + ("." if again else f"; in the paper: {_ranked(theirs, places, names)}."),
        "All are equal here."
        if math.isnan(tau.statistic)
        else f"Kendall's tau of the two orders is {tau.statistic:+.2f}; an order drawn at random"
        f" agrees as well or better with probability {tau.pvalue:.3f}"
        f" ({'approximate, some are equal' if tied else 'exact'}).",
    ]
    counted = [d for d in between if d.one in theirs and d.other in theirs and math.isfinite(d.low)]
    if not counted:
        return " ".join(
            [*lines, "**With so few runs nobody can say whether that order is noise.**"]
        )
    # turned so that the better one comes first
    apart = [
        d if sign * d.by > 0 else Difference(d.other, d.one, -d.by, -d.high, -d.low)
        for d in counted
        if d.low > 0 or d.high < 0
    ]
    lines.append(
        f"Differences between two settings: {len(counted)}, of which {len(apart) or 'none'}"
        f" {'has' if len(apart) == 1 else 'have'} a 95 % interval (all together) without zero"
        + (": " if apart else ".")
    )
    contrary = [d for d in apart if places[d.one] > places[d.other]]
    if apart:
        lines[-1] += "; ".join(
            f"{names[d.one]} before {names[d.other]} by {abs(d.by):.3f}"
            f" [{min(abs(d.low), abs(d.high)):.3f}, {max(abs(d.low), abs(d.high)):.3f}]"
            + (" (in the paper the other way round)" if d in contrary else "")
            for d in apart
        )
        lines[-1] += "."
    if not apart:
        verdict = "**So the order here is noise: the runs do not tell the settings apart.**"
    elif contrary:
        verdict = "**So the order here is not the paper's.**"
    elif len(apart) == len(counted):
        verdict = "**So the order here is the paper's.**"
    else:
        verdict = (
            "**So what the runs tell apart lies as in the paper; the rest of the order is noise.**"
        )
    return " ".join([*lines, verdict])


def _ranked(settings: Sequence[str], figures: Mapping[str, float], names: Mapping[str, str]) -> str:
    """In their order, with an equals sign between equals."""
    text = names[settings[0]]
    for before, name in itertools.pairwise(settings):
        text += (" = " if figures[before] == figures[name] else ", ") + names[name]
    return text


# --- tables and charts -----------------------------------------------------------------------


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Names to the left, figures to the right."""
    rule = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, rule, *rows))


def counted(values: Iterable[str | int]) -> str:
    """What rows say of a count: `8,802`, or `11 to 12` where they differ."""
    found = sorted({int(value) for value in values})
    return " to ".join(f"{count:,}" for count in sorted({found[0], found[-1]}))


def write_page(path: Path, parts: Iterable[str]) -> None:
    """A Markdown file of paragraphs, headings and tables; empty ones are left out."""
    write_text(path, "\n\n".join(part for part in parts if part) + "\n")


class Line(NamedTuple):
    """A line of a chart: our runs, their mean with its interval, and the paper's figure."""

    label: str
    runs: Sequence[float]
    ours: Interval | None
    paper: float | None


def write_chart(path: Path, title: str, axis: str, lines: Sequence[Line]) -> None:
    """A PNG: a line for every setting, ours filled and the paper's hollow."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 1.2 + 0.42 * len(lines)), layout="constrained")
    for y, line in enumerate(lines):
        if line.runs:
            dots = [y] * len(line.runs)
            axes.scatter(line.runs, dots, s=12, color="#e9b44c", zorder=4, label="a run")
        if line.ours is not None:
            mean, low, high = line.ours
            axes.plot([low, high], [y, y], color="#b3261e")  # nothing where they are NaN
            axes.scatter(mean, y, s=50, color="#b3261e", zorder=3, label="ours, 95 % interval")
        if line.paper is not None:
            axes.scatter(
                line.paper, y, s=50, facecolors="none", edgecolors="#2563eb", label="the paper's"
            )
    axes.set_yticks(range(len(lines)), [line.label for line in lines])
    axes.set_ylim(len(lines) - 0.5, -0.5)
    axes.set_xlabel(axis)
    axes.set_title(title)
    axes.grid(axis="x", color="#e5e7eb")
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(length=0)
    handles, labels = axes.get_legend_handles_labels()
    shown = dict(zip(labels, handles, strict=True))
    figure.legend(shown.values(), shown, loc="outside lower center", ncols=3, frameon=False)
    save_figure(figure, path)


class Shown(NamedTuple):
    """What a chart of runs shows: a column of `runs.csv`, and of the summary our mean of it and the
    paper's figure."""

    figure: str
    mean: str
    paper: str


def write_chart_of_runs(
    path: Path,
    title: str,
    rows: Sequence[Row],
    summary: Sequence[Mapping[str, Any]],
    columns: Sequence[str],
    label: Callable[..., str],
    shown: Shown,
) -> None:
    """The chart of an accuracy: a line a setting, which `columns` tell and `label` names."""
    groups = grouped(rows, columns)
    lines = []
    for row in summary:
        setting = tuple(row[column] for column in columns)
        runs = values(groups[setting], shown.figure)
        ours, theirs = interval(row, shown.mean), row[shown.paper] or None
        lines.append(Line(label(*setting), runs, ours, theirs))
    write_chart(path, f"{title}, budget {rows[0]['budget']}", "accuracy", lines)


def save_figure(figure: Any, path: Path) -> None:
    """A Matplotlib figure as PNG, whole or not at all; the figure is closed."""
    from matplotlib import pyplot

    with replacing(path) as part:
        figure.savefig(part, dpi=120, metadata={"Software": None})
    pyplot.close(figure)
