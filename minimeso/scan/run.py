"""A scan from its beginning to its end: list, compare, judge what is missing, write."""

from __future__ import annotations

import contextlib
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..engine.cores import available_cores
from ..errors import EngineError, InputError, MinimesoError, ModelError
from .assembly import Assembly
from .batches import Batches
from .cluster import StoppedError, local_client, remote_client
from .dataset import Dataset, Writer
from .judge import Answer, OpenJudge
from .limits import Limits
from .pending import Pending, weight
from .schema import Outcome, storable
from .session import LostSchedulerError, Session
from .settings import Settings
from .source import Entry, entries, once
from .task import Plan, end

if TYPE_CHECKING:
    from distributed import Client

#: Seconds in which a scheduler that went away may come back.
_BACK_SECONDS = 600.0
#: Seconds in which Dask starts workers of this machine anew, if it does.
_PATIENCE_SECONDS = 60.0
#: Seconds in which workers hear that the scan is over.
_LET_GO_SECONDS = 3.0
#: So many files on which the model fails, before it judged any, are not to blame.
_FAILURES = 10


@dataclass
class State:
    """How far a scan is.

    Attributes:
        phase: ``listing``, ``starting`` workers, ``judging``, ``waiting`` for a scheduler or
            ``done``.
        found: entries of the source, as far as it was listed.
        is_listed: whether all of it was.
        total: files that are to be judged, or looked at once more.
        done: how many of these are over.
        left: seconds until all are, if known.
        workers: files that are judged at once; 0 if a scheduler has no workers.
        dashboard: address of Dask's own page, if there is one.
        results: of this run, by verdict, or by status where there is none; ``unchanged``: files
            whose content was judged already.
        skipped: what in folders was not looked at, by kind.
        stopped: whether somebody stopped it before its end.
    """

    phase: str = "listing"
    found: int = 0
    is_listed: bool = False
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
        retry: whether files that were given up or could not be read are tried again.
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
        self._failures, self._failing = 0, ""
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
        key = self._plan.make.blamed()["settings"]  # known now, no worker reads models for it
        self._plan = self._plan._replace(scan=uuid.uuid4().hex)
        with self.dataset.store.locked():
            self.dataset.repair()
            index = self.dataset.index(self._retry)
            writer = self.dataset.writer(index)
            with Pending(self._listed(stop, writer.remove), self.dataset, index, key) as pending:
                self.state.total, self._weight = pending.count, pending.weight
                writer.flush()  # rows of folders that could not be listed
                if pending.count and not stop.is_set():
                    self.dataset.describe(key, self._settings.to_json())
                    try:
                        self._judge(Batches(iter(pending), pending.count), writer, stop)
                    finally:
                        writer.flush()
        self.state.stopped |= stop.is_set() and self.state.done < self.state.total
        self._tell("done")
        return self.state

    def _listed(self, stop: threading.Event, listed: Callable[[str], None]) -> Iterator[Entry]:
        source = self._source
        skipped = self.state.skipped
        if isinstance(source, str):
            found = entries(source, self._column, skipped, listed)
        else:
            found = once(source, skipped)
        for entry in found:
            if stop.is_set():
                self.state.stopped = True
                return
            self.state.found += 1
            if self.state.found % 500 == 0:
                self._tell("listing")
            yield entry
        self.state.is_listed = True

    def _judge(self, batches: Batches, writer: Writer, stop: threading.Event) -> None:
        """In one session, or in several if the scheduler goes away and comes back."""

        assembly = Assembly(batches.add, batches.forget)

        def take(answers: list[Answer]) -> None:
            outcomes = assembly.take(answers)
            writer.add(outcomes)
            self._count(outcomes)
            self._weight_of_pieces = assembly.weight
            self._check_model(outcomes)

        def tick(workers: int) -> None:
            writer.add(())  # what came is written in time, even if nothing else comes
            self._tick(workers)

        gone_since: float | None = None
        done_then = -1  # when workers of this machine went away
        self._start = time.monotonic()
        self._tell("starting")
        while not stop.is_set():
            try:
                with self._client(stop) as client:
                    gone_since = None
                    self.state.dashboard = client.dashboard_link
                    session = Session(client, self._plan, batches, take, stop)
                    session.tick = tick
                    if self._scheduler is None:  # whose workers are ours: nobody else starts any
                        session.patience = _PATIENCE_SECONDS
                    try:
                        session.run()
                    except MinimesoError:
                        self._let_go(client)
                        raise
                    self._let_go(client)
                    return
            except StoppedError:
                return
            except LostSchedulerError as error:
                if self._scheduler is None and self.state.done == done_then:
                    raise EngineError(
                        f"the workers of this machine go away ({error}): run it again with fewer "
                        "--workers",
                        0,
                    ) from None
                gone_since, done_then = time.monotonic(), self.state.done
            except InputError:
                # None: it was there, and this is another error, or it never was
                if gone_since is None or time.monotonic() - gone_since > _BACK_SECONDS:
                    raise
            writer.flush()
            self._tell("waiting")
            stop.wait(1.0)

    @contextlib.contextmanager
    def _client(self, stop: threading.Event) -> Iterator[Client]:
        if self._scheduler is not None:
            if self._is_memory():
                raise InputError("memory:// is this process's own: not with --scheduler")
            with remote_client(self._scheduler) as client:
                yield client
            return
        workers = max(1, min(self._workers, self.state.total))
        with local_client(workers, processes=not self._is_memory(), stop=stop) as client:
            yield client

    def _is_memory(self) -> bool:
        return isinstance(self._source, str) and self._source.startswith("memory://")

    def _let_go(self, client: Client) -> None:
        """Workers that are not ours do nothing more for this scan, and keep no processes."""
        if self._scheduler is None and not self._is_memory():
            return

        def tell() -> None:
            with contextlib.suppress(Exception):
                client.run(end, self._plan.scan)

        telling = threading.Thread(target=tell, daemon=True)  # a worker may be stopped, and silent
        telling.start()
        telling.join(_LET_GO_SECONDS)

    def _count(self, outcomes: list[Outcome]) -> None:
        for outcome in outcomes:
            row = outcome.file
            result = "unchanged" if row is None else row["verdict"] or row["status"]
            self.state.results[result] += 1
            self._weight_done += weight(Entry(outcome.path, outcome.bytes))
        self.state.done += len(outcomes)

    def _check_model(self, outcomes: list[Outcome]) -> None:
        """``ModelError`` when the model fails on one file after the other."""
        for outcome in outcomes:
            if outcome.is_model and outcome.file is not None:
                self._failures += 1
                self._failing = self._failing or f"{outcome.path}: {outcome.file['reason']}"
        judged = sum(self.state.results[word] for word in ("fake", "uncertain", "real"))
        if self._failures >= _FAILURES and not judged:
            raise ModelError(
                f"the model judged no file and failed on {self._failures}, such as "
                f"{storable(self._failing)}: name another --model"
            )

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
