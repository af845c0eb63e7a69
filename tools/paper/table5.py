"""Table 5: SqueezeNet on CIFAR-10 with four activations, several runs each.

The paper names the network, the batch (128), the rate (1e-3), the epochs (100) and the runs (3).
The rest, the optimizer and the augmentation among it, is that of Misra's notebook; see
`tools/train/classifiers.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from tools.paper import figures_of_paper as paper
from tools.paper import intervals, ordering, pages, results
from tools.paper.results import Budget, Options, Runs

if TYPE_CHECKING:
    from tools.paper.classify import Recipe
    from tools.paper.images import Images

NAME = "table5"
BUDGETS = {
    "smoke": Budget(1, 1, 640),
    "cpu": Budget(2, 4, 0),
    "days": Budget(3, 30, 0),
    "gpu": Budget(3, 30, 0),
    "full": Budget(3, 100, 0),
}
RATE = 1e-3
KEY = ("activation", "seed")
SETTING = ("activation",)
FIGURES = ("test_accuracy", "test_loss", "train_accuracy", "train_loss")
LEGEND = """\
Means over runs, with their 95 % intervals (Student's t, the scatter of all settings pooled). They
are those of the last epoch, nothing is chosen by the test pictures; the paper does not say which
epoch it took. Acc and Loss are those of training, under augmentation."""


def run(options: Options) -> None:
    """Trains what is not trained yet, all activations once before any twice."""
    from tools.paper import classify, images

    budget = BUDGETS[options.budget]
    settings = {"budget": options.budget, "epochs": budget.epochs, "limit": budget.examples}
    wanted = [
        {"activation": activation, "seed": options.seed + run}
        for run in range(budget.runs)
        for activation in paper.TABLE5
    ]

    def recipe(run: Mapping[str, object], precision: str) -> Recipe:
        return classify.Recipe(
            architecture="squeezenet",
            activation=str(run["activation"]),
            optimizer="adam",
            learning_rate=RATE,
            epochs=budget.epochs,
            examples=budget.examples,
            augment="rotate",
            precision=precision,
            seed=int(str(run["seed"])),
        )

    def load(split: str) -> Images:
        return images.cifar10(options.data_folder("cifar10"), split, budget.examples)

    runs = Runs(options.folder(NAME), settings, KEY)
    classify.train_runs(options, runs, wanted, recipe, load)


def render(folder: Path) -> None:
    """`table5.csv`, `.md` and `.png` of `runs.csv`."""
    rows = results.read_table(folder / "runs.csv")
    summary = summarise(rows)
    results.write_table(folder / f"{NAME}.csv", summary)
    pages.write_page(folder / f"{NAME}.md", page(rows, summary))
    pages.write_chart_of_runs(
        folder / f"{NAME}.png",
        "SqueezeNet on CIFAR-10: accuracy on the test pictures",
        rows,
        summary,
        SETTING,
        paper.NAMES.__getitem__,
        pages.Shown("test_accuracy", "test_accuracy", "paper_accuracy"),
    )


def summarise(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """A row an activation, the best on the test pictures first."""
    summary = results.summarise(rows, SETTING, FIGURES)
    for row in summary:
        row["paper_accuracy"] = paper.TABLE5[row["activation"]]
    return sorted(summary, key=lambda row: (-row["test_accuracy"], row["test_loss"]))


def page(rows: pd.DataFrame, summary: Sequence[dict[str, Any]]) -> Iterator[str]:
    """The Markdown file, paragraph by paragraph."""
    yield "# Table 5: SqueezeNet on CIFAR-10"
    yield pages.SMOKE if rows["budget"].iloc[0] == "smoke" else ""
    yield f"![Accuracy of each run, means with intervals, and the paper's]({NAME}.png)"
    yield pages.markdown_table(
        ["Activation", "runs", "test Acc", "paper", "test Loss", "Acc", "Loss"],
        [
            [
                paper.NAMES[row["activation"]],
                str(row["runs"]),
                f"{intervals.interval(row, 'test_accuracy')}",
                f"{row['paper_accuracy']:.3f}",
                *(f"{intervals.interval(row, figure)}" for figure in FIGURES[1:]),
            ]
            for row in summary
        ],
    )
    yield LEGEND
    yield "## The paper's order, or noise?"
    of_runs, alike = results.paired(rows, SETTING, "test_accuracy")
    between = intervals.differences({name: v for (name,), v in of_runs.items()}, blocks=alike)
    if alike and between:
        yield (
            "Runs of one seed began with the same weights and saw the pictures in the same order:"
            " activations are compared seed by seed (Tukey's intervals with seeds as blocks)."
        )
    means = {row["activation"]: row["test_accuracy"] for row in summary}
    yield ordering.order_statement(means, paper.TABLE5, between, paper.NAMES)
    yield "## What was reduced, and what else differs"
    yield differs(rows)


def differs(rows: pd.DataFrame) -> str:
    """What these runs had less of than the paper's and what the paper does not tell, as a list."""
    of_a_setting = [len(group) for group in results.grouped(rows, SETTING).values()]
    full = BUDGETS["full"]
    budget = rows["budget"].iloc[0]
    points = [
        f"Budget `{budget}` (`python -m tools.paper {NAME} --budget {budget}"
        f" --data DIR`): {pages.counted(of_a_setting)} of the paper's {full.runs} runs of an"
        f" activation, {rows['epochs'].iloc[0]} of its {full.epochs} epochs,"
        f" {pages.counted(rows['train_pictures'])} of 50,000 pictures to train and"
        f" {pages.counted(rows['test_pictures'])} of 10,000 to test."
        + pages.budget_of_now(rows, of_a_setting, BUDGETS),
        "CIFAR-10 here is a JPEG copy (quality 92, 37 dB from the original), so that absolute"
        " figures are not comparable to the last tenth of a percent.",
        "The paper says of the network only that it is SqueezeNet. Here it is the one that Misra,"
        " the author of Mish, published for the same experiment: the modules of SqueezeNet 1.0 with"
        " simple bypass and batch norm, and a stem for 32x32 (`tools/train/classifiers.py`).",
        "The paper does not name the optimizer, the augmentation and the loss. Here they are those"
        " of that notebook: Adam with a constant rate of 1e-3, mirrored with probability 0.4 and"
        " turned by up to 30 degrees, cross-entropy. Pictures lie in [0, 1], there in [-1, 1].",
        machine(rows),
    ]
    return "\n".join(f"- {point}" for point in points)


def machine(rows: pd.DataFrame) -> str:
    """What trained, where and for how long; of other experiments with pictures, too."""
    text = pages.machine(rows, lambda some: [paper.NAMES[name] for name in some["activation"]])
    if "bf16" in set(rows["precision"]):
        text += " All activations themselves are computed in float32."
    return text
