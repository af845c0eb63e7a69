"""One page of all tables and figures beside the paper's: `python -m tools.paper.page`.

It is made of the pages in a folder of results, which `python -m tools.paper NAME --render` makes of
their CSV files.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from tools.errors import exit_status
from tools.paper import results
from tools.train.sets import BALANCED

RESULTS = Path(__file__).parent / "results"
PAGE = Path(__file__).parent.parent.parent / "docs" / "paper.md"
#: What follows the name of a set: nothing after the paper's protocol.
WAYS = tuple("" if name == "paper" else f"-{name}" for name in results.PROTOCOLS)
#: In the order of the paper; those of sets of faces first, on which most was trained.
ORDER = (
    "figure1",
    "pilot",
    *(f"table{stage}{of_set}" for stage in (1, 2, 3) for of_set in
      (*(f"-{name}{way}" for name in BALANCED for way in WAYS), "")),
    "table4",
    "figure3",
    "table5",
    "elsewhere",
)  # fmt: skip
BEGINNING = """\
# The paper and what we found

Kawa & Syga, "Verify It Yourself: A Note on Activation Functions' Influence on Fast DeepFake
Detection" (SECRYPT 2021), put Swish, Mish and an activation of their own, Pish, into MesoNet
(Afchar et al., WIFS 2018). Here stand all its tables and figures beside ours, each made by the
command that it names; {doc}`experiments` says how. Nothing on this page is written by hand but
these lines: `python -m tools.paper.page` makes it of the CSV files in `tools/paper/results`."""


def page(folder: Path, to: Path) -> Iterator[str]:
    """Paragraphs of the page `to`, of the results in a folder."""
    yield BEGINNING
    there = [name for name in ORDER if (folder / name / f"{name.split('-')[0]}.md").exists()]
    verdicts = []
    for name in there:
        text = _text(folder, name)
        found = re.search(r"^\*\*Of the paper's .*\*\*$", text, re.MULTILINE)
        if found:
            verdicts.append(f"- {_title(text)}: {found.group()}")
    if verdicts:
        yield "\n".join(verdicts)
    for name in there:
        yield _section(folder, name, to)


def _text(folder: Path, name: str) -> str:
    path = folder / name / f"{name.split('-')[0]}.md"
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise results.ResultsError(f"{path}: cannot be read ({error}); render it anew") from None


def _title(text: str) -> str:
    return text.split("\n", 1)[0].lstrip("# ")


def _section(folder: Path, name: str, to: Path) -> str:
    """A page as a section of another: headings one level down, pictures where they are."""
    of_set = name.partition("-")[2]
    text = re.sub(r"^#", "##", _text(folder, name).strip(), flags=re.MULTILINE)
    if of_set:
        text = re.sub(r"^(## .*)$", rf"\1, on `{of_set}`", text, count=1, flags=re.MULTILINE)
    where = Path(os.path.relpath(folder / name, to.parent)).as_posix()
    return re.sub(r"(!\[[^\]]*\]\()", rf"\g<1>{where}/", text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.paper.page", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--out", type=Path, default=RESULTS, help="results (default: ours)")
    parser.add_argument("--page", type=Path, default=PAGE, help="what to write (docs/paper.md)")
    options = parser.parse_args(arguments)

    def work() -> None:
        text = "\n\n".join(page(options.out, options.page)) + "\n"
        results.write_text(options.page, text)
        print(options.page)

    return exit_status("page", work)


if __name__ == "__main__":
    sys.exit(main())
