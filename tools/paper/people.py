"""Settings compared run by run and person by person: which differences more runs would not change.

A run of one setting and the run of another with the same seed saw the same faces in the same order,
changed alike, and were judged by the same people's faces. So their difference is what is looked at.
What other people would change is drawn: people anew, with replacement, the same for all settings.
What other runs would change is Student's, with the scatter of all settings pooled: two or three
runs drawn anew scatter too little, and do not say how badly so few know their scatter. The
intervals of all comparisons hold together (the largest studentised deviation of a draw: Westfall &
Young, "Resampling-based multiple testing", 1993).
"""

from __future__ import annotations

import bisect
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
    of_runs: float  # standard deviation of a difference between runs, pooled over settings
    reach: float  # half of the interval of very many runs, in standard errors
    runs: int = 0  # of each setting

    @property
    def effect(self) -> float:
        """In standard deviations between runs (Cohen's d of paired differences)."""
        return self.by / self.of_runs if self.of_runs else math.nan

    def runs_to_tell(self, margin: float = MARGIN) -> int | None:
        """How many runs of each setting would bring the interval's half down to about a margin;
        None: no number, since the people there are already leave more."""
        if not self.reach:  # not one face differs
            return 2
        room = (margin / self.reach) ** 2 - self.of_people**2
        return None if room <= 0 else max(math.ceil(self.of_runs**2 / room), 2)

    def runs_to_settle(self) -> int | None:
        """How many runs of each setting, more than there are, would leave about an interval without
        zero if the difference stays as it is, or else one of a margin to either side; None: as
        above."""
        needed = self.runs_to_tell(max(abs(self.by), MARGIN))
        return None if needed is None else max(needed, self.runs + 1)


def judged(rows: pd.DataFrame, columns: Sequence[str]) -> dict[str, Judged] | None:
    """Of each division of the faces what its runs say, settings in the order of `names`, runs in
    that of their seeds, whatever the order of the rows; None: the rows do not tell people apart, or
    not all settings have the same runs."""
    if "right_of_each_person" not in rows:
        return None
    found, settings = {}, results.grouped(rows, columns)
    for (division,), part in results.grouped(results.by_seed(rows), ("split",)).items():
        groups = results.grouped(part, columns)
        if groups.keys() != settings.keys():
            return None
        groups = {setting: groups[setting] for setting in settings}
        seeds = [group["seed"].tolist() for group in groups.values()]
        if any(one != seeds[0] for one in seeds):
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
    """Every two settings, or those of `pairs`. None where no division has two runs, or there
    is one setting alone.

    Args:
        settings: the names of the first axis of each division's `right`.
        divisions: as `judged` found them.
        pairs: which ones.
    """
    if all(one.right.shape[1] < 2 for one in divisions.values()):
        return []
    place = {name: number for number, name in enumerate(settings)}
    chosen = [(place[a], place[b]) for a, b in pairs or itertools.combinations(settings, 2)]
    if not chosen:
        return []
    ones, others = np.transpose(chosen)
    random = np.random.default_rng(0)
    accuracy, on_others = _accuracies(divisions, random)
    by = accuracy[ones] - accuracy[others]
    by_people = on_others[:, ones] - on_others[:, others] - by
    of_runs, freedom = scatter(divisions)
    number = sum(one.right.shape[1] for one in divisions.values())
    noise = random.normal(0, of_runs / math.sqrt(2 * number), (RESAMPLES, len(settings)))
    apart = np.abs(by_people + noise[:, ones] - noise[:, others])
    of_people = by_people.std(0)

    def error(of_runs: float | Array) -> Array:
        found: Array = np.hypot(of_people, of_runs / math.sqrt(number))
        return np.maximum(found, np.finfo(float).tiny)

    # what the few runs of a draw would have taken for their scatter
    said = of_runs * np.sqrt(random.chisquare(freedom, (RESAMPLES, 1)) / freedom)
    reach, of_many = (
        float(np.quantile((apart / error(of)).max(1), CONFIDENCE)) for of in (said, of_runs)
    )
    half = reach * error(of_runs)
    return [
        Comparison(
            settings[a], settings[b], float(by[i]), float(by[i] - half[i]), float(by[i] + half[i]),
            float(of_people[i]), of_runs, of_many, number,
        )
        for i, (a, b) in enumerate(chosen)
    ]  # fmt: skip


def scatter(divisions: Mapping[str, Judged]) -> tuple[float, int]:
    """Standard deviation of the difference of two settings between runs of one seed, pooled over
    settings and divisions, and its degrees of freedom: what is left of accuracies when setting and
    seed are taken out."""
    squares, freedom = 0.0, 0
    for one in divisions.values():
        accuracy = one.right.sum(2) / one.faces.sum()
        left = accuracy - accuracy.mean(1, keepdims=True) - accuracy.mean(0) + accuracy.mean()
        squares += float((left**2).sum())
        freedom += (accuracy.shape[0] - 1) * (accuracy.shape[1] - 1)
    return math.sqrt(2 * squares / max(freedom, 1)), freedom


def _accuracies(
    divisions: Mapping[str, Judged], random: np.random.Generator
) -> tuple[Array, Array]:
    """The mean accuracy of every setting over all runs, divisions by their runs, and the same on
    people drawn anew: (settings,), (RESAMPLES, settings)."""
    weight = np.array([one.right.shape[1] for one in divisions.values()], float)
    found = []
    for one in divisions.values():
        _, runs, count = one.right.shape
        anew = random.multinomial(count, np.full(count, 1 / count), RESAMPLES)
        times = np.vstack([np.ones((1, count), np.int64), anew])
        found.append((times @ one.right.sum(1).T) / (runs * times @ one.faces)[:, None])
    mean: Array = np.tensordot(weight / weight.sum(), np.stack(found), 1)
    return mean[0], mean[1:]


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

    def is_found(runs: int) -> bool:
        freedom, away = runs - 1, margin / scatter * math.sqrt(runs)
        least = stats.t.ppf(1 - 0.05 / comparisons / 2, freedom)
        found = stats.nct.sf(least, freedom, away)
        if math.isnan(found):  # far in the tail: nearly normal there
            found = stats.norm.sf(least - away)
        return bool(found >= power)

    return 2 + bisect.bisect_left(range(2, 100_000), True, key=is_found)


def likely(scatter: float, freedom: int) -> tuple[float, float]:
    """The 95 % interval of a standard deviation of so many degrees of freedom, of normal values."""
    tails = (1 + CONFIDENCE) / 2, (1 - CONFIDENCE) / 2
    low, high = (scatter * math.sqrt(freedom / stats.chi2.ppf(tail, freedom)) for tail in tails)
    return low, high
