"""Every engine on every network: the cells of `python -m tools.bench --peers`.

All engines run the same weights on the same images in float32, are checked to agree with us, and
take turns: each measures a few calls, then it is the next one's turn, and every round another one
starts; so whatever else the machine does falls on all of them alike.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from minimeso.engine.reference import evaluate
from tools.bench import cases, machine, peers, report, workers

if TYPE_CHECKING:
    pass

TURN_SECONDS = 0.04  # how long an engine measures before the next one's turn
MOST_CALLS = 20
PAUSE = 0.01  # between turns: the last engine's threads stop spinning


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

    def activations_of(self, network: str) -> Sequence[str]:
        """Those that were asked for, of a network that has a choice."""
        only = cases.ONLY.get(network)
        return (only,) if only else self.activations


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
        self.folder = folder
        self.say = say
        self._meter = machine.PeakMeter(folder)
        self._workers: dict[str, workers.Worker] = {}
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
                    for activation in self.plan.activations_of(network):
                        for batch in self.plan.batches:
                            folder = self.network_folder(network, activation)
                            case = cases.Case(folder, network, activation, batch, threads)
                            self._cell(case)
                self._dismiss()
        finally:
            self._dismiss()

    def network_folder(self, network: str, activation: str) -> Path:
        """Where the network lies in the forms that peers read, written on first use."""
        folder = self.folder / f"{network}-{activation}"
        if not folder.exists():
            folder.mkdir()
            worker = workers.Worker(1, self.folder / "export.log")
            try:
                worker.ask(cases.write_weights, folder, network, activation)
                if any(peers.engine(name).onnx for name in self.plan.engines):
                    batches = list(self.plan.batches)
                    worker.ask(cases.write_onnx, folder, network, activation, batches)
            except peers.UnavailableError as error:
                if not (folder / cases.WEIGHTS).exists():
                    raise
                self.no_onnx[folder] = f"no ONNX file: {error}"
            finally:
                worker.close()
        return folder

    def _dismiss(self) -> None:
        for worker in self._workers.values():
            worker.close()
        self._workers.clear()

    def _cell(self, case: cases.Case) -> None:
        title = f"{case.architecture} {case.activation}, {report.plural(case.threads, 'thread')}"
        title += f", {report.plural(case.batch, 'image')}"
        loaded: dict[str, workers.Loaded] = {}
        unavailable = dict(self.missing)
        if reason := self.no_onnx.get(case.folder):
            affected = (name for name in self.plan.engines if peers.engine(name).onnx)
            unavailable |= {name: reason for name in affected if name not in unavailable}
        for name in self.plan.engines:
            if name not in unavailable:
                self.say(f"{title}: loading {name}")
                try:
                    loaded[name] = self._worker(name, case.threads).ask(workers.load, name, case)
                except peers.UnavailableError as error:
                    unavailable[name] = str(error)
                    self._workers.pop(name).close()
        times = {name: Times() for name in loaded}
        self.measure_peak(case.threads)
        try:
            self._measure(case, title, times, unavailable)
            self.measure_peak(case.threads)
        finally:  # also when interrupted
            self.say("")
            self.cells.append(self._report(case, loaded, times, unavailable))

    def _worker(self, name: str, threads: int) -> workers.Worker:
        if name not in self._workers:
            self._workers[name] = workers.Worker(threads, self.folder / f"{name}.log")
        return self._workers[name]

    def _measure(
        self,
        case: cases.Case,
        title: str,
        times: dict[str, Times],
        unavailable: dict[str, str],
    ) -> None:
        calls: dict[str, int] = {}

        def turn(name: str) -> None:
            if name in unavailable:
                return
            try:
                done: workers.Turn = self._workers[name].ask(workers.take_turn, calls.get(name, 1))
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
        for count in workers.take_turns(turns, rounds + 1):
            self.say(f"{title}: round {count} of {rounds}")

    def measure_peak(self, threads: int) -> float:
        """Multiply-adds a second that these threads could do just now."""
        peak = self._meter.measure(threads, workers.cores(threads))
        self.peak_rates.setdefault(threads, []).append(peak.rate)
        if threads not in self.peaks or peak.rate > self.peaks[threads].rate:
            self.peaks[threads] = peak
        return peak.rate

    def _report(
        self,
        case: cases.Case,
        loaded: Mapping[str, workers.Loaded],
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
                engines[name] |= report.agreement(p, truth)
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


def _error(case: cases.Case, p_fake: float) -> float:
    """How far our p_fake of the first image is from float64 arithmetic."""
    graph = cases.graph_of(case.architecture, case.activation)
    image = case.images()[:1]
    values = evaluate(graph, case.weights(), {"image": image})
    return abs(float(values[graph.outputs[0]].flat[0]) - p_fake)
