"""Keras' activations: settings of other layers, and layers of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import GraphError
from . import composed, elementwise, moving
from .basics import activate, affine
from .keras_layer import Layer
from .view import Value

_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772848, 1.0507009873554804934


def _selu(layer: Layer, x: Value) -> Value:
    elu = activate(layer.build, "elu", x, alpha=_SELU_ALPHA)
    return affine(layer.build, elu, np.float64(_SELU_SCALE), np.float64(0))


def _hard_sigmoid(layer: Layer, x: Value) -> Value:
    """Keras 2 has a slope of 1/5, Keras 3 of 1/6."""
    slope = 0.2 if layer.version < 3 else 1 / 6
    return elementwise.hardsigmoid(layer.build, x, slope, 0.5)


def _softmax(layer: Layer, x: Value) -> Value:
    return moving.softmax(layer.build, x, [-1])


def _plain(op: str, **attributes: Any) -> Callable[[Layer, Value], Value]:
    return lambda layer, x: activate(layer.build, op, x, **attributes)


#: By the name that a configuration has.
ACTIVATIONS: dict[str, Callable[[Layer, Value], Value]] = {
    "linear": lambda layer, x: x,
    "relu": _plain("relu"),
    "relu6": _plain("relu6"),
    "leaky_relu": _plain("leaky_relu", negative_slope=0.2),
    "elu": _plain("elu"),
    "selu": _selu,
    "gelu": _plain("gelu"),
    "sigmoid": _plain("sigmoid"),
    "hard_sigmoid": _hard_sigmoid,
    "tanh": _plain("tanh"),
    "softplus": _plain("softplus"),
    "swish": _plain("swish"),
    "silu": _plain("swish"),
    "hard_swish": _plain("hardswish"),
    "hard_silu": _plain("hardswish"),
    "mish": _plain("mish"),
    "softmax": _softmax,
    "softsign": lambda layer, x: composed.softsign(layer.build, x),
    "celu": lambda layer, x: composed.celu(layer.build, x, 1.0),
}


def activated(layer: Layer, x: Value) -> Value:
    """By the setting ``activation``, as a node of its own name."""
    given = layer.get("activation")
    if isinstance(given, dict):  # of Keras 3: {"module", "class_name": "function", "config": name}
        given = given.get("config") if given.get("class_name") == "function" else given
    if isinstance(given, dict):
        name, config = str(given.get("class_name")), given.get("config")
        reader = LAYERS.get(name)
        if reader is None or not isinstance(config, dict):
            raise GraphError(f"activation {name[:80]!r}; {_known()}")
        inner = Layer(name, layer.name, [x], config, layer.build, layer.version)
        return reader(inner)
    name = "linear" if given is None else str(given)
    if name not in ACTIVATIONS:
        raise GraphError(f"activation {name[:80]!r}; {_known()}")
    where = layer.build.where
    if name != "linear":
        layer.build.where = f"{where}.{name}"
    found = ACTIVATIONS[name](layer, x)
    layer.build.where = where
    return found


def _known() -> str:
    return f"known are {', '.join(sorted(ACTIVATIONS))}"


# --- layers -----------------------------------------------------------------------------------


def _activation(layer: Layer) -> Value:
    where = layer.build.where
    found = activated(layer, layer.value())
    layer.build.where = where
    return found


def _relu(layer: Layer) -> Value:
    """min(max(x, 0), max_value), below 0 ``negative_slope`` x."""
    layer.only("threshold", 0, 0.0)
    slope, most = layer.get("negative_slope"), layer.get("max_value")
    if not slope:
        return elementwise.clamp(layer.build, layer.value(), 0, most)
    if most is not None:
        raise GraphError("has both a slope and a largest value")
    return activate(layer.build, "leaky_relu", layer.value(), negative_slope=float(slope))


def _leaky_relu(layer: Layer) -> Value:
    slope = layer.get("negative_slope", layer.get("alpha", 0.3))
    return activate(layer.build, "leaky_relu", layer.value(), negative_slope=float(slope))


def _prelu(layer: Layer) -> Value:
    layer.get("shared_axes")  # where the array has size 1
    (slope,) = layer.arrays("alpha")
    return elementwise.prelu(layer.build, layer.value(), slope[None])


def _softmax_layer(layer: Layer) -> Value:
    axes = layer.get("axis", -1)
    return moving.softmax(layer.build, layer.value(), axes if isinstance(axes, list) else [axes])


LAYERS: dict[str, Callable[[Layer], Value]] = {
    "Activation": _activation,
    "ReLU": _relu,
    "LeakyReLU": _leaky_relu,
    "PReLU": _prelu,
    "ELU": lambda layer: activate(
        layer.build, "elu", layer.value(), alpha=float(layer.get("alpha", 1.0))
    ),
    "Softmax": _softmax_layer,
}
