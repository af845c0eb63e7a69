"""Values of Python as initialisers of C."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ..engine.bindings import ffi

_PER_LINE = 8


def floats(values: npt.NDArray[np.float32], name: str) -> str:
    """An array of float32 by its bits, which every compiler reads alike, and fast."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    words = [f"{word:#x}" for word in bits.tolist()] or ["0"]
    count = len(words)
    return (
        f"static const union {{\n    uint32_t bits[{count}];\n    float values[{count}];\n"
        f"}} {name} = {{{{\n{_wrapped(words)}}}}};\n"
    )


def integers(values: Iterable[int], name: str, kind: str = "int32_t") -> str:
    """An array of integers."""
    words = [str(value) for value in values] or ["0"]
    return f"static const {kind} {name}[{len(words)}] = {{\n{_wrapped(words)}}};\n"


def structs(rows: Iterable[Any], kind: str, name: str, names: Mapping[str, str]) -> str:
    """An array of structs of the engine; fields that are 0 are left out.

    Args:
        rows: the structs.
        kind: their type.
        name: of the array.
        names: what a field's number means, as ``{"op 3": "MM_OP_COPY"}``.
    """
    lines = []
    for row in rows:
        fields = []
        for field, about in ffi.typeof(kind).fields:
            value = getattr(row, field)
            if about.type.kind == "array":
                value = list(value)
                text = "{" + ", ".join(map(str, value)) + "}" if any(value) else ""
            else:
                text = names.get(f"{field} {value}") or _number(value)
            if text not in ("", "0"):
                fields.append(f".{field} = {text}")
        text = ", ".join(fields) or "0"
        lines.append(textwrap.fill(f"{{{text}}},", 98, initial_indent="    ",
                                   subsequent_indent="     "))  # fmt: skip
    return f"static const {kind} {name}[{len(lines)}] = {{\n" + "\n".join(lines) + "\n};\n"


def _number(value: float) -> str:
    if isinstance(value, int):
        return str(value)
    if math.isinf(value):
        return "INFINITY" if value > 0 else "-INFINITY"
    return f"{value.hex()}f" if value else "0"


def _wrapped(words: list[str]) -> str:
    lines = (words[i : i + _PER_LINE] for i in range(0, len(words), _PER_LINE))
    return "".join(f"{', '.join(line)},\n" for line in lines)
