"""Figure 3: accuracy on MNIST of networks with 15 to 25 hidden layers and four activations.

The paper names the network, SGD, the batch (128) and the epochs (20), but neither the learning rate
nor how many runs a point stands for. Here it is plain SGD at 0.01, the default of Keras, which
Misra's notebook of this experiment takes (see `tools/train/classifiers.py`), and one run a point.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import stats

from tools.paper import figures_of_paper as paper
from tools.paper import intervals, pages, results
from tools.paper.intervals import Difference, Interval
from tools.paper.results import Budget, Options, Runs
from tools.paper.table5 import machine

if TYPE_CHECKING:
    from tools.paper.classify import Recipe
    from tools.paper.images import Images

NAME = "figure3"
BUDGETS = {
    "smoke": Budget(1, 1, 1280),
    "cpu": Budget(1, 7, 0),
    "days": Budget(1, 20, 0),
    "gpu": Budget(1, 20, 0),
    "full": Budget(1, 20, 0),
}
ALL_DEPTHS = tuple(range(15, 26))
DEPTHS = {
    "smoke": (15,),
    "cpu": (15, 20, 25),
    "days": ALL_DEPTHS,
    "gpu": ALL_DEPTHS,
    "full": ALL_DEPTHS,
}
#: Where training only just works, or not, and a seed decides.
DEEPEST = ALL_DEPTHS[-4:]
DEEPEST_RUNS = {"days": 3, "gpu": 3}
ACTIVATIONS = ("relu", "swish", "mish", "pish")
RATE = 0.01
KEY = ("activation", "depth", "seed")
COLOURS = {"relu": "#6b7280", "swish": "#2563eb", "mish": "#e9b44c", "pish": "#b3261e"}
LEGEND = """\
Accuracy on the test pictures after the last epoch, with the 95 % interval (Wilson) that the number
of test pictures leaves; another seed would move a figure, too, and more so where training has just
begun to work."""


def run(options: Options) -> None:
    """Trains what is not trained yet, all activations at a depth before the next depth."""
    from tools.paper import classify, images

    budget = BUDGETS[options.budget]
    settings = {"budget": options.budget, "epochs": budget.epochs, "limit": budget.examples}
    wanted = [
        {"activation": activation, "depth": depth, "seed": options.seed + run}
        for run in range(max(budget.runs, DEEPEST_RUNS.get(options.budget, 1)))
        for depth in (DEPTHS[options.budget] if run < budget.runs else DEEPEST)
        for activation in ACTIVATIONS
    ]

    def recipe(run: Mapping[str, object], precision: str) -> Recipe:
        return classify.Recipe(
            architecture=f"mnist{run['depth']}",
            activation=str(run["activation"]),
            optimizer="sgd",
            learning_rate=RATE,
            epochs=budget.epochs,
            examples=budget.examples,
            augment="none",
            precision=precision,
            seed=int(str(run["seed"])),
        )

    def load(split: str) -> Images:
        return images.mnist(options.data_folder("mnist"), split).first(budget.examples)

    runs = Runs(options.folder(NAME), settings, KEY)
    classify.train_runs(options, runs, wanted, recipe, load)


def render(folder: Path) -> None:
    """`figure3.csv`, `.md` and `.png` of `runs.csv`."""
    rows = results.read_table(folder / "runs.csv")
    summary = summarise(rows)
    results.write_table(folder / f"{NAME}.csv", summary)
    pages.write_page(folder / f"{NAME}.md", page(rows, summary))
    write_chart(folder / f"{NAME}.png", rows["budget"].iloc[0], summary)


def summarise(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """A row a depth and activation, in the order of depths and of `ACTIVATIONS`."""
    summary: list[dict[str, Any]] = []
    for (depth, activation), group in results.grouped(rows, ("depth", "activation")).items():
        mean = statistics.fmean(results.values(group, "test_accuracy"))
        pictures = int(group["test_pictures"].iloc[0])  # every run is judged by the same ones
        low, high = wilson(round(mean * pictures), pictures)
        summary.append(
            {
                "depth": int(depth),
                "activation": activation,
                "runs": len(group),
                "test_accuracy": mean,
                "test_accuracy_low": low,
                "test_accuracy_high": high,
                "test_loss": statistics.fmean(results.values(group, "test_loss")),
                "train_accuracy": statistics.fmean(results.values(group, "train_accuracy")),
            }
        )
    return sorted(summary, key=lambda row: (row["depth"], ACTIVATIONS.index(row["activation"])))


def wilson(right: int, count: int) -> tuple[float, float]:
    """95 % interval of a share, `right` of `count`."""
    found = stats.binomtest(right, count).proportion_ci(intervals.CONFIDENCE, method="wilson")
    return float(found.low), float(found.high)


def page(rows: pd.DataFrame, summary: Sequence[dict[str, Any]]) -> Iterator[str]:
    """The Markdown file, paragraph by paragraph."""
    by_depth: dict[int, dict[str, dict[str, Any]]] = {}
    for row in summary:
        by_depth.setdefault(row["depth"], {})[row["activation"]] = row
    yield "# Figure 3: depth and activation on MNIST"
    yield pages.SMOKE if rows["budget"].iloc[0] == "smoke" else ""
    yield f"![Accuracy by hidden layers, as in the table]({NAME}.png)"
    yield pages.markdown_table(
        ["Hidden layers", *(paper.NAMES[activation] for activation in ACTIVATIONS)],
        [
            [
                str(depth),
                *(
                    f"{intervals.interval(found[activation], 'test_accuracy'):.4f}"
                    if activation in found
                    else ""
                    for activation in ACTIVATIONS
                ),
            ]
            for depth, found in by_depth.items()
        ],
    )
    yield LEGEND
    yield (
        "The paper shows this as a chart; its figures are not at hand, so none of them stand here,"
        " and its order is not compared with ours."
    )
    yield "## An order, or noise?"
    whole = [found for found in by_depth.values() if len(found) == len(ACTIVATIONS)]
    yield order(
        {
            activation: [found[activation]["test_accuracy"] for found in whole]
            for activation in ACTIVATIONS
        }
    )
    yield "## What was reduced, and what else differs"
    yield differs(rows, list(by_depth))


def order(accuracies: Mapping[str, Sequence[float]]) -> str:
    """Says whether the activations differ, from their accuracies at the same depths."""
    depths = len(next(iter(accuracies.values())))
    if not depths:
        return "No depth has runs of all activations yet."
    means = {name: statistics.fmean(values) for name, values in accuracies.items()}
    ranked = sorted(means, key=lambda name: -means[name])
    text = "By the mean over depths, best first: " + ", ".join(
        f"{paper.NAMES[name]} {means[name]:.4f}" for name in ranked
    )
    text += ". "
    if depths < 2:
        return text + "**With one depth and one run nobody can say whether that order is noise.**"
    between = paired({name: accuracies[name] for name in ranked})
    apart = [found for found in between if found.low > 0]
    text += (
        f"Of the {len(between)} differences between two activations, depth by depth,"
        f" {len(apart) or 'none'} {'has' if len(apart) == 1 else 'have'} a 95 % interval (all"
        f" together; Student's t over {depths} depths, by Bonferroni) without zero"
    )
    if apart:
        text += ": " + "; ".join(
            f"{paper.NAMES[found.one]} before {paper.NAMES[found.other]} by"
            f" {Interval(found.by, found.low, found.high):.4f}"
            for found in apart
        )
    concordance, chance = agreement(accuracies)
    text += (
        ". How far the depths agree on the order, whatever the size of the differences:"
        f" Kendall's W {concordance:.2f} (1 is the same at every depth); orders drawn at random"
        f" agree as well with probability {chance:.4f}. "
    )
    if len(apart) == len(between):
        return text + "**So all of the order holds.**"
    if chance < 1 - intervals.CONFIDENCE:
        return text + (
            f"**So the order is more than noise, though {'not all' if apart else 'none'} of its"
            " differences hold one by one.**"
        )
    if apart:
        return text + "**The rest of the order is noise.**"
    return text + "**So the order here is noise: the runs do not tell them apart.**"


def paired(accuracies: Mapping[str, Sequence[float]]) -> list[Difference]:
    """The mean difference of every two activations over the depths, which both share.

    Of few depths only: it takes their differences to be alike, as far as chance goes.
    """
    pairs = list(itertools.combinations(accuracies, 2))
    found = []
    for one, other in pairs:
        by = np.subtract(accuracies[one], accuracies[other])
        quantile = stats.t.ppf(1 - (1 - intervals.CONFIDENCE) / (2 * len(pairs)), len(by) - 1)
        mean, half = float(np.mean(by)), float(quantile * stats.sem(by))
        found.append(Difference(one, other, mean, mean - half, mean + half))
    return found


def agreement(accuracies: Mapping[str, Sequence[float]]) -> tuple[float, float]:
    """Kendall's W of the orders at all depths, and how probable one as high is by chance.

    By Friedman's test, of all permutations of three depths, of 20,000 drawn ones of more.
    """
    ranks = [stats.rankdata(found) for found in zip(*accuracies.values(), strict=True)]
    depths, count = len(ranks), len(accuracies)

    def concordance(*of: intervals.Array, axis: int) -> intervals.Array:
        sums = np.stack([one.sum(axis=axis) for one in of])
        scatter = ((sums - depths * (count + 1) / 2) ** 2).sum(axis=0)
        return np.asarray(12 * scatter / (depths**2 * (count**3 - count)))

    found = stats.permutation_test(
        np.transpose(ranks), concordance, permutation_type="samples", vectorized=True,
        n_resamples=20_000, alternative="greater", random_state=0,
    )  # fmt: skip
    return float(found.statistic), float(found.pvalue)


def differs(rows: pd.DataFrame, depths: Sequence[int]) -> str:
    """What these runs had less of than the paper's and what the paper does not tell, as a list."""
    budget = rows["budget"].iloc[0]
    full = BUDGETS["full"]
    points = [
        f"Budget `{budget}` (`python -m tools.paper {NAME} --budget {budget}"
        f" --data DIR`): {len(depths)} of {len(DEPTHS['full'])} depths"
        f" ({', '.join(map(str, depths))}), runs of a point:"
        f" {pages.counted(map(len, results.grouped(rows, ('depth', 'activation')).values()))},"
        f" {rows['epochs'].iloc[0]} of the paper's {full.epochs}"
        f" epochs, {pages.counted(rows['train_pictures'])} of 60,000 pictures to"
        f" train and {pages.counted(rows['test_pictures'])} of 10,000 to test."
        + pages.budget_of_now(rows, [BUDGETS[budget].runs], BUDGETS),
        "The paper does not give the learning rate. Here it is plain SGD at 0.01 without momentum,"
        " the default of Keras, which Misra, the author of Mish, used in his published notebook of"
        " this experiment. What the paper says of the network fits that notebook, so its two 5x5"
        " convolutions to 20 and 50 channels are taken from there, too"
        " (`tools/train/classifiers.py`).",
        "Weights start as PyTorch starts them; Keras draws them somewhat larger.",
        machine(rows),
    ]
    return "\n".join(f"- {point}" for point in points)


def write_chart(path: Path, budget: str, summary: Sequence[Mapping[str, Any]]) -> None:
    """A PNG: a line an activation over the depths, with its intervals."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
    for number, activation in enumerate(ACTIVATIONS):
        rows = [row for row in summary if row["activation"] == activation]
        found = [intervals.interval(row, "test_accuracy") for row in rows]
        axes.errorbar(
            [row["depth"] + 0.08 * (number - 1.5) for row in rows],  # beside each other
            [interval.mean for interval in found],
            [
                [interval.mean - interval.low for interval in found],
                [interval.high - interval.mean for interval in found],
            ],
            marker="o",
            markersize=4,
            capsize=2,
            linewidth=1,
            color=COLOURS[activation],
            label=paper.NAMES[activation],
        )
    axes.set_xticks(sorted({row["depth"] for row in summary}))
    axes.set_xlabel("hidden layers of 500")
    axes.set_ylabel("accuracy on the test pictures")
    axes.set_title(f"MNIST, budget {budget}")
    axes.grid(axis="y", color="#e5e7eb")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.legend(frameon=False)
    pages.save_figure(figure, path)
