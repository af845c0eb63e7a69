"""What a worker of Dask does: a batch of files, one after the other, by a process that judges.

A worker has as many processes as it runs tasks at once, and keeps them from batch to batch.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import pickle
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from .addresses import filesystem, is_address
from .copies import Copy
from .judge import Answer, Job
from .limits import Limits
from .process import JudgeProcess


class Plan(NamedTuple):
    """How files are judged.

    Attributes:
        make: makes the judge, see ``judge.OpenJudge``.
        limits: of each file.
        scan: a name of the scan, by which ``end`` finds what works for it.
    """

    make: Any
    limits: Limits
    scan: str = ""


class Judged(NamedTuple):
    """A batch that is done: what came of each job, and how long all took in seconds."""

    answers: list[Answer]
    seconds: float


_idle: list[tuple[str, JudgeProcess]] = []
_busy: list[tuple[str, JudgeProcess]] = []  # by the name of the scan
_ended: set[str] = set()
_lock = threading.Lock()


def judge_batch(data: bytes) -> bytes:
    """What Dask calls: ``judge_jobs`` of what ``packed`` made.

    Dask looks into what it is given and gets, piece by piece, which takes longer than all the rest.
    """
    jobs, plan = pickle.loads(data)
    return pickle.dumps(judge_jobs(jobs, plan), pickle.HIGHEST_PROTOCOL)


def packed(jobs: Sequence[Job], plan: Plan) -> bytes:
    """A batch as ``judge_batch`` takes it."""
    return pickle.dumps((tuple(jobs), plan), pickle.HIGHEST_PROTOCOL)


def unpacked(data: bytes) -> Judged:
    """What ``judge_batch`` gave."""
    judged: Judged = pickle.loads(data)
    return judged


def judge_jobs(jobs: Sequence[Job], plan: Plan) -> Judged:
    """Judge some files; what happens to one is in its answer.

    Raises:
        BrokenJudgeError: no process can be started that judges.
        AbandonedError: the scan is over.
        OutputError: there is no room for a copy of a file.
    """
    start = time.monotonic()
    with _process(plan) as process:
        answers = [_judged(process, job) for job in jobs]
    return Judged(answers, time.monotonic() - start)


def _judged(process: JudgeProcess, job: Job) -> Answer:
    address = job.entry.path
    if not (is_address(address) and address.startswith("memory://")):
        return process.judge(job)
    fs, place = filesystem(address)  # only this process has it
    with Copy(address) as copy:
        with contextlib.suppress(FileNotFoundError), fs.open(place, "rb") as file:
            copy.take(file, lambda: None)
        return process.judge(job._replace(copy=copy.name))


@contextlib.contextmanager
def _process(plan: Plan) -> Iterator[JudgeProcess]:
    """A process that judges so: an idle one, or a new one."""
    key = f"{plan.make.key} {plan.limits}"
    found = None
    with _lock:
        others = [process for known, process in _idle if known != key]
        same = [process for known, process in _idle if known == key]
        if same:
            found = same.pop()
        _idle[:] = [(key, process) for process in same]
        process = found or JudgeProcess(plan.make, plan.limits, _scratch())
        process.is_over = plan.scan in _ended
        _busy.append((plan.scan, process))
    for other in others:
        other.close()
    try:
        yield process
    except BaseException:
        process.close()
        raise
    finally:
        with _lock:
            _busy.remove((plan.scan, process))
    with _lock:
        if not process.is_over:
            _idle.append((key, process))
            return
    process.close()


def end(scan: str) -> None:
    """Nobody waits for what works for a scan: end that, and all that is idle."""
    with _lock:
        _ended.add(scan)
        for name, process in _busy:
            process.is_over |= name == scan
    close()


def _scratch() -> str | None:
    """Dask's folder of this worker, which it clears up after a worker that died, too."""
    from distributed import get_worker

    try:
        return str(get_worker().local_directory)
    except ValueError:  # no worker: called as a function
        return None


@atexit.register
def close() -> None:
    """End all processes that are idle."""
    with _lock:
        found = [process for _, process in _idle]
        _idle.clear()
    for process in found:
        process.close()


def pids() -> list[int]:
    """This process, and the idle ones of it that judge."""
    with _lock:
        return [os.getpid(), *(p.pid for _, p in _idle if p.pid is not None)]


def dask_setup(_worker: object) -> None:
    """Called by Dask when a worker starts: Ctrl-C is for who started the scan."""
    with contextlib.suppress(ValueError):  # not the main thread
        signal.signal(signal.SIGINT, signal.SIG_IGN)
