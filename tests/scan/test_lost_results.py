"""A session whose worker dies with a result that is done, but not fetched yet."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("distributed")
pytest.importorskip("pyarrow")

from support.instant import Client
from support.scans import numbered
from support.stub_judges import Stub

from minimeso.scan import session as module
from minimeso.scan.batches import Batches
from minimeso.scan.judge import Job
from minimeso.scan.limits import Limits
from minimeso.scan.session import LostSchedulerError, Session
from minimeso.scan.task import Plan


def session(client: Client, found: list[Any]) -> Session:
    jobs = [Job(entry) for entry in numbered(5)]
    batches = Batches(iter(jobs), len(jobs))
    plan = Plan(Stub(), Limits())
    dask: Any = client  # as much of a client as a session asks for
    return Session(dask, plan, batches, found.extend, threading.Event())


@pytest.mark.parametrize(
    "ways",
    [[], ["lost"], ["lost", "lost"], ["pending"], ["while it is fetched"], ["lost", "pending"]],
)
def test_a_result_that_is_lost_is_waited_for(ways: list[str]) -> None:
    found: list[Any] = []
    session(Client(*ways), found).run()
    assert sorted(outcome.path for outcome in found) == [entry.path for entry in numbered(5)]


class Deserted(Client):
    """Its workers died, and nobody starts others."""

    def nthreads(self) -> dict[str, int]:
        return {}

    def submit(self, call: Any, data: bytes, key: str, pure: bool) -> Any:
        return SimpleNamespace(key=key, add_done_callback=lambda _: None, release=lambda: None)


def test_workers_of_this_machine_that_are_all_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where each is killed while Dask starts it: it tries that no more."""
    monkeypatch.setattr(module, "_COUNT_SECONDS", 0.1)
    deserted = session(Deserted(), [])
    deserted.patience = 0.5
    with pytest.raises(LostSchedulerError, match="none is left"):
        deserted.run()


class Frozen(Deserted):
    """Its scheduler is stopped: it is there, and never answers."""

    def nthreads(self) -> dict[str, int]:
        threading.Event().wait()
        return {}


def test_who_stops_does_not_wait_for_a_scheduler_that_is_stopped() -> None:
    """Ctrl-C was not heard."""
    left = session(Frozen(), [])
    left.tick = lambda _: left._stop.set()
    left.run()


def test_a_scheduler_that_never_answers_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_COUNT_SECONDS", 0.1)
    monkeypatch.setattr(module, "_SILENT_SECONDS", 0.4)
    with pytest.raises(LostSchedulerError, match="says nothing"):
        session(Frozen(), []).run()


class Silent(Client):
    """The worker of the first task is stopped when that is done; it has the result."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self._times = times

    def submit(self, call: Any, data: bytes, key: str, pure: bool) -> Any:
        future = super().submit(call, data, key, pure)
        if key.endswith("-1"):
            result: Any = future.result

            def late(timeout: float) -> Any:
                self._times -= 1
                if self._times >= 0:
                    time.sleep(timeout)
                    raise TimeoutError
                return result(timeout)

            future.result = late  # type: ignore[method-assign]  # of this one
        return future


def test_a_worker_that_is_stopped_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """For two minutes nothing was taken from the others."""
    monkeypatch.setattr(module, "_RESULT_SECONDS", 0.02)
    found: list[Any] = []
    session(Silent(3), found).run()
    assert [outcome.path for outcome in found][-1] == numbered(5)[0].path and len(found) == 5


def test_who_stops_does_not_wait_for_a_worker_that_is_stopped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_RESULT_SECONDS", 0.1)
    monkeypatch.setattr(module, "_END_SECONDS", 1.0)
    found: list[Any] = []
    left = session(Silent(1 << 20), found)
    left.tick = lambda _: left._stop.set() if len(found) == 4 else None
    start = time.monotonic()
    left.run()
    assert len(found) == 4 and time.monotonic() - start < 10


def test_a_scheduler_that_is_gone_is_told() -> None:
    with pytest.raises(LostSchedulerError):
        session(Client("cancelled"), []).run()
