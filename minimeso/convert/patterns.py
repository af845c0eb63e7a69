"""Formulas that exporters write out and the engine knows as one operator.

Looked for when their last step is made; the steps before it stay as nodes, which are left out if
nothing else reads them.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from .basics import CLOSE, affine, made_by, scaled
from .builder import Array, Builder
from .layers import layer_norm
from .view import Value


def _is(found: tuple[float, float], scale: float, shift: float) -> bool:
    return math.isclose(found[0], scale, rel_tol=CLOSE, abs_tol=CLOSE) and math.isclose(
        found[1], shift, rel_tol=CLOSE, abs_tol=CLOSE
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
    if not _is((inner[0], inner[1]), 1 / math.sqrt(2), 0):
        return None
    own, *outer = scaled(build, x.name)
    whole = outer[0] * of_erf[0]  # times x (1 + erf)
    if own != source or not _is((of_erf[0], of_erf[1]), of_erf[0], of_erf[0]) or outer[1]:
        return None
    gelu = replace(x, name=build.emit("gelu", [source]))
    factor = 2 * whole
    if abs(factor - 1) < CLOSE:
        return gelu
    return affine(build, gelu, np.float64(factor), np.float64(0))


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
    x = centre[0]
    rank = len(x.axes)
    order = [*(i for i in range(rank) if i not in axes), *axes]
    made = layer_norm(build, x.permuted(order), len(axes), None, None, eps)
    return made.permuted([order.index(i) for i in range(rank)])
