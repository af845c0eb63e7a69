"""The definition of every operation, in float64 with NumPy and SciPy.

Slow and plain on purpose: the kernels, the rewrites and the planner are tested against it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .graph import Graph, Node
from .ops import OPERATIONS, pool_extent

Array = npt.NDArray[np.float64]
Arrays = Mapping[str, Array]


def evaluate(
    graph: Graph, weights: Mapping[str, npt.NDArray[Any]], inputs: Mapping[str, npt.NDArray[Any]]
) -> dict[str, Array]:
    """Value of every input and node.

    Args:
        graph: the network.
        weights: its arrays by ``node.parameter``.
        inputs: (N, C, H, W) or (N, F) arrays by input name.

    Returns:
        float64 arrays with a batch axis, by name.
    """
    values: dict[str, Array] = {n: np.asarray(inputs[n], np.float64) for n in graph.inputs}
    for node in graph.nodes:
        sources = [values[name] for name in node.inputs]
        shapes = [tuple(int(d) for d in s.shape[1:]) for s in sources]
        arrays = {
            name: np.asarray(weights[f"{node.name}.{name}"], np.float64)
            for name in OPERATIONS[node.op].parameters(shapes, node.attributes)
        }
        values[node.name] = REFERENCE[node.op](sources, node, arrays)
    return values


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)), without overflow."""
    from scipy.special import expit

    return np.asarray(expit(x))


def softplus(x: Array) -> Array:
    """log(1 + exp(x)), without overflow."""
    return np.logaddexp(0.0, x)


def swish(x: Array) -> Array:
    """x sigmoid(x); -0 at -inf."""
    return _tail(x, x * sigmoid(x))


def mish(x: Array) -> Array:
    """x tanh(softplus(x)); -0 at -inf."""
    return _tail(x, x * np.tanh(softplus(x)))


def pish(x: Array) -> Array:
    """x arctan(softplus(x) + sigmoid(x)) (Kawa & Syga 2021); -0 at -inf."""
    return _tail(x, x * np.arctan(softplus(x) + sigmoid(x)))


def _tail(x: Array, f: Array) -> Array:
    return np.asarray(np.where(np.isneginf(x), -0.0, f))


def leaky_relu(x: Array, negative_slope: float | Array) -> Array:
    """x if x > 0 else negative_slope x."""
    return np.asarray(np.where(x > 0, x, x * negative_slope))


def _per_channel(array: Array, x: Array) -> Array:
    return array.reshape(1, -1, *(1,) * (x.ndim - 2))


