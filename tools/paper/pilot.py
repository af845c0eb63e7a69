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
#: In this order; the longest protocol on the set alone on which others learn best.
WAYS = [
    (protocol, name)
    for protocol, how in PROTOCOLS.items()
    for name in (BALANCED if how.times == 1 else ["ffpp-swaps"])
]
#: Columns of the page and of `runs.csv`.
SHOWN = {"Acc": "train_accuracy", "V.Acc": "val_accuracy", "V.Loss": "val_loss", "V.AUC": "val_auc"}
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
        whole = whole.fillna({"protocol": "paper"}).fillna("")
        results.write_table(options.folder(NAME) / "runs.csv", whole)


def render(folder: Path) -> None:
    """`pilot.csv` and `.md` of `runs.csv`."""
    rows = results.read_table(folder / "runs.csv")
    summary = [
        {"set": name, "protocol": protocol, "about": BALANCED[name].about}
        | {figure: row[figure]
           for figure in ("epochs", "train_faces", "val_faces", *SHOWN.values())}
        for protocol, name in WAYS
        for row in rows.to_dict("records")
        if row["set"] == name and row["protocol"] == protocol
    ]  # fmt: skip
    results.write_table(folder / f"{NAME}.csv", summary)
    pages.write_page(folder / f"{NAME}.md", page(rows, summary, _in_stage1(folder)))


def _in_stage1(folder: Path) -> list[dict[str, str]]:
    """The runs of stage 1 beside it: of Leaky ReLU they are the pilot's, too."""
    found = []
    for protocol, name in WAYS:
        beside = folder.parent / results.called("table1", name, protocol) / "runs.csv"
        if beside.exists():
            runs = results.read_table(beside).to_dict("records")
            found += [{"protocol": protocol} | run for run in runs]
    return [run for run in found if float(run["learning_rate"]) == RATE]


def page(
    rows: pd.DataFrame, summary: Sequence[dict[str, str]], in_stage1: Sequence[dict[str, str]] = ()
) -> Iterator[str]:
    """The Markdown file, paragraph by paragraph. `in_stage1`: runs of all settings."""
    yield "# Pilot: on which faces does the paper's protocol learn?"
    yield pages.SMOKE if rows["budget"].iloc[0] == "smoke" else ""
    yield (
        "MesoInception-4 with Leaky ReLU, rate 1e-3, mean squared error, dropout .5; by the paper's"
        " protocol batches of 75 and its augmentation, the rate divided by ten every 1,000 steps;"
        " as many fakes as real faces in each set;"
        " nobody of the validation faces is in a training set. Made by `python -m tools.paper pilot"
        f" --data DIR --budget {rows['budget'].iloc[0]}`."
    )
    yield pages.markdown_table(
        ["Set", "protocol", "epochs", "faces to train", "to validate", *SHOWN],
        [
            [f"`{row['set']}`: {row['about']}", row["protocol"], row["epochs"]]
            + [row["train_faces"], row["val_faces"]]
            + [f"{float(row[figure]):.3f}" for figure in SHOWN.values()]
            for row in summary
        ],
    )
    yield (
        f"Stage 1 asks for V.AUC {WANTED_AUC} and V.Acc {WANTED_ACCURACY} of its best setting."
        f" {_verdict(summary)}"
    )
    others = (name for name in PROTOCOLS if name in set(rows["protocol"]) - {"paper"})
    told = [f"`{name}`: {PROTOCOLS[name].about}." for name in others]
    if told:
        told.append("They were found by trying on these validation faces, which flatters a little.")
    yield " ".join(told)
    yield from _power(rows, in_stage1)


