"""Is it the paper's order of the settings, or noise?"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np
from scipy import stats

from tools.paper import pages
from tools.paper.intervals import Difference
from tools.paper.people import Comparison

COUNTED = 6  # settings, of which all orders are looked at where some are equal
NAMED = 3  # claims: fewer are named


def order_statement(
    figures: Mapping[str, float],
    paper: Mapping[str, object],
    between: Sequence[Difference],
    names: Mapping[str, str],
    higher: bool = True,
    again: bool = False,
) -> str:
    """Says, from the figures alone, whether the order of the settings is the paper's or noise.

    Args:
        figures: our figure of every setting.
        paper: the paper's figures, the best setting first; equal figures share a place. Settings
            that we lack, or that it lacks, do not count.
        between: differences of every two settings.
        names: what settings are called.
        higher: whether the highest figure is the best.
        again: the paper's order was said already, of another figure.
    """
    theirs = [name for name in paper if math.isfinite(figures.get(name, math.nan))]
    if len(theirs) < 2:
        return "Fewer than two settings are in both tables, so there is no order to compare."
    sign = 1 if higher else -1
    places = {name: list(paper.values()).index(paper[name]) for name in theirs}
    lost = [names[name] for name in paper if not math.isfinite(figures.get(name, 0.0))]
    ours = sorted(theirs, key=lambda name: -sign * figures[name])
    lines = [
        *([f"Left out, because a run of it diverged: {', '.join(lost)}."] if lost else []),
        f"Best first, here: {_ranked(ours, figures, names)}"
        + ("." if again else f"; in the paper: {_ranked(theirs, places, names)}."),
        _rank_correlation(list(places.values()), [-sign * figures[name] for name in theirs]),
    ]
    counted = [d for d in between if d.one in theirs and d.other in theirs and math.isfinite(d.low)]
    if not counted:
        lines.append("**With so few runs nobody can say whether that order is noise.**")
        return " ".join(lines)
    # turned so that the better one comes first
    apart = [
        d if sign * d.by > 0 else Difference(d.other, d.one, -d.by, -d.high, -d.low)
        for d in counted
        if d.low > 0 or d.high < 0
    ]
    contrary = [d for d in apart if places[d.one] > places[d.other]]
    equal = [d for d in apart if places[d.one] == places[d.other]]
    lines.append(_differences(len(counted), apart, contrary, equal, names))
    if not apart:
        verdict = "**So the order here is noise: the runs do not tell the settings apart.**"
    elif contrary:
        verdict = "**So the order here is not the paper's.**"
    elif len(apart) == len(counted):
        verdict = "**So the order here is the paper's.**"
    else:
        lies = "is nowhere the other way round" if equal else "lies as"
        verdict = (
            f"**So what the runs tell apart {lies} in the paper; the rest of the order is noise.**"
        )
    return " ".join([*lines, verdict])


def claims(
    paper: Mapping[str, object],
    between: Sequence[Comparison],
    names: Mapping[str, str],
) -> str:
    """One sentence: which of the paper's claims, that one setting is better than another, hold
    here, which do not, which stay open, and how many runs would settle those.

    Args:
        paper: the paper's V.Acc, the best setting first; equal figures claim nothing.
        between: what runs and people say of every two settings.
        names: what settings are called.
    """
    places = {name: list(paper.values()).index(paper[name]) for name in paper}
    hold: list[tuple[str, Comparison]] = []
    fail: list[tuple[str, Comparison]] = []
    still: list[tuple[str, Comparison]] = []
    for found in between:
        if found.one not in places or found.other not in places:
            continue
        if places[found.one] == places[found.other]:
            continue
        ahead, behind = sorted((found.one, found.other), key=places.__getitem__)
        better = (found.low > 0, found.high < 0)
        if ahead != found.one:
            better = better[::-1]
        claim = f"{names[ahead]} before {names[behind]}"
        (hold if better[0] else fail if better[1] else still).append((claim, found))
    parts = []
    for said, group in (("hold here", hold), ("are the other way round here", fail)):
        if group:
            parts.append(f"{len(group)} {said} ({', '.join(claim for claim, _ in group)})")
    if still:
        parts.append(f"{len(still)} stay open ({_settle(still)})")
    count = len(hold) + len(fail) + len(still)
    return (
        f"**Of the paper's {count} claims that one setting has a higher V.Acc than another,"
        f" {'; '.join(parts)}.**"
    )


def _settle(still: Sequence[tuple[str, Comparison]]) -> str:
    """What would settle claims that are open."""
    needed = {claim: found.runs_to_settle() for claim, found in still}
    enough = {claim: runs for claim, runs in needed.items() if runs is not None}
    if not enough:
        return "more runs would settle none of them: faces of more people are needed"
    which = "all of them" if len(enough) == len(needed) else f"{len(enough)} of them"
    if len(enough) < min(len(needed), NAMED):
        which += f", {' and '.join(enough)},"
    text = (
        f"some {max(enough.values())} runs of each setting would settle {which} if differences stay"
        " as they are"
    )
    if len(enough) < len(needed):
        text += f"; for the other {len(needed) - len(enough)} faces of more people are needed"
    return text


def table_of(between: Sequence[Comparison], names: Mapping[str, str]) -> str:
    """The comparisons, as a table."""
    return pages.markdown_table(
        ["Setting", "before", "V.Acc by", "in SD of runs", "SE by people"],
        [
            [
                names[found.one],
                names[found.other],
                f"{found.by:+.3f} [{found.low:+.3f}, {found.high:+.3f}]",
                f"{found.effect:+.1f}",
                f"{found.of_people:.3f}",
            ]
            for found in between
        ],
    )


def _rank_correlation(theirs: Sequence[int], ours: Sequence[float]) -> str:
    """Kendall's tau of two orders, each given by its places, and how probable it is by chance."""
    tied = min(len(set(ours)), len(set(theirs))) < len(theirs)
    rough = tied and len(theirs) > COUNTED
    tau = stats.kendalltau(
        theirs, ours, method="asymptotic" if tied else "exact", alternative="greater"
    )
    if math.isnan(tau.statistic):
        return "All are equal in one of the two."
    chance = _chance(theirs, ours) if tied and not rough else tau.pvalue
    return (
        f"Kendall's tau of the two orders is {tau.statistic:+.2f}; an order drawn at random"
        f" agrees as well or better with probability {chance:.3f}"
        f" ({'approximate, some are equal' if rough else 'exact'})."
    )


