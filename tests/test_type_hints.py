"""Type hints of what the package offers, as tools ask for them (pydantic, typer, Sphinx)."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from pydoc import locate
from typing import Any, get_args, get_type_hints

import numpy.typing as npt
import pytest

import minimeso

DOCS = Path(__file__).parent.parent / "docs"
DIRECTIVE = re.compile(r"^\.\. (auto(?:class|function|module|data|exception)):: (\S+)$", re.M)


def offered() -> Iterator[tuple[str, Any]]:
    """Every name of the package, and what the documentation shows beside."""
    names = {f"minimeso.{name}" for name in minimeso.__all__}
    for page in (*DOCS.rglob("*.rst"), *DOCS.rglob("*.md")):
        for kind, name in DIRECTIVE.findall(page.read_text(encoding="utf-8")):
            if kind in ("autoclass", "autofunction"):
                names.add(name if name.startswith("minimeso.") else f"minimeso.{name}")
    for name in sorted(names):
        module, _, attribute = name.rpartition(".")
        yield name, getattr(locate(module), attribute)


def functions() -> Iterator[tuple[str, Any]]:
    """All of these, and the methods of classes; inherited ones, too, as far as they are ours."""
    for name, found in offered():
        yield name, found
        for parent in getattr(found, "__mro__", ()):
            if parent.__module__.startswith("minimeso"):
                yield f"{name} ({parent.__name__})", parent
                for attribute, value in vars(parent).items():
                    value = getattr(value, "fget", getattr(value, "__func__", value))
                    if inspect.isfunction(value) and value.__module__.startswith("minimeso"):
                        yield f"{name}.{attribute}", value


@pytest.mark.parametrize(("name", "function"), [pytest.param(*f, id=f[0]) for f in functions()])
def test_type_hints_can_be_asked_for(name: str, function: Any) -> None:
    hints = get_type_hints(function)
    if inspect.isfunction(function):
        assert set(hints) == set(function.__annotations__), name


def test_what_a_detector_takes_is_all_there() -> None:
    from PIL import Image

    source = get_args(get_type_hints(minimeso.Detector.check)["source"])
    assert {str, bytes, os.PathLike[str], Image.Image, *get_args(npt.ArrayLike)} <= {*source}


@pytest.mark.parametrize("name", ["engine.profile", "detect.pieces", "media.key_frames"])
def test_what_hints_name_is_imported_when_they_are_asked_for(name: str) -> None:
    program = (
        "import minimeso, sys, typing\n"
        "asked = minimeso.Detector, minimeso.FaceFinder, minimeso.Session\n"
        f"print('minimeso.{name}' in sys.modules)\n"
        "for function in (*vars(asked[0]).values(), *vars(asked[2]).values()):\n"
        "    callable(function) and typing.get_type_hints(function)\n"
        f"print('minimeso.{name}' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.split() == ["False", "True"], done.stderr
