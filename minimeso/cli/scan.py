"""``minimeso scan``: an archive of any size in, a Parquet data set of verdicts out."""

from __future__ import annotations

import argparse
import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..notes import clock, in_words
from .arguments import (
    MOST_MIB,
    add_detector_arguments,
    add_fail_on_argument,
    add_isa_argument,
    add_json_argument,
    positive_number,
    whole_number,
)
from .output import (
    INTERRUPTED,
    SOME_UNREADABLE,
    SOME_WRONG,
    TERMINATED,
    json_line,
    line,
    message,
    printable,
)

if TYPE_CHECKING:
    from ..scan import Scan, Settings, State
    from ..scan.summary import Summary

HELP = "judge an archive of any size into a Parquet data set"
DETAILS = (
    "Every picture and clip of SOURCE gets one row in the table `files` of the data set OUT, and "
    "every person in it one in `tracks`. Run it again, after whatever happened, and only what is "
    "missing or has changed is judged. A file that hangs, needs too much memory or kills the "
    "process that judges it is given up and recorded with the reason. Needs the extra `scan`. "
    "Exit status: 0 all judged, 1 see --fail-on, 2 wrong usage, 3 some files could not be judged "
    "or only in part, 4 OUT cannot be written, 130 stopped by Ctrl-C, 143 by SIGTERM: what was "
    "judged until then is kept."
)
EXAMPLES = """\
  minimeso scan archive/ verdicts/ --report suspects.html
  minimeso scan s3://bucket/clips verdicts/ --scheduler tcp://10.0.0.1:8786
  minimeso scan --summary verdicts/ --json"""

_MOST_WORKERS, _MOST_SECONDS = 1024, 1e7


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    add = parser.add_argument
    add("source", nargs="?", metavar="SOURCE",
        help="a folder, a list of paths (.txt), a table (.csv, .tsv, .parquet), or the address of "
        "one that fsspec knows, such as s3://bucket/clips or gs://bucket/*.mp4")  # fmt: skip
    add("out", nargs="?", metavar="OUT", help="folder of the data set, or its address")
    add("--summary", metavar="OUT", help="judge nothing, tell what the data set OUT has")
    add("--column", metavar="NAME", help="of a table: where the paths are; default: path")
    add("--report", metavar="FILE.html", help="write an index page, the most suspect first")
    add("--workers", type=whole_number(_MOST_WORKERS), metavar="N",
        help="files that this machine judges at once; default: one per available core")  # fmt: skip
    add("--scheduler", metavar="ADDRESS",
        help="of a Dask scheduler whose workers judge, such as tcp://10.0.0.1:8786")  # fmt: skip
    add("--stall", type=positive_number(_MOST_SECONDS), metavar="SECONDS", default=120.0,
        help="give a file up without a sign of life for so long; default %(default)g")  # fmt: skip
    add("--timeout", type=positive_number(_MOST_SECONDS), metavar="SECONDS", default=21600.0,
        help="give a file up after so long in all; default %(default)g")  # fmt: skip
    add("--memory", type=positive_number(MOST_MIB), metavar="MIB", default=2048.0,
        help="give a file up that needs more memory; default %(default)g")  # fmt: skip
    add("--piece", type=float, metavar="SECONDS", default=300.0,
        help="clips of twice as many seconds are judged in pieces of so many, which workers share;"
        " 0: each in one go, as detect does; default %(default)g")  # fmt: skip
    add("--retry", action="store_true", help="try files again that were given up")
    add_detector_arguments(parser)
    add_isa_argument(parser)
    add_fail_on_argument(parser, "data set")
    add_json_argument(parser, "the summary, one object on one line")


def run(options: argparse.Namespace) -> int:
    """Judge what is missing, tell what is there; returns the exit status."""
    from ..errors import InputError
    from ..scan import require_packages

    _check_usage(options)
    require_packages()
    if options.summary is not None:
        from ..scan.dataset import Dataset

        dataset = Dataset(options.summary)
        if not dataset.store.names("files"):
            raise InputError(f"{options.summary}: no data set: name what a scan wrote")
        summary = _tell(options, dataset)
        if _fails(options, summary):
            return SOME_WRONG
        return SOME_UNREADABLE if _is_incomplete(summary) else 0
    scan = _scan(options)
    state, number = _judge(scan)
    if state.stopped:
        message(f"stopped: {state.done:,} of {state.total:,} files are done; run it again")
        return TERMINATED if number == signal.SIGTERM else INTERRUPTED
    summary = _tell(options, scan.dataset)
    if _fails(options, summary):
        return SOME_WRONG
    return SOME_UNREADABLE if _is_incomplete(summary) else 0


