"""In somebody else's program that ends, or comes in between: daemon threads, signal handlers."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from minimeso.locks import Lock

#: One call of the engine after the other, each of some tenths of a second, by a thread that nobody
#: waits for.
AT_WORK = """
import threading, time
import numpy as np
from minimeso import Graph, Session

graph = Graph("slow")
x = graph.input("x", (32, None, None))
for _ in range(4):
    x = graph.node("conv2d", x, out_channels=32, kernel_size=5, padding=2)
graph.output(x)
weights = {name: np.ones(shape, np.float32) for name, shape in graph.parameters().items()}
session = Session(graph, weights, threads=THREADS)
pictures = np.ones((64, 32, 32, 32), np.float32)
begun = threading.Event()


def work():
    while True:
        begun.set()
        session.run(pictures)


threading.Thread(target=work, daemon=True).start()
begun.wait()
time.sleep(0.2)
"""


def ended(code: str) -> tuple[int, str]:
    """Exit status and words of a new process that runs some code."""
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", code],
        capture_output=True, text=True, check=False, timeout=120, cwd=Path(__file__).parent.parent,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("threads", [1, 2])
def test_a_process_may_end_while_a_daemon_thread_runs_a_network(threads: int) -> None:
    """Its pool was freed under it: the process ended in a segmentation fault."""
    code = AT_WORK.replace("THREADS", str(threads))
    assert ended(code) == (0, "")


def test_a_lock_is_not_waited_for_by_who_holds_it() -> None:
    """As by ``close`` in the handler of a signal that came while the same thread runs a network."""
    lock = Lock()
    with lock, pytest.raises(RuntimeError, match="signal handler"), lock:
        pass
    with lock:
        pass
    got = []
    with lock:
        other = threading.Thread(target=lambda: got.append(lock.__enter__()))
        other.start()
        time.sleep(0.05)
        assert not got
    other.join(10)
    assert got == [None]


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timers here")
def test_closing_in_a_signal_handler_does_not_hang() -> None:
    code = AT_WORK.replace("THREADS", "1").partition("threading.Thread(")[0] + (
        "import signal, sys\n"
        "def end(*_):\n"
        "    try: session.close()\n"
        "    except RuntimeError: sys.exit(7)\n"
        "signal.signal(signal.SIGALRM, end)\n"
        "signal.setitimer(signal.ITIMER_REAL, 0.2)\n"
        "work()\n"
    )
    assert ended(code) == (7, "")
