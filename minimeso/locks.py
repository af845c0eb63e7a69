"""Locks that a fork leaves open in the child, whoever held them in the parent.

A thread that runs a network while another one forks does not exist in the child, and its lock would
stay closed there for ever.  What such a lock guards must bear to be found half done: scratch
memory, and caches that are filled by one assignment.
"""

from __future__ import annotations

import os
import threading
import weakref

_all: weakref.WeakSet[Lock] = weakref.WeakSet()


class Lock:
    """A mutual exclusion lock, for ``with``.

    Raises:
        RuntimeError: this very thread holds it, so that it would wait for itself for ever: a signal
            handler, or a destructor, came in between.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._holder = 0  # no thread's number
        _all.add(self)

    def __enter__(self) -> None:
        this = threading.get_ident()
        if self._holder == this:
            raise RuntimeError(
                "minimeso is at work in this very thread, below a signal handler or destructor: "
                "let that raise an exception or set a flag, and call it after the work has ended"
            )
        self._lock.acquire()
        self._holder = this

    def __exit__(self, *exception: object) -> None:
        self._holder = 0
        self._lock.release()


def _open_all() -> None:
    for lock in list(_all):
        lock._lock = threading.Lock()
        lock._holder = 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_open_all)
