"""Findings: what is known of the persons of a picture or clip, or of a piece of one, once its
frames were judged.  They can be pickled, and those of the next piece are joined to them.

They grow by some 30 bytes for each judged face.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from ..notes import Note
from .moments import Moments
from .rule import Rule
from .track_score import suspicion, too_short
from .verdict import Face, Moment, Reason, Track, Verdict


class Findings:
    """What was found.

    Args:
        weight: of the thorough network, see ``Moments``.
        followed: whether frames follow one another, as those of a picture do not.

    Attributes:
        persons: number of a person -> the frames in which it was judged.
        first, last: seconds of the first frame and of the last one.
        frames_read: frames that went by, looked at or not.
        frames_scored: frames with at least one face that was judged.
        faces_found: faces in all frames.
        left_out: why faces were not judged -> how many.
        doubt: about the file, of who reads it: see ``Rule``.
    """

    def __init__(self, weight: float | None, followed: bool) -> None:
        self._weight, self._followed = weight, followed
        self.persons: dict[int, Moments] = {}
        self.first, self.last = math.inf, -math.inf
        self.frames_read = 1
        self.frames_scored = 0
        self.faces_found = 0
        self.left_out: dict[str, int] = {}
        self.doubt: Note | None = None

    def pass_time(self, t: float) -> None:
        """There is a frame at so many seconds."""
        self.first, self.last = min(self.first, t), max(self.last, t)

    def moments(self, number: int) -> Moments:
        """The frames of a person, who may be new."""
        return self.persons.setdefault(number, Moments(self._weight))

    def leave_out(self, reason: Reason) -> None:
        """A face is not judged."""
        self.left_out[reason] = self.left_out.get(reason, 0) + 1

    def tracks(self, rule: Rule, so_far: bool = False) -> tuple[tuple[Track, ...], dict[str, int]]:
        """Every person that was judged, the most fake first, and the faces left out by reason.

        Args:
            rule: how words come about.
            so_far: more frames are to come, so segments are not looked for.
        """
        left_out = dict(self.left_out)
        short: set[int] = set()
        if self._followed:
            times = {number: moments.times() for number, moments in self.persons.items()}
            short = too_short(times, self.last - self.first)
            if short:
                left_out["too_short"] = sum(len(times[number]) for number in short)
        persons = {n: m for n, m in self.persons.items() if n not in short}
        tracks = [self.track(rule, n, m, len(persons), not so_far) for n, m in persons.items()]
        tracks.sort(key=lambda track: suspicion(track.verdict, track.p_fake), reverse=True)
        return tuple(tracks), left_out

    def track(
        self,
        rule: Rule,
        number: int,
        moments: Sequence[Moment],
        count: int = 1,
        whole: bool = False,
    ) -> Track:
        """A person, one of so many, by these frames; whether they are all."""
        return rule.person(
            number,
            moments,
            count=count,
            followed=self._followed,
            doubt=self.doubt,
            stranger=self.persons[number].is_stranger,
            whole=whole,
        )

    def verdict(
        self,
        rule: Rule,
        model: str,
        path: str | None,
        complete: bool,
        notes: Sequence[Note],
        faces: tuple[Face, ...] = (),
        so_far: bool = False,
    ) -> Verdict:
        """The verdict about the file.

        Args:
            rule: how words come about.
            model: its name.
            path: of the file, if it has one.
            complete: whether all of it was read.
            notes: what else there is to say.
            faces: of a picture.
            so_far: as for ``tracks``.
        """
        tracks, left_out = self.tracks(rule, so_far)
        judged = rule.file(tracks, followed=self._followed, doubt=self.doubt) if tracks else None
        word = judged.word if judged else None
        if judged is None:
            notes = (*notes, Note("none_judged" if self.faces_found else "no_face"))
        else:
            notes = (*notes, *judged.doubts)
        if left_out:
            notes = (*notes, Note("left_out", dict(left_out)))
        if judged is None and "covered" in left_out:  # somebody is there, and nothing is known
            word, notes = "uncertain", (*notes, Note("covered"))
        return Verdict(
            path,
            "partial" if not complete else "ok" if word else "no_face",
            word,
            judged.p_fake if judged else None,
            faces,
            model,
            tuple(notes),
            tracks,
            self.frames_read,
            self.frames_scored,
            left_out,
            judged.interval if judged else None,
            rule.prior,
        )

    def join(self, later: Findings, numbers: Mapping[int, int]) -> None:
        """Add what was found in a later piece of the same clip.

        Args:
            later: of the piece.
            numbers: the number of each of its persons among all.
        """
        for number, moments in later.persons.items():
            self.moments(numbers[number]).extend(moments)
        self.first, self.last = min(self.first, later.first), max(self.last, later.last)
        self.frames_read += later.frames_read
        self.frames_scored += later.frames_scored
        self.faces_found += later.faces_found
        for reason, count in later.left_out.items():
            self.left_out[reason] = self.left_out.get(reason, 0) + count
        self.doubt = self.doubt or later.doubt
