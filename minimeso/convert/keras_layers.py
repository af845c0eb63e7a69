"""Keras' layers with weights, windows and statistics: one function each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..engine.operators import MAX_EXTENT
from ..engine.operators.shape import nearest_pixels
from ..errors import GraphError
from . import layers
from .basics import affine
from .builder import Array
from .keras_activations import activated
from .keras_layer import Layer, as_before, as_map, is_last, size_of_window
from .view import Value


def _pads(
    layer: Layer, x: Value, kernel: tuple[int, int], stride: tuple[int, int],
    dilation: tuple[int, int],
) -> layers.Pads:  # fmt: skip
    """Of ``same`` the odd one comes behind."""
    padding = layer.get("padding", "valid")
    if padding == "same":
        return layers.same_padding(x, kernel, stride, dilation, True)
    if padding != "valid":
        raise GraphError(f"setting 'padding' is {str(padding)[:80]!r}; known are valid and same")
    return (0, 0, 0, 0)


def _with_bias(layer: Layer, *names: str) -> tuple[list[Array], Array | None]:
    """Its arrays, and its bias where it has one."""
    if not layer.get("use_bias", True):
        return layer.arrays(*names), None
    *found, bias = layer.arrays(*names, "bias")
    return found, bias


def _convolved(layer: Layer, x: Value, kernel: Array, bias: Array | None, groups: int) -> Value:
    """A map convolved by a kernel (O, I, ...)."""
    rank = kernel.ndim - 2
    stride, dilation = (
        layers.pair(size_of_window(layer, name, rank, 1), 1)
        for name in ("strides", "dilation_rate")
    )
    window = layers.pair(kernel.shape[2:], 1)
    if layers.pair(size_of_window(layer, "kernel_size", rank, kernel.shape[2:]), 1) != window:
        raise GraphError(f"its kernel is {window}, not what setting 'kernel_size' says")
    return layers.conv(
        layer.build, x, kernel, bias, stride=stride,
        padding=_pads(layer, x, window, stride, dilation), dilation=dilation, groups=groups,
    )  # fmt: skip


def _turned(kernel: Array, *order: int) -> Array:
    if kernel.ndim != len(order):
        raise GraphError(f"has a kernel of shape {kernel.shape}")
    return np.transpose(kernel, order)


def conv(layer: Layer, rank: int) -> Value:
    layer.get("filters")
    (kernel,), bias = _with_bias(layer, "kernel")
    kernel = _turned(kernel, rank + 1, rank, *range(rank))
    found = _convolved(layer, as_map(layer, rank), kernel, bias, int(layer.get("groups", 1)))
    return activated(layer, as_before(layer, found))


def _depthwise(layer: Layer, kernel: Array) -> tuple[Array, int]:
    """A kernel (h, w, C, each) as that of a convolution in C groups."""
    layer.get("depth_multiplier")
    height, width, channels, each = kernel.shape if kernel.ndim == 4 else (0, 0, 0, 0)
    turned = _turned(kernel, 2, 3, 0, 1)
    return turned.reshape(channels * each, 1, height, width), channels


def depthwise_conv(layer: Layer) -> Value:
    for name in ("filters", "groups"):  # which have no meaning here
        layer.get(name)
    (kernel,), bias = _with_bias(layer, "kernel|depthwise_kernel")
    kernel, groups = _depthwise(layer, kernel)
    found = _convolved(layer, as_map(layer, 2), kernel, bias, groups)
    return activated(layer, as_before(layer, found))


def separable_conv(layer: Layer) -> Value:
    for name in ("filters", "groups"):
        layer.get(name)
    (first, second), bias = _with_bias(layer, "depthwise_kernel", "pointwise_kernel")
    first, groups = _depthwise(layer, first)
    where = layer.build.where
    layer.build.where = f"{where}.depthwise"
    found = _convolved(layer, as_map(layer, 2), first, None, groups)
    layer.build.where = where
    found = layers.conv(
        layer.build, found, _turned(second, 3, 2, 0, 1), bias, stride=(1, 1),
        padding=(0, 0, 0, 0), dilation=(1, 1), groups=1,
    )  # fmt: skip
    return activated(layer, as_before(layer, found))


def conv_transpose(layer: Layer) -> Value:
    """Both ends cut as Keras does it by TensorFlow: of ``same`` the odd one behind."""
    layer.get("filters")
    layer.only("groups", 1)
    layer.only("output_padding", None)
    if layer.get("output_padding") is not None:
        raise GraphError("setting 'output_padding' is given; known is None")
    (kernel,), bias = _with_bias(layer, "kernel")
    kernel = _turned(kernel, 3, 2, 0, 1)
    stride, dilation = (size_of_window(layer, name, 2, 1) for name in ("strides", "dilation_rate"))
    layer.get("kernel_size")
    same = layer.get("padding", "valid") == "same"
    if not same:
        layer.only("padding", "valid")
    before, after = [], []
    for size, step, apart in zip(kernel.shape[2:], stride, dilation, strict=True):
        reach = (size - 1) * apart + 1
        cut = max(reach - step, 0) if same else 0
        before.append(cut // 2)
        after.append(reach - step - cut // 2 if same else min(reach - step, 0))
    found = layers.conv_transpose(
        layer.build, as_map(layer, 2), kernel, bias, stride=stride,
        padding=(before[0], before[1], after[0], after[1]), output_padding=(0, 0),
        dilation=dilation, groups=1,
    )  # fmt: skip
    return activated(layer, as_before(layer, found))


def dense(layer: Layer) -> Value:
    layer.get("units")
    (kernel,), bias = _with_bias(layer, "kernel")
    found = layers.linear(layer.build, layer.value(), _turned(kernel, 1, 0), bias)
    return activated(layer, found)


# --- statistics -------------------------------------------------------------------------------


def _axis(layer: Layer, x: Value) -> int:
    """The one axis that it is for."""
    given = layer.get("axis", -1)
    if isinstance(given, (list, tuple)) and len(given) == 1:
        given = given[0]
    if not isinstance(given, int):
        raise GraphError(f"setting 'axis' is {str(given)[:80]}; known is one")
    return x.axis_number(given)


def _scale_and_shift(layer: Layer, *more: str) -> tuple[Array | None, Array | None, list[Array]]:
    """``gamma`` and ``beta``, where it has them, and its other arrays."""
    names = [n for n, s in (("gamma", "scale"), ("beta", "center")) if layer.get(s, True)]
    found = dict(zip([*names, *more], layer.arrays(*names, *more), strict=True))
    return found.get("gamma"), found.get("beta"), [found[name] for name in more]


def batch_norm(layer: Layer) -> Value:
    x = layer.value()
    axis = _axis(layer, x)
    for name in ("fused", "virtual_batch_size", "adjustment"):
        layer.only(name, None, True, False)
    gamma, beta, (mean, variance) = _scale_and_shift(layer, "moving_mean", "moving_variance")
    order = [0, axis, *(i for i in range(1, len(x.axes)) if i != axis)]
    found = layers.batch_norm(
        layer.build, x.permuted(order), gamma, beta, mean, variance,
        float(layer.get("epsilon", 1e-3)),
    )  # fmt: skip
    return found.permuted([order.index(i) for i in range(len(order))])


def layer_norm(layer: Layer) -> Value:
    x = layer.value()
    if _axis(layer, x) != len(x.axes) - 1:
        raise GraphError("works along another axis than the last")
    layer.only("rms_scaling", False)
    gamma, beta, _ = _scale_and_shift(layer)
    if gamma is None and beta is not None:
        gamma = np.ones_like(beta)
    return layers.layer_norm(layer.build, x, 1, gamma, beta, float(layer.get("epsilon", 1e-3)))


def group_norm(layer: Layer) -> Value:
    x = layer.value()
    if _axis(layer, x) != len(x.axes) - 1:
        raise GraphError("works along another axis than the last")
    groups = int(layer.get("groups", 32))
    gamma, beta, _ = _scale_and_shift(layer)
    found = layers.group_norm(
        layer.build, x.permuted([0, len(x.axes) - 1, *range(1, len(x.axes) - 1)]),
        None if groups == -1 else groups, gamma, beta, float(layer.get("epsilon", 1e-3)),
    )  # fmt: skip
    return found.permuted([0, *range(2, len(x.axes)), 1])


def normalization(layer: Layer) -> Value:
    """By mean and variance that were looked up in the training pictures."""
    x = layer.value()
    layer.only("invert", False)
    mean, variance = layer.get("mean"), layer.get("variance")
    axes = layer.get("axis", -1)
    if mean is None or variance is None:
        mean, variance, _ = layer.arrays("mean", "variance", "count")
    if axes not in (None, [], -1, [-1], len(x.axes) - 1, [len(x.axes) - 1]):
        raise GraphError(f"setting 'axis' is {str(axes)[:80]}; known are the last and none")
    mean, variance = (np.asarray(array, np.float64).reshape(-1) for array in (mean, variance))
    if (variance < 0).any():
        raise GraphError("has a variance below 0")
    scale = 1 / np.maximum(np.sqrt(variance), 1e-7)
    return affine(layer.build, x, scale, -mean * scale)


def layer_scale(layer: Layer) -> Value:
    """Of ``keras.applications`` (ConvNeXt): a factor for each channel."""
    for name in ("init_values", "projection_dim"):
        layer.get(name)
    (gamma,) = layer.arrays("gamma")
    return affine(layer.build, layer.value(), gamma.astype(np.float64), np.float64(0))


# --- windows ----------------------------------------------------------------------------------


def pool(layer: Layer, op: str, rank: int) -> Value:
    x = as_map(layer, rank)
    size = size_of_window(layer, "pool_size", rank, 2)
    stride = layers.pair(size_of_window(layer, "strides", rank, size), 1)
    window = layers.pair(size, 1)
    padding = _pads(layer, x, window, stride, (1, 1))
    more: dict[str, Any] = {"count_include_pad": False} if op == "avg_pool2d" else {}
    found = layers.pool(
        layer.build, op, x, padding, kernel_size=list(window), stride=list(stride), **more
    )
    return as_before(layer, found)


def global_pool(layer: Layer, kind: str) -> Value:
    x = layer.value()
    rank = len(x.axes)
    numbers = range(1, rank - 1) if is_last(layer) else range(2, rank)
    return layers.mean(layer.build, x, numbers, bool(layer.get("keepdims", False)), kind)


def up_sampling(layer: Layer) -> Value:
    mode = layer.get("interpolation", "nearest")
    if mode not in ("nearest", "bilinear"):
        raise GraphError(f"setting 'interpolation' is {str(mode)[:80]!r}; known is 'nearest'")
    scale, x = size_of_window(layer, "size", 2, 2), as_map(layer, 2)
    if mode == "nearest":
        _check_repeats(x, scale)
    return as_before(layer, layers.resize(layer.build, x, mode, None, scale))


def _check_repeats(x: Value, factors: Sequence[int]) -> None:
    """Whether the engine takes each pixel so often: it multiplies, which of 41 is not exact."""
    for size, factor in zip(layers.spatial(x), factors, strict=True):
        tried = max(min(size or 1 << 12, MAX_EXTENT // factor), 1)
        found = nearest_pixels(tried, tried * factor, np.float32(1 / factor))
        if (found != np.arange(tried * factor) // factor).any():
            raise GraphError(f"takes each pixel {factor} times, which the engine does not exactly")


def resizing(layer: Layer) -> Value:
    """Bilinear; of the nearest pixel only by whole factors, where all take the same."""
    for name in ("crop_to_aspect_ratio", "pad_to_aspect_ratio", "antialias"):
        layer.only(name, False)
    for name in ("fill_mode", "fill_value"):
        layer.get(name)
    mode, x = layer.get("interpolation", "bilinear"), as_map(layer, 2)
    size = [int(layer.get(name)) for name in ("height", "width")]
    if mode == "nearest":
        known = layers.spatial(x)
        if any(n is None or wanted % n for n, wanted in zip(known, size, strict=True)):
            raise GraphError(f"takes the nearest pixels of {known} for {size}: no whole factors")
        _check_repeats(x, [wanted // (n or 1) for n, wanted in zip(known, size, strict=True)])
    elif mode != "bilinear":
        raise GraphError(f"setting 'interpolation' is {str(mode)[:80]!r}; known is 'bilinear'")
    return as_before(layer, layers.resize(layer.build, x, mode, size, None))
