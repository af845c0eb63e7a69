"""The floors of the house, read from the imports: nothing looks up, nothing goes in a circle.

::

    cli > gui, scan > export, report > minimeso (the front door)
        > detect, networks, convert > engine, media > csrc

A room may use what lies below it; rooms on one floor know nothing of each other; ``beside``,
``checks``, ``closing``, ``errors``, ``hints``, ``interpreter``, ``locks`` and ``notes`` are
everybody's.  ``tools`` and ``tests`` stand beside the house and use its doors.
Imports inside functions count like those at the top; those under ``TYPE_CHECKING`` count for
floors, and not for circles, because nothing runs there.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = "minimeso"
#: Which floor each room is on.
FLOORS = {
    "engine": 1, "media": 1, "_pyinstaller": 1,
    "detect": 2, "networks": 2, "convert": 2,
    "": 3,  # ``minimeso/__init__.py``: what the lower floors offer to everybody
    "report": 4, "export": 4,
    "gui": 5, "scan": 5,
    "cli": 6,
    "__main__": 7,
}  # fmt: skip
#: They import nothing of the house and may be imported everywhere.
EVERYBODYS = frozenset(
    {"beside", "checks", "closing", "errors", "hints", "interpreter", "locks", "notes"}
)
MOST_LINES, MOST_FUNCTION_LINES = 400, 60
REASON = "Long because"
#: So many lines of a C file are looked at for the reason.
_FIRST_LINES = 20

#: What does not hold yet: a file, or ``file:function``.  What holds has to leave this table.
KNOWN_LONG: frozenset[str] = frozenset()


class Import(NamedTuple):
    """``importer`` uses ``imported``, both as dotted names; ``typing``: for annotations only."""

    importer: str
    imported: str
    typing: bool


def modules(top: Path, package: str) -> dict[str, Path]:
    """Every module of a package by its dotted name."""
    found = {}
    for path in sorted((top / package).rglob("*.py")):
        parts = path.relative_to(top).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports_of(name: str, path: Path, known: Mapping[str, Path]) -> Iterator[Import]:
    """Every import of a module, with relative names made whole.

    ``from x import y`` is an import of the module ``x.y`` where there is one, else of ``x``.
    """
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    for node, typing in _walk(tree, False):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(name, alias.name, typing)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                start = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*start, base] if base else start)
            for alias in node.names:
                whole = f"{base}.{alias.name}"
                yield Import(name, whole if whole in known else base, typing)


def _walk(node: ast.AST, typing: bool) -> Iterator[tuple[ast.AST, bool]]:
    """Every node below, and whether it stands under ``if TYPE_CHECKING``."""
    for child in ast.iter_child_nodes(node):
        below = typing
        if isinstance(node, ast.If) and child in node.body:
            below = typing or "TYPE_CHECKING" in ast.unparse(node.test)
        yield child, below
        yield from _walk(child, below)


def room(module: str) -> str:
    """``minimeso.engine.plan`` is in ``engine``, ``minimeso`` itself in the room without a name."""
    return [*module.split("."), ""][1]


def upward(imports: list[Import]) -> list[str]:
    """Imports that a floor forbids, as text."""
    found = []
    for importer, imported, _ in imports:
        if imported.split(".")[0] != PACKAGE:
            continue
        here, there = room(importer), room(imported)
        if there == here or (there in EVERYBODYS and here not in EVERYBODYS):
            continue
        if here in EVERYBODYS or FLOORS[there] >= FLOORS[here]:
            found.append(f"{importer} imports {imported}")
    return found


def circles(imports: list[Import]) -> set[str]:
    """The modules that use themselves by way of others."""
    used: dict[str, set[str]] = {}
    for importer, imported, typing in imports:
        if not typing and importer != imported:
            used.setdefault(importer, set()).add(imported)
    found = set()
    for start in used:
        seen: set[str] = set()
        ahead = [*used[start]]
        while ahead:
            module = ahead.pop()
            if module not in seen:
                seen.add(module)
                ahead.extend(used.get(module, ()))
        if start in seen:
            found.add(start)
    return found


_DEFINED = re.compile(r"^(?!#|static|extern)[\w *]*?\b(mm_\w+)\([^;{}]*\)\s*\{", re.MULTILINE)


def calls(files: Mapping[str, str]) -> list[Import]:
    """Which C file uses a function of which: name of a file without ending -> its text."""
    homes = {name: file for file, text in files.items() for name in _DEFINED.findall(text)}
    return [
        Import(file, homes[name], False)
        for file, text in files.items()
        for name in sorted({*re.findall(r"\bmm_\w+", text)} & {*homes})
    ]


@pytest.fixture(scope="module")
def imports() -> list[Import]:
    known = modules(ROOT, PACKAGE)
    return [found for name, path in known.items() for found in imports_of(name, path, known)]


def test_every_room_has_a_floor() -> None:
    assert {room(name) for name in modules(ROOT, PACKAGE)} == {*FLOORS, *EVERYBODYS}


def test_no_import_goes_up(imports: list[Import]) -> None:
    assert not upward(imports)


def test_no_circle(imports: list[Import]) -> None:
    assert not circles(imports)


def test_no_circle_in_c() -> None:
    sources = {path.stem: path.read_text() for path in (ROOT / "csrc").glob("*.c")}
    used = calls(sources)
    assert len({found.imported for found in used}) > 2
    assert not circles(used)


def test_the_house_needs_neither_tools_nor_tests(imports: list[Import]) -> None:
    beside = {"tools", "tests", *(path.stem for path in (ROOT / "tests").glob("*.py"))}
    assert not [found for found in imports if found.imported.split(".")[0] in beside]


# --- long files and functions ------------------------------------------------------------


def too_long(path: Path) -> Iterator[str]:
    """The file, and the functions in it, that are long and do not say why."""
    text = path.read_text(encoding="utf-8")
    name = path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else path.name
    lines = text.splitlines()
    if path.suffix != ".py":
        if len(lines) > MOST_LINES and not _says_why("\n".join(lines[:_FIRST_LINES])):
            yield name
        return
    tree = ast.parse(text)
    if len(lines) > MOST_LINES and not _says_why(ast.get_docstring(tree)):
        yield name
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.end_lineno:
            long = node.end_lineno - node.lineno >= MOST_FUNCTION_LINES
            if long and not _says_why(ast.get_docstring(node)):
                yield f"{name}:{node.name}"


def _says_why(text: str | None) -> bool:
    return any(line.strip(" */").startswith(REASON) for line in (text or "").splitlines())


def test_what_is_long_says_why() -> None:
    paths = [
        path
        for folder in ("minimeso", "tools", "csrc")
        for path in sorted((ROOT / folder).rglob("*"))
        if path.suffix in (".py", ".c", ".h", ".inc")
    ]
    found = {name for path in paths for name in too_long(path)}
    assert not found - KNOWN_LONG
    assert not KNOWN_LONG - found, "no longer too long: take it out of KNOWN_LONG"


# --- that all of this can fail -----------------------------------------------------------


def house(folder: Path, files: Mapping[str, str]) -> list[Import]:
    """The imports of a package ``minimeso`` made of these files, by their names in it."""
    for name, text in files.items():
        path = folder / PACKAGE / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    known = modules(folder, PACKAGE)
    return [found for name, path in known.items() for found in imports_of(name, path, known)]


#: Nothing is wrong with these.
SOUND = {
    "__init__.py": "from .detect import a", "__main__.py": "from .cli import main",
    "errors.py": "", "networks.py": "from .engine.plan import Plan",
    "engine/__init__.py": "from .plan import Plan", "engine/plan.py": "",
    "media/pixels.py": "from ..errors import E", "detect/__init__.py": "", "detect/a.py": "",
    "detect/b.py": "from ..media.pixels import x\nfrom ..engine import Plan",
    "report/page.py": "from ..detect.b import c\nfrom .. import __version__",
    "cli/__init__.py": "from ..report import page",
}  # fmt: skip


def test_a_sound_house(tmp_path: Path) -> None:
    found = house(tmp_path, SOUND)
    assert Import("minimeso.report.page", "minimeso", False) in found
    assert Import("minimeso.cli", "minimeso.report.page", False) in found
    assert not upward(found) and not circles(found)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("detect/a.py", "from ..report.page import x", "minimeso.report.page"),
        ("detect/a.py", "def f():\n    from .. import cli", "minimeso.cli"),
        ("media/a.py", "from typing import TYPE_CHECKING as T\nimport minimeso.engine.plan as p",
         "minimeso.engine.plan"),
        ("engine/a.py", "if TYPE_CHECKING:\n    from ..detect import Track", "minimeso.detect"),
        ("engine/a.py", "from .. import __version__", "minimeso"),
        ("errors.py", "from .engine import Graph", "minimeso.engine"),
        ("detect/a.py", "from ..networks import NETWORKS", "minimeso.networks"),
    ],
)  # fmt: skip
def test_an_import_upwards_is_seen(tmp_path: Path, name: str, text: str, expected: str) -> None:
    importer = f"{PACKAGE}.{name.removesuffix('.py').replace('/', '.')}"
    assert upward(house(tmp_path, {**SOUND, name: text})) == [f"{importer} imports {expected}"]


def test_a_circle_is_seen(tmp_path: Path) -> None:
    files = {
        "detect/a.py": "from . import b",
        "detect/b.py": "def f():\n    from .c import x",
        "detect/c.py": "from .a import y",
    }
    assert circles(house(tmp_path, files)) == {
        "minimeso.detect.a",
        "minimeso.detect.b",
        "minimeso.detect.c",
    }
    files["detect/c.py"] = "if TYPE_CHECKING:\n    from .a import y\nelse:\n    import os"
    assert not circles(house(tmp_path, files))


def test_no_header_is_called_like_one_of_a_system() -> None:
    """With ``-I csrc`` ``#include <windows.h>`` finds ours, and Windows has no other."""
    theirs = {"windows.h", "intrin.h", "pthread.h", "sched.h", "time.h", "math.h", "process.h"}
    assert not theirs & {path.name for path in (ROOT / "csrc").iterdir()}


