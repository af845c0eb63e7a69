"""Locks that a fork leaves open in the child, whoever held them in the parent.

A thread that runs a network while another one forks does not exist in the child, and its lock would
stay closed there for ever.  What such a lock guards must bear to be found half done: scratch
memory, and caches that are filled by one assignment.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable

_all: weakref.WeakSet[Lock] = weakref.WeakSet()


class Lock:
    """A mutual exclusion lock, for ``with``.

    Both ends of a ``with`` are those of a lock of Python's, which are no Python code: in a method
    of ours Ctrl-C could come between the lock and its ``with``, and it would stay closed.

    Raises:
        RuntimeError: this very thread holds it, so that it would wait for itself for ever: a signal
            handler, or a destructor, came in between.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()  # which knows who holds it
        _all.add(self)

    @property
    def __enter__(self) -> Callable[[], bool]:
        """What takes the lock; asked for before it does."""
        if self._lock._is_owned():  # type: ignore[attr-defined]  # as Condition asks it
            raise RuntimeError(
                "minimeso is at work in this very thread, below a signal handler or destructor: "
                "let that raise an exception or set a flag, and call it after the work has ended"
            )
        return self._lock.__enter__

    @property
    def __exit__(self) -> Callable[..., None]:
        return self._lock.__exit__


def _open_all() -> None:
    for lock in list(_all):
        lock._lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_open_all)