def _power(rows: pd.DataFrame, in_stage1: Sequence[dict[str, str]]) -> Iterator[str]:
    """How many runs of stage 1 it takes: by the scatter between the pilot's, as a plan, and by that
    between those of stage 1 there are."""
    alike = [run for run in in_stage1 if run["activation"] == ACTIVATION]
    both = pd.concat([pd.DataFrame(alike), rows])
    for (name, protocol), group in results.grouped(both, ("set", "protocol")).items():
        seeds = group.drop_duplicates("seed")
        if len(seeds) < 2:
            continue
        scatter = float(np.std(results.values(seeds, "val_accuracy"), ddof=1))
        yield (
            f"On `{name}` by {protocol} V.Acc scatters by {_likely(scatter, len(seeds) - 1)}"
            f" between {len(seeds)} seeds (standard deviation, and its 95 % interval"
            f"{_of_whom(seeds, alike)}). If runs of one seed had"
            f" nothing in common, {_needed(scatter * math.sqrt(2), len(seeds) - 1)} runs of each"
            f" setting would find a difference of {people.MARGIN:g} with a power of"
            f" {people.POWER:.0%}, over the {COMPARISONS} comparisons of five settings (paired t,"
            " Bonferroni)."
        )
        stage1 = [run for run in in_stage1 if (run["set"], run["protocol"]) == (name, protocol)]
        yield from _of_stage1(pd.DataFrame(stage1))
        yield from _twice(group)


def _of_whom(seeds: pd.DataFrame, alike: Sequence[dict[str, str]]) -> str:
    """Which of a set's runs, of different seeds, are those of stage 1."""
    way = tuple(seeds[["set", "protocol"]].iloc[0])
    stage1 = [run["seed"] for run in alike if (run["set"], run["protocol"]) == way]
    if not stage1:
        return ""
    return "; all of stage 1" if set(seeds["seed"]) <= set(stage1) else "; some of stage 1"


def _of_stage1(rows: pd.DataFrame) -> Iterator[str]:
    """By what runs of one seed have in common."""
    divisions = people.judged(rows, ("activation",)) if len(rows) else None
    scatter, freedom = people.scatter(divisions) if divisions else (0.0, 0)
    if freedom:
        yield (
            "In stage 1 the difference of two settings scatters by"
            f" {_likely(scatter, freedom)} from seed to seed (all settings pooled, {freedom}"
            f" degrees of freedom): {_needed(scatter, freedom)} runs. Either number is of runs"
            " alone, judged by these people's faces."
        )


def _twice(rows: pd.DataFrame) -> Iterator[str]:
    """Runs of one seed that were trained twice, and rounded otherwise."""
    for (seed,), group in results.grouped(rows, ("seed",)).items():
        accuracy = results.values(group, "val_accuracy")
        if max(accuracy) > min(accuracy):
            yield (
                f"Seed {seed} was trained here and in stage 1, by kernels or CPUs that round"
                f" otherwise: V.Acc {' and '.join(f'{one:.3f}' for one in reversed(accuracy))}."
                " So a seed alone does not make a run the same again."
            )


def _likely(scatter: float, freedom: int) -> str:
    """`0.016 [0.008, 0.101]`."""
    low, high = people.likely(scatter, freedom)
    return f"{scatter:.3f} [{low:.3f}, {high:.3f}]"


def _needed(scatter: float, freedom: int) -> str:
    """`73 [23, 2,703]`: runs, by the scatter of a difference."""
    best, few, many = (
        people.runs_needed(one, COMPARISONS) for one in (scatter, *people.likely(scatter, freedom))
    )
    return f"{best:,} [{few:,}, {many:,}]"


def _verdict(summary: Sequence[dict[str, str]]) -> str:
    best = max(summary, key=lambda row: float(row["val_auc"]))
    auc, accuracy = float(best["val_auc"]), float(best["val_accuracy"])
    reached = auc >= WANTED_AUC and accuracy >= WANTED_ACCURACY
    done = {(row["protocol"], row["set"]) for row in summary}
    missing = [f"{name} ({protocol})" for protocol, name in WAYS if (protocol, name) not in done]
    said = ", which reaches that" if reached else ": none of these reaches that"
    return (
        f"The best is `{best['set']}` by the protocol `{best['protocol']}` with V.AUC {auc:.3f}"
        f" and V.Acc {accuracy:.3f}{said}."
        + (f" Not run to its end yet: {', '.join(missing)}." if missing else "")
    )