def _check_usage(options: argparse.Namespace) -> None:
    from ..errors import InputError

    if options.summary is not None:
        if options.source is not None:
            raise InputError("--summary OUT judges nothing: leave out SOURCE")
    elif options.source is None or options.out is None:
        raise InputError("name SOURCE and OUT, or --summary OUT")
    if options.report is not None and not options.report.lower().endswith((".html", ".htm")):
        raise InputError(f"{options.report}: a report is a page: name it .html")
    if options.fps is not None and options.every_frame:
        raise InputError("--fps and --every-frame exclude each other")


def _scan(options: argparse.Namespace) -> Scan:
    from ..scan import Limits, Scan

    settings = _settings(options)
    settings.detector()  # what is wrong with it is better said now
    limits = Limits(options.stall, options.timeout, int(options.memory * (1 << 20)))
    return Scan(
        options.source,
        options.out,
        settings,
        column=options.column,
        limits=limits,
        workers=options.workers,
        scheduler=options.scheduler,
        retry=options.retry,
    )


def _settings(options: argparse.Namespace) -> Settings:
    from ..scan import Settings

    return Settings(
        options.model,
        options.fast,
        options.finder,
        options.min_face,
        options.crops,
        options.prior,
        options.max_pixels and int(options.max_pixels),
        options.fps,
        options.every_frame,
        options.isa,
        options.piece,
    )


def _judge(scan: Scan) -> tuple[State, int | None]:
    """Run the scan; how far it came, and the signal that stopped it."""
    from .progress import ScanProgress

    stop = threading.Event()
    progress = ScanProgress()
    told = False

    def on_progress(state: State) -> None:
        nonlocal told
        if state.dashboard and not told:
            progress.clear()
            message(f"Dask's dashboard: {state.dashboard}")
            told = True
        progress.show_line(_progress_line(state))

    with _stopping(stop) as got:
        try:
            state = scan.run(on_progress, stop)
        finally:
            progress.clear()
    if state.skipped:
        from ..media.folders import counted

        message(f"not looked at: {counted(state.skipped)}")
    return state, got[0] if got else None


def _progress_line(state: State) -> str:
    if state.phase == "listing":
        return f"{state.found:,} files found"
    if state.phase in ("starting", "waiting"):
        what = "starting workers" if state.phase == "starting" else "waiting for the scheduler"
        return f"{state.done:,} of {state.total:,}, {what}"
    parts = [f"{state.done:,} of {state.total:,}"]
    if state.left is not None:
        parts.append(f"{clock(state.left, tenths=False)} left")
    parts.append(f"{state.workers} at once")
    parts += [f"{count:,} {in_words(kind)}" for kind, count in state.results.most_common()]
    return ", ".join(parts)


@contextlib.contextmanager
def _stopping(stop: threading.Event) -> Iterator[list[int]]:
    """The first Ctrl-C or SIGTERM sets ``stop``, the second ends the process; which it was."""
    got: list[int] = []

    def on_signal(number: int, _: object) -> None:
        if got:
            raise KeyboardInterrupt
        got.append(number)
        stop.set()

    before: dict[int, Any] = {}
    with contextlib.suppress(ValueError):  # not the main thread, which alone may set handlers
        for wanted in (signal.SIGINT, signal.SIGTERM):
            before[wanted] = signal.signal(wanted, on_signal)
    try:
        yield got
    finally:
        for known, handler in before.items():
            signal.signal(known, handler)


# --- the summary -------------------------------------------------------------------------


def _tell(options: argparse.Namespace, dataset: Any) -> Summary:
    """Print the summary, and write the page if one is wanted."""
    from ..scan.summary import summarize

    summary = summarize(dataset)
    if options.report is not None:
        from ..scan.page import write_page

        write_page(dataset, options.report)
    if options.json:
        json_line(summary.to_json())
    else:
        for text in _lines(summary):
            line(text)
    return summary


def _lines(summary: Summary) -> Iterator[str]:
    size = f", {summary.bytes / 1e9:.1f} GB" if summary.bytes >= 5e7 else ""
    yield f"{summary.files:,} files{size}, {summary.persons:,} persons"
    for kind, count in summary.results.items():
        yield f"{count:>12,}  {in_words(kind)}"
    if summary.partial:
        yield f"{summary.partial:,} of them judged in part only"
    for reason, count in summary.reasons.items():
        yield printable(f"given up: {count:,}  {reason}")
    if len(summary.settings) > 1:
        yield f"judged with {len(summary.settings)} different settings"
    suspects = [row for row in summary.suspects if row["verdict"] == "fake"]
    if suspects:
        yield "most suspect:"
    for row in suspects:
        yield printable(f"  p_fake {100 * row['p_fake']:5.1f} %  {row['path']}")


def _is_incomplete(summary: Summary) -> bool:
    """Whether something could not be judged, or only in part, or there was nothing."""
    bad = sum(summary.results.get(kind, 0) for kind in ("unreadable", "partial", "given_up"))
    return bool(bad + summary.partial) or not summary.files


def _fails(options: argparse.Namespace, summary: Summary) -> bool:
    from .arguments import FAILING

    return any(summary.results.get(kind) for kind in FAILING.get(options.fail_on, ()))
