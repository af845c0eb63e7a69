"""What joins, cuts and orders: concatenation, slices, softmax and argmax along an axis."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace

from ..errors import GraphError
from . import layers
from .basics import activate, leading, matched
from .builder import NEEDS_SIZE, Builder, data
from .view import (
    OPEN,
    OPEN_BATCH,
    Atom,
    Atoms,
    Size,
    Value,
    axis,
    flat,
    in_order,
    refuse_batch,
    same_batch,
    size_of,
)

#: Behind the last element of any axis.
TO_THE_END = sys.maxsize


def reshape(build: Builder, x: Value, shape: Sequence[int | None]) -> Value:
    """Another shape of the same elements, without -1."""
    found = x.reshaped(shape)
    if found is not None:
        return found
    whole = build.vector(x)
    atom = axis(size_of(whole.stored[0]))
    atoms = in_order(x.axes)
    batch = tuple(a for a in atoms if a.is_batch)
    if tuple(atoms[: len(batch)]) != batch:
        refuse_batch([batch])
    batch = OPEN_BATCH if batch == (OPEN,) else batch
    found = Value(whole.name, (atom,), (batch, atom)).reshaped(shape)
    if found is None and None in (*x.shape, *shape):
        raise GraphError(NEEDS_SIZE)
    if found is None:
        raise GraphError(f"{x.shape} does not fit the shape {tuple(shape)}")
    return found


def concat(build: Builder, values: Sequence[Value], number: int) -> Value:
    """One behind the other along an axis."""
    first, *others = values
    if not others:
        return first
    number = first.axis_number(number)
    if any(len(value.axes) != len(first.axes) for value in others):
        raise GraphError("joins values of different ranks")
    refuse_batch([value.axes[number] for value in values])
    same_batch(values)
    for value in others:
        for i, (p, q) in enumerate(zip(first.shape, value.shape, strict=True)):
            if i != number and p != q:
                raise GraphError(f"joins {first.shape} and {value.shape} along axis {number}")
    first, *others = _cut_alike(build, values, number)
    groups = _rest_groups(first, number)
    names = []
    for part in (first, *others):
        twin = {
            id(p): q
            for i in range(len(first.axes))
            if i != number
            for p, q in zip(first.axes[i], part.axes[i], strict=True)
        }
        own = tuple(tuple(twin[id(p)] for p in group) for group in groups)
        names.append(build.stored(part, [part.axes[number], *own]).name)
    name = build.emit("concat", names)
    made = axis(build.shapes[name][0])
    axes = (*first.axes[:number], made, *first.axes[number + 1 :])
    return Value(name, (made, *groups), axes)


def _cut_alike(build: Builder, values: Sequence[Value], number: int) -> list[Value]:
    """All with their axes, but that one, cut as those of the first."""
    parts = list(values)
    for _ in values:  # each may cut the first anew, and with it those before
        first = parts[0]
        for i, part in enumerate(parts[1:], 1):
            whole = replace(parts[0], axes=_without(parts[0], number))
            changed, hidden = matched(build, whole, replace(part, axes=_without(part, number)))
            parts[0] = replace(changed, axes=_with(changed, parts[0], number))
            parts[i] = replace(hidden, axes=_with(hidden, part, number))
        if parts[0].axes == first.axes:
            break
    return parts


def _without(value: Value, number: int) -> tuple[Atoms, ...]:
    return tuple(() if i == number else atoms for i, atoms in enumerate(value.axes))


def _with(value: Value, whole: Value, number: int) -> tuple[Atoms, ...]:
    return tuple(whole.axes[i] if i == number else atoms for i, atoms in enumerate(value.axes))


def _rest_groups(first: Value, number: int) -> tuple[Atoms, ...]:
    """How what is not joined lies: as in the first where its channels are joined."""
    own = set(map(id, first.axes[number]))
    if len(first.stored) == 3 and {id(a) for a in first.stored[0]} == own:
        return first.stored[1:]
    rest = tuple(a for a in flat(first.stored) if id(a) not in own)
    if not rest and len(first.stored) == 1:
        return ()
    return rest[:-1], rest[-1:]


def narrow(build: Builder, x: Value, number: int, start: int, end: int, step: int = 1) -> Value:
    """Elements [start, end) of an axis, every step-th of them; negative ends as in Python."""
    number = x.axis_number(number)
    own, size = x.axes[number], x.shape[number]
    if size is None or own is OPEN_BATCH:
        if start == 0 and end >= 1 << 20 and step == 1:
            return x
        refuse_batch([own])
        raise GraphError(NEEDS_SIZE)
    if step < 1:
        raise GraphError(f"goes backwards (step {step})")
    chosen = range(size)[slice(start, end, step)]
    if not chosen:
        raise GraphError(f"takes nothing of {size} elements")
    if len(chosen) == size:
        return x
    refuse_batch([own])
    x = leading(build, x, own)
    name = build.emit("slice_channels", [x.name], start=chosen[0], end=chosen[-1] + 1, step=step)
    made = axis(len(chosen))
    axes = (*x.axes[:number], made, *x.axes[number + 1 :])
    return Value(name, (made, *x.stored[1:]), axes)


def pad(
    build: Builder, x: Value, before: Sequence[int], after: Sequence[int], mode: str = "constant"
) -> Value:
    """Zeros around an axis, or by another mode of PyTorch's what lies there; below 0 something is
    cut off."""
    for number, (first, last) in enumerate(zip(before, after, strict=True)):
        if min(first, last) < 0:
            end = last if last < 0 else TO_THE_END
            x = narrow(build, x, number, max(-first, 0), end)
    before, after = [max(b, 0) for b in before], [max(a, 0) for a in after]
    if mode == "constant":
        return layers.pad(build, x, before, after)
    return _extended(build, x, before, after, mode)


def _extended(
    build: Builder, x: Value, before: Sequence[int], after: Sequence[int], mode: str
) -> Value:
    """With what lies there around one axis or two."""
    numbers = [i for i in range(len(x.axes)) if before[i] or after[i]]
    if not numbers:
        return x
    if len(numbers) > 2:
        raise GraphError(f"pads more than two axes by mode {mode!r}")
    refuse_batch([x.axes[i] for i in numbers])
    if len(numbers) == 1:  # beside another one, so that a map stays as it lies
        last = len(x.axes) - 1
        other = last if numbers[0] != last else last - 1 if last > 2 else 0
        numbers = sorted({*numbers, other} if other > 0 else numbers)
    own = [x.axes[i] for i in numbers]
    inside = set(map(id, flat(own)))
    rest = tuple(atom for atom in data(x) if id(atom) not in inside)
    rows = own[0] if len(own) == 2 else ()
    x = build.stored(x, [rest, rows, own[-1]])
    pads = [side[i] for side in (before, after) for i in numbers]
    pads = pads if len(own) == 2 else [0, pads[0], 0, pads[1]]
    name = build.emit("pad", [x.name], padding=pads, mode=mode)
    made = [axis(size) for size in build.shapes[name][1:]]
    axes = list(x.axes)
    for number, atoms in zip(numbers, made[-len(numbers) :], strict=True):
        axes[number] = atoms
    return Value(name, (rest, made[0] if len(own) == 2 else (), made[1]), tuple(axes))


def expanded(build: Builder, x: Value, shape: Sequence[Size]) -> Value:
    """Axes of size 1 repeated, new ones in front of them; -1 keeps a size.  What it is added to or
    multiplied by spreads it just as well (``Builder.spread``)."""
    x = x.unsqueezed(range(max(len(shape) - len(x.axes), 0)))
    wanted = [-1] * (len(x.axes) - len(shape)) + list(shape)
    new: list[tuple[Atom, ...]] = []
    for i, (size, now) in enumerate(zip(wanted, x.shape, strict=True)):
        if size == now or size in (-1, 1):
            new.append(())
            continue
        if now != 1:
            raise GraphError(f"{x.shape} cannot be expanded to {tuple(shape)}")
        if size is None:
            raise GraphError(NEEDS_SIZE)
        if i == 0 and len(wanted) > 1:
            raise GraphError("expands the batch: the engine sees each picture alone")
        refuse_batch([x.axes[i]])
        new.append((Atom(size),))
    more = flat(new)
    if not more:
        return x
    source = build.stored(x, [data(x), (), ()])
    size_of_map = [size_of(more[:-1]), size_of(more[-1:])]
    name = build.emit("resize", [source.name], mode="nearest", size=size_of_map)
    axes = tuple(atoms or own for atoms, own in zip(new, x.axes, strict=True))
    found = Value(name, (source.stored[0], more[:-1], more[-1:]), axes)
    build.spread[name] = (x, found)
    return found


def split(build: Builder, x: Value, number: int, sizes: Sequence[int]) -> list[Value]:
    """Parts of these sizes along an axis."""
    number = x.axis_number(number)
    if x.axes[number] is OPEN_BATCH:
        refuse_batch([x.axes[number]])
    total = x.shape[number]
    if total is None or sum(sizes) != total or min(sizes) < 1:
        raise GraphError(f"cuts an axis of {total} into {list(sizes)}")
    parts, start = [], 0
    for size in sizes:
        parts.append(narrow(build, x, number, start, start + size))
        start += size
    return parts


def softmax(build: Builder, x: Value, numbers: Sequence[int]) -> Value:
    """Over one axis, or over several as if they were one."""
    axes = [x.axes[x.axis_number(number)] for number in numbers]
    refuse_batch(axes)
    own = flat(axes)
    rest = [atom for atom in data(x) if id(atom) not in set(map(id, own))]
    x = leading(build, x, own) if rest else build.vector(x, own)
    return activate(build, "softmax", x)


def argmax(build: Builder, x: Value, number: int, keepdims: bool) -> Value:
    """Number of the first largest element along an axis, as float32."""
    number = x.axis_number(number)
    own = x.axes[number]
    refuse_batch([own])
    rest = [atom for atom in data(x) if id(atom) not in set(map(id, own))]
    x = leading(build, x, own) if rest else build.vector(x, own)
    name = build.emit("argmax", [x.name])
    nothing: tuple[Atoms, ...] = ((),)
    axes = tuple(() if i == number else atoms for i, atoms in enumerate(x.axes))
    if not keepdims:
        axes = (*axes[:number], *axes[number + 1 :])
    return Value(name, nothing + x.stored[1:], axes)


def pixel_shuffle(build: Builder, x: Value, factor: int, block_first: bool = False) -> Value:
    """(N, C r r, H, W) to (N, C, H r, W r); with ``block_first`` channels are (r, r, C), as in
    ONNX' DepthToSpace of mode DCR."""
    x = build.map(x)
    if block_first:
        channels = size_of(x.axes[1]) or 0
        if channels % factor**2:
            raise GraphError(f"{channels} channels are no multiple of {factor} x {factor}")
        (c, blocks) = Atom(channels // factor**2), Atom(factor**2)
        whole = Atom(channels)
        x = Value(x.name, ((whole,), *x.stored[1:]), (x.axes[0], (whole,), *x.axes[2:]))
        x = x.split(whole, (blocks, c))
        x = build.stored(x, [(c, blocks), *x.stored[1:]])
    name = build.emit("pixel_shuffle", [x.name], upscale_factor=factor)
    channels_, height, width = (axis(size) for size in build.shapes[name])
    return Value(name, (channels_, height, width), (x.axes[0], channels_, height, width))


def pixel_unshuffle(build: Builder, x: Value, factor: int, block_first: bool = False) -> Value:
    """(N, C, H r, W r) to (N, C r r, H, W); with ``block_first`` channels are (r, r, C), as in
    ONNX' SpaceToDepth."""
    batch, channels, height, width = x.shape if len(x.axes) == 4 else (1, 1, 1, 1)
    if len(x.axes) != 4 or channels is None or height is None or width is None:
        raise GraphError(NEEDS_SIZE if len(x.axes) == 4 else f"needs (N, C, H, W), not {x.shape}")
    if factor < 1 or height % factor or width % factor:
        raise GraphError(f"{height} x {width} is no multiple of {factor}")
    rows, columns = height // factor, width // factor
    x = reshape(build, x, [batch, channels, rows, factor, columns, factor])
    x = x.permuted([0, 3, 5, 1, 2, 4] if block_first else [0, 1, 3, 5, 2, 4])
    return reshape(build, x, [batch, channels * factor**2, rows, columns])
