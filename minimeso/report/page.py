"""The page: one HTML document with everything inside, no script, no request.

What is said about one file is an ``Entry``; ``document`` puts entries, the rule, the limits of the
model and an explanation around them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ..detect.verdict import Moment, Verdict
from ..notes import NO_TRACE, Note, in_words
from .card import as_html
from .file import of_file
from .persons import Person
from .phrases import (
    INDEX,
    NO_CARD,
    NO_MODEL,
    PRIVATE,
    amounts,
    counted,
    escaped,
    headline,
    percent,
    reason,
    statements,
    terms,
)

if TYPE_CHECKING:
    from ..media.origin import Origin

#: Nothing is fetched from anywhere, nothing runs, nothing is sent.
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "base-uri 'none'; form-action 'none'"
)
#: A page stays small enough to be opened and mailed: pictures in characters, sections, rows.
MOST_PICTURES = 16 << 20
MOST_SECTIONS = 200
MOST_ROWS = 5000


class Entry(NamedTuple):
    """What the page says about one file.

    Attributes:
        verdict: without the moments of its tracks, which are drawn already.
        is_picture: whether it is no clip.
        looks: how many frames were looked at.
        persons: those with a section, the most fake first.
        others: number, word and ``p_fake`` of further persons.
        peak: the most suspicious moment of all persons, if somebody was judged.
        origin: which file it is, and what it says of itself.
        caveats: what a reader should bear in mind about it, a line each.
    """

    verdict: Verdict
    is_picture: bool
    looks: int
    persons: tuple[Person, ...]
    others: tuple[str, ...]
    peak: Moment | None = None
    origin: Origin | None = None
    caveats: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Characters of all pictures."""
        return sum(len(person.pictures) for person in self.persons)

    @property
    def suspicion(self) -> float:
        """Order in which entries keep their pictures and sections."""
        p_fake = self.verdict.p_fake
        return -1.0 if p_fake is None else p_fake

    def without_pictures(self) -> Entry:
        """The same in a few kilobytes."""
        return self._replace(persons=tuple(person._replace(pictures="") for person in self.persons))


class Context(NamedTuple):
    """What a page says beside its entries.

    Attributes:
        thresholds: ``real`` and ``fake``; none where the model is not here.
        rule: how a verdict comes about, a sentence or two.
        limits: of the model in Markdown, if it has a card.
        has_attributions: whether there are heat maps; ``None`` where no frame is shown at all.
        measured: how good the model was on sources that its training never saw.
        provenance: how the page was made: what, and its value.
        style: sheet that goes into the page.
    """

    thresholds: Mapping[str, float]
    rule: str
    limits: str | None
    has_attributions: bool | None
    measured: Sequence[Note]
    provenance: Sequence[tuple[str, str]]
    style: str


def document(
    entries: Sequence[Entry],
    listed: Sequence[bool],
    unlisted: int,
    context: Context,
    first: int = 1,
) -> Iterator[str]:
    """The page in parts.

    Args:
        entries: of the files, in the order in which they were judged.
        listed: whether the entry has a section of its own.
        unlisted: how many files came too late for a row.
        context: what is the same for all of them.
        first: number of the first file.
    """
    name = names([entry.verdict.path for entry in entries])
    single = len(entries) == 1
    title = name(entries[0].verdict.path) if single else counted(len(entries) + unlisted, "file")
    yield head(title, context.style)
    if not entries:
        yield "<p>Nothing was judged.</p>"
    if not single and entries:
        yield _overview(entries, listed, unlisted, name, first)
    for number, entry in enumerate(entries, start=first):
        if listed[number - first]:
            yield from _section(entry, number, single, name, context)
    yield from explanations(entries, context)
    yield "</main></body></html>\n"


def names(paths: Sequence[str | None]) -> Callable[[str | None], str]:
    """How files are called on the page: as they were given, but nothing about the place.

    A path from the root would tell a reader of the page about the computer on which it was made, so
    only what differs between such paths is shown.
    """
    rooted = [path for path in paths if path is not None and Path(path).is_absolute()]
    try:
        start = os.path.commonpath([os.path.dirname(path) for path in rooted]) if rooted else ""  # noqa: PTH120
    except ValueError:  # on several drives
        start = ""

    def name(path: str | None) -> str:
        if path is None:
            return "a picture in memory"
        if path == "-":
            return "standard input"
        if not Path(path).is_absolute():
            return path
        return os.path.relpath(path, start) if start else Path(path).name

    return name


