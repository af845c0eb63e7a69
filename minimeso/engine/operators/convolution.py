"""Convolutions and dense layers."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import GraphError
from ..bindings import BLOCK, LANES
from ..layer import Layer, quantized
from ..memory import MAX_DIM, round_lanes
from ..winograd import transform_weights
from .attributes import Attribute, flag, integer, padding, pair
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
    known_channels,
    map_of,
    per_channel,
    window_fields,
)

Weight = npt.NDArray[np.float32]

#: Most weights of a transposed convolution, zeros for strides and dilations included: 256 MiB.
_MOST_SPREAD = 1 << 26


def _extent(size: int | None, kernel: int, stride: int, dilation: int, pads: int) -> int | None:
    """Output extent along one axis (PyTorch ``Conv2d``)."""
    if size is None:
        return None
    span = size + pads - dilation * (kernel - 1) - 1
    if span < 0:
        raise GraphError(f"an input of {size} + padding {pads} is smaller than its window")
    return span // stride + 1


# --- conv2d ------------------------------------------------------------------------------


def _infer_conv2d(shapes: Shapes, a: Attributes) -> Shape:
    channels, height, width = map_of(shapes[0])
    if channels % a["groups"] or a["out_channels"] % a["groups"]:
        raise GraphError(
            f"{channels} input and {a['out_channels']} output channels cannot be split "
            f"into {a['groups']} groups"
        )
    (kh, kw), (sh, sw), (dh, dw) = a["kernel_size"], a["stride"], a["dilation"]
    top, left, bottom, right = a["padding"]
    return (
        a["out_channels"],
        _extent(height, kh, sh, dh, top + bottom),
        _extent(width, kw, sw, dw, left + right),
    )


def _conv2d_parameters(shapes: Shapes, a: Attributes) -> dict[str, tuple[int, ...]]:
    channels = map_of(shapes[0])[0]
    return _with_bias(a, (a["out_channels"], channels // a["groups"], *a["kernel_size"]))


def _with_bias(a: Attributes, weight: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    arrays = {"weight": weight}
    if a["bias"]:
        arrays["bias"] = weight[:1]
    return arrays


def _conv2d(sources: Sequence[Array], a: Attributes, arrays: Arrays) -> Array:
    x, weight = sources[0], arrays["weight"]
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
    return y + per_channel(arrays["bias"], y) if "bias" in arrays else y


def _lower_conv2d(plan: Lowering, layer: Layer) -> None:
    fields = window_fields(layer.attributes)
    plane_in, plane_out = plan.plane_width(layer.inputs[0]), plan.plane_width(layer.name)
    if plane_out and layer.algorithm == "depthwise":
        plan.emit("DEPTHWISE_PLANES", layer, **fields, plane_in=plane_in, plane_out=plane_out)
        return
    if plane_out:
        plan.emit("POINTWISE", layer)
        return
    if layer.algorithm == "depthwise_pool":  # the window of the pool over that of the kernel
        fields.update(kernel_h=4, kernel_w=4, stride_h=2, stride_w=2)
    op = {"direct": "CONV", "winograd": "WINOGRAD"}.get(layer.algorithm, "DEPTHWISE")
    phases = int(plan.in_column_phases(layer.inputs[0]))
    plan.emit(op, layer, **fields, groups=layer.attributes["groups"], column_phases=phases)


def _pack_conv2d(layer: Layer, channels: int) -> Packed:
    bias = layer.arrays.get("bias", np.zeros(channels, np.float32))
    small = quantized(layer.arrays, "weight")
    is_plain = layer.algorithm == "direct" and layer.attributes["groups"] == 1
    if small is not None and is_plain and len(small.values) % BLOCK == 0:
        values = pack_conv(small.values, 1)
        return {"quantized": values, "weight_scale": small.scale, "bias": bias}
    weight = layer.arrays["weight"]
    if layer.algorithm == "winograd":
        packed = pack_winograd(weight)
    else:
        packed = pack_conv(weight, layer.attributes["groups"])
    return {"weight": packed, "bias": bias}


def block_sizes(filters: int) -> list[int]:
    """Output channels of each weight block: fours, then at most one two and one one."""
    return [BLOCK] * (filters // BLOCK) + [2] * (filters % BLOCK // 2) + [1] * (filters % 2)


def pack_conv(weight: npt.NDArray[Any], groups: int) -> npt.NDArray[Any]:
    """(O, I, kh, kw) to [group][block][kh][I][kw][block size]; mostly a view of the weights."""
    shape = weight.shape[1:]
    of_group = weight.reshape(groups, -1, *shape)
    parts: list[npt.NDArray[Any]] = []
    start = 0
    for size, blocks in itertools.groupby(block_sizes(of_group.shape[1])):
        stop = start + size * len(list(blocks))
        block = of_group[:, start:stop].reshape(groups, -1, size, *shape)
        parts.append(block.transpose(0, 1, 4, 3, 5, 2))
        start = stop
    if len(parts) == 1:
        return parts[0]
    return np.concatenate([part.reshape(groups, -1) for part in parts], axis=1)


def pack_winograd(weight: Weight) -> Weight:
    """(O, I, kh, kw) to [block][8][I][kw][block size]."""
    points = transform_weights(weight)
    parts, start = [], 0
    for size in block_sizes(weight.shape[0]):
        parts.append(points[:, start : start + size].transpose(0, 2, 3, 1).ravel())
        start += size
    return np.concatenate(parts)


def _reads_every_second_column(layer: Layer) -> bool:
    a = layer.attributes
    reach = a["kernel_size"][1] * a["dilation"][1]
    is_direct = layer.algorithm == "direct"  # of one channel it may be depthwise
    return bool(is_direct and a["stride"][1] == 2 and a["groups"] == 1 and reach <= MAX_DIM)


def _conv2d_multiply_adds(shapes: Shapes, a: Attributes, output: Shape) -> int:
    weight = _conv2d_parameters(shapes, a)["weight"]
    return math.prod(weight) * math.prod(n or 0 for n in output[1:])


# --- linear ------------------------------------------------------------------------------


def _infer_linear(shapes: Shapes, a: Attributes) -> Shape:
    if len(shapes[0]) != 1:
        raise GraphError(f"needs a vector (F,), not {shapes[0]}: put a flatten before it")
    known_channels(shapes[0])
    return (a["out_features"],)


def _linear_parameters(shapes: Shapes, a: Attributes) -> dict[str, tuple[int, ...]]:
    return _with_bias(a, (a["out_features"], known_channels(shapes[0])))


def _linear(sources: Sequence[Array], a: Attributes, arrays: Arrays) -> Array:
    y: Array = sources[0] @ arrays["weight"].T
    return y + arrays["bias"] if "bias" in arrays else y


def _pack_linear(layer: Layer, channels: int) -> Packed:
    bias = layer.arrays.get("bias", np.zeros(channels, np.float32))
    return {"weight": pack_linear(layer.arrays["weight"]), "bias": bias}


def pack_linear(weight: Weight) -> Weight:
    """(O, I) to [block of 16 outputs][I][16], the last block filled with zeros."""
    outputs, inputs = weight.shape
    padded = np.zeros((round_lanes(outputs), inputs), np.float32)
    padded[:outputs] = weight
    return np.ravel(padded.reshape(-1, LANES, inputs).transpose(0, 2, 1))


# --- conv_transpose2d --------------------------------------------------------------------


def _infer_conv_transpose2d(shapes: Shapes, a: Attributes) -> Shape:
    channels, height, width = map_of(shapes[0])
    if channels % a["groups"] or a["out_channels"] % a["groups"]:
        raise GraphError(
            f"{channels} input and {a['out_channels']} output channels cannot be split "
            f"into {a['groups']} groups"
        )
    extents: list[int | None] = []
    for axis, size in enumerate((height, width)):
        stride, dilation = a["stride"][axis], a["dilation"][axis]
        extra = a["output_padding"][axis]
        if extra >= max(stride, dilation):
            raise GraphError(f"output_padding {extra} is not below the stride or the dilation")
        if size is None:
            extents.append(None)
            continue
        reach = dilation * (a["kernel_size"][axis] - 1) + 1 + extra
        extents.append((size - 1) * stride - 2 * a["padding"][axis] + reach)
        if (extents[-1] or 0) < 1:
            raise GraphError(f"padding {a['padding'][axis]} leaves nothing of {size}")
    per_filter = math.prod(_phase_taps(a, axis) * a["stride"][axis] for axis in range(2))
    if channels * (a["out_channels"] // a["groups"]) * per_filter > _MOST_SPREAD:
        raise GraphError(f"a stride of {a['stride']} spreads its weights over too many phases")
    return (a["out_channels"], extents[0], extents[1])


def _conv_transpose2d_parameters(shapes: Shapes, a: Attributes) -> dict[str, tuple[int, ...]]:
    channels = map_of(shapes[0])[0]
    arrays = {"weight": (channels, a["out_channels"] // a["groups"], *a["kernel_size"])}
    if a["bias"]:
        arrays["bias"] = (a["out_channels"],)
    return arrays


def _conv_transpose2d(sources: Sequence[Array], a: Attributes, arrays: Arrays) -> Array:
    x, weight, groups = sources[0], arrays["weight"], a["groups"]
    (sh, sw), (dh, dw), (top, left) = a["stride"], a["dilation"], a["padding"]
    out = _infer_conv_transpose2d([x.shape[1:]], a)
    out_h, out_w = (int(n or 0) for n in out[1:])
    batch, channels, height, width = x.shape
    kh, kw = weight.shape[2:]
    # as wide as all taps reach, whatever the padding then cuts off
    full_h = max((height - 1) * sh + dh * (kh - 1) + 1, top + out_h)
    full_w = max((width - 1) * sw + dw * (kw - 1) + 1, left + out_w)
    y = np.zeros((batch, groups, weight.shape[1], full_h, full_w))
    x = x.reshape(batch, groups, channels // groups, height, width)
    w = weight.reshape(groups, channels // groups, *weight.shape[1:])
    for i in range(kh):
        for j in range(kw):
            rows = slice(i * dh, i * dh + (height - 1) * sh + 1, sh)
            columns = slice(j * dw, j * dw + (width - 1) * sw + 1, sw)
            y[..., rows, columns] += np.einsum("gco,ngchw->ngohw", w[..., i, j], x)
    y = y[..., top : top + out_h, left : left + out_w].reshape(batch, -1, out_h, out_w)
    return y + per_channel(arrays["bias"], y) if "bias" in arrays else y


def _phase_taps(a: Attributes, axis: int) -> int:
    """Taps of each phase of the output: every stride-th of the kernel with its holes."""
    reach = a["dilation"][axis] * (a["kernel_size"][axis] - 1) + 1
    return int(-(-reach // a["stride"][axis]))


def _lower_conv_transpose2d(plan: Lowering, layer: Layer) -> None:
    """The pixels of the output that are a stride apart come from one convolution of the input:
    all of these side by side as channels, which are then shuffled into pixels."""
    a = layer.attributes
    channels, *size = plan.map_shape(layer.name)
    stride, groups = a["stride"], a["groups"]
    taps = [_phase_taps(a, axis) for axis in range(2)]
    skipped = [min(a["padding"][i] // stride[i], taps[i] - 1) for i in range(2)]
    cut = [a["padding"][i] - stride[i] * skipped[i] for i in range(2)]
    window = {
        "kernel_size": taps,
        "stride": (1, 1),
        "padding": [taps[i] - 1 - skipped[i] for i in range(2)],
    }
    if stride == (1, 1) and cut == [0, 0]:
        plan.emit("CONV", layer, **window_fields(window), groups=groups)
        return
    height, width = ((size[i] - 1 + cut[i]) // stride[i] + 1 for i in range(2))
    phases = plan.temporary(layer, (channels * stride[0] * stride[1], height, width))
    plan.emit_into(phases, "CONV", layer, **window_fields(window), groups=groups)
    shuffle: dict[str, Field] = {"stride_h": stride[0], "stride_w": stride[1]}
    plan.emit("PIXEL_SHUFFLE", layer, phases, **shuffle, pad_top=cut[0], pad_left=cut[1])


def _pack_conv_transpose2d(layer: Layer, channels: int) -> Packed:
    """As the weights of ``_lower_conv_transpose2d``'s convolution: output channel o at line i and
    column j of a stride is its channel (o * strides_h + i) * strides_w + j."""
    a, weight = layer.attributes, layer.arrays["weight"]
    groups, (sh, sw) = a["groups"], a["stride"]
    inputs, filters, kh, kw = weight.shape
    mh, mw = (_phase_taps(a, axis) for axis in range(2))
    spread = np.zeros((inputs, filters, mh * sh, mw * sw), np.float32)
    dh, dw = a["dilation"]
    spread[:, :, : dh * (kh - 1) + 1 : dh, : dw * (kw - 1) + 1 : dw] = weight
    # [group][input][filter][tap][line][tap][column], taps backwards
    taps = spread.reshape(groups, inputs // groups, filters, mh, sh, mw, sw)[:, :, :, ::-1, :, ::-1]
    phases = taps.transpose(0, 2, 4, 6, 1, 3, 5)
    phases = phases.reshape(groups * filters * sh * sw, inputs // groups, mh, mw)
    bias = layer.arrays.get("bias", np.zeros(channels, np.float32))
    return {"weight": pack_conv(phases, groups), "bias": np.repeat(bias, sh * sw)}


def _conv_transpose2d_multiply_adds(shapes: Shapes, a: Attributes, output: Shape) -> int:
    weight = _conv_transpose2d_parameters(shapes, a)["weight"]
    return math.prod(weight) * math.prod(n or 0 for n in shapes[0][1:])


OPERATORS = {
    "conv2d": Operator(
        "2-D convolution (cross-correlation) with zero padding; groups as in PyTorch",
        _infer_conv2d,
        _conv2d,
        _lower_conv2d,
        attributes={
            "out_channels": Attribute(integer(1)),
            "kernel_size": Attribute(pair(1)),
            "stride": Attribute(pair(1), 1),
            "padding": Attribute(padding, 0),
            "dilation": Attribute(pair(1), 1),
            "groups": Attribute(integer(1), 1),
            "bias": Attribute(flag, True),
        },
        parameters=_conv2d_parameters,
        pack=_pack_conv2d,
        multiply_adds=_conv2d_multiply_adds,
        takes_epilogue=True,
        folds_batch_norm=True,
        takes_column_phases=_reads_every_second_column,
    ),
    "linear": Operator(
        "y = weight @ x + bias",
        _infer_linear,
        _linear,
        lambda plan, layer: plan.emit("LINEAR", layer),
        attributes={
            "out_features": Attribute(integer(1)),
            "bias": Attribute(flag, True),
        },
        parameters=_linear_parameters,
        pack=_pack_linear,
        multiply_adds=lambda shapes, a, output: math.prod(_linear_parameters(shapes, a)["weight"]),
        takes_epilogue=True,
        folds_batch_norm=True,
    ),
    "conv_transpose2d": Operator(
        "2-D transposed convolution: the gradient of conv2d; groups as in PyTorch",
        _infer_conv_transpose2d,
        _conv_transpose2d,
        _lower_conv_transpose2d,
        attributes={
            "out_channels": Attribute(integer(1)),
            "kernel_size": Attribute(pair(1)),
            "stride": Attribute(pair(1), 1),
            "padding": Attribute(pair(0), 0),
            "output_padding": Attribute(pair(0), 0),
            "dilation": Attribute(pair(1), 1),
            "groups": Attribute(integer(1), 1),
            "bias": Attribute(flag, True),
        },
        parameters=_conv_transpose2d_parameters,
        pack=_pack_conv_transpose2d,
        multiply_adds=_conv_transpose2d_multiply_adds,
        takes_epilogue=True,
    ),
}
