"""Keras' layers by what the engine does: the table, and those that join, move or change nothing."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ..errors import GraphError
from . import composed, elementwise, keras_layers, layers, moving
from . import keras_activations as activation
from .basics import affine
from .builder import NEEDS_SIZE, Operand
from .keras_layer import Layer, as_before, as_map, is_last
from .source import Results
from .view import Value, resolved

Reader = Callable[[Layer], Results]


def _values(layer: Layer) -> list[Value]:
    values = [layer.value(i) for i in range(len(layer.inputs))]
    if not values or len({len(value.axes) for value in values}) > 1:
        raise GraphError("joins values of different ranks, or none")
    return values


def _merged(layer: Layer, op: str) -> Value:
    result, *others = _values(layer)
    for other in others:
        result = elementwise.binary(layer.build, op, result, other)
    return result


def _average(layer: Layer) -> Value:
    whole = _merged(layer, "add")
    return affine(layer.build, whole, np.float64(1 / len(layer.inputs)), np.float64(0))


def _concatenate(layer: Layer) -> Value:
    return moving.concat(layer.build, _values(layer), int(layer.get("axis", -1)))


def _arithmetic(op: str) -> Reader:
    """A layer that adds and the like; or ``+`` between layers, of one and a number, too."""

    def read(layer: Layer) -> Operand:
        layer.get("function")  # of TensorFlow, which the name is of, too
        numbers = [i for i, one in enumerate(layer.inputs) if not isinstance(one, Value)]
        if len(layer.inputs) == 2 and len(numbers) == 1:
            return elementwise.binary(layer.build, op, *layer.inputs)
        if op in ("sub", "div") and len(layer.inputs) != 2:
            raise GraphError(f"of {len(layer.inputs)} values")
        return _merged(layer, op)

    return read


def _extreme(kind: str) -> Reader:
    return lambda layer: composed.extreme(layer.build, kind, _values(layer))


#: Operators between layers as Keras 3 calls them, and TensorFlow in files of Keras 2.
_BETWEEN = {
    "add": ("ops.Add", "tf.math.add", "tf.__operators__.add"),
    "sub": ("ops.Subtract", "tf.math.subtract", "tf.__operators__.sub"),
    "mul": ("ops.Multiply", "tf.math.multiply", "tf.__operators__.mul"),
    "div": ("ops.Divide", "ops.TrueDivide", "Divide", "TrueDivide", "tf.math.truediv",
            "tf.__operators__.truediv"),
}  # fmt: skip


def _function(name: str) -> Reader:
    """A function without settings between layers, as the activation of that name."""
    return lambda layer: _FUNCTIONS[name](layer, layer.value())


#: Functions between layers as Keras 3 calls them, in ``.h5`` without ``ops``.
_FUNCTIONS: dict[str, Callable[[Layer, Value], Value]] = {
    **{
        name: activation.ACTIVATIONS[name.lower()]
        for name in ("Relu", "Relu6", "Sigmoid", "Silu", "Softplus", "Softsign", "Tanh")
    },
    "Absolute": lambda layer, x: composed.absolute(layer.build, x),
    "Negative": lambda layer, x: affine(layer.build, x, np.float64(-1), np.float64(0)),
}


def _unit_length(layer: Layer) -> Value:
    axes = layer.get("axis", -1)
    x = layer.value()
    length = composed.length(layer.build, x, axes if isinstance(axes, list) else [axes], True)
    return elementwise.binary(layer.build, "div", x, length)


def _flatten(layer: Layer) -> Value:
    x = layer.value()
    if not is_last(layer) and len(x.axes) > 2:  # Keras flattens channels last, always
        x = x.permuted([0, *range(2, len(x.axes)), 1])
    if None in x.shape[1:]:
        raise GraphError(NEEDS_SIZE)
    count = math.prod(size or 1 for size in x.shape[1:])
    return moving.reshape(layer.build, x, [x.shape[0], count])


def _reshape(layer: Layer) -> Value:
    x, given = layer.value(), [int(size) for size in layer.get("target_shape")]
    shape = [1 if x.shape[0] is None else x.shape[0], *given]
    return moving.reshape(layer.build, x, resolved(shape, x.shape, False))


def _permute(layer: Layer) -> Value:
    return layer.value().permuted([0, *(int(number) for number in layer.get("dims"))])


def _borders(layer: Layer, name: str, rank: int) -> tuple[list[int], list[int]]:
    """Before and after each axis of a map."""
    given = layer.get(name, 1)
    if isinstance(given, int):
        given = [given] * (2 if rank == 1 else rank)
    pairs = [given] if rank == 1 else [[p, p] if isinstance(p, int) else p for p in given]
    before, after = ([int(pair[i]) for pair in pairs] for i in (0, 1))
    if len(pairs) != rank or min(*before, *after) < 0:
        raise GraphError(f"setting {name!r} is {str(given)[:80]}")
    return before, after


def _zero_padding(layer: Layer, rank: int) -> Value:
    before, after = _borders(layer, "padding", rank)
    x = layers.pad(layer.build, as_map(layer, rank), [0, 0, *before], [0, 0, *after])
    return as_before(layer, x)


def _cropping(layer: Layer, rank: int) -> Value:
    x = as_map(layer, rank)
    for number, (first, last) in enumerate(zip(*_borders(layer, "cropping", rank), strict=True), 2):
        if first or last:
            x = moving.narrow(layer.build, x, number, first, -last if last else moving.TO_THE_END)
    return as_before(layer, x)


def _rescaling(layer: Layer) -> Value:
    scale, offset = (
        np.asarray(layer.get(name, default), np.float64)
        for name, default in (("scale", 1.0), ("offset", 0.0))
    )
    return affine(layer.build, layer.value(), scale, offset)


def _nothing(layer: Layer) -> Value:
    """What changes something in training only, whatever its settings."""
    if layer.attributes.get("training") and layer.version < 3:
        raise GraphError("is called in training mode")
    for name in layer.attributes:
        layer.get(name)
    return layer.value()


def _code(layer: Layer) -> Value:
    raise GraphError(
        "is code of the file's author, which is never run: write it with layers, or leave it to"
        " your program"
    )


READERS: dict[str, Reader] = {
    **activation.LAYERS,
    "Conv1D": lambda layer: keras_layers.conv(layer, 1),
    "Conv2D": lambda layer: keras_layers.conv(layer, 2),
    "Conv2DTranspose": keras_layers.conv_transpose,
    "DepthwiseConv2D": keras_layers.depthwise_conv,
    "SeparableConv2D": keras_layers.separable_conv,
    "Dense": keras_layers.dense,
    "BatchNormalization": keras_layers.batch_norm,
    "LayerNormalization": keras_layers.layer_norm,
    "GroupNormalization": keras_layers.group_norm,
    "Normalization": keras_layers.normalization,
    "LayerScale": keras_layers.layer_scale,
    "MaxPooling1D": lambda layer: keras_layers.pool(layer, "max_pool2d", 1),
    "MaxPooling2D": lambda layer: keras_layers.pool(layer, "max_pool2d", 2),
    "AveragePooling1D": lambda layer: keras_layers.pool(layer, "avg_pool2d", 1),
    "AveragePooling2D": lambda layer: keras_layers.pool(layer, "avg_pool2d", 2),
    "GlobalAveragePooling1D": lambda layer: keras_layers.global_pool(layer, "avg"),
    "GlobalAveragePooling2D": lambda layer: keras_layers.global_pool(layer, "avg"),
    "GlobalMaxPooling1D": lambda layer: keras_layers.global_pool(layer, "max"),
    "GlobalMaxPooling2D": lambda layer: keras_layers.global_pool(layer, "max"),
    "UpSampling2D": keras_layers.up_sampling,
    "Resizing": keras_layers.resizing,
    "Add": _arithmetic("add"),
    "Subtract": _arithmetic("sub"),
    "Multiply": _arithmetic("mul"),
    "Average": _average,
    "Maximum": _extreme("max"),
    "Minimum": _extreme("min"),
    "Concatenate": _concatenate,
    "UnitNormalization": _unit_length,
    "Flatten": _flatten,
    "Reshape": _reshape,
    "Permute": _permute,
    "ZeroPadding1D": lambda layer: _zero_padding(layer, 1),
    "ZeroPadding2D": lambda layer: _zero_padding(layer, 2),
    "Cropping1D": lambda layer: _cropping(layer, 1),
    "Cropping2D": lambda layer: _cropping(layer, 2),
    "Rescaling": _rescaling,
    "Identity": _nothing,
    "Dropout": _nothing,
    "SpatialDropout1D": _nothing,
    "SpatialDropout2D": _nothing,
    "AlphaDropout": _nothing,
    "GaussianDropout": _nothing,
    "GaussianNoise": _nothing,
    "ActivityRegularization": _nothing,
    "StochasticDepth": _nothing,
    "RandomFlip": _nothing,
    "RandomRotation": _nothing,
    "RandomZoom": _nothing,
    "RandomTranslation": _nothing,
    "RandomContrast": _nothing,
    "RandomBrightness": _nothing,
    "Lambda": _code,
    "ops.Maximum": _extreme("max"),
    "ops.Minimum": _extreme("min"),
    **{prefix + name: _function(name) for name in _FUNCTIONS for prefix in ("", "ops.")},
    **{name: _arithmetic(op) for op, names in _BETWEEN.items() for name in names},
}
