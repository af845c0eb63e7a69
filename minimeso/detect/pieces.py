"""Pieces: a long clip judged in parts, by several processes maybe, whose persons are joined.

Each piece begins at a key frame (``media.key_frames``) and knows nothing of the others, so that
they may be judged in any order and anywhere.  Joined, whoever was followed to the end of a piece
goes on in the next one, and who comes back to a scene that an earlier piece remembers is known
again.  What differs from a clip that is judged in one go: in each piece the thorough network looks
at everybody as at somebody new, so it looks a little more often; whole frames are searched at other
moments; and where one piece is compressed too strongly to call anybody real, the clip is.  The
number of pieces depends on the clip alone, so the verdict does, too.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ..media.key_frames import Span
from ..notes import Code, Note
from .findings import Findings
from .track import FaceTracks


class Piece(NamedTuple):
    """A piece of a clip that was judged; it can be pickled, in some KiB for each person.

    Attributes:
        span: of the clip.
        findings: what was found, by the numbers of this piece.
        tracks: who was where at its end; ``None`` where nothing was followed.
        followed_as: number of a person in ``findings`` -> the one in ``tracks``.
        faults: what could not be read.
        remarks: what was done to the frames.
    """

    span: Span
    findings: Findings
    tracks: FaceTracks | None
    followed_as: dict[int, int]
    faults: tuple[Note, ...]
    remarks: tuple[Note, ...]


class Whole(NamedTuple):
    """All pieces of a clip; the attributes are those of a ``Piece``."""

    findings: Findings
    faults: tuple[Note, ...]
    remarks: tuple[Note, ...]


def joined(pieces: Sequence[Piece]) -> Whole:
    """What all pieces of a clip say together.

    Args:
        pieces: in time; at least one.
    """
    first, *others = copy.deepcopy(pieces)  # those that were given may be joined once more
    findings, tracks = first.findings, first.tracks
    persons = {followed: number for number, followed in first.followed_as.items()}
    for piece in others:
        if tracks is None or piece.tracks is None:
            numbers = {number: number for number in piece.findings.persons}
        else:
            among_all = tracks.go_on(piece.tracks)
            numbers = {}
            for number, followed in piece.followed_as.items():
                numbers[number] = persons.setdefault(among_all[followed], len(persons) + 1)
        findings.join(piece.findings, numbers)
    return Whole(
        findings,
        _faults(note for piece in pieces for note in piece.faults),
        tuple(dict.fromkeys(note for piece in pieces for note in piece.remarks)),
    )


def _faults(notes: Iterable[Note]) -> tuple[Note, ...]:
    """Frames that are missing together, by why; of what ends the reading the first."""
    missing, others = Counter[Code](), dict[str, Note]()
    for note in notes:
        if note.code in ("damaged_frames", "frames_without_memory"):
            missing[note.code] += int(note.values["frames"] or 0)
        else:
            others.setdefault(note.code, note)
    found = [Note(code, {"frames": count}) for code, count in missing.items() if count]
    return (*found, *others.values())
