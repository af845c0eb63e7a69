"""Activations: element-wise functions, which other steps apply as they store.  A new one is an
entry here and its formula in ``csrc/activation.inc``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ...errors import GraphError
from .attributes import Attribute, choice, integer, number
from .operator import (
    Activation,
    Array,
    Arrays,
    Attributes,
    Operator,
    Shapes,
    lower_copy,
    per_channel,
    same_shape,
)

#: Largest absolute error of a kernel, or 8 ulp where that is more.
EXACT, PIECEWISE = 5e-7, 2e-4


def _entry(
    kernel: str | Callable[[Attributes], str],
    summary: str,
    formula: Callable[..., Array],
    *,
    attributes: Mapping[str, Attribute] | None = None,
    slope: str = "",
    never_falls: bool | Callable[[Attributes, Mapping[str, Any]], bool] = False,
    is_valley: bool = False,
    error: Callable[[Attributes], float] = lambda a: EXACT,
) -> Operator:
    """An activation.

    Args:
        kernel: its name in ``csrc``, or what tells it from the attributes.
        formula: x of any shape, in float64, and the attributes by name to f(x).
        slope, never_falls, is_valley, error: see ``Activation``.
    """
    activation = Activation(
        kernel if callable(kernel) else lambda a: kernel,
        slope,
        "",
        never_falls if callable(never_falls) else lambda a, arrays: never_falls,
        is_valley,
        error,
    )
    return Operator(
        summary,
        same_shape,
        lambda sources, a, arrays: np.asarray(formula(sources[0], **a)),
        lower_copy,
        attributes=attributes or {},
        activation=activation,
    )


def _smooth(name: str, summary: str, formula: Callable[[Array], Array]) -> Operator:
    """Swish, Mish or Pish: exact, or by polynomials in pieces."""

    def is_exact(a: Attributes) -> bool:
        return bool(a["approximate"] == "none")

    return _entry(
        lambda a: name if is_exact(a) else f"{name}_piecewise",
        summary,
        lambda x, approximate: formula(x),
        attributes={"approximate": Attribute(choice("none", "piecewise"), "none", ("piecewise",))},
        is_valley=True,
        error=lambda a: EXACT if is_exact(a) else PIECEWISE,
    )


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)), without overflow."""
    from scipy.special import expit

    return np.asarray(expit(x))


def softplus(x: Array) -> Array:
    """log(1 + exp(x)), without overflow."""
    return np.logaddexp(0.0, x)


def swish(x: Array) -> Array:
    """x sigmoid(x); -0 at -inf."""
    return _tail(x, x * sigmoid(x))


def mish(x: Array) -> Array:
    """x tanh(softplus(x)); -0 at -inf."""
    return _tail(x, x * np.tanh(softplus(x)))


def pish(x: Array) -> Array:
    """x arctan(softplus(x) + sigmoid(x)) (Kawa & Syga 2021); -0 at -inf."""
    return _tail(x, x * np.arctan(softplus(x) + sigmoid(x)))


def _tail(x: Array, f: Array) -> Array:
    """f without the NaN of infinity times zero."""
    return np.asarray(np.where(np.isneginf(x), -0.0, f))


def leaky_relu(x: Array, negative_slope: float | Array) -> Array:
    """x if x > 0 else negative_slope x."""
    return np.asarray(np.where(x > 0, x, x * negative_slope))


def hardsigmoid(x: Array) -> Array:
    """0 up to -3, 1 from 3 on, a straight line between."""
    return np.clip(x / 6 + 0.5, 0, 1)


def hardswish(x: Array) -> Array:
    """x hardsigmoid(x); -0 at -inf."""
    return _tail(x, x * hardsigmoid(x))


def gelu(x: Array, approximate: str) -> Array:
    """x Phi(x) with the normal distribution Phi, or nearly so with tanh; -0 at -inf."""
    from scipy.special import ndtr

    if approximate == "none":
        return _tail(x, x * ndtr(x))
    return _tail(x, x * sigmoid(2 * np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def elu(x: Array, alpha: float) -> Array:
    """x if x > 0 else alpha (exp(x) - 1)."""
    return np.asarray(np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0))))


def _prelu_parameters(shapes: Shapes, a: Attributes) -> dict[str, tuple[int, ...]]:
    if a["num_parameters"] not in (1, shapes[0][0]):
        raise GraphError(f"num_parameters must be 1 or the channel count {shapes[0][0]}")
    return {"weight": (a["num_parameters"],)}


def _prelu(x: Array, arrays: Arrays) -> Array:
    return leaky_relu(x, per_channel(arrays["weight"], x))


OPERATORS = {
    "sigmoid": _entry("sigmoid", "1 / (1 + exp(-x))", sigmoid, never_falls=True),
    "tanh": _entry("tanh", "tanh(x)", np.tanh, never_falls=True),
    "relu": _entry("relu", "max(x, 0)", lambda x: np.maximum(x, 0), never_falls=True),
    "relu6": _entry(
        "relu6", "min(max(x, 0), 6)", lambda x: np.minimum(np.maximum(x, 0), 6), never_falls=True
    ),
    "leaky_relu": _entry(
        "leaky_relu",
        "x if x > 0 else negative_slope * x",
        leaky_relu,
        attributes={"negative_slope": Attribute(number, 0.01, (0.1, 1.5, -0.3))},
        slope="negative_slope",
        never_falls=lambda a, arrays: bool(a["negative_slope"] >= 0),
    ),
    "prelu": Operator(
        "x if x > 0 else weight * x, weight learned (one, or one a channel)",
        same_shape,
        lambda sources, a, arrays: _prelu(sources[0], arrays),
        lower_copy,
        attributes={"num_parameters": Attribute(integer(1), 1)},
        parameters=_prelu_parameters,
        activation=Activation(
            lambda a: "leaky_relu",
            "",
            "weight",
            lambda a, arrays: bool((arrays["weight"] >= 0).all()),
            False,
            lambda a: EXACT,
        ),
    ),
    "swish": _smooth("swish", "x * sigmoid(x), also called silu", swish),
    "mish": _smooth("mish", "x * tanh(softplus(x))", mish),
    "pish": _smooth("pish", "x * arctan(softplus(x) + sigmoid(x)), Kawa & Syga 2021", pish),
    "hardsigmoid": _entry(
        "hardsigmoid", "min(max(x + 3, 0), 6) / 6", hardsigmoid, never_falls=True
    ),
    "hardswish": _entry("hardswish", "x * hardsigmoid(x)", hardswish, is_valley=True),
    "gelu": _entry(
        lambda a: "gelu" if a["approximate"] == "none" else "gelu_tanh",
        "x * Phi(x), Phi the normal distribution; or 'tanh' in place of erf, as in PyTorch",
        gelu,
        attributes={"approximate": Attribute(choice("none", "tanh"), "none", ("tanh",))},
        is_valley=True,
    ),
    "elu": _entry(
        "elu",
        "x if x > 0 else alpha * (exp(x) - 1)",
        elu,
        attributes={"alpha": Attribute(number, 1.0, (0.5, 2.5, -0.3))},
        slope="alpha",
        never_falls=lambda a, arrays: bool(a["alpha"] >= 0),
    ),
    "softplus": _entry("softplus", "log(1 + exp(x))", softplus, never_falls=True),
    "silu": _smooth("swish", "x * sigmoid(x), the same as swish", swish),
}
