"""The worker's end of a process that judges: asks it, watches it, ends it, starts it anew."""

from __future__ import annotations

import contextlib
import os
import pickle
import platform
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import IO, Any

from ..errors import MinimesoError, OutputError
from .child import receive, send, send_bytes
from .judge import Answer, Job
from .limits import Limits
from .schema import given_up

#: Seconds between two looks at the memory of a process, and for its start.
_LOOK_SECONDS, _START_SECONDS = 0.1, 300.0
#: Bytes of a message that every system's empty pipe takes at once.
_SHORT = 2048
#: How often a start is tried of a process that somebody kills meanwhile, and seconds from one to
#: the next where the system refuses it.
_STARTS, _PAUSE_SECONDS = 5, 1.0
#: Seconds from one look to the next that count, at most.
_MOST_SECONDS = 1.0

#: -c puts the current folder first, where another minimeso may lie, as in a checkout.
_CHILD = (
    "import sys; sys.path[:] = filter(None, sys.path); from minimeso.scan.child import main; main()"
)


class BrokenJudgeError(MinimesoError):
    """No process can be made that judges: no file is to blame."""


class AbandonedError(MinimesoError):
    """Nobody wants to know any more what comes of a file."""


class JudgeProcess:
    """A process that judges files one by one, and that may die of any of them.

    Args:
        make: makes the judge in the process, see ``judge.OpenJudge``.
        limits: of each file.
        scratch: folder for its files.

    Attributes:
        is_over: set, by any thread, when nobody wants to know any more what comes of its files.
    """

    def __init__(self, make: Any, limits: Limits, scratch: str | None) -> None:
        self._make, self._limits, self._scratch = make, limits, scratch
        self._process: subprocess.Popen[bytes] | None = None
        self._answers: queue.Queue[tuple[str, Any]] = queue.Queue()
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self.is_over = False

    @property
    def pid(self) -> int | None:
        """Of the process, if there is one."""
        return None if self._process is None else self._process.pid

    def judge(self, job: Job) -> Answer:
        """Judge a file; one that goes beyond its limits is given up, with the reason.

        Raises:
            BrokenJudgeError: no process can be started.
            AbandonedError: nobody wants to know it any more.
            OutputError: there is no room for its files.
        """
        reason, is_model = "", False
        for _ in range(self._limits.deaths):
            self._ensure()
            kind, value = self._ask(job)
            if kind == "judged":
                answer: Answer = value
                return answer
            if kind == "broken":
                broken: MinimesoError = value
                raise broken
            if kind != "died":
                reason, is_model = _REASONS[kind](self._limits, value), kind == "model"
                break
            reason = f"the process that judged it died {self._limits.deaths} times ({value})"
        entry = job.entry
        outcome = given_up(entry.path, entry.bytes, entry.stamp, reason, self._make.blamed())
        return outcome._replace(is_model=is_model)

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
        folder, self._folder = self._folder, None
        if folder is not None:  # what was being copied when the process was killed
            folder.cleanup()

    def _ensure(self) -> None:
        """Start the process unless it is there; it may have been killed while it was idle."""
        if self._process is not None and self._process.poll() is None:
            return
        kind, value = "", None
        for _ in range(_STARTS):
            kind, value = self._start()
            if kind == "ready":
                return
            self.close()
            if kind != "died":
                break
        said = value or "it ends at once"
        raise BrokenJudgeError(f"a process that judges cannot be started: {said}")

    def _start(self) -> tuple[str, Any]:
        """Start a process; ``ready`` when it can judge, else what is wrong."""
        self.close()
        command = [sys.executable, "-c", _CHILD]
        environment = _with_path(sys.path)
        self._folder = self._new_folder()
        try:
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
            )
        except OSError as error:  # too little memory, or too many processes, for the moment
            time.sleep(_PAUSE_SECONDS)
            return "died", error.strerror
        self._process, self._answers = process, queue.Queue()
        assert process.stdin is not None and process.stdout is not None
        threading.Thread(target=_listen, args=(process.stdout, self._answers), daemon=True).start()
        with contextlib.suppress(OSError):
            send(process.stdin, pickle.dumps((self._make, self._folder.name, self._limits)))
        clock = Clock()
        while (seconds := clock()) < _START_SECONDS:
            kind, value = self._next()
            # who was stopped by somebody is tried again
            if kind == "died" or (seconds > self._limits.stall and is_stopped(process.pid)):
                return self._end("died")
            if kind:
                return kind, value
        return "slow", f"not ready after {_START_SECONDS:g} s"

    def _next(self) -> tuple[str, Any]:
        """What the process says, if it says something soon."""
        if self.is_over:
            raise AbandonedError("nobody wants to know any more")
        try:
            return self._answers.get(timeout=_LOOK_SECONDS)
        except queue.Empty:
            return "", None

    def _new_folder(self) -> tempfile.TemporaryDirectory[str]:
        try:
            return tempfile.TemporaryDirectory(
                prefix="minimeso-", dir=self._scratch, ignore_cleanup_errors=True
            )
        except OSError as error:
            place = self._scratch or "the temporary folder"
            raise OutputError(
                f"{place} on {platform.node()}: no folder for copies can be made there: "
                f"{error.strerror or error}: make room, or name another one in TMPDIR"
            ) from None

    def _ask(self, job: Job) -> tuple[str, Any]:
        """What came of a file: a kind, and what belongs to it."""
        process, limits = self._process, self._limits
        assert process is not None and process.stdin is not None
        data = pickle.dumps(job, pickle.HIGHEST_PROTOCOL)
        tell = partial(_tell, process.stdin, data, self._answers)
        if len(data) <= _SHORT:
            tell()
        else:  # a process that is stopped takes no more than its pipe does
            threading.Thread(target=tell, daemon=True).start()
        clock, alive = Clock(), 0.0
        while True:
            kind, value = self._next()
            now = clock()
            if kind == "alive":
                alive = now
            elif kind in ("died", "memory"):
                return self._end(kind)
            elif kind:
                return kind, value
            if now > limits.seconds:
                return self._end("seconds")
            if now - alive > limits.stall:  # who was stopped by somebody is tried again
                return self._end("died" if is_stopped(process.pid) else "stall")
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
            return kind, "it said nothing more"
        return kind, f"signal {-status}" if status < 0 else f"exit status {status}"


