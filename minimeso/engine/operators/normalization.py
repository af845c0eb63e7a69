"""Normalizations: by stored statistics, by those of the input, and over the channels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import GraphError
from ..layer import Layer
from .attributes import Attribute, flag, integer, positive
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
    lower_copy,
    map_of,
    per_channel,
    same_shape,
)


def _batch_norm_parameters(shapes: Shapes, a: Attributes) -> dict[str, tuple[int, ...]]:
    names = ["running_mean", "running_var"] + (["weight", "bias"] if a["affine"] else [])
    return dict.fromkeys(names, (known_channels(shapes[0]),))


def _scale_and_shift(a: Attributes, arrays: Arrays) -> tuple[Array, Array]:
    scale = 1 / np.sqrt(arrays["running_var"] + a["eps"])
    if "weight" in arrays:
        scale = scale * arrays["weight"]
    shift = arrays.get("bias", np.zeros_like(scale)) - arrays["running_mean"] * scale
    return scale, shift


def _batch_norm(sources: Sequence[Array], a: Attributes, arrays: Arrays) -> Array:
    x = sources[0]
    scale, shift = _scale_and_shift(a, arrays)
    return x * per_channel(scale, x) + per_channel(shift, x)


def _affine(layer: Layer) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Worked out in float64."""
    arrays = {name: array.astype(np.float64) for name, array in layer.arrays.items()}
    scale, shift = _scale_and_shift(layer.attributes, arrays)
    with np.errstate(over="ignore"):  # whoever folds it looks
        return scale.astype(np.float32), shift.astype(np.float32)


def _softmax(sources: Sequence[Array], a: Attributes, arrays: Arrays) -> Array:
    x = sources[0] - sources[0].max(axis=1, keepdims=True)
    return np.asarray(np.exp(x) / np.exp(x).sum(axis=1, keepdims=True))


# --- by the moments of the input -----------------------------------------------------------


def _normalized(x: Array, a: Attributes) -> Array:
    """(N, groups, elements) with mean 0 and variance 1 in each group."""
    variance = x.var(axis=2, keepdims=True)
    return np.asarray((x - x.mean(axis=2, keepdims=True)) / np.sqrt(variance + a["eps"]))


def _group_norm(sources: Sequence[Array], a: Attributes, arrays: Arrays) -> Array:
    x = sources[0]
    y = _normalized(x.reshape(len(x), a["num_groups"], -1), a).reshape(x.shape)
    return y * per_channel(arrays["weight"], y) + per_channel(arrays["bias"], y) if arrays else y


def _instance_norm(sources: Sequence[Array], a: Attributes, arrays: Arrays) -> Array:
    return _group_norm(sources, {**a, "num_groups": sources[0].shape[1]}, arrays)


def _layer_norm(sources: Sequence[Array], a: Attributes, arrays: Arrays) -> Array:
    x = sources[0]
    y = _normalized(x.reshape(len(x), -1, math.prod(a["normalized_shape"])), a).reshape(x.shape)
    if "weight" in arrays:
        y = y * arrays["weight"]
    return y + arrays["bias"] if "bias" in arrays else y


def _layer_norm2d(sources: Sequence[Array], a: Attributes, arrays: Arrays) -> Array:
    x = sources[0]
    deviation = np.sqrt(x.var(axis=1, keepdims=True) + a["eps"])
    y = np.asarray((x - x.mean(axis=1, keepdims=True)) / deviation)
    return y * per_channel(arrays["weight"], y) + per_channel(arrays["bias"], y) if arrays else y


def _infer_group_norm(shapes: Shapes, a: Attributes) -> Shape:
    if known_channels(shapes[0]) % a["num_groups"]:
        raise GraphError(f"{shapes[0][0]} channels are no multiple of {a['num_groups']} groups")
    return shapes[0]


def _infer_map(shapes: Shapes, a: Attributes) -> Shape:
    map_of(shapes[0])
    return shapes[0]


def _infer_layer_norm(shapes: Shapes, a: Attributes) -> Shape:
    wanted = a["normalized_shape"]
    own = shapes[0][len(shapes[0]) - len(wanted) :]
    if len(wanted) > len(shapes[0]) or any(
        d is not None and d != w for d, w in zip(own, wanted, strict=True)
    ):
        raise GraphError(f"{shapes[0]} does not end in {wanted}")
    return shapes[0]


def _channel_parameters(shapes: Shapes, a: Attributes) -> dict[str, tuple[int, ...]]:
    names = ("weight", "bias") if a["affine"] else ()
    return dict.fromkeys(names, (known_channels(shapes[0]),))


def _layer_norm_parameters(shapes: Shapes, a: Attributes) -> dict[str, tuple[int, ...]]:
    names = ("weight", "bias") if a["bias"] else ("weight",)
    return dict.fromkeys(names if a["elementwise_affine"] else (), tuple(a["normalized_shape"]))


