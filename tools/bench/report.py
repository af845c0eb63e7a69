"""What `tools.bench` makes of its measurements: who agrees, ratios, tables and remarks.

A cell is one network, activation, number of threads and batch size, as a dict that goes into the
JSON report as it is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minimeso.cli.output import table
from minimeso.engine.profile import multiply_adds
from tools.bench import cases, peers

BASE = "original"
TOLERANCE = 1e-4  # of p_fake; MNN misses it with some networks (2.6e-4) and is shown but marked
WRONG = 1e-3  # beyond, a peer computes something else and does not count
MARKS = {"agrees": "", "inexact": "~", "wrong": "!"}


def agreement(p: cases.Array, truth: cases.Array) -> dict[str, Any]:
    """How far a peer's p_fake is from ours, and what that makes of it; of outputs that go beyond 1,
    as those of the finder, in parts of the largest."""
    if p.shape != truth.shape or not np.isfinite(p).all():
        return {"p_fake_error": None, "logit_error": None, "verdict": "wrong"}
    error = float(np.abs(p - truth).max() / max(1.0, float(np.abs(truth).max())))
    verdict = "agrees" if error <= TOLERANCE else "inexact" if error <= WRONG else "wrong"
    logit_error = float(np.abs(_logit(p) - _logit(truth)).max())
    return {"p_fake_error": error, "logit_error": logit_error, "verdict": verdict}


def compare(cell: dict[str, Any], peak: float) -> None:
    """Add to a cell: the fastest peer, our ratios to it, and everybody's share of the peak."""
    graph = cases.graph_of(cell["network"], cell["activation"])
    limit = 1e3 * sum(multiply_adds(graph).values()) / peak  # ms
    engines: dict[str, dict[str, Any]] = cell["engines"]
    rivals = {
        name: values["median_ms"]
        for name, values in engines.items()
        if name in peers.PEERS and values.get("verdict") != "wrong"
    }
    fastest = min(rivals, key=lambda name: rivals[name], default=None)
    cell["fastest_peer"] = fastest
    cell["fma_limit_ms"] = limit
    for name, values in engines.items():
        values["fma_share"] = limit / values["median_ms"]
        if fastest is not None and name not in peers.PEERS:
            values["ratio_to_fastest_peer"] = rivals[fastest] / values["median_ms"]


def tables(cells: Sequence[dict[str, Any]], engines: Sequence[str]) -> Iterator[str]:
    """A table for each network, number of threads and batch size."""
    groups: dict[tuple[str, int, int], dict[str, dict[str, Any]]] = {}
    for cell in cells:
        key = cell["network"], cell["threads"], cell["batch"]
        groups.setdefault(key, {})[cell["activation"]] = cell
    for (network, threads, batch), group in groups.items():
        yield ""
        yield f"{network}, {plural(threads, 'thread')}, {plural(batch, 'image')} at once;" + (
            " median milliseconds of one image"
        )
        rows = [["", *group]]
        for name in engines:
            rows.append([name, *(_time(cell, name) for cell in group.values())])
        ours = [name for name in engines if name not in peers.PEERS]
        rows.append(["fastest peer", *(_fastest(cell) for cell in group.values())])
        for name in ours:
            results = [cell["engines"].get(name, {}) for cell in group.values()]
            ratios = [_number(r.get("ratio_to_fastest_peer"), "{:.2f}x") for r in results]
            rows.append([f"  over {name}", *ratios])
        for name in ours:
            results = [cell["engines"].get(name, {}) for cell in group.values()]
            shares = [r.get("fma_share") for r in results]
            rows.append([f"FMA peak, {name}", *(_number(share, "{:.0%}") for share in shares)])
        if BASE in group:
            for name in ours:
                base = group[BASE]["engines"].get(name, {}).get("median_ms")
                costs = [cell["engines"].get(name, {}).get("median_ms") for cell in group.values()]
                texts = [_number(cost and base and cost / base, "{:.2f}x") for cost in costs]
                rows.append([f"time over {BASE}, {name}", *texts])
        yield from table(rows, right=list(range(1, len(group) + 1)))


def _time(cell: dict[str, Any], name: str) -> str:
    values = cell["engines"].get(name)
    if values is None:
        return "-"
    return f"{MARKS[values.get('verdict', 'agrees')]}{values['median_ms']:.3f}"


def _fastest(cell: dict[str, Any]) -> str:
    name = cell["fastest_peer"]
    return MARKS[cell["engines"][name].get("verdict", "agrees")] + name if name else "-"


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)


def notes(cells: Sequence[dict[str, Any]]) -> Iterator[str]:
    """What did not work, and who is not exact: one line each."""
    reasons: dict[str, dict[str, list[str]]] = {}
    errors: dict[str, float] = {}
    for cell in cells:
        for name, reason in cell["unavailable"].items():
            where = f"{cell['network']} {cell['activation']}"
            reasons.setdefault(name, {}).setdefault(reason, []).append(where)
        for name, values in cell["engines"].items():
            if values.get("verdict", "agrees") != "agrees":
                error = values["p_fake_error"]
                errors[name] = max(errors.get(name, 0.0), math.inf if error is None else error)
    for name, found in reasons.items():
        for reason, places in found.items():
            everywhere = len(places) == len(cells)
            where = "" if everywhere else f" ({', '.join(dict.fromkeys(places))})"
            yield f"not measured: {name}: {reason}{where}"
    for name, error in errors.items():
        mark = "!" if error > WRONG else "~"
        counts = "does not count" if error > WRONG else "counts all the same"
        yield f"{mark} {name}: p_fake is up to {error:.1e} off (tolerance {TOLERANCE:g}); {counts}"


def plural(count: int, what: str) -> str:
    """`1 thread`, `2 threads`."""
    return f"{count} {what}{'' if count == 1 else 's'}"


def _logit(p: cases.Array) -> NDArray[np.float64]:
    """log(p / (1 - p)), kept finite."""
    tiny = math.ulp(0.5)
    p = np.clip(np.asarray(p, np.float64), tiny, 1 - tiny)
    return np.asarray(np.log(p / (1 - p)))


# --- targets ---------------------------------------------------------------------------------

#: What was measured, its unit and bound, and whether it is met.
Target = dict[str, Any]


def target(
    what: str,
    value: float,
    unit: str,
    at_most: float | None = None,
    at_least: float | None = None,
) -> Target:
    """A measured value beside its bound."""
    met = (at_most is None or value <= at_most) and (at_least is None or value >= at_least)
    bounds = {"at_most": at_most, "at_least": at_least}
    return {"what": what, "value": value, "unit": unit, "met": met} | bounds


def target_lines(targets: Sequence[Target]) -> Iterator[str]:
    """A table of them."""
    rows = [["target", "measured", "wanted", ""]]
    for found in targets:
        bounds = [("<=", found["at_most"]), (">=", found["at_least"])]
        wanted = [f"{sign} {bound:g}" for sign, bound in bounds if bound is not None]
        value = f"{found['value']:.2f}" if found["value"] >= 0.01 else f"{found['value']:.1e}"
        met = "met" if found["met"] else "MISSED"
        unit = found["unit"]
        rows.append([found["what"], f"{value} {unit}", f"{' '.join(wanted)} {unit}", met])
    yield from table(rows, right=[1, 2])
