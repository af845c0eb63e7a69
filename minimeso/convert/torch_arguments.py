"""Arguments of PyTorch's operators."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import GraphError
from .builder import Array
from .source import Node
from .view import Value

#: ScalarType of the schema: those that a network computes in, and what others are called.
_FLOATS = (7, 6, 8, 13, None)  # float32, float16, float64, bfloat16, as it is
_OTHERS = {1: "uint8", 2: "int8", 3: "int16", 4: "int32", 5: "int64", 12: "bool"}

#: Why a node is refused.
TRAINS = "is in training mode: export the network after .eval()"
INTEGERS = (
    "computes with integers; the engine computes in float32: make floats of them before, as"
    " x.float() does"
)


def first(node: Node) -> Value:
    """The input, called ``self`` or ``input``."""
    node.get("self")
    node.get("input")
    return node.value(0)


def array(node: Node, name: str) -> Array | None:
    found = node.get(name)
    if found is None or isinstance(found, np.ndarray):
        return found
    raise GraphError(f"its {name} is computed from the picture; known are constants")


def needed(node: Node, name: str) -> Array:
    found = array(node, name)
    if found is None:
        raise GraphError(f"has no {name}")
    return found


def to_floats(node: Node) -> None:
    """Arguments of a change of type, which must be to floats: those round nothing here."""
    for name in ("device", "layout", "pin_memory", "non_blocking", "copy", "memory_format"):
        node.get(name)
    kind = node.get("dtype")
    if kind not in _FLOATS:
        raise GraphError(
            f"casts to {_OTHERS.get(kind, f'the type {kind}')}; the engine computes in float32:"
            " leave the cast out, or export the network before quantization"
        )


def ints(value: Any) -> list[int]:
    return [int(v) for v in (value if isinstance(value, (list, tuple)) else [value])]


def swapped(node: Node) -> tuple[int, int]:
    """The two axes of ``transpose``, which ``swapaxes`` calls otherwise."""
    one, other = (node.get(f"dim{i}", node.get(f"axis{i}")) for i in (0, 1))
    return int(one), int(other)
