"""Our engine against what a user could pick instead: `python tools/bench.py --peers`.

Both detectors with every activation of the paper, one image and a batch, one thread and two. All
engines run the same weights on the same images in float32, are checked to agree with us, and take
turns: each measures a few calls, then it is the next one's turn, and every round another one
starts; so whatever else the machine does falls on all of them alike. Medians are compared.

It prints a table for each network, number of threads and batch size, and writes all of it as JSON
and as a chart. A peer that is missing, fails or is wrong is named with its reason, and the others
go on. `--profile` shows where our time goes, `--footprint` what it costs to start us.

Needs the extra `bench`; see tools/NOTES.md for the peers.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

if __package__ in (None, ""):  # started by its path
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from minimeso import Graph, Session
from minimeso.cli.output import table
from minimeso.engine.native import available_isas, choose_isa
from minimeso.engine.ops import OPERATIONS
from minimeso.engine.reference import evaluate
from minimeso.errors import MinimesoError
from minimeso.networks import NETWORKS
from tools import machine, peers

ACTIVATIONS = ("original", "leaky_relu", "swish", "mish", "pish")
BASE = "original"
TOLERANCE = 1e-4  # of p_fake; MNN misses it with some networks (2.6e-4) and is shown but marked
WRONG = 1e-3  # beyond, a peer computes something else and does not count
TURN_SECONDS = 0.04  # how long an engine measures before the next one's turn
MOST_CALLS = 20
PAUSE = 0.003  # between turns: the last engine's threads stop spinning
INTERRUPTED = 130
BUSY = 0.3  # load average beyond which figures are called doubtful


@dataclass(frozen=True)
class Times:
    """Seconds of every call of an engine in one cell."""

    seconds: list[float] = field(default_factory=list)
    cores: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Plan:
    """What is to be measured."""

    networks: Sequence[str]
    activations: Sequence[str]
    threads: Sequence[int]
    batches: Sequence[int]
    engines: Sequence[str]  # ours first, the best of them at the front
    rounds: int
    batch_rounds: int


# --- the network in numbers ------------------------------------------------------------------


def multiply_adds(graph: Graph) -> int:
    """Of one image, with direct convolution; what is not a convolution or linear is not counted."""
    shapes = {name: tuple(size or 0 for size in shape) for name, shape in graph.shapes().items()}
    total = 0
    for node in graph.nodes:
        if node.op in ("conv2d", "linear"):
            parameters = OPERATIONS[node.op].parameters(
                [shapes[name] for name in node.inputs], node.attributes
            )
            pixels = math.prod(shapes[node.name][1:])
            total += math.prod(parameters["weight"]) * pixels
    return total


# --- measuring -------------------------------------------------------------------------------


def take_turns(turns: Mapping[str, Callable[[], None]], rounds: int) -> Iterator[int]:
    """Call everybody in every round, each round starting with another one; yields after each."""
    names = list(turns)
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            turns[name]()
        yield number


class Bench:
    """One run: keeps a worker for each engine, and the report as it grows."""

    def __init__(self, plan: Plan, folder: Path, say: Callable[[str], None]) -> None:
        self.plan = plan
        self.cells: list[dict[str, Any]] = []
        self.missing: dict[str, str] = {}
        self.no_onnx: dict[Path, str] = {}
        self.versions: dict[str, str] = {}
        self.peaks: dict[int, machine.Peak] = {}
        self.peak_rates: dict[int, list[float]] = {}
        self._folder = folder
        self._say = say
        self._meter = machine.PeakMeter(folder)
        self._workers: dict[str, peers.Worker] = {}
        for name in plan.engines:
            try:
                self.versions |= peers.versions(name)
            except peers.UnavailableError as error:
                self.missing[name] = str(error)

    def run(self) -> None:
        """Measure every cell; may be interrupted, `cells` then holds what there is."""
        try:
            for threads in self.plan.threads:
                for network in self.plan.networks:
                    for activation in self.plan.activations:
                        for batch in self.plan.batches:
                            folder = self.network_folder(network, activation)
                            case = peers.Case(folder, network, activation, batch, threads)
                            self._cell(case)
                self._dismiss()
        finally:
            self._dismiss()

    def network_folder(self, network: str, activation: str) -> Path:
        """Where the network lies in the forms that peers read, written on first use."""
        folder = self._folder / f"{network}-{activation}"
        if not folder.exists():
            folder.mkdir()
            worker = peers.Worker(1, self._folder / "export.log")
            try:
                worker.ask(peers.write_weights, folder, network, activation)
                if any(peers.engine(name).onnx for name in self.plan.engines):
                    batches = list(self.plan.batches)
                    worker.ask(peers.write_onnx, folder, network, activation, batches)
            except peers.UnavailableError as error:
                if not (folder / peers.WEIGHTS).exists():
                    raise
                self.no_onnx[folder] = f"no ONNX file: {error}"
            finally:
                worker.close()
        return folder

    def _dismiss(self) -> None:
        for worker in self._workers.values():
            worker.close()
        self._workers.clear()

    def _cell(self, case: peers.Case) -> None:
        title = f"{case.architecture} {case.activation}, {_plural(case.threads, 'thread')}"
        title += f", {_plural(case.batch, 'image')}"
        loaded: dict[str, peers.Loaded] = {}
        unavailable = dict(self.missing)
        if reason := self.no_onnx.get(case.folder):
            affected = (name for name in self.plan.engines if peers.engine(name).onnx)
            unavailable |= {name: reason for name in affected if name not in unavailable}
        for name in self.plan.engines:
            if name not in unavailable:
                self._say(f"{title}: loading {name}")
                try:
                    loaded[name] = self._worker(name, case.threads).ask(peers.load, name, case)
                except peers.UnavailableError as error:
                    unavailable[name] = str(error)
                    self._workers.pop(name).close()
        times = {name: Times() for name in loaded}
        self._measure_peak(case.threads)
        try:
            self._measure(case, title, times, unavailable)
            self._measure_peak(case.threads)
        finally:  # also when interrupted
            self._say("")
            self.cells.append(self._report(case, loaded, times, unavailable))

    def _worker(self, name: str, threads: int) -> peers.Worker:
        if name not in self._workers:
            self._workers[name] = peers.Worker(threads, self._folder / f"{name}.log")
        return self._workers[name]

    def _measure(
        self,
        case: peers.Case,
        title: str,
        times: dict[str, Times],
        unavailable: dict[str, str],
    ) -> None:
        calls: dict[str, int] = {}

        def turn(name: str) -> None:
            if name in unavailable:
                return
            try:
                done: peers.Turn = self._workers[name].ask(peers.take_turn, calls.get(name, 1))
            except peers.UnavailableError as error:
                unavailable[name] = str(error)
                self._workers.pop(name).close()
                return
            if name in calls:  # the first turn only tells how many calls make a turn
                times[name].seconds.extend(done.seconds)
                times[name].cores.append(done.cores)
            else:
                wanted = math.ceil(TURN_SECONDS / max(done.seconds[0], 1e-6))
                calls[name] = min(max(wanted, 1), MOST_CALLS)
            time.sleep(PAUSE)

        rounds = self.plan.rounds if case.batch == 1 else self.plan.batch_rounds
        turns = {name: _bind(turn, name) for name in times}
        for number in take_turns(turns, rounds + 1):
            self._say(f"{title}: round {number} of {rounds}")

    def _measure_peak(self, threads: int) -> None:
        peak = self._meter.measure(threads, peers.cores(threads))
        self.peak_rates.setdefault(threads, []).append(peak.rate)
        if threads not in self.peaks or peak.rate > self.peaks[threads].rate:
            self.peaks[threads] = peak

    def _report(
        self,
        case: peers.Case,
        loaded: Mapping[str, peers.Loaded],
        times: Mapping[str, Times],
        unavailable: dict[str, str],
    ) -> dict[str, Any]:
        ours = [name for name in self.plan.engines if name.startswith("minimeso-")]
        truth = loaded[ours[0]].p_fake if ours[0] in loaded else None
        engines = {}
        for name, measured in times.items():
            if not measured.seconds:
                continue
            p = loaded[name].p_fake
            engines[name] = _statistics(measured, case.batch) | {"way": loaded[name].way}
            if truth is not None:
                engines[name] |= _agreement(p, truth)
        return {
            "network": case.architecture,
            "activation": case.activation,
            "threads": case.threads,
            "batch": case.batch,
            "error_against_float64": None if truth is None else _error(case, float(truth[0])),
            "engines": engines,
            "unavailable": unavailable,
        }


def _bind(function: Callable[[str], None], name: str) -> Callable[[], None]:
    return lambda: function(name)


def _plural(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _statistics(times: Times, batch: int) -> dict[str, Any]:
    """Milliseconds of one image."""
    scaled = [1e3 * value / batch for value in times.seconds]
    first, median, third = np.percentile(scaled, (25, 50, 75)).tolist()
    return {
        "median_ms": median,
        "q1_ms": first,
        "q3_ms": third,
        "calls": len(scaled),
        "cores": statistics.median(times.cores),
    }


def _agreement(p: peers.Array, truth: peers.Array) -> dict[str, Any]:
    """How far a peer's p_fake is from ours, and what that makes of it."""
    if p.shape != truth.shape or not np.isfinite(p).all():
        return {"p_fake_error": None, "logit_error": None, "verdict": "wrong"}
    error = float(np.abs(p - truth).max())
    verdict = "agrees" if error <= TOLERANCE else "inexact" if error <= WRONG else "wrong"
    logit_error = float(np.abs(peers.logit(p) - peers.logit(truth)).max())
    return {"p_fake_error": error, "logit_error": logit_error, "verdict": verdict}


