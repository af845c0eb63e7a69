"""Table 4: what an activation costs. The time of 2,000 random images, one at a time, on one thread,
on minimeso's engine with each instruction set of this CPU and on PyTorch, each relative to ReLU.

Every engine with every activation sits in a process of its own on the same core (see
`tools/bench/workers.py`) and they take turns of a few images, the same for all, so whatever else
the machine does falls on all of them alike: what is compared is a turn with ReLU's in the same
round.
"""

from __future__ import annotations

import itertools
import math
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from tools.paper import figures_of_paper as paper
from tools.paper import intervals, ordering, pages, results
from tools.paper.intervals import Array, Interval
from tools.paper.results import Options, ResultsError, Runs

NAME = "table4"
IMAGES = {"smoke": 50, "cpu": 2000, "days": 2000, "gpu": 2000, "full": 2000}
TURN = 25  # images
#: By instruction set, and PyTorch; a table has those that its machine has.
ENGINES = {
    "avx512": "minimeso, AVX-512",
    "avx2": "minimeso, AVX2",
    "sse2": "minimeso, SSE2",
    "neon": "minimeso, NEON",
    "torch": "PyTorch",
}
BASE, DEAREST = "relu", "pish"
OPEN = "open, or another on each"
PAUSE = 0.01  # between turns: the last engine's threads fall asleep

# --- what runs in the engine's process -------------------------------------------------------

_run: Callable[[Any], Any] | None = None
_layout: Callable[[Any], Any] | None = None


class Turn(NamedTuple):
    """Milliseconds and p_fake of every image of a turn."""

    ms: list[float]
    p_fake: list[float]


def load(name: str, folder: Path, activation: str) -> None:
    """Makes the network with random weights ready, on one thread."""
    global _run, _layout
    from tools.bench import cases, peers

    folder.mkdir(exist_ok=True)
    if not (folder / cases.WEIGHTS).exists():
        cases.write_weights(folder, "mesoinception4", activation)
    engine = peers.engine(name)
    _run = engine.load(cases.Case(folder, "mesoinception4", activation, batch=1, threads=1))
    _layout = engine.layout


def take_turn(number: int) -> Turn:
    """Runs the random images of a round, after one that does not count."""
    assert _run is not None and _layout is not None
    random = np.random.default_rng(number)
    images = [_layout(random.random((1, 3, 256, 256), np.float32)) for _ in range(TURN)]
    _run(images[0])
    turn = Turn([], [])
    for image in images:
        start = time.perf_counter()
        p_fake = _run(image)
        turn.ms.append(1e3 * (time.perf_counter() - start))
        turn.p_fake.append(float(np.asarray(p_fake).reshape(-1)[0]))
    return turn


# --- this side -------------------------------------------------------------------------------


