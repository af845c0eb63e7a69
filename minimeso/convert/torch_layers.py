"""PyTorch's layers, pools and reductions: one function an operator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import GraphError
from . import composed, layers
from .source import Node
from .torch_arguments import TRAINS, array, first, ints, needed, to_floats
from .view import Value


def _twice(node: Node, name: str, default: int, rank: int) -> tuple[int, int]:
    """A size for each spatial axis; of a one-dimensional layer its own and nothing."""
    values = ints(node.get(name, default))
    if len(values) == 1 and rank == 2:
        values = values * 2
    return layers.pair(values, 0 if "padding" in name else 1)


def _around(pads: Sequence[int]) -> layers.Pads:
    return pads[0], pads[1], pads[0], pads[1]


def _map(node: Node, rank: int) -> Value:
    """The input, which PyTorch also takes without a batch."""
    x = first(node)
    if len(x.axes) != rank + 2:
        raise GraphError(f"reads {x.shape}; known are maps of {rank} axes, in a batch: (1, ...)")
    return x


def conv(node: Node) -> Value:
    weight, bias = needed(node, "weight"), array(node, "bias")
    rank = weight.ndim - 2
    x = _map(node, rank)
    stride, dilation = _twice(node, "stride", 1, rank), _twice(node, "dilation", 1, rank)
    groups = int(node.get("groups", 1))
    if node.get("transposed", False):
        padding = _around(_twice(node, "padding", 0, rank))
        extra = _twice(node, "output_padding", 0, rank)
        return layers.conv_transpose(
            node.build, x, weight, bias, stride=stride, padding=padding, output_padding=extra,
            dilation=dilation, groups=groups,
        )  # fmt: skip
    node.get("output_padding")
    given = node.get("padding", 0)
    if isinstance(given, str):
        if given not in ("same", "valid"):
            raise GraphError(f"padding is {given!r}")
        kernel = layers.pair(weight.shape[2:], 1)
        padding = (
            layers.same_padding(x, kernel, stride, dilation, True)
            if given == "same"
            else (0, 0, 0, 0)
        )
    else:
        padding = _around(_twice(node, "padding", 0, rank))
    return layers.conv(
        node.build, x, weight, bias, stride=stride, padding=padding, dilation=dilation,
        groups=groups,
    )  # fmt: skip


def conv_transpose(node: Node) -> Value:
    weight, bias = needed(node, "weight"), array(node, "bias")
    rank = weight.ndim - 2
    x = _map(node, rank)
    return layers.conv_transpose(
        node.build,
        x,
        weight,
        bias,
        stride=_twice(node, "stride", 1, rank),
        padding=_around(_twice(node, "padding", 0, rank)),
        output_padding=_twice(node, "output_padding", 0, rank),
        dilation=_twice(node, "dilation", 1, rank),
        groups=int(node.get("groups", 1)),
    )


def linear(node: Node) -> Value:
    return layers.linear(node.build, first(node), needed(node, "weight"), array(node, "bias"))


def addmm(node: Node) -> Value:
    node.only("alpha", 1)
    node.only("beta", 1)
    node.get("mat1")
    bias, matrix = needed(node, "self"), needed(node, "mat2")
    if bias.ndim != 1:
        raise GraphError(f"adds a matrix of shape {bias.shape}; known is one for each column")
    return layers.linear(node.build, node.value(1), matrix.T, bias)


def matmul(node: Node) -> Value:
    other = array(node, "mat2") if "mat2" in node.attributes else array(node, "other")
    if other is None or other.ndim != 2:
        raise GraphError("its second matrix is not of shape (K, N)")
    return layers.linear(node.build, first(node), other.T, None)


def batch_norm(node: Node) -> Value:
    for name in ("momentum", "cudnn_enabled"):
        node.get(name)
    training = node.get("training", False)
    mean, var = array(node, "running_mean"), array(node, "running_var")
    if mean is None or var is None:  # then .eval() leaves it in training mode, too
        raise GraphError("has no running statistics: train it with track_running_stats=True")
    if training:
        raise GraphError(TRAINS)
    return layers.batch_norm(
        node.build, first(node), array(node, "weight"), array(node, "bias"), mean, var,
        float(node.get("eps", 1e-5)),
    )  # fmt: skip


def layer_norm(node: Node) -> Value:
    node.get("cudnn_enable")
    count = len(ints(node.get("normalized_shape")))
    return layers.layer_norm(
        node.build, first(node), count, array(node, "weight"), array(node, "bias"),
        float(node.get("eps", 1e-5)),
    )  # fmt: skip


def rms_norm(node: Node) -> Value:
    x, count, eps = first(node), len(ints(node.get("normalized_shape"))), node.get("eps")
    least = float(np.finfo(np.float32).eps)  # of what it computes in
    return composed.rms_norm(
        node.build, x, count, array(node, "weight"), least if eps is None else float(eps)
    )


def group_norm(node: Node) -> Value:
    node.get("cudnn_enabled")
    return layers.group_norm(
        node.build, first(node), int(node.get("num_groups")), array(node, "weight"),
        array(node, "bias"), float(node.get("eps", 1e-5)),
    )  # fmt: skip


def native_group_norm(node: Node) -> Value:
    for name in ("N", "C", "HxW"):
        node.get(name)
    return layers.group_norm(
        node.build, first(node), int(node.get("group")), array(node, "weight"),
        array(node, "bias"), float(node.get("eps", 1e-5)),
    )  # fmt: skip


def instance_norm(node: Node) -> Value:
    for name in ("momentum", "cudnn_enabled"):
        node.get(name)
    mean, var = array(node, "running_mean"), array(node, "running_var")
    if not node.get("use_input_stats", True) and mean is not None and var is not None:
        return layers.batch_norm(
            node.build, first(node), array(node, "weight"), array(node, "bias"), mean, var,
            float(node.get("eps", 1e-5)),
        )  # fmt: skip
    return layers.group_norm(
        node.build, first(node), None, array(node, "weight"), array(node, "bias"),
        float(node.get("eps", 1e-5)),
    )  # fmt: skip


# --- windows --------------------------------------------------------------------------------


def pool(node: Node, op: str) -> Value:
    rank = 1 if "1d" in node.op else 2
    x = _map(node, rank)
    kernel = _twice(node, "kernel_size", 1, rank)
    more: dict[str, Any] = {}
    if op == "max_pool2d":
        more = {"dilation": list(_twice(node, "dilation", 1, rank))}
    else:
        more = {
            "count_include_pad": bool(node.get("count_include_pad", True)),
            "divisor_override": node.get("divisor_override"),
        }
    stride = list(_twice(node, "stride", 1, rank)) if node.get("stride") else list(kernel)
    padding = _around(_twice(node, "padding", 0, rank))
    return layers.pool(
        node.build, op, x, padding, kernel_size=list(kernel), stride=stride,
        ceil_mode=bool(node.get("ceil_mode", False)), **more,
    )  # fmt: skip


def adaptive(node: Node, op: str) -> list[Value]:
    given = ints(node.get("output_size"))
    x = _map(node, len(given))
    return [composed.adaptive_pool(node.build, op, x, layers.pair(given, 1))]


def reduce(node: Node, kind: str) -> Value:
    x = first(node)
    dims = node.get("dim")
    to_floats(node)
    numbers = ints(dims) if dims not in (None, []) else list(range(len(x.axes)))
    keep = bool(node.get("keepdim", False))
    others = {"sum": layers.total, "min": layers.least, "length": composed.length}
    if kind in others:
        return others[kind](node.build, x, numbers, keep)
    return layers.mean(node.build, x, numbers, keep, kind)


def length(node: Node) -> Value:
    node.only("ord", 2, 2.0)
    return reduce(node, "length")


def extreme(node: Node, kind: str) -> Value:
    """The largest (smallest) values along an axis; who reads where they stand is refused."""
    numbers, keep = [int(node.get("dim"))], bool(node.get("keepdim", False))
    if kind == "min":
        return layers.least(node.build, first(node), numbers, keep)
    return layers.mean(node.build, first(node), numbers, keep, kind)


def pad(node: Node) -> Value:
    return padded(node, "pad", str(node.get("mode", "constant")))


def padded(node: Node, argument: str, mode: str) -> Value:
    """By the amounts of an argument, from the last axis to the first."""
    x = first(node)
    value = float(node.get("value") or 0)
    pads, rank = ints(node.get(argument)), len(x.axes)
    before, after = [0] * rank, [0] * rank
    for i in range(len(pads) // 2):
        before[rank - 1 - i], after[rank - 1 - i] = pads[2 * i], pads[2 * i + 1]
    return composed.padded(node.build, x, before, after, mode, value)


def upsample(node: Node, mode: str) -> Value:
    x = first(node)
    align_corners = bool(node.get("align_corners", False))
    scales = node.get("scale_factors")
    if scales is None:
        names = ("scales",) if "1d" in node.op else ("scales_h", "scales_w")
        scales = [node.get(name) for name in names]
    size = node.get("output_size")
    if None in (scales or [None]):
        scales = None
    if scales is not None:
        factors = [1.0] * (2 - len(scales)) + [float(s) for s in scales]
        return layers.resize(node.build, x, mode, None, factors, align_corners)
    return layers.resize(node.build, x, mode, layers.pair(ints(size), 1), None, align_corners)
