"""Clusters: workers of this machine, or the scheduler that somebody runs already."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..errors import EngineError, InputError

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
}
#: How often the start of a local cluster is tried.
_STARTS = 3


@contextlib.contextmanager
def local_client(workers: int, *, processes: bool = True) -> Iterator[Client]:
    """A client of a new cluster on this machine, which ends with it.

    Args:
        workers: how many; each judges one file at a time.
        processes: whether workers have processes of their own; if not, they see what only this
            one has, such as ``memory://``.
    """
    import dask
    from distributed import Client

    with dask.config.set(_SETTINGS), quiet():
        cluster = _started(
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
            with contextlib.suppress(Exception):
                cluster.close(timeout=5)


def _started(**options: Any) -> Any:
    """A cluster; begun once more if a worker dies before it is there."""
    from distributed import LocalCluster

    for left in reversed(range(_STARTS)):
        try:
            return LocalCluster(**options)
        except Exception as error:  # of whatever did not come up
            if not left:
                raise EngineError(f"no workers can be started here: {error}", 0) from None
    raise AssertionError


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
