"""What the engine has no operator for and is made of those that it has: exactly, or with roundings
of float32."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import GraphError
from . import layers, moving, patterns
from .basics import activate, affine, leading
from .builder import NEEDS_SIZE, Array, Builder, Operand
from .elementwise import binary
from .view import OPEN_BATCH, Value, axis, refuse_batch

#: Most runs of elements that follow each other, of those that are picked out of an axis.
_MOST_RUNS = 64
_ZERO = np.float64(0)


def absolute(build: Builder, x: Value) -> Value:
    """|x|."""
    return activate(build, "leaky_relu", x, negative_slope=-1.0)


def celu(build: Builder, x: Value, alpha: float) -> Value:
    """max(x, 0) + min(alpha (exp(x / alpha) - 1), 0)."""
    if alpha == 0:
        raise GraphError("attribute 'alpha' is 0")
    x = activate(build, "elu", affine(build, x, np.float64(1 / alpha), _ZERO))
    return affine(build, x, np.float64(alpha), _ZERO)


def softsign(build: Builder, x: Value) -> Value:
    """x / (1 + |x|)."""
    return binary(build, "div", x, affine(build, absolute(build, x), np.float64(1), np.float64(1)))


def extreme(build: Builder, kind: str, values: Sequence[Value]) -> Value:
    """The largest (``max``) or smallest (``min``) of values of one shape, element by element; it is
    one of them to the bit: the largest along a new axis."""
    first, *others = values
    if any(other.shape != first.shape for other in others):
        shapes = ", ".join(str(value.shape) for value in values)
        raise GraphError(f"compares values of the shapes {shapes}; known is one shape")
    if not others:
        return first
    number = len(first.axes)
    minus = np.float64(-1)
    if kind == "min":
        values = [affine(build, value, minus, _ZERO) for value in values]
    whole = moving.concat(build, [value.unsqueezed([number]) for value in values], number)
    found = layers.mean(build, whole, [number], False, "max")
    return found if kind == "max" else affine(build, found, minus, _ZERO)


# --- windows of uneven sizes, and what lies around a map --------------------------------------


def adaptive_pool(build: Builder, op: str, x: Value, size: Sequence[int]) -> Value:
    """To a number of windows, which need not divide the map."""
    x = build.map(x)
    if tuple(size) == (1, 1):
        return layers.map_like(build, x, build.emit(f"global_{op}", [x.name]))
    height, width = layers.spatial(x)
    if height is None or width is None:
        raise GraphError(NEEDS_SIZE)
    if (height, width) == tuple(size):
        return x
    if height % size[0] or width % size[1]:
        along = _means if op == "avg_pool2d" else _maxima
        for number in range(2, len(x.axes)):
            x = along(build, x, number, size[number - len(x.axes)])
        return x
    kernel = [height // size[0], width // size[1]]
    return layers.pool(build, op, x, (0, 0, 0, 0), kernel_size=kernel)


def _windows(size: int, parts: int) -> tuple[Array, Array]:
    """Where PyTorch's begin and end: ``start_index`` and ``end_index`` of
    ATen/native/AdaptivePooling.h."""
    return np.arange(parts) * size // parts, -(-(np.arange(parts) + 1) * size // parts)


def _means(build: Builder, x: Value, number: int, parts: int) -> Value:
    """Means of windows of an axis: a matrix product along it."""
    size = x.shape[number] or 0
    if size == parts:
        return x
    starts, ends = _windows(size, parts)
    index = np.arange(size)
    inside = (index >= starts[:, None]) & (index < ends[:, None])
    weight = inside / (ends - starts)[:, None]
    x = leading(build, x, x.axes[number])
    if len(x.stored) == 1:
        arrays = {"weight": weight}
        name = build.emit("linear", [x.name], arrays, out_features=parts, bias=False)
    else:
        arrays = {"weight": weight[:, :, None, None]}
        name = build.emit("conv2d", [x.name], arrays, out_channels=parts, kernel_size=1, bias=False)
    made = axis(parts)
    axes = (*x.axes[:number], made, *x.axes[number + 1 :])
    return Value(name, (made, *x.stored[1:]), axes)


def _maxima(build: Builder, x: Value, number: int, parts: int) -> Value:
    """The largest of windows of an axis, each written out, shorter ones with their last again."""
    size = x.shape[number] or 0
    if size == parts:
        return x
    starts, ends = _windows(size, parts)
    most = int((ends - starts).max())
    places = np.minimum(starts[:, None] + np.arange(most), ends[:, None] - 1)
    x = chosen(build, x, number, places.reshape(-1).tolist())
    shape = (*x.shape[:number], parts, most, *x.shape[number + 1 :])
    return layers.mean(build, moving.reshape(build, x, shape), [number + 1], False, "max")


def padded(
    build: Builder, x: Value, before: Sequence[int], after: Sequence[int], mode: str, value: float
) -> Value:
    """By a mode of PyTorch's; the value is that of mode ``constant``."""
    value = float(np.float32(value))
    if mode != "constant" or value == 0 or max(*before, *after) <= 0:
        return moving.pad(build, x, before, after, mode)
    x = moving.pad(build, x, [min(b, 0) for b in before], [min(a, 0) for a in after])
    before, after = [max(b, 0) for b in before], [max(a, 0) for a in after]
    if value == -np.inf:
        return activate(build, "infinity", moving.pad(build, x, before, after, "replicate"))
    if not np.isfinite(value):
        raise GraphError(f"pads with {value}")
    # shifting, padding and shifting back would round: so 0 where x is and the value around it
    ones = affine(
        build, activate(build, "clamp", x, min=0.0, max=0.0), np.float64(1), np.float64(1)
    )
    ones = moving.pad(build, ones, before, after)
    around = affine(build, ones, np.float64(-value), np.float64(value))
    return binary(build, "add", moving.pad(build, x, before, after), around)


