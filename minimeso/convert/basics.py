"""What most operations are made of: elements that keep their places, scaled and shifted along the
channels, and an axis brought to where the engine has its channels."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ..errors import GraphError
from .builder import NEEDS_SIZE, Array, Builder, Made
from .view import Atom, Atoms, Value, axis, flat, size_of

#: Such that its sum with the variance is exactly 1: a batch norm that scales and shifts only.
_EXACT_EPS = 2.0**-20
#: Of constants of a formula, which some exporters round to five places.
CLOSE = 1e-5
#: Of a scale that undoes another, both in float32; and of a shift, relative to what it takes away.
_UNDONE = 1e-6
_TAKEN_AWAY = 2.0**-22


def activate(
    build: Builder, op: str, x: Value, arrays: dict[str, Array] | None = None, **attributes: Any
) -> Value:
    """An operator that keeps the shape, on the elements as they lie."""
    return replace(x, name=build.emit(op, [x.name], arrays, **attributes))


def affine(build: Builder, x: Value, scale: Array, shift: Array) -> Value:
    """x * scale + shift, constants that are spread like x (NumPy's rules)."""
    if scale.size == shift.size == 1:
        x, factor, offset = undone(build, x, float(scale.item()), float(shift.item()))
        if factor == 1 and offset == 0:
            return x
        scale, shift = np.asarray(factor), np.asarray(offset)
    x, (scales, shifts) = along_channels(build, x, [scale, shift])
    ones = np.ones(len(scales))
    arrays = {
        "weight": scales,
        "bias": shifts,
        "running_mean": 0 * ones,
        "running_var": (1 - _EXACT_EPS) * ones,
    }
    return activate(build, "batch_norm", x, arrays, eps=_EXACT_EPS)


def along_channels(build: Builder, x: Value, constants: list[Array]) -> tuple[Value, list[Array]]:
    """x so that the axes along which the constants differ are its channels (features), and the
    constants by channel."""
    rank = len(x.axes)
    if any(np.ndim(c) > rank for c in constants):
        x = x.unsqueezed(range(max(map(np.ndim, constants)) - rank))
        rank = len(x.axes)
    padded = [np.reshape(c, (1,) * (rank - np.ndim(c)) + np.shape(c)) for c in constants]
    varying = [i for i in range(rank) if any(c.shape[i] != 1 for c in padded)]
    for i in varying:
        for constant in padded:
            if constant.shape[i] != 1 and x.shape[i] is None:
                raise GraphError(NEEDS_SIZE)
            if constant.shape[i] not in (1, x.shape[i]):
                raise GraphError(f"constants {constant.shape} do not fit {x.shape}")
    atoms = flat([x.axes[i] for i in varying])
    if not atoms:
        channels = size_of(x.stored[0])
        if channels is None:
            raise GraphError(NEEDS_SIZE)
        return x, [np.full(channels, c.item()) for c in padded]
    first = x.stored[0]
    if set(map(id, first)) != set(map(id, atoms)):
        x, first = leading(build, x, atoms), atoms
    shape = [(x.shape[i] or 1) if i in varying else 1 for i in range(rank)]
    spread = [np.broadcast_to(c, shape) for c in padded]
    inner = [atom.size or 1 for atom in atoms]
    order = [next(i for i, a in enumerate(atoms) if a is b) for b in first]
    return x, [s.reshape(inner).transpose(order).reshape(-1) for s in spread]


def leading(build: Builder, x: Value, atoms: Atoms) -> Value:
    """x with these atoms as channels (features, if there are no others)."""
    first = set(map(id, atoms))
    rest = [atom for atom in flat(x.stored) if id(atom) not in first]
    if not rest:
        if len(x.stored) == 3 and [*map(id, x.stored[0])] == [*map(id, atoms)]:
            return x  # (C, 1, 1) will do
        return build.stored(x, [atoms])
    if len(x.stored) == 3 and [*map(id, x.stored[0])] == [*map(id, atoms)]:
        return x
    return build.stored(x, [atoms, tuple(rest[:-1]), tuple(rest[-1:])])


def matched(build: Builder, a: Value, b: Value) -> tuple[Value, Value]:
    """Both with their axes cut alike, where both have more than one element along an axis."""
    for i in range(len(a.axes)):
        p, q = a.axes[i], b.axes[i]
        if not p or not q or [x.size for x in p] == [x.size for x in q]:
            continue
        if len(p) == 1:
            a = a.split(p[0], tuple(Atom(x.size) for x in q))
        elif len(q) == 1:
            b = b.split(q[0], tuple(Atom(x.size) for x in p))
        else:
            a, b = _whole(build, a, i), _whole(build, b, i)
    return a, b


def _whole(build: Builder, value: Value, number: int) -> Value:
    """With one atom along an axis."""
    own = value.axes[number]
    others = [x for x in flat(value.stored) if id(x) not in set(map(id, own))]
    value = build.stored(value, [own, tuple(others[:-1]), tuple(others[-1:])])
    (atom,) = axis(size_of(own))
    axes = (*value.axes[:number], (atom,), *value.axes[number + 1 :])
    return Value(value.name, ((atom,), *value.stored[1:]), axes)


def made_by(build: Builder, name: str, *ops: str) -> Made | None:
    made = build.nodes.get(name)
    return made if made is not None and made.op in ops else None


def scaled(build: Builder, name: str) -> tuple[str, float, float]:
    """(source, scale, shift) of a node that scales and shifts all elements alike."""
    made = made_by(build, name, "batch_norm")
    if made is None or made.attributes.get("eps") != _EXACT_EPS:
        return name, 1.0, 0.0
    weight, bias = made.arrays["weight"], made.arrays["bias"]
    if (weight != weight[0]).any() or (bias != bias[0]).any():
        return name, 1.0, 0.0
    return made.inputs[0], float(weight[0]), float(bias[0])


def undone(build: Builder, x: Value, scale: float, shift: float) -> tuple[Value, float, float]:
    """x * scale + shift, with a scale and shift before it taken in."""
    name, before, offset = scaled(build, x.name)
    if name == x.name:
        return x, scale, shift
    added = scale * offset
    scale, shift = scale * before, added + shift
    if abs(scale - 1) < _UNDONE and abs(shift) <= _TAKEN_AWAY * abs(added):
        scale, shift = 1.0, 0.0
    return replace(x, name=name), scale, shift
