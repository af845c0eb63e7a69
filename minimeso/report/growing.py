"""What is known of a clip before its end, drawn as the page will draw it, numbers and words so far.

Persons are numbered as they come into view, so that they keep their places while it grows; at the
end the most suspicious is number 1.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..detect.verdict import SeenFrame, Verdict
from ..notes import DOUBTS, clock, reasons
from .highlights import Collector, thumbnail
from .persons import called, drawn, with_boxes
from .phrases import amounts, counted, escaped, headline

#: Persons that are drawn, the most suspicious.
_MOST_PERSONS = 8


def growing(
    frame: SeenFrame, done: float | None, seen: Collector, thresholds: Mapping[str, float]
) -> str:
    """The part of a page, as HTML.

    Args:
        frame: the last one; without ``so_far`` only itself is shown.
        done: share of the clip that is done, if known.
        seen: what was kept of the clip.
        thresholds: of the model.
    """
    verdict = frame.so_far() if frame.so_far is not None else None
    parts = [_picture(frame)]
    if verdict is None or verdict.verdict is None:
        parts.insert(0, '<p class="big">No face to judge so far</p>')
        return "".join(parts)
    parts.insert(0, _head(verdict, seen.frames))
    end = max(frame.t / done if done else frame.t, seen.end)
    shown = sorted(verdict.tracks[:_MOST_PERSONS], key=lambda track: track.id)
    for track in shown:
        parts.append(
            f'<article class="person"><h3>{called(track)}</h3>'
            f"{drawn(track, seen, thresholds, end)}</article>"
        )
    more = len(verdict.tracks) - len(shown)
    if more:
        parts.append(f'<p class="fine">{counted(more, "less suspicious person")} not drawn.</p>')
    return "".join(parts)


def _head(verdict: Verdict, looks: int) -> str:
    doubts = [note for note in verdict.notes if note.code in DOUBTS]
    told = reasons(doubts, "; ")
    why = f'<p class="fine">Uncertain: {escaped(told)}.</p>' if doubts else ""
    return (
        f'<div class="verdict"><p class="big">So far: {headline(verdict)}</p>{why}'
        f'<p class="fine">{amounts(verdict, False, looks)}</p></div>'
    )


def _picture(frame: SeenFrame) -> str:
    """The frame with the faces in it; thick edges for those that were judged."""
    height, width = frame.pixels.shape[:2]
    boxes = [
        (face.track, face.face.box, "other" if face.p_fake is None else "this")
        for face in frame.faces
    ]
    judged = sum(kind == "this" for _, _, kind in boxes)
    at = clock(frame.t)
    alt = f"Frame at {at}: {counted(len(boxes), 'face')}, {judged} of them judged"
    picture = with_boxes(thumbnail(frame.pixels), (width, height), alt, boxes)
    return f"<figure><figcaption><time>{at}</time></figcaption>{picture}</figure>"
