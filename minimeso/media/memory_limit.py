"""A limit of memory for the whole process, by the system: what asks for more gets none."""

from __future__ import annotations

import contextlib


def limit_memory(size: int) -> None:
    """Give this process no more than ``size`` bytes of data, where the system has such a limit.

    Whoever asks for more gets a ``MemoryError`` (FFmpeg: its own), sooner than anybody could look.
    A limit that is lower already stays.  Windows has none, and macOS does not hold to it.
    """
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_DATA)
        if most == resource.RLIM_INFINITY or most > size:
            resource.setrlimit(resource.RLIMIT_DATA, (size, most))
