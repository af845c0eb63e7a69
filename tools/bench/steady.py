"""How a process grows in which many threads run networks for long: python -m tools.bench.steady

Each thread has a session of its own, remade now and then.  Memory is compared with that after a
tenth of the time, by when allocators and plans have what they need.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from minimeso import Model, Session
from minimeso.engine import find_model
from tools.bench.report import plural

#: Runs of a session before its thread makes another one.
_RUNS = 50


def resident() -> int:
    """Bytes of this process in memory; Linux only."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def growth(model: Model, x: NDArray[np.float32], *, threads: int, seconds: float) -> int:
    """Bytes by which this process grows.

    Args:
        model: what runs.
        x: (N, C, H, W), what it runs on.
        threads: so many sessions, with a thread each.
        seconds: for so long; the first tenth does not count.

    Raises:
        RuntimeError: a thread got other bits than the first one.
    """
    wanted = Session(model, threads=1).run(x)
    stop = threading.Event()
    wrong: list[object] = []

    def work() -> None:
        while not stop.is_set():
            with Session(model, threads=1) as session:
                for _ in range(_RUNS):
                    if not (session.run(x) == wanted).all():
                        wrong.append(session)
                    if stop.is_set() or wrong:
                        return

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    try:
        time.sleep(seconds / 10)
        before = resident()
        time.sleep(seconds * 9 / 10)
        after = resident()
    finally:
        stop.set()
        for worker in workers:
            worker.join()
    if wrong:
        raise RuntimeError("a session beside others gave other bits than one alone")
    return after - before


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.bench.steady", description=__doc__)
    parser.add_argument("--model", default="default", help="name or path (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=24, help="default: %(default)s")
    parser.add_argument("--minutes", type=float, default=10.0, help="default: %(default)s")
    parser.add_argument("--most", type=float, default=5.0, help="MB (default: %(default)s)")
    given = parser.parse_args(arguments)
    x = np.random.default_rng(0).random((1, 3, 256, 256), np.float32)
    model = find_model(given.model)
    grown = growth(model, x, threads=given.threads, seconds=60 * given.minutes) / 1e6
    print(
        f"{plural(given.threads, 'session')} side by side for {given.minutes:g} minutes: "
        f"{grown:+.1f} MB (allowed: {given.most:g})"
    )
    return int(grown > given.most)


if __name__ == "__main__":
    sys.exit(main())
