"""What the experiments show: Markdown pages and charts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from tools.files import atomic_file
from tools.paper.intervals import Interval, interval
from tools.paper.results import PROTOCOLS, Budget, grouped, values, write_text

SMOKE = (
    "**A smoke run: it shows that the machinery works. Its figures mean nothing;** see `--budget"
    " cpu`, `gpu` and `full`."
)


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Names to the left, figures to the right."""
    rule = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, rule, *rows))


def counted(values: Iterable[str | int]) -> str:
    """What rows say of a count: `8,802`, or `11 to 12` where they differ."""
    found = sorted({int(value) for value in values})
    return " to ".join(f"{count:,}" for count in sorted({found[0], found[-1]}))


def budget_of_now(rows: pd.DataFrame, runs: Iterable[int], now: Mapping[str, Budget]) -> str:
    """A sentence where a budget is not, or no longer, what these rows are.

    Args:
        rows: of runs.
        runs: how many of each setting there are.
        now: the budgets of the experiment.
    """
    row = rows.iloc[0]
    name = row["budget"]
    budget = now[name]
    epochs = budget.epochs * PROTOCOLS[row.get("protocol") or "paper"].times
    if (int(row["epochs"]), int(row["limit"])) != (epochs, budget.examples):
        return (
            f" These runs are of an older budget: `{name}` is {budget.runs} runs of"
            f" {epochs} epochs now, and wants another `--out`."
        )
    missing = min(runs) < budget.runs
    return f" The command makes {budget.runs} runs: some are missing." if missing else ""


def machine(rows: pd.DataFrame, settings: Callable[[pd.DataFrame], Iterable[str]]) -> str:
    """What trained, in which precision, for how long.

    Args:
        rows: of runs.
        settings: names that of each of some rows.
    """
    places = {}
    columns = [name for name in ("precision", "device", "machine") if name in rows]
    for where, group in sorted(grouped(rows, columns).items()):
        on = f"{where[0]} on {where[1]}" + (f" ({where[2]})" if any(where[2:]) else "")
        places[on] = Counter(settings(group))
    told = [
        # another machine rounds otherwise, and may have had more runs of one setting
        f"{on} (runs: {', '.join(f'{name} {count}' for name, count in sorted(runs.items()))})"
        if len(places) > 1
        else on
        for on, runs in places.items()
    ]
    hours = sum(values(rows, "seconds")) / 3600
    return f"Trained in {' and '.join(told)}; {hours:.1f} hours in all."


def diverged(
    rows: pd.DataFrame, loss: str, settings: Callable[[pd.DataFrame], list[str]]
) -> list[str]:
    """A sentence about the runs whose loss is no number, if there are any.

    Args:
        rows: of runs.
        loss: its column.
        settings: names those of some rows.
    """
    lost = rows[~np.isfinite(values(rows, loss))]
    if not len(lost):
        return []
    return [
        f"Runs that diverged, so that their loss is no number: {len(lost)}"
        f" ({', '.join(sorted(settings(lost)))}). Their accuracy counts as it is."
    ]


def write_page(path: Path, parts: Iterable[str]) -> None:
    """A Markdown file of paragraphs, headings and tables; empty ones are left out."""
    write_text(path, "\n\n".join(part for part in parts if part) + "\n")


class Line(NamedTuple):
    """A line of a chart: our runs, their mean with its interval, and the paper's figure, with the
    least and the most of its runs where it says them."""

    label: str
    runs: Sequence[float]
    ours: Interval | None
    paper: float | None
    papers_range: tuple[float, float] | None = None


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
        if line.papers_range is not None:
            axes.plot(line.papers_range, [y, y], color="#2563eb", lw=1, label="its min to max")
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
    """What a chart of runs shows: a column of `runs.csv`, and of the summary our mean of it, the
    paper's figure, and its least and most."""

    figure: str
    mean: str
    paper: str
    papers_range: tuple[str, str] | None = None


def write_chart_of_runs(
    path: Path,
    title: str,
    table: pd.DataFrame,
    summary: Sequence[Mapping[str, Any]],
    columns: Sequence[str],
    label: Callable[..., str],
    shown: Shown,
) -> None:
    """The chart of an accuracy: a line a setting, which `columns` tell and `label` names."""
    groups = grouped(table, columns)
    lines = []
    for row in summary:
        setting = tuple(row[column] for column in columns)
        runs = values(groups[setting], shown.figure)
        ours, theirs = interval(row, shown.mean), row[shown.paper] or None
        ends = [row[key] for key in shown.papers_range or () if row[key] != ""]
        papers_range = (ends[0], ends[1]) if ends else None
        lines.append(Line(label(*setting), runs, ours, theirs, papers_range))
    write_chart(path, f"{title}, budget {table['budget'][0]}", "accuracy", lines)


def save_figure(figure: Any, path: Path) -> None:
    """A Matplotlib figure as PNG, whole or not at all; the figure is closed."""
    from matplotlib import pyplot

    with atomic_file(path) as part:
        figure.savefig(part, dpi=120, metadata={"Software": None})
    pyplot.close(figure)