def style() -> str:
    """The sheet of all pages."""
    return Path(__file__).with_name("style.css").read_text(encoding="utf-8")


# --- parts of the page -------------------------------------------------------------------


def head(title: str, style: str) -> str:
    """The page down to its headline.

    Args:
        title: as plain text.
        style: sheet.
    """
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{escaped(POLICY)}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="referrer" content="no-referrer"><meta name="color-scheme" '
        'content="light dark">'
        f"<title>minimeso: {escaped(title)}</title><style>\n{style}</style></head>\n<body><main>"
        '<header><p class="brand">minimeso report</p>'
        "<h1>Was a face swapped?</h1></header>\n"
    )


def _overview(
    entries: Sequence[Entry],
    listed: Sequence[bool],
    unlisted: int,
    name: Callable[[str | None], str],
    first: int,
) -> str:
    results = [entry.verdict.verdict or entry.verdict.status for entry in entries]
    counts = ", ".join(
        f"{results.count(kind)} {in_words(kind)}"
        for kind in ("fake", "uncertain", "real", "no_face", "unreadable", "partial")
        if kind in results
    )
    rows = "".join(
        _row(entry, number, listed[number - first], name)
        for number, entry in enumerate(entries, start=first)
    )
    more = ""
    if unlisted:
        more = f"<p>{counted(unlisted, 'further file')} would make the page too long.</p>"
    return (
        f'<section id="files"><h2>{counted(len(entries) + unlisted, "file")}</h2><p>{counts}.</p>'
        '<table class="files"><thead><tr><th scope="col">File</th><th scope="col">Verdict</th>'
        '<th scope="col" class="number">p_fake</th><th scope="col" class="number">Persons</th>'
        f"</tr></thead><tbody>{rows}</tbody></table>{more}</section>\n"
    )


def _row(entry: Entry, number: int, listed: bool, name: Callable[[str | None], str]) -> str:
    verdict = entry.verdict
    label = f"<bdi>{escaped(name(verdict.path))}</bdi>"
    link = f'<a href="#file-{number}">{label}</a>' if listed else label
    score = "&ndash;" if verdict.p_fake is None else percent(verdict.p_fake)
    persons = len(verdict.tracks)
    return (
        f'<tr><th scope="row">{link}</th><td>{_badge(verdict)}</td>'
        f'<td class="number">{score}</td><td class="number">{persons}</td></tr>'
    )


def _badge(verdict: Verdict) -> str:
    kind = verdict.verdict or verdict.status
    partial = " <small>(in part)</small>" if verdict.status == "partial" else ""
    return f'<span class="word {kind}">{in_words(kind)}</span>{partial}'


def _section(
    entry: Entry, number: int, single: bool, name: Callable[[str | None], str], context: Context
) -> Iterator[str]:
    verdict = entry.verdict
    called = name(verdict.path)
    yield f'<section id="file-{number}" class="file"><h2><bdi>{escaped(called)}</bdi></h2>'
    yield f'<div class="verdict {verdict.verdict or verdict.status}">'
    yield f'<p class="big">{headline(verdict)}</p>'
    peak = None if entry.is_picture else entry.peak
    told = statements(verdict, entry.is_picture, context.thresholds, context.measured, peak)
    for sentence in told:
        yield f"<p>{sentence}</p>"
    if verdict.verdict is not None or not entry.is_picture:
        yield f'<p class="fine">{amounts(verdict, entry.is_picture, entry.looks)}</p>'
    yield "</div>"
    if entry.caveats:
        lines = (escaped(_without_place(text, verdict.path, called)) for text in entry.caveats)
        yield "<h3>To bear in mind about this file</h3><ul class='caveats'>"
        yield "".join(f"<li>{line}</li>" for line in lines)
        yield "</ul>"
    if entry.origin is not None:
        yield of_file(entry.origin)
    if len(entry.persons) > 1:
        yield _persons(entry, number)
    complete = True
    for person in entry.persons:
        yield f'<article class="person">{person.head}{person.pictures}'
        if not person.pictures:
            complete = False
        yield "</article>"
    if entry.persons and not complete:
        yield (
            '<p class="fine">Where frames are missing they were not kept: a report keeps those of '
            "the most suspicious persons and files, so that the page stays small.</p>"
        )
    if entry.others:
        yield f'<p class="fine">Further persons: {"; ".join(map(escaped, entry.others))}.</p>'
    if verdict.left_out:
        yield _left_out(verdict.left_out, entry.is_picture)
    if not single:
        yield '<p class="fine"><a href="#files">All files</a></p>'
    yield "</section>\n"


