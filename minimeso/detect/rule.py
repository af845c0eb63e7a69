"""The rule: from the scores of a person's frames, and of all persons of a file, to its verdict.

What belongs to a model (thresholds, spread) and to the question (the prior) comes together here,
once for pictures, clips and streams.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ..checks import is_number
from ..errors import ModelError
from ..notes import CAUSES, Code, Note
from .causes import causes
from .prior import EVEN, shift, shifted, some_fake
from .segments import segments
from .track_score import SPREAD, judge_track, summarize, views
from .verdict import Interval, Moment, Segment, Track, Word

#: A spread beyond says that a person's frames have nothing in common.
_MOST_SPREAD = 100.0
#: Share of the time from which on a person looks fake altogether, not for a while.
_WHOLE = 0.8
#: What nobody is called for a doubt about the file: in what was compressed strongly, or lacks the
#: last scans of a JPEG, fakes look real; the few colours of a palette make real faces look fake.
CANNOT_BE: dict[str, Word] = {"compressed": "real", "lost_scans": "real", "palette": "fake"}


class Judged(NamedTuple):
    """What is said of a file."""

    word: Word
    p_fake: float
    interval: Interval
    doubts: tuple[Note, ...]


class Rule(NamedTuple):
    """How a word comes about.

    Attributes:
        thresholds: ``real`` and ``fake``, of the model.
        spread: prior standard deviation of a person's logits from frame to frame, see
            ``track_score``.
        prior: how likely it is that somebody in a file is swapped, before it is looked at.
    """

    thresholds: Mapping[str, float]
    spread: float = SPREAD
    prior: float = EVEN

    def frame(self, p_fake: float) -> float:
        """The score of a frame, as long as nobody knows how many persons there will be."""
        return shifted(p_fake, shift(self.prior))

    def person(
        self,
        number: int,
        frames: Sequence[Moment],
        *,
        count: int = 1,
        followed: bool = True,
        doubt: Note | None = None,
        stranger: bool = False,
        whole: bool = False,
    ) -> Track:
        """A person by some frames, with a word and the doubts about it.

        Args:
            number: of the person.
            frames: in which the face was judged, scores at even odds; of a pair of networks those
                count that the thorough one looked at.
            count: how many persons the file has; a stream, whose end nobody knows, one.
            followed: through the frames of a clip, so that the seconds in view count.
            doubt: about the file, one of ``CANNOT_BE``.
            stranger: unlike the faces that the networks learned from, so that neither word fits.
            whole: nothing of a clip is to come, so that its segments are looked for.
        """
        by = shift(self.prior, count)
        looked = [moment for moment in frames if moment.thorough] or frames
        times = [moment.t for moment in frames]
        scores = [moment.p_fake for moment in looked]
        most = views(frames)
        summary = summarize([moment.t for moment in looked], scores, self.spread, by, most)
        p_fake = summary.p_fake if len(scores) > 1 or by else scores[0]
        low, high = summary.interval  # of a score that was cut, as the one itself is not
        interval = min(low, p_fake), max(high, p_fake)
        parts: tuple[Segment, ...] = ()
        may_be_fake = not stranger and (doubt is None or CANNOT_BE[doubt.code] != "fake")
        if whole and followed and may_be_fake:
            parts = segments(frames, self.thresholds, self.spread, by)
        if by:
            frames = [moment._replace(p_fake=shifted(moment.p_fake, by)) for moment in frames]
        seconds = max(times) - min(times) if followed else math.inf
        word, doubts = self._judge(p_fake, interval, seconds, doubt)
        if word != "fake" and parts and (word == "real" or _is_a_while(parts, times)):
            word, doubts = "uncertain", (_of_segment(parts), *doubts)
        if stranger:
            word, doubts = "uncertain", (Note("out_of_domain", {"faces": 1}), *doubts)
        if doubts:
            looked = [moment for moment in frames if moment.thorough] or frames
            doubts += causes(looked, summary.effective, self.thresholds, most)
        return Track(number, p_fake, interval, word, tuple(frames), doubts, parts)

    def file(
        self,
        persons: Sequence[Track],
        *,
        followed: bool = True,
        doubt: Note | None = None,
    ) -> Judged:
        """The verdict of a file by its persons, at least one, the most suspicious first.

        A file is fake if one of its persons is, and real only if all are; between these, what many
        faces say together counts.  A person unlike the faces that the networks know can make it
        neither, only uncertain.
        """
        first = persons[0]
        if len(persons) == 1:
            return Judged(first.verdict, first.p_fake, first.interval, first.doubts)
        p_fake, interval = some_fake(
            [person.p_fake for person in persons], [person.interval for person in persons]
        )
        times = [moment.t for moment in first.frames]
        seconds = max(times) - min(times) if followed else math.inf
        word, doubts = self._judge(p_fake, interval, seconds, doubt)
        if word != "fake" and any(_has_doubt(person, "fake_for_a_while") for person in persons):
            most = max(
                persons, key=lambda person: max((s.p_fake for s in person.segments), default=0)
            )
            word, doubts = "uncertain", (_of_segment(most.segments), *doubts)
        strangers = sum(_has_doubt(person, "out_of_domain") for person in persons)
        if strangers and not (word == "fake" and "fake" in [p.verdict for p in persons]):
            word, doubts = "uncertain", (Note("out_of_domain", {"faces": strangers}), *doubts)
        if doubts:
            seen = (doubt for doubt in first.doubts if doubt.code in CAUSES)
            doubts = (*self._one_of_many(persons), *doubts, *seen)
        return Judged(word, p_fake, interval, doubts)

    def _judge(
        self, p_fake: float, interval: Interval, seconds: float, doubt: Note | None
    ) -> tuple[Word, tuple[Note, ...]]:
        """The word and the doubts, with that about the file where it forbids the word."""
        word, doubts = judge_track(p_fake, interval, self.thresholds, seconds)
        # Where traces would be gone one is uncertain for that reason, too.
        if doubt is None or word not in (CANNOT_BE[doubt.code], "uncertain"):
            return word, doubts
        return "uncertain", (*doubts, doubt)

    def _one_of_many(self, persons: Sequence[Track]) -> tuple[Note, ...]:
        """The doubt about a face that would be called fake, were it not one of so many."""
        count = len(persons)
        back = shift(self.prior) - shift(self.prior, count)
        alone = max(shifted(person.p_fake, back) for person in persons)
        if alone < self.thresholds["fake"]:
            return ()
        return (Note("one_of_many", {"faces": count, "alone": alone}),)


def _has_doubt(person: Track, code: Code) -> bool:
    return any(doubt.code == code for doubt in person.doubts)


def _is_a_while(parts: Sequence[Segment], times: Sequence[float]) -> bool:
    """Whether segments are only a part of the time in which somebody is seen: else they say nothing
    that the person's own p_fake does not."""
    seconds = math.fsum(part.end - part.start for part in parts)
    return bool(parts) and seconds < _WHOLE * (max(times) - min(times))


def _of_segment(parts: Sequence[Segment]) -> Note:
    """The doubt about a person who looks fake for a while: the most fake of these segments."""
    most = max(parts, key=lambda part: part.p_fake)
    values = {"start": most.start, "end": most.end, "p_fake": most.p_fake, "others": len(parts) - 1}
    return Note("fake_for_a_while", values)


def spread_of(calibration: Mapping[str, Any] | None, name: str) -> float:
    """The ``spread`` that a model says of itself; ``SPREAD`` where it says nothing.

    Args:
        calibration: of the model.
        name: of the model.

    Raises:
        ModelError: it is no number above 0.
    """
    spread = (calibration or {}).get("spread", SPREAD)
    if not is_number(spread) or not 0 < spread <= _MOST_SPREAD:
        raise ModelError(
            f"{name}: calibration has spread {str(spread)[:80]}, not a number above 0 and at most "
            f"{_MOST_SPREAD:g}; get the model again"
        )
    return float(spread)
