"""Segments: from when to when the evidence is fake, where a person was swapped for a while only.

The logits x_i of a track, cut as in ``track_score``, are taken as emissions of a hidden Markov
model of two states (L. Rabiner, "A tutorial on hidden Markov models", Proc. IEEE 77, 1989), the
person and the swap, with means a and b and one variance s^2:

- a is the median of the track, but 0 at most, so that what is fake for the longer part of a clip is
  no person's own level;
- b = max(a + ``RISE``, logit(thresholds["fake"])): who looks suspicious anyhow must rise further;
- s^2 is that of the median absolute deviation, shrunk to the model's own spread as in
  ``track_score``.

Neighbouring looks share their noise, so their log-likelihoods count for ``WORTH`` looks a second
together.  Swaps begin every ``EVERY`` seconds on average and last ``LAST``.  A segment is a run of
looks whose smoothed probability of the swap is above one half (forward-backward); what is said of
it is what ``track_score`` says of its looks alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from ..engine.exact import exp, exps, log, logit, sigmoids
from .track_score import MOST_LOGIT, SPREAD, SPREAD_WORTH, logits, summarize, views
from .verdict import Moment, Segment, Word, judge

#: Logits, looks a second, seconds: fitted by ``python -m tools.bench.segments`` (``NOTES.md``).
RISE, WORTH, EVERY, LAST = 4.5, 2.0, 600.0, 3.0
#: Seconds without a look that end a segment; where looks are rarer, so many of their usual steps.
GAP, _GAP_STEPS = 2.0, 1.5
#: A median absolute deviation of 1 is a standard deviation of so much, if it is normal.
_NORMAL_MAD = 1.482602

Array = npt.NDArray[np.float64]


def segments(
    frames: Sequence[Moment],
    thresholds: Mapping[str, float],
    spread: float = SPREAD,
    by: float = 0.0,
) -> tuple[Segment, ...]:
    """The segments of a track, in time; where p_fake is not above one half there is none.

    Args:
        frames: in which the person was judged, in time, scores at even odds.
        thresholds: ``real`` and ``fake``, of the model.
        spread: of the model, see ``track_score``.
        by: what is added to every logit, once cut, see ``prior``.
    """
    if len(frames) < 2:
        return ()
    times = np.array([moment.t for moment in frames])
    x = logits([moment.p_fake for moment in frames])
    swapped = _smoothed(times, _evidence(x, times, thresholds, spread)) > 0.5
    step = float(np.median(np.diff(times)))
    found = []
    for first, last in _runs(swapped, times, max(GAP, _GAP_STEPS * step)):
        part = frames[first : last + 1]
        if not _is_of_its_own(frames, first, last):
            continue
        scores = [m.p_fake for m in part]
        summary = summarize([m.t for m in part], scores, spread, by, views(part))
        if summary.p_fake <= 0.5:
            continue
        sure = judge(summary.p_fake, thresholds) == "fake" and summary.interval[0] >= 0.5
        before, behind = times[max(first - 1, 0)], times[min(last + 1, len(times) - 1)]
        start = max(times[first] - step / 2, (before + times[first]) / 2)
        end = min(times[last] + step / 2, (times[last] + behind) / 2)
        word: Word = "fake" if sure else "uncertain"
        found.append(Segment(float(start), float(end), summary.p_fake, summary.interval, word))
    return tuple(found)


def _is_of_its_own(frames: Sequence[Moment], first: int, last: int) -> bool:
    """Whether a run is the whole track, or the face moves in it: a photograph that looks fake for a
    while is the one of before, cut a little otherwise."""
    if first == 0 and last == len(frames) - 1:
        return True
    return any(moment.moved for moment in frames[max(first, 1) : last + 1])


def _evidence(x: Array, times: Array, thresholds: Mapping[str, float], spread: float) -> Array:
    """(n,) log-likelihood ratios of swap to person, each for what its look is worth."""
    own = min(float(np.median(x)), 0.0)
    fake = min(max(thresholds["fake"], 0.5), 1 - 1e-9)
    swap = max(own + RISE, min(logit(fake), MOST_LOGIT))
    deviation = _NORMAL_MAD * float(np.median(np.abs(x - np.median(x))))
    seconds = float(times[-1] - times[0])
    worth = min(WORTH * seconds, float(len(x)))
    squares = SPREAD_WORTH * spread * spread + worth * deviation * deviation
    variance = squares / (SPREAD_WORTH + worth)
    steps = np.diff(times)
    step = max(float(np.median(steps)), 0.0)
    return (x - (own + swap) / 2) * (swap - own) / variance * min(WORTH * step, 1.0)


def _smoothed(times: Array, evidence: Array) -> Array:
    """(n,) probability of the swap, given all looks: forward and backward, in logits."""
    begins, ends = 1 / EVERY, 1 / LAST
    mixing = 1 - exps(-(begins + ends) * np.maximum(np.diff(times), 0.0))
    usual = begins / (begins + ends)
    count = len(evidence)
    forward, backward = np.empty(count), np.zeros(count)
    odds = logit(usual)
    for i in range(count):
        if i:
            odds = _passed(forward[i - 1], mixing[i - 1] * usual, mixing[i - 1] * (1 - usual))
        forward[i] = odds + evidence[i]
    for i in range(count - 2, -1, -1):
        begin, end = mixing[i] * usual, mixing[i] * (1 - usual)
        likelihood = backward[i + 1] + evidence[i + 1]
        high = max(likelihood, 0.0)
        swap, own = exp(likelihood - high), exp(-high)
        here, away = (1 - end) * swap + end * own, begin * swap + (1 - begin) * own
        backward[i] = log(here) - log(away)
    return sigmoids(forward + backward)


def _passed(odds: float, begin: float, end: float) -> float:
    """Log odds of the swap after a step in which one begins or ends with these probabilities."""
    high = max(odds, 0.0)
    swap, own = exp(odds - high), exp(-high)
    return log((1 - end) * swap + begin * own) - log(end * swap + (1 - begin) * own)


def _runs(swapped: npt.NDArray[np.bool_], times: Array, gap: float) -> list[tuple[int, int]]:
    """First and last place of every run of looks, none of them further behind the one before."""
    places = np.flatnonzero(swapped)
    if not len(places):
        return []
    breaks = (np.diff(places) > 1) | (np.diff(times[places]) > gap)
    parts = np.split(places, np.flatnonzero(breaks) + 1)
    return [(int(part[0]), int(part[-1])) for part in parts]