def _conv2d(sources: Sequence[Array], node: Node, arrays: Arrays) -> Array:
    x, a = sources[0], node.attributes
    weight = arrays["weight"]
    (sh, sw), (dh, dw), groups = a["stride"], a["dilation"], a["groups"]
    top, left, bottom, right = a["padding"]
    x = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    batch, channels, height, width = x.shape
    filters, per_group, kh, kw = weight.shape
    out_h = (height - dh * (kh - 1) - 1) // sh + 1
    out_w = (width - dw * (kw - 1) - 1) // sw + 1
    y = np.zeros((batch, groups, filters // groups, out_h, out_w))
    x = x.reshape(batch, groups, channels // groups, height, width)
    w = weight.reshape(groups, filters // groups, per_group, kh, kw)
    for i in range(kh):
        for j in range(kw):
            rows = slice(i * dh, i * dh + (out_h - 1) * sh + 1, sh)
            columns = slice(j * dw, j * dw + (out_w - 1) * sw + 1, sw)
            y += np.einsum("goc,ngchw->ngohw", w[..., i, j], x[..., rows, columns])
    y = y.reshape(batch, filters, out_h, out_w)
    return y + _per_channel(arrays["bias"], y) if "bias" in arrays else y


def _linear(sources: Sequence[Array], node: Node, arrays: Arrays) -> Array:
    y: Array = sources[0] @ arrays["weight"].T
    return y + arrays["bias"] if "bias" in arrays else y


def _batch_norm(sources: Sequence[Array], node: Node, arrays: Arrays) -> Array:
    x = sources[0]
    scale = 1 / np.sqrt(arrays["running_var"] + node.attributes["eps"])
    scale = scale * arrays.get("weight", np.ones_like(scale))
    shift = arrays.get("bias", np.zeros_like(scale)) - arrays["running_mean"] * scale
    return x * _per_channel(scale, x) + _per_channel(shift, x)


def _windows(x: Array, node: Node, fill: float) -> tuple[Array, list[Array]]:
    """(N, C, H', W', kh * kw) windows with ``fill`` around, and the padded index of each start."""
    a = node.attributes
    kernel, stride = a["kernel_size"], a["stride"] or a["kernel_size"]
    dilation = a.get("dilation", (1, 1))
    before, after = a["padding"][:2], a["padding"][2:]
    indices, pads = [], []
    for axis in range(2):
        size = x.shape[2 + axis]
        out = pool_extent(
            size, kernel[axis], stride[axis], dilation[axis], before[axis], after[axis],
            a["ceil_mode"],
        )  # fmt: skip
        assert out is not None
        starts = np.arange(out) * stride[axis]
        indices.append(starts[:, None] + np.arange(kernel[axis]) * dilation[axis])
        beyond = int(indices[-1].max()) + 1 - size - before[axis]
        pads.append((before[axis], max(beyond, 0)))
    x = np.pad(x, ((0, 0), (0, 0), *pads), constant_values=fill)
    rows, columns = indices
    taps = x[:, :, rows[:, None, :, None], columns[None, :, None, :]]
    return taps.reshape(*taps.shape[:4], -1), [rows, columns]


def _max_pool2d(sources: Sequence[Array], node: Node, arrays: Arrays) -> Array:
    return np.asarray(_windows(sources[0], node, -math.inf)[0].max(axis=-1))


def _avg_pool2d(sources: Sequence[Array], node: Node, arrays: Arrays) -> Array:
    x, a = sources[0], node.attributes
    taps, indices = _windows(x, node, 0.0)
    counts = []
    for axis in range(2):
        before, after = a["padding"][axis], a["padding"][2 + axis]
        size = x.shape[2 + axis]
        low, high = (
            (0, before + size + after) if a["count_include_pad"] else (before, before + size)
        )
        counts.append(((indices[axis] >= low) & (indices[axis] < high)).sum(axis=1))
    divisor = counts[0][:, None] * counts[1][None, :]
    if a["divisor_override"] is not None:
        divisor = np.asarray(a["divisor_override"])
    return np.asarray(taps.sum(axis=-1) / divisor)


def _softmax(sources: Sequence[Array], node: Node, arrays: Arrays) -> Array:
    x = sources[0] - sources[0].max(axis=1, keepdims=True)
    return np.asarray(np.exp(x) / np.exp(x).sum(axis=1, keepdims=True))


def _pad_channels(sources: Sequence[Array], node: Node, arrays: Arrays) -> Array:
    before, after = node.attributes["before"], node.attributes["after"]
    return np.pad(sources[0], ((0, 0), (before, after), (0, 0), (0, 0)))


def _resize(sources: Sequence[Array], node: Node, arrays: Arrays) -> Array:
    """Coordinates are float32, as PyTorch's are for float32 pictures: they choose the pixel."""
    x, a = sources[0], node.attributes
    for axis in (2, 3):
        size = x.shape[axis]
        if a["size"] is not None:
            out, ratio = a["size"][axis - 2], size / a["size"][axis - 2]
        else:
            out, ratio = math.floor(size * a["scale"][axis - 2]), 1 / a["scale"][axis - 2]
        if a["mode"] == "nearest":
            index = np.floor(np.arange(out, dtype=np.float32) * np.float32(ratio)).astype(int)
            x = x.take(np.minimum(index, size - 1), axis=axis)
            continue
        half = np.float32(0.5)
        centre = (np.arange(out, dtype=np.float32) + half) * np.float32(ratio) - half
        centre = np.maximum(centre, np.float32(0))
        first = np.minimum(np.floor(centre).astype(int), size - 1)
        second = np.minimum(first + 1, size - 1)
        weight = (centre - first).reshape((-1, 1) if axis == 2 else (-1,))
        x = x.take(first, axis=axis) * (1 - weight) + x.take(second, axis=axis) * weight
    return x


def _elementwise(f: Callable[[Array], Array]) -> Callable[[Sequence[Array], Node, Arrays], Array]:
    return lambda sources, node, arrays: f(sources[0])


REFERENCE: dict[str, Callable[[Sequence[Array], Node, Arrays], Array]] = {
    "conv2d": _conv2d,
    "linear": _linear,
    "batch_norm": _batch_norm,
    "max_pool2d": _max_pool2d,
    "avg_pool2d": _avg_pool2d,
    "global_avg_pool2d": _elementwise(lambda x: np.asarray(x.mean(axis=(2, 3), keepdims=True))),
    "concat": lambda sources, node, arrays: np.concatenate(sources, axis=1),
    "add": lambda sources, node, arrays: sources[0] + sources[1],
    "mul": lambda sources, node, arrays: sources[0] * sources[1],
    "flatten": _elementwise(lambda x: x.reshape(len(x), -1)),
    "softmax": _softmax,
    "pad_channels": _pad_channels,
    "resize": _resize,
    "sigmoid": _elementwise(sigmoid),
    "tanh": _elementwise(lambda x: np.asarray(np.tanh(x))),
    "relu": _elementwise(lambda x: np.asarray(np.maximum(x, 0))),
    "leaky_relu": lambda sources, node, arrays: leaky_relu(
        sources[0], node.attributes["negative_slope"]
    ),
    "prelu": lambda sources, node, arrays: leaky_relu(
        sources[0], _per_channel(arrays["weight"], sources[0])
    ),
    "swish": _elementwise(swish),
    "mish": _elementwise(mish),
    "pish": _elementwise(pish),
}
