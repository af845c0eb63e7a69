"""Stage 2 (Table 2): which learning rate? Four activation settings x three rates, several runs.

Half of the runs divide the faces anew into training and validation, again by person. Of `--set`
both divisions are of the training faces: the others are the test faces of stage 3.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tools.paper import figures_of_paper as paper
from tools.paper import intervals, ordering, pages, results, table1
from tools.paper.results import Budget, Options, ResultsError

if TYPE_CHECKING:
    from tools.paper.stages import Splits
    from tools.train.faces import Faces

NAME = "table2"
BUDGETS = {
    "smoke": Budget(1, 1, 80),
    "cpu": Budget(2, 1, 5250),
    "days": Budget(2, 20, 0),
    "gpu": Budget(4, 20, 0),
    "full": Budget(16, 30, 0),
}
SETTING = ("activation", "learning_rate")
SETTINGS = [
    (activation, rate)
    for activation in ("leaky_relu", "pish", "swish", "original")
    for rate in (1e-2, 1e-3, 1e-4)
]
FIGURES = ("val_accuracy", "val_loss", "val_auc")


def run(options: Options) -> None:
    """Trains what is not trained yet, all settings once before any twice."""
    from tools.paper import stages

    budget = BUDGETS[options.budget]
    wanted = [
        {
            "activation": activation,
            "learning_rate": rate,
            "split": 1 + run % 2,
            "seed": options.seed + run,
        }
        for run in range(budget.runs)
        for activation, rate in SETTINGS
    ]
    divided = divide_training if options.set else divide
    stages.train_runs(options, NAME, budget, wanted, divided)


def divide(given: Splits, number: int) -> Splits:
    """Division 1 is the given one, division 2 another of the same faces, with as many to validate.

    By person (the group of identities that may be one person), drawn at random; of folders, where
    nobody knows the people, the first faces by name are held out in place of the last.
    """
    from tools.train import faces

    if number == 1:
        return given
    train, val = given
    if train.images.shape[1:] != val.images.shape[1:]:
        raise ResultsError("the training and the validation faces differ in size; scale them alike")
    held = np.zeros(len(train) + len(val), bool)
    if train.pair[0] < 0:
        held[: len(val)] = True
    else:
        people = np.concatenate((faces.people(train), faces.people(val)))
        names, sizes = np.unique(people, return_counts=True)
        room = len(val)
        for person in np.random.default_rng(number).permutation(len(names)):
            if sizes[person] <= room:
                held |= people == names[person]
                room -= sizes[person]
    last = int(train.pair.max()) + 1
    pair = np.concatenate((train.pair, np.where(val.pair < 0, -1, val.pair + last)))
    both = replace(
        train,
        images=np.concatenate((train.images, val.images)),
        squares=np.concatenate((train.squares, val.squares)),
        fake=np.concatenate((train.fake, val.fake)),
        pair=pair,
        identity=train.identity + val.identity,
        name=train.name + val.name,
    )
    return _divided(both, held)


def divide_training(given: Splits, number: int) -> Splits:
    """Of sets that have no test faces: the validation faces are kept for stage 3, and as many
    training faces, of people drawn at random, take their place."""
    from tools.train import divisions

    train, val = given
    part = divisions.parts(train)
    sizes = np.bincount(part)
    held, room = np.zeros(len(train), bool), len(val)
    for one in np.random.default_rng(number).permutation(len(sizes)):
        if sizes[one] <= room:
            held |= part == one
            room -= sizes[one]
    return _divided(train, held)


def _divided(both: Faces, held: NDArray[np.bool_]) -> Splits:
    from tools.train import divisions

    one, other = (divisions.chosen(both, np.flatnonzero(part)) for part in (~held, held))
    return one, other


def render(folder: Path) -> None:
    """`table2.csv`, `.md` and `.png` of `runs.csv`."""
    rows = results.read_table(folder / "runs.csv")
    summary = summarise(rows)
    results.write_table(folder / f"{NAME}.csv", summary)
    pages.write_page(folder / f"{NAME}.md", page(rows, summary))
    pages.write_chart_of_runs(
        folder / f"{NAME}.png",
        "Stage 2: accuracy on the validation faces",
        rows,
        summary,
        SETTING,
        label,
        pages.Shown("val_accuracy", "val_accuracy", "paper_val_accuracy"),
    )


def name_of(activation: str, rate: str | float) -> str:
    """`swish 0.001`: a setting in one word."""
    return f"{activation} {float(rate):g}"


def label(activation: str, rate: str | float) -> str:
    """`Swish 1e-3`."""
    return f"{paper.NAMES[activation]} {f'{float(rate):.0e}'.replace('e-0', 'e-')}"


def summarise(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """A row for every activation and rate, the best on the validation faces first."""
    summary = results.summarise(rows, SETTING, FIGURES)
    for row in summary:
        found = paper.TABLE2.get((row["activation"], float(row["learning_rate"])))
        for name in paper.Stage2._fields:
            row[f"paper_{name}"] = "" if found is None else getattr(found, name)
    return sorted(summary, key=lambda row: (-row["val_accuracy"], row["val_loss"]))


def page(rows: pd.DataFrame, summary: Sequence[dict[str, Any]]) -> Iterator[str]:
    """The Markdown file, paragraph by paragraph."""
    yield "# Table 2 (stage 2): activations and learning rates of MesoInception-4"
    yield pages.SMOKE if rows["budget"].iloc[0] == "smoke" else ""
    names = {name_of(*setting): label(*setting) for setting in SETTINGS}
    order = {name_of(*setting): found.val_accuracy for setting, found in paper.TABLE2.items()}
    compared = table1.comparisons(rows, SETTING)
    if compared:
        yield ordering.claims(order, compared, names)
    yield f"![V.Acc of each run, means with intervals, and the paper's]({NAME}.png)"
    yield pages.markdown_table(
        ["Activation, rate", "runs", "V.Acc", "paper", "V.Loss", "paper", "V.AUC"],
        [
            [label(row["activation"], row["learning_rate"]), str(row["runs"])]
            + [
                text
                for figure in paper.Stage2._fields
                for text in (f"{intervals.interval(row, figure)}", theirs(row[f"paper_{figure}"]))
            ]
            + [f"{intervals.interval(row, 'val_auc')}"]
            for row in summary
        ],
    )
    yield table1.LEGEND + " A dash: the paper prints ten of the twelve combinations."
    yield "## The paper's order, or noise?"
    yield table1.run_by_run(rows, SETTING)
    for figure, name in (("val_accuracy", "V.Acc"), ("val_auc", f"V.AUC{table1.NO_AUC}")):
        of_runs, alike = results.paired(rows, SETTING, figure)
        means = {name_of(row["activation"], row["learning_rate"]): row[figure] for row in summary}
        between = intervals.differences(
            {name_of(*setting): found for setting, found in of_runs.items()}, blocks=alike
        )
        statement = ordering.order_statement(
            means, order, between, names, again=figure == "val_auc"
        )
        yield f"By {name}. {statement}"
    slow = [label(*(row[key] for key in SETTING)) for row in summary if at_chance(row)]
    if slow:
        yield (
            f"Not above chance yet, 0.5 lies in the interval of their V.AUC: {', '.join(slow)}."
            " That others differ from these says how fast they begin to learn, not how far they"
            " get."
        )
    if compared:
        best = name_of(*(summary[0][key] for key in SETTING))
        with_best = [one for one in compared if best in (one.one, one.other)]
        yield from table1.paired(with_best, names)
    yield "## What was reduced, and what else differs"
    both = rows["split"].nunique() > 1
    yield table1.reductions(
        NAME,
        rows,
        BUDGETS,
        "The runs take turns between two divisions of the faces, both by person."
        if both
        else "All runs are of one division of the faces; the paper's are of two.",
    )


def at_chance(row: Mapping[str, Any]) -> bool:
    """Whether the AUC of a setting may be that of guessing."""
    low = intervals.interval(row, "val_auc").low
    return math.isfinite(low) and low <= 0.5


def theirs(value: float | str) -> str:
    """The paper's figure; a dash where it has none."""
    return "-" if value == "" else f"{value:.3f}"
