"""Arguments of PyTorch's operators."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import GraphError
from .builder import Array
from .source import Node
from .view import Value


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


def ints(value: Any) -> list[int]:
    return [int(v) for v in (value if isinstance(value, (list, tuple)) else [value])]
