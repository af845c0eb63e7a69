"""What moves elements: concatenation, flattening, padding, resizing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from ...errors import GraphError
from ..layer import Layer
from .attributes import Attribute, choice, flag, integer, optional, padding, pair, scale
from .operator import (
    Array,
    Arrays,
    Attributes,
    Field,
    Lowering,
    Operator,
    Shape,
    Shapes,
    known_channels,
    lower_as,
    map_of,
)

_MANY = 1 << 12


# --- concat, pad_channels, flatten -------------------------------------------------------


def _infer_concat(shapes: Shapes, a: Attributes) -> Shape:
    if any(len(s) != len(shapes[0]) or s[1:] != shapes[0][1:] for s in shapes):
        raise GraphError(f"inputs differ in more than their channels: {list(shapes)}")
    return (sum(known_channels(shape) for shape in shapes), *shapes[0][1:])


def _lower_concat(plan: Lowering, layer: Layer) -> None:
    at = 0
    for name in layer.inputs:
        plan.copy(layer, name, at)
        at += plan.channels(name)


def _infer_pad_channels(shapes: Shapes, a: Attributes) -> Shape:
    channels, height, width = map_of(shapes[0])
    return (a["before"] + channels + a["after"], height, width)


def _pad_channels(sources: Sequence[Array], a: Attributes, arrays: Arrays) -> Array:
    return np.pad(sources[0], ((0, 0), (a["before"], a["after"]), (0, 0), (0, 0)))


def _lower_pad_channels(plan: Lowering, layer: Layer) -> None:
    before, after = layer.attributes["before"], layer.attributes["after"]
    channels = plan.channels(layer.inputs[0])
    for start, count in ((0, before), (before + channels, after)):
        if count:
            plan.zero(layer, start, count)
    plan.copy(layer, layer.inputs[0], before)


def _infer_flatten(shapes: Shapes, a: Attributes) -> Shape:
    if None in shapes[0]:
        return (None,)
    return (math.prod(d for d in shapes[0] if d is not None),)


# --- pad ---------------------------------------------------------------------------------

#: Modes of PyTorch's ``pad``, and what NumPy calls them.
_PAD_MODES: dict[str, Literal["reflect", "edge", "wrap"]] = {
    "reflect": "reflect",
    "replicate": "edge",
    "circular": "wrap",
}


def _infer_pad(shapes: Shapes, a: Attributes) -> Shape:
    channels, *sizes = map_of(shapes[0])
    (top, left, bottom, right), extents = a["padding"], []
    for size, before, after in zip(sizes, (top, left), (bottom, right), strict=True):
        most = {"reflect": -1, "circular": 0}.get(a["mode"])
        if size is not None and most is not None and max(before, after) > size + most:
            raise GraphError(f"an input of {size} cannot be padded by {max(before, after)}")
        extents.append(None if size is None else before + size + after)
    return (channels, *extents)


def _pad(sources: Sequence[Array], a: Attributes, arrays: Arrays) -> Array:
    rows, columns = _padded_pixels(sources[0].shape[2:], a)
    return sources[0].take(rows, axis=2).take(columns, axis=3)


def _lower_pad(plan: Lowering, layer: Layer) -> None:
    """Which lines and columns are copied, as for resizing to the nearest pixel."""
    size = plan.map_shape(layer.inputs[0])[1:]
    rows, columns = _padded_pixels(size, layer.attributes)
    plan.emit("NEAREST", layer, first_table=plan.table(rows), second_table=plan.table(columns))


def _padded_pixels(size: Sequence[int], a: Attributes) -> list[npt.NDArray[np.intp]]:
    """Of each output line and column the input that it copies."""
    top, left, bottom, right = a["padding"]
    around, mode = ((top, bottom), (left, right)), _PAD_MODES[a["mode"]]
    return [np.pad(np.arange(n), pads, mode) for n, pads in zip(size, around, strict=True)]


# --- resize ------------------------------------------------------------------------------


def _infer_resize(shapes: Shapes, a: Attributes) -> Shape:
    channels, height, width = map_of(shapes[0])
    if (a["size"] is None) == (a["scale"] is None):
        raise GraphError("give either 'size' or 'scale'")
    if a["align_corners"] and a["mode"] != "bilinear":
        raise GraphError(f"align_corners goes with bilinear, not {a['mode']}")
    if a["size"] is not None:
        return (channels, *a["size"])
    extents = [
        None if size is None else math.floor(size * factor)
        for size, factor in zip((height, width), a["scale"], strict=True)
    ]
    if 0 in extents:
        raise GraphError(f"scale {a['scale']} makes {shapes[0]} empty")
    return (channels, *extents)


def _resize(sources: Sequence[Array], a: Attributes, arrays: Arrays) -> Array:
    """Coordinates are float32, as PyTorch's are for float32 pictures: they choose the pixel."""
    x = sources[0]
    for axis in (2, 3):
        size = x.shape[axis]
        if a["size"] is not None:
            out, ratio = a["size"][axis - 2], size / a["size"][axis - 2]
        else:
            out, ratio = math.floor(size * a["scale"][axis - 2]), 1 / a["scale"][axis - 2]
        if out == size:
            continue  # as PyTorch, whatever the scale
        if a["mode"] == "nearest":
            x = x.take(nearest_pixels(size, out, np.float32(ratio)), axis=axis)
            continue
        half = np.float32(0.5)
        if a["align_corners"]:  # the first and last pixels stay where they are
            ratio = np.float32(size - 1) / np.float32(out - 1) if out > 1 else 0
            centre = np.arange(out, dtype=np.float32) * np.float32(ratio)
        else:
            centre = (np.arange(out, dtype=np.float32) + half) * np.float32(ratio) - half
        centre = np.maximum(centre, np.float32(0))
        first = np.minimum(np.floor(centre).astype(int), size - 1)
        second = np.minimum(first + 1, size - 1)
        weight = (centre - first).reshape((-1, 1) if axis == 2 else (-1,))
        x = x.take(first, axis=axis) * (1 - weight) + x.take(second, axis=axis) * weight
    return x


