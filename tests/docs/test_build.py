"""The documentation builds without a warning, and names everything that is public."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

import minimeso
from minimeso.engine.operators import OPERATORS

for module in ("sphinx", "myst_parser", "furo"):
    pytest.importorskip(module, reason="the extra docs is not installed")

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages, as the command of ``docs/testing.md`` makes them."""
    folder = tmp_path_factory.mktemp("docs")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q"]
    done = subprocess.run(
        [*command, "-d", folder / "cache", ROOT / "docs", folder / "html"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    return folder / "html"


class Targets(HTMLParser):
    """What can be linked to in a page, and where it links to."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: set[str] = set()
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.ids.add(found.get("id") or "")
        if tag == "a" and found.get("href"):
            self.links.add(found["href"] or "")
        if tag in ("script", "img", "link"):
            source = found.get("src") or found.get("href") or ""
            assert "//" not in source, f"the page asks {source} for something"


def pages(folder: Path) -> Iterator[tuple[Path, Targets]]:
    for path in sorted(folder.rglob("*.html")):
        if "_static" not in path.parts:
            yield path, Targets(path)


def test_every_public_name_is_described(built: Path) -> None:
    ids = set().union(*(targets.ids for path, targets in pages(built / "api")))
    public = {f"minimeso.{name}" for name in minimeso.__all__ if not name.endswith("Error")}
    errors = {f"minimeso.errors.{name}" for name in minimeso.__all__ if name.endswith("Error")}
    assert not (public | errors) - ids


def test_types_are_named_as_in_the_code(built: Path) -> None:
    text = "".join(path.read_text(encoding="utf-8") for path, _ in pages(built / "api"))
    assert "TypeAliasForwardRef" not in text  # what Sphinx makes of an alias within a union
    for alias in ("numpy.typing.ArrayLike", "Source", "Frame", "OnFrame"):
        assert f"{alias}</a>" in text or f"{alias}</em>" in text, alias


def test_every_operator_is_described(built: Path) -> None:
    page = (built / "operators.html").read_text(encoding="utf-8")
    for name, entry in OPERATORS.items():
        assert f">{name}</span>" in page
        for attribute in entry.attributes:
            assert f">{attribute}</span>" in page


def test_links_lead_somewhere(built: Path) -> None:
    known = {path.resolve(): targets for path, targets in pages(built)}
    for path, targets in known.items():
        for link in targets.links:
            file, _, anchor = link.partition("#")
            if "//" in file:
                continue
            target = (path.parent / file).resolve() if file else path
            assert target.exists(), f"{path.name}: {link}"
            if anchor and target in known and "_modules" not in target.parts:
                assert anchor in known[target].ids, f"{path.name}: {link}"
