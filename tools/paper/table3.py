"""Stage 3 (Table 3): the five best settings of `table2`, the five best models of each, on the test
faces: least, mean and most accuracy.

Settings and models are chosen by the validation faces. The test faces are looked at once: a model
that is in `runs.csv` is not judged again, and other models are not judged beside those. They are
judged by minimeso's own engine, so that it is our engine which is measured.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tools.paper import figures_of_paper as paper
from tools.paper import intervals, ordering, pages, results, table1, table2
from tools.paper.results import Options, ResultsError, Runs

if TYPE_CHECKING:
    from tools.train.faces import Faces

NAME = "table3"
SETTING = ("activation", "learning_rate")
KEY = (*SETTING, "split", "seed")
BEST_SETTINGS, BEST_MODELS = 5, 5
IMAGES = 64  # at once


def run(options: Options) -> None:
    """Judges the chosen models that were not judged yet."""
    from tools.paper import stages

    source = options.out / options.called(table2.NAME)
    trained = _trained(source, options)
    chosen = choose(trained)
    limit = int(trained["limit"].iloc[0])
    settings = {"budget": options.budget, "limit": limit}
    settings |= options.faces
    runs = Runs(options.folder(NAME), settings, KEY)
    keys = [{name: row[name] for name in KEY} for row in chosen]
    if any(row not in keys for row in runs.done()):
        raise ResultsError(
            f"{runs.path}: holds other models than the best of {source} now; the test faces are"
            " looked at once, so choose another --out for both, or remove that folder"
        )
    for key in runs.missing(keys):
        if not stages.checkpoint(source, key).exists():
            raise ResultsError(
                f"{stages.checkpoint(source, key)}: no such checkpoint; {_command(options)}"
            )
    test = None
    with stages.told():
        for (model,) in runs.left(keys):
            test = test or stages.load(options, "val" if options.set else "test", limit)
            start = time.perf_counter()
            p_fake = judge(stages.checkpoint(source, model), test)
            figures = _figures(p_fake, test)
            runs.add(model, figures | {"seconds": time.perf_counter() - start})


def _trained(source: Path, options: Options) -> pd.DataFrame:
    """The runs of table2; all settings must be there."""
    if not (source / "runs.csv").exists():
        raise ResultsError(f"{source}: no runs of table2; {_command(options)}")
    rows = results.read_table(source / "runs.csv")
    budget = rows["budget"].iloc[0]
    if budget != options.budget:
        raise ResultsError(
            f"{source}: of budget {budget}, not {options.budget}; give that --budget, or"
            " another --out"
        )
    there = {(activation, float(rate)) for activation, rate in results.grouped(rows, SETTING)}
    missing = [pair for pair in table2.SETTINGS if pair not in there]
    if missing:
        raise ResultsError(
            f"{source}: no run of {table2.label(*missing[0])} yet; {_command(options)}"
        )
    return rows


def _command(options: Options) -> str:
    of_set = f" --set {options.set}" if options.set else ""
    of_set += f" --protocol {options.protocol}" if options.protocol != "paper" else ""
    return (
        f"first run: python -m tools.paper table2{of_set} --budget {options.budget} --data DIR"
        f" --out {options.out}"
    )


def choose(trained: pd.DataFrame) -> list[dict[str, str]]:
    """Of the runs of table2 the best ones of the best settings, best first. A run that diverged
    has no model to judge."""
    goodness = trained[["val_accuracy", "val_loss"]].astype(float)
    order = goodness.sort_values(["val_accuracy", "val_loss"], ascending=[False, True]).index
    finite = trained.loc[[i for i in order if math.isfinite(goodness["val_loss"][i])]]
    groups = results.grouped(finite, SETTING)
    ranked = [(row["activation"], row["learning_rate"]) for row in table2.summarise(trained)]
    best = [setting for setting in ranked if setting in groups][:BEST_SETTINGS]
    found = pd.concat([groups[setting][:BEST_MODELS] for setting in best])
    rows: list[dict[str, str]] = found.to_dict("records")
    return rows


def judge(checkpoint: Path, test: Faces) -> NDArray[np.float32]:
    """p_fake (N,) of the faces by the engine."""
    import minimeso
    from tools.convert import checkpoints, models, source

    try:
        model = models.to_model(checkpoints.checkpoint_arrays(checkpoint), "stage3")
    except source.ConvertError as error:
        raise ResultsError(str(error)) from None
    session = minimeso.Session(model)
    starts = range(0, len(test), IMAGES)
    return np.concatenate([session.run(test.framed[i : i + IMAGES]) for i in starts])


def _figures(p_fake: NDArray[np.float32], test: Faces) -> dict[str, object]:
    """Accuracy and AUC, and for the intervals how many faces of every person are right."""
    from tools.paper import stages
    from tools.train import metrics

    right = (p_fake >= 0.5) == (test.fake == 1)
    return {
        "accuracy": float(right.mean()),
        "auc": metrics.roc_auc(test.fake, p_fake),
        "test_faces": len(test),
        "faces_in": test.layout,
        **stages.of_each_person(p_fake, test),
    }


def render(folder: Path) -> None:
    """`table3.csv`, `.md` and `.png` of `runs.csv`."""
    rows = results.read_table(folder / "runs.csv")
    draws = accuracies(rows)
    summary = summarise(rows, draws)
    results.write_table(folder / f"{NAME}.csv", summary)
    pages.write_page(folder / f"{NAME}.md", page(rows, summary, draws))
    pages.write_chart_of_runs(
        folder / f"{NAME}.png",
        "Stage 3: accuracy on the test faces",
        rows,
        summary,
        SETTING,
        table2.label,
        pages.Shown("accuracy", "mean", "paper_mean", ("paper_least", "paper_most")),
    )


def accuracies(rows: pd.DataFrame) -> dict[tuple[str, ...], intervals.Array]:
    """Of every setting the mean accuracy of its models, on (RESAMPLES,) drawn sets of people: the
    same people for all."""
    drawn: NDArray[np.int64] | None = None
    means = {}
    for setting, group in results.grouped(rows, SETTING).items():
        of_models = group["right_of_each_person"]
        parts = [[part.split("/") for part in of_people.split()] for of_people in of_models]
        right, faces = np.moveaxis(np.array(parts, int), -1, 0)  # (models, people) each
        if drawn is None:
            drawn = intervals.drawn(faces.shape[1])
        means[setting] = (drawn @ right.mean(0)) / (drawn @ faces[0])
    return means


def summarise(
    rows: pd.DataFrame, draws: Mapping[tuple[str, ...], intervals.Array]
) -> list[dict[str, Any]]:
    """A row a setting, the most accurate on the test faces first."""
    summary = []
    for setting, group in results.grouped(rows, SETTING).items():
        found = results.values(group, "accuracy")
        mean, low, high = intervals.percentiles(float(np.mean(found)), draws[setting])
        row: dict[str, Any] = dict(zip(SETTING, setting, strict=True))
        row |= {"models": len(group), "least": min(found), "mean": mean, "mean_low": low}
        row |= {"mean_high": high, "most": max(found)}
        row["auc"] = float(np.mean(results.values(group, "auc")))
        theirs = paper.TABLE3.get((setting[0], float(setting[1])))
        for name in paper.Stage3._fields:
            row[f"paper_{name}"] = "" if theirs is None else getattr(theirs, name)
        summary.append(row)
    return sorted(summary, key=lambda row: -row["mean"])


def page(
    rows: pd.DataFrame,
    summary: Sequence[dict[str, Any]],
    draws: Mapping[tuple[str, ...], intervals.Array],
) -> Iterator[str]:
    """The Markdown file, paragraph by paragraph."""
    yield "# Table 3 (stage 3): the best models of stage 2 on the test faces"
    yield pages.SMOKE if rows["budget"].iloc[0] == "smoke" else ""
    yield f"![Accuracy of each model, means with intervals, and the paper's]({NAME}.png)"
    yield pages.markdown_table(
        ["Activation, rate", "models", "min", "paper", "mean", "paper", "max", "paper", "AUC"],
        [
            [
                table2.label(row["activation"], row["learning_rate"]),
                str(row["models"]),
                f"{row['least']:.3f}",
                table2.theirs(row["paper_least"]),
                f"{intervals.interval(row, 'mean')}",
                table2.theirs(row["paper_mean"]),
                f"{row['most']:.3f}",
                table2.theirs(row["paper_most"]),
                f"{row['auc']:.3f}",
            ]
            for row in summary
        ],
    )
    known = rows["faces_in"].iloc[0] in ("pairs", "sets")
    people = pages.counted(rows["people"])
    yield (
        "Accuracy on the test faces at p_fake 0.5, by minimeso's own engine. Settings and models"
        " were chosen by the validation faces, as in the paper. The 95 % intervals are of the mean"
        f" over the models of a setting, by drawing {'whole people' if known else 'faces'}"
        f" ({people} of them) with replacement; that another training gives other models is not in"
        " them. A dash: that setting is not among the paper's five."
    )
    yield "## The paper's five"
    yield pages.markdown_table(
        ["Activation, rate", "min", "mean", "max"],
        [
            [table2.label(activation, rate), *(f"{value:.3f}" for value in theirs)]
            for (activation, rate), theirs in paper.TABLE3.items()
        ],
    )
    yield (
        "The weights that Afchar et al. published reach"
        f" {paper.PUBLISHED_ACCURACY:.3f} on those faces, says the paper."
    )
    yield "## The paper's order, or noise?"
    yield _order(summary, draws)
    yield "## What was reduced, and what else differs"
    yield _reductions(rows, summary)


def _reductions(rows: pd.DataFrame, summary: Sequence[dict[str, Any]]) -> str:
    """What was less than in the paper, as a list."""
    budget = rows["budget"].iloc[0]
    points = [
        f"Budget `{budget}` (`python -m tools.paper table3{table1.asked(rows)} --budget {budget}"
        " --data DIR`, after `table2`, which says what was reduced in training).",
        f"Models of a setting: {pages.counted(row['models'] for row in summary)}, in the paper"
        f" {BEST_MODELS}. Test faces: {pages.counted(rows['test_faces'])}, there"
        " 7,104.",
    ]
    if rows["faces_in"].iloc[0] == "pairs":
        points.append("The faces are pairs of DFDC, not the paper's: see `table2`.")
    elif "set" in rows:
        points.append(
            f"The faces are the validation faces of `--set {rows['set'].iloc[0]}`, of whom `table2`"
            " has seen nobody, and not the paper's. But `pilot` chose set and protocol by them, and"
            " `table1` was judged by them, so that the level of these figures may flatter a little."
        )
    return "\n".join(f"- {point}" for point in points)


def _order(
    summary: Sequence[dict[str, Any]], draws: Mapping[tuple[str, ...], intervals.Array]
) -> str:
    means = {
        table2.name_of(row["activation"], row["learning_rate"]): row["mean"] for row in summary
    }
    named = {table2.name_of(*setting): values for setting, values in draws.items()}
    pairs = list(itertools.combinations(named, 2))
    # each interval at such a level that all of them together hold at 95 %
    tail = (1 - intervals.CONFIDENCE) / 2 / max(len(pairs), 1)
    between = []
    for one, other in pairs:
        low, high = np.quantile(named[one] - named[other], (tail, 1 - tail)).tolist()
        between.append(intervals.Difference(one, other, means[one] - means[other], low, high))
    names = {table2.name_of(*setting): table2.label(*setting) for setting in table2.SETTINGS}
    order = {table2.name_of(*setting): found.mean for setting, found in paper.TABLE3.items()}
    statement = ordering.order_statement(means, order, between, names)
    return f"{statement} All of that is about these models: others of the same settings may differ."
