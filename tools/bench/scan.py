"""What `minimeso scan` costs, and what it bears.

    python -m tools.bench.scan simulate                # a million entries, judged by a stub
    python -m tools.bench.scan archive FOLDER          # real files: kills, overhead, memory
    python -m tools.bench.scan cost FILE...            # CPU seconds of each, for the arithmetic

`simulate` sends entries that no file stands behind through all of it but the detector: index,
batches, Dask, the processes that judge, the data set. Each size has a process of its own; what the
start costs is not counted, as it does not grow.

`archive` judges the files of a folder, repeated to as many as asked for, in one plain process, then
by as many workers, then again with two workers killed, and compares the rows. CPU seconds are those
of all processes together; on a busy machine they are what can be compared.

`cost` judges each file by one thread as a worker does, and prints its CPU seconds and those of an
hour of such a clip.

Needs the extras `scan` and `video`.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from minimeso.cli.output import table
from tools.arguments import input_file, number, number_list, output_file
from tools.errors import ToolError, exit_status

SIZES = [10_000, 100_000, 1_000_000]
PICTURES, CLIPS, WORKERS = 2000, 50, 4
_MIB = 1 << 20
#: Seconds between two looks at the processes of a scan.
_LOOK_SECONDS = 2.0
_SET_CHILD_SUBREAPER = 36  # of prctl(2)


# --- a million entries -------------------------------------------------------------------


def simulate(count: int, workers: int, out: str) -> dict[str, float]:
    """Scan so many stubs; seconds (wall and CPU) and memory, by entry. In a process of its own."""
    import psutil

    from minimeso.scan import Scan, State
    from tools.bench.stub_judge import Stub, entries

    begun: dict[str, float] = {}
    last: dict[str, float] = {"cpu": 0.0, "worker": 0.0}

    def look(state: State) -> None:
        now = time.monotonic()
        if state.phase != "judging" or now - last.get("at", 0.0) < 1.0:
            return
        last["at"] = now
        last["cpu"] = _cpu_of_all(psutil.Process())
        last["worker"] = max(last["worker"], _largest_child(psutil.Process()))
        if state.done and not begun:
            begun.update(done=state.done, at=now, cpu=last["cpu"])

    start = time.monotonic()
    scan = Scan(entries(count), out, make=Stub(), workers=workers)
    state = scan.run(look)
    end = time.monotonic()
    if state.done != count or not begun:
        raise ToolError(f"{state.done} of {count} entries: too few to be measured")
    rest = count - begun["done"]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    again = time.monotonic()
    second = Scan(entries(count), out, make=Stub(), workers=workers).run()
    assert second.total == 0
    return {
        "entries": count,
        "seconds": end - start,
        "microseconds an entry": 1e6 * (end - begun["at"]) / rest,
        "CPU microseconds an entry": 1e6 * (last["cpu"] - begun["cpu"]) / rest,
        "peak MiB": peak,
        "peak MiB of a worker": last["worker"],
        "second run seconds": time.monotonic() - again,
        "peak MiB after it": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def _cpu_of_all(process: Any) -> float:
    """CPU seconds of a process and of all below it."""
    import psutil

    total = 0.0
    for one in [process, *process.children(recursive=True)]:
        try:
            times = one.cpu_times()
            total += times.user + times.system
        except psutil.Error:
            continue
    return total


def _largest_child(process: Any) -> float:
    import psutil

    found = [0.0]
    for one in process.children(recursive=True):
        try:
            found.append(one.memory_info().rss / _MIB)
        except psutil.Error:
            continue
    return max(found)


# --- real files --------------------------------------------------------------------------


def archive(folder: Path, pictures: int, clips: int, workers: int, work: Path) -> dict[str, Any]:
    """The measurements of `archive`, by name."""
    source = work / "archive"
    found = _fill(source, folder, pictures, clips)
    results: dict[str, Any] = {"files": found, "workers": workers}
    plain, wall, cpu = _timed(lambda: _run(_PLAIN, source, workers))
    results["plain"] = {"seconds": wall, "CPU seconds": cpu}
    whole = work / "whole"
    _, wall, cpu = _timed(lambda: _run(_SCAN, source, whole, workers, 0))
    results["scan"] = {
        "seconds": wall,
        "CPU seconds": cpu,
        "overhead by the clock": wall / results["plain"]["seconds"] - 1,
        "overhead in CPU seconds": cpu / results["plain"]["CPU seconds"] - 1,
    }
    disturbed = work / "disturbed"
    told, wall, cpu = _timed(lambda: _run(_SCAN, source, disturbed, workers, 2))
    results["two workers killed"] = {"seconds": wall, "CPU seconds": cpu, **json.loads(told)}
    results["rows are equal"] = _rows(whole) == _rows(disturbed)
    _, wall, cpu = _timed(lambda: _run(_SCAN, source, whole, workers, 0))
    results["second run"] = {"seconds": wall, "CPU seconds": cpu}
    results["plain p_fake"] = _p_fakes(whole) == json.loads(plain)
    return results


def _fill(target: Path, folder: Path, pictures: int, clips: int) -> int:
    """Links to the pictures and clips of a folder, again and again; how many."""
    from collections import Counter

    from minimeso.media.folders import files_in
    from minimeso.media.formats import PICTURE_ENDINGS

    files = [Path(found.path) for found in files_in(str(folder), Counter())]
    kinds = [
        ([f for f in files if f.suffix.lower() in PICTURE_ENDINGS], pictures),
        ([f for f in files if f.suffix.lower() not in PICTURE_ENDINGS], clips),
    ]
    target.mkdir()
    for known, count in kinds:
        for place in range(count if known else 0):
            path = known[place % len(known)]
            os.link(path, target / f"{place:06}{path.suffix}") if _same_disk(path, target) else (
                shutil.copy(path, target / f"{place:06}{path.suffix}")
            )
    found = len(list(target.iterdir()))
    if not found:
        raise ToolError(f"{folder}: no pictures or clips in it")
    return found


def _same_disk(path: Path, folder: Path) -> bool:
    return path.stat().st_dev == folder.stat().st_dev


_PLAIN = """
import json, sys
from pathlib import Path
from minimeso import Detector
detector = Detector(threads=int(sys.argv[2]))
paths = sorted(map(str, Path(sys.argv[1]).iterdir()))
print(json.dumps({path: detector.check(path).p_fake for path in paths}))
"""
_SCAN = """
import sys
from tools.bench.scan import killing
if __name__ == "__main__":
    killing(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
"""


def killing(source: str, out: str, count: int, kills: int) -> None:
    """Scan, and kill as many workers on the way; prints what was killed and how memory grew."""
    import psutil

    from minimeso.scan import Scan, State

    killed: list[int] = []
    memory: dict[str, list[float]] = {}
    looked = 0.0

    def look(state: State) -> None:
        nonlocal looked
        is_due = len(killed) < kills and state.done > state.total * (len(killed) + 1) / (kills + 2)
        if not is_due and time.monotonic() - looked < _LOOK_SECONDS:
            return  # a look costs some milliseconds
        looked = time.monotonic()
        children = psutil.Process().children()
        workers = [c for c in children if "spawn_main" in " ".join(c.cmdline())]
        if is_due and workers:
            os.kill(workers[len(killed) % len(workers)].pid, signal.SIGKILL)
            killed.append(state.done)
        judges = [judge for worker in workers for judge in worker.children()]
        for kind, found in (("worker", workers), ("judge", judges)):
            sizes = [one.memory_info().rss / _MIB for one in found]
            memory.setdefault(kind, []).append(max(sizes, default=0.0))

    def quietly(state: State) -> None:
        with contextlib.suppress(psutil.Error):  # it went away meanwhile
            look(state)

    Scan(source, out, workers=count).run(quietly)
    told: dict[str, Any] = {"killed when done": killed}
    for kind, sizes in memory.items():
        third = max(len(sizes) // 3, 1)
        told[f"{kind} MiB"] = [
            max(sizes[third : 2 * third], default=0),
            max(sizes[-third:], default=0),
        ]
    print(json.dumps(told))


def _run(code: str, *arguments: object) -> str:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    if done.returncode:
        raise ToolError(f"a measurement failed with exit status {done.returncode}")
    return done.stdout.decode()


def _timed(work: Callable[[], str]) -> tuple[str, float, float]:
    """What it says, its seconds, and the CPU seconds of its processes; on Linux also of those whose
    parents were killed before they could wait for them, as workers are at the end."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1)
    wall, before = time.monotonic(), os.times()
    told = work()
    wall = time.monotonic() - wall
    with contextlib.suppress(OSError):  # there are no more
        while True:
            os.waitpid(-1, 0)
    after = os.times()
    cpu = (
        after.children_user + after.children_system - before.children_user - before.children_system
    )
    return told, wall, cpu


def _rows(out: Path) -> list[Any]:
    """All rows of both tables, whatever part they are in."""
    from pyarrow import dataset

    return [
        sorted(map(repr, dataset.dataset(out / name, format="parquet").to_table().to_pylist()))
        for name in ("files", "tracks")
    ]


def _p_fakes(out: Path) -> dict[str, float | None]:
    from pyarrow import dataset

    columns = dataset.dataset(out / "files", format="parquet").to_table(["path", "p_fake"])
    return {row["path"]: row["p_fake"] for row in columns.to_pylist()}


# --- what a file costs --------------------------------------------------------------------


def cost(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """CPU seconds of each file, by one thread; of a clip its length, too."""
    from minimeso import Detector
    from minimeso.media.video import is_clip, open_clip

    detector = Detector(threads=1)
    detector.check(paths[0])  # what is made at the first call is made
    found = []
    for path in paths:
        seconds = None
        if is_clip(path):
            with open_clip(path) as clip:
                seconds, (width, height) = clip.duration, clip.size
        start = time.process_time()
        verdict = detector.check(path)
        cpu = time.process_time() - start
        if verdict.status == "unreadable":
            raise ToolError(f"{path}: {verdict.note}")
        row = {"file": path.name, "MB": path.stat().st_size / 1e6, "CPU seconds": cpu}
        if seconds:
            row |= {"size": f"{width}x{height}", "seconds": seconds, "persons": len(verdict.tracks)}
            row["CPU seconds an hour"] = 3600 * cpu / seconds
        found.append(row)
    return found


# --- the command -------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what was asked for and print it; returns the exit status."""
    options = _options(arguments)
    return exit_status("scan", lambda: options.run(options))


def _simulate(options: argparse.Namespace) -> None:
    found = []
    for count in options.entries:
        with tempfile.TemporaryDirectory() as folder:
            told = _run(_SIMULATE, count, options.workers, f"{folder}/out")
        found.append(json.loads(told))
        print(f"{count:,} entries done", file=sys.stderr)
    rows = [["", *(f"{row['entries']:,}" for row in found)]]
    for key in found[0]:
        if key != "entries":
            rows.append([key, *(f"{row[key]:.4g}" for row in found)])
    for line in table(rows, right=range(1, len(found) + 1)):
        print(line)
    _write(options, found)


_SIMULATE = """
import json, sys
from tools.bench.scan import simulate
if __name__ == "__main__":
    print(json.dumps(simulate(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])))
"""


def _archive(options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder:
        found = archive(
            options.folder, options.pictures, options.clips, options.workers, Path(folder)
        )
    for key, value in found.items():
        print(f"{key}: {value}")
    _write(options, found)


def _cost(options: argparse.Namespace) -> None:
    found = cost(options.files)
    names = list(dict.fromkeys(name for row in found for name in row))
    rows = [names, *([_cell(row.get(name)) for name in names] for row in found)]
    for line in table(rows, right=range(1, len(names))):
        print(line)
    _write(options, found)


def _cell(value: Any) -> str:
    return "" if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)


def _write(options: argparse.Namespace, found: Any) -> None:
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tools.bench.scan",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("simulate", help="entries judged by a stub")
    command.add_argument("--entries", type=number_list(100_000_000), default=SIZES, metavar="N,...")
    command.add_argument("--workers", type=number(1024), default=2, metavar="N")
    command.set_defaults(run=_simulate)
    command.add_argument("--json", type=output_file, metavar="FILE")
    command = commands.add_parser("archive", help="real files")
    command.add_argument("folder", type=Path)
    command.add_argument("--pictures", type=number(10_000_000), default=PICTURES, metavar="N")
    command.add_argument("--clips", type=number(10_000_000), default=CLIPS, metavar="N")
    command.add_argument("--workers", type=number(1024), default=WORKERS, metavar="N")
    command.add_argument("--json", type=output_file, metavar="FILE")
    command.set_defaults(run=_archive)
    command = commands.add_parser("cost", help="CPU seconds of files")
    command.add_argument("files", nargs="+", type=input_file, metavar="FILE")
    command.add_argument("--json", type=output_file, metavar="FILE")
    command.set_defaults(run=_cost)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
