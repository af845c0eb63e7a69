"""Times by machine: `python -m tools.bench.results` writes docs/speed-by-machine.md.

Each file in tools/bench/results is one run on one machine:

    python -m tools.bench --peers --threads 1 --batches 1 --machine "AMD EPYC 7003, AVX2" \\
        --json tools/bench/results/epyc-7003.json
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tools.bench import cases, peers
from tools.bench.machine import BUSY
from tools.errors import ToolError, exit_status

ROOT = Path(__file__).resolve().parents[2]
RESULTS = Path(__file__).parent / "results"
PAGE = ROOT / "docs" / "speed-by-machine.md"

_INTRODUCTION = """\
# Speed by machine

How many times longer the fastest of the other engines takes than minimeso, all in float32 and seen
to agree; one run each of `python -m tools.bench --peers` (extra `bench`), in which all take turns,
medians. Each engine is pinned to as many cores as it has threads. Made by `python -m
tools.bench.results` of what lies in `tools/bench/results`; how to add a machine stands at the top
of that program."""

Cell = dict[str, Any]


def page(reports: Sequence[dict[str, Any]]) -> str:
    """The page of some reports, as `--json` writes them."""
    parts = [_INTRODUCTION]
    for report in reports:
        parts += _machine(report)
    return "\n\n".join(parts) + "\n"


def _machine(report: dict[str, Any]) -> Iterator[str]:
    machine = report["machine"]
    yield f"## {machine['name']}"
    peaks = [
        f"{2e-9 * peak['multiply_adds_per_second']:.1f} GFLOP/s by {_count(int(threads), 'thread')}"
        for threads, peak in report["peak"].items()
    ]
    versions = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
    yield (
        f"{machine['date']}, minimeso {machine['minimeso']} built by {machine['compiler']};"
        f" {machine['cpu']}, {_count(machine['cores'], 'core')}, {machine['system']}; the peak of"
        f" multiply-adds is {', '.join(peaks)}. {versions}."
    )
    if (load := machine["load_average"]) and load[0] > BUSY:
        yield f"**The machine was busy (load {load[0]:.1f}): these figures are doubtful.**"
    settings = dict.fromkeys((cell["threads"], cell["batch"]) for cell in report["cells"])
    for threads, batch in settings:
        cells = [c for c in report["cells"] if (c["threads"], c["batch"]) == (threads, batch)]
        yield f"### {_count(threads, 'thread').capitalize()}, {_count(batch, 'image')} at once"
        yield "\n".join(_ratios(cells))
        yield "Milliseconds of an image:"
        yield "\n".join(_milliseconds(cells))
    reasons = {
        f"{engine}, {cell['network']}: {reason}"
        for cell in report["cells"]
        for engine, reason in cell["unavailable"].items()
    }
    if reasons:
        yield "Not measured: " + "; ".join(sorted(reasons)) + "."


def _ratios(cells: Sequence[Cell]) -> Iterator[str]:
    """Times faster than the fastest peer, whose name stands beside; networks that have no choice of
    an activation have one column."""
    yield "| | instruction set | part of the peak | " + " | ".join(_activations(cells)) + " |"
    yield "|---|---|---|" + "---|" * len(_activations(cells))
    for network in dict.fromkeys(cell["network"] for cell in cells):
        own = [cell for cell in cells if cell["network"] == network]
        for name in _ours(own):
            share = " to ".join(
                dict.fromkeys(f"{end(_shares(own, name)):.2f}" for end in (min, max))
            )
            yield f"| {network} | {_isa(name)} | {share} | {' | '.join(_row(own, cells, name))} |"


def _shares(cells: Sequence[Cell], name: str) -> list[float]:
    return [cell["engines"][name]["fma_share"] for cell in cells]


def _row(own: Sequence[Cell], cells: Sequence[Cell], name: str) -> Iterator[str]:
    found = {_column(cell): cell for cell in own}
    for activation in _activations(cells):
        cell = found.get(activation)
        ratio = cell and cell["engines"][name].get("ratio_to_fastest_peer")
        yield f"{ratio:.2f} ({cell['fastest_peer']})" if cell and ratio else ""


def _milliseconds(cells: Sequence[Cell]) -> Iterator[str]:
    columns = [
        cell["network"] + ("" if cell["network"] in cases.ONLY else f", {cell['activation']}")
        for cell in cells
    ]
    engines = dict.fromkeys(name for cell in cells for name in cell["engines"])
    yield "| | " + " | ".join(engines) + " |"
    yield "|---" * (len(engines) + 1) + "|"
    for column, cell in zip(columns, cells, strict=True):
        times = [_time(cell["engines"].get(name)) for name in engines]
        yield f"| {column} | {' | '.join(times)} |"


def _time(values: dict[str, Any] | None) -> str:
    if values is None:
        return ""
    mark = {"inexact": "~", "wrong": "wrong, "}.get(values.get("verdict", ""), "")
    return f"{mark}{values['median_ms']:.3g}"


def _ours(cells: Sequence[Cell]) -> list[str]:
    return [name for name in cells[0]["engines"] if name not in peers.PEERS]


def _isa(name: str) -> str:
    return name.partition("-")[2]


def _activations(cells: Sequence[Cell]) -> list[str]:
    return list(dict.fromkeys(map(_column, cells)))


def _column(cell: Cell) -> str:
    return "its own" if cell["network"] in cases.ONLY else str(cell["activation"])


def _count(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def read(folder: Path) -> list[dict[str, Any]]:
    """The reports in a folder, by name.

    Raises:
        ToolError: there is none, or one that `--peers` did not write to its end.
    """
    reports = []
    for path in sorted(folder.glob("*.json")):
        report = json.loads(path.read_text(encoding="utf-8"))
        if not report.get("cells") or report.get("interrupted"):
            raise ToolError(f"{path}: no whole run of --peers; remove it or measure again")
        reports.append(report)
    if not reports:
        raise ToolError(f"{folder}: no results in it")
    return reports


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.bench.results",
        description="Write the page of times by machine.",
    )
    parser.add_argument("--page", type=Path, default=PAGE, metavar="FILE", help="default: docs/")
    options = parser.parse_args(arguments)

    def write() -> None:
        options.page.write_text(page(read(RESULTS)), encoding="utf-8")
        print(options.page)

    return exit_status("tools.bench.results", write)


if __name__ == "__main__":
    sys.exit(main())
