"""How well segments find a swap of some seconds: `python -m tools.bench.segments --data DIR`.

Judges the clips of `DIR/videos` and puts looks of fakes that are called fake in the place of as
many of real ones, at random times. And how often a real clip gets a segment: in itself, and in an
hour strung together of pieces of five seconds. Files in which nothing is called fake, as those with
a palette, have no segments and are left out.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minimeso import Detector
from minimeso.detect.rule import CANNOT_BE, spread_of
from minimeso.detect.segments import segments
from minimeso.detect.verdict import Moment
from tools.arguments import number
from tools.errors import exit_status
from tools.train.release import clips_of

#: Seconds of a piece, and of what is strung together of them.
PIECE, LONG = 5.0, 3600.0
#: A clip must have so many seconds to have something put into it.
LEAST = 3.0


def spliced(
    real: Sequence[Moment], fake: Sequence[Moment], at: float, seconds: float, start: int
) -> list[Moment]:
    """The real looks, those from `at` on for some seconds with scores of a fake from `start` on."""
    places = [i for i, moment in enumerate(real) if at <= moment.t < at + seconds]
    found = list(real)
    for number_, place in enumerate(places):
        score = fake[(start + number_) % len(fake)].p_fake
        found[place] = real[place]._replace(p_fake=score)
    return found


def strung(real: Sequence[Moment], random: np.random.Generator) -> list[Moment]:
    """An hour of pieces of a clip."""
    times = [moment.t for moment in real]
    step = float(np.median(np.diff(times)))
    count = min(max(int(PIECE / step), 1), max(len(real) // 2, 1))
    found: list[Moment] = []
    while len(found) * step < LONG:
        first = int(random.integers(0, len(real) - count + 1))
        found += real[first : first + count]
    return [moment._replace(t=place * step) for place, moment in enumerate(found)]


def measured(detector: Detector, folder: Path, seconds: float, times: int) -> None:
    """Prints what was found."""
    model, random = detector.model, np.random.default_rng(0)
    spread = spread_of(model.calibration, model.name)

    def found_in(moments: Sequence[Moment]) -> Sequence[Any]:
        return segments(moments, model.thresholds or {}, spread)

    reals: list[tuple[str, tuple[Moment, ...]]] = []
    fakes: list[tuple[str, tuple[Moment, ...]]] = []
    for row in clips_of(folder):
        verdict = detector.check(folder / row["file"])
        if any(CANNOT_BE.get(note.code) == "fake" for note in verdict.notes):
            print(f"{row['file']}: left out", flush=True)
            continue
        for track in verdict.tracks:
            if row["label"] == "fake" and track.verdict == "fake":
                fakes.append((row["file"], track.frames))
            elif row["label"] == "real" and track.verdict != "fake" and len(track.frames) > 1:
                reals.append((row["file"], track.frames))
    own, hours, false = 0, 0.0, 0
    for name, real in reals:
        here, long = len(found_in(real)), len(found_in(strung(real, random)))
        own, false, hours = own + here, false + long, hours + LONG / 3600
        print(f"{name}: {here} segments in itself, {long} in an hour of its pieces", flush=True)
    hits: dict[str, list[bool]] = {}
    for (name, real), (other, fake) in itertools.product(reals, fakes):
        begin, end = real[0].t, real[-1].t
        if end - begin < max(LEAST, seconds + 1):
            continue
        for _ in range(times):
            at = begin + random.uniform(0.5, end - begin - seconds - 0.5)
            parts = found_in(spliced(real, fake, at, seconds, int(random.integers(len(fake)))))
            hit = any(part.start < at + seconds and part.end > at for part in parts)
            for key in (name, other, "all"):
                hits.setdefault(key, []).append(hit)
    for key, values in hits.items():
        if key != "all":
            print(f"{key}: {np.mean(values):.2f} of {len(values)} insertions")
    print(
        f"found {np.mean(hits['all']):.3f} of {len(hits['all'])} insertions of {seconds:g} s;"
        f" {own} segments in {len(reals)} real tracks, {false / hours:.2f} an hour strung together"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.bench.segments", description=(__doc__ or "").split("\n")[0]
    )
    add: Callable[..., Any] = parser.add_argument
    add("--data", type=Path, required=True, help="folder that holds videos/, with its videos.csv")
    add("--model", default="default", help="(default: %(default)s)")
    add("--seconds", type=float, default=1.0, help="of an insertion (default: %(default)s)")
    add("--times", type=number(1 << 16), default=8, help="for each real and fake clip")
    options = parser.parse_args(arguments)

    def work() -> None:
        measured(Detector(options.model), options.data / "videos", options.seconds, options.times)

    return exit_status("segments", work, "nothing is kept")


if __name__ == "__main__":
    sys.exit(main())
