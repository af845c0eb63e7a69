"""Pish elsewhere, which the paper's last sentence asks for: ResNet-20 and MobileNetV2 on CIFAR-10
with four activations, and what those cost on minimeso's engine in these networks and in the
thorough one of the package.

With --data it trains: the settings of a seed start from the same weights and see the same pictures
in the same order, changed alike, side by side. Without it measures times. Optimizer, rate and batch
are those of `table5`, but the rate rises at first and falls to zero, which suits any number of
epochs; pictures are changed as by He et al. (2016). Not their SGD: see `tools/train/NOTES.md`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tools.paper import activation_times, intervals, pages, results, worth
from tools.paper import figures_of_paper as paper
from tools.paper.results import Budget, Options, Runs

if TYPE_CHECKING:
    from tools.paper.classify import Recipe
    from tools.paper.images import Images

NAME = "elsewhere"
BUDGETS = {
    "smoke": Budget(1, 1, 256),
    "cpu": Budget(2, 2, 20_000),
    "days": Budget(3, 5, 0),
    "gpu": Budget(5, 30, 0),
    "full": Budget(5, 164, 0),  # 64,000 steps, as He et al. have
}
NETWORKS = ("resnet20", "mobilenetv2_0.5")
RATE = 1e-3
KEY = ("network", "activation", "seed")
SETTING = ("network", "activation")


def run(options: Options) -> None:
    """Trains what is not trained yet, all settings once before any twice; or, without data,
    measures the rounds that are missing."""
    if options.data is None:
        print("no --data DIR: measures times, trains nothing", file=sys.stderr, flush=True)
        activation_times.measure(options, options.folder(NAME))
        return
    from tools.paper import classify, images

    budget = BUDGETS[options.budget]
    settings = {"budget": options.budget, "epochs": budget.epochs, "limit": budget.examples}
    wanted = [
        {"network": network, "activation": activation, "seed": options.seed + run}
        for run in range(budget.runs)
        for network in NETWORKS
        for activation in activation_times.ACTIVATIONS
    ]

    def recipe(run: Mapping[str, object], precision: str) -> Recipe:
        return classify.Recipe(
            architecture=str(run["network"]),
            activation=str(run["activation"]),
            optimizer="adam",
            learning_rate=RATE,
            epochs=budget.epochs,
            examples=budget.examples,
            augment="shift",
            precision=precision,
            seed=int(str(run["seed"])),
            schedule="cosine",
        )

    def load(split: str) -> Images:
        return images.cifar10(options.data_folder("cifar10"), split, budget.examples)

    runs = Runs(options.folder(NAME), settings, KEY)
    classify.train_runs(options, runs, wanted, recipe, load, together=("network", "seed"))


def render(folder: Path) -> None:
    """`elsewhere.csv`, `.md` and charts of `runs.csv` and `times.csv`, of which one may be
    missing."""
    times, runs = folder / activation_times.FILE, folder / "runs.csv"
    measured = results.read_table(times) if times.exists() else None
    rows = results.read_table(runs) if runs.exists() or measured is None else None
    accuracies = results.summarise(rows, SETTING, worth.FIGURES) if rows is not None else []
    costs = list(activation_times.summarise(measured)) if measured is not None else []
    results.write_table(folder / f"{NAME}.csv", _beside(accuracies, costs))
    pages.write_page(folder / f"{NAME}.md", worth.page(rows, accuracies, measured, costs))
    if rows is not None:
        pages.write_chart_of_runs(
            folder / f"{NAME}.png",
            "CIFAR-10: accuracy on the test pictures",
            rows,
            [row | {"paper": None} for row in accuracies],
            SETTING,
            lambda network, name: f"{worth.NETWORKS[network]}, {paper.NAMES[name]}",
            pages.Shown("test_accuracy", "test_accuracy", "paper"),
        )
    if measured is not None:
        isa = activation_times.isas(measured)[0]
        pages.write_chart(
            folder / f"{NAME}-times.png",
            f"Time of an image, one thread, {worth.title(isa)}",
            "% over the network's own ReLU",
            list(_lines(costs, isa)),
        )


def _lines(costs: list[dict[str, Any]], isa: str) -> Iterator[pages.Line]:
    for row in costs:
        for kind, about in (("over", ""), ("approximated_over", ", approximated")):
            if f"{isa}_{kind}" in row:
                label = f"{worth.NETWORKS[row['network']]}, {paper.NAMES[row['activation']]}{about}"
                found = intervals.interval(row, f"{isa}_{kind}")
                yield pages.Line(label, [], intervals.Interval(*(100 * end for end in found)), None)


def _beside(accuracies: list[dict[str, Any]], costs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row a network and activation: how accurate, and what it costs."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for row in (*accuracies, *costs):
        found.setdefault((row["network"], row["activation"]), {}).update(row)
    return list(found.values())
