"""From logits to probabilities that hold, and to the thresholds from which on a word is said.

All of it is fitted on val. Faces of several sources count so that each source weighs alike among
the real ones, and each among the fakes: there are as many fakes as real faces then, and a rare
source is not outvoted. Sources that a network may have learned from can be left out.
Platt scaling: Platt, "Probabilistic outputs for support vector machines", 1999.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import optimize
from sklearn.linear_model import LogisticRegression

from tools.train.faces import Faces

FULL = 107  # pixels of a square from which on a face looks no more fake; the least in training
SMALL = (80, 64, 50)  # of those that are judged nevertheless
#: What `thresholds` promises of val: of those called fake so many are, of those called real so many
#: are, in every source; and so few of the real faces of a source without fakes are called fake.
RIGHT, FALSE_ALARMS = 0.935, 0.0075
_STEPS = np.round(np.arange(0.70, 0.991, 0.005), 3)

Array = NDArray[np.float64]


class Fit(NamedTuple):
    """logit = bias + sum of weights * logits."""

    weights: tuple[float, ...]
    bias: float

    def logit(self, logits: Array) -> Array:
        """Of logits (M, N) of M networks: (N,)."""
        return self.bias + np.asarray(self.weights) @ logits


def importance(split: Faces, leave_out: Collection[str] = ()) -> Array:
    """(N,): how much each face counts; the mean is 1, those left out count 0."""
    source = np.array(split.source or ("",) * len(split))
    counts = np.zeros(len(split))
    for label in (0, 1):
        groups = [
            rows
            for name in sorted(set(source) - set(leave_out))
            if (rows := np.flatnonzero((source == name) & (split.fake == label))).size
        ]
        for rows in groups:
            counts[rows] = len(split) / (2 * len(groups) * rows.size)
    return counts


def platt(logits: Array, fake: NDArray[np.uint8], count: Array) -> Fit:
    """Of logits (M, N): M = 1 is Platt scaling, more are combined. No weight is negative."""
    used = count > 0
    fit = LogisticRegression(C=1e6).fit(logits[:, used].T, fake[used], sample_weight=count[used])
    weights = tuple(float(weight) for weight in fit.coef_[0])
    if len(weights) > 1 and min(weights) < 0:  # a network that only disturbs
        best = int(np.argmax(weights))
        alone = platt(logits[best : best + 1], fake, count)
        return Fit(tuple(alone.weights[0] * (i == best) for i in range(len(weights))), alone.bias)
    if weights[0] < 0:  # the only one, and worse than none: what is left is the share of fakes
        share = float(count[fake == 1].sum() / count.sum())
        return Fit((0.0,), math.log(share / (1 - share)))
    return Fit(weights, float(fit.intercept_[0]))


def small_faces(logits: Iterable[Array], fake: NDArray[np.uint8], count: Array) -> dict[str, float]:
    """How much more fake small faces look (minimeso/detect/size_correction.py): the shift with the
    least cross-entropy of the calibrated logits (N,) at `SMALL` pixels, all alike."""
    grows = [math.log(FULL / side) ** 2 for side in SMALL]
    of_sides = list(zip(logits, grows, strict=True))
    sign = np.where(fake == 1, 1.0, -1.0)

    def loss(shift: float) -> float:
        return float(
            sum(
                (count * np.logaddexp(0, -sign * (x - shift * grown))).mean()
                for x, grown in of_sides
            )
        )

    found = optimize.minimize_scalar(loss, bounds=(0, 10), method="bounded")
    return {"below": float(FULL), "shift": round(float(found.x), 3)}


def thresholds(p_fake: Array, split: Faces, leave_out: Collection[str] = ()) -> dict[str, float]:
    """The nearest to one half that keep the promises above in every source of a split."""
    source = np.array(split.source or ("",) * len(split))
    sources = [source == name for name in sorted(set(source) - set(leave_out))]
    fake = split.fake == 1

    def kept(said: NDArray[np.bool_], true: NDArray[np.bool_]) -> bool:
        for theirs in sources:
            right, wrong = (theirs & true, theirs & ~true)
            if not right.any() or not wrong.any():
                continue
            # as many fakes as real faces, however many there are
            hits, errors = said[right].mean(), said[wrong].mean()
            if hits + errors > 0 and hits / (hits + errors) < RIGHT:
                return False
        return True

    def alarms(said: NDArray[np.bool_]) -> float:
        only_real = [said[theirs].mean() for theirs in sources if not fake[theirs].any()]
        return max(only_real, default=0.0)

    called_fake = [
        step
        for step in _STEPS
        if kept(p_fake >= step, fake) and alarms(p_fake >= step) <= FALSE_ALARMS
    ]
    called_real = [step for step in _STEPS if kept(p_fake <= 1 - step, ~fake)]
    return {
        "real": round(float(1 - min(called_real, default=0.99)), 3),
        "fake": float(min(called_fake, default=0.99)),
    }
