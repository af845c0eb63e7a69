"""Texts of a report, made at the end from data: numbers, reasons, statements, explanations."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from ..detect.track_score import FAKE_SECONDS
from ..detect.verdict import Verdict
from ..notes import DOUBTS, Note

_NO_BREAK = "\N{NO-BREAK SPACE}"


def escaped(text: str) -> str:
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


def counted(number: int, one: str, many: str | None = None) -> str:
    """``1 person``, ``2,000 persons``."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


class ReasonText(NamedTuple):
    """Why a face is left out: in short, and what it means."""

    short: str
    meaning: str


REASONS = {
    "too_small": ReasonText("too small", "The face has too few pixels to show what is looked for."),
    "blurred": ReasonText("blurred", "Motion or focus has washed away what is looked for."),
    "dark": ReasonText("too dark", "There is too little light on the face."),
    "turned": ReasonText("turned away", "The model knows faces from the front, not from the side."),
    "cut_off": ReasonText("cut off", "The edge of the picture cuts through the face."),
    "too_short": ReasonText("too short", "A person was in view too briefly to be judged."),
}


def reason(key: str) -> ReasonText:
    """Words for a reason; one without words is shown as it is."""
    return REASONS.get(key, ReasonText(key.replace("_", " "), ""))


#: In words what ``track_score.judge_track`` and ``track_score.suspicion`` do.
RULE = (
    "The word for a person comes from all frames of that person together: fake where p_fake "
    "reaches the upper threshold and its whole interval lies at 50 % or above, real where p_fake "
    "is the lower threshold at most and its whole interval lies at 50 % or below, else uncertain. "
    f"Nobody is called fake who was judged over less than {FAKE_SECONDS} seconds. "
    "Where there are several persons, each needs stronger evidence the more there are, because "
    "among many faces one is misjudged now and then; the file's p_fake is the probability that at "
    "least one was swapped, and its word follows by the same thresholds."
)
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
_PRESENCE = (
    "Under the timeline: the face was judged (filled), or seen but left out (hatched). Where "
    "neither stands it was not seen."
)
_INTERVAL = (
    "How well these frames show what the model thinks of this person: few frames, or frames that "
    "disagree, make it wide. That the model may be wrong about the person is not in it."
)
_ATTRIBUTION = (
    "Heat map: squares that pushed the network towards fake (+) or towards real (&minus;); the "
    "stronger the tint, the stronger the push, on one scale for all frames of a person. A square "
    f"stands for itself and what lies around it. <strong>{INFLUENCE}</strong> It does not show "
    "where a face was changed."
)
_NO_ATTRIBUTION = (
    "This model does not end in a map with dense layers behind it, so what it reacted to cannot "
    "be drawn."
)


def terms(clips: bool, has_attributions: bool) -> Iterator[tuple[str, str]]:
    """What needs an explanation, as HTML, and the explanation."""
    yield (
        "p_fake",
        "Probability, from 0 % (real) to 100 % (fake), that the face was swapped in, as the model "
        "sees it.",
    )
    if clips:
        yield "Person", _PERSON
        yield "Timeline", _TIMELINE
        yield '<span class="key judged"></span> <span class="key out"></span>', _PRESENCE
    yield "Interval", _INTERVAL
    yield "Frames", "The box with the thick edge is the person, its number beside it."
    if has_attributions:
        yield '<span class="key fake">+</span> <span class="key real">&minus;</span>', _ATTRIBUTION
    else:
        yield "No heat map", _NO_ATTRIBUTION


def headline(verdict: Verdict) -> str:
    """A verdict in a few words, as HTML."""
    word = verdict.verdict
    if word is None:
        return {"no_face": "No face to judge", "unreadable": "Unreadable"}.get(
            verdict.status, "Not judged"
        )
    return f"{word.capitalize()} <small>p_fake {percent(verdict.p_fake or 0.0)}</small>"


