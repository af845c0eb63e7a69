"""How fast each network of the zoo is beside other engines: `python -m tools.zoo.times [NAME ...]`.

One picture, the same for all: our milliseconds (median), and how many times as long each of the
others takes. PyTorch runs the module, the others its ONNX file; each in a process of its own, on as
many cores as threads, taking turns (`tools/bench/workers.py`; tools/bench/NOTES.md says what each
needs). One that is missing, or refuses, is a reason below the table. `--folder` keeps what was
exported and converted, so that a second run only loads and measures.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tools.bench import cases, peers, workers
from tools.zoo.__main__ import ZOO, exported, network

OURS, ROUNDS, CALLS = "minimeso", 8, 5
#: So far another engine's first output may be from ours, of its largest value.
_AGREE = 1e-3


@dataclass(frozen=True)
class ZooCase(cases.Case):
    """A network of the zoo, as the peers know theirs; its `architecture` is the name."""

    def images(self) -> cases.Array:
        shape = (self.batch, *ZOO[self.architecture].shape)
        return np.random.default_rng(cases.SEED).random(shape, np.float32)


def _ours(case: cases.Case) -> peers.Run:
    from minimeso import Session
    from minimeso.convert import convert_file

    session = Session(convert_file(case.folder / f"{case.architecture}.pt2"), threads=case.threads)
    output = session.graph.outputs[:1]
    return lambda x: session.run(x, outputs=output)[output[0]]


def _torch(case: cases.Case) -> peers.Run:
    import torch

    torch.set_num_threads(case.threads)
    module = network(case.architecture)

    def run(x: cases.Array) -> Any:
        with torch.inference_mode():
            found = module(torch.from_numpy(x))
        return (found[0] if isinstance(found, tuple) else found).numpy()

    return run


ENGINES: dict[str, Callable[[cases.Case], peers.Run]] = {
    OURS: _ours,
    "torch": _torch,
    "onnxruntime": peers.onnxruntime,
    "openvino": peers.openvino,
    "ncnn": peers.ncnn,
}


def load(name: str, case: cases.Case) -> cases.Array:
    """Make an engine ready for its turns, in its own process; what it gives."""
    run, x = ENGINES[name](case), case.images()
    return workers.keep(lambda: np.array(run(x), np.float32).reshape(-1))


def measure(
    case: ZooCase, rounds: int, say: Callable[[str], None]
) -> tuple[dict[str, float], dict[str, str]]:
    """Median milliseconds of each engine, and why others have none."""
    running: dict[str, workers.Worker] = {}
    seconds: dict[str, list[float]] = {}
    reasons: dict[str, str] = {}
    truth: cases.Array | None = None
    try:
        for name in ENGINES:
            say(f"{case.architecture}: loading {name}")
            worker = workers.Worker(case.threads, case.folder / f"{name}.log")
            try:
                found = worker.ask(load, name, case)
            except peers.UnavailableError as error:
                reasons[name] = str(error)
                worker.close()
                continue
            running[name], seconds[name] = worker, []
            if truth is None:
                truth = found
            elif found.size != truth.size or not _agrees(found, truth):
                reasons[name] = "gives something else than we"

        def turn(name: str) -> None:
            seconds[name] += running[name].ask(workers.take_turn, CALLS).seconds

        for number in workers.take_turns({n: partial(turn, n) for n in running}, rounds):
            say(f"{case.architecture}: round {number + 1} of {rounds}")
    finally:
        for worker in running.values():
            worker.close()
    return {name: 1e3 * statistics.median(took) for name, took in seconds.items()}, reasons


def _agrees(found: cases.Array, truth: cases.Array) -> bool:
    return bool(np.abs(found - truth).max() <= _AGREE * np.abs(truth).max())


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tools.zoo.times", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(ZOO)}")
    parser.add_argument("--threads", type=int, default=1, help="of each engine; default 1")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="turns of each engine")
    parser.add_argument("--folder", type=Path, help="where exported files are kept")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.names if name not in ZOO]
    if unknown:
        parser.error(f"no network {unknown[0]!r}; there are {', '.join(ZOO)}")

    def say(text: str) -> None:
        print(f"\r{text:60}", end="", file=sys.stderr, flush=True)

    others = [name for name in ENGINES if name != OURS]
    print(f"{'network':20}{OURS + ', ms':>14}" + "".join(f"{name:>13}" for name in others))
    notes: list[str] = []
    for name in options.names or ZOO:
        with tempfile.TemporaryDirectory() as passing:
            folder = options.folder / name if options.folder else Path(passing)
            folder.mkdir(parents=True, exist_ok=True)
            case = ZooCase(folder, name, "", 1, options.threads)
            if not case.onnx(1).exists():
                exported(name, "pt2", folder)
                exported(name, "onnx", folder).rename(case.onnx(1))
            took, reasons = measure(case, options.rounds, say)
        notes += [f"{name}, {engine}: {reason}" for engine, reason in reasons.items()]
        ours = took.get(OURS, float("nan"))
        ratios = "".join(f"{took.get(other, float('nan')) / ours:13.2f}" for other in others)
        print(f"\r{name:20}{ours:14.2f}{ratios}", flush=True)
    print("\n".join(notes))
    return 0


if __name__ == "__main__":
    sys.exit(main())
