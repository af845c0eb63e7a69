"""Is it the paper's order, or noise? Intervals, differences and what is said of them."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pd = pytest.importorskip("pandas")
pytest.importorskip("kornia")
pytest.importorskip("matplotlib")


from tools.paper import figures_of_paper as paper  # noqa: E402
from tools.paper import intervals, ordering, people, results, table1, table2, table3  # noqa: E402

COMMITTED = Path(table1.__file__).parent / "results"
PAIRS = {"train": 6, "val": 4, "test": 3}
FEW = results.Budget(runs=1, epochs=1, examples=4)
PAIRED = table1.SETTING, "val_auc"


def many(seed: int, means: dict[str, float], scatter: float, runs: int) -> dict[str, list[float]]:
    rng = np.random.default_rng(seed)
    return {name: (mean + scatter * rng.normal(size=runs)).tolist() for name, mean in means.items()}


@pytest.mark.parametrize(
    ("means", "scatter", "runs", "words"),
    [
        ({"a": 0.9, "b": 0.8, "c": 0.7}, 0.01, 5, "**So the order here is the paper's.**"),
        ({"a": 0.7, "b": 0.8, "c": 0.9}, 0.01, 5, "**So the order here is not the paper's.**"),
        ({"a": 0.9, "b": 0.9, "c": 0.9}, 0.01, 5, "**So the order here is noise"),
        ({"a": 0.9, "b": 0.9, "c": 0.7}, 0.01, 5, "lies as in the paper"),
        ({"a": 0.9, "b": 0.8, "c": 0.7}, 0.01, 1, "**With so few runs"),
    ],
)
def test_order_or_noise(means: dict[str, float], scatter: float, runs: int, words: str) -> None:
    figures = many(1, means, scatter, runs)
    names = {name: name.upper() for name in figures}
    between = intervals.differences(figures)
    ours = {name: float(np.mean(found)) for name, found in figures.items()}
    order = {"a": 3, "b": 2, "c": 1}
    statement = ordering.order_statement(ours, order, between, names)
    assert words in statement, statement
    if "is the paper's" in words:
        assert "here: A, B, C; in the paper: A, B, C." in statement
        assert "+1.00" in statement and "probability 0.167 (exact)" in statement
        lower = {name: -value for name, value in ours.items()}
        turned = [d._replace(by=-d.by, low=-d.high, high=-d.low) for d in between]
        assert words in ordering.order_statement(lower, order, turned, names, higher=False)


def test_equals_are_no_order() -> None:
    names = dict.fromkeys("abc", "X")
    order = {"a": 3, "b": 2, "c": 1}
    same = ordering.order_statement(dict.fromkeys("abc", 0.5), order, [], names)
    assert "X = X = X" in same and "All are equal" in same
    few = ordering.order_statement({"a": 1, "b": 1, "c": 0}, order, [], names)
    assert "probability 0.333 (exact)" in few  # two of six orders
    names = dict.fromkeys("abcdefg", "X")
    theirs = {name: ord(name) for name in names}
    halves = {name: place // 2 for name, place in theirs.items()}
    many = ordering.order_statement(halves, theirs, [], names)
    assert "approximate" in many
    assert "no order to compare" in ordering.order_statement({"a": 1, "z": 2}, order, [], names)


def test_equals_of_the_paper_are_no_order_either() -> None:
    """Swish 1e-3 and Pish 1e-3 have the same printed figures, so neither comes before the other."""
    theirs = {table2.name_of(*setting): found for setting, found in paper.TABLE2.items()}
    names = {name: name for name in theirs}
    figures = many(0, {"pish 0.001": 0.9, "swish 0.001": 0.7}, 0.001, 3)
    means = {name: float(np.mean(found)) for name, found in figures.items()}
    statement = ordering.order_statement(means, theirs, intervals.differences(figures), names)
    assert "in the paper: swish 0.001 = pish 0.001." in statement
    assert "pish 0.001 before swish 0.001 by 0.200" in statement
    assert "other way round" not in statement and "not the paper's" not in statement


def test_one_accuracy_is_no_claim() -> None:
    """The paper's Leaky ReLU and Pish have one V.Acc; their losses claim nothing of it."""
    found = [
        people.Comparison(a, b, 0.0, -0.1, 0.1, 0.01, 0.01, 2.0)
        for a, b in itertools.combinations(paper.TABLE1, 2)
    ]
    said = ordering.claims(table1.ORDER, found, paper.NAMES)
    assert "9 claims" in said and "9 stay open" in said and "more people" in said, said
    means = {name: 0.9 - 0.1 * place for place, name in enumerate(paper.TABLE1)}
    statement = ordering.order_statement(means, table1.ORDER, [], paper.NAMES)
    assert "in the paper: Leaky ReLU = Pish, Swish" in statement
    assert "probability 0.017 (exact)" in statement  # two of 120 orders


def test_claims_say_what_would_settle_them() -> None:
    """Runs, where a difference as large as was found is more than people leave open: it need not
    be known to a hundredth."""

    def settled(*of_people: float, by: float = 0.0, runs: int = 0) -> str:
        found = [
            people.Comparison("a", other, by, -0.1, 0.1, error, 0.01, 2.0, runs)
            for other, error in zip("bc", of_people, strict=True)
        ]
        return ordering.claims({"a": 3, "b": 2, "c": 1}, found, {name: name for name in "abc"})

    assert "2 stay open (some 5 runs of each setting would settle all of them if" in settled(
        0.001, 0.002
    )
    some = settled(0.001, 0.02)
    assert "settle 1 of them, a before b, if" in some and "for the other 1 faces of more" in some
    assert "more runs would settle none of them" in settled(0.02, 0.02)
    assert "some 2 runs of each setting would settle all of them" in settled(0.02, 0.02, by=0.05)
    assert "some 5 runs of each" in settled(0.02, 0.02, by=0.05, runs=4)


