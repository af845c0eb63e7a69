"""Layers with weights, windows and statistics."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..errors import GraphError
from .basics import activate, affine, leading
from .builder import NEEDS_SIZE, Array, Builder, data
from .view import Atoms, Size, Value, axis, flat, refuse_batch, size_of

Pads = tuple[int, int, int, int]


def map_like(build: Builder, x: Value, name: str) -> Value:
    """What a node made of the map of ``x``: (N, C, H, W), or (N, C, L)."""
    channels, height, width = (axis(size) for size in build.shapes[name])
    spatial = (height, width) if len(x.axes) == 4 else (width,)
    return Value(name, (channels, height, width), (x.axes[0], channels, *spatial))


def pair(values: Sequence[int], fill: int) -> tuple[int, int]:
    """(height, width) of what a one-dimensional layer gives for its one axis, too."""
    if len(values) == 1:
        return fill, int(values[0])
    if len(values) != 2:
        raise GraphError(f"has {len(values)} spatial axes; known are one and two")
    return int(values[0]), int(values[1])


def same_padding(
    x: Value, kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int], upper: bool
) -> Pads:
    """TensorFlow's: as many outputs as inputs divided by the stride, rounded up."""
    before, after = [], []
    for size, k, s, d in zip(spatial(x), kernel, stride, dilation, strict=True):
        reach = d * (k - 1) + 1
        if size is None and s > 1:
            raise GraphError(NEEDS_SIZE)
        missing = reach - 1 if size is None else max((-(-size // s) - 1) * s + reach - size, 0)
        before.append(missing // 2 if upper else missing - missing // 2)
        after.append(missing - before[-1])
    return before[0], before[1], after[0], after[1]


def spatial(x: Value) -> tuple[Size, Size]:
    """Height and width of a map, or of (N, C, L)."""
    return (x.shape[2], x.shape[3]) if len(x.axes) == 4 else (1, x.shape[-1])


def conv(
    build: Builder, x: Value, weight: Array, bias: Array | None, *, stride: Sequence[int],
    padding: Pads, dilation: Sequence[int], groups: int,
) -> Value:  # fmt: skip
    """A convolution of one or two axes."""
    if weight.ndim == 3:
        weight = weight[:, :, None, :]
    if weight.ndim != 4:
        raise GraphError(f"has weights with {weight.ndim} axes; known are (O, I, kH, kW)")
    x = build.map(x)
    source, pads = build.padded.get(x.name, (x.name, (0, 0, 0, 0)))
    arrays = {"weight": weight} | ({} if bias is None else {"bias": bias.reshape(-1)})
    name = build.emit(
        "conv2d",
        [source],
        arrays,
        out_channels=weight.shape[0],
        kernel_size=list(weight.shape[2:]),
        stride=list(stride),
        padding=[a + b for a, b in zip(padding, pads, strict=True)],
        dilation=list(dilation),
        groups=groups,
        bias=bias is not None,
    )
    return map_like(build, x, name)


def conv_transpose(
    build: Builder, x: Value, weight: Array, bias: Array | None, *, stride: Sequence[int],
    padding: Pads, output_padding: Sequence[int], dilation: Sequence[int], groups: int,
) -> Value:  # fmt: skip
    """A transposed convolution.  The engine cuts off as much behind as before: where less is to go,
    that is added, or the kernel gets zeros behind; where more, it gets zeros in front and both cuts
    are larger."""
    if weight.ndim == 3:
        weight = weight[:, :, None, :]
    x = build.map(x)
    extra = [o + padding[i] - padding[2 + i] for i, o in enumerate(output_padding)]
    before = list(padding[:2])
    for i in (0, 1):
        zeros = -(-max(-extra[i], 0) // dilation[i])
        front = [(zeros, 0) if axis == 2 + i else (0, 0) for axis in range(4)]
        weight = np.pad(weight, front)
        before[i] += zeros * dilation[i]
        extra[i] += zeros * dilation[i]
        most = max(stride[i], dilation[i]) - 1
        zeros = -(-max(extra[i] - most, 0) // dilation[i])
        weight = np.pad(weight, [(0, zeros) if axis == 2 + i else (0, 0) for axis in range(4)])
        extra[i] -= zeros * dilation[i]
    arrays = {"weight": weight} | ({} if bias is None else {"bias": bias.reshape(-1)})
    name = build.emit(
        "conv_transpose2d",
        [x.name],
        arrays,
        out_channels=weight.shape[1] * groups,
        kernel_size=list(weight.shape[2:]),
        stride=list(stride),
        padding=before,
        output_padding=extra,
        dilation=list(dilation),
        groups=groups,
        bias=bias is not None,
    )
    return map_like(build, x, name)


def linear(build: Builder, x: Value, weight: Array, bias: Array | None) -> Value:
    """(O, I) times the last axis; of more than a vector as a convolution of one pixel."""
    own = x.axes[-1]
    outputs, inputs = weight.shape
    if size_of(own) != inputs:
        raise GraphError(f"weights for {inputs} features meet an axis of {size_of(own)}")
    rest = [atom for atom in data(x) if id(atom) not in set(map(id, own))]
    arrays = {"weight": weight} | ({} if bias is None else {"bias": bias.reshape(-1)})
    made = axis(outputs)
    axes = (*x.axes[:-1], made)
    if not rest:
        stored = tuple(atom for atom in flat(x.stored) if not atom.is_batch)
        arrays["weight"] = _in_order(weight, own, stored)
        x = build.vector(x, stored)
        name = build.emit("linear", [x.name], arrays, out_features=outputs, bias=bias is not None)
        return Value(name, (made,), axes)
    x = leading(build, x, own)
    arrays["weight"] = weight[:, :, None, None]
    name = build.emit(
        "conv2d", [x.name], arrays, out_channels=outputs, kernel_size=1, bias=bias is not None
    )
    return Value(name, (made, *x.stored[1:]), axes)


def _in_order(weight: Array, own: Atoms, stored: Atoms) -> Array:
    """Weights (O, I) for features in another order: theirs is that of a flattened (H, W, C), say,
    and the engine's (C, H, W)."""
    sizes = [atom.size or 1 for atom in own]
    order = [next(i for i, a in enumerate(own) if a is b) for b in stored]
    turned = np.transpose(weight.reshape(-1, *sizes), (0, *(1 + i for i in order)))
    return np.reshape(turned, weight.shape)


# --- statistics -----------------------------------------------------------------------------


def batch_norm(
    build: Builder, x: Value, weight: Array | None, bias: Array | None, mean: Array, var: Array,
    eps: float,
) -> Value:  # fmt: skip
    """By stored statistics, along the second axis."""
    x = leading(build, x, x.axes[x.axis_number(1)])
    channels = mean.size
    arrays = {"running_mean": mean, "running_var": var}
    affine = weight is not None or bias is not None
    if affine:
        arrays["weight"] = np.ones(channels) if weight is None else weight
        arrays["bias"] = np.zeros(channels) if bias is None else bias
    return activate(build, "batch_norm", x, arrays, eps=eps, affine=affine)


def group_norm(
    build: Builder, x: Value, groups: int | None, weight: Array | None, bias: Array | None,
    eps: float,
) -> Value:  # fmt: skip
    """By the statistics of groups of channels; without ``groups``, of each channel."""
    x = build.map(x)
    channels = size_of(x.axes[1]) or 0
    arrays = {}
    if weight is not None or bias is not None:
        arrays["weight"] = np.ones(channels) if weight is None else weight.reshape(-1)
        arrays["bias"] = np.zeros(channels) if bias is None else bias.reshape(-1)
    if groups is None:
        return activate(build, "instance_norm", x, arrays, eps=eps, affine=bool(arrays))
    return activate(build, "group_norm", x, arrays, num_groups=groups, eps=eps, affine=bool(arrays))


def layer_norm(
    build: Builder, x: Value, count: int, weight: Array | None, bias: Array | None, eps: float
) -> Value:
    """Over the last ``count`` axes."""
    refuse_batch(x.axes[len(x.axes) - count :])
    own = flat(x.axes[len(x.axes) - count :])
    size = size_of(own)
    if size is None:
        raise GraphError(NEEDS_SIZE)
    places = any(x.stored[1:])  # more than one; of one a vector is faster
    if places and [*map(id, x.stored[0])] == [*map(id, own)]:
        return _layer_norm2d(build, x, weight, bias, eps)
    x = _trailing(build, x, own)
    arrays = {}
    if weight is not None or bias is not None:
        arrays["weight"] = np.ones(size) if weight is None else weight.reshape(-1)
    if bias is not None:
        arrays["bias"] = bias.reshape(-1)
    return activate(
        build,
        "layer_norm",
        x,
        arrays,
        normalized_shape=[size],
        eps=eps,
        elementwise_affine=bool(arrays),
        bias=bias is not None,
    )


def _layer_norm2d(
    build: Builder, x: Value, weight: Array | None, bias: Array | None, eps: float
) -> Value:
    """Over the channels of a map as it lies."""
    arrays, channels = {}, size_of(x.stored[0]) or 0
    if weight is not None or bias is not None:
        arrays["weight"] = np.ones(channels) if weight is None else weight.reshape(-1)
        arrays["bias"] = np.zeros(channels) if bias is None else bias.reshape(-1)
    return activate(build, "layer_norm2d", x, arrays, eps=eps, affine=bool(arrays))


def _trailing(build: Builder, x: Value, own: Atoms) -> Value:
    """x with these atoms as its last axis."""
    rest = [atom for atom in data(x) if id(atom) not in set(map(id, own))]
    if not rest:
        return build.vector(x, own)
    return build.stored(x, [tuple(rest[:-1]), tuple(rest[-1:]), own])


# --- windows --------------------------------------------------------------------------------


def pool(build: Builder, op: str, x: Value, padding: Pads, **attributes: Any) -> Value:
    """``max_pool2d`` or ``avg_pool2d``."""
    x = build.map(x)
    source, kernel = x.name, attributes["kernel_size"]
    lowest = build.nodes.get(x.name)
    if op == "max_pool2d" and lowest is not None and lowest.op == "infinity":
        source = _edges_for_infinity(build, lowest.inputs[0], padding, attributes) or source
    if len(x.axes) == 3 and kernel[0] != 1:
        raise GraphError(f"has a window of two axes for {x.shape}")
    if attributes.get("stride") == kernel:
        del attributes["stride"]  # which is what it is by default
    padded = build.padded.get(x.name)
    # rounded up, the last window may begin in zeros that are pixels, but not in padding
    if padded and attributes.get("count_include_pad") and not attributes.get("ceil_mode"):
        whole = [a + b for a, b in zip(padding, padded[1], strict=True)]
        if all(2 * pad <= kernel[i % 2] for i, pad in enumerate(whole)):
            source, padding = padded[0], (whole[0], whole[1], whole[2], whole[3])
    name = build.emit(op, [source], padding=list(padding), **attributes)
    return map_like(build, x, name)


def _edges_for_infinity(
    build: Builder, name: str, padding: Pads, attributes: dict[str, Any]
) -> str | None:
    """The map whose edges are repeated around it, in place of one with -inf around it: in a window
    that has pixels of the map, which all have if it is larger than what lies around, it has the
    nearest of them already."""
    around = build.nodes[name].attributes["padding"]
    fits = all(pad < attributes["kernel_size"][i % 2] for i, pad in enumerate(around))
    plain = not any(padding) and not attributes.get("ceil_mode")
    return name if fits and plain and tuple(attributes.get("dilation", (1, 1))) == (1, 1) else None


def pad(build: Builder, x: Value, before: Sequence[int], after: Sequence[int]) -> Value:
    """Zeros around channels and map; a convolution behind it takes them for its own padding."""
    if any(before[:1]) or any(after[:1]):
        raise GraphError("pads the batch")
    if min(*before, *after) < 0:
        raise GraphError("cuts something off: use a slice")
    if not any(before) and not any(after):
        return x
    if len(x.axes) not in (3, 4):
        for number in range(1, len(x.axes)):
            x = _pad_axis(build, x, number, before[number], after[number])
        return x
    if len(x.axes) == 3:
        before, after = [*before[:2], 0, before[2]], [*after[:2], 0, after[2]]
    x = _pad_axis(build, build.map(x), 1, before[1], after[1])
    pads = (before[2], before[3], after[2], after[3])
    if not any(pads):
        return x
    channels = size_of(x.axes[1]) or 1
    name = build.emit(
        "conv2d",
        [x.name],
        {"weight": np.ones((channels, 1, 1, 1))},
        out_channels=channels,
        kernel_size=1,
        padding=list(pads),
        groups=channels,
        bias=False,
    )
    build.padded[name] = (x.name, pads)
    return map_like(build, x, name)


def _pad_axis(build: Builder, x: Value, number: int, before: int, after: int) -> Value:
    """Zeros before and after what stands along an axis."""
    if not before and not after:
        return x
    x = leading(build, x, x.axes[number])
    if len(x.stored) == 1:
        x = build.stored(x, [x.axes[number], (), ()])
    name = build.emit("pad_channels", [x.name], before=before, after=after)
    made = axis(build.shapes[name][0])
    axes = (*x.axes[:number], made, *x.axes[number + 1 :])
    return Value(name, (made, *x.stored[1:]), axes)


def resize(
    build: Builder, x: Value, mode: str, size: Sequence[int] | None,
    scale: Sequence[float] | None, align_corners: bool = False,
) -> Value:  # fmt: skip
    """Nearest or bilinear, as PyTorch: to a size or by a factor."""
    x = build.map(x)
    more: dict[str, Any] = {"align_corners": True} if align_corners else {}
    if size is not None:
        if tuple(size) == spatial(x):
            return x
        name = build.emit("resize", [x.name], mode=mode, size=list(size), **more)
    else:
        assert scale is not None
        name = build.emit("resize", [x.name], mode=mode, scale=[float(s) for s in scale], **more)
    return map_like(build, x, name)


def mean(build: Builder, x: Value, numbers: Sequence[int], keepdims: bool, op: str) -> Value:
    """``avg`` or ``max`` over some axes."""
    axes = sorted({x.axis_number(number) for number in numbers})
    refuse_batch([x.axes[i] for i in axes])
    own = flat([x.axes[i] for i in axes])
    whole = x
    if own:
        rest = tuple(a for a in flat(x.stored) if id(a) not in set(map(id, own)))
        if len(x.stored) != 3 or {*map(id, x.stored[0])} != {*map(id, rest)}:
            x = build.stored(x, [rest, own[:-1], own[-1:]])
        name = build.emit(f"global_{op}_pool2d", [x.name])
        x = Value(name, (x.stored[0], (), ()), x.axes)
        if op == "avg":
            build.means[name] = (whole, tuple(axes))
    kept = tuple(
        () if i in axes else atoms for i, atoms in enumerate(x.axes) if keepdims or i not in axes
    )
    return replace(x, axes=kept)


def least(build: Builder, x: Value, numbers: Sequence[int], keepdims: bool) -> Value:
    """The smallest over some axes: of the negative ones the largest."""
    minus, nothing = np.float64(-1), np.float64(0)
    found = mean(build, affine(build, x, minus, nothing), numbers, keepdims, "max")
    return affine(build, found, minus, nothing)


def total(build: Builder, x: Value, numbers: Sequence[int], keepdims: bool) -> Value:
    """Sum over some axes: their mean, times how many there are."""
    sizes = [x.shape[x.axis_number(number)] for number in numbers]
    if None in sizes:
        raise GraphError(NEEDS_SIZE)
    count = math.prod(size or 1 for size in sizes)
    return affine(build, mean(build, x, numbers, keepdims, "avg"), np.float64(count), np.float64(0))
