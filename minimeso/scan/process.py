"""The worker's end of a process that judges: asks it, watches it, ends it, starts it anew."""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import IO, Any

from ..errors import MinimesoError
from .child import receive, send
from .judge import Answer, Job
from .limits import Limits
from .schema import given_up

#: Seconds between two looks at the memory of a process, and for its start.
_LOOK_SECONDS, _START_SECONDS = 0.1, 300.0


class BrokenJudgeError(MinimesoError):
    """No process can be made that judges: no file is to blame."""


class JudgeProcess:
    """A process that judges files one by one, and that may die of any of them.

    Args:
        make: makes the judge in the process, see ``judge.OpenJudge``.
        limits: of each file.
        scratch: folder for its files.
    """

    def __init__(self, make: Any, limits: Limits, scratch: str | None) -> None:
        self._make, self._limits, self._scratch = make, limits, scratch
        self._process: subprocess.Popen[bytes] | None = None
        self._answers: queue.Queue[tuple[str, Any]] = queue.Queue()

    @property
    def pid(self) -> int | None:
        """Of the process, if there is one."""
        return None if self._process is None else self._process.pid

    def judge(self, job: Job) -> Answer:
        """Judge a file; one that goes beyond its limits is given up, with the reason.

        Raises:
            BrokenJudgeError: no process can be started.
        """
        reason = ""
        for _ in range(self._limits.deaths):
            self._ensure()
            kind, value = self._ask(job)
            if kind == "judged":
                answer: Answer = value
                return answer
            if kind != "died":
                reason = _REASONS[kind](self._limits, value)
                break
            reason = f"the process that judged it died {self._limits.deaths} times ({value})"
        entry = job.entry
        return given_up(entry.path, entry.bytes, entry.stamp, reason, self._make.blamed())

    def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            for pipe in (process.stdin, process.stdout):
                with contextlib.suppress(OSError):
                    if pipe is not None:
                        pipe.close()
            process.wait()

    def _ensure(self) -> None:
        """Start the process unless it is there; it may have been killed while it was idle."""
        if self._process is not None and self._process.poll() is None:
            return
        self.close()
        command = [sys.executable, "-c", "from minimeso.scan.child import main; main()"]
        environment = _with_path(sys.path)
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
        )
        self._process, self._answers = process, queue.Queue()
        assert process.stdin is not None and process.stdout is not None
        threading.Thread(target=_listen, args=(process.stdout, self._answers), daemon=True).start()
        kind, value = "died", "at its start"
        with contextlib.suppress(OSError, queue.Empty):
            send(process.stdin, pickle.dumps((self._make, self._scratch, self._limits)))
            kind, value = self._answers.get(timeout=_START_SECONDS)
        if kind != "ready":
            self.close()
            raise BrokenJudgeError(f"a process that judges cannot be started: {value}")

    def _ask(self, job: Job) -> tuple[str, Any]:
        """What came of a file: a kind, and what belongs to it."""
        process, limits = self._process, self._limits
        assert process is not None and process.stdin is not None
        try:
            send(process.stdin, job)
        except OSError:
            return self._end("died")
        start = alive = time.monotonic()
        while True:
            try:
                kind, value = self._answers.get(timeout=_LOOK_SECONDS)
            except queue.Empty:
                kind, value = "", None
            now = time.monotonic()
            if kind == "alive":
                alive = now
            elif kind == "died":
                return self._end("died")
            elif kind == "memory":
                return self._end("memory")
            elif kind:
                return kind, value
            if now - start > limits.seconds:
                return self._end("seconds")
            if now - alive > limits.stall:
                return self._end("stall")
            if _memory_of(process.pid) > limits.memory:
                return self._end("memory")

    def _end(self, kind: str) -> tuple[str, Any]:
        """The process is of no more use; says how it ended."""
        process = self._process
        status = None
        if process is not None and kind == "died":
            with contextlib.suppress(subprocess.TimeoutExpired):
                status = process.wait(timeout=5)
        self.close()
        if status is None:
            return kind, None
        return kind, f"signal {-status}" if status < 0 else f"exit status {status}"


_REASONS: dict[str, Callable[[Limits, Any], str]] = {
    "stall": lambda limits, _: f"no sign of life for {limits.stall:g} s",
    "seconds": lambda limits, _: f"not done after {limits.seconds:g} s",
    "memory": lambda limits, _: f"more than {limits.memory >> 20} MiB of memory",
    "error": lambda _, value: f"an error that nobody expected: {value}",
}


def _listen(pipe: IO[bytes], answers: queue.Queue[tuple[str, Any]]) -> None:
    """Put the answers of a process in a queue, and its end."""
    try:
        while True:
            answers.put(receive(pipe))
    except Exception:  # the pipe's end, or what a dying process left in it
        answers.put(("died", None))


def _with_path(path: list[str]) -> dict[str, str]:
    """The environment, in which the process finds this very package."""
    known = [os.path.abspath(place) for place in path]  # noqa: PTH100 ("" is the current folder)
    return {**os.environ, "PYTHONPATH": os.pathsep.join(known)}


def _memory_of(pid: int) -> int:
    """Bytes that a process has in memory; 0 if nobody knows."""
    try:
        import psutil

        return int(psutil.Process(pid).memory_info().rss)
    except Exception:  # it is gone, or the system does not say
        return 0
