"""What arguments in an exported program stand for: constants, values of the graph, and sizes with
what is worked out of them."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any

from ..errors import GraphError
from .builder import NEEDS_SIZE

#: Larger than any size; arithmetic of sizes goes no further.
_MOST_SIZE = 1 << 63

#: Arithmetic of sizes.
OF_SIZES = {
    f"_operator.{name}": getattr(operator, name)
    for name in ("add", "sub", "mul", "floordiv", "mod", "neg", "eq", "ne", "le", "lt", "ge", "gt")
}


def of_sizes(entry: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """The result by its name; None where a size is not known yet."""
    ((_, content),) = entry["outputs"][0].items()
    arguments = []
    for argument in entry["inputs"]:
        ((kind, given),) = argument["arg"].items()
        name = given.get("as_name") if kind.startswith("as_sym") else None
        arguments.append(values[str(name)] if name is not None else value_of(argument["arg"], {}))
    known = None not in arguments
    if known and not all(isinstance(a, (int, float)) and abs(a) <= _MOST_SIZE for a in arguments):
        raise GraphError("computes with what is no size")
    result = OF_SIZES[str(entry["target"])](*arguments) if known else None
    return {str(content["as_name"]): result}


def value_of(argument: Mapping[str, Any], values: Mapping[str, Any]) -> Any:
    """A Python value, a constant or a value of the graph."""
    ((kind, content),) = argument.items()
    if kind == "as_none":
        return None
    if kind == "as_tensor":
        return _known(content, values)
    if kind in ("as_tensors", "as_optional_tensors"):
        entries = [one.get("as_tensor", one) for one in content]
        return [None if "as_none" in one else _known(one, values) for one in entries]
    if kind in ("as_sym_int", "as_sym_bool", "as_sym_float"):
        return _symbol(content, values)
    if kind == "as_sym_ints":
        return [_symbol(one, values) for one in content]
    return content


def _known(content: Mapping[str, Any], values: Mapping[str, Any]) -> Any:
    name = str(content["name"])
    if name not in values:
        raise GraphError(f"reads {name[:80]!r}, a result that is computed nowhere here")
    return values[name]


def _symbol(content: Mapping[str, Any], values: Mapping[str, Any]) -> Any:
    if "as_name" in content:
        found = values[str(content["as_name"])]
        if found is None:
            raise GraphError(f"computes with the picture's size: it {NEEDS_SIZE}")
        return int(found)
    return int(content["as_int"])
