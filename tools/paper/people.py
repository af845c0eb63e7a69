"""Settings compared run by run and person by person: which differences more runs would not change.

A run of one setting and the run of another with the same seed saw the same faces in the same order,
changed alike, and were judged by the same people's faces. So their difference is what is looked at,
and drawn anew: runs and people at once, with replacement, the same for all settings. The intervals
of all comparisons hold together (the largest studentised deviation of a draw: Westfall & Young,
"Resampling-based multiple testing", 1993).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from tools.paper import results
from tools.paper.intervals import CONFIDENCE, RESAMPLES, Array

#: What a difference of two settings should be told apart from, and how surely.
MARGIN, POWER = 0.01, 0.8


class Judged(NamedTuple):
    """Runs on one division of the faces: which of a person's faces are right."""

    right: NDArray[np.int64]  # (settings, runs, people)
    faces: NDArray[np.int64]  # (people,)


class Comparison(NamedTuple):
    """How far `one` lies above `other` in V.Acc; intervals of all together hold at 95 %."""

    one: str
    other: str
    by: float
    low: float
    high: float
    of_people: float  # standard error by drawing people alone
    of_runs: float  # standard deviation of the difference between runs
    reach: float  # interval's half, in standard errors

    @property
    def effect(self) -> float:
        """In standard deviations between runs (Cohen's d of paired differences)."""
        return self.by / self.of_runs if self.of_runs else math.nan

    def runs_to_tell(self, margin: float = MARGIN) -> int | None:
        """How many runs of each setting would bring the interval's half down to a margin; None:
        no number, since the people there are already leave more."""
        if not self.reach:  # not one face differs
            return 2
        room = (margin / self.reach) ** 2 - self.of_people**2
        return None if room <= 0 else max(math.ceil(self.of_runs**2 / room), 2)


def judged(rows: pd.DataFrame, columns: Sequence[str]) -> dict[str, Judged] | None:
    """Of each division of the faces what its runs say, settings in the order of `names`; None: the
    rows do not tell people apart, or not all settings have the same runs."""
    if "right_of_each_person" not in rows:
        return None
    found = {}
    for (division,), part in results.grouped(rows, ("split",)).items():
        groups = results.grouped(part, columns)
        seeds = [group["seed"].tolist() for group in groups.values()]
        if len(groups) != len(results.grouped(rows, columns)) or any(s != seeds[0] for s in seeds):
            return None
        cells = [
            [[person.split("/") for person in of_run.split()]
             for of_run in group["right_of_each_person"]]
            for group in groups.values()
        ]  # fmt: skip
        right, faces = np.moveaxis(np.array(cells, np.int64), -1, 0)
        found[division] = Judged(right, faces[0, 0])
    return found


def names(rows: pd.DataFrame, columns: Sequence[str]) -> list[str]:
    """The settings of `judged`, in its order."""
    return [" ".join(setting) for setting in results.grouped(rows, columns)]


def compare(
    settings: Sequence[str], divisions: Mapping[str, Judged], pairs: Sequence[tuple[str, str]] = ()
) -> list[Comparison]:
    """Every two settings, or those of `pairs`. None where no division has two runs.

    Args:
        settings: the names of the first axis of each division's `right`.
        divisions: as `judged` found them.
        pairs: which ones.
    """
    if all(one.right.shape[1] < 2 for one in divisions.values()):
        return []
    place = {name: number for number, name in enumerate(settings)}
    chosen = [(place[a], place[b]) for a, b in pairs or itertools.combinations(settings, 2)]
    both = _apart(divisions, chosen, runs=True, people=True)
    only_people = _apart(divisions, chosen, runs=False, people=True).std(0)
    by = _differences([(d.right, d.faces) for d in divisions.values()], chosen)
    error = both.std(0)
    error[error == 0] = np.finfo(float).tiny
    reach = float(np.quantile((np.abs(both - by) / error).max(1), CONFIDENCE))
    between = _scatter(divisions, chosen)
    return [
        Comparison(
            settings[a], settings[b], float(by[i]), float(by[i] - reach * error[i]),
            float(by[i] + reach * error[i]), float(only_people[i]), float(between[i]), reach,
        )
        for i, (a, b) in enumerate(chosen)
    ]  # fmt: skip


def _apart(
    divisions: Mapping[str, Judged], chosen: Sequence[tuple[int, int]], runs: bool, people: bool
) -> Array:
    """(RESAMPLES, pairs): the differences, of runs and people drawn anew."""
    random = np.random.default_rng(0)
    found = np.empty((RESAMPLES, len(chosen)))
    for draw in range(RESAMPLES):
        parts = []
        for one in divisions.values():
            _, run_count, count = one.right.shape
            of_runs = random.integers(run_count, size=run_count) if runs else np.arange(run_count)
            times = np.bincount(random.integers(count, size=count), minlength=count)
            times = times if people else np.ones(count, int)
            parts.append((one.right[:, of_runs] * times, one.faces * times))
        found[draw] = _differences(parts, chosen)
    return found


def _differences(
    parts: Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]],
    chosen: Sequence[tuple[int, int]],
) -> Array:
    """Of the mean accuracy over all runs, divisions by their runs."""
    weight = np.array([right.shape[1] for right, _ in parts], float)
    accuracy = np.stack([right.sum(2).mean(1) / faces.sum() for right, faces in parts])
    mean = weight @ accuracy / weight.sum()
    return np.array([mean[a] - mean[b] for a, b in chosen])


def _scatter(divisions: Mapping[str, Judged], chosen: Sequence[tuple[int, int]]) -> Array:
    """Standard deviation of each difference between runs of one division."""
    squares, freedom = np.zeros(len(chosen)), 0
    for one in divisions.values():
        accuracy = one.right.sum(2) / one.faces.sum()
        between = np.array([accuracy[a] - accuracy[b] for a, b in chosen])
        squares += ((between - between.mean(1, keepdims=True)) ** 2).sum(1)
        freedom += between.shape[1] - 1
    scatter: Array = np.sqrt(squares / max(freedom, 1))
    return scatter


def runs_needed(
    scatter: float, comparisons: int, margin: float = MARGIN, power: float = POWER
) -> int:
    """How many paired runs of each setting find a difference of `margin` with this power, by
    Student's paired t at 5 % over so many comparisons (Bonferroni).

    Args:
        scatter: standard deviation of the difference between runs; of independent runs, sqrt(2)
            times that of a setting.
        comparisons: how many are made.
        margin: the true difference.
        power: how often it should be found.
    """
    if scatter == 0:
        return 2
    for runs in range(2, 100_000):
        freedom, away = runs - 1, margin / scatter * math.sqrt(runs)
        least = stats.t.ppf(1 - 0.05 / comparisons / 2, freedom)
        found = stats.nct.sf(least, freedom, away)
        if math.isnan(found):  # far in the tail: nearly normal there
            found = stats.norm.sf(least - away)
        if found >= power:
            return runs
    return 100_000
