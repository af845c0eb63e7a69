"""A scan from its beginning to its end: list, compare, judge what is missing, write."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..engine.cores import available_cores
from ..errors import InputError
from .assembly import Assembly
from .batches import Batches
from .cluster import local_client, remote_client
from .dataset import Dataset, Writer
from .judge import Answer, OpenJudge
from .limits import Limits
from .pending import Pending, weight
from .schema import Outcome
from .session import LostSchedulerError, Session
from .settings import Settings
from .source import Entry, entries
from .task import Plan
from .task import close as close_processes

if TYPE_CHECKING:
    from distributed import Client

#: Seconds in which a scheduler that went away may come back.
_BACK_SECONDS = 600.0


@dataclass
class State:
    """How far a scan is.

    Attributes:
        phase: ``listing``, ``starting`` workers, ``judging``, ``waiting`` for a scheduler or
            ``done``.
        found: entries of the source, as far as it was listed.
        total: files that are to be judged, or looked at once more.
        done: how many of these are over.
        left: seconds until all are, if known.
        workers: files that are judged at once.
        dashboard: address of Dask's own page, if there is one.
        results: of this run, by verdict, or by status where there is none; ``unchanged``: files
            whose content was judged already.
        skipped: what in folders was not looked at, by kind.
        stopped: whether somebody stopped it before its end.
    """

    phase: str = "listing"
    found: int = 0
    total: int = 0
    done: int = 0
    left: float | None = None
    workers: int = 0
    dashboard: str | None = None
    results: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    stopped: bool = False


class Scan:
    """Judges everything that a source has and a data set lacks.

    Args:
        source: see ``source.entries``; or the entries themselves.
        out: folder of the data set, or its address.
        settings: how files are judged.
        column: of a table.
        limits: of each file.
        workers: processes of this machine; by default one per available core.
        scheduler: address of a Dask scheduler, in place of ``workers``.
        retry: whether files that were given up are tried again.
        make: makes the judge; by default one with a detector of ``settings``.

    Raises:
        InputError: ``workers`` beside ``scheduler``, or ``out`` is no data set.
    """

    def __init__(
        self,
        source: str | Iterable[Entry],
        out: str,
        settings: Settings | None = None,
        *,
        column: str | None = None,
        limits: Limits | None = None,
        workers: int | None = None,
        scheduler: str | None = None,
        retry: bool = False,
        make: Any = None,
    ) -> None:
        if workers is not None and scheduler is not None:
            raise InputError("--workers is for this machine: the scheduler has its own")
        self.state = State()
        self.dataset = Dataset(out)
        self._source, self._column = source, column
        self._settings = settings or Settings()
        self._plan = Plan(make or OpenJudge(self._settings), limits or Limits())
        self._workers = workers or available_cores()
        self._scheduler, self._retry = scheduler, retry
        self._on_progress: Callable[[State], None] = lambda state: None
        self._weight_done = self._weight_of_pieces = self._weight = self._start = 0.0

    def run(
        self,
        on_progress: Callable[[State], None] | None = None,
        stop: threading.Event | None = None,
    ) -> State:
        """Do it; what was found is on the disk at the end, however that comes.

        Args:
            on_progress: called several times a second.
            stop: when it is set, the scan ends soon.

        Raises:
            InputError: there is no such source, or no scheduler.
            OutputError: the data set cannot be written.
            MinimesoError: nothing can be judged so.
        """
        self._on_progress = on_progress or self._on_progress
        stop = stop or threading.Event()
        key = self._plan.make.key
        with self.dataset.store.locked():
            self.dataset.repair()
            index = self.dataset.index(self._retry)
            with Pending(self._listed(stop), self.dataset, index, key) as pending:
                self.state.total, self._weight = pending.count, pending.weight
                if pending.count and not stop.is_set():
                    self.dataset.describe(key, self._settings.to_json())
                    writer = self.dataset.writer(index)
                    try:
                        self._judge(Batches(iter(pending), pending.count), writer, stop)
                    finally:
                        writer.flush()
        self.state.stopped = stop.is_set() and self.state.done < self.state.total
        self._tell("done")
        return self.state

    def _listed(self, stop: threading.Event) -> Iterator[Entry]:
        source = self._source
        listed = (
            entries(source, self._column, self.state.skipped) if isinstance(source, str) else source
        )
        for entry in listed:
            if stop.is_set():
                self.state.stopped = True
                return
            self.state.found += 1
            if self.state.found % 500 == 0:
                self._tell("listing")
            yield entry

    def _judge(self, batches: Batches, writer: Writer, stop: threading.Event) -> None:
        """In one session, or in several if the scheduler goes away and comes back."""

        assembly = Assembly(batches.add)

        def take(answers: list[Answer]) -> None:
            outcomes = assembly.take(answers)
            writer.add(outcomes)
            self._count(outcomes)
            self._weight_of_pieces = assembly.weight

        gone_since: float | None = None
        self._start = time.monotonic()
        self._tell("starting")
        while not stop.is_set():
            try:
                with self._client() as client:
                    gone_since = None
                    self.state.dashboard = client.dashboard_link
                    session = Session(client, self._plan, batches, take, stop)
                    session.tick = self._tick
                    session.run()
                    self._let_go(client)
                    return
            except (LostSchedulerError, InputError) as error:
                if self._scheduler is None or not self._may_come_back(error, gone_since):
                    raise
                gone_since = gone_since or time.monotonic()
                writer.flush()
                self._tell("waiting")
                stop.wait(1.0)

    def _may_come_back(self, error: Exception, gone_since: float | None) -> bool:
        if isinstance(error, InputError) and gone_since is None:
            return False  # it was never there
        return gone_since is None or time.monotonic() - gone_since < _BACK_SECONDS

    @contextlib.contextmanager
    def _client(self) -> Iterator[Client]:
        if self._scheduler is not None:
            if self._is_memory():
                raise InputError("memory:// is this process's own: not with --scheduler")
            with remote_client(self._scheduler) as client:
                yield client
            return
        workers = max(1, min(self._workers, self.state.total))
        with local_client(workers, processes=not self._is_memory()) as client:
            yield client

    def _is_memory(self) -> bool:
        return isinstance(self._source, str) and self._source.startswith("memory://")

    def _let_go(self, client: Client) -> None:
        """Workers that are not ours keep no processes that judge."""
        if self._scheduler is not None or self._is_memory():
            with contextlib.suppress(Exception):
                client.run(close_processes)

    def _count(self, outcomes: list[Outcome]) -> None:
        for outcome in outcomes:
            row = outcome.file
            result = "unchanged" if row is None else row["verdict"] or row["status"]
            self.state.results[result] += 1
            self._weight_done += weight(Entry(outcome.path, outcome.bytes))
        self.state.done += len(outcomes)

    def _tick(self, workers: int) -> None:
        state, done = self.state, self._weight_done + self._weight_of_pieces
        state.workers = workers
        if done:
            gone = time.monotonic() - self._start
            state.left = gone * max(self._weight - done, 0.0) / done
        self._tell("judging")

    def _tell(self, phase: str) -> None:
        self.state.phase = phase
        self._on_progress(self.state)
