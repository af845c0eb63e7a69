"""Pools: windows and whole channels."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ...errors import GraphError
from ..layer import Layer
from .attributes import Attribute, flag, integer, optional, padding, pair
from .operator import (
    Array,
    Arrays,
    Attributes,
    Field,
    Lowering,
    Operator,
    Packed,
    Shape,
    Shapes,
    map_of,
    window_fields,
)


def _extent(
    size: int | None,
    kernel: int,
    stride: int,
    dilation: int,
    before: int,
    after: int,
    ceil_mode: bool,
) -> int | None:
    """Output extent along one axis (PyTorch ``pooling_output_shape``)."""
    if size is None:
        return None
    span = size + before + after - dilation * (kernel - 1) - 1 + (stride - 1 if ceil_mode else 0)
    if span < 0:
        raise GraphError(f"an input of {size} is smaller than its window")
    extent = span // stride + 1
    if ceil_mode and (extent - 1) * stride >= size + before:
        extent -= 1  # the last window would start in the padding behind
    return extent


def _infer(shapes: Shapes, a: Attributes) -> Shape:
    channels, height, width = map_of(shapes[0])
    kh, kw = a["kernel_size"]
    sh, sw = a["stride"] or a["kernel_size"]
    dh, dw = a.get("dilation", (1, 1))
    top, left, bottom, right = a["padding"]
    if max(top, bottom) > (dh * (kh - 1) + 1) // 2 or max(left, right) > (dw * (kw - 1) + 1) // 2:
        raise GraphError(f"padding {a['padding']} is more than half of the window")
    return (
        channels,
        _extent(height, kh, sh, dh, top, bottom, a["ceil_mode"]),
        _extent(width, kw, sw, dw, left, right, a["ceil_mode"]),
    )


def _infer_global(shapes: Shapes, a: Attributes) -> Shape:
    return (map_of(shapes[0])[0], 1, 1)


def _windows(x: Array, a: Attributes, fill: float) -> tuple[Array, list[npt.NDArray[np.int64]]]:
    """(N, C, H', W', kh * kw) windows with ``fill`` around, and the padded index of each start."""
    kernel, stride = a["kernel_size"], a["stride"] or a["kernel_size"]
    dilation = a.get("dilation", (1, 1))
    before, after = a["padding"][:2], a["padding"][2:]
    indices, pads = [], []
    for axis in range(2):
        size = x.shape[2 + axis]
        out = _extent(
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


def _max_pool2d(sources: Sequence[Array], a: Attributes, arrays: Arrays) -> Array:
    return np.asarray(_windows(sources[0], a, -math.inf)[0].max(axis=-1))


def _avg_pool2d(sources: Sequence[Array], a: Attributes, arrays: Arrays) -> Array:
    x = sources[0]
    taps, indices = _windows(x, a, 0.0)
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


def _global_avg_pool2d(sources: Sequence[Array], a: Attributes, arrays: Arrays) -> Array:
    return np.asarray(sources[0].mean(axis=(2, 3), keepdims=True))


def _lower_max_pool2d(plan: Lowering, layer: Layer) -> None:
    plan.emit("MAX_POOL", layer, **window_fields(layer.attributes))


def _pack_max_pool2d(layer: Layer, channels: int) -> Packed:
    return {} if layer.sign is None else {"sign": layer.sign}


def _lower_avg_pool2d(plan: Lowering, layer: Layer) -> None:
    """Factors of lines and columns, whose product is one over what each window counts."""
    a = layer.attributes
    size, out = plan.map_shape(layer.inputs[0])[1:], plan.map_shape(layer.name)[1:]
    kernel, stride = a["kernel_size"], a["stride"] or a["kernel_size"]
    top, left, bottom, right = a["padding"]
    include = a["count_include_pad"]
    counts = [
        _counts(out[0], size[0], kernel[0], stride[0], top, bottom, include),
        _counts(out[1], size[1], kernel[1], stride[1], left, right, include),
    ]
    if a["divisor_override"] is not None:
        counts = [np.full(out[0], a["divisor_override"]), np.ones(out[1])]
    fields: dict[str, Field] = {
        "first_constant": plan.constant(1 / counts[0]),
        "second_constant": plan.constant(1 / counts[1]),
    }
    plan.emit("AVG_POOL", layer, **window_fields(a), **fields)


def _counts(
    out: int, size: int, kernel: int, stride: int, before: int, after: int, include_pad: bool
) -> npt.NDArray[np.float64]:
    """Elements that each window along one axis counts (PyTorch ``AvgPool2d``)."""
    start = np.arange(out) * stride - before
    end = np.minimum(start + kernel, size + after)
    if not include_pad:
        start, end = np.maximum(start, 0), np.minimum(end, size)
    return np.asarray(np.maximum(end - start, 1), np.float64)


# --- whole channels ----------------------------------------------------------------------


def _lower_global_max_pool2d(plan: Lowering, layer: Layer) -> None:
    """A window as large as the map."""
    size = plan.map_shape(layer.inputs[0])[1:]
    window = {"kernel_size": size, "stride": size, "padding": (0, 0, 0, 0)}
    plan.emit("MAX_POOL", layer, **window_fields(window))


def _lower_global_avg_pool2d(plan: Lowering, layer: Layer) -> None:
    plan.emit("GLOBAL_AVG_POOL", layer, plane_in=plan.plane_width(layer.inputs[0]))


def _infer_mean(shapes: Shapes, a: Attributes) -> Shape:
    channels = map_of(shapes[0])[0]
    return (channels, 1, 1) if a["keepdim"] else (channels,)


def _mean(sources: Sequence[Array], a: Attributes, arrays: Arrays) -> Array:
    return np.asarray(sources[0].mean(axis=(2, 3), keepdims=a["keepdim"]))


def _lower_mean(plan: Lowering, layer: Layer) -> None:
    if layer.attributes["keepdim"]:
        _lower_global_avg_pool2d(plan, layer)
        return
    means = plan.temporary(layer, (plan.channels(layer.name), 1, 1))
    plan.emit_into(means, "GLOBAL_AVG_POOL", layer, plane_in=plan.plane_width(layer.inputs[0]))
    plan.emit("FLATTEN", layer, means)


_POOL = {
    "kernel_size": Attribute(pair(1)),
    "stride": Attribute(optional(pair(1)), None),
    "padding": Attribute(padding, 0),
    "ceil_mode": Attribute(flag, False),
}

OPERATORS = {
    "max_pool2d": Operator(
        "largest value of each window; padding never wins",
        _infer,
        _max_pool2d,
        _lower_max_pool2d,
        attributes={**_POOL, "dilation": Attribute(pair(1), 1)},
        pack=_pack_max_pool2d,
        takes_epilogue=True,
    ),
    "avg_pool2d": Operator(
        "mean of each window",
        _infer,
        _avg_pool2d,
        _lower_avg_pool2d,
        attributes={
            **_POOL,
            "count_include_pad": Attribute(flag, True),
            "divisor_override": Attribute(optional(integer(1)), None),
        },
        takes_epilogue=True,
    ),
    "global_avg_pool2d": Operator(
        "mean of each channel: (C, H, W) to (C, 1, 1)",
        _infer_global,
        _global_avg_pool2d,
        _lower_global_avg_pool2d,
        takes_epilogue=True,
    ),
    "global_max_pool2d": Operator(
        "largest value of each channel: (C, H, W) to (C, 1, 1)",
        _infer_global,
        lambda sources, a, arrays: np.asarray(sources[0].max(axis=(2, 3), keepdims=True)),
        _lower_global_max_pool2d,
        takes_epilogue=True,
    ),
    "mean": Operator(
        "mean over H and W: (C, H, W) to (C,), or with keepdim to (C, 1, 1)",
        _infer_mean,
        _mean,
        _lower_mean,
        attributes={"keepdim": Attribute(flag, False, (True,))},
        takes_epilogue=True,
    ),
}
