"""Element by element: activations, arithmetic of two values, and of a value and constants."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from ..errors import GraphError
from . import moving, patterns
from .basics import activate, affine, along_channels, matched
from .builder import Array, Builder, Operand
from .view import Value, flat, same_batch


def clamp(build: Builder, x: Value, low: float | None, high: float | None) -> Value:
    """min(max(x, low), high); None is no bound."""
    low = None if low is None or low <= -3.4e38 else low
    high = None if high is None or high >= 3.4e38 else high
    if low is None and high is None:
        return x
    found = patterns.hardsigmoid(build, x, low, high)
    if found is not None:
        return replace(x, name=found)
    if low == 0 and high is None:
        return activate(build, "relu", x)
    if (low, high) == (0, 6):
        return activate(build, "relu6", x)
    return activate(build, "clamp", x, min=low, max=high)


def hardsigmoid(build: Builder, x: Value, alpha: float, beta: float) -> Value:
    """min(max(alpha x + beta, 0), 1)."""
    if abs(alpha - 1 / 6) < 1e-6 and beta == 0.5:
        return activate(build, "hardsigmoid", x)
    return clamp(build, affine(build, x, np.float64(alpha), np.float64(beta)), 0, 1)


def prelu(build: Builder, x: Value, slope: Array) -> Value:
    """x if x > 0 else slope x, one slope or one along an axis."""
    if slope.size == 1:
        return activate(build, "prelu", x, {"weight": slope.reshape(1)}, num_parameters=1)
    x, (slopes,) = along_channels(build, x, [slope])
    return activate(build, "prelu", x, {"weight": slopes}, num_parameters=slopes.size)


# --- of two values --------------------------------------------------------------------------


def binary(build: Builder, op: str, a: Operand, b: Operand) -> Value:
    """``add``, ``sub``, ``mul`` or ``div`` of two values, or of one and constants."""
    if isinstance(b, np.ndarray):
        if isinstance(a, np.ndarray):
            raise GraphError("computes with constants alone")
        return _with_constant(build, op, _as_wide(build, a, b), np.asarray(b, np.float64))
    if isinstance(a, np.ndarray):
        b, a = _as_wide(build, b, a), np.asarray(a, np.float64)
        if op in ("add", "mul"):
            return _with_constant(build, op, b, a)
        if op == "sub":
            return affine(build, b, np.float64(-1), a)
        if (a == 1).all() and a.size == 1:
            return reciprocal(build, b)
        raise GraphError("a constant divided by a value")
    same_batch([a, b])
    own = a
    a = _unspread(build, a, b)
    b = _unspread(build, b, a) if a is own else b
    found = patterns.divided(build, a, b) if op == "div" else None
    if op == "mul":
        found = patterns.product(build, a, b) or patterns.times_root(build, a, b)
    if found is not None:
        return found
    first, second = aligned(build, a, b)
    whole = first if _elements(first) >= _elements(second) else second
    name = build.emit(op, [first.name, second.name])
    build.terms[name] = (op, a, b)
    return replace(whole, name=name)


def reciprocal(build: Builder, x: Value) -> Value:
    """1 / x, of which ``patterns.times_root`` is known alone."""
    return activate(build, "reciprocal", x)


def _unspread(build: Builder, a: Value, b: Value) -> Value:
    """What was repeated along axes that b has as well, without that: the engine spreads it."""
    small, whole = build.spread.get(a.name, (a, a))
    rank = len(a.axes)
    if small is a or a.axes != whole.axes or len(b.axes) > rank:
        return a
    sizes = (1,) * (rank - len(b.axes)) + b.shape
    if any(p != q and size != n for p, q, size, n in zip(small.axes, a.axes, sizes, a.shape,
                                                         strict=True)):  # fmt: skip
        return a
    return small


def as_deep(x: Value, constant: Array) -> Value:
    """With as many axes as a constant, which may have more."""
    return x.unsqueezed(range(np.ndim(constant) - len(x.axes)))


def _as_wide(build: Builder, x: Value, constant: Array) -> Value:
    """The same, and spread along axes of size 1 that the constant has more of."""
    x, sizes = as_deep(x, constant), np.shape(constant)
    ones = (1,) * (len(x.axes) - len(sizes))
    wanted = [size if own == 1 else -1 for size, own in zip((*ones, *sizes), x.shape, strict=True)]
    return moving.expanded(build, x, wanted) if max(wanted, default=1) > 1 else x


def _with_constant(build: Builder, op: str, x: Value, constant: Array) -> Value:
    if op == "add":
        return affine(build, x, np.float64(1), constant)
    if op == "sub":
        return affine(build, x, np.float64(1), -constant)
    if op == "mul":
        return patterns.hardswish(build, x, constant) or affine(build, x, constant, np.float64(0))
    if (constant == 0).any():
        raise GraphError("a division by 0")
    return patterns.hardswish(build, x, 1 / constant) or affine(
        build, x, 1 / constant, np.float64(0)
    )


def _elements(value: Value) -> float:
    return math.prod(math.inf if size is None else size for size in value.shape)


def aligned(build: Builder, a: Value, b: Value) -> tuple[Value, Value]:
    """Two values of one shape, or one of which is spread, as the engine wants them."""
    rank = max(len(a.axes), len(b.axes))
    a = a.unsqueezed(range(rank - len(a.axes)))
    b = b.unsqueezed(range(rank - len(b.axes)))
    for i, (p, q) in enumerate(zip(a.shape, b.shape, strict=True)):
        if p != q and p != 1 and q != 1:
            raise GraphError(f"shapes {a.shape} and {b.shape} do not fit")
        if p != q and any(atom.is_batch for atom in a.axes[i] + b.axes[i]):
            raise GraphError("is spread along the batch")
    if _elements(b) > _elements(a):
        second, first = aligned(build, b, a)
        return first, second
    if any(p == 1 != q for p, q in zip(a.shape, b.shape, strict=True)):  # both are spread
        return aligned(build, moving.expanded(build, a, b.shape), b)
    a, b = matched(build, a, b)
    spread = [i for i in range(rank) if a.axes[i] and not b.axes[i]]
    twin = {id(q): p for i in range(rank) for p, q in zip(a.axes[i], b.axes[i], strict=False)}
    back = {id(p): q for i in range(rank) for p, q in zip(a.axes[i], b.axes[i], strict=False)}
    if not spread:
        if [twin[id(q)] for q in flat(b.stored)] == list(flat(a.stored)) and len(a.stored) == len(
            b.stored
        ):
            b = build.stored(b, [tuple(back[id(p)] for p in group) for group in a.stored])
            return a, b
        b = build.stored(b, [tuple(back[id(p)] for p in g if not p.is_batch) for g in a.stored])
        return a, b
    own = tuple(p for i in range(rank) if i not in spread for p in a.axes[i] if not p.is_batch)
    keeps = {id(p) for p in own}
    if len(a.stored) != 3 or {id(p) for p in a.stored[0]} != keeps:
        rest = [p for p in flat(a.stored) if id(p) not in keeps]
        a = build.stored(a, [own, tuple(rest[:-1]), tuple(rest[-1:])])
    return a, build.stored(b, [tuple(back[id(p)] for p in a.stored[0]), (), ()])
