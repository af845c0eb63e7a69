"""Words of a report: what the states, reasons and numbers are called, and escaping."""

from __future__ import annotations

import html
from typing import NamedTuple


def shown(text: str) -> str:
    r"""``text`` for HTML: markup escaped, and what nobody should see raw too (``\n``, ``\u202e``)."""
    visible = "".join(c if c.isprintable() else _visible(c) for c in text)
    return html.escape(visible, quote=True)


def _visible(character: str) -> str:
    return character.encode("unicode_escape").decode()


def percent(p: float) -> str:
    """``86.1 %``; what is not quite 0 or 100 does not look so."""
    if 0 < p < 0.0005:
        return "below 0.1 %"
    if 0.9995 <= p < 1:
        return "above 99.9 %"
    return f"{100 * p:.1f} %".replace(".0 %", " %")


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
    "turned": Reasons("turned away", "The face is seen from the side; the model knows front views."),
    "cut_off": Reasons("cut off", "The edge of the picture cuts through the face."),
    "too_short": Reasons("too short", "A person was in view too briefly to be judged."),
}


def reason(key: str) -> Reasons:
    """Words for a reason; one without words is shown as it is."""
    return REASONS.get(key, Reasons(key.replace("_", " "), ""))
