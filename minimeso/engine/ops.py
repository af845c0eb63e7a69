"""The operations: their attributes, parameters and shapes.  The room for a new operation.

An operation is one entry of ``OPERATIONS``.  What it computes stands in ``reference.py``
(float64, the definition), how it becomes engine steps in ``plan.py``, and how fast it
runs in ``csrc``.  Shapes have no batch axis: ``(C, H, W)`` for a map, ``(F,)`` for a vector;
``None`` stands for a height or width that is known only when a picture arrives.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from ..errors import GraphError

Shape = tuple[int | None, ...]
Attributes = Mapping[str, Any]

#: Largest value of any size, stride or padding: keeps every product far from overflow.
MAX_EXTENT = 1 << 20
#: Most elements of one tensor of one image (1 GiB of float32).
MAX_ELEMENTS = 1 << 28


# --- attribute readers: JSON value in, checked value out ---------------------------------


def _integer(low: int) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise GraphError(f"must be an integer, not {value!r}")
        if not low <= value <= MAX_EXTENT:
            raise GraphError(f"must lie in {low}..{MAX_EXTENT}, not {value}")
        return value

    return read


def _pair(low: int) -> Callable[[Any], tuple[int, int]]:
    integer = _integer(low)

    def read(value: Any) -> tuple[int, int]:
        if isinstance(value, (list, tuple)):
            if len(value) != 2:
                raise GraphError(f"must be one integer or (height, width), not {value!r}")
            return integer(value[0]), integer(value[1])
        return integer(value), integer(value)

    return read


def _padding(value: Any) -> tuple[int, int, int, int]:
    """One integer, (height, width) or (top, left, bottom, right) as in ONNX."""
    if isinstance(value, (list, tuple)) and len(value) == 4:
        top, left, bottom, right = (_integer(0)(v) for v in value)
        return top, left, bottom, right
    height, width = _pair(0)(value)
    return height, width, height, width


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise GraphError(f"must be a number, not {value!r}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number) or abs(number) > 3.4e38:
        raise GraphError("must be finite in float32")
    return number


def _positive(value: Any) -> float:
    number = _number(value)
    if number <= 0:
        raise GraphError(f"must be positive, not {number}")
    return number


def _scale(value: Any) -> tuple[float, float]:
    if isinstance(value, (list, tuple)):
        if len(value) != 2:
            raise GraphError(f"must be one number or (height, width), not {value!r}")
        return _positive(value[0]), _positive(value[1])
    return _positive(value), _positive(value)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise GraphError(f"must be true or false, not {value!r}")
    return value


def _choice(*names: str) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if value not in names:
            raise GraphError(f"must be one of {', '.join(names)}, not {value!r}")
        return str(value)

    return read


def _optional(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else read(value)


class Attribute(NamedTuple):
    """One attribute: how to read it, and its default (``...`` if it must be given)."""

    read: Callable[[Any], Any]
    default: Any = ...


class Operation(NamedTuple):
    """Schema of one operation.

    Attributes:
        summary: one line for people, with the formula.
        arity: least and most number of inputs.
        attributes: name to reader and default.
        infer: input shapes and attributes to the output shape; raises ``GraphError``.
        parameters: input shapes and attributes to the shapes of its float32 arrays.
    """

    summary: str
    infer: Callable[[Sequence[Shape], Attributes], Shape]
    arity: tuple[int, int] = (1, 1)
    attributes: Mapping[str, Attribute] = {}
    parameters: Callable[[Sequence[Shape], Attributes], dict[str, tuple[int, ...]]] = (
        lambda shapes, attributes: {}
    )

    def read_attributes(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Checked attributes with defaults filled in; raises ``GraphError``."""
        unknown = sorted(set(given) - set(self.attributes))
        if unknown:
            known = ", ".join(self.attributes) or "none"
            raise GraphError(f"unknown attribute {unknown[0]!r} (known: {known})")
        values = {}
        for name, attribute in self.attributes.items():
            value = given.get(name, attribute.default)
            if value is ...:
                raise GraphError(f"attribute {name!r} is missing")
            try:
                values[name] = attribute.read(value)
            except GraphError as error:
                raise GraphError(f"attribute {name!r} {error}") from None
        return values


# --- shapes ------------------------------------------------------------------------------


def _map(shape: Shape) -> tuple[int, int | None, int | None]:
    if len(shape) != 3:
        raise GraphError(f"needs a map (C, H, W), not {shape}")
    channels, height, width = shape
    assert channels is not None
    return channels, height, width


def conv_extent(size: int | None, kernel: int, stride: int, dilation: int, pads: int) -> int | None:
    """Output extent of a convolution along one axis (PyTorch ``Conv2d``)."""
    if size is None:
        return None
    span = size + pads - dilation * (kernel - 1) - 1
    if span < 0:
        raise GraphError(f"an input of {size} + padding {pads} is smaller than its window")
    return span // stride + 1


