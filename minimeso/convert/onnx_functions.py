"""Functions of an ONNX file: their nodes in place of each call, before the file is read.

A function may call others, and each of these more than once: a file of a kilobyte can stand for
more nodes than any memory holds.  So they are counted before any is written.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..errors import GraphError
from .source import MOST_NODES

#: Functions that call each other: exporters write two or three.
_DEEPEST = 64
_Key = tuple[str, str, str]


def written_out(model: Any) -> Any:
    """A ModelProto without functions of its own.

    Raises:
        GraphError: they are damaged, call each other too deeply, or are too many nodes.
    """
    if not model.functions:
        return model
    import onnx.inliner

    if _Counter(model.functions).measure(model.graph.node, 0)[0] > MOST_NODES:
        raise GraphError(f"has more than {MOST_NODES} nodes, its functions written out")
    try:
        return onnx.inliner.inline_local_functions(model)
    except Exception as error:  # of many kinds, for many kinds of damage
        raise GraphError(f"its functions are damaged ({error})") from None


class _Counter:
    """Counts nodes as if all calls were written out; each function once."""

    def __init__(self, functions: Iterable[Any]) -> None:
        self._functions = {_key(function, function.name): function for function in functions}
        self._measures: dict[_Key, tuple[int, int]] = {}

    def measure(self, nodes: Iterable[Any], depth: int) -> tuple[int, int]:
        """How many nodes these are, and how deep their calls go; in so many functions."""
        count = deepest = 0
        for node in nodes:
            parts = [self._called(_key(node, node.op_type), depth + 1)]
            for attribute in node.attribute:
                for graph in (attribute.g, *attribute.graphs):
                    parts.append(self.measure(graph.node, depth))
            count += 1 + sum(part[0] for part in parts)
            deepest = max(deepest, *(part[1] for part in parts))
        return count, deepest

    def _called(self, key: _Key, depth: int) -> tuple[int, int]:
        function = self._functions.get(key)
        if function is None:
            return 0, 0
        known = self._measures.get(key)
        if depth + (known[1] - 1 if known else 0) > _DEEPEST:  # or in a circle
            raise GraphError(f"has functions that call each other more than {_DEEPEST} deep")
        if known is None:
            count, deepest = self.measure(function.node, depth)
            self._measures[key] = known = count, deepest + 1
        return known


def _key(entry: Any, name: str) -> _Key:
    domain = "" if entry.domain == "ai.onnx" else entry.domain
    return domain, name, getattr(entry, "overload", "")  # before ONNX 1.16 there is none