def _error(case: peers.Case, p_fake: float) -> float:
    """How far our p_fake of the first image is from float64 arithmetic."""
    graph = NETWORKS[case.architecture](case.activation, peers.EPS, False)
    image = case.images()[:1]
    values = evaluate(graph, case.weights(), {"image": image})
    return abs(float(values[graph.outputs[0]].item()) - p_fake)


def compare(cell: dict[str, Any], peak: float) -> None:
    """Add to a cell: the fastest peer, our ratios to it, and everybody's share of the peak."""
    graph = NETWORKS[cell["network"]](cell["activation"], peers.EPS, False)
    limit = 1e3 * multiply_adds(graph) / peak  # ms
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


# --- showing ---------------------------------------------------------------------------------

MARKS = {"agrees": "", "inexact": "~", "wrong": "!"}


def tables(cells: Sequence[dict[str, Any]], engines: Sequence[str]) -> Iterator[str]:
    """A table for each network, number of threads and batch size."""
    groups: dict[tuple[str, int, int], dict[str, dict[str, Any]]] = {}
    for cell in cells:
        key = cell["network"], cell["threads"], cell["batch"]
        groups.setdefault(key, {})[cell["activation"]] = cell
    for (network, threads, batch), group in groups.items():
        yield ""
        yield f"{network}, {_plural(threads, 'thread')}, {_plural(batch, 'image')} at once;" + (
            " median milliseconds of one image"
        )
        rows = [["", *group]]
        for name in engines:
            rows.append([name, *(_time(cell, name) for cell in group.values())])
        ours = [name for name in engines if name not in peers.PEERS]
        rows.append(["fastest peer", *(cell["fastest_peer"] or "-" for cell in group.values())])
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


