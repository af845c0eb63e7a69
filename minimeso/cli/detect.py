"""``minimeso detect``: pictures, clips and folders of them in, one verdict a line out."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

from ..media.video import DEFAULT_FPS
from .output import (
    INTERRUPTED,
    Progress,
    add_engine_arguments,
    add_json_argument,
    json_line,
    line,
    message,
    printable,
)

if TYPE_CHECKING:
    from ..detect import Detector, Verdict
    from ..detect.detector import OnFrame
    from ..detect.verdict import SeenFrame
    from ..report import Report
    from ..report.annotate import Annotation

HELP = "say of pictures and clips whether a face in them was swapped"
DETAILS = (
    "Faces are found and, in a clip, followed; each person gets a verdict, and the file that of "
    "its most fake person. p_fake is the probability that the face was swapped, as the model sees "
    "it; it proves nothing. A file that cannot be read gets a line with the reason, the others "
    "are still judged. Clips need the extra `video`. Exit status: 0 all judged, 2 wrong usage, 3 "
    "some input could not be read or only in part, 4 an output could not be written, 130 stopped "
    "by Ctrl-C: what was seen of a clip until then is judged."
)
EXAMPLES = """\
  minimeso detect holiday.mp4 --report holiday.html
  minimeso detect holiday/ --json > verdicts.jsonl
  minimeso detect - --size 1280x720 --rate 25 < frames.rgb"""

SOME_UNREADABLE = 3
STDIN = "-"
_FINDER = "yunet-s"
_USUAL_RATE = 25.0
_MAX_SIDE = 1 << 16
#: Frames a second and pixels of a face.
_MOST = 1000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    add = parser.add_argument
    add(
        "paths",
        nargs="+",
        metavar="PATH",
        help="a picture, a clip, a folder (all of them in it and below, but for hidden ones), or "
        "-: a picture from stdin or, with --size, raw RGB frames",
    )
    add("--model", default="default", metavar="NAME|FILE", help="bundled model or model file")
    add("--finder", default=_FINDER, metavar="NAME|FILE",
        help="what finds faces: yunet-s, or yunet-n, better at small and tilted ones")  # fmt: skip
    add("--min-face", type=_number, metavar="PIXELS",
        help="smallest face to search for; default: 40, more in large pictures; those under 50 "
        "are not judged")  # fmt: skip
    add("--crops", action="store_true",
        help="every picture is a face already: judge it as a whole")  # fmt: skip
    add("--fps", type=_number, metavar="N", help="frames of a clip to judge in a second; default 4")
    add("--every-frame", action="store_true", help="judge all frames of a clip")
    add("--size", type=_size, metavar="WxH", help="of raw RGB frames on stdin")
    add("--rate", type=_number, metavar="R",
        help=f"raw frames in a second; default {_USUAL_RATE:g}")  # fmt: skip
    add("--report", metavar="FILE.html", help="write a page that shows what was seen")
    add(
        "--annotate",
        metavar="FILE",
        help="write the picture, or the frames of a clip that were judged, with boxes and scores",
    )
    add_engine_arguments(parser, "threads that work; default: one per available core")
    add_json_argument(parser, "one object a line for each input")


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number <= _MOST:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0 and at most {_MOST}")
    return number


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal() and len(text) < 20):
        raise argparse.ArgumentTypeError(f"{text!r} is not WIDTHxHEIGHT, such as 1280x720")
    size = int(width), int(height)
    if not (0 < size[0] <= _MAX_SIDE and 0 < size[1] <= _MAX_SIDE):
        raise argparse.ArgumentTypeError(f"{text!r}: each side must be 1 to {_MAX_SIDE}")
    return size


def run(options: argparse.Namespace) -> int:
    """Judge everything; returns the exit status."""
    from ..detect import Detector

    inputs = list(_inputs(options.paths))
    _check_usage(options, inputs)
    detector = Detector(
        options.model,
        finder=options.finder,
        min_face=options.min_face,
        crops=options.crops,
        threads=options.threads,
        isa=options.isa,
    )
    job = _Job(detector, options, len(inputs))
    try:
        for number, (path, reason) in enumerate(inputs, start=1):
            job.judge(number, path, reason)
            if job.stopped:
                break
    finally:
        job.write_report()
    if job.judged > 1 and any(map(os.path.isdir, options.paths)):
        message(job.summary())
    if job.stopped:
        return INTERRUPTED
    bad = job.counts["unreadable"] + job.counts["partial"]
    return SOME_UNREADABLE if bad else 0


def _check_usage(options: argparse.Namespace, inputs: Sequence[tuple[str, str | None]]) -> None:
    from ..errors import InputError, OutputError

    if options.fps is not None and options.every_frame:
        raise InputError("--fps and --every-frame exclude each other")
    if options.size is not None and options.paths != [STDIN]:
        raise InputError("--size goes with -, raw frames from stdin, and no other input")
    if options.crops and (options.min_face is not None or options.finder != _FINDER):
        raise InputError("--crops searches for no faces: not with --min-face or --finder")
    if options.rate is not None and options.size is None:
        raise InputError("--rate goes with --size, raw frames from stdin")
    if options.report is not None and not options.report.lower().endswith((".html", ".htm")):
        raise InputError(f"{options.report}: a report is a page: name it .html")
    if options.annotate is not None and os.path.exists(options.annotate):  # noqa: PTH110
        raise OutputError(f"{options.annotate}: is there already: delete it or name another file")
    if options.annotate is not None and len(inputs) != 1:
        raise InputError(f"--annotate takes one picture or clip, not {len(inputs)}")


class _Job:
    """All inputs of one command: judged one by one, counted, reported."""

    def __init__(self, detector: Detector, options: argparse.Namespace, total: int) -> None:
        self.judged = 0
        self.counts: Counter[str] = Counter()
        self.stopped = False
        self._stop_waiting: Callable[[], None] = lambda: None
        self._detector = detector
        self._options = options
        self._total = total
        self._progress = Progress(total)
        self._report: Report | None = None
        if options.report is not None:
            from ..media.atomic_file import Replacement
            from ..report import Report

            Replacement(options.report, tuple(options.paths)).discard()  # it can be written, then
            self._report = Report(detector.session, options.model, _looked_at(options))

    def judge(self, number: int, path: str, reason: str | None) -> None:
        """Judge one input and print its line."""
        self._progress.show(number, path)
        try:
            verdict = self._verdict(number, path, reason)
        finally:
            self._progress.clear()
        if self._report is not None:
            self._report.end(verdict)
        if self._options.json:
            json_line(verdict.to_json())
        else:
            line(_sentence(verdict))
        self.judged += 1
        self.counts[verdict.status] += 1
        if verdict.verdict is not None:
            self.counts[verdict.verdict] += 1

    def _verdict(self, number: int, path: str, reason: str | None) -> Verdict:
        from ..detect import Verdict

        if reason is not None:
            name = self._detector.model.name
            return Verdict(path, "unreadable", None, None, (), name, reason)
        title = path if self._total == 1 else f"{number}/{self._total} {path}"
        with contextlib.ExitStack() as stack:
            bar = stack.enter_context(_Bar(title))
            annotation = self._annotation(path)
            if annotation is not None:
                stack.enter_context(annotation)
            if path != STDIN or self._options.size is not None:  # a picture is all or nothing
                stack.enter_context(self._first_ctrl_c_stops())

            def on_frame(frame: SeenFrame, done: float | None) -> bool:
                bar.show(frame.t, done)
                if self._report is not None:
                    self._report.add(frame)
                if annotation is not None:
                    annotation.add(frame)
                return self.stopped

            return self._check(path, on_frame)

    def _annotation(self, path: str) -> Annotation | None:
        options = self._options
        if options.annotate is None:
            return None
        from ..media.video import is_clip
        from ..report.annotate import Annotation

        raw, source = options.size is not None, None if path == STDIN else path
        return Annotation(
            options.annotate,
            clip=raw or (source is not None and is_clip(source)),
            source=source,
            rate=(options.rate or _USUAL_RATE) if raw else None,
            thresholds=self._detector.model.thresholds,
        )

    def _check(self, path: str, on_frame: OnFrame) -> Verdict:
        options = self._options
        if path != STDIN:
            return self._detector.check(
                path, fps=options.fps, every_frame=options.every_frame, on_frame=on_frame
            )
        stdin = cast(io.BufferedReader, sys.stdin.buffer)
        if options.size is None:
            return self._detector.check(stdin, on_frame=on_frame)
        from ..media.video import raw_frames

        rate = options.rate or _USUAL_RATE
        frames = raw_frames(stdin, options.size, rate, options.fps, options.every_frame)
        frames.path = STDIN
        self._stop_waiting = frames.stop
        return self._detector.check(frames, on_frame=on_frame)

    @contextlib.contextmanager
    def _first_ctrl_c_stops(self) -> Iterator[None]:
        """The first Ctrl-C ends the clip, whose verdict is then that of what was seen; the second
        one ends the process."""

        def stop(*_: object) -> None:
            if self.stopped:
                raise KeyboardInterrupt
            self.stopped = True
            self._stop_waiting()
            if sys.stderr is not None and sys.stderr.isatty():
                message("stopping; Ctrl-C once more to quit at once")

        try:
            before = signal.signal(signal.SIGINT, stop)
        except ValueError:  # not the main thread, which alone may set handlers
            yield
            return
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def write_report(self) -> None:
        """Write the page, if one is wanted, about everything that was judged so far."""
        if self._report is not None and self.judged:
            self._report.write(self._options.report)

    def summary(self) -> str:
        """What all inputs together were."""
        kinds = ("fake", "uncertain", "real", "no_face", "partial", "unreadable")
        counts = [f"{self.counts[k]} {k.replace('_', ' ')}" for k in kinds if self.counts[k]]
        return f"{self.judged} inputs: {', '.join(counts)}"


def _looked_at(options: argparse.Namespace) -> dict[str, str]:
    """How frames and faces were chosen, for the reader of the report."""
    frames = "every one" if options.every_frame else f"{options.fps or DEFAULT_FPS:g} a second"
    faces = "every picture is one" if options.crops else f"found by {options.finder}"
    if options.min_face is not None:
        faces += f", from {options.min_face:g} pixels on"
    return {"Frames of a clip": frames, "Faces": faces}


class _Bar:
    """A bar for a clip on stderr, if a person looks at it: file name, share done, time left."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._bar: Any = None

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def show(self, t: float, done: float | None) -> None:
        """Say that the clip is judged up to ``t`` seconds."""
        if self._bar is None:
            if sys.stderr is None or not sys.stderr.isatty():
                return
            try:
                from tqdm import tqdm
            except ImportError:  # pictures need no extra, and have no bar
                return
            known = "{desc}: {percentage:3.0f} % |{bar}| {remaining} left"
            self._bar = tqdm(
                desc=printable(self._title),
                total=None if done is None else 1.0,
                bar_format="{desc}: {n:.0f} s" if done is None else known,
                leave=False,
                file=sys.stderr,
            )
        self._bar.update((t if done is None else done) - self._bar.n)


