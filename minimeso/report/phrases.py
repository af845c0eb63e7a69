"""Words of a report: what numbers and reasons are called, what has to be explained, escaping."""

from __future__ import annotations

import html
from collections.abc import Iterator
from typing import NamedTuple

_NO_BREAK = "\N{NO-BREAK SPACE}"


def shown(text: str) -> str:
    r"""``text`` for HTML: markup is escaped, and so is what would not show (``\n``, ``\u202e``)."""
    visible = "".join(c if c.isprintable() or c == _NO_BREAK else _visible(c) for c in text)
    return html.escape(visible, quote=True)


def _visible(character: str) -> str:
    return character.encode("unicode_escape").decode()


def percent(p: float) -> str:
    """``86.1 %``; what is not quite 0 or 100 does not look so."""
    if 0 < p < 0.0005:
        return f"below 0.1{_NO_BREAK}%"
    if 0.9995 <= p < 1:
        return f"above 99.9{_NO_BREAK}%"
    return f"{100 * p:.1f}".removesuffix(".0") + f"{_NO_BREAK}%"


def clock(t: float, tenths: bool = True) -> str:
    """``0:04.2``, from an hour on ``1:02:03.4``."""
    total = round(max(t, 0) * 10)
    minutes, rest = divmod(total, 600)
    seconds = f"{rest / 10:04.1f}" if tenths else f"{rest // 10:02d}"
    if minutes >= 60:
        return f"{minutes // 60}:{minutes % 60:02d}:{seconds}"
    return f"{minutes}:{seconds}"


def counted(number: int, one: str, many: str | None = None) -> str:
    """``1 person``, ``2,000 persons``."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


class Reasons(NamedTuple):
    """Why a face is left out: in short, and what it means."""

    short: str
    meaning: str


REASONS = {
    "too_small": Reasons("too small", "The face has too few pixels to show what is looked for."),
    "blurred": Reasons("blurred", "Motion or focus has washed away what is looked for."),
    "dark": Reasons("too dark", "There is too little light on the face."),
    "turned": Reasons("turned away", "The model knows faces from the front, not from the side."),
    "cut_off": Reasons("cut off", "The edge of the picture cuts through the face."),
    "too_short": Reasons("too short", "A person was in view too briefly to be judged."),
}


def reason(key: str) -> Reasons:
    """Words for a reason; one without words is shown as it is."""
    return REASONS.get(key, Reasons(key.replace("_", " "), ""))


INFLUENCE = "The heat map shows influence and proves nothing."

#: What a verdict does not mean; ``{thing}`` is a picture or a clip.
NOT_MEANT = {
    "fake": "it is no proof and says nothing about who did what. Strong compression, make-up, "
    "filters or an unusual camera can look like a swap to the model.",
    "real": "it does not show that the {thing} is genuine. Other manipulations (a whole picture "
    "generated, a voice replaced, a cut) are not looked for, and good swaps are missed.",
    "uncertain": "it is no half proof in either direction. Treat the {thing} as if it had not "
    "been checked.",
}
NO_CARD = (
    "The model has no card that names its limits. Without one nothing is known about where it "
    "errs: do not rely on it."
)
PRIVATE = (
    "Everything was computed on one computer and nothing was uploaded; the page holds all that it "
    "shows and asks for nothing. It shows faces of people: mind whom you give it to."
)
_PERSON = (
    "One face, followed through the clip. Persons are numbered in the order in which they are "
    "first judged; who is seen too shortly keeps a number and gets no verdict, who could not be "
    "judged at all has a dash, and who leaves and comes back may get a new number."
)
_TIMELINE = (
    "Each dot or step of the line is p_fake at that moment. The grey band is the 95 % interval of "
    "the person's p_fake, the line in it that p_fake itself; the dashed lines are the thresholds. "
    "Letters are the frames shown below it, the most suspicious on top, the least at the bottom."
)
_LANE = (
    "Under the timeline: the face was judged (filled), or seen but left out (hatched). Where "
    "neither stands it was not seen."
)
_INTERVAL = (
    "How well these frames show what the model thinks of this person: few frames, or frames that "
    "disagree, make it wide. That the model may be wrong about the person is not in it."
)
_HEAT = (
    "Heat map: squares that pushed the network towards fake (+) or towards real (&minus;); the "
    "stronger the tint, the stronger the push, on one scale for all frames of a person. A square "
    f"stands for itself and what lies around it. <strong>{INFLUENCE}</strong> It does not show "
    "where a face was changed."
)
_NO_HEAT = (
    "This model does not end in a map with dense layers behind it, so what it reacted to cannot "
    "be drawn."
)


def terms(clips: bool, heat: bool) -> Iterator[tuple[str, str]]:
    """What needs an explanation, as HTML, and the explanation."""
    yield (
        "p_fake",
        "Probability, from 0 % (real) to 100 % (fake), that the face was swapped in, as the model "
        "sees it.",
    )
    if clips:
        yield "Person", _PERSON
        yield "Timeline", _TIMELINE
        yield '<span class="key judged"></span> <span class="key out"></span>', _LANE
    yield "Interval", _INTERVAL
    yield "Frames", "The box with the thick edge is the person, its number beside it."
    if heat:
        yield '<span class="key fake">+</span> <span class="key real">&minus;</span>', _HEAT
    else:
        yield "No heat map", _NO_HEAT