# --- where our time goes ---------------------------------------------------------------------


def stages(graph: Graph) -> list[str]:
    """Nodes at which the network can be cut in two by one wire: pools and linear layers."""
    last_use = {name: i for i, node in enumerate(graph.nodes) for name in node.inputs}
    cuts = []
    for i, node in enumerate(graph.nodes):
        pending = [n.name for n in graph.nodes[: i + 1] if last_use.get(n.name, -1) > i]
        ends = node.op in ("max_pool2d", "linear") or node.name in graph.outputs
        if ends and pending in ([node.name], []):
            cuts.append(node.name)
    return cuts


def prefix(graph: Graph, end: str) -> Graph:
    """The network up to a node."""
    data = graph.to_json()
    names = [node["name"] for node in data["nodes"]]
    nodes = data["nodes"][: names.index(end) + 1]
    return Graph.from_json(data | {"nodes": nodes, "outputs": [end]}, graph.name)


def profile(case: peers.Case, isa: str, rounds: int) -> dict[str, float]:
    """Milliseconds of each stage: the difference between networks that end after it and before.

    Ending early costs a copy of the last layer, so a stage that shares work with the next one
    looks dearer than it is, and the next one cheaper.
    """
    graph = NETWORKS[case.architecture](case.activation, peers.EPS, False)
    weights, x = case.weights(), case.images()
    seconds: dict[str, list[float]] = {}
    turns = {}
    for end in stages(graph):
        part = prefix(graph, end)
        kept = {name: weights[name] for name in part.parameters()}
        session = Session(part, kept, threads=case.threads, isa=isa)
        seconds[end] = []

        def turn(session: Session = session, times: list[float] = seconds[end]) -> None:
            session.run(x)
            start = time.perf_counter()
            session.run(x)
            times.append(time.perf_counter() - start)

        turns[end] = turn
    for _ in take_turns(turns, rounds):
        pass
    medians = {end: 1e3 * statistics.median(times) / case.batch for end, times in seconds.items()}
    before = [0.0, *list(medians.values())[:-1]]
    return {
        f"to {end}": value - previous
        for (end, value), previous in zip(medians.items(), before, strict=True)
    } | {"all": list(medians.values())[-1]}


