"""All inputs of one ``minimeso detect``: judged one by one, printed, counted, reported."""

from __future__ import annotations

import argparse
import contextlib
import io
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, cast

from ..detect.prior import EVEN
from ..detect.verdict import Interval, Verdict, unreadable
from ..errors import OutputError, PictureError
from ..media.clip import Clip
from ..media.kinds import is_clip
from ..media.pictures import Unreadable
from ..notes import NO_TRACE, clock, in_words, per_cent
from .arguments import looked_at, of_prior
from .inputs import DEFAULT_RATE, STDIN, Input
from .output import json_line, line, message, printable
from .progress import ClipProgress, Progress

if TYPE_CHECKING:
    from ..detect import Detector
    from ..detect.verdict import SeenFrame
    from ..media.origin import Origin
    from ..media.streams import Stream
    from ..report import Report
    from ..report.annotate import Annotation
    from ..report.whole_clip import WholeClip


_TOO_LARGE = "needs more memory than there is, or than --memory allows: scale it down"


class Job:
    """All inputs of one command: judged one by one, counted, reported."""

    def __init__(self, detector: Detector, options: argparse.Namespace, total: int) -> None:
        self.judged = 0
        self.counts: Counter[str] = Counter()
        self._results: Counter[str] = Counter()  # one of each input
        self.stopped = False
        self._stop_waiting: Callable[[], None] = lambda: None
        self._detector = detector
        self._options = options
        self._total = total
        self._progress = Progress(total)
        self._report: Report | None = None
        self._origin: Origin | None = None  # of standard input
        #: Why there is no copy: said behind the verdict, which may have taken hours.
        self._not_written: Exception | None = None
        self._is_told = bool(options.json or options.report is not None)
        if options.report is not None:
            from ..media.atomic_file import AtomicFile
            from ..report import Report

            AtomicFile(options.report, tuple(options.paths)).discard()  # it can be written, then
            model = detector.model if options.fast else options.model
            self._report = Report(
                detector.networks, model, looked_at(options), measured=detector.measured
            )

    def judge(self, number: int, source: Input) -> None:
        """Judge one input, the ``number``-th, and print its line."""
        self._progress.show(number, source.path)
        try:
            verdict = self._verdict(number, source)
        except MemoryError:
            verdict = self._unreadable(source.path, _TOO_LARGE)
        finally:
            self._progress.clear()
        origin = self._origin_of(source)
        if self._report is not None:
            self._report.end(verdict, origin)
        if self._options.json:
            json_line({**verdict.to_json(), "file": origin and origin.to_json()})
        else:
            line(summary_line(verdict))
            if sys.stdout.isatty():  # for a person, who has asked about this file
                from ..report.sentence import sentence

                line(f"  {printable(sentence(verdict))}")
        self.judged += 1
        self.counts[verdict.status] += 1
        self._results[verdict.verdict or verdict.status] += 1
        if verdict.verdict is not None:
            self.counts[verdict.verdict] += 1
        if self._not_written is not None:
            raise self._not_written

    def _origin_of(self, source: Input) -> Origin | None:
        """Which file it was, where somebody is told: reading it once more takes its time."""
        if source.path == STDIN:
            return self._origin
        if source.fault is not None or not self._is_told:
            return None
        from ..media.origin import origin_of

        return origin_of(source.path)

    def _verdict(self, number: int, source: Input) -> Verdict:
        path, options = source.path, self._options
        if source.fault is not None:
            return self._unreadable(path, source.fault)
        file: str | Stream = path
        self._origin = None
        if path == STDIN and options.size is None:
            try:
                file = self._stdin()
            except Unreadable as error:
                return self._unreadable(path, str(error))
        title = path if self._total == 1 else f"{number}/{self._total} {path}"
        with contextlib.ExitStack() as stack:
            bar = stack.enter_context(ClipProgress(title))
            if not isinstance(file, str):
                stack.enter_context(file)
            stack.enter_context(self._first_ctrl_c_stops())
            try:
                clip = self._open_clip(file)
            except PictureError as error:
                return self._unreadable(path, str(error).removeprefix(f"{path}: "))
            if clip is not None:
                stack.enter_context(clip)
            annotation: Annotation | WholeClip | None = None

            def on_frame(frame: SeenFrame, done: float | None) -> bool:
                nonlocal annotation
                bar.show(frame.t, done)
                if self._report is not None:
                    self._report.add(frame)
                if options.annotate is not None and self._not_written is None:
                    is_first = annotation is None
                    if annotation is None:  # only now is it sure that there is something to write
                        annotation = self._annotation(path, clip, bar)
                        stack.enter_context(annotation)
                    try:
                        annotation.add(frame)
                    except OutputError as error:
                        if is_first:  # better said at once
                            raise
                        self._not_written = error
                return self.stopped

            if clip is not None:
                verdict = self._detector.check(clip, on_frame=on_frame)
            else:
                verdict = self._detector.check(
                    file, fps=options.fps, every_frame=options.every_frame, on_frame=on_frame
                )
            try:
                stack.close()  # writes the copy, which is read from the file once more
            except PictureError as error:
                self._not_written = OutputError(f"{options.annotate}: cannot be written: {error}")
            except (OutputError, MemoryError) as error:
                self._not_written = error
            return verdict

    def _stdin(self) -> Stream:
        from ..media.streams import stream_of

        file = stream_of(cast(io.BufferedReader, sys.stdin.buffer))
        if self._is_told:  # before it is judged, which closes it
            from ..media.origin import origin_of

            self._origin = origin_of(file)
        return file

    def _unreadable(self, path: str, reason: str) -> Verdict:
        return unreadable(path, reason, self._detector.model.name, self._detector.prior)

    def _open_clip(self, file: str | Stream) -> Clip | None:
        """The frames of a clip; ``None`` for what is none, or that only the detector can refuse."""
        options = self._options
        if options.size is None:
            if not is_clip(file):
                return None
            from ..media.video import open_clip  # only now is it sure that it is worth its import

            try:
                return open_clip(file, options.fps, options.every_frame)
            except PictureError:
                if not isinstance(file, str):
                    raise
                return None  # the detector meets it again and says it in its verdict
        from ..media.raw import raw_frames

        stdin = cast(io.BufferedReader, sys.stdin.buffer)
        rate = options.rate or DEFAULT_RATE
        clip = raw_frames(stdin, options.size, rate, options.fps, options.every_frame)
        clip.path = STDIN
        self._stop_waiting = clip.stop
        return clip

    def _annotation(
        self, path: str, clip: Clip | None, bar: ClipProgress
    ) -> Annotation | WholeClip:
        """Of a file every frame; of what came through a pipe, and is gone, those looked at."""
        from ..report.annotate import Annotation
        from ..report.sound import Sound
        from ..report.whole_clip import WholeClip

        sound = Sound(path, clip.zero) if clip is not None and path != STDIN else None
        annotation = Annotation(
            self._options.annotate,
            clip=clip is not None,
            source=None if path == STDIN else path,
            rate=clip.rate if clip is not None else None,
            thresholds=self._detector.model.thresholds,
            sound=sound,
        )
        if sound is None:
            return annotation
        duration = clip.duration if clip is not None else None

        def on_frame(t: float) -> None:
            bar.show(t, min(t / duration, 1.0) if duration else None)

        def ended() -> None:
            if sound is not None and sound.fault is not None:
                message(f"{self._options.annotate}: {sound.fault}")

        return WholeClip(annotation, path, lambda: self.stopped, on_frame, ended)

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
        counts = [f"{self._results[k]} {in_words(k)}" for k in kinds if self._results[k]]
        in_part = self.counts["partial"] - self._results["partial"]
        more = f"; {in_part} of them by a part only" if in_part else ""
        return f"{self.judged} inputs: {', '.join(counts)}{more}"

    def measured(self) -> str | None:
        """What such verdicts were worth on other sources, for a person who got some."""
        notes = self._detector.measured
        if self._options.json or not notes or not (self.counts["fake"] or self.counts["real"]):
            return None
        told = "; ".join(map(str, notes))
        return f"what such a network did on sources that its training never saw: {told}"


