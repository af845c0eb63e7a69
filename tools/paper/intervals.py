"""How sure a figure is: intervals of means over runs, and of the differences of settings."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

CONFIDENCE = 0.95
RESAMPLES = 2000

Array = NDArray[np.float64]


class Interval(NamedTuple):
    """A mean and its 95 % interval, which is NaN where there is none."""

    mean: float
    low: float
    high: float

    def __format__(self, form: str) -> str:
        """`0.923 ± 0.012`, or `0.923 [0.911, 0.930]` where it is not symmetric."""
        form = form or ".3f"
        mean = format(self.mean, form)
        if math.isnan(self.low):
            return mean
        above, below = (format(d, form) for d in (self.high - self.mean, self.mean - self.low))
        if above == below:
            return f"{mean} ± {above}"
        return f"{mean} [{format(self.low, form)}, {format(self.high, form)}]"


def over_runs(runs: Mapping[Any, Sequence[float]]) -> dict[Any, Interval]:
    """Of every setting the mean over its runs, by Student's t with the scatter that all settings
    have in common: two or three runs alone tell little of theirs.

    What varies is the run, the faces stay the same. Without a setting that was run twice there are
    no intervals; one of which a run diverged has no mean and adds nothing to the scatter.
    """
    finite = [values for values in runs.values() if np.isfinite(values).all()]
    freedom = sum(len(values) - 1 for values in finite)
    found = {}
    for setting, values in runs.items():
        mean = statistics.fmean(values)
        half = math.nan
        if freedom and math.isfinite(mean):
            scatter = math.sqrt(sum(len(v) * float(np.var(v)) for v in finite) / freedom)
            half = stats.t.ppf((1 + CONFIDENCE) / 2, freedom) * scatter / math.sqrt(len(values))
        found[setting] = Interval(mean, mean - half, mean + half)
    return found


def interval(row: Mapping[str, Any], figure: str) -> Interval:
    """What a row of a summary says of a figure."""
    return Interval(row[figure], row[f"{figure}_low"], row[f"{figure}_high"])


def percentiles(mean: float, draws: Array) -> Interval:
    """The 95 % interval of a figure that was drawn (RESAMPLES,) times."""
    low, high = np.quantile(draws, ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2))
    return Interval(mean, float(low), float(high))


def drawn(count: int) -> NDArray[np.int64]:
    """(RESAMPLES, count): how often each of `count` people is drawn, with replacement."""
    return np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), RESAMPLES)


class Difference(NamedTuple):
    """How far `one` lies above `other`, with an interval. All of them together hold at 95 %."""

    one: str
    other: str
    by: float
    low: float
    high: float


def differences(figures: Mapping[str, Sequence[float]], blocks: bool = False) -> list[Difference]:
    """Of every two settings, of which each has its figure of every run: Tukey's, who pools their
    scatter. None without two runs each; settings of which a run diverged are left out.

    Args:
        figures: of each setting its runs.
        blocks: the first runs of all settings have something in common (a division of the faces),
            the second ones too, and so on: what that moves is not scatter. It counts where all
            settings have the same number of runs.
    """
    figures = {name: runs for name, runs in figures.items() if np.isfinite(runs).all()}
    counts = {len(runs) for runs in figures.values()}
    if len(figures) < 2 or min(counts) < 2:
        return []
    freedom = sum(len(runs) - 1 for runs in figures.values())
    residuals = [np.subtract(runs, np.mean(runs)) for runs in figures.values()]
    if blocks and len(counts) == 1:
        residuals = list(np.array(residuals) - np.mean(residuals, 0))
        freedom -= min(counts) - 1
    scatter = math.sqrt(sum(float((r**2).sum()) for r in residuals) / freedom)
    reach = stats.studentized_range.ppf(CONFIDENCE, len(figures), freedom) * scatter / math.sqrt(2)
    found = []
    for one, other in itertools.combinations(figures, 2):
        by = statistics.fmean(figures[one]) - statistics.fmean(figures[other])
        half = reach * math.sqrt(1 / len(figures[one]) + 1 / len(figures[other]))
        found.append(Difference(one, other, by, by - half, by + half))
    return found
