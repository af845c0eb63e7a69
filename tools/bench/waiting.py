"""What the workers of a scan cost while they wait: `python -m tools.bench.waiting`.

CPU seconds of this process, the scheduler in it and its workers, which all sleep; with the settings
of `minimeso scan`, and with Dask's own. Needs the extra `scan`.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from unittest import mock

from minimeso.scan import cluster
from tools.arguments import number
from tools.errors import exit_status

#: Until workers that have just begun wait.
_SETTLE_SECONDS = 2.0


def cpu_seconds() -> float:
    """Of this process and all below it, up to now."""
    import psutil

    this = psutil.Process()
    times = [one.cpu_times() for one in (this, *this.children(recursive=True))]
    return float(sum(one.user + one.system for one in times))


def waiting(workers: int, seconds: int) -> float:
    """CPU seconds of so many workers that sleep for so many seconds."""
    with cluster.local_client(workers) as client:
        asleep = seconds + 2 * _SETTLE_SECONDS
        futures = [client.submit(time.sleep, asleep, key=f"{n}") for n in range(workers)]
        time.sleep(_SETTLE_SECONDS)
        before = cpu_seconds()
        time.sleep(seconds)
        found = cpu_seconds() - before
        del futures
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    return exit_status("tools.bench.waiting", lambda: _compare(_options(arguments)))


def _compare(options: argparse.Namespace) -> None:
    ours = waiting(options.workers, options.seconds)
    with mock.patch.object(cluster, "_SETTINGS", {}):
        theirs = waiting(options.workers, options.seconds)
    print(f"{options.workers} workers that wait for {options.seconds} s, CPU seconds of all:")
    print(f"{ours:.2f} with the settings of minimeso scan, {theirs:.2f} with Dask's own")


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tools.bench.waiting", description="What workers cost while they wait."
    )
    add = parser.add_argument
    add("--workers", type=number(1024), default=4, metavar="N", help="default: %(default)s")
    add("--seconds", type=number(3600), default=20, metavar="N", help="default: %(default)s")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
