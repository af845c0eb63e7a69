"""One plain sentence about a file: what was seen, how sure that is, what to do next."""

from __future__ import annotations

from collections.abc import Sequence

from ..detect.verdict import Verdict
from ..notes import DOUBTS, Note, remedies
from .phrases import counted, looks_like_picture, percent

_BETTER = "one that shows the face larger, sharper, well lit and from the front"
_SECOND = "look at the frames that the report shows (--report) and ask where it comes from"


def sentence(verdict: Verdict) -> str:
    """Of a verdict on a file, as plain text, for a terminal, too: without no-break spaces."""
    return _sentence(verdict).replace("\N{NO-BREAK SPACE}", " ")


def _sentence(verdict: Verdict) -> str:
    is_picture = looks_like_picture(verdict)
    thing = "picture" if is_picture else "clip"
    doubts = [note for note in verdict.notes if note.code in DOUBTS]
    part = "as far as it was looked at, " if verdict.status == "partial" else ""
    if verdict.status == "unreadable":
        reason = next((str(note) for note in verdict.notes if note.code == "unreadable"), "")
        remedy = reason.rpartition(": ")[2] or "try another copy of it"
        return f"Nothing is known about it, because it could not be read: {remedy}."
    if verdict.verdict is None or verdict.p_fake is None:
        seen = "faces were seen in it, but none that can be judged" if verdict.left_out else (
            f"no face was found in this {thing}")  # fmt: skip
        better = _remedy(doubts) if doubts else _BETTER
        return f"{_begun(part + seen)}, so nothing is known about it: try {better}."
    who = counted(len(verdict.tracks), "face" if is_picture else "person")
    where = "" if is_picture else f" in {counted(verdict.frames_scored, 'frame')}"
    was = "was" if len(verdict.tracks) == 1 else "were"
    seen = _begun(f"{part}{who}{where} {was} judged")
    sure = _sure(verdict)
    if verdict.verdict == "fake":
        one = "it" if len(verdict.tracks) == 1 else "at least one of them"
        return f"{seen}, and {one} looks swapped in, {sure}; the model may err: {_SECOND}."
    if verdict.verdict == "real":
        return (
            f"{seen}, and no trace of a swap of the kinds that the model knows was found, {sure}; "
            f"that does not make the {thing} genuine: if much depends on it, ask where it comes "
            "from."
        )
    return (
        f"{seen}, and the model cannot tell, {sure}: take it for not checked; what may help is "
        f"{_remedy(doubts)}."
    )


def _begun(text: str) -> str:
    return text[:1].upper() + text[1:]


def _remedy(doubts: Sequence[Note]) -> str:
    """The first that somebody could do; in the end another picture."""
    found = (remedies([doubt]) for doubt in doubts)
    return next((text for text in found if text != remedies([])), remedies([]))


def _sure(verdict: Verdict) -> str:
    """Where p_fake may lie."""
    low, high = verdict.interval or (verdict.p_fake or 0.0, verdict.p_fake or 0.0)
    ends = percent(low), percent(high)
    between = ends[0] if ends[0] == ends[1] else f"{ends[0]} to {ends[1]}"
    return f"with a probability of a swap, as the model sees it, of {between}"
