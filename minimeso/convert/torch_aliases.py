"""Which values of an exported program have elements in common: a view shares those of its source,
so that a change in place of one of them is a change of the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ..errors import GraphError

#: Longer chains of views than any network has; what follows counts as a view of the last of them.
_MOST_PARTS = 64
#: Pairs of values that are compared in a file before it is given up.
_MOST_COMPARED = 1 << 20


class Cut(NamedTuple):
    """A view of the elements ``start`` to before ``end`` of an axis, every ``step``-th; step 0: of
    ``start`` alone, without the axis."""

    axis: int
    start: int
    end: int
    step: int


class Piece(NamedTuple):
    """Any other view: the node that makes it, and which of its results it is."""

    node: int
    result: int


#: The tensor that was computed, and how views lead from it.
_Path = tuple[str | Cut | Piece, ...]


class Aliases:
    """What shares elements with what, of the values so far.

    Args:
        last: where each value is read last.
    """

    def __init__(self, last: Mapping[str, int]) -> None:
        self._last = last
        self._paths: dict[str, _Path] = {}
        self._families: dict[str, list[str]] = {}  # of one tensor: all names that may be read yet
        self._left = _MOST_COMPARED

    def add_views(
        self, source: str, results: Sequence[str], number: int, cut: Cut | None = None
    ) -> None:
        """The results of node ``number`` are views of a value: a ``cut``, or no two of them have
        elements in common."""
        path = self._path(source)
        for result, name in enumerate(results):
            is_cut = cut is not None and len(path) < _MOST_PARTS
            part = cut if cut is not None and is_cut else Piece(number, result)
            self._add(name, (*path[:_MOST_PARTS], part))

    def add_same(self, source: str, results: Sequence[str]) -> None:
        """The results are the value itself."""
        for name in results:
            self._add(name, self._path(source))

    def same(self, name: str, number: int) -> list[str] | None:
        """Names that are read after node ``number``, which changes a value in place, and are the
        very same tensor; None where others that are read then have elements of it."""
        path = self._path(name)
        family = self._families[str(path[0])]
        self._left -= len(family)
        if self._left < 0:
            raise GraphError("changes views in place too often")
        family = [other for other in family if self._last.get(other, -1) > number]
        self._families[str(path[0])] = family
        found = [other for other in family if self._paths[other] == path]
        if sum(_overlap(self._paths[other], path) for other in family) > len(found):
            return None
        return found

    def _path(self, name: str) -> _Path:
        if name not in self._paths:
            self._add(name, (name,))
        return self._paths[name]

    def _add(self, name: str, path: _Path) -> None:
        self._paths[name] = path
        self._families.setdefault(str(path[0]), []).append(name)


def _overlap(one: _Path, other: _Path) -> bool:
    """Whether two views may have elements in common."""
    for a, b in zip(one, other, strict=False):
        if a != b:
            return not _apart(a, b)
    return True


def _apart(a: str | Cut | Piece, b: str | Cut | Piece) -> bool:
    """Whether different views of one value have no element in common."""
    if isinstance(a, Cut) and isinstance(b, Cut):
        return a.axis == b.axis and (a.end <= b.start or b.end <= a.start)
    return isinstance(a, Piece) and isinstance(b, Piece) and a.node == b.node


def cut_of(op: str, arguments: Mapping[str, Any], shape: Sequence[int | None]) -> Cut | None:
    """What an operator cuts out of a value of that shape; None: it does something else, or nobody
    knows yet."""
    axis, start, step = arguments.get("dim", 0), arguments.get("start"), 1
    end: Any = None
    length: Any = 0  # where that is said in place of the end
    if op == "slice.Tensor":
        start, end, step = start or 0, arguments.get("end"), arguments.get("step", 1)
        end = 1 << 62 if end is None else end
    elif op == "narrow.default":
        length = arguments.get("length")
    elif op == "select.int":
        start, length, step = arguments.get("index"), 1, 0
    else:
        return None
    bounds = [start, length if end is None else end]
    if not all(isinstance(number, int) for number in (axis, step, *bounds)):
        return None
    axis += len(shape) if axis < 0 else 0
    size = shape[axis] if 0 <= axis < len(shape) else None
    if min(bounds) < 0 and size is None:
        return None
    first, last = (n + (size or 0) if n < 0 else n for n in bounds)
    return Cut(axis, first, first + last if end is None else last, step)
