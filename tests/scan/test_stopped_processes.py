"""Processes that judge and are stopped, killed or abandoned, whenever that happens."""

from __future__ import annotations

import errno
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

pytest.importorskip("distributed")
pytest.importorskip("pyarrow")

from support.scans import children_with, stubs, workers
from support.stub_judges import Stub

from minimeso.errors import EngineError
from minimeso.scan import Limits, Scan, cluster, task
from minimeso.scan import process as module
from minimeso.scan.cluster import local_client
from minimeso.scan.judge import Job
from minimeso.scan.pieces import Work
from minimeso.scan.process import AbandonedError, BrokenJudgeError, JudgeProcess
from minimeso.scan.schema import Outcome
from minimeso.scan.task import Plan, packed, unpacked

pytest_plugins = ["support.leftovers"]

if not hasattr(signal, "SIGSTOP"):
    pytest.skip("this system stops no processes", allow_module_level=True)


@pytest.fixture
def process() -> Iterator[JudgeProcess]:
    found = JudgeProcess(Stub(seconds=0.5), Limits(stall=2.0), None)
    yield found
    found.close()


def judged(process: JudgeProcess, *names: str) -> list[str]:
    """Statuses of some files."""
    found = []
    for entry in stubs(*names):
        outcome = process.judge(Job(entry))
        assert isinstance(outcome, Outcome) and outcome.file is not None
        found.append(outcome.file["status"])
    return found


def children() -> list[psutil.Process]:
    return children_with("minimeso.scan.child")


def meanwhile(call: Any) -> threading.Thread:
    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    return thread


def test_a_process_that_is_killed_or_stopped_at_its_start_is_started_anew(
    process: JudgeProcess,
) -> None:
    """The scan ended of it; where it was stopped after five minutes."""
    process._limits = Limits(stall=0.1)
    found: list[psutil.Process] = []

    def kill() -> None:
        while len(found) < 3:
            for child in children():
                if child not in found:
                    found.append(child)
                    with suppress(psutil.NoSuchProcess):
                        child.suspend() if len(found) == 1 else child.kill()
            time.sleep(0.002)

    thread = meanwhile(kill)
    process._ensure()
    thread.join()
    assert process.pid not in [child.pid for child in found] and not found[0].is_running()


def test_a_process_that_always_ends_at_its_start(
    process: JudgeProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_CHILD", "raise SystemExit(7)")
    with pytest.raises(BrokenJudgeError, match="cannot be started: exit status 7"):
        process.judge(Job(stubs("a")[0]))


def test_a_system_that_refuses_for_the_moment(
    process: JudgeProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused: list[int] = []
    start = module.subprocess.Popen

    def refuse(*arguments: Any, **options: Any) -> Any:
        if len(refused) < 2:
            refused.append(1)
            raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
        return start(*arguments, **options)

    monkeypatch.setattr(module, "_PAUSE_SECONDS", 0.1)
    monkeypatch.setattr(module.subprocess, "Popen", refuse)
    assert judged(process, "a") == ["ok"] and len(refused) == 2


def test_a_file_is_not_blamed_where_its_process_was_stopped(process: JudgeProcess) -> None:
    judged(process, "a")
    assert process.pid is not None
    os.kill(process.pid, signal.SIGSTOP)
    assert judged(process, "b") == ["ok"]


def test_a_process_that_is_stopped_takes_no_long_message(process: JudgeProcess) -> None:
    """Which more than fills the pipe to it: who waits until it is taken waits for ever."""
    judged(process, "a")
    assert process.pid is not None
    os.kill(process.pid, signal.SIGSTOP)
    (entry,) = stubs("b")
    cut: Any = None
    found = process.judge(Job(entry, work=Work(cut, pieces=(b"x" * (1 << 20),))))
    assert isinstance(found, Outcome) and found.file is not None and found.file["status"] == "ok"


def test_time_in_which_all_are_stopped_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """As by Ctrl-Z, or while a computer sleeps: a file was given up after ``fg``."""
    times = iter([0.0, 0.1, 0.2, 500.2, 500.3])
    # not in `time` itself: threads that others left behind ask that, too
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: next(times)))
    clock = module.Clock()
    assert [clock() for _ in range(4)] == pytest.approx([0.1, 0.2, 1.2, 1.3])


