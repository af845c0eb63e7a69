"""Batches: as many files for one task as take a moment, so that Dask costs next to nothing."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Sequence

from .judge import Job
from .pending import weight

Batch = tuple[Job, ...]

#: Seconds that a batch should take, and how many files it may have.
_SECONDS, _MOST = 2.0, 256
#: A file of more MiB (see ``pending.weight``) has a batch of its own.
_ALONE = 8.0
#: How much the newest batch says of what the next one will take.
_NEWEST = 0.2
#: How often the workers of a batch may die before it is taken apart, and then a file is blamed.
_STRIKES = 5


class Batches:
    """Gives out jobs in batches, and takes back those that were lost.

    Args:
        jobs: all of them.
        count: how many.
    """

    def __init__(self, jobs: Iterator[Job], count: int) -> None:
        self._jobs, self._left = jobs, count
        self._lost: deque[Batch] = deque()
        self._further: deque[Job] = deque()
        self._strikes: Counter[str] = Counter()
        self._cost: float | None = None  # seconds a unit of weight
        self._next: Job | None = None

    def give(self, slots: int) -> Batch | None:
        """The next batch; ``None`` if there is nothing more.

        Args:
            slots: how many batches run at once: near the end, each gets a share of what is left.
        """
        if self._lost:
            return self._lost.popleft()
        if self._further:
            return (self._further.popleft(),)
        batch: list[Job] = []
        most = max(1, min(_MOST, self._left // (3 * max(slots, 1))))
        seconds = 0.0
        while len(batch) < most and (not batch or (self._cost and seconds < _SECONDS)):
            job, self._next = self._next or next(self._jobs, None), None
            if job is None:
                break
            heavy = weight(job.entry) > _ALONE
            if heavy and batch:
                self._next = job
                break
            batch.append(job)
            seconds += (self._cost or 0.0) * weight(job.entry)
            if heavy:
                break
        self._left -= len(batch)
        return tuple(batch) or None

    def add(self, job: Job) -> None:
        """One more, which has a batch of its own and comes before the others."""
        self._further.append(job)

    def forget(self, path: str) -> None:
        """Nobody wants to know any more what comes of the pieces of a clip."""
        self._further = deque(job for job in self._further if job.entry.path != path)
        self._lost = deque(
            batch for batch in self._lost if batch[0].work is None or batch[0].entry.path != path
        )

    def measured(self, batch: Sequence[Job], seconds: float) -> None:
        """A batch took so long."""
        units = sum(weight(job.entry) * job.share for job in batch)
        if not units:
            return
        cost = max(seconds, 1e-6) / units
        self._cost = cost if self._cost is None else self._cost + _NEWEST * (cost - self._cost)

    def take_back(self, batch: Batch) -> None:
        """A batch was lost, by no fault of its own."""
        self._lost.append(batch)

    def strike(self, batch: Batch) -> Job | None:
        """The workers of a batch died, again and again; a job that is to blame, if one is."""
        if len(batch) > 1:
            self._lost.extend((job,) for job in batch)
            return None
        path = batch[0].entry.path
        self._strikes[path] += 1
        if self._strikes[path] >= _STRIKES:
            return batch[0]
        self._lost.append(batch)
        return None
