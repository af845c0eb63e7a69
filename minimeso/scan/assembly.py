"""Assembly: long clips are cut, their pieces go to the workers, and what came of them is joined."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from .judge import Answer, Job
from .pending import weight
from .pieces import Cut, JudgedPiece, Work
from .schema import Outcome
from .source import Entry


@dataclass
class _Clip:
    cut: Cut
    entry: Entry
    pieces: dict[int, bytes] = field(default_factory=dict)


class Assembly:
    """The long clips that are being judged.

    What is known of one is lost when the scan ends before it is whole, and judged again then.

    Args:
        submit: takes what else is to be done.
        forget: called with the path of a clip of which no further piece is wanted.
    """

    def __init__(
        self, submit: Callable[[Job], None], forget: Callable[[str], None] = lambda path: None
    ) -> None:
        self._submit, self._forget = submit, forget
        self._clips: dict[str, _Clip] = {}
        self._over: set[str] = set()  # clips of which pieces may still come

    @property
    def weight(self) -> float:
        """Of the pieces that are judged, see ``pending.weight``."""
        return sum(
            weight(clip.entry) * len(clip.pieces) / len(clip.cut.spans)
            for clip in self._clips.values()
        )

    def take(self, answers: Iterable[Answer]) -> list[Outcome]:
        """The outcomes among what a batch gave; what is to be done next is submitted."""
        outcomes = []
        for answer in answers:
            if isinstance(answer, Cut):
                self._begin(answer)
            elif isinstance(answer, JudgedPiece):
                self._add(answer)
            elif self._is_first(answer):
                outcomes.append(answer)
        return outcomes

    def _begin(self, cut: Cut) -> None:
        entry = Entry(cut.path, cut.bytes, cut.stamp)
        self._clips[cut.path] = _Clip(cut, entry)
        share = 1 / len(cut.spans)
        for number in range(len(cut.spans)):
            self._submit(Job(entry, work=Work(cut, number), share=share))

    def _add(self, judged: JudgedPiece) -> None:
        clip = self._clips.get(judged.path)
        if clip is None:  # given up, because of another piece
            return
        clip.pieces[judged.number] = judged.data
        count = len(clip.cut.spans)
        if len(clip.pieces) == count:
            pieces = tuple(clip.pieces[number] for number in range(count))
            self._submit(Job(clip.entry, work=Work(clip.cut, pieces=pieces), share=0.0))

    def _is_first(self, outcome: Outcome) -> bool:
        """An outcome is that of its file, but for what fails of a clip that is over already."""
        if self._clips.pop(outcome.path, None) is not None:
            self._over.add(outcome.path)
            self._forget(outcome.path)  # or each might hang as long as this one did
            return True
        return outcome.path not in self._over
