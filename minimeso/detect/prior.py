"""Prior: how likely a swap was before anybody looked, for one face and for several of one file.

p_fake of a network is meant for faces of which half are swapped.  Where a share ``prior`` is,
Bayes' rule adds log(prior / (1 - prior)) to its logit.

Several faces are taken as independent, and that *some* face of a file is swapped stays as likely
however many there are: of N faces each has the prior q = 1 - (1 - prior)^(1/N), and the p_fake of
the file is 1 - prod(1 - p_i).  So a face of which the networks know nothing leaves the file at the
prior, and a crowd is not fake because one of its 40 faces was misjudged.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from ..checks import float_of
from ..engine.exact import expm1, log, log1p, logit, sigmoid
from ..errors import InputError
from .track_score import MOST_LOGIT
from .verdict import Interval

#: The prior for which networks are calibrated.
EVEN = 0.5
#: Closer to 1 no probability of a file is taken, whose logarithms would have no end.
_SUREST = 1 - sys.float_info.epsilon


def checked_prior(prior: Any) -> float:
    """A prior; ``InputError`` for what is none."""
    found = float_of(prior)
    if not 0 < found < 1:
        raise InputError(f"prior {prior!r}: give the share of fakes, above 0 and below 1")
    return found


def shift(prior: float, count: int = 1) -> float:
    """What is added to the logit of each of ``count`` faces of one file; 0 for one, half fakes."""
    if count == 1:
        return logit(prior)
    genuine = log1p(-prior) / count  # log(1 - q)
    return log(max(-expm1(genuine), sys.float_info.min)) - genuine


def shifted(p_fake: float, by: float) -> float:
    """``p_fake`` with ``by`` added to its logit, which is cut at +-``MOST_LOGIT`` first."""
    if by == 0:
        return p_fake
    x = logit(p_fake) if 0 < p_fake < 1 else math.copysign(MOST_LOGIT, p_fake - 0.5)
    return sigmoid(min(max(x, -MOST_LOGIT), MOST_LOGIT) + by)


def some_fake(p_fakes: Sequence[float], intervals: Sequence[Interval]) -> tuple[float, Interval]:
    """The probability that at least one of some faces is fake, and its 95 % interval.

    Args:
        p_fakes: of each face, with the prior of one of so many, see ``shift``.
        intervals: of each face.

    -log(1 - p) of the file is the sum of that of the faces.  Its interval is made of theirs, which
    do not all err to one side: by the method of variance estimates recovery (G. Y. Zou & A. Donner,
    "Construction of confidence limits about effect measures", Statistics in Medicine 27, 2008), the
    squares of the distances from the estimates to their ends are added.  That of one face is its
    own, and the lower end is never below that of any face, nor the upper end.
    """
    sums = [_against(p) for p in p_fakes]
    total = math.fsum(sums)
    below = _root(x - _against(low) for x, (low, _) in zip(sums, intervals, strict=True))
    above = _root(_against(high) - x for x, (_, high) in zip(sums, intervals, strict=True))
    low, p_fake, high = (-expm1(-max(x, 0.0)) for x in (total - below, total, total + above))
    least, most = zip(*intervals, strict=True)
    return max(p_fake, *p_fakes), (max(low, *least), max(high, *most))  # against rounding


def _root(values: Iterable[float]) -> float:
    """Of the sum of their squares."""
    return math.sqrt(math.fsum(value * value for value in values))


def _against(p_fake: float) -> float:
    """-log(1 - p)."""
    return -log1p(-min(p_fake, _SUREST))
