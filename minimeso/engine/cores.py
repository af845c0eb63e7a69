"""Cores that this process may use: what is allowed to it (affinity), and what is paid for (quota).

A container with a quota of two cores on a machine of 64 sees 64 of them, and is stopped for most
of each tenth of a second if it starts as many threads.  Affinity is the system's; quotas are read
from the control groups of Linux, of both versions, each group above ours among them.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator

_MOUNT = "sys/fs/cgroup"
_MEMBERSHIP = "proc/self/cgroup"


def available_cores(root: str | os.PathLike[str] = "/") -> int:
    """How many threads this process can run at once, 1 or more.

    Args:
        root: where ``proc`` and ``sys`` lie.
    """
    allowed = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        allowed = len(os.sched_getaffinity(0))
    quota = cpu_quota(root)
    # Rounded up, as the JVM and Go do: the last thread then is stopped for a part of its time.
    return allowed if quota is None else max(1, min(allowed, math.ceil(quota)))


def cpu_quota(root: str | os.PathLike[str] = "/") -> float | None:
    """Cores that our control groups may use, fractions included; ``None`` if there is no limit."""
    return min(_quotas(os.fspath(root)), default=None)


def _quotas(root: str) -> Iterator[float]:
    mount = os.path.join(root, _MOUNT)
    for line in _read(root, _MEMBERSHIP).splitlines():
        _, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        if not controllers:
            mounts = [mount, os.path.join(mount, "unified")]
        elif "cpu" in controllers.split(","):
            mounts = [os.path.join(mount, controllers), os.path.join(mount, "cpu")]
        else:
            continue
        for hierarchy in mounts:
            for folder in _groups(hierarchy, group):
                quota = _quota_of(folder, is_second=not controllers)
                if quota is not None:
                    yield quota


def _groups(mount: str, group: str) -> Iterator[str]:
    """Folders of a group and of those around it.  In a container the mount is our own group, and
    the name may be one that only the host knows."""
    parts = [part for part in group.split("/") if part not in ("", ".", "..")]
    for count in range(len(parts), -1, -1):
        yield os.path.join(mount, *parts[:count])


def _quota_of(folder: str, *, is_second: bool) -> float | None:
    if is_second:
        fields = _read(folder, "cpu.max").split()
    else:
        fields = [_read(folder, f"cpu.cfs_{name}_us").strip() for name in ("quota", "period")]
    try:
        quota, period = (int(field) for field in fields)
    except ValueError:  # "max", or no such file
        return None
    return quota / period if quota > 0 and period > 0 else None


def _read(folder: str, name: str) -> str:
    try:
        with open(os.path.join(folder, name)) as file:
            return file.read()
    except (OSError, ValueError):
        return ""
