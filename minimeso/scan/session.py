"""A session: batches go to a cluster and results come back, until all is done or it is lost.

Dask does the scheduling: what a worker had that dies is done by another one.  Here only so much is
handed over that no worker waits, so neither the scheduler nor this process grows with the archive.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import queue
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from .batches import Batch, Batches
from .judge import Answer
from .pieces import Cut
from .process import Clock
from .schema import given_up
from .task import Plan, judge_batch, packed, unpacked

if TYPE_CHECKING:
    from distributed import Client, Future

#: Seconds between two looks at whether somebody wants to stop, and at how many workers there are.
_LOOK_SECONDS, _COUNT_SECONDS = 0.25, 5.0
#: Seconds after which a scheduler that was asked how many they are, and says nothing, is as good as
#: lost.
_SILENT_SECONDS = 60.0
#: Seconds in which a result arrives; each time that it does not, the others come first, and then it
#: is waited for twice as long, up to so many.  It arrives, or is computed again because its worker
#: died with it, or was stopped, which Dask notices in two minutes.
_RESULT_SECONDS, _MOST_SECONDS = 2.0, 30.0
#: Seconds in which results arrive that are there when somebody stops.
_END_SECONDS = 3.0

#: Statuses of what was done, and is computed again because its worker died with the result.
_AGAIN = ("lost", "pending")

Take = Callable[[list[Answer]], None]


class LostSchedulerError(Exception):
    """The scheduler is gone; what it had is with the batches again."""


class Session:
    """Hands batches to a cluster.

    Args:
        client: of the cluster.
        plan: how files are judged.
        batches: where work comes from.
        take: called with what came of each batch; may give further jobs to the batches.
        stop: set when somebody wants to stop.

    Attributes:
        tick: called several times a second with the number of workers.
        patience: seconds without any worker after which the scheduler is as good as lost.
    """

    def __init__(
        self, client: Client, plan: Plan, batches: Batches, take: Take, stop: threading.Event
    ) -> None:
        self._client, self._plan, self._batches = client, plan, batches
        self._take, self._stop = take, stop
        self._name = f"minimeso-scan-{uuid.uuid4().hex[:12]}"
        self._number = 0
        self._running: dict[str, tuple[Future, Batch]] = {}
        self._late: Counter[str] = Counter()  # how often a result did not arrive
        self._done: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._workers, self._seen = 1, time.monotonic()
        self._census: _Census | None = None
        self.tick: Callable[[int], None] = lambda workers: None
        self.patience = math.inf

    def run(self) -> None:
        """Until everything is done, or somebody wants to stop.

        Raises:
            LostSchedulerError: it cannot be reached any more.
            MinimesoError: what makes judging impossible, whatever the file.
        """
        try:
            while not self._stop.is_set():
                self._hand_over()
                if not self._running:
                    return
                with contextlib.suppress(queue.Empty):
                    self._collect(self._done.get(timeout=_LOOK_SECONDS))
                self.tick(self._workers)
            self._collect_what_is_there()
        finally:
            for future, batch in self._running.values():
                self._batches.take_back(batch)
                future.release()
            self._running.clear()

    def _hand_over(self) -> None:
        self._count_workers()
        slots = max(1, self._workers)
        while len(self._running) < 2 * slots + 2:
            batch = self._batches.give(slots)
            if batch is None:
                return
            self._submit(batch)

    def _submit(self, batch: Batch) -> None:
        self._number += 1
        key = f"{self._name}-{self._number}"
        try:
            future = self._client.submit(
                judge_batch, packed(batch, self._plan), key=key, pure=False
            )
        except Exception as error:
            self._batches.take_back(batch)
            raise LostSchedulerError(str(error)) from None
        self._running[key] = future, batch
        self._await(future)

    def _await(self, future: Future) -> None:
        """Have ``_collect`` called when it is done."""
        future.add_done_callback(lambda future: self._done.put(future.key))

    def _count_workers(self) -> None:
        census = self._census
        if census is None or (census.is_over and census.seconds() > _COUNT_SECONDS):
            census = self._census = _Census(self._client)
        elif not census.is_over and census.seconds() > _SILENT_SECONDS:
            raise LostSchedulerError(f"it says nothing for {_SILENT_SECONDS:g} s")
        workers = census.take()
        if workers is None:
            return
        self._workers, now = workers, time.monotonic()
        if workers:
            self._seen = now
        elif now - self._seen > self.patience:
            raise LostSchedulerError("none is left")

    def _collect(self, key: str, most: float = _MOST_SECONDS) -> None:
        """Take the result of a task, whatever it is, if it arrives within so many seconds."""
        from distributed.scheduler import KilledWorker

        if key not in self._running:
            return
        future, batch = self._running[key]
        if future.status == "cancelled":
            raise LostSchedulerError(future.status)
        if future.status in _AGAIN:
            self._await(future)
            return
        try:
            seconds = min(_RESULT_SECONDS * 2 ** min(self._late[key], 9), most)
            judged = unpacked(future.result(timeout=seconds))
        except (TimeoutError, asyncio.TimeoutError):  # the same from Python 3.11 on
            self._late[key] += 1
            self._await(future)
            return
        except KilledWorker:
            self._forget(key)
            self._strike(batch)
            return
        except Exception as error:
            if future.status == "error":
                raise _known(error) from None
            if future.status in _AGAIN:
                self._await(future)
                return
            raise LostSchedulerError(str(error)) from None
        self._forget(key)
        if not any(isinstance(answer, Cut) for answer in judged.answers):  # which were only read
            self._batches.measured(batch, judged.seconds)
        self._take(judged.answers)

    def _strike(self, batch: Batch) -> None:
        job = self._batches.strike(batch)
        if job is not None:
            reason = "the worker that judged it died, again and again"
            entry, blamed = job.entry, self._plan.make.blamed()
            self._take([given_up(entry.path, entry.bytes, entry.stamp, reason, blamed)])

    def _forget(self, key: str) -> None:
        future, _ = self._running.pop(key)
        del self._late[key]
        future.release()

    def _collect_what_is_there(self) -> None:
        """What is done when somebody stops is not lost, if it arrives soon."""
        until = time.monotonic() + _END_SECONDS
        while (left := until - time.monotonic()) > 0:
            try:
                self._collect(self._done.get_nowait(), left)
            except (queue.Empty, LostSchedulerError):
                return


class _Census:
    """How many workers there are, asked in a thread: a scheduler that is stopped never answers.

    Attributes:
        seconds: since it was asked.
        is_over: whether it answered, or cannot be asked.
    """

    def __init__(self, client: Client) -> None:
        self._found: int | None = None
        self.seconds, self.is_over = Clock(), False
        thread = threading.Thread(target=self._ask, args=(client,), daemon=True)
        thread.start()
        thread.join(_LOOK_SECONDS)  # the answer comes at once, mostly

    def _ask(self, client: Client) -> None:
        # Dask's errors are of many kinds: if the scheduler is gone, the results say so
        with contextlib.suppress(Exception):
            self._found = sum(client.nthreads().values())
        self.is_over = True

    def take(self) -> int | None:
        """The number, if it is known; once."""
        found, self._found = self._found, None
        return found


def _known(error: BaseException) -> BaseException:
    """An error of a worker, as one of ours where it is none."""
    from ..errors import EngineError, MinimesoError

    if isinstance(error, MinimesoError):
        return error
    return EngineError(f"a worker failed: {type(error).__name__}: {str(error)[:300]}", 0)
