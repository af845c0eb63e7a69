"""A cluster that judges at once, by itself, and may lose what it has."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

from minimeso.scan.task import Judged


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


class Instant(Client):
    """A cluster that judges at once, by itself."""

    dashboard_link = None
