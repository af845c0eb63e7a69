"""Clusters: workers of this machine, or the scheduler that somebody runs already."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import signal
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import Future, wait
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, Any

from ..errors import EngineError, InputError
from .process import Clock, is_stopped

if TYPE_CHECKING:
    from distributed import Client

#: Dask's settings for workers of this machine.
_SETTINGS: dict[str, Any] = {
    # A worker that dies takes its task with it, and no file is to blame: files have processes of
    # their own.  So a task may meet many such deaths.
    "distributed.scheduler.allowed-failures": 1000,
    # A worker only waits for its child: what Dask would measure of it fifty times a second takes
    # 4 % of a core from each (NOTES.md).
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "500ms",
    "distributed.admin.system-monitor.interval": "5s",
    "distributed.scheduler.work-stealing-interval": "1s",
    # A worker that says nothing is replaced: it does little itself, so it could say something.
    "distributed.scheduler.worker-ttl": "60s",
}
#: How often the start of a local cluster is tried, whose workers die meanwhile.
_STARTS = 5
#: Seconds between two looks at whether it is.
_LOOK_SECONDS = 0.25
#: Seconds in which it is there, and more for each worker: they may be many for few cores.
_START_SECONDS, _MORE_SECONDS = 120.0, 5.0
#: Seconds after which a worker that somebody stopped (SIGSTOP) at its start is started anew, and in
#: which a start that nobody waits for any more ends.
_STOPPED_SECONDS, _END_SECONDS = 5.0, 5.0


class StoppedError(Exception):
    """Somebody wants to stop before there are workers."""


@contextlib.contextmanager
def local_client(
    workers: int, *, processes: bool = True, stop: threading.Event | None = None
) -> Iterator[Client]:
    """A client of a new cluster on this machine, which ends with it.

    Args:
        workers: how many; each judges one file at a time.
        processes: whether workers have processes of their own; if not, they see what only this
            one has, such as ``memory://``.
        stop: set when somebody wants to stop.

    Raises:
        StoppedError: ``stop`` was set before the workers were there.
        EngineError: workers die at their start again and again, or are not there in time.
    """
    import dask
    from distributed import Client

    with dask.config.set(_SETTINGS), quiet(), _in_a_folder(), _none_left() as others:
        cluster = _started(
            stop or threading.Event(),
            others,
            _START_SECONDS + _MORE_SECONDS * workers,
            n_workers=workers if processes else 1,
            threads_per_worker=1 if processes else workers,
            processes=processes,
            host="127.0.0.1",
            protocol="tls",
            security=True,  # a key for this cluster: other users of this machine have no say
            dashboard_address="127.0.0.1:0",
            memory_limit=0,  # what grows are the processes that judge, which are watched
            silence_logs=logging.CRITICAL,
            preload=["minimeso.scan.task"] if processes else [],
        )
        try:
            client = Client(cluster, set_as_default=False)
            try:
                yield client
            finally:
                with contextlib.suppress(Exception):
                    client.close(timeout=2)
        finally:
            for worker in cluster.workers.values() if processes else ():
                worker.close_gracefully()  # it is not started anew
            _kill_workers(others)
            with contextlib.suppress(Exception):
                cluster.close(timeout=5)


@contextlib.contextmanager
def _in_a_folder() -> Iterator[None]:
    """Where the current folder was deleted, Python starts no workers, and Dask does not notice.

    An empty one takes its place, in which, too, no relative path leads anywhere.
    """
    try:
        os.getcwd()  # noqa: PTH109
    except FileNotFoundError:
        with tempfile.TemporaryDirectory(prefix="minimeso-") as folder:
            os.chdir(folder)
            yield
    else:
        yield


@contextlib.contextmanager
def _none_left() -> Iterator[set[BaseProcess]]:
    """No workers are left at the end; yields processes that are none of ours.

    Python, when it ends, waits for ever for those that do not hear its SIGTERM (``_deaf``).
    """
    others = set(multiprocessing.active_children())
    try:
        yield others
    finally:
        _kill_workers(others)


def _kill_workers(others: set[BaseProcess]) -> None:
    """Nothing is wanted of them any more; left to themselves they need seconds to end."""
    for child in _workers(others):
        with contextlib.suppress(ValueError):  # it was closed meanwhile
            child.kill()


def _workers(others: set[BaseProcess]) -> list[BaseProcess]:
    new = set(multiprocessing.active_children()) - others
    return [child for child in new if "Dask Worker" in child.name]


class _Stopped:
    """Kills workers that are stopped for some seconds, and that Dask would wait for."""

    def __init__(self, others: set[BaseProcess]) -> None:
        self._others = others
        self._since: dict[BaseProcess, float] = {}

    def look(self, now: float) -> None:
        for child in _workers(self._others):
            with contextlib.suppress(ValueError):  # as above
                if child.pid is None or not is_stopped(child.pid):
                    self._since.pop(child, None)
                elif now - self._since.setdefault(child, now) > _STOPPED_SECONDS:
                    child.kill()


def _started(
    stop: threading.Event, others: set[BaseProcess], seconds: float, **options: Any
) -> Any:
    """A cluster; begun once more if a worker dies before it is there.

    Dask waits for ever for a worker that neither dies nor says anything.
    """
    said = f"not there after {seconds:g} s"
    for _ in range(_STARTS):
        (future, thread), clock, stopped = _begun(options), Clock(), _Stopped(others)
        try:
            while not (future.done() or stop.is_set() or (now := clock()) >= seconds):
                stopped.look(now)
                wait([future], _LOOK_SECONDS)
            if not future.cancel():  # it is there, maybe since the last look
                return future.result()
        except Exception as error:  # of whatever did not come up
            said = str(_cause(error))
            continue
        finally:
            future.cancel()  # when Ctrl-C came
        _kill_workers(others)
        thread.join(_END_SECONDS)  # else Python, when it ends, finds a cluster that is half there
        if stop.is_set():
            raise StoppedError
        break
    raise EngineError(
        f"no workers can be started here ({said}): free memory, or run it again with fewer "
        "--workers",
        0,
    )


def _begun(options: dict[str, Any]) -> tuple[Future[Any], threading.Thread]:
    """A cluster that comes up in a thread; it is closed if nobody wants it any more."""
    from distributed import LocalCluster

    future: Future[Any] = Future()

    def begin() -> None:
        cluster, failure = None, None
        try:
            with _deaf():
                cluster = LocalCluster(**options)
        except Exception as error:
            failure = error
        if not future.set_running_or_notify_cancel():
            with contextlib.suppress(Exception):
                if cluster is not None:
                    cluster.close(timeout=5)
        elif failure is not None:
            future.set_exception(failure)
        else:
            future.set_result(cluster)

    thread = threading.Thread(target=begin, daemon=True)
    thread.start()
    return future, thread


def _cause(error: BaseException) -> BaseException:
    """What Dask's errors of errors began with."""
    return error if error.__cause__ is None else _cause(error.__cause__)


@contextlib.contextmanager
def _deaf() -> Iterator[None]:
    """Who is started meanwhile never hears Ctrl-C, which a terminal sends to all, nor SIGTERM,
    which `systemd` does; who starts it hears them afterwards.

    Dask would start the workers that SIGTERM ended anew while it closes, and wait for them.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # else the first worker starts it, and hears again after that
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def remote_client(address: str, seconds: float = 10.0) -> Iterator[Client]:
    """A client of the scheduler at an address, such as ``tcp://10.0.0.1:8786``.

    Raises:
        InputError: there is none within so many seconds.
    """
    from distributed import Client

    with quiet():
        try:
            client = Client(address, timeout=seconds, set_as_default=False)
        except (OSError, ValueError, ImportError) as error:
            raise InputError(
                f"{address}: no scheduler answers ({str(error)[:200]}): start one with dask "
                "scheduler, and workers with dask worker"
            ) from None
        try:
            yield client
        finally:
            with contextlib.suppress(Exception):
                client.close(timeout=2)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Dask says in its log what is told better here."""
    log = logging.getLogger("distributed")
    before = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(before)
