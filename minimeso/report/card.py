"""The limits of a model, from its card: the Markdown file beside it (``tools/train/release.py``).

Only the section "What it cannot do" is read, and of Markdown only what it uses: paragraphs, bullet
points, ``code`` and **bold**.  The file may be anything: it is read in part and escaped.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from ..detect.pair import Pair, bundled_pairs, detector_path
from ..engine import Model, bundled_models
from .phrases import escaped

_SECTION = "What it cannot do"
_MOST_BYTES = 1 << 18


def limits(model: str | os.PathLike[str] | Model | Pair) -> str | None:
    """What a model cannot do, in Markdown; ``None`` if there is no card that says so.

    Args:
        model: as it was given to the detector: name of a bundled model or pair, path, or ``Model``
            or ``Pair`` (of which only the name is known, so only a bundled one has a card).
    """
    if isinstance(model, (Model, Pair)):
        if model.name not in {**bundled_models(), **bundled_pairs()}:
            return None
        model = model.name
    path = os.path.splitext(detector_path(model))[0] + ".md"  # noqa: PTH122
    try:
        if not os.path.isfile(path):  # noqa: PTH113 - opening a pipe would wait
            return None
        with open(path, "rb") as file:  # noqa: PTH123
            text = file.read(_MOST_BYTES).decode("utf-8", "replace")
    except (OSError, ValueError):
        return None
    section = re.search(rf"^## {_SECTION}\s*\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
    return (section[1].strip() or None) if section else None


def as_html(markdown: str) -> str:
    """Paragraphs and bullet points as HTML."""
    parts: list[str] = []
    for kind, text in _blocks(markdown):
        content = re.sub(r"`([^`]+)`", r"<code>\1</code>", escaped(text))
        content = re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", content)
        if kind == "li" and parts and parts[-1].endswith("</ul>"):
            parts[-1] = f"{parts[-1][:-5]}<li>{content}</li></ul>"
        else:
            parts.append(f"<ul><li>{content}</li></ul>" if kind == "li" else f"<p>{content}</p>")
    return "".join(parts)


def _blocks(markdown: str) -> Iterator[tuple[str, str]]:
    kind, lines = "p", list[str]()
    for raw in [*markdown.splitlines(), ""]:
        line = raw.strip()
        starts = line.startswith(("- ", "* "))
        if (starts or not line) and lines:
            yield kind, " ".join(lines)
            lines = []
        if line:
            kind = "li" if starts else kind if lines else "p"
            lines.append(line[2:] if starts else line)