# --- the command -----------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what was asked for, print and write it; returns the exit status."""
    options = _options(arguments)
    status = 0
    report: dict[str, Any] = {"machine": machine.describe(options.machine)}
    load = report["machine"]["load_average"]
    if load and load[0] > BUSY:
        print(f"The machine is busy (load {load[0]:.1f}): these figures are doubtful.")
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(_plan(options), Path(folder), _progress(sys.stderr.isatty()))
        try:
            if options.footprint:
                report["footprint"] = _footprint(bench)
            if options.profile:
                report["profile"] = _profile(bench)
            if options.peers:
                bench.run()
        except KeyboardInterrupt:
            status = INTERRUPTED
            print("\nStopped; this is what there is.")
        except (peers.UnavailableError, MinimesoError) as error:
            print(f"bench.py: {error}", file=sys.stderr)
            return 2
    if options.peers:
        report |= _finish(bench)
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    if options.chart and bench.cells:
        from tools import chart

        chart.draw(report, options.chart)
    return status


def _finish(bench: Bench) -> dict[str, Any]:
    """Compare and print all cells; returns them for the report."""
    for cell in bench.cells:
        compare(cell, bench.peaks[cell["threads"]].rate)
    for line in (*tables(bench.cells, bench.plan.engines), "", *notes(bench.cells)):
        print(line)
    for threads, peak in bench.peaks.items():
        rate = 2e-9 * peak.rate
        print(f"FMA peak, {_plural(threads, 'thread')}: {rate:.1f} GFLOP/s ({peak.how})")
    return {
        "versions": bench.versions,
        "peak": {
            str(threads): {
                "multiply_adds_per_second": peak.rate,
                "how": peak.how,
                "median": statistics.median(bench.peak_rates[threads]),
            }
            for threads, peak in bench.peaks.items()
        },
        "missing": bench.missing,
        "cells": bench.cells,
    }