def test_a_circle_of_c_is_seen() -> None:
    files = {
        "a": "int mm_a(int n)\n{\n    return mm_b(n);\n}\n",
        "b": "static int mm_c(void)\n{\n}\n\nint mm_b(int n,\n         int m)\n{\n}\n",
    }
    assert calls(files) == [Import("a", "a", False), Import("a", "b", False),
                            Import("b", "b", False)]  # fmt: skip
    assert not circles(calls(files))
    files["b"] += "int mm_d(void)\n{\n    return mm_a(1);\n}\n"
    assert circles(calls(files)) == {"a", "b"}


def test_what_is_long_is_seen(tmp_path: Path) -> None:
    long = "    x = 1\n" * MOST_FUNCTION_LINES
    path = tmp_path / "a.py"
    path.write_text(
        f"def f():\n{long}\n\ndef g():\n    '''One.\n\n    {REASON} it is.\n    '''\n{long}"
    )
    assert list(too_long(path)) == ["a.py:f"]
    path.write_text("x = 1\n" * (MOST_LINES + 1))
    assert list(too_long(path)) == ["a.py"]
    c = tmp_path / "a.c"
    c.write_text("\n" * (MOST_LINES + 1))
    assert list(too_long(c)) == ["a.c"]
    c.write_text(f"/* One.\n * {REASON} of it. */\n" + "\n" * MOST_LINES)
    assert not list(too_long(c))