def _chance(theirs: Sequence[int], ours: Sequence[float]) -> float:
    """How many of all orders agree as well or better; equals may be on either side."""
    pairs = list(itertools.combinations(range(len(ours)), 2))

    def agreement(ours: Sequence[float]) -> int:
        signs = (np.sign((theirs[a] - theirs[b]) * (ours[a] - ours[b])) for a, b in pairs)
        return sum(map(int, signs))

    found = agreement(ours)
    as_well = [agreement(drawn) >= found for drawn in itertools.permutations(ours)]
    return sum(as_well) / len(as_well)


def _differences(
    count: int,
    apart: Sequence[Difference],
    contrary: Sequence[Difference],
    equal: Sequence[Difference],
    names: Mapping[str, str],
) -> str:
    """Which of `count` differences have an interval without zero, the better setting first."""
    text = (
        f"Differences between two settings: {count}, of which {len(apart) or 'none'}"
        f" {'has' if len(apart) == 1 else 'have'} a 95 % interval (all together) without zero"
    )
    if apart:
        text += ": " + "; ".join(
            f"{names[d.one]} before {names[d.other]} by {abs(d.by):.3f}"
            f" [{min(abs(d.low), abs(d.high)):.3f}, {max(abs(d.low), abs(d.high)):.3f}]"
            + (" (in the paper the other way round)" if d in contrary else "")
            + (" (in the paper they are equal)" if d in equal else "")
            for d in apart
        )
    return text + "."


def _ranked(settings: Sequence[str], figures: Mapping[str, float], names: Mapping[str, str]) -> str:
    """In their order, with an equals sign between equals."""
    text = names[settings[0]]
    for before, name in itertools.pairwise(settings):
        text += (" = " if figures[before] == figures[name] else ", ") + names[name]
    return text