def pool_extent(
    size: int | None,
    kernel: int,
    stride: int,
    dilation: int,
    before: int,
    after: int,
    ceil_mode: bool,
) -> int | None:
    """Output extent of a pool along one axis (PyTorch ``pooling_output_shape``)."""
    if size is None:
        return None
    span = size + before + after - dilation * (kernel - 1) - 1 + (stride - 1 if ceil_mode else 0)
    if span < 0:
        raise GraphError(f"an input of {size} is smaller than its window")
    extent = span // stride + 1
    if ceil_mode and (extent - 1) * stride >= size + before:
        extent -= 1  # the last window would start in the padding behind
    return extent


def _conv2d(shapes: Sequence[Shape], a: Attributes) -> Shape:
    channels, height, width = _map(shapes[0])
    if channels % a["groups"] or a["out_channels"] % a["groups"]:
        raise GraphError(
            f"{channels} input and {a['out_channels']} output channels cannot be split "
            f"into {a['groups']} groups"
        )
    (kh, kw), (sh, sw), (dh, dw) = a["kernel_size"], a["stride"], a["dilation"]
    top, left, bottom, right = a["padding"]
    return (
        a["out_channels"],
        conv_extent(height, kh, sh, dh, top + bottom),
        conv_extent(width, kw, sw, dw, left + right),
    )