def test_runs_of_one_seed_are_compared_whatever_their_order() -> None:
    """A seed that is hard for all settings alike is no scatter of their differences."""
    folder = COMMITTED / "table1-ffpp-swaps-pixel"
    rows = results.read_table(folder / "runs.csv")
    found = results.paired(rows, *PAIRED)
    assert found[1] and results.paired(rows.sample(frac=1, random_state=1), *PAIRED) == found
    assert not results.paired(rows.iloc[:-1], *PAIRED)[1]
    text = (folder / "table1.md").read_text(encoding="utf-8")
    assert "Leaky ReLU before Mish by 0.040 [0.008, 0.072]. **So what the runs" in text
    assert "settle 1 of them, Leaky ReLU before Mish, if" in text
    assert "Leaky ReLU before Pish by 0.041 [0.004, 0.078] (in the paper they are eq" in text


def test_a_run_that_diverged_leaves_the_others_their_figures() -> None:
    figures = {"a": [0.9, 0.91], "b": [0.8, 0.81], "c": [0.5, math.nan]}
    between = intervals.differences(figures)
    assert [(d.one, d.other) for d in between] == [("a", "b")] and between[0].low > 0
    found = intervals.over_runs(figures)
    assert all(map(math.isnan, found["c"])) and not any(map(math.isnan, found["a"]))
    means = {name: interval.mean for name, interval in found.items()}
    names = {name: name.upper() for name in figures}
    statement = ordering.order_statement(means, {"a": 3, "b": 2, "c": 1}, between, names)
    assert "Left out, because a run of it diverged: C." in statement
    assert "**So the order here is the paper's.**" in statement


def test_differences_hold_together() -> None:
    """Tukey's: their half width is q(0.95; 5 settings, 10 degrees of freedom) = 4.654, from any
    table, times the pooled deviation over the root of the runs."""
    figures = many(0, dict.fromkeys("abcde", 0.9), 0.01, 3)
    deviation = np.mean([np.var(runs, ddof=1) for runs in figures.values()]) ** 0.5
    found = intervals.differences(figures)
    assert len(found) == 10
    for one, other, by, low, high in found:
        assert by == pytest.approx(np.mean(figures[one]) - np.mean(figures[other]))
        assert high - by == pytest.approx(by - low)
        assert high - by == pytest.approx(4.654 * deviation / 3**0.5, rel=1e-3)


def test_what_runs_have_in_common_is_no_scatter() -> None:
    """A second division of the faces that is easier for all; q(0.95; 5, 8) = 4.886."""
    figures = many(0, dict.fromkeys("abcde", 0.5), 0.01, 3)
    shifted = {
        name: [v + 0.2 * run for run, v in enumerate(runs)] for name, runs in figures.items()
    }
    table = np.array(list(figures.values()))
    residuals = table - table.mean(0) - table.mean(1)[:, None] + table.mean()
    for given in (figures, shifted):
        for _, _, by, low, high in intervals.differences(given, blocks=True):
            wanted = 4.886 * (np.sum(residuals**2) / 8 / 3) ** 0.5
            assert high - by == pytest.approx(by - low) == pytest.approx(wanted, rel=1e-3)
    assert intervals.differences(
        {"a": [1, 2], "b": [2, 3, 4]}, blocks=True
    ) == intervals.differences({"a": [1, 2], "b": [2, 3, 4]})


def test_intervals_over_runs() -> None:
    """Of one setting they are Student's; the scatter of several is pooled, those with one run
    included."""
    alone = intervals.over_runs({"a": [0.8, 0.9, 1.0]})["a"]
    assert alone == pytest.approx((0.9, 0.9 - 0.248414, 0.9 + 0.248414), abs=1e-5)
    assert f"{alone}" == "0.900 ± 0.248"
    assert f"{intervals.over_runs({'a': [0.5]})['a']}" == "0.500"
    assert f"{intervals.Interval(0.5, 0.25, 0.625)}" == "0.500 [0.250, 0.625]"
    pooled = intervals.over_runs({"a": [0.8, 0.9, 1.0], "b": [0.5, 0.5, 0.5], "c": [0.1]})
    scatter = (0.02 / 4) ** 0.5
    for setting, runs in (("a", 3), ("b", 3), ("c", 1)):
        half = pooled[setting].high - pooled[setting].mean
        assert half == pytest.approx(2.776445 * scatter / runs**0.5, rel=1e-5)


def test_people_are_drawn_whole() -> None:
    """Ten faces of each person, all right or all wrong: as uncertain as so many people."""
    people = 40
    right = " ".join(f"{10 * (i % 2)}/10" for i in range(people))
    rows = [
        {"activation": "pish", "learning_rate": "0.001", "right_of_each_person": right},
        {"activation": "swish", "learning_rate": "0.01", "right_of_each_person": right},
    ]
    draws = table3.accuracies(pd.DataFrame(rows))
    assert draws["pish", "0.001"].std() == pytest.approx(0.5 / people**0.5, rel=0.1)
    assert np.array_equal(*draws.values())  # the same people for all
