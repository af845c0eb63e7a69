"""Settings compared by runs and people: intervals that hold, and what more runs would change."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

pd = pytest.importorskip("pandas")

from tools.paper import people  # noqa: E402

FACES = np.full(60, 8)


def made(seed: int, means: dict[str, float], runs: int, of_person: float, of_run: float):
    """A table of runs whose people and runs differ."""
    rng = np.random.default_rng(seed)
    ease = {name: rng.normal(0, of_person, len(FACES)) for name in means}
    rows = []
    for run in range(runs):
        for name, mean in means.items():
            p = np.clip(mean + ease[name] + rng.normal(0, of_run), 0.01, 0.99)
            right = rng.binomial(FACES, p)
            cell = " ".join(f"{a}/{b}" for a, b in zip(right, FACES, strict=True))
            rows.append(
                {"activation": name, "split": "1", "seed": str(run), "right_of_each_person": cell}
            )
    return pd.DataFrame(rows)


def compared(table) -> list[people.Comparison]:
    found = people.judged(table, ("activation",))
    assert found is not None
    return people.compare(people.names(table, ("activation",)), found)


def test_differences_are_those_of_the_accuracies() -> None:
    table = made(0, {"a": 0.8, "b": 0.7, "c": 0.7}, 3, 0.05, 0.01)
    found = compared(table)
    assert [(c.one, c.other) for c in found] == [("a", "b"), ("a", "c"), ("b", "c")]

    def accuracy(name: str) -> float:
        cells = " ".join(table[table["activation"] == name]["right_of_each_person"]).split()
        return sum(int(c.split("/")[0]) for c in cells) / sum(int(c.split("/")[1]) for c in cells)

    for c in found:
        assert c.by == pytest.approx(accuracy(c.one) - accuracy(c.other))
        assert c.low < c.by < c.high
    assert found[0].low > 0 and found[1].low > 0 and found[2].low < 0 < found[2].high


def test_intervals_hold_together() -> None:
    """Of equal settings, all intervals hold zero in about 95 of 100 tables: 3 comparisons each."""
    wrong = sum(
        any(c.low > 0 or c.high < 0 for c in compared(table))
        for table in (made(seed, dict.fromkeys("abc", 0.7), 6, 0.0, 0.01) for seed in range(40))
    )
    assert wrong <= 6  # 2 expected


def test_intervals_of_two_runs_hold_together() -> None:
    """Two runs say little of how runs scatter, and the intervals know: drawn anew with replacement
    they called a third of such tables different."""
    tables = (made(seed, dict.fromkeys("abcde", 0.7), 2, 0.0, 0.03) for seed in range(60))
    wrong = sum(any(c.low > 0 or c.high < 0 for c in compared(table)) for table in tables)
    assert wrong <= 8  # 3 expected


def test_scatter_is_that_of_the_settings_together() -> None:
    """Of few runs one difference scatters by chance alone by next to nothing."""
    found = people.judged(made(3, dict.fromkeys("abcde", 0.7), 3, 0.0, 0.03), ("activation",))
    assert found is not None
    scatter, freedom = people.scatter(found)
    (one,) = found.values()
    accuracy = one.right.sum(2) / one.faces.sum()
    each = [np.var(a - b, ddof=1) for a, b in itertools.combinations(accuracy, 2)]
    assert scatter == pytest.approx(math.sqrt(np.mean(each))) and freedom == 8
    assert {c.of_runs for c in people.compare("abcde", found)} == {scatter}


def test_more_runs_help_only_against_the_scatter_of_runs() -> None:
    of_runs = compared(made(1, {"a": 0.7, "b": 0.7}, 8, 0.0, 0.1))[0]
    of_people = compared(made(1, {"a": 0.7, "b": 0.7}, 8, 0.3, 0.0))[0]
    assert of_runs.runs_to_tell(0.06) is not None
    assert of_people.runs_to_tell(0.005) is None
    assert of_people.of_people > 1.5 * of_runs.of_people
    assert of_runs.of_runs > 2 * of_people.of_runs
    assert of_runs.effect == pytest.approx(of_runs.by / of_runs.of_runs)


def test_without_people_or_paired_runs_there_is_nothing() -> None:
    table = made(2, {"a": 0.8, "b": 0.7}, 2, 0.05, 0.01)
    assert people.judged(table.drop(columns="right_of_each_person"), ("activation",)) is None
    assert people.judged(table.iloc[:-1], ("activation",)) is None
    single = table[table["seed"] == "0"]
    found = people.judged(single, ("activation",))
    assert found is not None and people.compare(["a", "b"], found) == []


def test_rows_may_stand_in_any_order() -> None:
    """As several processes add them: settings and seeds are found by name, in each division."""
    first, second = (made(seed, {"a": 0.8, "b": 0.6, "c": 0.7}, 3, 0.0, 0.02) for seed in (5, 6))
    table = pd.concat([first, second.assign(split="2").iloc[::-1]], ignore_index=True)

    def found(rows) -> dict[frozenset[str], float]:
        return {frozenset((c.one, c.other)): round(abs(c.by), 9) for c in compared(rows)}

    plain = pd.concat([first, second.assign(split="2")], ignore_index=True)
    assert found(table) == found(plain) == found(table.sample(frac=1, random_state=0))


def test_one_setting_is_compared_with_nothing() -> None:
    assert compared(made(2, {"a": 0.8}, 3, 0.05, 0.01)) == []


def test_runs_needed() -> None:
    """By the normal approximation: (1.96 + .84)^2 scatter^2 / margin^2, and a little more."""
    assert people.runs_needed(0.0, 1) == 2
    wanted = (1.96 + 0.8416) ** 2 * (0.02 / 0.01) ** 2
    assert math.ceil(wanted) <= people.runs_needed(0.02, 1) <= math.ceil(wanted) + 3
    assert people.runs_needed(0.02, 10) > people.runs_needed(0.02, 1)
    simulated = np.random.default_rng(0).normal(0.01, 0.02, (4000, people.runs_needed(0.02, 1)))
    t = simulated.mean(1) / (simulated.std(1, ddof=1) / math.sqrt(simulated.shape[1]))
    from scipy import stats

    power = (t > stats.t.ppf(0.975, simulated.shape[1] - 1)).mean()
    assert power == pytest.approx(people.POWER, abs=0.03)


def test_likely_scatter() -> None:
    """Three runs leave a standard deviation between half and six times as much."""
    low, high = people.likely(1.0, 2)
    assert (low, high) == pytest.approx((0.521, 6.285), abs=1e-3)
    assert people.likely(1.0, 1000) == pytest.approx((0.958, 1.046), abs=2e-3)
