"""ONNX' operators by their definitions in the package ``onnx``, but those of which these compute
something else than ONNX says, or nothing: batch norms and softmax before opset 13 and 14, pools of
lines and with more zeros on one side, convolutions in groups.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .builder import Array

#: From this opset on the package's own definition is right.
_BATCH_NORM, _SOFTMAX = 14, 13


def evaluator(model: Any) -> Any:
    """A ``ReferenceEvaluator`` of a ModelProto."""
    from onnx.reference import ReferenceEvaluator
    from onnx.reference.ops.op_conv import Conv
    from onnx.reference.ops.op_conv_transpose import ConvTranspose

    version = max((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), default=1)
    own = [
        _operator("GlobalMaxPool", _global_max_pool),
        _operator("MaxPool", _max_pool),
        _in_groups(Conv, 0),
        _in_groups(ConvTranspose, 1),
    ]
    if version < _BATCH_NORM:
        own.append(_operator("BatchNormalization", _batch_norm))
    if version < _SOFTMAX:
        own.append(_operator("Softmax", _softmax))
    return ReferenceEvaluator(model, new_ops=own)


def _operator(name: str, compute: Callable[..., Array]) -> Any:
    """A class of ``onnx.reference``; ``compute`` gets the attributes that a node names."""
    from onnx.reference.op_run import OpRun

    def run(self: Any, *inputs: Any, **attributes: Any) -> tuple[Array]:
        named = {attribute.name for attribute in self.onnx_node.attribute}
        given = {key: value for key, value in attributes.items() if key in named}
        return (compute(*inputs, **given),)

    return type(name, (OpRun,), {"op_domain": "", "_run": run})


def _in_groups(base: Any, filters: int) -> Any:
    """A convolution group by group, which the package does with one group rightly.

    Args:
        base: its class there.
        filters: the axis of the weights that the outputs of a group are counted along.
    """

    def run(self: Any, x: Array, weight: Array, bias: Any = None, **more: Any) -> tuple[Array]:
        groups = int(more.pop("group", None) or 1)
        each = weight.shape[filters] // (groups if filters == 0 else 1)
        parts = []
        for number, own in enumerate(np.split(x, groups, axis=1)):
            kernel = np.split(weight, groups, axis=0)[number]
            shift = None if bias is None else bias[number * each : (number + 1) * each]
            parts.append(base._run(self, own, kernel, shift, group=1, **more)[0])
        return (np.concatenate(parts, axis=1),)

    return type(base.__name__, (base,), {"op_domain": "", "_run": run})


def _batch_norm(
    x: Array, scale: Array, bias: Array, mean: Array, var: Array, epsilon: float = 1e-5, **_: Any
) -> Array:
    """By the statistics that are given, as networks are run."""
    shape = (-1, *(1,) * (x.ndim - 2))
    scale, bias, mean, var = (np.reshape(array, shape) for array in (scale, bias, mean, var))
    return np.asarray((x - mean) / np.sqrt(var + epsilon) * scale + bias).astype(x.dtype)


def _softmax(x: Array, axis: int = 1) -> Array:
    """Over all axes from that one on."""
    axes = tuple(range(axis % max(x.ndim, 1), x.ndim))
    powers = np.exp(x - x.max(axis=axes, keepdims=True))
    return np.asarray(powers / powers.sum(axis=axes, keepdims=True))


def _global_max_pool(x: Array) -> Array:
    return np.asarray(x.max(axis=tuple(range(2, x.ndim)), keepdims=True))


def _max_pool(
    x: Array,
    kernel_shape: Sequence[int],
    strides: Sequence[int] | None = None,
    dilations: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    **_: Any,
) -> Array:
    """The largest of each window; what is around the map is smaller than all."""
    rank = len(kernel_shape)
    given = list(pads or [0] * 2 * rank) if auto_pad in ("NOTSET", "") else [0] * 2 * rank
    around, cuts, reaches = [(0, 0), (0, 0)], [], []
    for i, (size, kernel) in enumerate(zip(x.shape[2:], kernel_shape, strict=True)):
        step, apart = (strides or [1] * rank)[i], (dilations or [1] * rank)[i]
        reach = apart * (kernel - 1) + 1
        before, after = given[i], given[rank + i]
        if auto_pad.startswith("SAME"):
            missing = max((-(-size // step) - 1) * step + reach - size, 0)
            before = missing // 2 if auto_pad == "SAME_UPPER" else missing - missing // 2
            after = missing - before
        left = size + before + after - reach
        count = (-(-left // step) if ceil_mode else left // step) + 1
        count -= (count - 1) * step >= size + before  # a window that begins behind the map
        end = (count - 1) * step + reach
        around.append((before, max(end - size - before, 0)))
        cuts += [slice(0, (count - 1) * step + 1, step)]
        reaches.append((reach, slice(None, None, apart)))
    padded = np.pad(x, around, constant_values=-np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(
        padded, [reach for reach, _ in reaches], axis=tuple(range(2, x.ndim))
    )
    places = (slice(None), slice(None), *cuts, *(step for _, step in reaches))
    return np.asarray(windows[places].max(axis=tuple(range(-rank, 0))))