def _conv2d_parameters(shapes: Sequence[Shape], a: Attributes) -> dict[str, tuple[int, ...]]:
    channels = _map(shapes[0])[0]
    arrays: dict[str, tuple[int, ...]] = {
        "weight": (a["out_channels"], channels // a["groups"], *a["kernel_size"])
    }
    if a["bias"]:
        arrays["bias"] = (a["out_channels"],)
    return arrays


def _linear(shapes: Sequence[Shape], a: Attributes) -> Shape:
    if len(shapes[0]) != 1:
        raise GraphError(f"needs a vector (F,), not {shapes[0]}: put a flatten before it")
    if shapes[0][0] is None:
        raise GraphError("needs a picture of fixed size: give the input's height and width")
    return (a["out_features"],)


def _linear_parameters(shapes: Sequence[Shape], a: Attributes) -> dict[str, tuple[int, ...]]:
    features = shapes[0][0]
    assert features is not None
    arrays: dict[str, tuple[int, ...]] = {"weight": (a["out_features"], features)}
    if a["bias"]:
        arrays["bias"] = (a["out_features"],)
    return arrays


def _batch_norm_parameters(shapes: Sequence[Shape], a: Attributes) -> dict[str, tuple[int, ...]]:
    channels = shapes[0][0]
    if channels is None:
        raise GraphError("needs a picture of fixed size: give the input's height and width")
    names = ["running_mean", "running_var"] + (["weight", "bias"] if a["affine"] else [])
    return dict.fromkeys(names, (channels,))


def _pool(shapes: Sequence[Shape], a: Attributes) -> Shape:
    channels, height, width = _map(shapes[0])
    kh, kw = a["kernel_size"]
    sh, sw = a["stride"] or a["kernel_size"]
    dh, dw = a.get("dilation", (1, 1))
    top, left, bottom, right = a["padding"]
    if max(top, bottom) > (dh * (kh - 1) + 1) // 2 or max(left, right) > (dw * (kw - 1) + 1) // 2:
        raise GraphError(f"padding {a['padding']} is more than half of the window")
    return (
        channels,
        pool_extent(height, kh, sh, dh, top, bottom, a["ceil_mode"]),
        pool_extent(width, kw, sw, dw, left, right, a["ceil_mode"]),
    )


def _global_pool(shapes: Sequence[Shape], a: Attributes) -> Shape:
    return (_map(shapes[0])[0], 1, 1)


def _concat(shapes: Sequence[Shape], a: Attributes) -> Shape:
    if any(len(s) != len(shapes[0]) or s[1:] != shapes[0][1:] for s in shapes):
        raise GraphError(f"inputs differ in more than their channels: {list(shapes)}")
    total = 0
    for shape in shapes:
        if shape[0] is None:
            raise GraphError("needs a picture of fixed size: give the input's height and width")
        total += shape[0]
    return (total, *shapes[0][1:])


def _binary(shapes: Sequence[Shape], a: Attributes) -> Shape:
    first, second = shapes
    if first == second or (len(first) == 3 and second == (first[0], 1, 1)):
        return first
    if len(second) == 3 and first == (second[0], 1, 1):
        return second
    raise GraphError(f"inputs must have one shape, or one of them (C, 1, 1): {first}, {second}")


def _flatten(shapes: Sequence[Shape], a: Attributes) -> Shape:
    if None in shapes[0]:
        return (None,)
    return (math.prod(d for d in shapes[0] if d is not None),)


def _pad_channels(shapes: Sequence[Shape], a: Attributes) -> Shape:
    channels, height, width = _map(shapes[0])
    return (a["before"] + channels + a["after"], height, width)


def _resize(shapes: Sequence[Shape], a: Attributes) -> Shape:
    channels, height, width = _map(shapes[0])
    if (a["size"] is None) == (a["scale"] is None):
        raise GraphError("give either 'size' or 'scale'")
    if a["size"] is not None:
        return (channels, *a["size"])
    extents = [
        None if size is None else math.floor(size * scale)
        for size, scale in zip((height, width), a["scale"], strict=True)
    ]
    if 0 in extents:
        raise GraphError(f"scale {a['scale']} makes {shapes[0]} empty")
    return (channels, *extents)


def _same(shapes: Sequence[Shape], a: Attributes) -> Shape:
    return shapes[0]


def _prelu_parameters(shapes: Sequence[Shape], a: Attributes) -> dict[str, tuple[int, ...]]:
    if a["num_parameters"] not in (1, shapes[0][0]):
        raise GraphError(f"num_parameters must be 1 or the channel count {shapes[0][0]}")
    return {"weight": (a["num_parameters"],)}


# --- the table ---------------------------------------------------------------------------

_CONV = {
    "out_channels": Attribute(_integer(1)),
    "kernel_size": Attribute(_pair(1)),
    "stride": Attribute(_pair(1), 1),
    "padding": Attribute(_padding, 0),
    "dilation": Attribute(_pair(1), 1),
    "groups": Attribute(_integer(1), 1),
    "bias": Attribute(_flag, True),
}
_POOL = {
    "kernel_size": Attribute(_pair(1)),
    "stride": Attribute(_optional(_pair(1)), None),
    "padding": Attribute(_padding, 0),
    "ceil_mode": Attribute(_flag, False),
}
_MANY = 1 << 12

OPERATIONS: dict[str, Operation] = {
    "conv2d": Operation(
        "2-D convolution (cross-correlation) with zero padding; groups as in PyTorch",
        _conv2d,
        attributes=_CONV,
        parameters=_conv2d_parameters,
    ),
    "linear": Operation(
        "y = weight @ x + bias",
        _linear,
        attributes={
            "out_features": Attribute(_integer(1)),
            "bias": Attribute(_flag, True),
        },
        parameters=_linear_parameters,
    ),
    "batch_norm": Operation(
        "(x - running_mean) / sqrt(running_var + eps) * weight + bias, per channel",
        _same,
        attributes={
            "eps": Attribute(_positive, 1e-5),
            "affine": Attribute(_flag, True),
        },
        parameters=_batch_norm_parameters,
    ),
    "max_pool2d": Operation(
        "largest value of each window; padding never wins",
        _pool,
        attributes={**_POOL, "dilation": Attribute(_pair(1), 1)},
    ),
    "avg_pool2d": Operation(
        "mean of each window",
        _pool,
        attributes={
            **_POOL,
            "count_include_pad": Attribute(_flag, True),
            "divisor_override": Attribute(_optional(_integer(1)), None),
        },
    ),
    "global_avg_pool2d": Operation("mean of each channel: (C, H, W) to (C, 1, 1)", _global_pool),
    "concat": Operation("inputs one behind the other along the channels", _concat, (1, _MANY)),
    "add": Operation("a + b, either of them may be (C, 1, 1)", _binary, (2, 2)),
    "mul": Operation("a * b, either of them may be (C, 1, 1)", _binary, (2, 2)),
    "flatten": Operation("(C, H, W) to (C * H * W,), in that order", _flatten),
    "softmax": Operation("exp(x) / sum(exp(x)) over the channels (features of a vector)", _same),
    "pad_channels": Operation(
        "zero channels before and after",
        _pad_channels,
        attributes={
            "before": Attribute(_integer(0), 0),
            "after": Attribute(_integer(0), 0),
        },
    ),
    "resize": Operation(
        "nearest or bilinear resizing (half-pixel centres), as torch interpolate without antialias",
        _resize,
        attributes={
            "mode": Attribute(_choice("nearest", "bilinear"), "nearest"),
            "size": Attribute(_optional(_pair(1)), None),
            "scale": Attribute(_optional(_scale), None),
        },
    ),
    "sigmoid": Operation("1 / (1 + exp(-x))", _same),
    "tanh": Operation("tanh(x)", _same),
    "relu": Operation("max(x, 0)", _same),
    "leaky_relu": Operation(
        "x if x > 0 else negative_slope * x",
        _same,
        attributes={"negative_slope": Attribute(_number, 0.01)},
    ),
    "prelu": Operation(
        "x if x > 0 else weight * x, weight learned (one, or one a channel)",
        _same,
        attributes={"num_parameters": Attribute(_integer(1), 1)},
        parameters=_prelu_parameters,
    ),
    "swish": Operation("x * sigmoid(x), also called SiLU", _same),
    "mish": Operation("x * tanh(softplus(x))", _same),
    "pish": Operation("x * arctan(softplus(x) + sigmoid(x)), Kawa & Syga 2021", _same),
}

#: Element-wise functions that a convolution, a sum or a pool can apply as it stores.
ACTIVATIONS = ("relu", "leaky_relu", "prelu", "swish", "mish", "pish", "sigmoid", "tanh")
