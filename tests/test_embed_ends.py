"""In somebody else's program that ends, or comes in between: daemon threads, signal handlers."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from minimeso import locks
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
        other = threading.Thread(target=taken, args=(lock, got))
        other.start()
        time.sleep(0.05)
        assert not got
    other.join(10)
    assert got == [1]


def taken(lock: Lock, got: list[int]) -> None:
    with lock:
        got.append(1)


def test_an_interrupt_leaves_no_lock_behind() -> None:
    """Ctrl-C at any instruction of ours on the way into a lock, or out of it: the next one who
    wanted it waited for ever."""
    steps = 0

    def interrupt(frame: FrameType, event: str, _: object) -> Any:
        nonlocal left
        frame.f_trace_opcodes = frame.f_code.co_filename == locks.__file__
        if event == "opcode":
            left -= 1
            if left == 0:
                raise KeyboardInterrupt
        return interrupt

    before = sys.gettrace()
    while True:
        lock, got, left = Lock(), list[int](), steps + 1
        try:
            sys.settrace(interrupt)
            with lock:
                pass
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(before)
        other = threading.Thread(target=taken, args=(lock, got), daemon=True)
        other.start()
        other.join(10)
        assert got == [1], f"interrupted at instruction {steps + 1}"
        if left > 0:
            break
        steps += 1
    assert steps > 5


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
