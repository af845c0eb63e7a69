"""Stage 1 (Table 1): which activation? Five settings of MesoInception-4, several runs each.

Without `--set`, beside that stand the runs behind the bundled models, one a setting, if
two or more of them have the same recipe: `shipped.csv`.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

import minimeso
from tools.paper import figures_of_paper as paper
from tools.paper import intervals, ordering, pages, people, results
from tools.paper.results import PROTOCOLS, Budget, Options
from tools.train.sets import SETS

NAME = "table1"
BUDGETS = {
    "smoke": Budget(1, 1, 150),
    "cpu": Budget(2, 2, 6600),
    "days": Budget(4, 30, 0),
    "gpu": Budget(12, 30, 0),
    "full": Budget(12, 30, 0),
}
RATE = 1e-3
NO_AUC = ", which the paper has not; its order is that by V.Acc"
FIGURES = ("train_accuracy", "train_loss", "val_accuracy", "val_loss", "val_auc")
SETTING = ("activation",)
#: Half an interval of a difference by V.Acc, at most.
WANTED_WIDTH = 0.02
#: The paper's order. Its best two have one V.Acc, and so no order.
ORDER = {name: theirs.val_accuracy for name, theirs in paper.TABLE1.items()}
LEGEND = """\
Means over runs, with their 95 % intervals (Student's t, the scatter of all settings pooled). They
are those of the last epoch; the paper does not say which it took. A face counts as fake from p_fake
0.5 on. The intervals tell how runs differ; what other people's faces would change is not in
them."""
MODELS = Path(minimeso.__file__).parent / "models"


def run(options: Options) -> None:
    """Trains what is not trained yet; all settings once, then all of them again, so that a cut
    leaves as many runs of each."""
    from tools.paper import stages

    folder = options.folder(NAME)
    models = list(shipped(MODELS))
    if models and not options.set:
        results.write_table(folder / "shipped.csv", models)
    budget = BUDGETS[options.budget]
    wanted = [
        {"activation": activation, "learning_rate": RATE, "split": 1, "seed": options.seed + run}
        for run in range(budget.runs)
        for activation in paper.TABLE1
    ]
    stages.train_runs(options, NAME, budget, wanted)


def shipped(models: Path) -> Iterator[dict[str, object]]:
    """What MesoInception-4's model files say of how they were trained, and how they fare."""
    for path in sorted(models.glob("*.npz")):
        model = minimeso.load_model(path)
        meta: dict[str, Any] = model.meta
        if meta.get("architecture") != "mesoinception4":
            continue
        recipe, metrics = meta.get("recipe", {}), meta.get("metrics", {})
        own = {"activation", "seed"} | ({"start"} if recipe.get("start") == path.name else set())
        same = {key: recipe[key] for key in sorted(recipe) if key not in own}
        row: dict[str, object] = {"model": model.name, "activation": meta["activation"]}
        with contextlib.suppress(KeyError):  # whoever made it, it was not tools/train/release.py
            row |= {"epochs": recipe["epochs"], "seed": recipe["seed"]}
            for split in ("val", "test"):
                for figure in ("accuracy", "auc", "auc_low", "auc_high"):
                    row[f"{split}_{figure}"] = metrics[split][figure]
            yield row | {"recipe": json.dumps(same)}


def render(folder: Path) -> None:
    """`table1.csv`, `.md` and `.png` of `runs.csv` and `shipped.csv`."""
    rows = results.read_table(folder / "runs.csv")
    summary = summarise(rows)
    results.write_table(folder / f"{NAME}.csv", summary)
    models = folder / "shipped.csv"
    bundled = results.read_table(models) if models.exists() else None
    pages.write_page(folder / f"{NAME}.md", page(rows, summary, bundled))
    pages.write_chart_of_runs(
        folder / f"{NAME}.png",
        "Stage 1: accuracy on the validation faces",
        rows,
        summary,
        SETTING,
        paper.NAMES.__getitem__,
        pages.Shown("val_accuracy", "val_accuracy", "paper_val_accuracy"),
    )


def summarise(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """A row a setting, the best on the validation faces first."""
    summary = results.summarise(rows, SETTING, FIGURES)
    for row in summary:
        theirs = paper.TABLE1[row["activation"]]
        row |= {f"paper_{name}": value for name, value in theirs._asdict().items()}
    return sorted(summary, key=lambda row: (-row["val_accuracy"], row["val_loss"]))


def page(
    rows: pd.DataFrame, summary: Sequence[dict[str, Any]], bundled: pd.DataFrame | None
) -> Iterator[str]:
    """The Markdown file, paragraph by paragraph."""
    yield "# Table 1 (stage 1): activations of MesoInception-4"
    yield pages.SMOKE if rows["budget"].iloc[0] == "smoke" else ""
    compared = comparisons(rows, SETTING)
    if compared:
        yield ordering.claims(ORDER, compared, paper.NAMES)
    yield f"![V.Acc of each run, means with intervals, and the paper's]({NAME}.png)"
    yield pages.markdown_table(
        ["Activation", "runs", "Acc", "paper", "Loss", "paper", "V.Acc", "paper", "V.Loss", "paper",
         "V.AUC"],
        [
            [paper.NAMES[row["activation"]], str(row["runs"])]
            + [
                text
                for ours, theirs in zip(FIGURES[:-1], paper.Stage1._fields, strict=True)
                for text in (f"{intervals.interval(row, ours)}", f"{row[f'paper_{theirs}']:.3f}")
            ]
            + [f"{intervals.interval(row, FIGURES[-1])}"]
            for row in summary
        ],
    )  # fmt: skip
    yield LEGEND + " Acc and Loss are those of training, under dropout and augmentation."
    yield "## The paper's order, or noise?"
    yield run_by_run(rows, SETTING)
    for figure, name in (("val_accuracy", "V.Acc"), ("val_auc", f"V.AUC{NO_AUC}")):
        means = {row["activation"]: row[figure] for row in summary}
        of_runs, alike = results.paired(rows, SETTING, figure)
        between = intervals.differences({key: v for (key,), v in of_runs.items()}, blocks=alike)
        statement = ordering.order_statement(
            means, ORDER, between, paper.NAMES, again=figure == "val_auc"
        )
        yield f"By {name}. {statement}"
    if compared:
        yield from paired(compared, paper.NAMES)
        reached = _widest(compared) <= WANTED_WIDTH
        yield f"Wanted was ± {WANTED_WIDTH:g} at most: {'reached' if reached else 'missed'}."
    yield "## What was reduced, and what else differs"
    yield reductions(NAME, rows, BUDGETS)
    yield from _shipped(bundled)


def run_by_run(rows: pd.DataFrame, setting: Sequence[str]) -> str:
    """How the differences below are taken; of `table2`, too."""
    counts = {len(group) for group in results.grouped(rows, setting).values()}
    if min(counts) < 2 or not results.paired(rows, setting, "seed")[1]:
        return ""
    return (
        "Settings are compared run by run, as those of one seed saw the same faces in the same"
        " order, changed alike (Tukey's intervals, seeds as blocks). They are of runs alone, judged"
        " by these people's faces."
    )


def comparisons(
    rows: pd.DataFrame, setting: Sequence[str], pairs: Sequence[tuple[str, str]] = ()
) -> list[people.Comparison]:
    """Of the V.Acc of settings, where the runs tell people apart."""
    judged = people.judged(rows, setting)
    return people.compare(people.names(rows, setting), judged, pairs) if judged else []


def _widest(compared: Sequence[people.Comparison]) -> float:
    return max((found.high - found.low) / 2 for found in compared)


def paired(compared: Sequence[people.Comparison], names: Mapping[str, str]) -> Iterator[str]:
    """What runs and people say of every two settings."""
    yield "## Run by run, person by person"
    yield ordering.table_of(compared, names)
    yield (
        "Runs of one seed saw the same faces in the same order, changed alike; so settings are"
        " compared run by run, on the same people. Intervals: 95 % for all comparisons together, by"
        " drawing people anew (2,000 times) and Student's t for runs (the largest studentised"
        f" deviation). The widest is ± {_widest(compared):.3f}. SD of runs: how much a difference"
        f" moves from seed to seed, {compared[0].of_runs:.3f}, of all settings pooled, as few runs"
        " say little of one. SE by people: what other people would change alone. To settle a claim"
        f" of the paper takes an interval without zero, or one of ± {people.MARGIN:g} at most."
    )


def reductions(name: str, rows: pd.DataFrame, budgets: Mapping[str, Budget], *more: str) -> str:
    """What these runs had less of than the paper's, as a list, and `more`; of `table2`, too."""
    of_a_setting = [len(g) for g in results.grouped(rows, ("activation", "learning_rate")).values()]
    full = budgets["full"]
    budget = rows["budget"].iloc[0]
    of_set = rows["set"].iloc[0] if "set" in rows else ""
    protocol = rows["protocol"].iloc[0] if "protocol" in rows else "paper"
    points = [
        f"Budget `{budget}` (`python -m tools.paper {name}{asked(rows)} --budget"
        f" {budget} --data DIR`): {pages.counted(of_a_setting)} of the paper's"
        f" {full.runs} runs of a setting, {_epochs(int(rows['epochs'].iloc[0]), full.epochs)},"
        f" {pages.counted(rows['train_faces'])} faces to train and"
        f" {pages.counted(rows['val_faces'])} to validate (12,353 in all there,"
        " a tenth of them to validate)." + pages.budget_of_now(rows, of_a_setting, budgets)
    ]
    points += [_rate(rows)] if protocol == "paper" else [f"{PROTOCOLS[protocol].about}."]
    if (rows["faces_in"] == "pairs").all():
        points.append(
            "The faces are not the paper's (Afchar et al.) but pairs of DFDC, a real face and the"
            " fake made of it, divided by person. They are harder: nothing but the swap tells them"
            " apart. Absolute figures therefore differ from the paper's."
        )
    elif of_set:
        points.append(
            f"The faces are not the paper's (Afchar et al.) but those of `--set {of_set}`:"
            f" {SETS[of_set].about}, as many fakes as real faces, divided by person."
        )
    else:
        points.append("The faces come from folders `df/` and `real/`, as the paper's do.")
    points += pages.diverged(
        rows,
        "val_loss",
        lambda lost: sorted(set(_settings(lost))),
    )
    points.append(pages.machine(rows, _settings))
    return "\n".join(f"- {point}" for point in (*points, *more))


def _epochs(here: int, there: int) -> str:
    return f"{here} of its {there} epochs" if here <= there else f"{here} epochs for its {there}"


def asked(rows: pd.DataFrame) -> str:
    """The options that ask for the faces and the protocol of runs."""
    return "".join(
        f" --{name} {rows[name].iloc[0]}" for name in ("set", "protocol") if name in rows
    )


def _settings(rows: pd.DataFrame) -> list[str]:
    return [
        f"{paper.NAMES[activation]} at {float(rate):g}"
        for activation, rate in zip(rows["activation"], rows["learning_rate"], strict=True)
    ]


def _rate(rows: pd.DataFrame) -> str:
    last = results.values(rows, "last_rate")
    same = last == results.values(rows, "learning_rate")
    end = (
        "so it kept its first rate to the end."
        if same
        else f"so it ended at {' or '.join(f'{rate:g}' for rate in sorted(set(last)))}."
    )
    return (
        "The learning rate falls to a tenth every 1,000 steps. A run here has"
        f" {pages.counted(rows['steps'])} steps of 75 faces, {end} The paper's have about 4,500."
    )


def _shipped(models: pd.DataFrame | None) -> Iterator[str]:
    """The largest group of bundled models with one recipe, if there are two."""
    if models is None:
        return
    largest = max(results.grouped(models, ("recipe",)).values(), key=len)
    if len(largest) < 2:
        return
    group = sorted(largest.to_dict("records"), key=lambda row: -float(row["val_auc"]))
    yield "## The runs behind the shipped models"
    yield pages.markdown_table(
        ["Activation", "model", "planned epochs", "V.Acc", "V.AUC", "test Acc", "test AUC"],
        [
            [paper.NAMES[row["activation"]], f"`{row['model']}`", row["epochs"]]
            + [
                text
                for split in ("val", "test")
                for text in (f"{float(row[f'{split}_accuracy']):.3f}", _auc(row, split))
            ]
            for row in group
        ],
    )
    recipe = ", ".join(f"{key} {value}" for key, value in json.loads(group[0]["recipe"]).items())
    yield (
        f"One run a setting, all of one recipe, which goes beyond the paper's: {recipe}. Faces and"
        " figures are those of the model cards, which say what it began with and what became of its"
        " weights; the intervals are 95 %, by drawing whole people, accuracies those after"
        " calibration."
    )
    aucs = {row["activation"]: float(row["val_auc"]) for row in group}
    statement = ordering.order_statement(aucs, ORDER, [], paper.NAMES)
    yield f"By V.AUC{NO_AUC}. {statement}"


def _auc(row: Mapping[str, str], split: str) -> str:
    return "{:.3f} [{:.3f}, {:.3f}]".format(
        *(float(row[f"{split}_{figure}"]) for figure in ("auc", "auc_low", "auc_high"))
    )
