"""How well scores tell fake from real, and how sure one can be of that."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from sklearn.metrics import roc_auc_score

BINS = 10
RESAMPLES = 1000

Array = NDArray[np.float64]
Labels = NDArray[np.uint8]


def roc_auc(fake: Labels, score: NDArray[np.floating]) -> float:
    """The chance that a fake scores above a real face; ties count half.

    NaN where one label or a number is missing (a run that diverged); infinities are large numbers.
    """
    if np.isnan(score).any() or len(np.unique(fake)) < 2:
        return math.nan
    return float(roc_auc_score(fake, np.nan_to_num(score)))


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
    edges = np.arange(BINS + 1) / BINS
    means, _, place = stats.binned_statistic(p_fake, np.stack((p_fake, fake)), "mean", edges)
    counts = np.bincount(place - 1, minlength=BINS)
    return [
        (float(said), float(true), int(count))
        for said, true, count in zip(*means, counts, strict=True)
        if count
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
    return {
        "auc": roc_auc(fake, p_fake),
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
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return 0.0
    return float(stats.spearmanr(one, other).statistic)


def _mean(values: NDArray[np.bool_] | Array) -> float:
    return float(values.mean()) if len(values) else np.nan