def statements(
    verdict: Verdict, is_picture: bool, thresholds: Mapping[str, float]
) -> Iterator[str]:
    """A verdict in sentences, as HTML: what was found, what it means, what it does not mean."""
    thing = "picture" if is_picture else "clip"
    if verdict.status == "unreadable":
        yield "The file could not be read, so nothing is known about it."
        return
    if any(note.code == "stopped" for note in verdict.notes):
        yield "<strong>It was not looked at to its end.</strong> Only what was seen was judged."
    elif verdict.status == "partial":
        yield (
            "<strong>The file is cut short or damaged.</strong> Only what could be read was judged."
        )
    if verdict.verdict is None or verdict.p_fake is None:
        yield (
            f"Faces were seen in this {thing}, but none that can be judged; why stands below."
            if verdict.left_out
            else f"No face was found in this {thing}."
        )
        yield (
            f"<strong>This does not mean that the {thing} is genuine.</strong> Only faces are "
            "looked at; there was nothing to say about any."
        )
        return
    several = len(verdict.tracks) > 1
    who = f"person {verdict.tracks[0].id}" if verdict.tracks else "the face"
    most = f"{who}, the most suspicious of {len(verdict.tracks)} persons" if several else who
    real, fake = percent(thresholds["real"]), percent(thresholds["fake"])
    if verdict.verdict == "fake":
        yield (
            f"In {most}{',' if several else ''} the model sees what face swaps leave behind. From "
            f"{fake} up it says fake."
        )
    elif verdict.verdict == "real":
        nobody = "In nobody does the model see" if several else f"In {who} the model does not see"
        yield f"{nobody} what face swaps leave behind. Up to {real} it says real."
    else:
        doubts = [note for note in verdict.notes if note.code in DOUBTS]
        why = _why_uncertain(doubts, thresholds)
        yield f"The model cannot tell about {most}: {why}"
    yield (
        f"<strong>What it means:</strong> p_fake is the probability that a face was swapped in, as "
        f"the model sees it. Of 100 faces like those it was tuned on that score "
        f"{percent(verdict.p_fake)}, about {round(100 * verdict.p_fake)} are swapped."
    )
    not_meant = NOT_MEANT[verdict.verdict].format(thing=thing)
    yield f"<strong>What it does not mean:</strong> {not_meant}"


def _why_uncertain(doubts: Sequence[Note], thresholds: Mapping[str, float]) -> str:
    """What weighs most against a word; without a doubt that is known, the thresholds."""
    if not doubts or doubts[0].code not in _DOUBTS:
        return _between_thresholds(thresholds["real"], thresholds["fake"])
    return _DOUBTS[doubts[0].code](**doubts[0].values)


def _between_thresholds(real: float, fake: float) -> str:
    return f"it says fake only from {percent(fake)} up and real only up to {percent(real)}."


def _interval_across_half(low: float, high: float) -> str:
    return f"{_BEYOND} the interval around it crosses 50{_NO_BREAK}%."


def _too_short_for_fake(seconds: float, least: float) -> str:
    return f"{_BEYOND} a face must be judged over {least} seconds to be called fake."


def _one_of_many(faces: int, alone: float) -> str:
    return (
        f"alone the face would have a p_fake of {percent(alone)}, but among {faces} faces one is "
        "misjudged now and then."
    )


_BEYOND = "p_fake lies beyond a threshold, but"
#: For each code of ``DOUBTS``, what makes the end of a sentence of its values.
_DOUBTS: dict[str, Callable[..., str]] = {
    "between_thresholds": _between_thresholds,
    "interval_across_half": _interval_across_half,
    "too_short_for_fake": _too_short_for_fake,
    "one_of_many": _one_of_many,
}


def amounts(verdict: Verdict, is_picture: bool) -> str:
    """How much was looked at."""
    if is_picture:
        return f"{counted(len(verdict.tracks) or len(verdict.faces), 'face')} judged."
    return (
        f"{counted(verdict.frames_read, 'frame')} read, {verdict.frames_scored:,} of them with a "
        f"face that was judged; {counted(len(verdict.tracks), 'person')} judged."
    )
