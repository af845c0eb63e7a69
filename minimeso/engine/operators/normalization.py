"""Normalizations: by stored statistics, and over the channels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ..layer import Layer
from .attributes import Attribute, flag, positive
from .operator import (
    Array,
    Arrays,
    Attributes,
    Operator,
    Shapes,
    known_channels,
    lower_as,
    lower_copy,
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
    return scale.astype(np.float32), shift.astype(np.float32)


def _softmax(sources: Sequence[Array], a: Attributes, arrays: Arrays) -> Array:
    x = sources[0] - sources[0].max(axis=1, keepdims=True)
    return np.asarray(np.exp(x) / np.exp(x).sum(axis=1, keepdims=True))


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
}
