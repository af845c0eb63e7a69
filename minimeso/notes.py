"""Notes: what a reader should know beside a number, as data, and the one place that words it.

A note is a code and a few values.  Programs compare codes; the text is made at the end, by
``str`` and ``joined``.  Everybody may note something, so this imports nothing of the house, as
``errors``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

#: Of a file: ``unreadable`` (``reason``), ``first_frame_only``, ``one_frame_only``: of those that
#: follow each other, nobody says which, ``first_clip_only``: others are
#: joined behind it, ``clip_behind``: a clip lies behind the picture, ``largest_track_only``: it
#: has several picture tracks,
#: ``reduced`` (``by``), ``deinterlaced``, ``tone_mapped``,
#: ``damaged_picture`` (``reason``), ``damaged_frames`` (``frames``),
#: ``frames_without_memory`` (``frames``), ``before_key_frame`` (``frames``, ``seconds``: it begins
#: with frames that build on one that is not in it),
#: ``damaged_after`` (``frames``, ``whole``, ``reason``),
#: ``reading_failed`` (``seconds``, ``reason``), ``cut_short`` (``seconds``, ``whole`` or ``None``),
#: ``incomplete_frame`` (``count``, ``whole``: bytes), ``reading_stopped`` (``reason``),
#: ``stopped``: by somebody, before its end.
#: Of what was found in it: ``no_face``, ``none_judged``, ``left_out`` (reason -> how many faces).
#: Doubts, why a person or a file is uncertain: ``between_thresholds`` (``real``, ``fake``),
#: ``interval_across_half`` (``low``, ``high``), ``too_short_for_fake`` (``seconds``, ``least``),
#: ``one_of_many`` (``faces``, ``alone``: p_fake of the most fake, were there no others),
#: ``compressed`` (``jpeg_quality`` or ``h264_quantiser``), ``lost_scans``, ``palette``,
#: ``fake_for_a_while`` (``start``, ``end``, ``p_fake`` of the most fake segment, ``others``: how
#: many more there are), ``covered``: nothing was judged, and eyes or mouth of some faces were
#: hidden, ``out_of_domain`` (``faces``: how many are unlike those that the networks learned from).
#: Beside one of these, what it may come from: ``few_frames`` (``frames``), ``still`` (``frames``:
#: the face does not move in them, as where a clip shows a photograph), ``frames_disagree``
#: (``fake``, ``real``, ``frames``: how many), ``small_face`` (``pixels``).
#: Of a model: ``measured_elsewhere`` (``trained_on``, ``tested_on``, ``auc``, ``right_of_decided``
#: or ``None``).
Code = Literal[
    "unreadable", "first_frame_only", "one_frame_only", "first_clip_only", "clip_behind",
    "largest_track_only", "reduced", "deinterlaced",
    "tone_mapped", "damaged_picture", "damaged_frames", "frames_without_memory",
    "before_key_frame", "damaged_after",
    "reading_failed", "cut_short", "incomplete_frame", "reading_stopped", "stopped",
    "no_face", "none_judged", "left_out",
    "between_thresholds", "interval_across_half", "too_short_for_fake", "one_of_many",
    "compressed", "lost_scans", "palette", "fake_for_a_while", "covered", "out_of_domain",
    "few_frames", "still", "frames_disagree", "small_face",
    "measured_elsewhere",
]  # fmt: skip
#: The codes that say what an uncertain verdict may come from.
CAUSES: frozenset[Code] = frozenset({"few_frames", "still", "frames_disagree", "small_face"})
#: The codes that say why it is uncertain.
DOUBTS: frozenset[Code] = CAUSES | {
    "between_thresholds",
    "interval_across_half",
    "too_short_for_fake",
    "one_of_many",
    "compressed",
    "lost_scans",
    "palette",
    "fake_for_a_while",
    "covered",
    "out_of_domain",
}
#: What is said in place of ``real``: that nothing was found shows nothing more.
NO_TRACE = "no trace of a swap of the kinds it knows"


@dataclass(frozen=True)
class Note:
    """Something a reader should know.

    Attributes:
        code: what it is, see ``Code``.
        values: its numbers and names, by the keys that ``Code`` tells of.
    """

    code: Code
    values: Mapping[str, int | float | str | None] = field(default_factory=dict)

    def __hash__(self) -> int:  # a dict, as the values are, has none
        return hash((self.code, frozenset(self.values.items())))

    def __str__(self) -> str:
        text = _TEXTS[self.code]
        return text if isinstance(text, str) else text(**self.values)

    def to_json(self) -> dict[str, Any]:
        """JSON-able data: ``code``, and the values beside it."""
        return {"code": self.code, **self.values}


def in_words(verdict: str) -> str:
    """A verdict, or a status, as it is said to people."""
    return NO_TRACE if verdict == "real" else verdict.replace("_", " ")


def joined(notes: Iterable[Note]) -> str | None:
    """All notes as one text, the doubts together at the end; ``None`` where there are none."""
    notes = list(notes)
    texts = [str(note) for note in notes if note.code not in DOUBTS]
    doubts = [note for note in notes if note.code in DOUBTS]
    if doubts:
        texts += [f"uncertain: {reasons(doubts)}", f"it may help: {remedies(doubts)}"]
    return "; ".join(texts) or None


def reasons(doubts: Iterable[Note], between: str = ", ") -> str:
    """Why something is uncertain, the heaviest reason first."""
    return between.join(map(str, doubts))


def remedies(doubts: Iterable[Note], between: str = " or ") -> str:
    """What would make it more certain; there is always something."""
    known = [(_REMEDIES[doubt.code], doubt.values) for doubt in doubts if doubt.code in _REMEDIES]
    found = [text if isinstance(text, str) else text(**values) for text, values in known]
    return between.join(dict.fromkeys(found)) or _ANOTHER


#: Why faces are not judged, in words.
_LEFT_OUT = {
    "too_small": "too small (under 50 pixels)",
    "blurred": "too blurred",
    "dark": "too dark",
    "turned": "turned too far away",
    "cut_off": "cut off by the edge of the picture",
    "covered": "with eyes or mouth covered",
    "too_short": "seen too shortly",
    "too_many": "too many (more than 32 at once)",
}
_LONGER = "a longer clip of the person"
_ANOTHER = "another picture or clip of the same person"
#: What would help against a doubt.
_REMEDIES: dict[Code, str | Callable[..., str]] = {
    "too_short_for_fake": _LONGER,
    "one_of_many": "that face alone, if it was suspected before the others were seen",
    "compressed": lambda **_: "the original file instead of a copy sent by a messenger",
    "lost_scans": "the whole file: copy or download it again",
    "palette": "the clip or picture that it was made of",
    "fake_for_a_while": "a look at the seconds that look fake (--report)",
    "covered": "a picture or clip of the same person without glasses, mask, hand or bar",
    "out_of_domain": lambda **_: "a photograph or clip of the person",
    "few_frames": lambda frames: (
        "a clip of some seconds, or more pictures" if frames == 1 else _LONGER
    ),
    "still": "a clip in which the person moves",
    "frames_disagree": "a steadier clip, or a look at the frames that differ (--report)",
    "small_face": "a larger picture of the face",
}


def _damaged_frames(frames: int) -> str:
    return f"damaged: {frames} frame{'s' if frames > 1 else ''} left out"


def _frames_without_memory(frames: int) -> str:
    return f"too little memory: {frames} frame{'s' if frames > 1 else ''} left out"


def _before_key_frame(frames: int, seconds: float) -> str:
    time = f"{seconds:.1f} s" if seconds >= 0.05 else f"frame{'s' if frames > 1 else ''}"
    return f"its first {time} cannot be shown, as it begins between two key frames"


def _cut_short(seconds: float, whole: float | None) -> str:
    return f"cut short after {seconds:.1f}{'' if whole is None else f' of {whole:.1f}'} s"


def _left_out(**counts: int) -> str:
    return "left out: " + ", ".join(f"{n} {_LEFT_OUT[reason]}" for reason, n in counts.items())


def _compressed(jpeg_quality: int | None = None, h264_quantiser: int | None = None) -> str:
    by = f"JPEG quality {jpeg_quality}" if jpeg_quality else f"H.264 quantiser {h264_quantiser}"
    return f"the file is so strongly compressed ({by}) that traces of a swap would be gone"


def _fake_for_a_while(start: float, end: float, p_fake: float, others: int) -> str:
    more = f", and {others} more time{'s' if others > 1 else ''}" if others else ""
    when = f"from {clock(start)} to {clock(end)}"
    return f"{when} it looks fake (p_fake {per_cent(p_fake, 0)} %){more}"


def _out_of_domain(faces: int) -> str:
    which, them = ("the face is", "it") if faces == 1 else (f"{faces} faces are", "them")
    return (
        f"{which} unlike those that the model learned from, as are drawings, statues, screens and "
        f"prints, so what it says of {them} means nothing"
    )


def _measured_elsewhere(
    trained_on: str, tested_on: str, auc: float, right_of_decided: float | None
) -> str:
    right = (
        ""
        if right_of_decided is None
        else f"; of 100 verdicts other than uncertain {round(100 * right_of_decided)} were right"
    )
    return f"trained on {trained_on} and tested on {tested_on}: AUC {auc:.2f}{right}"


_TEXTS: dict[Code, str | Callable[..., str]] = {
    "unreadable": "{reason}".format,
    "first_frame_only": "only its first frame",
    "one_frame_only": "only one of its frames",
    "first_clip_only": "only the first of the clips that are joined in it, as players show it",
    "clip_behind": "only the photograph, not the clip that lies behind it",
    "largest_track_only": "only the largest of its picture tracks",
    "deinterlaced": "its frames are interlaced: deinterlaced",
    "tone_mapped": "its colours are HDR: mapped to those of a usual screen",
    "reduced": "very large: decoded at 1/{by} of its size".format,
    "damaged_picture": "damaged or cut short ({reason}): judged by what could be read".format,
    "damaged_frames": _damaged_frames,
    "frames_without_memory": _frames_without_memory,
    "before_key_frame": _before_key_frame,
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
        lambda real, fake: (
            f"p_fake is too high for no trace (up to {_exact(real)} %) and too low for fake "
            f"(from {_exact(fake)} %)"
        )
    ),
    "interval_across_half": (
        lambda low, high: f"p_fake may be anything from {_exact(low)} to {_exact(high)} %"
    ),
    "too_short_for_fake": lambda seconds, least: (
        f"for a verdict of fake it was judged over {tenths_down(seconds)} s only, not {least:g}"
    ),
    "one_of_many": lambda faces, alone: (
        f"alone, the most suspicious face would have a p_fake of {per_cent(alone, 0)} %, but among "
        f"{faces} faces one is misjudged now and then"
    ),
    "compressed": _compressed,
    "lost_scans": "the file lacks its fine detail, and with it what would be traces of a swap",
    "palette": "its colours are those of a palette, as in a GIF, which looks like traces of a swap",
    "fake_for_a_while": _fake_for_a_while,
    "covered": "eyes or mouth are hidden, and what hides them shows nothing of a swap",
    "out_of_domain": _out_of_domain,
    "few_frames": (
        lambda frames: "there was one look only" if frames == 1 else f"{frames} frames show little"
    ),
    "still": "in all {frames} frames the face hardly moves, as in a photograph".format,
    "frames_disagree": "of {frames} frames {fake} speak for fake and {real} against it".format,
    "small_face": "the face is small ({pixels} pixels)".format,
    "measured_elsewhere": _measured_elsewhere,
}


def per_cent(share: float, decimals: int = 1) -> str:
    """``86.1`` of 0.861; what is not quite 0 or 100 does not look so: ``<0.1``, ``>99.9``."""
    text, step = f"{100 * share:.{decimals}f}", 10.0**-decimals
    if share > 0 and float(text) == 0:
        return f"<{step:.{decimals}f}"
    if share < 1 and float(text) == 100:
        return f">{100 - step:.{decimals}f}"
    return text


def _exact(share: float) -> str:
    """``13.5`` or ``82``: a limit beside which p_fake stands with a decimal, too."""
    return per_cent(share).removesuffix(".0")


def tenths_down(seconds: float) -> str:
    """``1.4`` of 1.49: what is too short does not look long enough."""
    return f"{math.floor(10 * seconds + 1e-6) / 10:.1f}"


def clock(t: float, tenths: bool = True) -> str:
    """``0:04.2``, from an hour on ``1:02:03.4``."""
    total = round(max(t, 0) * 10)
    minutes, rest = divmod(total, 600)
    seconds = f"{rest / 10:04.1f}" if tenths else f"{rest // 10:02d}"
    if minutes >= 60:
        return f"{minutes // 60}:{minutes % 60:02d}:{seconds}"
    return f"{minutes}:{seconds}"