def test_who_is_abandoned_ends_at_once(tmp_path: Path) -> None:
    """Workers of a scheduler went on for hours, and kept their processes."""
    plan = Plan(Stub(str(tmp_path / "log")), Limits(), "a scan")
    jobs = [Job(entry) for entry in stubs("hang", "another")]
    found: list[BaseException] = []

    def judge() -> None:
        try:
            task.judge_batch(packed(jobs, plan))
        except AbandonedError as error:
            found.append(error)

    thread = meanwhile(judge)
    while not (tmp_path / "log").exists():
        time.sleep(0.01)
    task.end("another scan")
    assert thread.is_alive()
    task.end("a scan")
    thread.join(5)
    assert found and not children() and not task._busy and not task._idle
    with pytest.raises(AbandonedError):
        task.judge_batch(packed(jobs[1:], plan))
    other = plan._replace(scan="another")
    assert len(unpacked(task.judge_batch(packed(jobs[1:], other))).answers) == 1
    task.close()


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::RuntimeWarning")
@pytest.mark.usefixtures("no_leftovers")
def test_no_worker_is_left_whatever_it_does() -> None:
    """Python would wait for it for ever, as it does not hear the SIGTERM that ends it else."""
    with local_client(2) as client:
        client.submit(int, 3).result()
        family = workers()
        family[0].suspend()
        start = time.monotonic()
    assert len(family) == 2 and not psutil.wait_procs(family, timeout=10)[1] and not workers()
    assert time.monotonic() - start < 30


def at_the_start_of_each(do: Any) -> threading.Event:
    """Do something to each worker that is started, until the event is set."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.02):
            for worker in workers():
                with suppress(psutil.NoSuchProcess):
                    do(worker)

    meanwhile(watch)
    return over


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::RuntimeWarning")
@pytest.mark.usefixtures("no_leftovers")
@pytest.mark.parametrize("do", [psutil.Process.kill, psutil.Process.suspend])
def test_workers_that_cannot_start(do: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A scan waited for ever for those that neither died nor said anything, and then ended, though
    only one was stopped, and once."""
    monkeypatch.setattr(cluster, "_STARTS", 2)
    monkeypatch.setattr(cluster, "_STOPPED_SECONDS", 0.1)
    said = "Nanny failed to start worker"
    over = at_the_start_of_each(do)
    try:
        with pytest.raises(EngineError, match=f"{said}.*fewer --workers"), local_client(1):
            pass
    finally:
        over.set()
    assert not psutil.wait_procs(workers(), timeout=10)[1]  # killed ones take a moment


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::RuntimeWarning")
@pytest.mark.usefixtures("no_leftovers")
def test_who_stops_while_workers_start_need_not_wait(tmp_path: Path) -> None:
    """For two minutes, where they say nothing."""
    stop, over = threading.Event(), at_the_start_of_each(psutil.Process.suspend)

    def on_progress(state: Any) -> None:
        if state.phase == "starting":
            threading.Timer(1.0, stop.set).start()

    start = time.monotonic()
    try:
        state = Scan(stubs("a"), str(tmp_path), make=Stub(), workers=1).run(on_progress, stop)
    finally:
        over.set()
    assert state.stopped and state.done == 0 and time.monotonic() - start < 30
    assert not psutil.wait_procs(workers(), timeout=10)[1]  # killed ones take a moment


def test_a_cluster_that_comes_up_too_late_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = threading.Event()

    class Slow:
        def __init__(self, **_: object) -> None:
            time.sleep(1.0)

        def close(self, timeout: float) -> None:
            closed.set()

    monkeypatch.setattr("distributed.LocalCluster", Slow)
    monkeypatch.setattr(cluster, "_START_SECONDS", 0.0)
    monkeypatch.setattr(cluster, "_MORE_SECONDS", 0.0)
    with pytest.raises(EngineError, match="not there after 0 s"), local_client(1):
        pass
    assert closed.wait(10)


@pytest.mark.parametrize("stops", [False, True])
def test_a_cluster_that_comes_up_at_the_last_moment_is_taken(
    stops: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was there, and nobody closed it, where it came between the last look and the end."""

    class Late(Future[Any]):
        def cancel(self) -> bool:
            if not self.done():
                self.set_result("cluster")
            return super().cancel()

    monkeypatch.setattr(cluster, "_begun", lambda options: (Late(), threading.Thread()))
    stop = threading.Event()
    if stops:
        stop.set()
    assert cluster._started(stop, set(), 60.0 if stops else 0.0) == "cluster"