def _without_place(text: str, path: str | None, called: str) -> str:
    """A line in which a file is called as on the rest of the page."""
    return text if path is None or not Path(path).is_absolute() else text.replace(path, called)


def _persons(entry: Entry, number: int) -> str:
    """A row for each person with a section; what follows is long."""
    rows = "".join(
        f'<tr><th scope="row"><a href="#file-{number}-person-{track.id}">Person {track.id}</a></th>'
        f'<td><span class="word {track.verdict}">{in_words(track.verdict)}</span></td>'
        f'<td class="number">{percent(track.p_fake)}</td></tr>'
        for track in entry.verdict.tracks[: len(entry.persons)]
    )
    return (
        '<table class="persons"><thead><tr><th scope="col">Person</th><th scope="col">Verdict</th>'
        f'<th scope="col" class="number">p_fake</th></tr></thead><tbody>{rows}</tbody></table>'
    )


def _left_out(counts: Mapping[str, int], is_picture: bool) -> str:
    rows = "".join(
        f'<tr><th scope="row">{escaped(reason(key).short)}</th><td class="number">{count:,}</td>'
        f"<td>{escaped(reason(key).meaning)}</td></tr>"
        for key, count in sorted(counts.items(), key=lambda item: -item[1])
    )
    what = "Faces" if is_picture else "Faces (one in each frame counts as one)"
    return (
        f'<h3>What was left out</h3><table class="left-out"><thead><tr>'
        f'<th scope="col">Reason</th><th scope="col" class="number">Times</th>'
        f'<th scope="col">What it means</th></tr></thead><tbody>{rows}</tbody></table>'
        f'<p class="fine">{what} that were seen but would have given a score that means '
        "nothing.</p>"
    )


def explanations(entries: Sequence[Entry], context: Context) -> Iterator[str]:
    """What every page says below its files: the rule, the model's limits, the terms, provenance."""
    clips = any(entry.looks > 1 and entry.persons for entry in entries)
    yield "<section><h2>How a verdict comes about</h2>"
    if context.thresholds:
        real, fake = percent(context.thresholds["real"]), percent(context.thresholds["fake"])
        yield (
            f'<p>Thresholds of this model: <span class="word real">{NO_TRACE}</span> up to {real}, '
            f'<span class="word fake">fake</span> from {fake}, '
            f'<span class="word uncertain">uncertain</span> between them.</p>'
        )
    yield f"<p>{escaped(context.rule)}</p></section>\n"
    yield "<section><h2>What this model cannot do</h2>"
    missing = NO_CARD if context.thresholds else NO_MODEL
    yield as_html(context.limits) if context.limits else f"<p>{missing}</p>"
    yield '</section>\n<section><h2>How to read this page</h2><dl class="terms">'
    for term, meaning in terms(clips, context.has_attributions):
        yield f"<div><dt>{term}</dt><dd>{meaning}</dd></div>"
    yield "</dl></section>\n<section><h2>How this page was made</h2><dl class='made'>"
    for what, value in context.provenance:
        yield f"<dt>{escaped(what)}</dt><dd>{escaped(value)}</dd>"
    private = INDEX if context.has_attributions is None else PRIVATE
    yield f"</dl><p class='fine'>{private}</p></section>\n"
