"""The examples of README and docs run, and the commands in them exist with their options.

Python blocks of a page run one after another, in a copy of the few files that they name.  A block
below ``<!-- not run: REASON -->`` is only compiled.  In a ``console`` block a command of
``minimeso`` that is followed by its output must print just that; of the other commands ``--help``
must know every option.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from minimeso.cli import main

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    *sorted(p for p in (ROOT / "docs").rglob("*") if p.suffix in (".md", ".rst")),
]
_FENCED = re.compile(
    r"(?P<above>[^\n]*)\n```(?P<language>python|console)\n(?P<text>.*?)\n```$", re.M | re.S
)
_DIRECTIVE = re.compile(r"^\.\. code-block:: (console)\n\n((?:   .*\n|\n)+)", re.M)


class Block(NamedTuple):
    """A code block of a page; ``run``: it stands under no "not run"."""

    language: str
    text: str
    run: bool


def blocks(page: Path) -> Iterator[Block]:
    """Every code block of a page in order."""
    text = page.read_text(encoding="utf-8")
    if page.suffix == ".rst":
        for language, body in _DIRECTIVE.findall(text):
            yield Block(language, re.sub(r"^   ", "", body, flags=re.M), True)
    for match in _FENCED.finditer(text):
        run = not match["above"].startswith("<!-- not run: ")
        yield Block(match["language"], match["text"], run)


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


WITH_PYTHON = [p for p in PAGES if any(b.language == "python" for b in blocks(p))]


class Command(NamedTuple):
    """What stands behind ``$``, without its comment, and what is printed below it."""

    page: str
    line: str
    output: str


def commands() -> Iterator[Command]:
    """Every command of every page, those between ``&&`` one by one."""
    for page in PAGES:
        for block in blocks(page):
            if block.language == "console":
                text = re.sub(r" *\\\n +", " ", block.text)  # a command over several lines
                for part in re.split(r"^\$ ", text, flags=re.M)[1:]:
                    line, _, output = part.partition("\n")
                    *first, last = re.sub(r"\s+#.*", "", line).split(" && ")
                    yield from (Command(name_of(page), one, "") for one in first)
                    yield Command(name_of(page), last, output)


def test_there_is_something_to_test() -> None:
    found = list(commands())
    assert len(found) > 30 and len(WITH_PYTHON) > 2
    assert any(c.page == "README.md" and c.output for c in found)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with copies of what the examples name, to be in and to write to."""
    for folder in ("samples", "models"):
        shutil.copytree(ROOT / "minimeso" / folder, tmp_path / "minimeso" / folder)
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize("page", WITH_PYTHON, ids=name_of)
def test_python(page: Path) -> None:
    namespace: dict[str, object] = {"__name__": "example"}
    for number, block in enumerate(b for b in blocks(page) if b.language == "python"):
        code = compile(block.text, f"{name_of(page)}, block {number + 1}", "exec")
        if block.run:
            exec(code, namespace)


SHOWN = [c for c in commands() if c.output.strip() and c.line.startswith("minimeso ")]


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize("command", SHOWN, ids=lambda c: f"{c.page}: {c.line}")
def test_output_is_as_shown(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(shlex.split(command.line)[1:]) == 0
    output = capsys.readouterr()
    assert (output.out + output.err).strip() == command.output.strip()


def options_used() -> dict[tuple[str, ...], set[str]]:
    """The commands that we wrote, as what stands behind ``python -m``, and their options."""
    used: dict[tuple[str, ...], set[str]] = {}
    for _, line, _ in commands():
        words = shlex.split(line)
        if words[0] == "minimeso":
            asked = tuple(words[:2])
        elif words[:2] == ["python", "-m"] and words[2].startswith("tools"):
            asked = (words[2],)
        else:
            continue
        options = {word.partition("=")[0] for word in words if word.startswith("--")}
        used.setdefault(asked, set()).update(options)
    return used


USED = options_used()


@pytest.mark.parametrize("asked", USED, ids=" ".join)
def test_options_exist(asked: tuple[str, ...]) -> None:
    if asked[0].startswith("tools"):
        pytest.importorskip("torch")
    done = subprocess.run(
        [sys.executable, "-m", *asked, "--help"],
        capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert not USED[asked] - set(re.findall(r"--[\w-]+", done.stdout))


def test_files_that_are_named_exist() -> None:
    """In backquotes, with a folder (`csrc/kernels.h`, `csrc/simd/NAME.h`), and those of pytest."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        named = re.findall(r"`((?:csrc|minimeso|tools|tests|docs|\.ci)/[\w./*-]+)`", text)
        for line in re.findall(r"^\$ pytest (.*)", text, re.M):
            named += [word for word in line.split() if word.startswith("tests/")]
        for path in named:
            if not path.startswith("docs/_build"):
                pattern = path.rstrip("/").replace("NAME", "*")
                assert any(ROOT.glob(pattern)), f"{name_of(page)} names {path}"


#: What names instruction sets of its own: training, and what other programs are measured with.
OF_OTHERS = ("tools/train/", "tools/bench/")


def test_every_place_of_an_instruction_set_is_told() -> None:
    """A file that names AVX-512 would have to name a new one."""
    page = (ROOT / "docs" / "extend" / "instruction-set.md").read_text(encoding="utf-8")
    told = {*re.findall(r"`(\w+/[\w./]+)`", page), "csrc/kernels_avx512.c", "csrc/simd/avx512.h"}
    for folder in ("csrc", "minimeso", "tests", "tools"):
        for path in sorted((ROOT / folder).rglob("*.*")):
            name = name_of(path)
            if path.suffix in (".py", ".c", ".h", ".inc") and not name.startswith(OF_OTHERS):
                names_one = re.search(r"\bavx512\b", path.read_text(encoding="utf-8"))
                assert not names_one or name in told or path == Path(__file__), name