def run(options: Options) -> None:
    """Measures the rounds that are missing."""
    from tools.bench import machine, peers

    settings: dict[str, object] = {"budget": options.budget, "cpu": machine.cpu_model()}
    settings["turn"] = TURN
    runs = Runs(options.folder(NAME), settings, ("round",))
    with ExitStack() as stack:
        try:
            takers: list[Taker] = []
            for (round_,) in runs.left(
                [{"round": i} for i in range(IMAGES[options.budget] // TURN)]
            ):
                takers = takers or list(_takers(stack))
                runs.add(round_, _round(takers, int(str(round_["round"]))))
        except peers.UnavailableError as error:
            raise ResultsError(f"cannot be measured: {error}") from None


class Taker(NamedTuple):
    """An engine with an activation, loaded and waiting for its turn."""

    engine: str
    activation: str
    take: Callable[[int], Turn]


def _takers(stack: ExitStack) -> Iterator[Taker]:
    """Everybody, each in a process; they live as long as the stack."""
    from minimeso.engine.native import available_isas
    from tools.bench import peers, workers

    peers.versions("torch")  # names it if it is missing
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    # PyTorch first: it makes the weights, and ours then never loads it
    there = [name for name in reversed(ENGINES) if name in ("torch", *available_isas())]
    for engine, activation in itertools.product(there, paper.TABLE4):
        worker = workers.Worker(1, folder / f"{engine}-{activation}.log")
        stack.callback(worker.close)
        name = engine if engine in peers.PEERS else f"minimeso-{engine}"
        worker.ask(load, name, folder / activation, activation)
        yield Taker(engine, activation, partial(worker.ask, take_turn))


def _round(takers: Sequence[Taker], number: int) -> dict[str, object]:
    """A turn of everybody, another one first in every round."""
    start = time.perf_counter()
    first = number % len(takers)
    figures: dict[str, object] = {}
    p_fake: dict[str, list[Array]] = {}
    for taker in (*takers[first:], *takers[:first]):
        turn = taker.take(number)
        column = f"{taker.engine}_{taker.activation}"
        figures[f"{column}_median_ms"] = statistics.median(turn.ms)
        figures[f"{column}_mean_ms"] = statistics.fmean(turn.ms)
        p_fake.setdefault(taker.activation, []).append(np.array(turn.p_fake))
        time.sleep(PAUSE)
    apart = max(float(np.ptp(np.array(found), axis=0).max()) for found in p_fake.values())
    figures = {name: figures[name] for name in sorted(figures)}  # whoever was first
    return figures | {"p_fake_apart": apart, "seconds": time.perf_counter() - start}


def render(folder: Path) -> None:
    """`table4.csv`, `.md` and `.png` of `runs.csv`."""
    rows = results.read_table(folder / "runs.csv")
    summary = summarise(rows)
    results.write_table(folder / f"{NAME}.csv", summary)
    pages.write_page(folder / f"{NAME}.md", page(rows, summary))
    pages.write_chart(
        folder / f"{NAME}.png",
        f"Time of an image, one thread, budget {rows['budget'].iloc[0]}",
        "% over ReLU",
        [
            pages.Line(
                f"{paper.NAMES[row['activation']]}, {ENGINES[row['engine']]}",
                [],
                Interval(*(100 * value for value in intervals.interval(row, "over"))),
                100 * row["paper_over"],
            )
            for row in summary
            if row["activation"] != BASE
        ],
    )


def engines(rows: pd.DataFrame) -> dict[str, str]:
    """Of `ENGINES` those that were measured."""
    return {k: title for k, title in ENGINES.items() if f"{k}_{BASE}_median_ms" in rows}


def over(rows: pd.DataFrame, engine: str, activation: str) -> Array:
    """(rounds,) how much longer the median image takes than ReLU's in the same round: 0.1 is
    10 %."""
    ours, base = (
        np.array(results.values(rows, f"{engine}_{name}_median_ms")) for name in (activation, BASE)
    )
    return np.asarray(ours / base - 1)


def median(values: Array, confidence: float = intervals.CONFIDENCE) -> Interval:
    """Of rounds; the interval is exact whatever their distribution, and NaN for few of them."""
    found = stats.quantile_test(values, p=0.5).confidence_interval(confidence)
    return Interval(float(np.median(values)), float(found.low), float(found.high))


def summarise(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """A row for every engine and activation, in the paper's order."""
    summary = []
    for engine, (activation, theirs) in itertools.product(engines(rows), paper.TABLE4.items()):
        column = f"{engine}_{activation}"
        mean, base = (
            statistics.fmean(results.values(rows, f"{engine}_{name}_mean_ms"))
            for name in (activation, BASE)
        )
        found = median(over(rows, engine, activation))
        summary.append(
            {
                "engine": engine,
                "activation": activation,
                "median_ms": statistics.median(results.values(rows, f"{column}_median_ms")),
                "mean_ms": mean,
                "over": found.mean,
                "over_low": found.low,
                "over_high": found.high,
                "mean_over": mean / base - 1,
                "paper_over": theirs,
            }
        )
    return summary


def page(rows: pd.DataFrame, summary: Sequence[dict[str, Any]]) -> Iterator[str]:
    """The Markdown file, paragraph by paragraph."""
    yield "# Table 4: what an activation costs"
    yield pages.SMOKE if rows["budget"].iloc[0] == "smoke" else ""
    yield verdict(rows, summary)
    yield f"![How much longer than ReLU activations take, here and in the paper]({NAME}.png)"
    yield from _beside_each_other(engines(rows), summary)
    for engine, title in engines(rows).items():
        yield f"## {title}"
        yield pages.markdown_table(
            ["Activation", "median", "over ReLU", "mean", "over ReLU", "paper"],
            [
                [
                    paper.NAMES[row["activation"]],
                    f"{row['median_ms']:.3f} ms",
                    _percent(intervals.interval(row, "over"), row["activation"]),
                    f"{row['mean_ms']:.3f} ms",
                    _percent(Interval(row["mean_over"], math.nan, math.nan), row["activation"]),
                    _percent(Interval(row["paper_over"], math.nan, math.nan), row["activation"]),
                ]
                for row in summary
                if row["engine"] == engine
            ],
        )
    images = len(rows) * int(rows["turn"].iloc[0])
    yield (
        f"MesoInception-4 with random weights, {images:,} random images, one at a time, one thread,"
        f" on {rows['cpu'].iloc[0]}; `python -m tools.paper table4 --budget"
        f" {rows['budget'].iloc[0]}`. The paper's time with ReLU is"
        f" {paper.TABLE4_RELU_MS} ms, a mean of 2,000 images. Engines and activations take turns of"
        f' {rows["turn"].iloc[0]} images; "over ReLU" beside the median is the median over the'
        f" {len(rows)} rounds of a turn's median against ReLU's in the same round, with its 95 %"
        " interval."
    )
    yield (
        "The engines agree on p_fake of every image to"
        f" {max(results.values(rows, 'p_fake_apart')):.0e}. The less time an engine spends on"
        " convolutions, the more of it an activation takes: ratios depend on the engine, not only"
        " on the function."
    )
    yield "## The paper's order, or noise?"
    for engine, title in engines(rows).items():
        figures = {row["activation"]: row["over"] for row in summary if row["engine"] == engine}
        statement = ordering.order_statement(
            figures, paper.TABLE4, differences(rows, engine), paper.NAMES, higher=False,
            again=engine != next(iter(engines(rows))),
        )  # fmt: skip
        yield f"{title}, fastest first and in parts of ReLU's time. {statement}"


def verdict(rows: pd.DataFrame, summary: Sequence[dict[str, Any]]) -> str:
    """One sentence: what the paper's costs are here, and which of its claims that one activation is
    faster than another hold."""
    costs = [100 * row["over"] for row in summary if row["activation"] == DEAREST]
    said: dict[str, set[str]] = {}
    for engine in engines(rows):
        for apart in differences(rows, engine):
            claim = f"{paper.NAMES[apart.one]} before {paper.NAMES[apart.other]}"
            answer = "holds" if apart.high < 0 else "turned" if apart.low > 0 else "open"
            said.setdefault(claim, set()).add(answer)
    groups: dict[str, list[str]] = {"hold": [], "are the other way round": [], OPEN: []}
    for claim, answers in said.items():
        whole = answers.pop() if len(answers) == 1 else "open"
        what = {"holds": "hold", "turned": "are the other way round"}.get(whole, OPEN)
        groups[what].append(claim)
    parts = [
        f"{what}: {', '.join(group) if len(group) < len(said) / 2 else len(group)}"
        for what, group in groups.items()
        if group
    ]
    return (
        f"**{paper.NAMES[DEAREST]} costs {min(costs):.0f} to {max(costs):.0f} % over ReLU, in the"
        f" paper {100 * paper.TABLE4[DEAREST]:.1f} %; of the paper's {len(said)} claims that one"
        f" activation is faster than another, on every engine {'; '.join(parts)}.**"
    )


def _beside_each_other(
    titles: Mapping[str, str], summary: Sequence[dict[str, Any]]
) -> Iterator[str]:
    """How much longer than ReLU each takes, an engine a column."""
    found = {(row["engine"], row["activation"]): row["over"] for row in summary}
    yield pages.markdown_table(
        ["Over ReLU", *titles.values(), "paper"],
        [
            [paper.NAMES[name]]
            + [f"{100 * found[engine, name]:+.1f} %" for engine in titles]
            + [f"{100 * theirs:+.1f} %"]
            for name, theirs in paper.TABLE4.items()
            if name != BASE
        ],
    )


def differences(rows: pd.DataFrame, engine: str) -> list[intervals.Difference]:
    """Between every two activations, round by round; the intervals hold together at 95 %."""
    pairs = list(itertools.combinations(paper.TABLE4, 2))
    level = 1 - (1 - intervals.CONFIDENCE) / len(pairs)
    return [
        intervals.Difference(one, other, *median(apart, level))
        for one, other in pairs
        for apart in [over(rows, engine, one) - over(rows, engine, other)]
    ]


def _percent(over: Interval, activation: str) -> str:
    """`+3.2 % [+3.1, +3.3]`; of ReLU itself nothing."""
    if activation == BASE:
        return ""
    mean, low, high = (100 * value for value in over)
    return f"{mean:+.1f} %" + ("" if math.isnan(low) else f" [{low:+.1f}, {high:+.1f}]")
