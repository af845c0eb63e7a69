"""How well scores tell fake from real, and how sure one can be of that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

BINS = 10
RESAMPLES = 1000

Array = NDArray[np.float64]
Labels = NDArray[np.uint8]


def area_under_curve(fake: NDArray[np.uint8], score: NDArray[np.floating]) -> float:
    """The chance that a fake scores above a real face; ties count half. Needs both labels."""
    ranks = rankdata(score)
    fakes = int((fake == 1).sum())
    above = float(ranks[fake == 1].sum()) - fakes * (fakes + 1) / 2
    return float(above / (fakes * (len(fake) - fakes)))


def above_twin(score: Array, fake: Labels, pair: NDArray[np.int64]) -> Array:
    """(N,): of each fake that has a real twin whether it scores above it, 1 or 0; else NaN."""
    real = {p: s for p, s, kind in zip(pair, score, fake, strict=True) if kind == 0 and p >= 0}
    found = [
        float(s > real[p]) if kind == 1 and p in real else np.nan
        for p, s, kind in zip(pair, score, fake, strict=True)
    ]
    return np.array(found, np.float64)


def reliability(p_fake: Array, fake: Labels) -> list[tuple[float, float, int]]:
    """Of BINS equally wide bins those with any face: mean p_fake, share of fakes, faces."""
    bins = np.minimum((p_fake * BINS).astype(int), BINS - 1)
    return [
        (float(p_fake[bins == b].mean()), float(fake[bins == b].mean()), int((bins == b).sum()))
        for b in np.unique(bins)
    ]


def calibration_error(p_fake: Array, fake: Labels) -> float:
    """Expected calibration error (Naeini et al. 2015)."""
    gaps = [count * abs(said - true) for said, true, count in reliability(p_fake, fake)]
    return sum(gaps) / len(fake)


def judged(
    p_fake: Array, fake: Labels, pair: NDArray[np.int64], thresholds: Mapping[str, float]
) -> dict[str, float]:
    """What there is to say of calibrated probabilities (N,); NaN where there is nothing."""
    decided = (p_fake <= thresholds["real"]) | (p_fake >= thresholds["fake"])
    right = (p_fake >= 0.5) == (fake == 1)
    twins = above_twin(p_fake, fake, pair)
    both = 0 < int((fake == 1).sum()) < len(fake)
    return {
        "auc": area_under_curve(fake, p_fake) if both else np.nan,
        "accuracy": float(right.mean()),
        "fake_above_its_real_twin": _mean(twins[~np.isnan(twins)]),
        "expected_calibration_error": calibration_error(p_fake, fake),
        "decided": float(decided.mean()),
        "right_of_decided": _mean(right[decided]),
    }


def intervals(
    p_fake: Array,
    fake: Labels,
    pair: NDArray[np.int64],
    thresholds: Mapping[str, float],
    people: Sequence[str],
) -> dict[str, tuple[float, float]]:
    """95 % intervals of `judged`, by drawing whole people with replacement."""
    random = np.random.default_rng(0)
    person = np.unique(np.asarray(people), return_inverse=True)[1]
    members = [np.flatnonzero(person == i) for i in range(person.max() + 1)]
    draws = []
    for _ in range(RESAMPLES):
        # A person who is drawn twice brings other pairs the second time.
        drawn = random.choice(len(members), len(members))
        chosen = np.concatenate([members[i] for i in drawn])
        copy = np.repeat(np.arange(len(drawn)), [len(members[i]) for i in drawn])
        own = np.where(pair[chosen] < 0, -1, copy * (pair.max() + 1) + pair[chosen])
        draws.append(judged(p_fake[chosen], fake[chosen], own, thresholds))
    found = {}
    for name in draws[0]:
        values = np.array([draw[name] for draw in draws])
        values = values[~np.isnan(values)]
        low, high = np.percentile(values, [2.5, 97.5]) if len(values) else (np.nan, np.nan)
        found[name] = float(low), float(high)
    return found


def rank_correlation(one: Array, other: Array) -> float:
    """Spearman's; 0 where one of them is the same everywhere."""
    ranks = rankdata(one), rankdata(other)
    if np.ptp(ranks[0]) == 0 or np.ptp(ranks[1]) == 0:
        return 0.0
    return float(np.corrcoef(*ranks)[0, 1])


def _mean(values: NDArray[np.bool_] | Array) -> float:
    return float(values.mean()) if len(values) else np.nan
