"""The pilot of stages 1 to 3: on which set of faces does the paper's protocol learn, or another?

One run of stage 1, Leaky ReLU, the best setting of the paper, on each set of `tools.train.sets` by
each of `PROTOCOLS`.  It decides how the settings are compared, before any are.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from tools.paper import pages, people, results
from tools.paper.results import PROTOCOLS, Budget, Options
from tools.train.sets import BALANCED

NAME = "pilot"
ACTIVATION, RATE = "leaky_relu", 1e-3
BUDGETS = {
    "smoke": Budget(1, 1, 150),
    "cpu": Budget(1, 3, 0),
    "days": Budget(1, 30, 0),
    "gpu": Budget(3, 30, 0),
    "full": Budget(3, 30, 0),
}
#: In this order.
WAYS = [(protocol, name) for protocol in PROTOCOLS for name in BALANCED]
COMPARISONS = 10  # of five settings
#: What stage 1 asks of a set: a best setting that tells strangers apart.
WANTED_AUC, WANTED_ACCURACY = 0.85, 0.77


def run(options: Options) -> None:
    """A run on each set, the smallest first, by the paper's protocol and then by others; what is
    finished is not done again."""
    from tools.paper import stages

    budget = BUDGETS[options.budget]
    for protocol, name in WAYS:
        of_set = dataclasses.replace(
            options, set=name, protocol=protocol, cache_folder=options.cache
        )
        wanted = [
            {
                "activation": ACTIVATION,
                "learning_rate": RATE,
                "split": 1,
                "seed": options.seed + run,
            }
            for run in range(budget.runs)
        ]
        stages.train_runs(of_set, NAME, budget, wanted)
        _gather(options)


def _gather(options: Options) -> None:
    """`runs.csv` of all sets and protocols that have runs."""
    ways = (dataclasses.replace(options, set=name, protocol=protocol) for protocol, name in WAYS)
    paths = [way.out / way.called(NAME) / "runs.csv" for way in ways]
    tables = [results.read_table(path) for path in paths if path.exists()]
    if tables:
        whole = pd.concat(tables).assign(protocol=lambda t: t.get("protocol", "paper"))
        results.write_table(options.folder(NAME) / "runs.csv", whole.fillna("paper"))


def render(folder: Path) -> None:
    """`pilot.csv` and `.md` of `runs.csv`."""
    rows = results.read_table(folder / "runs.csv")
    summary = [
        {"set": name, "protocol": protocol, "about": BALANCED[name].about}
        | {figure: row[figure] for figure in ("train_faces", "val_faces", "train_accuracy",
                                              "val_accuracy", "val_loss", "val_auc")}
        for protocol, name in WAYS
        for row in rows.to_dict("records")
        if row["set"] == name and row["protocol"] == protocol
    ]  # fmt: skip
    results.write_table(folder / f"{NAME}.csv", summary)
    pages.write_page(folder / f"{NAME}.md", page(rows, summary))


def page(rows: pd.DataFrame, summary: Sequence[dict[str, str]]) -> Iterator[str]:
    """The Markdown file, paragraph by paragraph."""
    yield "# Pilot: on which faces does the paper's protocol learn?"
    yield pages.SMOKE if rows["budget"].iloc[0] == "smoke" else ""
    yield (
        "MesoInception-4 with Leaky ReLU, rate 1e-3, mean squared error, dropout .5; by the paper's"
        " protocol batches of 75 and its augmentation, the rate divided by ten every 1,000 steps;"
        f" {rows['epochs'].iloc[0]} epochs; as many fakes as real faces in each set;"
        " nobody of the validation faces is in a training set. Made by `python -m tools.paper pilot"
        f" --data DIR --budget {rows['budget'].iloc[0]}`."
    )
    yield pages.markdown_table(
        ["Set", "protocol", "faces to train", "to validate", "Acc", "V.Acc", "V.Loss", "V.AUC"],
        [
            [f"`{row['set']}`: {row['about']}", row["protocol"]]
            + [row["train_faces"], row["val_faces"]]
            + [
                f"{float(row[figure]):.3f}"
                for figure in ("train_accuracy", "val_accuracy", "val_loss", "val_auc")
            ]
            for row in summary
        ],
    )
    yield (
        f"Stage 1 asks for V.AUC {WANTED_AUC} and V.Acc {WANTED_ACCURACY} of its best setting."
        f" {_verdict(summary)}"
    )
    others = (name for name in PROTOCOLS if name in set(rows["protocol"]) - {"paper"})
    yield " ".join(f"`{name}`: {PROTOCOLS[name].about}." for name in others)
    yield from _power(rows)


def _power(rows: pd.DataFrame) -> Iterator[str]:
    """How many runs of stage 1 it takes, by the scatter between the pilot's."""
    for (name, protocol), group in results.grouped(rows, ("set", "protocol")).items():
        accuracy = results.values(group, "val_accuracy")
        if len(accuracy) < 2:
            continue
        scatter = float(np.std(accuracy, ddof=1))
        needed = people.runs_needed(scatter * math.sqrt(2), COMPARISONS)
        yield (
            f"On `{name}` by {protocol} V.Acc scatters by {scatter:.3f} between"
            f" {len(accuracy)} seeds (standard deviation). If runs of one seed had nothing in"
            f" common, {needed:,} runs of each setting would find a difference of"
            f" {people.MARGIN:g} with a power of {people.POWER:.0%}, over the {COMPARISONS}"
            " comparisons of five settings (paired t, Bonferroni); that they share faces and order"
            " makes it fewer, and stage 1 says by how much."
        )


def _verdict(summary: Sequence[dict[str, str]]) -> str:
    best = max(summary, key=lambda row: float(row["val_auc"]))
    auc, accuracy = float(best["val_auc"]), float(best["val_accuracy"])
    reached = auc >= WANTED_AUC and accuracy >= WANTED_ACCURACY
    done = {(row["protocol"], row["set"]) for row in summary}
    missing = [f"{name} ({protocol})" for protocol, name in WAYS if (protocol, name) not in done]
    short = ": none of these reaches that"
    return (
        f"The best is `{best['set']}` by the protocol `{best['protocol']}` with V.AUC {auc:.3f}"
        f" and V.Acc {accuracy:.3f}"
        f"{'' if reached else short}."
        + (f" Not run to its end yet: {', '.join(missing)}." if missing else "")
    )
