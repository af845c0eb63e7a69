"""Our engine against what a user could pick instead: `python -m tools.bench --peers`.

Both detectors with every activation of the paper, EfficientNet-Lite0 and the finder of faces, one
image and a batch, one thread and two. All
engines run the same weights on the same images in float32, are checked to agree with us, and take
turns: each measures a few calls, then it is the next one's turn, and every round another one
starts; so whatever else the machine does falls on all of them alike. Medians are compared.

It prints a table for each network, number of threads and batch size, and writes all of it as JSON
and as a chart. A peer that is missing, fails or is wrong is named with its reason, and the others
go on. `--profile` shows where our time goes, step by step, `--elements` how fast the
activations are alone, `--footprint` what it costs to start us, `--growth` what larger batches and
pictures and more threads do to time and memory, `--video CLIP` the whole job from a clip to its
verdict beside PyAV's decoding and the usual route, `--finder` the search of one frame beside
OpenCV's.

Needs the extras `bench` and `video`; see NOTES.md for the peers.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minimeso.cli.bench import profile_table
from minimeso.engine.native import available_isas, choose_isa
from minimeso.errors import MinimesoError
from tools.arguments import input_file, name_list, number, number_list, output_file
from tools.bench import (
    cases,
    crops,
    elements,
    growth,
    machine,
    peers,
    report,
    search,
    whole,
    workers,
)
from tools.bench.comparison import Bench, Plan

if TYPE_CHECKING:
    from minimeso.engine.profile import Profile

ACTIVATIONS = ("original", "leaky_relu", "swish", "mish", "pish")
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what was asked for, print and write it; returns the exit status."""
    options = _options(arguments)
    status = 0
    results: dict[str, Any] = {"machine": machine.describe(options.machine)}
    load = results["machine"]["load_average"]
    if load and load[0] > machine.BUSY:
        print(f"The machine is busy (load {load[0]:.1f}): these figures are doubtful.")
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(_plan(options), Path(folder), _progress(sys.stderr.isatty()))
        try:
            if options.footprint:
                results["footprint"] = _footprint()
            if options.growth:
                results["growth"] = _growth(bench.plan)
            if options.profile:
                results["profile"] = _profile(bench)
                results["crops"] = crops.measure(10 * bench.plan.rounds)
                print("\nA frame's other work, one thread:")
                print("\n".join(crops.table(results["crops"])))
            if options.elements:
                results["elements"] = _elements(
                    bench, [options.isa] if options.isa else available_isas()[::-1]
                )
            if options.finder:
                results["finder"] = _finder(bench, options)
            if options.video:
                results["video"] = _video(bench, options)
            if options.peers:
                bench.run()
        except KeyboardInterrupt:
            status = INTERRUPTED
            results["interrupted"] = True
            print("\nStopped; this is what there is.")
        except (peers.UnavailableError, MinimesoError) as error:
            print(f"bench: {error}", file=sys.stderr)
            return 2
    if options.peers:
        results |= _finish(bench)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")
    if options.chart and bench.cells:
        from tools.bench import chart

        chart.draw(results, options.chart)
    return status


def _finish(bench: Bench) -> dict[str, Any]:
    """Compare and print all cells; returns them for the report."""
    for cell in bench.cells:
        report.compare(cell, bench.peaks[cell["threads"]].rate)
    for line in (*report.tables(bench.cells, bench.plan.engines), "", *report.notes(bench.cells)):
        print(line)
    for threads, peak in bench.peaks.items():
        rate = 2e-9 * peak.rate
        print(f"FMA peak, {report.plural(threads, 'thread')}: {rate:.1f} GFLOP/s ({peak.how})")
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


def _footprint() -> dict[str, Any]:
    found = machine.footprint()
    for name, value in found["milliseconds"].items():
        memory = found["peak_memory_bytes"][name] / 1e6
        ratio = found["over_decoding"][name]
        print(f"{name}: {value:.0f} ms, {ratio:.2f} x decoding, at most {memory:.1f} MB")
    size, bytecode = (found[key] / 1e6 for key in ("installed_bytes", "bytecode_bytes"))
    print(f"installed: {size:.2f} MB, and {bytecode:.2f} MB of bytecode")
    return found


def _growth(plan: Plan) -> list[growth.Part]:
    found = growth.measure(plan.threads, plan.engines[0].partition("-")[2], plan.rounds)
    for line in growth.tables(found):
        print(line)
    return found


def _profile(bench: Bench) -> list[dict[str, Any]]:
    """The time of each step; threads and batch are the first that were asked for."""
    plan, results = bench.plan, []
    worker = workers.Worker(plan.threads[0], bench.folder / "profile.log")
    try:
        for network in plan.networks:
            for activation in plan.activations_of(network):
                folder = bench.network_folder(network, activation)
                case = cases.Case(folder, network, activation, plan.batches[0], plan.threads[0])
                results.append(_profile_of(bench, worker, case))
    finally:
        worker.close()
    return results