def _inputs(paths: Sequence[str]) -> Iterator[tuple[str, str | None]]:
    """Every input by its path, or a folder and the reason why nobody can look into it."""
    for path in paths:
        if path == STDIN or not os.path.isdir(path):  # noqa: PTH112 (Path changes how it is written)
            yield path, None
            continue
        found = _in_folder(path)
        if not found:
            message(f"{path}: no pictures or clips in it")
        yield from found


def _in_folder(folder: str) -> list[tuple[str, str | None]]:
    from ..media.pictures import PICTURE_ENDINGS
    from ..media.video import CLIP_ENDINGS

    found: list[tuple[str, str | None]] = []

    def refused(error: OSError) -> None:
        found.append((error.filename, f"{error.strerror}: ask for the right to read it"))

    for place, folders, files in os.walk(folder, onerror=refused):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            is_wanted = name.lower().endswith((*PICTURE_ENDINGS, *CLIP_ENDINGS))
            if is_wanted and not name.startswith("."):
                found.append((os.path.join(place, name), None))  # noqa: PTH118
    return sorted(found)


def _sentence(verdict: Verdict) -> str:
    """One line for a person: word, probability, path, remark."""
    score = "" if verdict.p_fake is None else f"p_fake {100 * verdict.p_fake:5.1f} %"
    remarks = [_people(verdict), verdict.note or ""]
    remark = "; ".join(part for part in remarks if part)
    word = verdict.verdict or verdict.status.replace("_", " ")
    text = f"{verdict.path}  ({remark})" if remark else f"{verdict.path}"
    return f"{word:<10}  {score:14}  " + printable(text)


def _people(verdict: Verdict) -> str:
    """Of whom the verdict is, where there are several."""
    if len(verdict.tracks) < 2:
        return ""
    worst = verdict.tracks[0]
    seconds = int(max(worst.frames, key=lambda moment: moment.p_fake).t)
    when = f" at {seconds // 60}:{seconds % 60:02}" if verdict.frames_read > 1 else ""
    return f"{len(verdict.tracks)} faces, most fake: number {worst.id}{when}"
