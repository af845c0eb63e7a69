"""ONNX' operators by what the engine does: the table, and those that go element by element."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import GraphError
from . import composed, onnx_layers, onnx_shapes
from .basics import activate, affine
from .builder import Operand
from .elementwise import as_deep, binary, clamp, hardsigmoid, prelu, reciprocal
from .onnx_resize import resize
from .source import Node, Reader, text_of
from .view import Value

#: float, float16, double, bfloat16 in onnx.TensorProto: types that a network computes in.  That the
#: engine does so in float32 is more exact, so casts of values to them round nothing, in
#: ``.pt2`` neither; constants are rounded, in both.
FLOATS = (1, 10, 11, 16)


def _clip(node: Node) -> Value:
    bounds: list[float | None] = []
    for place, name in ((1, "min"), (2, "max")):
        constant = node.optional(place, name)
        bound = node.get(name) if constant is None else float(constant.reshape(-1)[0])
        bounds.append(bound)
    low, high = bounds
    if low is not None and high is not None and low > high:
        bounds[0] = high  # as NumPy, which ONNX follows
    return clamp(node.build, node.value(), *bounds)


def _bound(node: Node, kind: str) -> Value:
    """Min or Max of values and constants of one number."""
    values = [one for one in node.inputs if isinstance(one, Value)]
    constants = [one for one in node.inputs if isinstance(one, np.ndarray)]
    if any(constant.size != 1 for constant in constants):
        raise GraphError("compares with a constant of several numbers; known is one")
    if not values:
        node.value()
    found = composed.extreme(node.build, kind, values)
    for constant in constants:
        bound = float(constant.reshape(-1)[0])
        low, high = (None, bound) if kind == "min" else (bound, None)
        found = clamp(node.build, as_deep(found, constant), low, high)
    return found


def _arithmetic(op: str) -> Reader:
    def read(node: Node) -> Value:
        node.get("broadcast")  # of opset 6, which spreads as later ones do where it names no axis
        return binary(node.build, op, node.inputs[0], node.inputs[1])

    return read


def _sum(node: Node) -> Operand:
    result: Operand = node.inputs[0]
    for other in node.inputs[1:]:
        if isinstance(result, np.ndarray) and isinstance(other, np.ndarray):
            result = np.asarray(result + other)
        else:
            result = binary(node.build, "add", result, other)
    return result


def _mean_of(node: Node) -> Operand:
    whole = _sum(node)
    if not isinstance(whole, Value):
        return np.asarray(whole / len(node.inputs))
    return affine(node.build, whole, np.float64(1 / len(node.inputs)), np.float64(0))


def _pow(node: Node) -> Value:
    exponent = node.constant(1, "exponent")
    if exponent.size != 1 or float(exponent.reshape(-1)[0]) not in (1, 2, 0.5):
        raise GraphError("an exponent that is not 1, 2 or 0.5")
    x, power = as_deep(node.value(), exponent), float(exponent.reshape(-1)[0])
    if power == 0.5:
        return activate(node.build, "sqrt", x)
    return x if power == 1 else binary(node.build, "mul", x, x)


def _prelu(node: Node) -> Value:
    x, slope = node.value(), node.constant(1, "slope")
    if node.version < 7 and slope.size > 1:  # one for each channel, whatever the rank
        slope = slope.reshape(1, -1, *(1,) * (len(x.axes) - 2))
    return prelu(node.build, x, slope)


def _selu(node: Node) -> Value:
    alpha = node.get("alpha", 1.6732632423543772848)
    gamma = node.get("gamma", 1.0507009873554804934)
    elu = activate(node.build, "elu", node.value(), alpha=float(alpha))
    return affine(node.build, elu, np.float64(gamma), np.float64(0))


def _gelu(node: Node) -> Value:
    kind = text_of(node.get("approximate", b"none"))
    return activate(node.build, "gelu", node.value(), approximate=kind)


def _swish(node: Node) -> Value:
    node.only("alpha", 1.0)
    return activate(node.build, "swish", node.value())


def _plain(op: str, **attributes: tuple[str, float]) -> Reader:
    """An activation; its attributes by our names: (theirs, default)."""

    def read(node: Node) -> Value:
        values: dict[str, Any] = {
            ours: float(node.get(theirs, default)) for ours, (theirs, default) in attributes.items()
        }
        return activate(node.build, op, node.value(), **values)

    return read


def _hardsigmoid(node: Node) -> Value:
    return hardsigmoid(node.build, node.value(), node.get("alpha", 0.2), node.get("beta", 0.5))


def _identity(node: Node) -> Value:
    return node.value()


def _dropout(node: Node) -> Value:
    if node.outputs > 1:
        raise GraphError("its mask is used")
    for name in ("ratio", "seed", "is_test"):
        node.get(name)
    training = node.optional(2, "training_mode")
    if training is not None and training.any():
        raise GraphError("is in training mode: export the network in evaluation mode")
    return node.value()


def _cast(node: Node) -> Value:
    node.get("saturate")
    node.get("round_mode")
    if node.get("to") not in FLOATS:
        import onnx

        kind = onnx.TensorProto.DataType.Name(node.get("to"))
        raise GraphError(
            f"casts to {kind}; the engine computes in float32: leave the cast out, or export the"
            " network before quantization"
        )
    return node.value()


def _times(factor: float) -> Reader:
    return lambda node: affine(node.build, node.value(), np.float64(factor), np.float64(0))


READERS: dict[str, Reader] = {
    "Add": _arithmetic("add"),
    "Sub": _arithmetic("sub"),
    "Mul": _arithmetic("mul"),
    "Div": _arithmetic("div"),
    "Sum": _sum,
    "Mean": _mean_of,
    "Neg": _times(-1),
    "Pow": _pow,
    "Sqrt": lambda node: activate(node.build, "sqrt", node.value()),
    "Reciprocal": lambda node: reciprocal(node.build, node.value()),
    "Erf": lambda node: activate(node.build, "erf", node.value()),
    "Min": lambda node: _bound(node, "min"),
    "Max": lambda node: _bound(node, "max"),
    "Clip": _clip,
    "Relu": _plain("relu"),
    "Sigmoid": _plain("sigmoid"),
    "Tanh": _plain("tanh"),
    "Softplus": _plain("softplus"),
    "HardSwish": _plain("hardswish"),
    "Mish": _plain("mish"),
    "LeakyRelu": _plain("leaky_relu", negative_slope=("alpha", 0.01)),
    "Elu": _plain("elu", alpha=("alpha", 1.0)),
    "Selu": _selu,
    "Celu": lambda node: composed.celu(node.build, node.value(), float(node.get("alpha", 1.0))),
    "Abs": lambda node: composed.absolute(node.build, node.value()),
    "Softsign": lambda node: composed.softsign(node.build, node.value()),
    "PRelu": _prelu,
    "HardSigmoid": _hardsigmoid,
    "Gelu": _gelu,
    "Swish": _swish,
    "Conv": onnx_layers.conv,
    "ConvTranspose": onnx_layers.conv_transpose,
    "Gemm": onnx_layers.gemm,
    "MatMul": onnx_layers.matmul,
    "BatchNormalization": onnx_layers.batch_norm,
    "InstanceNormalization": onnx_layers.instance_norm,
    "GroupNormalization": onnx_layers.group_norm,
    "LayerNormalization": onnx_layers.layer_norm,
    "RMSNormalization": onnx_layers.rms_norm,
    "MaxPool": lambda node: onnx_layers.pool(node, "max_pool2d"),
    "AveragePool": lambda node: onnx_layers.pool(node, "avg_pool2d"),
    "GlobalAveragePool": lambda node: onnx_layers.over_map(node, "avg"),
    "GlobalMaxPool": lambda node: onnx_layers.over_map(node, "max"),
    "ReduceMean": lambda node: onnx_layers.reduce(node, "avg"),
    "ReduceMax": lambda node: onnx_layers.reduce(node, "max"),
    "ReduceMin": lambda node: onnx_layers.reduce(node, "min"),
    "ReduceSum": lambda node: onnx_layers.reduce(node, "sum"),
    "ReduceL2": lambda node: onnx_layers.reduce(node, "length"),
    "LpNormalization": onnx_layers.unit_length,
    "Pad": onnx_layers.pad,
    "Resize": resize,
    "Upsample": resize,
    "DepthToSpace": onnx_shapes.depth_to_space,
    "SpaceToDepth": onnx_shapes.space_to_depth,
    "Concat": onnx_shapes.concat,
    "Split": onnx_shapes.split,
    "Slice": onnx_shapes.cut,
    "Gather": onnx_shapes.gather,
    "Expand": onnx_shapes.expand,
    "Tile": onnx_shapes.tile,
    "Reshape": onnx_shapes.reshape,
    "Flatten": onnx_shapes.flatten,
    "Softmax": onnx_shapes.softmax,
    "ArgMax": onnx_shapes.argmax,
    "Transpose": lambda node: node.value().permuted(
        node.get("perm", list(range(len(node.value().axes)))[::-1])
    ),
    "Squeeze": lambda node: node.value().squeezed(onnx_shapes.axes(node)),
    "Unsqueeze": lambda node: node.value().unsqueezed(onnx_shapes.axes(node) or []),
    "Identity": _identity,
    "Dropout": _dropout,
    "Cast": _cast,
}

#: Of these there are only the formulas that they are part of.
PARTS = frozenset({"Erf", "Sqrt", "ReduceL2", "Reciprocal"})
