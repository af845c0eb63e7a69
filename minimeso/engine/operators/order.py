"""What puts the elements of a tensor in another order, or says where the largest is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ...checks import is_integer
from ...errors import GraphError
from ..layer import Layer
from .attributes import MAX_EXTENT, Attribute, integer
from .operator import (
    OPEN_SIZE,
    Array,
    Arrays,
    Attributes,
    Lowering,
    Operator,
    Shape,
    Shapes,
    known_channels,
    lower_as,
    map_of,
)

#: Integers up to this one are float32 numbers.
_EXACT = 1 << 24


def _read_shape(value: Any) -> tuple[int, ...]:
    if not isinstance(value, (list, tuple)) or len(value) not in (1, 3):
        raise GraphError(f"must be (C, H, W) or (F,), not {value!r}")
    for size in value:
        if not is_integer(size):
            raise GraphError(f"must hold integers, not {size!r}")
        if size != -1 and not 1 <= size <= MAX_EXTENT:
            raise GraphError(f"must hold sizes in 1..{MAX_EXTENT}, or -1, not {size}")
    if list(value).count(-1) > 1:
        raise GraphError("may hold one -1 only")
    return tuple(map(int, value))


def _infer_reshape(shapes: Shapes, a: Attributes) -> Shape:
    wanted: Shape = a["shape"]
    known = math.prod(d for d in wanted if d not in (-1, None))
    if None in shapes[0]:
        if len(wanted) == 3 and wanted[0] == -1:
            raise GraphError(OPEN_SIZE)
        return tuple(None if d == -1 else d for d in wanted)
    total = math.prod(d for d in shapes[0] if d is not None)
    if total % known or (-1 not in wanted and total != known):
        raise GraphError(f"{shapes[0]} does not have as many elements as {wanted}")
    return tuple(total // known if d == -1 else d for d in wanted)


def _reshape(sources: Sequence[Array], a: Attributes, arrays: Arrays) -> Array:
    return np.reshape(sources[0], (len(sources[0]), *a["shape"]))


def _read_dims(value: Any) -> tuple[int, int, int]:
    if not isinstance(value, (list, tuple)) or sorted(map(repr, value)) != ["0", "1", "2"]:
        raise GraphError(f"must be 0, 1 and 2 in some order, not {value!r}")
    first, second, third = value
    return first, second, third


def _infer_permute(shapes: Shapes, a: Attributes) -> Shape:
    before = map_of(shapes[0])
    after = tuple(before[axis] for axis in a["dims"])
    known_channels(after)
    return after


def _permute(sources: Sequence[Array], a: Attributes, arrays: Arrays) -> Array:
    return np.transpose(sources[0], (0, *(axis + 1 for axis in a["dims"])))


def _lower_permute(plan: Lowering, layer: Layer) -> None:
    plan.emit("PERMUTE", layer, axes=list(layer.attributes["dims"]))


def _infer_pixel_shuffle(shapes: Shapes, a: Attributes) -> Shape:
    (channels, height, width), factor = map_of(shapes[0]), a["upscale_factor"]
    if channels % factor**2:
        raise GraphError(f"{channels} channels are no multiple of {factor} * {factor}")
    return (
        channels // factor**2,
        None if height is None else height * factor,
        None if width is None else width * factor,
    )


def _pixel_shuffle(sources: Sequence[Array], a: Attributes, arrays: Arrays) -> Array:
    x, factor = sources[0], a["upscale_factor"]
    batch, channels, height, width = x.shape
    x = x.reshape(batch, channels // factor**2, factor, factor, height, width)
    shape = (batch, channels // factor**2, height * factor, width * factor)
    return np.reshape(x.transpose(0, 1, 4, 2, 5, 3), shape)


def _lower_pixel_shuffle(plan: Lowering, layer: Layer) -> None:
    factor = layer.attributes["upscale_factor"]
    plan.emit("PIXEL_SHUFFLE", layer, stride_h=factor, stride_w=factor)


def _infer_slice(shapes: Shapes, a: Attributes) -> Shape:
    if not a["start"] < a["end"] <= known_channels(shapes[0]):
        raise GraphError(f"[{a['start']}, {a['end']}) are no channels of {shapes[0]}")
    return (len(range(a["start"], a["end"], a["step"])), *shapes[0][1:])


def _slice(sources: Sequence[Array], a: Attributes, arrays: Arrays) -> Array:
    return sources[0][:, a["start"] : a["end"] : a["step"]]


def _lower_slice(plan: Lowering, layer: Layer) -> None:
    a = layer.attributes
    plan.emit("SELECT", layer, first_table=plan.table(range(a["start"], a["end"], a["step"])))


def _infer_channel_shuffle(shapes: Shapes, a: Attributes) -> Shape:
    if map_of(shapes[0])[0] % a["groups"]:
        raise GraphError(f"{shapes[0][0]} channels are no multiple of {a['groups']} groups")
    return shapes[0]


def _channel_shuffle(sources: Sequence[Array], a: Attributes, arrays: Arrays) -> Array:
    return sources[0][:, _shuffled(sources[0].shape[1], a["groups"])]


def _shuffled(channels: int, groups: int) -> npt.NDArray[np.int64]:
    """Of each channel of the output that of the input."""
    return np.asarray(np.arange(channels).reshape(groups, -1).T.reshape(-1), np.int64)


def _lower_channel_shuffle(plan: Lowering, layer: Layer) -> None:
    channels = plan.channels(layer.name)
    plan.emit(
        "SELECT", layer, first_table=plan.table(_shuffled(channels, layer.attributes["groups"]))
    )


def _infer_argmax(shapes: Shapes, a: Attributes) -> Shape:
    if known_channels(shapes[0]) > _EXACT:
        raise GraphError(f"float32 numbers no more than {_EXACT} features")
    return (1, *shapes[0][1:])


def _argmax(sources: Sequence[Array], a: Attributes, arrays: Arrays) -> Array:
    return np.asarray(sources[0].argmax(axis=1)[:, None], np.float64)


OPERATORS = {
    "reshape": Operator(
        "the same elements in the same order, in another shape; one size may be -1",
        _infer_reshape,
        _reshape,
        lower_as("RESHAPE"),
        attributes={"shape": Attribute(_read_shape)},
        takes_epilogue=True,
    ),
    "permute": Operator(
        "axis i of the output is axis dims[i] of the input, of (C, H, W) counted from 0",
        _infer_permute,
        _permute,
        _lower_permute,
        attributes={"dims": Attribute(_read_dims)},
        takes_epilogue=True,
    ),
    "pixel_shuffle": Operator(
        "(C * r * r, H, W) to (C, H * r, W * r), r the upscale_factor",
        _infer_pixel_shuffle,
        _pixel_shuffle,
        _lower_pixel_shuffle,
        attributes={"upscale_factor": Attribute(integer(1))},
        takes_epilogue=True,
    ),
    "slice_channels": Operator(
        "channels (features) from start to before end, every step-th of them",
        _infer_slice,
        _slice,
        _lower_slice,
        attributes={
            "start": Attribute(integer(0), 0),
            "end": Attribute(integer(1)),
            "step": Attribute(integer(1), 1),
        },
        takes_epilogue=True,
    ),
    "channel_shuffle": Operator(
        "channels of groups one behind the other to one of each group in turn",
        _infer_channel_shuffle,
        _channel_shuffle,
        _lower_channel_shuffle,
        attributes={"groups": Attribute(integer(1))},
        takes_epilogue=True,
    ),
    "argmax": Operator(
        "number of the channel (feature) with the largest value: (C, H, W) to (1, H, W)",
        _infer_argmax,
        _argmax,
        lower_as("ARGMAX"),
        takes_epilogue=True,
    ),
}
