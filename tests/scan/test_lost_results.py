"""A session whose worker dies with a result that is done, but not fetched yet."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("distributed")
pytest.importorskip("pyarrow")

from support.scans import numbered
from support.stub_judges import Stub

from minimeso.scan.batches import Batches
from minimeso.scan.judge import Job
from minimeso.scan.limits import Limits
from minimeso.scan.session import LostSchedulerError, Session
from minimeso.scan.task import Judged, Plan


class LateFuture:
    """Of a task whose result is lost at first, in one way or another, and then computed again."""

    def __init__(self, key: str, data: bytes, ways: list[str]) -> None:
        self.key, self._data, self._ways = key, data, ways
        self.status = "finished"

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        self.status = "finished"
        if self._ways and self._ways[0] != "while it is fetched":
            self.status = self._ways.pop(0)
        callback(self)

    def result(self, timeout: float) -> bytes:
        if self._ways and self._ways[0] == "while it is fetched":
            self._ways.pop(0)
            self.status = "lost"
            raise RuntimeError("the worker is gone")
        return self._data

    def release(self) -> None:
        pass


class Client:
    """Judges at once, by itself."""

    def __init__(self, *ways: str) -> None:
        self._ways = list(ways)

    def nthreads(self) -> dict[str, int]:
        return {"worker": 1}

    def submit(self, call: Any, data: bytes, key: str, pure: bool) -> LateFuture:
        ways, self._ways = self._ways, []
        return LateFuture(key, _judged(data), ways)


def _judged(data: bytes) -> bytes:
    jobs, plan = pickle.loads(data)
    judge = plan.make(None)
    return pickle.dumps(Judged([judge(job, lambda: None) for job in jobs], 0.1))


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


def test_a_scheduler_that_is_gone_is_told() -> None:
    with pytest.raises(LostSchedulerError):
        session(Client("cancelled"), []).run()
