"""Directives for what is read from the code while the documentation is built.

``operators``: every operator of the engine, from its entry.  ``command-help NAME``: what
``minimeso NAME --help`` prints.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import io
import pkgutil
from collections.abc import Callable, Iterator
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.inspect import TypeAliasForwardRef

from minimeso import cli
from minimeso.engine import operators
from minimeso.engine.operators.attributes import Attribute
from minimeso.engine.operators.operator import Operator


def families() -> Iterator[tuple[str, dict[str, Operator]]]:
    """The heading of each module of operators, and its entries; every operator once."""
    left = dict(operators.OPERATORS)
    for info in pkgutil.iter_modules(operators.__path__):
        module = importlib.import_module(f"{operators.__name__}.{info.name}")
        entries = getattr(module, "OPERATORS", {})
        if entries:
            summary = (inspect.getdoc(module) or info.name).split("\n\n")[0]
            yield summary.partition(".")[0].replace("\n", " "), entries
            for name in entries:
                left.pop(name)
    assert not left, f"in no module of operators: {sorted(left)}"


def values_of(read: Callable[[Any], Any]) -> str:
    """What a reader of attributes takes: its docstring, with its arguments in place."""
    maker = read.__qualname__.split(".")[0]
    documented = getattr(operators.attributes, maker, read)
    text = (inspect.getdoc(documented) or maker).split("\n")[0].rstrip(".")
    for name, value in inspect.getclosurevars(read).nonlocals.items():
        if callable(value):
            text = text.replace(f"what ``{name}`` takes", values_of(value))
        elif isinstance(value, tuple):
            text = text.replace("One of some names", " or ".join(f"``{v}``" for v in value))
        else:
            text = text.replace(f"``{name}``", str(value))
    text = text.replace("``MAX_EXTENT``", str(operators.MAX_EXTENT))
    return text if text.startswith("`") else text[0].lower() + text[1:]


def arrays_of(entry: Operator) -> list[str]:
    """Names of the arrays that an operator learns."""
    for shape in ((4, 8, 8), (4,)):
        with contextlib.suppress(ValueError):
            given = {
                name: a.read((a.examples or (1,))[0]) if a.default is ... else a.default
                for name, a in entry.attributes.items()
            }
            shapes, values = [shape] * entry.arity[0], entry.read_attributes(given)
            entry.infer(shapes, values)
            return sorted(entry.parameters(shapes, values))
    return []


def lines_of(name: str, entry: Operator) -> Iterator[str]:
    """The description of one operator, as reStructuredText."""
    least, most = entry.arity
    inputs = str(least) if least == most else f"{least} or more" if most > 9 else f"{least}-{most}"
    yield f".. describe:: {name}"
    yield ""
    yield f"   {literal_summary(entry.summary)}"
    yield ""
    facts = [] if inputs == "1" else [f"Inputs: {inputs}."]
    arrays = arrays_of(entry)
    if arrays:
        facts.append(f"Arrays: {', '.join(f'``{a}``' for a in arrays)}.")
    if facts:
        yield f"   {' '.join(facts)}"
        yield ""
    for key, attribute in entry.attributes.items():
        yield f"   * ``{key}``: {attribute_text(attribute)}"
    yield ""


def literal_summary(summary: str) -> str:
    """Nothing in a formula is markup."""
    for character in "\\*_`|":
        summary = summary.replace(character, f"\\{character}")
    return summary


def attribute_text(attribute: Attribute) -> str:
    """What it takes, and its default."""
    default = "required" if attribute.default is ... else f"default ``{attribute.default}``"
    return f"{values_of(attribute.read)}; {default}"


class Operators(SphinxDirective):
    """Every operator, family by family."""

    def run(self) -> list[nodes.Node]:
        lines: list[str] = []
        for heading, entries in families():
            lines += [heading, "-" * len(heading), ""]
            for name, entry in entries.items():
                lines += lines_of(name, entry)
        return self.parse_text_to_nodes("\n".join(lines), allow_section_headings=True)


class CommandHelp(SphinxDirective):
    """What ``--help`` prints: of a command, or without a name of ``minimeso`` itself."""

    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        text = help_of(*self.arguments)
        return [nodes.literal_block(text, text, language="text")]


def help_of(*arguments: str) -> str:
    """What ``minimeso ARGUMENTS --help`` prints."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        cli.main([*arguments, "--help"])
    return output.getvalue()


def skip_fields(app: Sphinx, what: str, name: str, obj: Any, skip: bool, options: Any) -> bool:
    """Fields of named tuples are described where the class is."""
    return skip or type(obj).__name__ == "_tuplegetter"


def name_of_alias(alias: TypeAliasForwardRef) -> str:
    """What ``autodoc_type_aliases`` calls a type; Sphinx shows the ``repr`` of one in a union."""
    return alias.name


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    TypeAliasForwardRef.__repr__ = name_of_alias  # there is no hook for it
    app.add_directive("operators", Operators)
    app.add_directive("command-help", CommandHelp)
    app.connect("autodoc-skip-member", skip_fields)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