# --- more elements of what is there ---------------------------------------------------------


def repeated(build: Builder, x: Value, counts: Sequence[int]) -> Value:
    """The whole so often along each axis, as ``numpy.tile``."""
    x = x.unsqueezed(range(max(len(counts) - len(x.axes), 0)))
    counts = [1] * (len(x.axes) - len(counts)) + list(counts)
    if any(
        count < 1 or (count > _MOST_RUNS and size != 1)
        for count, size in zip(counts, x.shape, strict=True)
    ):
        raise GraphError(f"repeats {x.shape} {tuple(counts)} times; at most {_MOST_RUNS} are known")
    for number, count in enumerate(counts):
        if x.shape[number] != 1 and count > 1:
            x = moving.concat(build, [x] * count, number)
    return moving.expanded(
        build, x, [c if n == 1 else -1 for c, n in zip(counts, x.shape, strict=True)]
    )


def chosen(build: Builder, x: Value, number: int, places: Sequence[int]) -> Value:
    """These elements of an axis, in that order; places below 0 are counted from the end."""
    number = x.axis_number(number)
    size = x.shape[number]
    if x.axes[number] is OPEN_BATCH:
        refuse_batch([x.axes[number]])
    if size is None:
        raise GraphError(NEEDS_SIZE)
    places = [place + size if place < 0 else place for place in places]
    if not places or not 0 <= min(places) <= max(places) < size:
        raise GraphError(f"picks {list(places)[:8]} of {size} elements")
    runs: list[list[int]] = []
    for place in places:
        if runs and runs[-1][1] == place:
            runs[-1][1] += 1
        else:
            runs.append([place, place + 1])
    if len(runs) > _MOST_RUNS:
        raise GraphError(f"picks elements in {len(runs)} runs; known are {_MOST_RUNS}")
    parts = [moving.narrow(build, x, number, start, end) for start, end in runs]
    return moving.concat(build, parts, number)


def cut(build: Builder, x: Value, number: int, start: int, end: int, step: int) -> Value:
    """As ``x[start:end:step]``, backwards, too."""
    if step >= 0:
        return moving.narrow(build, x, number, start, end, step)
    size = x.shape[x.axis_number(number)]
    if size is None:
        raise GraphError(NEEDS_SIZE)
    places = range(size)[slice(start, end, step)]
    if len(places) > _MOST_RUNS:
        raise GraphError(f"goes backwards over {len(places)} elements; known are {_MOST_RUNS}")
    return chosen(build, x, number, places)


def joined(build: Builder, values: Sequence[Operand], number: int) -> Value:
    """One behind the other along an axis, constants among them: coordinates, mostly."""
    first = next((value for value in values if isinstance(value, Value)), None)
    if first is None:
        raise GraphError("joins constants alone")
    number = first.axis_number(number)
    return moving.concat(
        build,
        [v if isinstance(v, Value) else _constant(build, first, number, v) for v in values],
        number,
    )


def _constant(build: Builder, like: Value, number: int, constant: Array) -> Value:
    """A constant as a value: nothing times a value, and the constant."""
    rank = len(like.axes)
    if constant.ndim != rank or any(
        i != number and size != constant.shape[i] for i, size in enumerate(like.shape)
    ):
        raise GraphError(f"joins a constant {constant.shape} to {like.shape}")
    order = [*(i for i in range(rank) if i != number), number]
    weight = np.zeros((constant.shape[number], like.shape[number] or 1))
    none = layers.linear(build, like.permuted(order), weight, None)
    none = none.permuted([order.index(i) for i in range(rank)])
    return affine(build, none, np.float64(1), np.asarray(constant, np.float64))


def rms_norm(build: Builder, x: Value, count: int, weight: Array | None, eps: float) -> Value:
    """x / sqrt(mean(x x) + eps) over the last ``count`` axes, times the weights."""
    axes = range(len(x.axes) - count, len(x.axes))
    if not count or None in [x.shape[i] for i in axes]:
        raise GraphError(NEEDS_SIZE)
    refuse_batch([x.axes[i] for i in axes])
    found = patterns.by_root_mean_square(build, x, axes, eps)
    return found if weight is None else affine(build, found, weight, _ZERO)


def length(build: Builder, x: Value, numbers: Sequence[int], keepdims: bool) -> Value:
    """The root of the sum of squares, of which ``patterns.by_length`` is known alone."""
    squares = binary(build, "mul", x, x)
    return activate(build, "sqrt", layers.total(build, squares, numbers, keepdims))
