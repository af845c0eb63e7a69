"""``minimeso detect``: pictures, clips and folders of them in, one verdict a line out."""

from __future__ import annotations

import argparse
import contextlib
import gc
import os
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from .arguments import (
    FAILING,
    MOST_MIB,
    add_detector_arguments,
    add_engine_arguments,
    add_fail_on_argument,
    add_json_argument,
    check_detector_arguments,
    detector_of,
    frame_size,
    positive_number,
)
from .inputs import DEFAULT_RATE, STDIN, Input, find_inputs
from .output import INTERRUPTED, SOME_UNREADABLE, SOME_WRONG, message

if TYPE_CHECKING:
    from .job import Job

HELP = "say of pictures and clips whether a face in them was swapped"
DETAILS = (
    "Faces are found and, in a clip, followed; each person gets a verdict, and so does the file by "
    "all of them: the more faces, the more it takes to call one fake. p_fake is the probability "
    "that a face was swapped, as the model sees it; it proves nothing. A file that cannot be read "
    "gets a line with the reason, the others are still judged. Clips need the extra `video`. Exit "
    "status: 0 all judged, 1 see --fail-on, 2 wrong usage, 3 some input could not be read or only "
    "in part, or there was none, 4 an output could not be written, 130 stopped by Ctrl-C: what was "
    "seen of a clip until then is judged."
)
EXAMPLES = """\
  minimeso detect holiday.mp4 --report holiday.html
  minimeso detect holiday/ --json > verdicts.jsonl
  minimeso detect - --size 1280x720 --rate 25 < frames.rgb"""

_MAX_SIDE = 1 << 16
#: Frames a second.
_MOST = 1000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    add = parser.add_argument
    add(
        "paths",
        nargs="+",
        metavar="PATH",
        help="a picture, a clip, a folder (all of them in it and below, linked folders, too, but "
        "nothing hidden), or -: a picture or clip from stdin or, with --size, raw RGB frames",
    )
    add_detector_arguments(parser)
    add("--size", type=frame_size(_MAX_SIDE), metavar="WxH", help="of raw RGB frames on stdin")
    add("--rate", type=positive_number(_MOST), metavar="R",
        help=f"raw frames in a second; default {DEFAULT_RATE:g}")  # fmt: skip
    add("--report", metavar="FILE.html", help="write a page that shows what was seen")
    add(
        "--annotate",
        metavar="FILE",
        help="write the picture, or the clip with its sound, with boxes and scores, as a new file",
    )
    add("--memory", type=positive_number(MOST_MIB), metavar="MIB",
        help="refuse files that need more memory than this, for the whole process (Linux); "
        "default: no limit")  # fmt: skip
    add_fail_on_argument(parser, "command line")
    add_engine_arguments(parser, "threads that work; default: one per available core")
    add_json_argument(parser, "one object a line for each input")


def run(options: argparse.Namespace) -> int:
    """Judge everything; returns the exit status."""
    with _collected_late() as loaded:
        from .job import Job

        inputs = find_inputs(options.paths)
        if not inputs:
            return SOME_UNREADABLE
        _check_usage(options, inputs)
        if options.memory is not None:
            from ..media.memory_limit import limit_memory

            limit_memory(int(options.memory * (1 << 20)))
        job = Job(detector_of(options), options, len(inputs))
        loaded()
        return _judge_all(job, inputs, options)


def _judge_all(job: Job, inputs: Sequence[Input], options: argparse.Namespace) -> int:
    try:
        for number, source in enumerate(inputs, start=1):
            job.judge(number, source)
            if job.stopped:
                break
    finally:
        job.write_report()
    if job.judged > 1 and any(map(os.path.isdir, options.paths)):
        message(job.summary())
    measured = job.measured()
    if measured is not None:
        message(measured)
    if job.stopped:
        return INTERRUPTED
    if any(job.counts[kind] for kind in FAILING.get(options.fail_on, ())):
        return SOME_WRONG
    bad = job.counts["unreadable"] + job.counts["partial"]
    return SOME_UNREADABLE if bad else 0


@contextlib.contextmanager
def _collected_late() -> Iterator[Callable[[], None]]:
    """Nothing is collected while everything is imported and loaded, nor is that looked through once
    ``loaded`` is called: what is left over of it is not worth a dozen milliseconds."""
    is_ours = gc.isenabled() and not gc.get_freeze_count()

    def loaded() -> None:
        if is_ours:
            gc.freeze()
            gc.enable()

    if is_ours:
        gc.disable()
    try:
        yield loaded
    finally:
        if is_ours:
            gc.unfreeze()
            gc.enable()


def _check_usage(options: argparse.Namespace, inputs: Sequence[Input]) -> None:
    from ..errors import InputError, OutputError

    check_detector_arguments(options)
    if options.size is not None and options.paths != [STDIN]:
        raise InputError("--size goes with -, raw frames from stdin, and no other input")
    if options.rate is not None and options.size is None:
        raise InputError("--rate goes with --size, raw frames from stdin")
    if options.report is not None and not options.report.lower().endswith((".html", ".htm")):
        raise InputError(f"{options.report}: a report is a page: name it .html")
    if options.annotate is not None and os.path.exists(options.annotate):  # noqa: PTH110
        raise OutputError(f"{options.annotate}: is there already: delete it or name another file")
    if options.annotate is not None and len(inputs) != 1:
        raise InputError(f"--annotate takes one picture or clip, not {len(inputs)}")