def _profile_of(bench: Bench, worker: workers.Worker, case: cases.Case) -> dict[str, Any]:
    isa = bench.plan.engines[0].partition("-")[2]
    rounds = bench.plan.rounds if case.batch == 1 else bench.plan.batch_rounds
    peak = bench.measure_peak(case.threads)
    found: Profile = worker.ask(peers.profile, case, isa, 4 * rounds)
    print(
        f"\n{case.architecture} {case.activation}, {isa}, "
        f"{report.plural(case.threads, 'thread')}, {report.plural(case.batch, 'image')} at once: "
        f"{found.run_ms:.3f} ms an image, {found.timed_ms:.3f} ms with timers; the peak is "
        f"{2e-9 * peak / case.threads:.1f} GFLOP/s a core"
    )
    for line in profile_table(found, peak / case.threads):
        print(line)
    about = {"network": case.architecture, "activation": case.activation}
    return about | {"multiply_adds_per_second": peak} | found.to_json()


def _elements(bench: Bench, isas: Sequence[str]) -> dict[str, Any]:
    worker = workers.Worker(1, bench.folder / "elements.log")
    try:
        found: dict[str, Any] = worker.ask(
            elements.measure, isas, elements.FUNCTIONS, 3 * bench.plan.rounds
        )
    finally:
        worker.close()
    print()
    for line in elements.tables(found):
        print(line)
    return found


def _finder(bench: Bench, options: argparse.Namespace) -> dict[str, Any]:
    """The search of one frame, on one core."""
    pixels = search.frame(options.picture)
    worker = workers.Worker(1, bench.folder / "finder.log")
    try:
        found: dict[str, Any] = worker.ask(
            search.measure, pixels, options.onnx, 10 * bench.plan.rounds
        )
    finally:
        worker.close()
    for line in search.lines(found):
        print(line)
    return found


def _video(bench: Bench, options: argparse.Namespace) -> dict[str, Any]:
    """The whole job, on as many cores as the most threads."""
    rounds = options.rounds or (1 if options.quick else 5)
    found = whole.measure(
        options.video, options.frames, max(options.threads), rounds, bench.folder, bench.say
    )
    for line in whole.lines(found):
        print(line)
    return found


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
        [*ours, *((options.only or peers.PEERS) if options.peers else ())],
        rounds,
        batch_rounds,
    )


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tools.bench",
        description="Measure our engine beside its peers; see the top of the file.",
    )
    add = parser.add_argument
    add("--peers", action="store_true", help="every engine on every network")
    add("--profile", action="store_true", help="our time, step by step; cutting faces, too")
    add("--elements", action="store_true", help="the activations alone, beside PyTorch's")
    add("--footprint", action="store_true", help="our cold start, memory and installed size")
    add("--growth", action="store_true", help="our time and memory by batch, picture and threads")
    add("--video", type=input_file, metavar="CLIP", help="the whole job: a clip to its verdict")
    add("--frames", type=number(1 << 20), default=whole.FRAMES, metavar="N",
        help="with --video: as many, the clip is repeated; default: %(default)s")  # fmt: skip
    add("--finder", action="store_true", help="the search of one frame for faces")
    add("--picture", type=input_file, metavar="FILE", help="with --finder: the frame")
    add("--onnx", type=input_file, metavar="FILE",
        help="with --finder: yunet_s_640_640.onnx, for OpenCV beside us")  # fmt: skip
    add("--json", type=output_file, metavar="FILE", help="write everything as JSON")
    add("--chart", type=output_file, metavar="FILE.png", help="draw the peers' times")
    add("--quick", action="store_true", help="few rounds: to see that it works")
    add("--rounds", type=number(1024), metavar="N", help="turns of every engine")
    add("--only", type=name_list(peers.PEERS), metavar="PEER,...", help=", ".join(peers.PEERS))
    add("--networks", type=name_list(cases.KNOWN), default=list(cases.KNOWN), metavar="NAME,...",
        help=f"default: {', '.join(cases.KNOWN)}")  # fmt: skip
    add("--activations", type=name_list(ACTIVATIONS), default=list(ACTIVATIONS), metavar="NAME,...")
    add("--threads", type=number_list(1024), default=[1, 2], metavar="N,...", help="default: 1,2")
    add("--batches", type=number_list(1024), default=[1, 32], metavar="N,...", help="default: 1,32")
    add("--isa", choices=available_isas(), help="only this one of ours")
    add("--machine", metavar="NAME", help="what to call this computer in the report")
    options = parser.parse_args(arguments)
    what = ("peers", "profile", "elements", "footprint", "growth", "video", "finder")
    if not any(getattr(options, name) for name in what):
        parser.error(f"say what to measure: {', '.join(f'--{name}' for name in what)}")
    if options.chart and not options.peers:
        parser.error("--chart needs --peers")
    return options


if __name__ == "__main__":
    sys.exit(main())