def _footprint(bench: Bench) -> dict[str, Any]:
    case = peers.Case(bench.network_folder("mesoinception4", BASE), "mesoinception4", BASE, 1, 1)
    found = machine.footprint(case.weights())
    for name, value in found["milliseconds"].items():
        memory = found["peak_memory_bytes"][name] / 1e6
        print(f"a process to {name}: {value:.0f} ms, at most {memory:.1f} MB")
    print(f"cold start: {found['cold_start_ratio']:.2f}x")
    print(f"installed: {found['installed_bytes'] / 1e6:.2f} MB")
    return found


def _profile(bench: Bench) -> list[dict[str, Any]]:
    plan = bench.plan
    isa = plan.engines[0].partition("-")[2]
    results = []
    for network in plan.networks:
        rows: list[list[str]] = []
        for activation in plan.activations:
            folder = bench.network_folder(network, activation)
            case = peers.Case(folder, network, activation, 1, plan.threads[0])
            found = profile(case, isa, 4 * plan.rounds)
            results.append({"network": network, "activation": activation, "isa": isa, "ms": found})
            rows = rows or [["", *found]]
            rows.append([activation, *(f"{value:.3f}" for value in found.values())])
        print(f"\n{network}, {isa}, one image, {_plural(plan.threads[0], 'thread')}; milliseconds")
        for line in table(rows, right=list(range(1, len(rows[0])))):
            print(line)
    return results


def _progress(visible: bool) -> Callable[[str], None]:
    def say(text: str) -> None:
        if visible:
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)

    return say


def _plan(options: argparse.Namespace) -> Plan:
    isas = [options.isa] if options.isa else [choose_isa(), "avx2", "sse2"]
    present = [isa for isa in dict.fromkeys(isas) if isa in available_isas()]
    ours = [f"minimeso-{isa}" for isa in present]
    rounds, batch_rounds = (3, 2) if options.quick else (15, 7)
    if options.rounds:
        rounds = batch_rounds = options.rounds
    return Plan(
        options.networks,
        options.activations,
        options.threads,
        options.batches,
        [*ours, *(options.only or peers.PEERS)],
        rounds,
        batch_rounds,
    )


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="bench.py",
        description="Measure our engine beside its peers; see the top of the file.",
    )
    add = parser.add_argument
    add("--peers", action="store_true", help="every engine on every network")
    add("--profile", action="store_true", help="our time by stages of the network")
    add("--footprint", action="store_true", help="our cold start, memory and installed size")
    add("--json", type=Path, metavar="FILE", help="write everything as JSON")
    add("--chart", type=Path, metavar="FILE.png", help="draw the peers' times")
    add("--quick", action="store_true", help="few rounds: to see that it works")
    add("--rounds", type=_count, metavar="N", help="turns of every engine")
    add("--only", type=_names(peers.PEERS), metavar="PEER,...", help=", ".join(peers.PEERS))
    add("--networks", type=_names(NETWORKS), default=list(NETWORKS), metavar="NAME,...")
    add("--activations", type=_names(ACTIVATIONS), default=list(ACTIVATIONS), metavar="NAME,...")
    add("--threads", type=_counts, default=[1, 2], metavar="N,...", help="default: 1,2")
    add("--batches", type=_counts, default=[1, 32], metavar="N,...", help="default: 1,32")
    add("--isa", choices=available_isas(), help="only this one of ours")
    add("--machine", metavar="NAME", help="what to call this computer in the report")
    options = parser.parse_args(arguments)
    if not (options.peers or options.profile or options.footprint):
        parser.error("say what to measure: --peers, --profile, --footprint")
    if options.chart and not options.peers:
        parser.error("--chart needs --peers")
    return options


def _names(known: Sequence[str] | Mapping[str, Any]) -> Callable[[str], list[str]]:
    def read(text: str) -> list[str]:
        names = text.split(",")
        for name in names:
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(known)}")
        return names

    return read


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1024:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to 1024")
    return int(text)


def _counts(text: str) -> list[int]:
    return [_count(part) for part in text.split(",")]


if __name__ == "__main__":
    sys.exit(main())
