"""Statistics: from the scores of a face's frames to one probability, its interval and a word.

Model.  The calibrated probabilities p_i of a track are taken as logits x_i = log(p_i / (1 - p_i)),
clipped to +-7 so that a probability of 0 or 1 is one vote and not all of them, and these as a
person's own value mu plus noise that neighbouring frames share::

    x_i = mu + e_i,   var(e_i) = s^2,   corr(e_i, e_j) = r(|i - j|)

p_fake is sigmoid(m), m = mean(x).  Its 95 % interval is sigmoid(m -+ t * s / sqrt(n_eff)), where

- n_eff = n / tau, 1 <= n_eff <= n: n frames are worth so many independent ones,
  tau = 1 + 2 * sum over k of (1 - k / n) * r(k).  The sum of the autocorrelations that the track
  itself shows is cut by Geyer's initial monotone positive sequence (C. J. Geyer, "Practical Markov
  Chain Monte Carlo", Statistical Science 7, 1992, section 3.3).  A short track cannot show how long
  it remembers, so of this tau and that of r(k) = exp(-seconds / ``MEMORY_SECONDS``) the geometric
  mean is taken, weighted n / tau - 1 to ``MEMORY_WORTH``.  A face that does not move (``still``) is
  worth no more than the times that it looked otherwise: frames of a photograph are one look;
- s^2 = (nu_0 * s_0^2 + (n_eff - 1) * v) / (nu_0 + n_eff - 1): the variance v of the logits, itself
  corrected for what the mean of correlated values takes away, shrunk to a scaled inverse chi-square
  prior (A. Gelman et al., "Bayesian Data Analysis", 3rd ed., section 2.6), so that a track of one
  frame has a wide interval and not none;
- t is the 97.5 % quantile of Student's t with nu_0 + n_eff - 1 degrees of freedom.

The interval says how well this clip shows the model's opinion of this face; that the model may be
wrong about a face is not in it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..engine import exact
from ..engine.exact import dot, exp, exps, log, sigmoid
from ..notes import Note
from .verdict import Interval, Moment, Word, doubts_of_face, judge

#: Logits beyond are cut: p = 0.0009 and 0.9991, further than any calibration can vouch for.
MOST_LOGIT = 7.0
#: The prior's standard deviation s_0 of a person's logits from frame to frame, where a model does
#: not say its own (``rule.spread_of``), and nu_0, how many frames it counts for.  On data/videos
#: the tracks of MesoInception-4 with Mish have 0.52 to 1.35, the root of the mean square is 0.89.
SPREAD, SPREAD_WORTH = 0.9, 4.0
#: Seconds after which the noise of a frame is forgotten to 1 / e, and how many independent frames
#: this belief counts for.  On data/videos 0.2 to 2.2 s, mostly 0.2 to 0.8; longer than most,
#: because an interval that is too narrow does more harm than one that is too wide.
MEMORY_SECONDS, MEMORY_WORTH = 1.0, 4.0
_NORMAL = 1.959963984540054
_SQUARE = _NORMAL * _NORMAL
#: Of 26.7.5, from the constant to the fourth power.
_STUDENT = (
    _NORMAL,
    (_SQUARE + 1) * _NORMAL / 4,
    ((5 * _SQUARE + 16) * _SQUARE + 3) * _NORMAL / 96,
    (((3 * _SQUARE + 19) * _SQUARE + 17) * _SQUARE - 15) * _NORMAL / 384,
    ((((79 * _SQUARE + 776) * _SQUARE + 1482) * _SQUARE - 1920) * _SQUARE - 945) * _NORMAL / 92160,
)
#: Seconds that it takes to call a person fake.  Fewer show one pose in one light, and the model
#: errs on all frames alike: on data/videos the real face that it most surely holds for a fake is
#: seen for one second.
FAKE_SECONDS = 1.5
#: The covariance depends on what the mean takes from it and this on the covariance: rounds.
_ROUNDS = 4
#: A person is judged in so many frames and seen for so many seconds, or is left out.
LEAST_FRAMES, LEAST_SECONDS = 3, 0.4

Array = npt.NDArray[np.float64]


class Summary(NamedTuple):
    """One track in numbers.

    Attributes:
        p_fake: sigmoid of the mean logit.
        interval: 95 % interval of ``p_fake``.
        effective: how many independent frames the track is worth, 1 to its number of frames.
    """

    p_fake: float
    interval: Interval
    effective: float


def summarize(
    times: Sequence[float],
    p_fake: Sequence[float],
    spread: float = SPREAD,
    by: float = 0.0,
    most: float = math.inf,
) -> Summary:
    """All frames of a track as one probability.

    Args:
        times: seconds, one a frame; only their usual distance matters.
        p_fake: calibrated probabilities, one a frame, at least one.
        spread: s_0 of the prior.
        by: what is added to every logit, once cut, see ``prior``.
        most: independent frames that the track is worth at most, see ``views``.

    Raises:
        ValueError: there are no frames, or not as many times.
    """
    if not len(p_fake) or len(times) != len(p_fake):
        raise ValueError(f"{len(times)} times and {len(p_fake)} probabilities make no track")
    x = logits(p_fake)
    count = len(x)
    mean = math.fsum(x) / count
    effective = min(effective_frames(x, _usual_step(times)), most)
    freedom = SPREAD_WORTH + effective - 1
    shown = dot(x - mean, x - mean)  # its mean is s^2 * n * (1 - 1 / n_eff)
    variance = (SPREAD_WORTH * spread * spread + shown * effective / count) / freedom
    half = student_quantile(freedom) * math.sqrt(variance / effective)
    low, centre, high = (sigmoid(mean + by + v) for v in (-half, 0.0, half))
    return Summary(centre, (low, high), effective)


def views(frames: Iterable[Moment]) -> int:
    """How many frames show a face otherwise than before, one at least."""
    return max(sum(moment.moved for moment in frames), 1)


def student_quantile(freedom: float) -> float:
    """97.5 % quantile of Student's t for 4 degrees of freedom or more, to 1/3000 of it.

    Abramowitz & Stegun, "Handbook of Mathematical Functions", 26.7.5: an expansion in 1 / freedom
    about the normal quantile.  The import of SciPy's takes 0.3 s of a core and 23 MB, longer than
    to judge a picture.
    """
    quantile = 0.0
    for coefficient in reversed(_STUDENT):
        quantile = quantile / freedom + coefficient
    return quantile


def logits(p_fake: Sequence[float]) -> Array:
    """log(p / (1 - p)), cut at +-``MOST_LOGIT``."""
    least = sigmoid(-MOST_LOGIT)
    return exact.logits(np.clip(np.asarray(p_fake, np.float64), least, 1 - least))


def effective_frames(x: Array, step: float) -> float:
    """How many independent values the mean of ``x`` is worth, 1 to ``len(x)``.

    Args:
        x: (n,) values, evenly spread over time.
        step: seconds from one to the next.
    """
    count = len(x)
    if count == 1:
        return 1.0
    lags = np.arange(1.0, count)
    believed = 1 + 2 * dot(1 - lags / count, exps(-lags * (step / MEMORY_SECONDS)))
    covariance = _Autocovariance(x)
    tau = believed
    for _ in range(_ROUNDS):
        shown = _shown_tau(covariance, tau)
        worth = max(count / max(shown, believed) - 1, 0.0)
        share = worth / (MEMORY_WORTH + worth)
        tau = min(exp((1 - share) * log(believed) + share * log(shown)), float(count))
    return count / tau


class _Autocovariance:
    """Sums of products at each distance, over n: few are needed, so none is made before it is.

    Attributes:
        count: n.
    """

    def __init__(self, x: Array) -> None:
        self.count = len(x)
        self._x = x - math.fsum(x) / len(x)
        self._known: list[float] = []

    def __getitem__(self, distance: int) -> float:
        while len(self._known) <= distance:
            known = len(self._known)
            self._known.append(dot(self._x[known:], self._x[: self.count - known]) / self.count)
        return self._known[distance]


def _shown_tau(covariance: _Autocovariance, tau: float) -> float:
    """Frames to one independent frame, by the autocovariance of the logits themselves.

    The mean of n frames takes from each covariance about its own variance, s^2 * tau / n; what the
    ``tau`` so far takes is given back first.
    """
    count = covariance.count
    mean_variance = covariance[0] / max(count / tau - 1, 1.0)
    first = covariance[0] + mean_variance
    if first <= 1e-12:
        return 1.0
    total, least = 0.0, math.inf
    for k in range(0, count - 1, 2):
        pair = covariance[k] + covariance[k + 1] + mean_variance * (2 - (2 * k + 1) / count)
        if pair <= 0:
            break
        least = min(least, pair)
        total += least
    return max(2 * total / first - 1, 1.0)


def _usual_step(times: Sequence[float]) -> float:
    """The median of the seconds between frames; 0 where there is but one."""
    steps = np.diff(np.asarray(times, np.float64))
    return max(float(np.median(steps)), 0.0) if len(steps) else 0.0


def judge_track(
    p_fake: float, interval: Interval, thresholds: Mapping[str, float], seconds: float
) -> tuple[Word, tuple[Note, ...]]:
    """The word for a track that was judged over so many seconds, and the doubts about it.

    ``fake`` if p_fake reaches ``thresholds["fake"]``, the whole interval is 0.5 or more and it was
    judged over ``FAKE_SECONDS``, ``real`` if p_fake is ``thresholds["real"]`` at most and the whole
    interval is 0.5 or less, else ``uncertain``, for at least one doubt.
    """
    word = judge(p_fake, thresholds)
    if word == "uncertain":
        return word, doubts_of_face(p_fake, thresholds)
    doubts = []
    low, high = interval
    if (low < 0.5) if word == "fake" else (high > 0.5):
        doubts.append(Note("interval_across_half", {"low": low, "high": high}))
    if word == "fake" and seconds < FAKE_SECONDS:
        values = {"seconds": seconds, "least": FAKE_SECONDS}
        doubts.append(Note("too_short_for_fake", values))
    return "uncertain" if doubts else word, tuple(doubts)


_RANK: dict[Word, int] = {"fake": 2, "uncertain": 1, "real": 0}


def suspicion(verdict: Word, p_fake: float) -> tuple[int, float]:
    """Sorts tracks: by word, then by probability; a file's verdict is that of the largest."""
    return _RANK[verdict], p_fake


def too_short(times: Mapping[int, Sequence[float]], duration: float) -> set[int]:
    """The tracks that are too short to be a person.

    These were judged in fewer than three frames or seen for less than 0.4 s.  Where none is longer,
    because the clip itself is so short or nothing else was found, none is too short.

    Args:
        times: number of a track -> seconds of the frames in which it was judged.
        duration: seconds between the first and the last frame that were looked at.
    """
    least = min(LEAST_SECONDS, duration)
    short = {
        number
        for number, seen in times.items()
        if len(seen) < LEAST_FRAMES or max(seen) - min(seen) < least
    }
    return short if len(short) < len(times) else set()
