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

[Kawa & Syga, "Verify It Yourself: A Note on Activation Functions' Influence on Fast DeepFake
Detection"](https://www.scitepress.org/PublishedPapers/2021/105817/pdf/index.html) (SECRYPT 2021),
put Swish, Mish and an activation of their own, Pish, into MesoNet (Afchar et al., WIFS 2018). Here
stand all its tables and figures beside ours, each made by the command that it names;
{doc}`experiments` says how, and what `DIR` must hold. Nothing on this page is written by hand but
these lines and those on words: `python -m tools.paper.page` makes it of the CSV files in
`tools/paper/results`."""
WORDS = """\
Acc and Loss are accuracy and loss (mean squared error of faces, cross-entropy of pictures) on what
was trained on; V.Acc, V.Loss and V.AUC those, and the area under the ROC curve, on validation
faces, as the paper calls them. p_fake is the probability that a face is fake. SD and SE are
standard deviation and standard error; `±` and `[low, high]` are 95 % intervals. bf16 and fp32 are
the floats of training (bfloat16, float32); AVX-512, AVX2 and SSE2 are instruction sets of CPUs.
DFDC is the set of clips of the Deepfake Detection Challenge."""


def page(folder: Path, to: Path) -> Iterator[str]:
    """Paragraphs of the page `to`, of the results in a folder."""
    yield BEGINNING
    there = [name for name in ORDER if (folder / name / f"{name.split('-')[0]}.md").exists()]
    verdicts = []
    for name in there:
        text = _text(folder, name)
        found = re.search(r"\*\*[^*]+\*\*", text)  # what a page says in bold, it says first
        if found:
            said = found.group().replace("**So t", "**T")
            verdicts.append(f"- {_title(text)}{_of_set(name)}: {said}")
    if verdicts:
        yield "\n".join(verdicts)
    yield WORDS
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


def _of_set(name: str) -> str:
    of_set = name.partition("-")[2]
    return f", on `{of_set}`" if of_set else ""


def _section(folder: Path, name: str, to: Path) -> str:
    """A page as a section of another: headings one level down, pictures where they are."""
    text = re.sub(r"^#", "##", _text(folder, name).strip(), flags=re.MULTILINE)
    text = re.sub(r"^(## .*)$", rf"\1{_of_set(name)}", text, count=1, flags=re.MULTILINE)
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