def summary_line(verdict: Verdict) -> str:
    """One line for a person: word, probability and its interval, path, remark.

    What is said for ``real`` takes the room of the number, which then is the first remark.
    """
    said = in_words(verdict.verdict or verdict.status)
    score = "" if verdict.p_fake is None else _score(verdict.p_fake, verdict.interval)
    remarks = [_people(verdict), _prior(verdict), verdict.note or ""]
    if said == NO_TRACE:
        start, remarks = said, [" ".join(score.split()), *remarks]
    else:
        start = f"{said:<10}  {score}"
    remark = "; ".join(part for part in remarks if part)
    text = f"{verdict.path}  ({remark})" if remark else f"{verdict.path}"
    return f"{start:<{len(NO_TRACE)}}  " + printable(text)


def _score(p_fake: float, interval: Interval | None) -> str:
    low, high = interval or (0.0, 1.0)
    return f"p_fake {per_cent(p_fake):>5} % ({per_cent(low, 0)} to {per_cent(high, 0)} %)"


def _prior(verdict: Verdict) -> str:
    return "" if verdict.prior == EVEN else f"prior {of_prior(verdict.prior)} %"


def _people(verdict: Verdict) -> str:
    """Of whom the verdict is, where there are several."""
    if len(verdict.tracks) < 2:
        return ""
    faces = f"{len(verdict.tracks)} faces"
    if verdict.frames_read <= 1:
        return faces
    worst = max(verdict.tracks[0].frames, key=lambda moment: moment.p_fake)
    return f"{faces}, most suspicious at {clock(int(worst.t), tenths=False)}"
