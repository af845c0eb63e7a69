"""A judge that looks at nothing: its verdicts follow from names, so the rest can be measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from minimeso.detect.box import Box
from minimeso.detect.verdict import Moment, Track, Verdict, Word
from minimeso.scan.judge import Alive, Job
from minimeso.scan.schema import Outcome, outcome_of
from minimeso.scan.source import Entry


class Stub(NamedTuple):
    """Makes the judge, as `minimeso.scan.judge.OpenJudge` makes a real one."""

    key: str = "stub"

    def blamed(self) -> dict[str, Any]:
        return {"settings": self.key, "prior": 0.5, "model": "stub"}

    def __call__(self, scratch: str | None) -> Callable[[Job, Alive], Outcome]:
        return self._judge

    def _judge(self, job: Job, alive: Alive) -> Outcome:
        path, size, stamp, _ = job.entry
        return outcome_of(verdict_of(path), path, "0" * 64, size, stamp, self.key)


def verdict_of(path: str) -> Verdict:
    """A verdict with one or two persons that follows from a path."""
    number = sum(path.encode("utf-8", "surrogateescape"))
    tracks = []
    for person in range(1, 2 + number % 2):
        p_fake = (number * person % 97 + 1) / 100
        moments = (Moment(0.0, Box(1, 2, 30, 40), p_fake), Moment(0.5, Box(1, 2, 30, 40), p_fake))
        word: Word = "fake" if p_fake > 0.9 else "real"
        tracks.append(Track(person, p_fake, (p_fake / 2, p_fake), word, moments))
    tracks.sort(key=lambda track: -track.p_fake)
    first = tracks[0]
    return Verdict(
        path, "ok", first.verdict, first.p_fake, (), "stub", (), tuple(tracks), 2, 2,
        {"blurred": number % 3}, first.interval,
    )  # fmt: skip


def entries(count: int) -> Iterator[Entry]:
    """So many files that do not exist, with paths as long as usual ones."""
    for number in range(count):
        path = f"/archive/of/somebody/{number // 1000:05}/picture-{number:09}.jpg"
        yield Entry(path, 100_000, f"100000-17000000000000{number:09}-{number}")