def nearest_pixels(size: int, out: int, ratio: np.float32) -> npt.NDArray[np.intp]:
    """Of each output the input that it copies.  Where the size stays or doubles, PyTorch
    (``nearest_idx`` in ATen/native/UpSample.h) counts and does not multiply, whatever the scale.
    """
    index = np.arange(out)
    if out == size:
        return index
    if out == 2 * size:
        return index >> 1
    return np.minimum(np.floor(index.astype(np.float32) * ratio).astype(np.intp), size - 1)


def _lower_resize(plan: Lowering, layer: Layer) -> None:
    source, target = plan.map_shape(layer.inputs[0])[1:], plan.map_shape(layer.name)[1:]
    scales = layer.attributes["scale"] or (None, None)
    bilinear, aligned = layer.attributes["mode"] == "bilinear", layer.attributes["align_corners"]
    fields: dict[str, Field] = {}
    for axis, size, out, factor in zip(("first", "second"), source, target, scales, strict=True):
        ratio = np.float32(size / out if factor is None else 1 / factor)
        if bilinear:
            # where the size stays, PyTorch counts whatever the scale
            stays = aligned or out == size
            neighbours, weights = _bilinear_neighbours(size, out, None if stays else ratio)
            fields[f"{axis}_table"] = plan.table(neighbours)
            fields[f"{axis}_constant"] = plan.constant(weights)
        else:
            fields[f"{axis}_table"] = plan.table(nearest_pixels(size, out, ratio))
    plan.emit("BILINEAR" if bilinear else "NEAREST", layer, **fields)


def _bilinear_neighbours(
    size: int, out: int, ratio: np.float32 | None
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """Two neighbours and the weight of the second, half-pixel centres; without a ratio
    ``align_corners``.

    Coordinates are float32, as PyTorch's are for float32 pictures.
    """
    index = np.arange(out, dtype=np.float32)
    if ratio is None:
        centre = index * np.float32((size - 1) / max(out - 1, 1))
    else:
        centre = ratio * (index + np.float32(0.5)) - np.float32(0.5)
    centre = np.maximum(centre, np.float32(0))
    first = np.minimum(np.floor(centre).astype(np.int32), size - 1)
    second = np.minimum(first + 1, size - 1)
    return np.stack([first, second], axis=1), (centre - first).astype(np.float32)


OPERATORS = {
    "concat": Operator(
        "inputs one behind the other along the channels",
        _infer_concat,
        lambda sources, a, arrays: np.concatenate(sources, axis=1),
        _lower_concat,
        arity=(1, _MANY),
        first_part=lambda a: 0,
    ),
    "flatten": Operator(
        "(C, H, W) to (C * H * W,), in that order",
        _infer_flatten,
        lambda sources, a, arrays: sources[0].reshape(len(sources[0]), -1),
        lower_as("FLATTEN"),
        takes_epilogue=True,
    ),
    "pad_channels": Operator(
        "zero channels before and after",
        _infer_pad_channels,
        _pad_channels,
        _lower_pad_channels,
        attributes={
            "before": Attribute(integer(0), 0),
            "after": Attribute(integer(0), 0),
        },
        first_part=lambda a: int(a["before"]),
    ),
    "pad": Operator(
        "pixels of the map around it, as torch pad: mirrored, its edges, or of its other side",
        _infer_pad,
        _pad,
        _lower_pad,
        attributes={
            "padding": Attribute(padding),
            "mode": Attribute(choice(*_PAD_MODES), "reflect"),
        },
        takes_epilogue=True,
    ),
    "resize": Operator(
        "nearest or bilinear resizing (half-pixel centres, or align_corners), as torch interpolate"
        " without antialias",
        _infer_resize,
        _resize,
        _lower_resize,
        attributes={
            "mode": Attribute(choice("nearest", "bilinear"), "nearest"),
            "size": Attribute(optional(pair(1)), None),
            "scale": Attribute(optional(scale), None),
            "align_corners": Attribute(flag, False),
        },
        takes_epilogue=True,
    ),
}
