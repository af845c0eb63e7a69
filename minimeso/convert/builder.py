"""Builds a graph of the engine: nodes, their arrays, and elements brought into the order they need.

Nodes that nothing wanted reads are left out at the end, so operations may try one way and then
take a shorter one (``patterns``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..engine import Graph
from ..engine.operators import OPEN_SIZE, OPERATORS, Shape
from ..errors import GraphError
from .view import Atom, Atoms, Size, Value, flat, refuse_batch, size_of

Array = npt.NDArray[Any]
Operand = Value | Array

#: Most nodes of a network, a few for each that a graph may have.
_MOST_NODES = 1 << 13
#: Most bytes of all their arrays: nodes may share one of the source, each with a copy in its order.
_MOST_BYTES = 2 << 30
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_.\-]+")


class Made(NamedTuple):
    """One node before it is known whether it is needed.

    Attributes:
        op: an operator of the engine, or of a pattern (``PSEUDO``).
        inputs: names of nodes or inputs.
        attributes: as in the graph.
        arrays: its parameters.
        where: the node of the source that wanted it.
    """

    op: str
    inputs: tuple[str, ...]
    attributes: dict[str, Any]
    arrays: dict[str, npt.NDArray[np.float32]]
    where: str


#: Steps of longer formulas that the engine has only as a whole (``patterns``).
PSEUDO = frozenset({"erf", "sqrt", "reciprocal", "infinity"})


@dataclass
class Builder:
    """Nodes in order, by name.

    Attributes:
        inputs: shapes of the network's inputs, without the batch axis.
        nodes: what was made.
        shapes: of inputs and nodes.
        where: the node of the source that is being read, for names and messages.
        padded: nodes that only put zeros around a map -> the map and how many, as in ``conv2d``.
        terms: nodes that are arithmetic of two values -> how, and of which, as the source has them.
        means: nodes that are a mean -> of what, and over which of its axes.
        spread: nodes that only repeat a value along axes -> that value, and the result.
    """

    inputs: dict[str, Shape] = field(default_factory=dict)
    nodes: dict[str, Made] = field(default_factory=dict)
    shapes: dict[str, Shape] = field(default_factory=dict)
    where: str = ""
    padded: dict[str, tuple[str, tuple[int, int, int, int]]] = field(default_factory=dict)
    terms: dict[str, tuple[str, Value, Value]] = field(default_factory=dict)
    means: dict[str, tuple[Value, tuple[int, ...]]] = field(default_factory=dict)
    spread: dict[str, tuple[Value, Value]] = field(default_factory=dict)
    _numbers: dict[str, int] = field(default_factory=dict)
    _bytes_left: int = _MOST_BYTES

    def input(self, name: str, stored: tuple[Atoms, ...], axes: tuple[Atoms, ...]) -> Value:
        """An input of the network."""
        name = self._free(name)
        self.inputs[name] = self.shapes[name] = tuple(map(size_of, stored))
        return Value(name, stored, axes)

    def _free(self, wanted: str) -> str:
        """A name like that which nobody has."""
        name = _NOT_IN_NAMES.sub("_", wanted).strip(".-")[:80] or "node"
        if name not in self.shapes:
            return name
        number = self._numbers.get(name, 2)  # from where the last search ended
        while f"{name}.{number}" in self.shapes:
            number += 1
        self._numbers[name] = number
        return f"{name}.{number}"

    def emit(
        self,
        op: str,
        inputs: Sequence[str],
        arrays: Mapping[str, Array] | None = None,
        **attributes: Any,
    ) -> str:
        """A node; returns its name, which is that of the source's node, where that is free.

        Raises:
            GraphError: the operator does not take such inputs or attributes.
        """
        if len(self.nodes) >= _MOST_NODES:
            raise GraphError(f"more than {_MOST_NODES} nodes")
        kept = {
            name: np.ascontiguousarray(array, np.float32) for name, array in (arrays or {}).items()
        }
        self._bytes_left -= sum(array.nbytes for array in kept.values())
        if self._bytes_left < 0:
            raise GraphError(f"arrays of all nodes together take over {_MOST_BYTES} bytes")
        shapes = [self.shapes[name] for name in inputs]
        shape = shapes[0] if op in PSEUDO else _shape(op, shapes, attributes, kept)
        name = self._free(self.where if op not in MOVES else f"{self.where}.{op}")
        self.nodes[name] = Made(op, tuple(inputs), dict(attributes), kept, self.where)
        self.shapes[name] = shape
        return name

    # --- elements in another order --------------------------------------------------------------

    def stored(self, value: Value, groups: Sequence[Atoms]) -> Value:
        """The value, its elements in that order and grouped so: (C, H, W) or (F,)."""
        wanted = tuple(groups)
        refuse_batch(wanted)
        if [*map(_key, wanted)] == [*map(_key, value.stored)]:
            return value
        turned = [_place(value.stored, group) for group in wanted]
        if len(value.stored) == 3 and sorted(turned) == [0, 1, 2]:
            name = self.emit("permute", [value.name], dims=turned)
            return Value(name, wanted, value.axes)
        before, after = _blocks(flat(value.stored), flat(wanted))
        name = value.name
        if len(before) > 1:
            name = self._permuted(name, before, after)
        return self._grouped(Value(name, value.stored, value.axes), wanted, len(before) > 1)

    def _grouped(self, value: Value, wanted: tuple[Atoms, ...], moved: bool) -> Value:
        sizes = tuple(map(size_of, wanted))
        name = value.name
        if self.shapes[name] != sizes:
            name = self._reshaped(name, sizes)
        return Value(name, wanted, value.axes)

    def _reshaped(self, name: str, sizes: tuple[Size, ...]) -> str:
        if self.shapes[name] == sizes:
            return name
        if len(sizes) == 1:
            return self.emit("flatten", [name])
        if sizes.count(None) > 1 or (None in self.shapes[name] and None not in sizes):
            raise GraphError(NEEDS_SIZE)
        return self.emit("reshape", [name], shape=[-1 if s is None else s for s in sizes])

    def _permuted(self, name: str, before: list[Atoms], after: list[Atoms]) -> str:
        """Blocks of atoms moved to the end one by one, three axes at a time, until the order is
        that of ``after``."""
        if _swaps_first_two(before, after) and len(self.shapes[name]) == 3:
            groups, each = size_of(before[0]), size_of(before[1])
            channels = self.shapes[name][0]
            if groups is not None and each is not None and groups * each == channels:
                return self.emit("channel_shuffle", [name], groups=groups)
        order = list(before)
        if len(order) == 2:
            order.append(())
            after = [*after, ()]
        if len(order) == 3:
            dims = [next(i for i, b in enumerate(order) if b is a) for a in after]
            return self._turned(name, order, dims)
        for block in after:
            at = next(i for i, b in enumerate(order) if b is block)
            if at == len(order) - 1:
                continue
            three = [flat(order[:at]), block, flat(order[at + 1 :])]
            name = self._turned(name, three, [0, 2, 1])
            order = [*order[:at], *order[at + 1 :], block]
        return name

    def _turned(self, name: str, blocks: list[Atoms], dims: list[int]) -> str:
        name = self._reshaped(name, tuple(map(size_of, blocks)))
        return self.emit("permute", [name], dims=dims)

    def vector(self, value: Value, order: Sequence[Atom] | None = None) -> Value:
        """As (F,), by default in the order of its axes."""
        return self.stored(value, [tuple(order if order is not None else data(value))])

    def map(self, value: Value) -> Value:
        """(N, C, H, W), or (N, C, L) as a map of one line, in that order."""
        if len(value.axes) not in (3, 4):
            raise GraphError(f"needs (N, C, H, W), not {value.shape}")
        if any(not atom.is_batch for atom in value.axes[0]):
            raise GraphError(f"the first axis of {value.shape} is no batch")
        spatial = value.axes[2:] if len(value.axes) == 4 else ((), value.axes[2])
        return self.stored(value, [value.axes[1], *spatial])

    def finish(self, name: str, outputs: Sequence[str]) -> tuple[Graph, dict[str, Array]]:
        """The graph of what the outputs need, and its arrays.

        Args:
            name: of the network.
            outputs: their nodes, no two the same.
        """
        needed = set(outputs)
        for node, made in reversed(self.nodes.items()):
            if node in needed:
                needed.update(made.inputs)
        graph = Graph(name)
        for given, shape in self.inputs.items():
            graph.input(given, shape)
        weights: dict[str, Array] = {}
        for node, made in self.nodes.items():
            if node not in needed:
                continue
            self.where = made.where
            if made.op in PSEUDO:
                raise GraphError(
                    f"node {made.where!r}: {made.op} is known in {_WHOLE[made.op]} only"
                )
            graph.node(made.op, *made.inputs, name=node, **made.attributes)
            weights.update({f"{node}.{part}": array for part, array in made.arrays.items()})
        graph.output(*outputs)
        return graph, weights


NEEDS_SIZE = "needs a picture of one size: give it with --size WIDTHxHEIGHT"
#: They belong to no node of the source.
MOVES = frozenset({"reshape", "permute", "flatten", "channel_shuffle"})
_WHOLE = {
    "erf": "GELU",
    "sqrt": "a layer norm and x / |x|",
    "reciprocal": "a layer norm and x / |x|",
    "infinity": "a max pool of a larger window",
}


def data(value: Value) -> Atoms:
    """All atoms but the batch, in the order of the axes."""
    return tuple(atom for atom in flat(value.axes) if not atom.is_batch)


def _key(group: Atoms) -> list[int]:
    return [id(atom) for atom in group]


def _place(groups: Sequence[Atoms], group: Atoms) -> int:
    """Where it is one of some groups, which are not all empty; -1 if it is none."""
    return next((i for i, one in enumerate(groups) if one and _key(one) == _key(group)), -1)


def _shape(
    op: str,
    shapes: Sequence[Shape],
    attributes: Mapping[str, Any],
    arrays: Mapping[str, npt.NDArray[np.float32]],
) -> Shape:
    entry = OPERATORS[op]
    values = entry.read_attributes(attributes)
    try:
        shape = entry.infer(shapes, values)
        wanted = entry.parameters(shapes, values)
    except GraphError as error:
        if str(error) != OPEN_SIZE:
            raise
        raise GraphError(NEEDS_SIZE) from None
    _check(wanted, arrays)
    return shape


def _check(wanted: Mapping[str, tuple[int, ...]], given: Mapping[str, Array]) -> None:
    found = {name: array.shape for name, array in given.items()}
    if found != dict(wanted):
        raise GraphError(f"has arrays {found}, the engine wants {dict(wanted)}")


def _blocks(before: Atoms, after: Atoms) -> tuple[list[Atoms], list[Atoms]]:
    """Both orders as blocks that stay together; the same objects in both."""
    if sorted(map(id, before)) != sorted(map(id, after)):
        raise GraphError("internal: not the same elements")
    place = {id(atom): i for i, atom in enumerate(before)}
    after_blocks: list[list[Atom]] = []
    for atom in after:
        last = after_blocks[-1] if after_blocks else []
        if last and place[id(last[-1])] + 1 == place[id(atom)]:
            last.append(atom)
        else:
            after_blocks.append([atom])
    wanted = [tuple(block) for block in after_blocks]
    return sorted(wanted, key=lambda block: place[id(block[0])]), wanted


def _swaps_first_two(before: list[Atoms], after: list[Atoms]) -> bool:
    if len(before) not in (2, 3):
        return False
    order = [next(i for i, b in enumerate(before) if b is a) for a in after]
    return order in ([1, 0], [1, 0, 2])