_REASONS: dict[str, Callable[[Limits, Any], str]] = {
    "stall": lambda limits, _: f"no sign of life for {limits.stall:g} s",
    "seconds": lambda limits, _: f"not done after {limits.seconds:g} s",
    "memory": lambda limits, _: f"more than {limits.memory >> 20} MiB of memory",
    "model": lambda _, value: f"the model fails on it: {value}",
    "error": lambda _, value: f"an error that nobody expected: {value}",
}


class Clock:
    """Seconds while this process ran: when it is stopped, as by Ctrl-Z, so is what it watches."""

    def __init__(self) -> None:
        self._last, self._seconds = time.monotonic(), 0.0

    def __call__(self) -> float:
        now = time.monotonic()
        self._seconds += min(now - self._last, _MOST_SECONDS)
        self._last = now
        return self._seconds


def _listen(pipe: IO[bytes], answers: queue.Queue[tuple[str, Any]]) -> None:
    """Put the answers of a process in a queue, and its end."""
    try:
        while True:
            answers.put(receive(pipe))
    except Exception:  # the pipe's end, or what a dying process left in it
        answers.put(("died", None))


def _tell(pipe: IO[bytes], data: bytes, answers: queue.Queue[tuple[str, Any]]) -> None:
    """Write a pickled message; it fails where the process is gone."""
    try:
        send_bytes(pipe, data)
    except (OSError, ValueError):  # ValueError: it was closed meanwhile
        answers.put(("died", None))


def _with_path(path: list[str]) -> dict[str, str]:
    """The environment, in which the process finds this very package."""
    known = []
    for place in path:  # "" is the current folder
        with contextlib.suppress(FileNotFoundError):  # which was deleted
            known.append(os.path.abspath(place))  # noqa: PTH100
    return {**os.environ, "PYTHONPATH": os.pathsep.join(known)}


def is_stopped(pid: int) -> bool:
    """Whether somebody stopped a process, which could go on else."""
    try:
        import psutil

        return bool(psutil.Process(pid).status() == psutil.STATUS_STOPPED)
    except Exception:  # as below
        return False


def _memory_of(pid: int) -> int:
    """Bytes that a process has in memory; 0 if nobody knows."""
    try:
        import psutil

        return int(psutil.Process(pid).memory_info().rss)
    except Exception:  # it is gone, or the system does not say
        return 0
