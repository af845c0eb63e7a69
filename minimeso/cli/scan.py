"""``minimeso scan``: an archive of any size in, a Parquet data set of verdicts out."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..notes import clock, in_words, per_cent
from .arguments import (
    MOST_MIB,
    add_detector_arguments,
    add_fail_on_argument,
    add_isa_argument,
    add_json_argument,
    check_detector_arguments,
    detector_settings,
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
    "or only in part, or there were none, 4 OUT, the report or a temporary file cannot be written, "
    "130 stopped by Ctrl-C, 143 by SIGTERM: what was judged until then is kept."
)
EXAMPLES = """\
  minimeso scan archive/ verdicts/ --report suspects.html
  minimeso scan s3://bucket/clips verdicts/ --scheduler tcp://10.0.0.1:8786
  minimeso scan --summary verdicts/ --json"""

_MOST_WORKERS, _MOST_SECONDS = 1024, 1e7
#: Reasons that are printed, the commonest.
_MOST_REASONS = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    add = parser.add_argument
    add("source", nargs="?", metavar="SOURCE",
        help="a folder, a file, a list of paths (.txt), a table (.csv, .tsv, .parquet), or the "
        "address of one that fsspec knows, as s3://bucket/clips or gs://bucket/*.mp4")  # fmt: skip
    add("out", nargs="?", metavar="OUT", help="folder of the data set, or its address")
    add("--summary", metavar="OUT", help="judge nothing, tell what the data set OUT has")
    add("--column", metavar="NAME",
        help="of a table: where the paths are; default: the only one, or path, file, filename, "
        "address or url")  # fmt: skip
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
    add("--retry", action="store_true",
        help="try files again that were given up or could not be read")  # fmt: skip
    add_detector_arguments(parser)
    add_isa_argument(parser)
    add_fail_on_argument(parser, "data set")
    add_json_argument(parser, "the summary, one object on one line")


def run(options: argparse.Namespace) -> int:
    """Judge what is missing, tell what is there; returns the exit status."""
    from ..errors import InputError
    from ..media.atomic_file import AtomicFile
    from ..scan import require_packages
    from ..scan.schema import storable

    _check_usage(options)
    if options.report is not None and not _is_in_new_folder(options.report, options.out):
        AtomicFile(options.report).discard()  # it can be written, then
    require_packages()
    if options.summary is not None:
        from ..scan.dataset import Dataset

        dataset = Dataset(options.summary)
        if not dataset.store.names("files"):
            raise InputError(f"{dataset.store.address}: no data set: name what a scan wrote")
        return _status(options, _tell(options, dataset))
    scan = _scan(options)
    state, number = _judge(scan, options.scheduler is not None)
    if state.stopped:
        how_far = f"{state.done:,} of {state.total:,} files are done"
        if not state.is_listed:
            how_far = f"not all files were found yet, {state.found:,} so far"
        message(f"stopped: {how_far}; run it again")
        return TERMINATED if number == signal.SIGTERM else INTERRUPTED
    if not state.found:
        message(f"{storable(options.source)}: no pictures or clips in it")
    status = _status(options, _tell(options, scan.dataset))
    return status if state.found else status or SOME_UNREADABLE


def _check_usage(options: argparse.Namespace) -> None:
    from ..errors import InputError

    if options.summary is not None:
        if options.source is not None:
            raise InputError("--summary OUT judges nothing: leave out SOURCE")
    elif options.source is None or options.out is None:
        raise InputError("name SOURCE and OUT, or --summary OUT")
    if options.report is not None and not options.report.lower().endswith((".html", ".htm")):
        raise InputError(f"{options.report}: a report is a page: name it .html")
    check_detector_arguments(options)


def _is_in_new_folder(report: str, out: str | None) -> bool:
    """Whether the page will lie in the folder of the data set, which is not made yet."""
    try:
        folder = os.path.dirname(os.path.abspath(report))  # noqa: PTH100, PTH120
        return (
            out is not None
            and folder == os.path.abspath(out)  # noqa: PTH100
            and not os.path.lexists(folder)
        )
    except FileNotFoundError:  # the current folder was deleted
        return False


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
        **detector_settings(options),
        fps=options.fps,
        every_frame=options.every_frame,
        piece=options.piece,
    )


def _judge(scan: Scan, is_elsewhere: bool) -> tuple[State, int | None]:
    """Run the scan; how far it came, and the signal that stopped it.

    Args:
        is_elsewhere: whether the workers are those of a scheduler; this machine's own, if they die,
            are started anew.
    """
    from .progress import ScanProgress

    stop = threading.Event()
    progress = ScanProgress()
    told: set[str] = set()

    def tell_once(text: str) -> None:
        if text not in told:
            progress.clear()
            message(text)
            told.add(text)

    def on_progress(state: State) -> None:
        if state.dashboard:
            tell_once(f"Dask's dashboard: {state.dashboard}")
        if is_elsewhere and state.phase == "judging" and not state.workers:
            tell_once("the scheduler has no workers: start some with dask worker")
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


def _status(options: argparse.Namespace, summary: Summary) -> int:
    if _fails(options, summary):
        return SOME_WRONG
    return SOME_UNREADABLE if _is_incomplete(summary) else 0


def _lines(summary: Summary) -> Iterator[str]:
    from ..report.phrases import counted

    size = f", {summary.bytes / 1e9:.1f} GB" if summary.bytes >= 5e7 else ""
    yield f"{counted(summary.files, 'file')}{size}, {counted(summary.persons, 'person')}"
    for kind, count in summary.results.items():
        yield f"{count:>12,}  {in_words(kind)}"
    if summary.partial:
        yield f"{summary.partial:,} of them judged in part only"
    for said, reasons in (("given up", summary.reasons), ("unreadable", summary.unreadable)):
        for reason, count in list(reasons.items())[:_MOST_REASONS]:
            yield printable(f"{said}: {count:,}  {reason}")
        if len(reasons) > _MOST_REASONS:
            more = counted(len(reasons) - _MOST_REASONS, "more reason")
            yield f"{said}: others for {more}"
    if len(summary.settings) > 1:
        yield f"judged with {len(summary.settings)} different settings"
    suspects = [row for row in summary.suspects if row["verdict"] == "fake"]
    if suspects:
        yield "most suspect:"
    for row in suspects:
        yield printable(f"  p_fake {per_cent(row['p_fake']):>5} %  {row['path']}")


def _is_incomplete(summary: Summary) -> bool:
    """Whether something could not be judged, or only in part, or there was nothing."""
    bad = sum(summary.results.get(kind, 0) for kind in ("unreadable", "partial", "given_up"))
    return bool(bad + summary.partial) or not summary.files


def _fails(options: argparse.Namespace, summary: Summary) -> bool:
    from .arguments import FAILING

    return any(summary.results.get(kind) for kind in FAILING.get(options.fail_on, ()))
