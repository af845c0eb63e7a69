"""Where the time of a whole job goes: one thread, a clip, a stopwatch around every stage.

The detector runs as it always does, but for its threads: decoding, finding and scoring follow each
other instead of going on side by side, so every second belongs to one stage.  The stages are found
by the names of the functions that do them; time within a stage that belongs to another (a search
within following) counts for the other only.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import patch

REST = "everything else"
#: Module, function or method, name of the stage.
STAGES = (
    ("minimeso.media.video", "_File._read", "decode"),
    ("minimeso.media.combs", "CombWatch.is_combed", "look for combs"),
    ("minimeso.media.video", "_File._converted", "convert to RGB"),
    ("minimeso.media.partial", "PartialFrame.around", "convert to RGB"),
    ("minimeso.media.partial", "PartialFrame.whole", "convert to RGB"),
    ("minimeso.detect.finder", "FaceFinder.find", "find in the whole frame"),
    ("minimeso.detect.finder", "FaceFinder.find_near", "find near the last place"),
    ("minimeso.detect.tracker", "Tracker.see", "follow"),
    ("minimeso.detect.analyzer", "fault", "refuse"),
    ("minimeso.detect.analyzer", "goodness", "refuse"),
    ("minimeso.detect.covered", "Covers.see", "see covers"),
    ("minimeso.detect.analyzer", "cut", "crop"),
    ("minimeso.detect.analyzer", "Analyzer.judge", "score"),
    ("minimeso.detect.analyzer", "Analyzer._looked", "look with the thorough network"),
)


class Stopwatch:
    """Seconds and calls of each stage, those of a stage within it left out."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.calls: dict[str, int] = {}
        self._stages: list[str] = []
        self._since = 0.0

    def around(self, function: Callable[..., Any], stage: str) -> Callable[..., Any]:
        """The function, timed."""
        self.seconds.setdefault(stage, 0.0)
        self.calls.setdefault(stage, 0)

        def timed(*arguments: Any, **options: Any) -> Any:
            self._switch()
            self._stages.append(stage)
            self.calls[stage] += 1
            try:
                return function(*arguments, **options)
            finally:
                self._switch()
                self._stages.pop()

        return timed

    def _switch(self) -> None:
        now = time.perf_counter()
        if self._stages:
            self.seconds[self._stages[-1]] += now - self._since
        self._since = now


def measure(clip: Path, every_frame: bool, runs: int) -> dict[str, Any]:
    """Judge a clip some times; the medians of every stage in milliseconds of a frame of the clip.

    Raises:
        MinimesoError: it cannot be read.
    """
    from minimeso import Detector

    detector = Detector(threads=1)
    found: list[dict[str, float]] = []
    for _ in range(runs):
        watch = Stopwatch()
        with ExitStack() as stack:
            for module, name, stage in STAGES:
                original = _find(module, name)
                stack.enter_context(patch(f"{module}.{name}", watch.around(original, stage)))
            stack.enter_context(patch("minimeso.detect.reading.prefetch", _not_prefetched))
            stack.enter_context(patch("minimeso.media.video._DECODER_THREADS", 1))
            verdict = watch.around(detector.check, REST)(clip, every_frame=every_frame)
        found.append(watch.seconds)
    frames = max(verdict.frames_read, 1)
    return {
        "frames_read": verdict.frames_read,
        "frames_scored": verdict.frames_scored,
        "stages": {
            stage: {
                "calls": calls,
                "ms_of_a_frame": 1e3 * statistics.median(f[stage] for f in found) / frames,
            }
            for stage, calls in watch.calls.items()
        },
    }


def rows(found: dict[str, Any]) -> Sequence[Sequence[str]]:
    """A table of what ``measure`` found."""
    stages = found["stages"]
    whole = sum(stage["ms_of_a_frame"] for stage in stages.values())
    lines = [["", "calls", "ms of a frame", "share"]]
    for name, stage in sorted(stages.items(), key=lambda pair: -pair[1]["ms_of_a_frame"]):
        ms = stage["ms_of_a_frame"]
        lines.append([name, f"{stage['calls']}", f"{ms:.3f}", f"{ms / whole:.1%}"])
    return [*lines, ["all", "", f"{whole:.3f}", "100.0%"]]


def _find(module: str, name: str) -> Any:
    from importlib import import_module

    found: Any = import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return found


def _not_prefetched(iterable: Iterable[Any], _: int) -> Any:
    """``prefetch`` without its thread: an item is made when it is asked for."""
    return nullcontext(iter(iterable))