def _read_normalized_shape(value: Any) -> tuple[int, ...]:
    sizes = value if isinstance(value, (list, tuple)) else [value]
    if not 1 <= len(sizes) <= 3:
        raise GraphError(f"must be one to three sizes, not {value!r}")
    return tuple(integer(1)(size) for size in sizes)


def _constants(plan: Lowering, layer: Layer, count: int) -> dict[str, Field]:
    """Weight and bias of each channel (feature); what is there is repeated, else 1 and 0."""
    fields: dict[str, Field] = {}
    for name, field, missing in (("weight", "first_constant", 1), ("bias", "second_constant", 0)):
        array = np.ravel(layer.arrays.get(name, np.full(1, missing, np.float32)))
        fields[field] = plan.constant(np.tile(array, count // array.size))
    return fields


def _lower_groups(plan: Lowering, layer: Layer, groups: int) -> None:
    moments = plan.temporary(layer, (groups, 1, 3))
    plan.emit_into(moments, "MOMENTS", layer, groups=groups, low=layer.attributes["eps"])
    constants = _constants(plan, layer, plan.channels(layer.name))
    plan.emit("NORMALIZE", layer, layer.inputs[0], moments, **constants)


def _lower_layer_norm(plan: Lowering, layer: Layer) -> None:
    """Of a map the elements of one norm lie side by side once it is a vector."""
    size, is_map = math.prod(plan.map_shape(layer.name)), len(plan.shape(layer.name)) == 3
    groups = size // math.prod(layer.attributes["normalized_shape"])
    flat = layer.inputs[0]
    if is_map:
        flat = plan.temporary(layer, (size,))
        plan.emit_into(flat, "RESHAPE", layer)
    moments = plan.temporary(layer, (groups, 1, 3))
    plan.emit_into(moments, "MOMENTS", layer, flat, groups=groups, low=layer.attributes["eps"])
    constants = _constants(plan, layer, size)
    if not is_map:
        plan.emit("NORMALIZE", layer, flat, moments, **constants)
        return
    result = plan.temporary(layer, (size,))
    plan.emit_into(result, "NORMALIZE", layer, flat, moments, **constants)
    plan.emit("RESHAPE", layer, result)


def _lower_layer_norm2d(plan: Lowering, layer: Layer) -> None:
    constants = _constants(plan, layer, plan.channels(layer.name))
    plan.emit("LAYER_NORM", layer, low=layer.attributes["eps"], **constants)


_EPS = Attribute(positive, 1e-5, (1e-3,))

OPERATORS = {
    "batch_norm": Operator(
        "(x - running_mean) / sqrt(running_var + eps) * weight + bias, per channel",
        same_shape,
        _batch_norm,
        lower_copy,
        attributes={
            "eps": Attribute(positive, 1e-5, (1e-3,)),
            "affine": Attribute(flag, True, (False,)),
        },
        parameters=_batch_norm_parameters,
        affine=_affine,
    ),
    "softmax": Operator(
        "exp(x) / sum(exp(x)) over the channels (features of a vector)",
        same_shape,
        _softmax,
        lower_as("SOFTMAX"),
        takes_epilogue=True,
    ),
    "group_norm": Operator(
        "(x - mean) / sqrt(variance + eps) of each group of channels, * weight + bias per channel",
        _infer_group_norm,
        _group_norm,
        lambda plan, layer: _lower_groups(plan, layer, layer.attributes["num_groups"]),
        attributes={
            "num_groups": Attribute(integer(1)),
            "eps": _EPS,
            "affine": Attribute(flag, True, (False,)),
        },
        parameters=_channel_parameters,
        takes_epilogue=True,
    ),
    "instance_norm": Operator(
        "(x - mean) / sqrt(variance + eps) of each channel, * weight + bias",
        _infer_map,
        _instance_norm,
        lambda plan, layer: _lower_groups(plan, layer, plan.channels(layer.name)),
        attributes={
            "eps": _EPS,
            "affine": Attribute(flag, False, (True,)),
        },
        parameters=_channel_parameters,
        takes_epilogue=True,
    ),
    "layer_norm2d": Operator(
        "(x - mean) / sqrt(variance + eps) over the channels at each place, * weight + bias per"
        " channel",
        _infer_map,
        _layer_norm2d,
        _lower_layer_norm2d,
        attributes={
            "eps": _EPS,
            "affine": Attribute(flag, True, (False,)),
        },
        parameters=_channel_parameters,
        takes_epilogue=True,
    ),
    "layer_norm": Operator(
        "(x - mean) / sqrt(variance + eps) over the last axes, * weight + bias per element",
        _infer_layer_norm,
        _layer_norm,
        _lower_layer_norm,
        attributes={
            "normalized_shape": Attribute(_read_normalized_shape),
            "eps": _EPS,
            "elementwise_affine": Attribute(flag, True, (False,)),
            "bias": Attribute(flag, True, (False,)),
        },
        parameters=_layer_norm_parameters,
        takes_epilogue=True,
    ),
}
