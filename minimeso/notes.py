"""Notes: what a reader should know beside a number, as data, and the one place that words it.

A note is a code and a few values.  Programs compare codes; the text is made at the end, by
``str``.  Everybody may note something, so this imports nothing of the house, as ``errors``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

#: Of a file: ``unreadable`` (``reason``), ``first_frame_only``, ``damaged_picture`` (``reason``),
#: ``damaged_frames`` (``frames``), ``damaged_after`` (``frames``, ``whole``, ``reason``),
#: ``reading_failed`` (``seconds``, ``reason``), ``cut_short`` (``seconds``, ``whole`` or ``None``),
#: ``incomplete_frame`` (``count``, ``whole``: bytes), ``reading_stopped`` (``reason``),
#: ``stopped``: by somebody, before its end.
#: Of what was found in it: ``no_face``, ``none_judged``, ``left_out`` (reason -> how many faces).
#: Doubts, why a person is uncertain: ``between_thresholds`` (``real``, ``fake``),
#: ``interval_across_half`` (``low``, ``high``), ``too_short_for_fake`` (``seconds``, ``least``);
#: and of a file, ``one_of_many`` (``faces``, ``alone``: p_fake of the most fake, were it alone).
Code = Literal[
    "unreadable", "first_frame_only", "damaged_picture", "damaged_frames", "damaged_after",
    "reading_failed", "cut_short", "incomplete_frame", "reading_stopped", "stopped",
    "no_face", "none_judged", "left_out",
    "between_thresholds", "interval_across_half", "too_short_for_fake",
    "one_of_many",
]  # fmt: skip
#: The codes that say why a person is uncertain.
DOUBTS: frozenset[Code] = frozenset(
    {"between_thresholds", "interval_across_half", "too_short_for_fake", "one_of_many"}
)


@dataclass(frozen=True)
class Note:
    """Something a reader should know.

    Attributes:
        code: what it is, see ``Code``.
        values: its numbers and names, by the keys that ``Code`` tells of.
    """

    code: Code
    values: Mapping[str, int | float | str | None] = field(default_factory=dict)

    def __str__(self) -> str:
        text = _TEXTS[self.code]
        return text if isinstance(text, str) else text(**self.values)


def joined(notes: Iterable[Note]) -> str | None:
    """All notes as one text; ``None`` where there are none."""
    return "; ".join(map(str, notes)) or None


#: Why faces are not judged, in words.
_LEFT_OUT = {
    "too_small": "too small (under 50 pixels)",
    "blurred": "too blurred",
    "dark": "too dark",
    "turned": "turned too far away",
    "cut_off": "cut off by the edge of the picture",
    "too_short": "seen too shortly",
}


def _damaged_frames(frames: int) -> str:
    return f"damaged: {frames} frame{'s' if frames > 1 else ''} left out"


def _cut_short(seconds: float, whole: float | None) -> str:
    return f"cut short after {seconds:.1f}{'' if whole is None else f' of {whole:.1f}'} s"


def _left_out(**counts: int) -> str:
    return "left out: " + ", ".join(f"{n} {_LEFT_OUT[reason]}" for reason, n in counts.items())


_TEXTS: dict[Code, str | Callable[..., str]] = {
    "unreadable": "{reason}".format,
    "first_frame_only": "only its first frame",
    "damaged_picture": "damaged or cut short ({reason}): judged by what could be read".format,
    "damaged_frames": _damaged_frames,
    "damaged_after": "damaged after {frames} of {whole} frames ({reason})".format,
    "reading_failed": "reading failed after {seconds:.1f} s ({reason})".format,
    "cut_short": _cut_short,
    "incomplete_frame": (
        "the last frame is incomplete: {count} of {whole} bytes; check the size".format
    ),
    "reading_stopped": "reading stopped: {reason}".format,
    "stopped": "stopped before its end",
    "no_face": "no face found",
    "none_judged": "no face that can be judged",
    "left_out": _left_out,
    "between_thresholds": (
        lambda real, fake: f"uncertain: p_fake lies between {100 * real:.0f} and {100 * fake:.0f} %"
    ),
    "interval_across_half": lambda low, high: (
        f"uncertain: too few frames that agree, p_fake may be {100 * low:.0f} to {100 * high:.0f} %"
    ),
    "too_short_for_fake": lambda seconds, least: f"uncertain: judged over {seconds:.1f} s only",
    "one_of_many": lambda faces, alone: (
        f"uncertain: alone the most fake face would have a p_fake of {100 * alone:.0f} %, but among"
        f" {faces} faces one is misjudged now and then"
    ),
}


def clock(t: float, tenths: bool = True) -> str:
    """``0:04.2``, from an hour on ``1:02:03.4``."""
    total = round(max(t, 0) * 10)
    minutes, rest = divmod(total, 600)
    seconds = f"{rest / 10:04.1f}" if tenths else f"{rest // 10:02d}"
    if minutes >= 60:
        return f"{minutes // 60}:{minutes % 60:02d}:{seconds}"
    return f"{minutes}:{seconds}"
