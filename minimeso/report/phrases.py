"""Texts of a report, made at the end from data: numbers, reasons, statements, explanations."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from ..detect.prior import EVEN
from ..detect.track_score import FAKE_SECONDS
from ..detect.verdict import Interval, Moment, Verdict
from ..notes import DOUBTS, NO_TRACE, Code, Note, clock, per_cent, reasons, remedies

_NO_BREAK = "\N{NO-BREAK SPACE}"


def escaped(text: str) -> str:
    r"""``text`` for HTML: markup is escaped, and so is what would not show (``\n``, ``\u202e``)."""
    visible = "".join(c if c.isprintable() or c == _NO_BREAK else _visible(c) for c in text)
    return html.escape(visible, quote=True)


def _visible(character: str) -> str:
    return character.encode("unicode_escape").decode()


def percent(p: float) -> str:
    """``86.1 %``; what is not quite 0 or 100 does not look so: ``below 0.1 %``."""
    text = per_cent(p).removesuffix(".0").replace("<", "below ").replace(">", "above ")
    return f"{text}{_NO_BREAK}%"


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
    "covered": ReasonText(
        "covered", "Eyes or mouth are hidden (glasses, mask, hand, bar), and so is what is sought."
    ),
    "too_short": ReasonText("too short", "A person was in view too briefly to be judged."),
    "too_many": ReasonText(
        "too many", "More faces are in view than are followed at once: cut out those that matter."
    ),
}


def reason(key: str) -> ReasonText:
    """Words for a reason; one without words is shown as it is."""
    return REASONS.get(key, ReasonText(key.replace("_", " "), ""))


#: In words what ``track_score.judge_track`` and ``track_score.suspicion`` do.
RULE = (
    "The word for a person comes from all frames of that person together: fake where p_fake "
    "reaches the upper threshold and its whole interval lies at 50 % or above, "
    f"\u201c{NO_TRACE}\u201d where p_fake is the lower threshold at most and its whole "
    "interval lies at 50 % or below, else uncertain. "
    f"Nobody in a clip is called fake who was judged over less than {FAKE_SECONDS} seconds. "
    "Where there are several persons, each needs stronger evidence the more there are, because "
    "among many faces one is misjudged now and then; the file's p_fake is the probability that at "
    "least one was swapped, and its word follows by the same thresholds."
)
INFLUENCE = "The heat map shows influence and proves nothing."

#: Doubts about somebody who need not be the most suspicious.
_OF_ANYBODY: frozenset[Code] = frozenset({"fake_for_a_while", "out_of_domain"})
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
    "Nobody wrote down what this model cannot do, so where it errs is not known here: do not rely "
    "on it. Who made it can say so in a Markdown file beside it, of its name and with .md, under "
    "the heading <code>## What it cannot do</code>; what stands there is then shown here."
)
NO_MODEL = (
    "The model is not here, or not as it was, so neither its thresholds nor what it cannot do can "
    "be shown: make this page where it lies."
)
PRIVATE = (
    "Everything was computed on one computer and nothing was uploaded; the page holds all that it "
    "shows and asks for nothing. It shows faces of people: mind whom you give it to."
)
#: Of a page about files that may come from anywhere, and were judged by many computers.
INDEX = (
    "The page holds all that it shows and asks for nothing. It names files and shows none of them: "
    "<code>minimeso detect FILE --report FILE.html</code> makes the page of one."
)
_PERSON = (
    "One face, followed through the clip. The most suspicious is number 1; who was seen too "
    "shortly or could not be judged has a dash, and who leaves and comes back may get a new "
    "number. (<code>--json</code> and an annotated copy number persons as they come into view.)"
)
_TIMELINE = (
    "Each dot or step of the line is p_fake at that moment. The grey band is the 95 % interval of "
    "the person's p_fake, the line in it that p_fake itself; the dashed lines are the thresholds. "
    "What is shaded is a segment: from when to when somebody looks fake. "
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


def terms(clips: bool, has_attributions: bool | None) -> Iterator[tuple[str, str]]:
    """What needs an explanation, as HTML, and the explanation.

    Args:
        clips: whether somebody was followed through one.
        has_attributions: whether there are heat maps; ``None`` where no frame is shown at all.
    """
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
    if has_attributions is None:
        return
    yield "Frames", "The box with the thick edge is the person, its number beside it."
    if has_attributions:
        yield '<span class="key fake">+</span> <span class="key real">&minus;</span>', _ATTRIBUTION
    else:
        yield "No heat map", _NO_ATTRIBUTION


def looks_like_picture(verdict: Verdict) -> bool:
    """Whether it is no clip: of one frame, unless that was the one at which it was stopped."""
    stopped = any(note.code == "stopped" for note in verdict.notes)
    return verdict.frames_read <= 1 and not stopped


def headline(verdict: Verdict) -> str:
    """A verdict in a few words, as HTML."""
    word = verdict.verdict
    if word is None:
        return {"no_face": "No face to judge", "unreadable": "Unreadable"}.get(
            verdict.status, "Not judged"
        )
    said = NO_TRACE if word == "real" else word
    if verdict.p_fake is None:
        return said.capitalize()
    return f"{said.capitalize()} <small>{score(verdict.p_fake, verdict.interval)}</small>"


def score(p_fake: float, interval: Interval | None) -> str:
    """``p_fake 86.1 % (60 % to 95 %)``."""
    if interval is None:
        return f"p_fake {percent(p_fake)}"
    return f"p_fake {percent(p_fake)} ({percent(interval[0])} to {percent(interval[1])})"


def statements(
    verdict: Verdict,
    is_picture: bool,
    thresholds: Mapping[str, float],
    measured: Sequence[Note] = (),
    peak: Moment | None = None,
) -> Iterator[str]:
    """A verdict in sentences, as HTML: what was found, what it means, what it does not mean.

    Args:
        verdict: on a file.
        is_picture: whether it is no clip.
        thresholds: of the model.
        measured: how good the model was on sources that its training never saw.
        peak: of a clip, the most suspicious moment of all persons.
    """
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
        doubts = [note for note in verdict.notes if note.code in DOUBTS]
        if doubts:
            yield f"<strong>It may help:</strong> {escaped(remedies(doubts))}."
        yield (
            f"<strong>This does not mean that the {thing} is genuine.</strong> Only faces are "
            "looked at; there was nothing to say about any."
        )
        return
    yield _found(verdict, thresholds)
    if peak is not None and verdict.verdict == "real" and peak.p_fake > 0.5:
        yield _spike(peak)
    yield from _meaning(verdict, measured)
    not_meant = NOT_MEANT[verdict.verdict].format(thing=thing)
    yield f"<strong>What it does not mean:</strong> {not_meant}"


def _whom(verdict: Verdict) -> str:
    """Of several persons, whom a verdict is about."""
    tracks, together = verdict.tracks, f"{len(verdict.tracks)} persons together"
    if verdict.verdict not in [track.verdict for track in tracks]:
        return together
    notes = [note for note in verdict.notes if note.code in _OF_ANYBODY]
    whose = {t.id for t in tracks for note in notes if any(_is_same(note, d) for d in t.doubts)}
    if not whose - {tracks[0].id}:
        return f"person {tracks[0].id}, the most suspicious of {len(tracks)} persons"
    return f"person {whose.pop()}, one of {len(tracks)} persons" if len(whose) == 1 else together


def _is_same(note: Note, doubt: Note) -> bool:
    """Whether a doubt about a file is that about a person, of whom it may count several."""
    return doubt == note or doubt.code == note.code == "out_of_domain"


def _found(verdict: Verdict, thresholds: Mapping[str, float]) -> str:
    """What the model sees, or why it cannot tell and what would help."""
    several = len(verdict.tracks) > 1
    who = f"person {verdict.tracks[0].id}" if verdict.tracks else "the face"
    about = _whom(verdict) if several else who
    real, fake = percent(thresholds["real"]), percent(thresholds["fake"])
    if verdict.verdict == "fake":
        return (
            f"In {about}{',' if several else ''} the model sees what face swaps leave behind. From "
            f"{fake} up it says fake."
        )
    if verdict.verdict == "real":
        nobody = "In nobody does the model see" if several else f"In {who} the model does not see"
        return (
            f"{nobody} what the face swaps that it knows leave behind. Up to {real} it says "
            f"\u201c{NO_TRACE}\u201d."
        )
    doubts = [note for note in verdict.notes if note.code in DOUBTS]
    doubts = doubts or [Note("between_thresholds", dict(thresholds))]
    return (
        f"The model cannot tell about {about}: {escaped(reasons(doubts, '; '))}. "
        f"<strong>It may help:</strong> {escaped(remedies(doubts, '; or '))}."
    )


def _spike(peak: Moment) -> str:
    """What a reader of the timeline sees and the verdict does not say."""
    return (
        f"Single moments look fake, the most so with a p_fake of {percent(peak.p_fake)} at "
        f"{clock(peak.t)}. They are too few, or too short, to weigh more than the rest."
    )


def _meaning(verdict: Verdict, measured: Sequence[Note]) -> Iterator[str]:
    """What p_fake is; and what such verdicts were worth where the model knew nobody."""
    taken = (
        ""
        if verdict.prior == EVEN
        else f", where {percent(verdict.prior)} of all files are taken to have one"
    )
    yield (
        "<strong>What it means:</strong> p_fake is the probability that a face was swapped in, as "
        f"the model sees it{taken}; in brackets stands its 95 % interval."
    )
    if measured and verdict.verdict != "uncertain":
        yield worth(measured)


def worth(measured: Sequence[Note]) -> str:
    """How good a model was on sources that its training never saw."""
    return (
        "<strong>What verdicts of such a network were worth on sources of fakes that its "
        f"training never saw:</strong> {'; '.join(escaped(str(note)) for note in measured)}. "
        "An AUC of 0.5 is chance, 1 perfect."
    )


def amounts(verdict: Verdict, is_picture: bool, looks: int) -> str:
    """How much was read, looked at (``looks`` frames) and judged."""
    if is_picture:
        return f"{counted(len(verdict.tracks) or len(verdict.faces), 'face')} judged."
    return (
        f"{counted(verdict.frames_read, 'frame')} read, {looks:,} of them looked at, "
        f"{verdict.frames_scored:,} of these with a face that was judged; "
        f"{counted(len(verdict.tracks), 'person')} judged."
    )
