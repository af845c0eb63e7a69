"""Verdicts: what a check found, as data, and the rule that turns a probability into a word."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

#: ``ok``; ``no_face``: nothing to judge; ``unreadable``: nothing could be read; ``partial``: the
#: file is cut short or damaged, and what could be read was judged.
Status = Literal["ok", "no_face", "unreadable", "partial"]
Word = Literal["real", "fake", "uncertain"]
#: x, y, width, height in pixels of the picture as a person sees it, from its top left corner.
Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Face:
    """One face of a picture: where it is, and the probability that it was swapped in."""

    box: Box
    p_fake: float

    def to_json(self) -> dict[str, Any]:
        """JSON-able data: ``box`` as ``[x, y, w, h]``, and ``p_fake``."""
        return {"box": list(self.box), "p_fake": self.p_fake}


@dataclass(frozen=True)
class Verdict:
    """What is known about one picture.

    Attributes:
        path: of the file; ``None`` for a picture in memory.
        status: whether there was something to judge, see ``Status``.
        verdict: ``judge`` of ``p_fake``; ``None`` where nothing was judged.
        p_fake: that of the most fake face, in [0, 1]; ``None`` where nothing was judged.
        faces: every face that was judged.
        model: name of the model that judged.
        note: what else a reader should know (how the face was found, why a file cannot be read);
            ``None`` if nothing.
    """

    path: str | None
    status: Status
    verdict: Word | None
    p_fake: float | None
    faces: tuple[Face, ...]
    model: str
    note: str | None = None

    def to_json(self) -> dict[str, Any]:
        """JSON-able data under the keys that ``minimeso detect --json`` prints, in that order."""
        return {
            "path": self.path,
            "status": self.status,
            "verdict": self.verdict,
            "p_fake": self.p_fake,
            "faces": [face.to_json() for face in self.faces],
            "model": self.model,
            "note": self.note,
        }


def judge(p_fake: float, thresholds: Mapping[str, float]) -> Word:
    """The word for a probability.

    ``fake`` from ``thresholds["fake"]`` up, else ``real`` up to ``thresholds["real"]``, else
    ``uncertain``.
    """
    if p_fake >= thresholds["fake"]:
        return "fake"
    return "real" if p_fake <= thresholds["real"] else "uncertain"
