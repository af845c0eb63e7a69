"""ONNX' layers, pools and reductions: one function an operator, for all opsets since 6."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import GraphError
from . import composed, layers
from .builder import NEEDS_SIZE, Array
from .elementwise import binary
from .source import Node, integers, text_of
from .view import Value, refuse_batch


def _padding(
    node: Node, x: Value, kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int]
) -> layers.Pads:
    auto = text_of(node.get("auto_pad", b"NOTSET"))
    pads = [int(p) for p in node.get("pads", [])]
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        return layers.same_padding(x, kernel, stride, dilation, auto == "SAME_UPPER")
    if auto not in ("NOTSET", "VALID", ""):
        raise GraphError(f"attribute 'auto_pad' is {auto!r}")
    if auto == "VALID" or not pads:
        return (0, 0, 0, 0)
    if len(pads) == 2:
        pads = [0, pads[0], 0, pads[1]]
    if len(pads) != 4 or min(pads) < 0:
        raise GraphError(f"attribute 'pads' is {pads}")
    return pads[0], pads[1], pads[2], pads[3]


def _window(node: Node, weight: Array) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
    """Kernel, strides and dilations."""
    shape = list(weight.shape[2:])
    if list(node.get("kernel_shape", shape)) != shape:
        raise GraphError(f"attribute 'kernel_shape' is not that of the weights, {shape}")
    ones = [1] * len(shape)
    return (
        layers.pair(shape, 1),
        layers.pair(node.get("strides", ones), 1),
        layers.pair(node.get("dilations", ones), 1),
    )


def conv(node: Node) -> Value:
    x, weight = node.value(), node.constant(1, "weight")
    kernel, stride, dilation = _window(node, weight)
    return layers.conv(
        node.build,
        x,
        weight,
        node.optional(2, "bias"),
        stride=stride,
        padding=_padding(node, x, kernel, stride, dilation),
        dilation=dilation,
        groups=node.get("group", 1),
    )


def conv_transpose(node: Node) -> Value:
    x, weight = node.value(), node.constant(1, "weight")
    kernel, stride, dilation = _window(node, weight)
    extra = layers.pair(node.get("output_padding", [0] * (weight.ndim - 2)), 0)
    size, auto = node.get("output_shape"), text_of(node.get("auto_pad", b"NOTSET"))
    if size is not None or auto.startswith("SAME"):
        known = layers.spatial(x)
        if None in known:
            raise GraphError(NEEDS_SIZE)
        wanted = layers.pair(size[-(weight.ndim - 2) :], 1) if size is not None else tuple(
            (known[i] or 0) * stride[i] for i in range(2)
        )  # fmt: skip
        total = [
            stride[i] * ((known[i] or 0) - 1) + extra[i] + (kernel[i] - 1) * dilation[i] + 1
            - wanted[i]
            for i in range(2)
        ]  # fmt: skip
        if min(total) < 0:
            extra = (extra[0] + max(-total[0], 0), extra[1] + max(-total[1], 0))
            total = [max(t, 0) for t in total]
        less = [t // 2 for t in total]
        more = [t - t // 2 for t in total]
        before, after = (less, more) if auto == "SAME_UPPER" else (more, less)
        node.get("pads")
        padding = (before[0], before[1], after[0], after[1])
    else:
        padding = _padding(node, x, kernel, stride, dilation)
    return layers.conv_transpose(
        node.build,
        x,
        weight,
        node.optional(2, "bias"),
        stride=stride,
        padding=padding,
        output_padding=extra,
        dilation=dilation,
        groups=node.get("group", 1),
    )


def gemm(node: Node) -> Value:
    node.only("transA", 0)
    node.get("broadcast")
    alpha, beta = node.get("alpha", 1.0), node.get("beta", 1.0)
    weight = np.asarray(node.constant(1, "matrix B"), np.float64) * alpha
    weight = weight if node.get("transB", 0) else weight.T
    bias = node.optional(2, "C")
    if len(node.value().axes) != 2:
        raise GraphError(f"needs a matrix, not {node.value().shape}")
    if bias is None or beta == 0:
        return layers.linear(node.build, node.value(), weight, None)
    bias = np.asarray(bias, np.float64) * beta
    if bias.size not in (1, len(weight)) or (bias.ndim == 2 and bias.shape[0] != 1):
        raise GraphError(f"its C has shape {bias.shape}; known is one for each column")
    return layers.linear(node.build, node.value(), weight, np.broadcast_to(
        bias.reshape(-1), len(weight)))  # fmt: skip


def matmul(node: Node) -> Value:
    weight = node.constant(1, "second matrix")
    if weight.ndim != 2:
        raise GraphError(f"its second matrix has shape {weight.shape}; known is (K, N)")
    return layers.linear(node.build, node.value(), weight.T, None)


def batch_norm(node: Node) -> Value:
    node.only("training_mode", 0)
    node.only("spatial", 1)
    node.only("is_test", 1)
    node.get("momentum")
    scale, bias, mean, var = (node.constant(i, "statistics") for i in range(1, 5))
    return layers.batch_norm(
        node.build, node.value(), scale, bias, mean, var, node.get("epsilon", 1e-5)
    )


def instance_norm(node: Node) -> Value:
    scale, bias = node.constant(1, "scale"), node.constant(2, "B")
    return layers.group_norm(node.build, node.value(), None, scale, bias, node.get("epsilon", 1e-5))


def group_norm(node: Node) -> Value:
    groups, scale, bias = node.get("num_groups"), node.constant(1, "scale"), node.constant(2, "B")
    node.get("stash_type")
    if node.version < 21:  # one for each group
        each = (node.value().shape[1] or 0) // groups
        scale, bias = np.repeat(scale, each), np.repeat(bias, each)
    return layers.group_norm(
        node.build, node.value(), groups, scale, bias, node.get("epsilon", 1e-5)
    )


def layer_norm(node: Node) -> Value:
    if node.outputs > 1:
        raise GraphError("its second output is used; known is the first")
    node.get("stash_type")
    x = node.value()
    count = len(x.axes) - x.axis_number(node.get("axis", -1))
    scale, bias = node.constant(1, "scale"), node.optional(2, "B")
    refuse_batch(x.axes[len(x.axes) - count :])
    sizes = x.shape[len(x.axes) - count :]
    if None in sizes:
        raise GraphError(NEEDS_SIZE)
    shape = [size or 1 for size in sizes]
    spread = np.broadcast_to(scale, shape)
    shift = None if bias is None else np.broadcast_to(bias, shape)
    return layers.layer_norm(node.build, x, count, spread, shift, node.get("epsilon", 1e-5))


def rms_norm(node: Node) -> Value:
    node.get("stash_type")
    x = node.value()
    count = len(x.axes) - x.axis_number(node.get("axis", -1))
    return composed.rms_norm(
        node.build, x, count, node.constant(1, "scale"), node.get("epsilon", 1e-5)
    )


# --- windows --------------------------------------------------------------------------------


def pool(node: Node, op: str) -> Value:
    if node.outputs > 1:
        raise GraphError("its second output is used; known is the first")
    x, shape = node.value(), node.get("kernel_shape", [])
    kernel = layers.pair(shape, 1)
    ones = [1] * len(shape)
    stride, dilation = (layers.pair(node.get(n, ones), 1) for n in ("strides", "dilations"))
    node.get("storage_order")
    ceil = bool(node.get("ceil_mode", 0))
    if ceil and text_of(node.get("auto_pad", b"NOTSET")) == "VALID":
        for size, k, s, d in zip(layers.spatial(x), kernel, stride, dilation, strict=True):
            if size is None or (size - d * (k - 1) - 1) % s:
                raise GraphError(
                    "rounds up ('ceil_mode') with 'auto_pad' VALID, which ONNX Runtime does and"
                    " ONNX does not: write it with 'pads'"
                )
    more: dict[str, Any] = {"dilation": list(dilation)}
    if op == "avg_pool2d":
        if dilation != (1, 1):
            raise GraphError(f"attribute 'dilations' is {list(dilation)}; known is 1")
        more = {"count_include_pad": bool(node.get("count_include_pad", 0))}
    return layers.pool(
        node.build,
        op,
        x,
        _padding(node, x, kernel, stride, dilation),
        kernel_size=list(kernel),
        stride=list(stride),
        ceil_mode=ceil,
        **more,
    )


#: What PyTorch calls them.
_PAD_MODES = {"edge": "replicate", "wrap": "circular"}


def pad(node: Node) -> Value:
    x = node.value()
    mode = text_of(node.get("mode", b"constant"))
    pads = integers(node.get("pads"))
    if pads is None:
        pads = integers(node.constant(1, "padding")) or []
        fill = node.optional(2, "value")
        axes = integers(node.optional(3, "axes"))
    else:
        fill, axes = np.asarray(node.get("value", 0.0)), None
    value = float(fill.reshape(-1)[0]) if fill is not None and fill.size else 0.0
    rank = len(x.axes)
    numbers = list(range(rank)) if axes is None else [x.axis_number(a) for a in axes]
    if len(pads) != 2 * len(numbers):
        raise GraphError(f"pads {pads} do not fit {x.shape}")
    before, after = [0] * rank, [0] * rank
    for i, number in enumerate(numbers):
        before[number], after[number] = pads[i], pads[len(numbers) + i]
    return composed.padded(node.build, x, before, after, _PAD_MODES.get(mode, mode), value)


def reduce(node: Node, kind: str) -> Value:
    x = node.value()
    axes = integers(node.get("axes"))
    if axes is None:
        axes = integers(node.optional(1, "axes"))
    if node.get("noop_with_empty_axes", 0) and not axes:
        return x
    axes = axes or list(range(len(x.axes)))
    keep = bool(node.get("keepdims", 1))
    others = {"sum": layers.total, "min": layers.least, "length": composed.length}
    if kind in others:
        return others[kind](node.build, x, axes, keep)
    return layers.mean(node.build, x, axes, keep, kind)


def unit_length(node: Node) -> Value:
    node.only("p", 2)
    x = node.value()
    length = composed.length(node.build, x, [node.get("axis", -1)], True)
    return binary(node.build, "div", x, length)


def over_map(node: Node, kind: str) -> Value:
    x = node.value()
    return layers.mean(node.build, x, range(2, len(x.axes)), True, kind)
