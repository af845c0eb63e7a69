"""Processes that run one engine each, for `tools.bench`.

That is what makes the comparison fair: an engine sees only as many cores as it may use threads (so
one thread is one thread, whatever a library thinks of its options), its idle threads have time to
fall asleep before another engine's turn, OpenMP runtimes do not meet, and a peer that crashes is a
line in the report, not the end of the run.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tools.bench.cases import Array, Case
from tools.bench.peers import Run, UnavailableError, engine

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

Call = Callable[[], Array]

PATIENCE = 900.0  # seconds that loading may take; torch.compile is the slow one
GRACE = 5.0
TRIALS = 2  # calls to find the faster way to run a batch

# --- what runs in the engine's process -------------------------------------------------------

_call: Call | None = None


@dataclass(frozen=True)
class Loaded:
    """p_fake of every image, and the way in which the engine runs a batch."""

    p_fake: Array
    way: str


@dataclass(frozen=True)
class Turn:
    """Wall seconds of every call, and how many cores were busy meanwhile."""

    seconds: list[float]
    cores: float


def load(name: str, case: Case) -> Loaded:
    """Load a case in place of the one before, to run in the fastest way of the engine."""
    global _call
    _call = None
    if "torch._dynamo" in sys.modules:
        sys.modules["torch._dynamo"].reset()  # or it stops compiling after a few networks
    gc.collect()
    chosen = engine(name)
    images = case.images()
    calls: dict[str, Call] = {}
    if "at once" in chosen.ways or case.batch == 1:
        calls["at once"] = _calling(chosen.load(case), [chosen.layout(images)])
    if "one by one" in chosen.ways and case.batch > 1:
        singles = [chosen.layout(images[i : i + 1]) for i in range(case.batch)]
        calls["one by one"] = _calling(chosen.load(replace(case, batch=1)), singles)
    seconds = {}
    for way, _call in calls.items():
        seconds[way] = min(take_turn(TRIALS).seconds) if len(calls) > 1 else 0.0
    way = min(seconds, key=lambda way: seconds[way])
    _call = calls[way]
    return Loaded(_call(), way)


def keep(call: Call) -> Array:
    """Take turns with this call from now on; what it gives."""
    global _call
    _call = call
    return call()


def _calling(run: Run, inputs: list[Any]) -> Call:
    if len(inputs) == 1:
        return lambda: np.array(run(inputs[0]), np.float32).reshape(-1)
    return lambda: np.array([run(x) for x in inputs], np.float32).reshape(-1)


def take_turn(calls: int) -> Turn:
    """One call to wake up, then `calls` that count."""
    assert _call is not None
    _call()
    seconds = []
    start, cpu = time.perf_counter(), time.process_time()
    for _ in range(calls):
        before = time.perf_counter()
        _call()
        seconds.append(time.perf_counter() - before)
    cores = (time.process_time() - cpu) / (time.perf_counter() - start)
    return Turn(seconds, cores)


def _serve(connection: Connection, cores: Sequence[int], threads: int, log: Path) -> None:
    """Answer requests (function, arguments) until the other end closes."""
    if cores:
        os.sched_setaffinity(0, cores)
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = str(threads)
    os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"  # no helpers that stay behind
    with log.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    gc.disable()
    while True:
        try:
            function, arguments = connection.recv()
        except EOFError:
            return
        try:
            answer = True, function(*arguments)
        except Exception as error:  # whatever a peer raises is its reason
            lines = str(error).strip().splitlines() or [""]
            kind = "" if isinstance(error, UnavailableError) else f"{type(error).__name__}: "
            answer = False, (kind + lines[0])[:200].rstrip(": ")
        connection.send(answer)


# --- this side ------------------------------------------------------------------------------


class Worker:
    """A process that loads and runs one engine on its own cores."""

    def __init__(self, threads: int, log: Path) -> None:
        context = multiprocessing.get_context("spawn")
        self._log = log
        self._connection, theirs = context.Pipe()
        arguments = (theirs, cores(threads), threads, log)
        self._process = context.Process(target=_serve, args=arguments, daemon=True)
        handler = signal.signal(signal.SIGINT, signal.SIG_IGN)  # inherited: Ctrl-C is for us
        try:
            self._process.start()
        finally:
            signal.signal(signal.SIGINT, handler)
        theirs.close()

    def ask(self, function: Callable[..., Any], *arguments: Any, patience: float = PATIENCE) -> Any:
        """What `function(*arguments)` returns over there; raises `UnavailableError` if it fails."""
        try:
            self._connection.send((function, arguments))
            if not self._connection.poll(patience):
                self.close()
                raise UnavailableError(f"no answer after {patience:.0f} s")
            fine, answer = self._connection.recv()
        except (EOFError, OSError):
            self._process.join(GRACE)
            code = self._process.exitcode
            self.close()
            raise UnavailableError(
                f"its process died (status {code}): {self._last_words()}"
            ) from None
        if not fine:
            raise UnavailableError(answer)
        return answer

    def _last_words(self) -> str:
        with suppress(OSError):
            lines = self._log.read_text(errors="replace").strip().splitlines()
            return lines[-1][:160] if lines else "it said nothing"
        return "it said nothing"

    def close(self) -> None:
        """End the process, gently if it listens."""
        self._connection.close()
        self._process.join(GRACE)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


def cores(threads: int) -> list[int]:
    """The cores for so many threads: the last ones, as interrupts prefer the first."""
    if not hasattr(os, "sched_setaffinity"):
        return []
    return sorted(os.sched_getaffinity(0))[-threads:]


def take_turns(turns: Mapping[str, Callable[[], None]], rounds: int) -> Iterator[int]:
    """Call everybody in every round, each round starting with another one; yields after each."""
    names = list(turns)
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            turns[name]()
        yield number
