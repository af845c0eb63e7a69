"""The index page of a data set: the most suspect files first, one HTML document, no script.

It shows no faces: ``minimeso detect FILE --report`` makes the page of one file.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

from ..media.atomic_file import AtomicFile
from ..notes import Note, clock, in_words
from ..report import page
from ..report.card import limits
from ..report.phrases import RULE, counted, escaped, percent, worth
from .dataset import Dataset
from .schema import Row
from .settings import Settings
from .summary import Summary, summarize, worst_moments

#: Files that get a row.
MOST_ROWS = 5000


def write_page(dataset: Dataset, path: str) -> None:
    """Write the page, whole or not at all.

    Args:
        dataset: of verdicts.
        path: the HTML file; what was there before is replaced.

    Raises:
        OutputError: it cannot be written.
        InputError: a part of the data set is damaged.
    """
    summary = summarize(dataset, MOST_ROWS)
    when = worst_moments(dataset, {row["path"] for row in summary.suspects})
    file = AtomicFile(path)
    try:
        with open(file.temporary, "w", encoding="utf-8", newline="\n") as target:  # noqa: PTH123
            for part in _parts(dataset, summary, when):
                target.write(part)
    except BaseException as error:
        file.discard()
        if isinstance(error, OSError):
            raise file.failed(error) from None
        raise
    file.keep()


def _parts(dataset: Dataset, summary: Summary, when: dict[str, float]) -> Iterator[str]:
    context = _context(dataset, summary)
    yield page.head(counted(summary.files, "file"), context.style)
    counts = ", ".join(f"{count:,} {in_words(kind)}" for kind, count in summary.results.items())
    yield (
        f'<section id="files"><h2>{counted(summary.files, "file")}</h2><p>{counts}. The most '
        'suspect first.</p><table class="files"><thead><tr><th scope="col">File</th>'
        '<th scope="col">Verdict</th><th scope="col" class="number">p_fake</th>'
        '<th scope="col" class="number">Persons</th><th scope="col" class="number">Most suspicious '
        "at</th></tr></thead><tbody>"
    )
    name = page.names([row["path"] for row in summary.suspects])
    for row in summary.suspects:
        yield _row(row, name(row["path"]), when.get(row["path"]))
    yield "</tbody></table>"
    more = summary.files - len(summary.suspects)
    if more:
        yield f"<p>{counted(more, 'less suspect file')} would make the page too long.</p>"
    if context.measured and any(summary.results.get(kind) for kind in ("fake", "real")):
        yield f"<p>{worth(context.measured)}</p>"
    yield "</section>\n"
    yield from page.explanations([], context)
    yield "</main></body></html>\n"


def _row(row: Row, name: str, when: float | None) -> str:
    kind = row["verdict"] or row["status"]
    partial = " <small>(in part)</small>" if row["status"] == "partial" else ""
    remark = row["reason"] or ("" if row["verdict"] != "uncertain" else row["note"])
    said = f'<br><small class="fine">{escaped(remark)}</small>' if remark else ""
    score = "&ndash;" if row["p_fake"] is None else percent(row["p_fake"])
    if row["low"] is not None:
        score += f"<br><small>{percent(row['low'])} to {percent(row['high'])}</small>"
    return (
        f'<tr><th scope="row"><bdi>{escaped(name)}</bdi>{said}</th>'
        f'<td><span class="word {kind}">{in_words(kind)}</span>{partial}</td>'
        f'<td class="number">{score}</td><td class="number">{row["persons"]}</td>'
        f'<td class="number">{"" if when is None else clock(when)}</td></tr>'
    )


def _told(key: str, value: Any) -> str:
    """A setting, but nothing about the place where a file lies."""
    text = str(value)
    return os.path.basename(text) if key in ("model", "finder") else text  # noqa: PTH119


def _context(dataset: Dataset, summary: Summary) -> page.Context:
    """What the page says of the model, as far as the settings still lead to it."""
    from .. import __version__

    told = dataset.settings()
    described: dict[str, Any] = told.get(next(iter(summary.settings), ""), {})
    known = {field.name for field in fields(Settings)}
    thresholds: Mapping[str, float] = {}
    card: str | None = None
    measured: tuple[Note, ...] = ()
    try:
        if described:  # else they would be those of the default model
            settings = Settings(**{key: value for key, value in described.items() if key in known})
            detector = settings.detector()
            thresholds = detector.model.thresholds or thresholds
            card, measured = limits(settings.model), detector.measured
    except Exception:  # the model is on another machine, or gone; or these are no settings of ours
        pass
    name = os.path.basename(dataset.store.address)  # noqa: PTH119
    made = [("Program", f"minimeso {__version__}"), ("Data set", name)]
    made += [
        (key.replace("_", " ").capitalize(), _told(key, value))
        for key, value in described.items()
        if key not in ("models", "minimeso") and value not in (None, False)
    ]
    if len(summary.settings) > 1:
        counts = ", ".join(
            f"{counted(count, 'file')} {key}" for key, count in summary.settings.items()
        )
        made.append(("Several settings", f"these are the commonest; {counts}"))
    return page.Context(thresholds, RULE, card, None, measured, made, page.style())
