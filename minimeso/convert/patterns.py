"""Formulas that exporters write out and the engine knows as one operator.

Looked for when their last step is made; the steps before it stay as nodes, which are left out if
nothing else reads them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from . import moving
from .basics import CLOSE, affine, made_by, scaled
from .builder import Array, Builder
from .layers import layer_norm
from .view import Value

#: Below it is what keeps a length from 0, which nothing but 0 is seen of.
_TINY = 1e-6
_NO_EPS = 1e-24
_ZERO = np.float64(0)


def _is(found: tuple[float, float], scale: float, shift: float) -> bool:
    return all(
        math.isclose(number, wanted, rel_tol=CLOSE, abs_tol=0 if wanted else CLOSE)
        for number, wanted in zip(found, (scale, shift), strict=True)
    )


def product(build: Builder, a: Value, b: Value) -> Value | None:
    """x sigmoid(x), x hardsigmoid(x), x tanh(softplus(x)), x (1 + erf(x / sqrt 2)) and its half."""
    if a.axes != b.axes or a.stored != b.stored:
        return None
    for x, f in ((a, b), (b, a)):
        made = build.nodes.get(f.name)
        if made is None:
            continue
        op = {"sigmoid": "swish", "hardsigmoid": "hardswish"}.get(made.op)
        if op is not None and made.inputs[0] == x.name:
            return replace(x, name=build.emit(op, [x.name]))
        softplus = made_by(build, made.inputs[0], "softplus") if made.op == "tanh" else None
        if softplus is not None and softplus.inputs[0] == x.name:
            return replace(x, name=build.emit("mish", [x.name]))
        found = _gelu(build, x, f)
        if found is not None:
            return found
    return None


def _gelu(build: Builder, x: Value, f: Value) -> Value | None:
    erf_name, *of_erf = scaled(build, f.name)
    erf = made_by(build, erf_name, "erf")
    if erf is None:
        return None
    source, *inner = scaled(build, erf.inputs[0])
    own, *outer = scaled(build, x.name)
    if own != source or not _is((of_erf[0], of_erf[1]), of_erf[0], of_erf[0]):
        return None
    scale, shift = (number * math.sqrt(2) for number in inner)  # of x in x (1 + erf(x / sqrt 2))
    if not scale or not math.isclose(outer[1] * scale, outer[0] * shift, rel_tol=CLOSE):
        return None
    if _is((scale, shift), 1, 0):
        scale, argument = 1.0, replace(x, name=source)
    elif _is((scale, shift), outer[0], outer[1]):
        scale, argument = outer[0], x
    else:
        argument = replace(x, name=source)
        argument = affine(build, argument, np.float64(scale), np.float64(shift))
    gelu = replace(x, name=build.emit("gelu", [argument.name]))
    factor = 2 * of_erf[0] * outer[0] / scale
    if abs(factor - 1) < CLOSE:
        return gelu
    return affine(build, gelu, np.float64(factor), _ZERO)


def hardsigmoid(build: Builder, x: Value, low: float | None, high: float | None) -> str | None:
    """min(max(x / 6 + 0.5, 0), 1)."""
    source, scale, shift = scaled(build, x.name)
    if (low, high) == (0, 1) and _is((scale, shift), 1 / 6, 0.5):
        return build.emit("hardsigmoid", [source])
    return None


def hardswish(build: Builder, x: Value, constant: Array) -> Value | None:
    """x relu6(x + 3) / 6, and relu6(x + 3) / 6."""
    if constant.size != 1 or not _is((float(constant.item()), 0), 1 / 6, 0):
        return None
    made = build.nodes.get(x.name)
    if made is None:
        return None
    if made.op == "relu6":
        source, scale, shift = scaled(build, made.inputs[0])
        if _is((scale, shift), 1, 3):
            return replace(x, name=build.emit("hardsigmoid", [source]))
    if made.op == "mul":
        for own, other in (made.inputs, made.inputs[::-1]):
            relu6 = made_by(build, other, "relu6")
            if relu6 is None:
                continue
            source, scale, shift = scaled(build, relu6.inputs[0])
            if source == own and _is((scale, shift), 1, 3):
                return replace(x, name=build.emit("hardswish", [own]))
    return None


def normalized(build: Builder, a: Value, b: Value) -> Value | None:
    """d / sqrt(mean(d d) + eps) with d = x - mean(x): a layer norm without its weights."""
    root = made_by(build, b.name, "sqrt")
    if root is None:
        return None
    mean_name, scale, eps = scaled(build, root.inputs[0])
    mean = build.means.get(mean_name)
    if mean is None or scale != 1 or eps <= 0:
        return None
    square, axes = mean
    squared, deviation = build.terms.get(square.name), build.terms.get(a.name)
    if squared is None or deviation is None or deviation[0] != "sub":
        return None
    if squared[0] != "mul" or squared[1].name != squared[2].name:
        return None
    if a.name != squared[1].name and build.terms.get(squared[1].name) != deviation:
        return None  # the same difference may be written twice
    centre = build.means.get(deviation[2].name)
    if centre is None or centre != (deviation[1], axes):
        return None
    whole = deviation[1].axes
    spread = tuple(() if i in axes else atoms for i, atoms in enumerate(whole))
    if any(value.axes != whole for value in (a, square, *squared[1:])):
        return None  # turned in between
    if b.axes != spread or deviation[2].axes != spread:
        return None
    x = centre[0]
    rank = len(x.axes)
    order = [*(i for i in range(rank) if i not in axes), *axes]
    made = layer_norm(build, x.permuted(order), len(axes), None, None, eps)
    return made.permuted([order.index(i) for i in range(rank)])


def divided(build: Builder, a: Value, b: Value) -> Value | None:
    """x divided by the root of a mean: a layer norm, or x by its own length."""
    return normalized(build, a, b) or by_length(build, a, b)


def times_root(build: Builder, a: Value, b: Value) -> Value | None:
    """The same where x is multiplied by 1 / the root."""
    for x, f in ((a, b), (b, a)):
        made = made_by(build, f.name, "reciprocal")
        found = divided(build, x, replace(f, name=made.inputs[0])) if made is not None else None
        if found is not None:
            return found
    return None


def by_length(build: Builder, a: Value, b: Value) -> Value | None:
    """x / sqrt(s mean(x x) + eps), the root not below some tiny number: a layer norm of x and -x,
    the mean of which is 0."""
    name, least = b.name, 0.0
    clamp = made_by(build, name, "clamp")
    if clamp is not None and clamp.attributes.get("max") is None:
        name, least = clamp.inputs[0], float(clamp.attributes["min"])
    name, factor, shift = scaled(build, name)
    root = made_by(build, name, "sqrt")
    if root is None or factor <= 0 or not max(abs(least), abs(shift)) <= _TINY:
        return None
    mean_name, scale, eps = scaled(build, root.inputs[0])
    mean = build.means.get(mean_name)
    squared = build.terms.get(mean[0].name) if mean is not None else None
    if mean is None or squared is None or squared[0] != "mul" or scale <= 0 or eps < 0:
        return None
    (square, axes), (_, x, again) = mean, squared
    spread = tuple(() if i in axes else atoms for i, atoms in enumerate(x.axes))
    if x != again or (a.name, a.axes) != (x.name, x.axes):
        return None
    if square.axes != x.axes or b.axes != spread:
        return None
    found = by_root_mean_square(build, x, axes, eps / scale)
    return affine(build, found, np.float64(1 / (factor * math.sqrt(scale))), _ZERO)


def by_root_mean_square(build: Builder, x: Value, axes: Sequence[int], eps: float) -> Value:
    """x / sqrt(mean(x x) + eps), over some axes."""
    rank, first = len(x.axes), axes[0]
    both = moving.concat(build, [x, affine(build, x, np.float64(-1), _ZERO)], first)
    order = [*(i for i in range(rank) if i not in axes), *axes]
    made = layer_norm(build, both.permuted(order), len(axes), None, None, max(eps, _NO_EPS))
    made = made.permuted([order.index(i) for i in range(rank)])
    return moving.narrow(build, made, first, 0, x.shape[first] or 1)
