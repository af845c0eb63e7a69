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
    """A mutual exclusion lock, for ``with``."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        _all.add(self)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *exception: object) -> None:
        self._lock.release()


def _open_all() -> None:
    for lock in list(_all):
        lock._lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_open_all)
