"""Prefetch: an iterator that works in a thread of its own while its consumer is busy.

Decoding, finding and scoring release the interpreter's lock, so each of them in a thread keeps the
cores busy.  The queue between two of them is short: whoever is faster waits, and memory stays flat.
"""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from typing import Generic, TypeVar

from ..closing import Closing

T = TypeVar("T")

#: Seconds.  Waiting in slices lets Ctrl-C through where a lock cannot be interrupted (Windows).
_SLICE = 0.5
#: Seconds that closing waits for the iterator's step to end; no thread can be stopped by force.
_PATIENCE = 2.0


def prefetch(iterable: Iterable[T], depth: int) -> Prefetch[T]:
    """Iterate in a thread of its own, at most ``depth`` items ahead of the consumer.

    Order is kept, and an exception reaches the consumer at the place where it was raised.  Used as
    a context manager, or closed, or forgotten, it stops the thread: the iterator gets no further
    call, a generator is closed in its own thread, and what was prepared is dropped.  An iterable
    with a method ``stop`` is told, so that it ends early: clips have one, and what ``prefetch``
    returns.  A chain of threads is best closed at its source first.

    Raises:
        ValueError: ``depth`` is less than 1.
        MemoryError: the system gives no thread more.
    """
    return Prefetch(iterable, depth)


class Prefetch(Closing, Generic[T]):
    """What ``prefetch`` returns: an iterator and context manager."""

    def __init__(self, iterable: Iterable[T], depth: int) -> None:
        if depth < 1:
            raise ValueError(f"depth {depth}: at least one item has to fit")
        self._queue: _Queue[T] = _Queue(depth)
        self._iterable = iterable
        # the thread knows the queue only: a consumer that is forgotten is collected, and ends it
        thread = threading.Thread(
            target=_produce, args=(iterable, self._queue), name="minimeso-prefetch", daemon=True
        )
        self._end = weakref.finalize(self, _end, self._queue, thread, iterable)
        try:
            thread.start()
        except RuntimeError as error:  # the system has no room for its stack
            raise MemoryError(str(error)) from None

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        return self._queue.take()

    def stop(self) -> None:
        """Ask, from any thread, that the iteration ends, and that of the iterable."""
        self._queue.stop()
        _stop(self._iterable)

    def close(self) -> None:
        """Stop, and wait until the thread has ended."""
        self._end()


class _Queue(Generic[T]):
    """Items on their way from the thread to the consumer, and how it ended."""

    def __init__(self, depth: int) -> None:
        self._depth = depth
        self._items: deque[T] = deque()
        # re-entrant: the collector may come in between; held by itself, as the ``with`` of a
        # condition is Python's, and Ctrl-C in there would leave it closed
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._over = False
        self._error: BaseException | None = None

    def wait_for_room(self) -> bool:
        """The thread's question before it makes an item; false if nobody wants one."""
        with self._lock:
            while not self._over and len(self._items) >= self._depth:
                self._changed.wait()
            return not self._over

    def put(self, item: T) -> None:
        with self._lock:
            if not self._over:
                self._items.append(item)
                self._changed.notify_all()

    def finish(self, error: BaseException | None) -> None:
        """Nothing more comes; what was put before is still taken."""
        with self._lock:
            if not self._over:
                self._over, self._error = True, error
                self._changed.notify_all()

    def stop(self) -> None:
        """Nothing more is wanted."""
        with self._lock:
            self._over, self._error = True, None
            self._items.clear()
            self._changed.notify_all()

    def take(self) -> T:
        with self._lock:
            while not self._items and not self._over:
                self._changed.wait(_SLICE)
            if self._items:
                item = self._items.popleft()
                self._changed.notify_all()
                return item
            error, self._error = self._error, None
        if error is None:
            raise StopIteration
        try:
            raise error
        finally:
            del error  # else the traceback, which holds this frame, would hold itself


def _produce(iterable: Iterable[T], queue: _Queue[T]) -> None:
    error: BaseException | None = None
    try:
        iterator = iter(iterable)
        try:
            while queue.wait_for_room():
                try:
                    item = next(iterator)
                except StopIteration:
                    break
                queue.put(item)
                del item  # taken or dropped: not kept until the next one is made
        finally:
            if isinstance(iterator, Generator):
                iterator.close()
    except BaseException as raised:  # whatever it is, it is the consumer's
        error = raised
    queue.finish(error)


def _end(queue: _Queue[T], thread: threading.Thread, iterable: Iterable[T]) -> None:
    queue.stop()
    _stop(iterable)
    if thread is not threading.current_thread() and thread.ident is not None:
        thread.join(_PATIENCE)


def _stop(iterable: object) -> None:
    stop = getattr(iterable, "stop", None)
    if callable(stop):  # that of a range is a number
        stop()
