"""The page "Is Pish worth it?", of the runs and times of `elsewhere`, and its verdict."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from tools.paper import activation_times, intervals, pages, results, table4, table5
from tools.paper import figures_of_paper as paper
from tools.paper.intervals import Difference

FIGURES = ("test_accuracy", "test_loss", "train_accuracy", "train_loss")
#: What pages call a network.
NETWORKS = {
    "resnet20": "ResNet-20",
    "mobilenetv2_0.5": "MobileNetV2 0.5",
    activation_times.THOROUGH: "EfficientNet-Lite0",
}
PISH = "pish"
#: A gain in accuracy that would be worth having: what an interval must rule out for a "no".
MARGIN = 0.005
TRAIN = "python -m tools.paper elsewhere --data DIR --budget cpu"
TIME = "python -m tools.paper elsewhere --budget cpu"

Costs = Sequence[dict[str, Any]]


def title(isa: str) -> str:
    """`minimeso, AVX2`."""
    return table4.ENGINES[isa]


# --- the verdict -----------------------------------------------------------------------------


class Finding(NamedTuple):
    """Whether Pish is worth it in a network, "yes", "no" or "open", and why."""

    answer: str
    why: str


def against_pish(rows: pd.DataFrame, network: str) -> list[Difference]:
    """By how much the accuracy of Pish lies above that of each other activation, over the seeds
    that all have: those runs began alike and saw the same pictures, so what a seed moves is no
    scatter. None without two such seeds."""
    accuracies: dict[str, dict[str, float]] = {}
    for (name, activation), group in results.grouped(rows, ("network", "activation")).items():
        if name == network:
            found = results.values(group, "test_accuracy")
            accuracies[activation] = dict(zip(group["seed"], found, strict=True))
    seeds = sorted(set.intersection(*map(set, accuracies.values()))) if accuracies else []
    if PISH not in accuracies or not seeds:
        return []
    figures = {name: [of[seed] for seed in seeds] for name, of in accuracies.items()}
    return [
        d if d.one == PISH else Difference(d.other, d.one, -d.by, -d.high, -d.low)
        for d in intervals.differences(figures, blocks=True)
        if PISH in (d.one, d.other)
    ]


def cheaper(costs: Costs, network: str, isa: str | None) -> set[str]:
    """The activations that take less time than Pish there; where nothing was measured, those that
    the paper says do."""
    if isa is None:
        return {name for name, over in paper.TABLE4.items() if over < paper.TABLE4[PISH]}
    over = {row["activation"]: row.get(f"{isa}_over", 0.0) for row in costs_of(costs, network)}
    return {name for name, by in over.items() if by < over[PISH]}


def costs_of(costs: Costs, network: str) -> Costs:
    """The rows of a network."""
    return [row for row in costs if row["network"] == network]


def finding(between: Sequence[Difference], cheap: set[str]) -> Finding:
    """Of a network: worth it is more accuracy than every cheaper activation has."""
    rivals = [d for d in between if d.other in cheap and math.isfinite(d.low)]
    if not between:
        return Finding("open", "no two runs of each activation yet")
    if not rivals:
        return Finding("yes", "nothing is cheaper")
    better = [d for d in rivals if d.low > 0]
    enough = [d for d in rivals if d.high < MARGIN]
    if len(better) == len(rivals):
        return Finding("yes", f"more accurate than {_told(better)}")
    if enough:
        return Finding("no", f"cheaper and hardly less accurate, if at all: {_told(enough)}")
    unclear = [d for d in rivals if d not in better]
    return Finding("open", f"the runs do not tell it from what is cheaper: {_told(unclear)}")


def _told(found: Sequence[Difference]) -> str:
    """`Swish (Pish by +0.002 [-0.001, +0.005])`."""
    return ", ".join(
        f"{paper.NAMES[d.other]} (Pish by {d.by:+.3f} [{d.low:+.3f}, {d.high:+.3f}])" for d in found
    )


def verdict(rows: pd.DataFrame | None, measured: pd.DataFrame | None, costs: Costs) -> str:
    """One sentence, of the figures alone."""
    isa = activation_times.isas(measured)[0] if measured is not None else None
    if rows is None:
        accuracy = "Not known yet, for nothing was trained"
    else:
        found = {
            NETWORKS[network]: finding(against_pish(rows, network), cheaper(costs, network, isa))
            for (network,) in results.grouped(rows, ("network",))
        }
        answers = {one.answer for one in found.values()}
        word = {"yes": "Yes", "no": "No", "open": "Not known yet"}
        whole = word[answers.pop()] if len(answers) == 1 else "That depends on the network"
        each = "; ".join(f"{name}: {one.answer}, {one.why}" for name, one in found.items())
        accuracy = f"{whole} ({each})"
    if isa is None:
        return f"**{accuracy}; its time was not measured yet.**"
    times = []
    for name in (PISH, *activation_times.ACTIVATIONS[1:-1]):
        over = [100 * row[f"{isa}_over"] for row in costs if row["activation"] == name]
        times.append(f"{paper.NAMES[name]} costs {min(over):.0f} to {max(over):.0f} %")
    return (
        f"**{accuracy}; in time {times[0]} over ReLU, where {' and '.join(times[1:])}"
        f" ({len(activation_times.TURNS)} networks, {title(isa)}, one thread).**"
    )


# --- the page --------------------------------------------------------------------------------


def page(
    rows: pd.DataFrame | None,
    accuracies: Sequence[dict[str, Any]],
    measured: pd.DataFrame | None,
    costs: Costs,
) -> Iterator[str]:
    """The Markdown file, paragraph by paragraph."""
    yield "# Is Pish worth it?"
    smoke = rows is not None and rows["budget"].iloc[0] == "smoke"
    if measured is not None:
        smoke |= int(measured["rounds"].iloc[0]) == activation_times.ROUNDS["smoke"]
    yield pages.SMOKE if smoke else ""
    yield verdict(rows, measured, costs)
    yield (
        "The paper ends with a wish to see Pish in other networks. Here are ResNet-20 (He et al."
        " 2016, 269,722 parameters) and MobileNetV2 (Sandler et al. 2018, half its channels,"
        " 700,490 parameters) on CIFAR-10, each with ReLU, Swish, Mish and Pish in place of every"
        " activation, and in time also the thorough network of this package. Worth it is what is"
        " more accurate than every cheaper activation, with an interval without zero; not worth"
        f" it is what cannot be better than a cheaper one by {MARGIN:g}; the rest is open."
    )
    yield "## Accuracy on CIFAR-10"
    yield from ([f"No run yet: `{TRAIN}` trains."] if rows is None else _accuracy(rows, accuracies))
    yield "## Time on our engine"
    yield from (
        [f"Not measured yet: `{TIME}`, without `--data`."]
        if measured is None
        else _times(measured, costs)
    )
    if rows is not None:
        yield "## How it was trained"
        yield _reductions(rows)


def _accuracy(rows: pd.DataFrame, accuracies: Sequence[dict[str, Any]]) -> Iterator[str]:
    yield "![Accuracy of each run, and means with intervals](elsewhere.png)"
    yield pages.markdown_table(
        ["Network, activation", "runs", "test Acc", "test Loss", "Acc", "Loss"],
        [
            [
                f"{NETWORKS[row['network']]}, {paper.NAMES[row['activation']]}",
                str(row["runs"]),
                *(f"{intervals.interval(row, figure)}" for figure in FIGURES),
            ]
            for row in accuracies
        ],
    )
    yield (
        "Means over runs, with their 95 % intervals (Student's t, the scatter of all settings"
        " pooled), of the last epoch: nothing is chosen by the test pictures. Acc and Loss are"
        " those of training, under augmentation."
    )
    lines = [
        [NETWORKS[network], paper.NAMES[d.other], f"{d.by:+.3f} [{d.low:+.3f}, {d.high:+.3f}]"]
        for (network,) in results.grouped(rows, ("network",))
        for d in against_pish(rows, network)
    ]
    if not lines:
        yield "**With so few runs nobody can say whether these differences are noise.**"
        return
    yield pages.markdown_table(["Network", "Pish over", "test Acc by"], lines)
    yield (
        "Runs of one seed began with the same weights and saw the same pictures in the same"
        " order, changed alike, so settings are compared seed by seed (Tukey's intervals with"
        " seeds as blocks; 95 % for all settings of a network together). What other test pictures"
        " would change is not in them."
    )


def _times(measured: pd.DataFrame, costs: Costs) -> Iterator[str]:
    isas = activation_times.isas(measured)
    yield "![How much longer than ReLU activations take in each network](elsewhere-times.png)"
    heads = [title(isa).removeprefix("minimeso, ") for isa in isas]
    rough = [isa for isa in isas if isa not in activation_times.EXACT]
    lines = []
    for row in costs:
        name = f"{NETWORKS[row['network']]}, {paper.NAMES[row['activation']]}"
        if row["activation"] == activation_times.BASE:
            figures = [f"{row[f'{isa}_ms']:.2f} ms" for isa in isas]
            lines.append([name, *figures, *[""] * len(rough)])
        else:
            figures = [_percent(row, f"{isa}_over") for isa in isas]
            lines.append(
                [name, *figures, *(_percent(row, f"{isa}_approximated_over") for isa in rough)]
            )
    more = [f"{heads[isas.index(isa)]}, approximated" for isa in rough]
    yield pages.markdown_table(["Network, activation", *heads, *more], lines)
    yield (
        f"Of one image on one thread of {measured['cpu'].iloc[0]}; `{TIME}`. Times in ms are"
        f" medians; percentages are over the same network with ReLU in the same round, the median"
        f" of {len(measured)} rounds with its 95 % interval. Weights are random (those of"
        " EfficientNet-Lite0 the package's), batch norms fit them, pictures are noise."
        " Approximated: `Model.approximated()`, to 2e-4; with SSE2 that is the exact formula."
    )
    yield from _thorough(costs, isas[0])


def _thorough(costs: Costs, isa: str) -> Iterator[str]:
    """What an activation would cost in the thorough network, in words."""
    rows = {row["activation"]: row for row in costs_of(costs, activation_times.THOROUGH)}
    base = rows[activation_times.BASE][f"{isa}_ms"]
    least = min(rows[PISH][f"{isa}_over"], rows[PISH].get(f"{isa}_approximated_over", math.inf))
    yield (
        "EfficientNet-Lite0 is the thorough network of the package with its own ReLU6 as ReLU,"
        " and with another activation in all 33 places (time only: nobody trained that). A look"
        f" at a face takes {base:.1f} ms ({title(isa)}); with Pish it would take"
        f" {base * (1 + rows[PISH][f'{isa}_over']):.1f} ms, {base * (1 + least):.1f} ms in the"
        f" faster way: Pish would have to save one look in {(1 + least) / least:.0f} to cost"
        " nothing."
        if least > 0
        else "EfficientNet-Lite0 with Pish would take no longer than with its ReLU6."
    )


def _percent(row: Mapping[str, Any], figure: str) -> str:
    """`+3.2 % [+3.1, +3.3]`."""
    mean, low, high = (100 * end for end in intervals.interval(row, figure))
    return f"{mean:+.1f} %" + ("" if math.isnan(low) else f" [{low:+.1f}, {high:+.1f}]")


def _reductions(rows: pd.DataFrame) -> str:
    """How these runs were trained, and on what, as a list."""
    of_a_setting = pages.counted(
        map(len, results.grouped(rows, ("network", "activation")).values())
    )
    budget = rows["budget"].iloc[0]
    points = [
        f"Budget `{budget}` (`python -m tools.paper elsewhere --budget {budget} --data DIR`):"
        f" {of_a_setting} runs of a setting, {rows['epochs'].iloc[0]} epochs (budget `full`: 5 of"
        f" 164, the 64,000 steps of He et al.), {pages.counted(rows['train_pictures'])} of 50,000"
        f" pictures to train and {pages.counted(rows['test_pictures'])} of 10,000 to test.",
        "Adam with a rate of 1e-3 and batches of 128, as in Table 5, but the rate rises over the"
        " first twentieth of the steps and then falls to 0 by a cosine; pictures are moved by up to"
        " 4 pixels and mirrored, as by He et al. Their SGD, whose rate of 0.1 was found for ReLU,"
        " was left out: ResNet-20 with Pish begins with values that grow by its slope of pi / 2"
        " in every block.",
        "CIFAR-10 here is a JPEG copy (quality 92, 37 dB from the original), so that absolute"
        " figures are not comparable to the last tenth of a percent.",
        table5.machine(rows),
    ]
    points += pages.diverged(
        rows,
        "test_loss",
        lambda lost: [
            f"{NETWORKS[network]} with {paper.NAMES[activation]}"
            for network, activation in results.grouped(lost, ("network", "activation"))
        ],
    )
    return "\n".join(f"- {point}" for point in points)
