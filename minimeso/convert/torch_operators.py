"""PyTorch's operators (ATen) by what the engine does: the table of those that ``torch.export``
leaves, and those that go element by element."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from ..errors import GraphError
from . import composed, moving, torch_layers, torch_shapes
from .basics import activate, affine
from .builder import Array, Operand
from .elementwise import binary, clamp, prelu, reciprocal
from .source import Node, Reader
from .torch_arguments import TRAINS, first, ints, needed, to_floats
from .view import Value


def _arithmetic(op: str) -> Reader:
    def read(node: Node) -> Operand:
        alpha = np.float64(node.get("alpha", 1))
        first, second = (
            o if isinstance(o, (Value, np.ndarray)) else np.asarray(o, np.float64)
            for o in (node.get("self"), node.get("other"))
        )
        if alpha != 1 and isinstance(second, Value):
            second = affine(node.build, second, alpha, np.float64(0))
        elif alpha != 1:
            second = np.asarray(alpha * second)
        if isinstance(first, np.ndarray) and isinstance(second, np.ndarray):
            return np.asarray(_OF_CONSTANTS[op](first, second))
        return binary(node.build, op, first, second)

    return read


def _divided(a: Array, b: Array) -> Array:
    """Of bytes alone NumPy gives 16 bits."""
    whole = "f" not in a.dtype.kind + b.dtype.kind
    return np.asarray(np.divide(a, b, dtype=np.float64) if whole else np.divide(a, b))


_OF_CONSTANTS: dict[str, Callable[[Array, Array], Array]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": _divided,
}


def _clamp(node: Node) -> Value:
    low, high = (node.get(name) for name in ("min", "max"))
    if "min_val" in node.attributes or "max_val" in node.attributes or low is high is None:
        low, high = node.get("min_val", -1), node.get("max_val", 1)
    bounds = [None if b is None else float(b) for b in (low, high)]
    return clamp(node.build, first(node), *bounds)


def _pow(node: Node) -> Value:
    exponent = float(node.get("exponent"))
    if exponent not in (1, 2):
        raise GraphError(f"an exponent of {exponent}; known are 1 and 2")
    x = first(node)
    return x if exponent == 1 else binary(node.build, "mul", x, x)


#: From here on softplus is its argument, in float32.
_SOFT = 15


def _softplus(node: Node) -> Value:
    node.only("beta", 1, 1.0)
    threshold = float(node.get("threshold", 20))
    if threshold < _SOFT:
        raise GraphError(f"a threshold of {threshold}; known are {_SOFT} and more")
    return activate(node.build, "softplus", first(node))


def _elu(node: Node, alpha: float = 1.0, scale: float = 1.0) -> Value:
    node.only("input_scale", 1, 1.0)
    elu = activate(node.build, "elu", first(node), alpha=float(node.get("alpha", alpha)))
    return affine(node.build, elu, np.float64(node.get("scale", scale)), np.float64(0))


def _celu(node: Node) -> Value:
    return composed.celu(node.build, first(node), float(node.get("alpha", 1.0)))


def _extreme(kind: str) -> Reader:
    """Of two values; or of one, over everything."""

    def read(node: Node) -> Value:
        other = node.get("other")
        if other is None:
            return torch_layers.reduce(node, kind)
        if not isinstance(other, Value):
            raise GraphError("compares with a constant: write it with clamp")
        return composed.extreme(node.build, kind, [first(node), other])

    return read


def _prelu(node: Node) -> Value:
    x, slope = first(node), needed(node, "weight")
    if slope.size > 1:
        slope = slope.reshape(1, -1, *(1,) * (len(x.axes) - 2))
    return prelu(node.build, x, slope)


def _leaky_relu(node: Node) -> Value:
    slope = float(node.get("negative_slope", 0.01))
    return activate(node.build, "leaky_relu", first(node), negative_slope=slope)


def _gelu(node: Node) -> Value:
    kind = str(node.get("approximate", "none"))
    return activate(node.build, "gelu", first(node), approximate=kind)


def _plain(op: str) -> Reader:
    return lambda node: activate(node.build, op, first(node))


def _identity(node: Node) -> Value:
    node.get("memory_format")
    node.get("implicit")
    node.get("other")  # of floats, or the result is refused as one of integers
    return first(node)


def _dropout(node: Node) -> Value:
    node.get("p")
    if node.get("train", False):
        raise GraphError(TRAINS)
    return first(node)


def _cast(node: Node) -> Value:
    to_floats(node)
    return first(node)


def _rsub(node: Node) -> Value:
    other, alpha = np.asarray(node.get("other"), np.float64), float(node.get("alpha", 1))
    return affine(node.build, first(node), np.float64(-alpha), other)


def _glu(node: Node) -> Value:
    x, dim = first(node), int(node.get("dim", -1))
    half = (x.shape[x.axis_number(dim)] or 0) // 2
    one, other = moving.split(node.build, x, dim, [half, half])
    return binary(node.build, "mul", one, activate(node.build, "sigmoid", other))


def _sym_size(node: Node) -> list[int | None]:
    return [first(node).shape[int(node.get("dim"))]]


_BASE: dict[str, Reader] = {
    "conv1d.default": torch_layers.conv,
    "conv2d.default": torch_layers.conv,
    "conv2d.padding": torch_layers.conv,
    "conv1d.padding": torch_layers.conv,
    "convolution.default": torch_layers.conv,
    "conv_transpose1d.default": torch_layers.conv_transpose,
    "conv_transpose2d.input": torch_layers.conv_transpose,
    "linear.default": torch_layers.linear,
    "addmm.default": torch_layers.addmm,
    "mm.default": torch_layers.matmul,
    "matmul.default": torch_layers.matmul,
    "batch_norm.default": torch_layers.batch_norm,
    "_native_batch_norm_legit_no_training.default": torch_layers.batch_norm,
    "layer_norm.default": torch_layers.layer_norm,
    "native_layer_norm.default": torch_layers.layer_norm,
    "rms_norm.default": torch_layers.rms_norm,
    "native_group_norm.default": torch_layers.native_group_norm,
    "group_norm.default": torch_layers.group_norm,
    "instance_norm.default": torch_layers.instance_norm,
    "max_pool1d.default": lambda node: torch_layers.pool(node, "max_pool2d"),
    "max_pool2d.default": lambda node: torch_layers.pool(node, "max_pool2d"),
    "max_pool2d_with_indices.default": lambda node: torch_layers.pool(node, "max_pool2d"),
    "avg_pool1d.default": lambda node: torch_layers.pool(node, "avg_pool2d"),
    "avg_pool2d.default": lambda node: torch_layers.pool(node, "avg_pool2d"),
    "adaptive_avg_pool1d.default": lambda node: torch_layers.adaptive(node, "avg_pool2d"),
    "adaptive_avg_pool2d.default": lambda node: torch_layers.adaptive(node, "avg_pool2d"),
    "_adaptive_avg_pool2d.default": lambda node: torch_layers.adaptive(node, "avg_pool2d"),
    "adaptive_max_pool1d.default": lambda node: torch_layers.adaptive(node, "max_pool2d"),
    "adaptive_max_pool2d.default": lambda node: torch_layers.adaptive(node, "max_pool2d"),
    "mean.dim": lambda node: torch_layers.reduce(node, "avg"),
    "mean.default": lambda node: torch_layers.reduce(node, "avg"),
    "max.dim": lambda node: torch_layers.extreme(node, "max"),
    "min.dim": lambda node: torch_layers.extreme(node, "min"),
    "amin.default": lambda node: torch_layers.reduce(node, "min"),
    "amax.default": lambda node: torch_layers.reduce(node, "max"),
    "sum.default": lambda node: torch_layers.reduce(node, "sum"),
    "sum.dim_IntList": lambda node: torch_layers.reduce(node, "sum"),
    "linalg_vector_norm.default": torch_layers.length,
    "constant_pad_nd.default": torch_layers.pad,
    "pad.default": torch_layers.pad,
    **{
        f"{name}{rank}d.default": partial(torch_layers.padded, argument="padding", mode=mode)
        for name, mode in (("reflection_pad", "reflect"), ("replication_pad", "replicate"))
        for rank in (1, 2)
    },
    **{
        f"upsample_{name}.{form}": partial(torch_layers.upsample, mode=mode)
        for name, mode in (
            ("nearest1d", "nearest"),
            ("nearest2d", "nearest"),
            ("linear1d", "bilinear"),
            ("bilinear2d", "bilinear"),
        )
        for form in ("vec", "default")
    },
    "view.default": torch_shapes.reshape,
    "reshape.default": torch_shapes.reshape,
    "_unsafe_view.default": torch_shapes.reshape,
    "reshape_as.default": torch_shapes.reshape,
    "view_as.default": torch_shapes.reshape,
    "flatten.using_ints": torch_shapes.flatten,
    "permute.default": lambda node: first(node).permuted(ints(node.get("dims"))),
    "transpose.int": torch_shapes.transpose,
    "movedim.int": torch_shapes.movedim,
    "movedim.intlist": torch_shapes.movedim,
    "t.default": lambda node: first(node).permuted(list(range(len(first(node).axes)))[::-1]),
    "squeeze.default": torch_shapes.squeeze,
    "squeeze.dim": torch_shapes.squeeze,
    "squeeze.dims": torch_shapes.squeeze,
    "unsqueeze.default": lambda node: first(node).unsqueezed(ints(node.get("dim"))),
    "slice.Tensor": torch_shapes.cut,
    "narrow.default": torch_shapes.narrow,
    "select.int": torch_shapes.select,
    "chunk.default": torch_shapes.chunk,
    "split.Tensor": torch_shapes.split,
    "split_with_sizes.default": torch_shapes.split,
    "split.sizes": torch_shapes.split,
    "stack.default": torch_shapes.stack,
    "unbind.int": torch_shapes.unbind,
    "expand.default": torch_shapes.expand,
    "expand_as.default": torch_shapes.expand,
    "repeat.default": torch_shapes.repeat,
    "tile.default": torch_shapes.repeat,
    "flip.default": torch_shapes.flip,
    "index_select.default": torch_shapes.index_select,
    "index.Tensor": torch_shapes.index,
    "unflatten.int": torch_shapes.unflatten,
    "cat.default": torch_shapes.cat,
    "concat.default": torch_shapes.cat,
    "softmax.int": torch_shapes.softmax,
    "_softmax.default": torch_shapes.softmax,
    "argmax.default": torch_shapes.argmax,
    "pixel_shuffle.default": torch_shapes.pixel_shuffle,
    "pixel_unshuffle.default": torch_shapes.pixel_unshuffle,
    "channel_shuffle.default": torch_shapes.channel_shuffle,
    "add.Tensor": _arithmetic("add"),
    "sub.Tensor": _arithmetic("sub"),
    "mul.Tensor": _arithmetic("mul"),
    "div.Tensor": _arithmetic("div"),
    "add.Scalar": _arithmetic("add"),
    "sub.Scalar": _arithmetic("sub"),
    "mul.Scalar": _arithmetic("mul"),
    "div.Scalar": _arithmetic("div"),
    "neg.default": lambda node: affine(node.build, first(node), np.float64(-1), np.float64(0)),
    "rsub.Scalar": _rsub,
    "glu.default": _glu,
    "pow.Tensor_Scalar": _pow,
    "square.default": lambda n: binary(n.build, "mul", first(n), first(n)),
    "clamp.default": _clamp,
    "hardtanh.default": _clamp,
    "clamp_min.default": _clamp,
    "clamp_max.default": _clamp,
    "relu.default": _plain("relu"),
    "relu6.default": _plain("relu6"),
    "sigmoid.default": _plain("sigmoid"),
    "sqrt.default": _plain("sqrt"),
    "erf.default": _plain("erf"),
    "reciprocal.default": lambda node: reciprocal(node.build, first(node)),
    "rsqrt.default": lambda node: reciprocal(node.build, activate(node.build, "sqrt", first(node))),
    "tanh.default": _plain("tanh"),
    "silu.default": _plain("swish"),
    "mish.default": _plain("mish"),
    "hardswish.default": _plain("hardswish"),
    "hardsigmoid.default": _plain("hardsigmoid"),
    "softplus.default": _softplus,
    "elu.default": _elu,
    "selu.default": lambda node: _elu(node, 1.6732632423543772848, 1.0507009873554804934),
    "celu.default": _celu,
    "abs.default": lambda node: composed.absolute(node.build, first(node)),
    "max.other": _extreme("max"),
    "maximum.default": _extreme("max"),
    "min.other": _extreme("min"),
    "minimum.default": _extreme("min"),
    "max.default": _extreme("max"),
    "min.default": _extreme("min"),
    "prelu.default": _prelu,
    "leaky_relu.default": _leaky_relu,
    "gelu.default": _gelu,
    "dropout.default": _dropout,
    "feature_dropout.default": _dropout,
    "alpha_dropout.default": _dropout,
    "feature_alpha_dropout.default": _dropout,
    "contiguous.default": _identity,
    "clone.default": _identity,
    "detach.default": _identity,
    "alias.default": _identity,
    "lift_fresh_copy.default": _identity,
    "_to_copy.default": _cast,
    "to.dtype": _cast,
    "to.dtype_layout": _cast,
    "to.device": _cast,
    "type_as.default": _identity,
    "sym_size.int": _sym_size,
}

#: What PyTorch has under two names.  ``torch.tensor`` in ``forward`` leaves a ``detach_``.
ALIASES = {
    "detach_.default": "detach.default",
    "absolute.default": "abs.default",
    "clip.default": "clamp.default",
    "concatenate.default": "cat.default",
    "moveaxis.int": "movedim.int",
    "moveaxis.intlist": "movedim.intlist",
    "negative.default": "neg.default",
    "swapaxes.default": "transpose.int",
    "swapdims.default": "transpose.int",
} | {
    f"{other}.{kind}": f"{name}.{kind}"
    for other, name in (
        ("divide", "div"), ("true_divide", "div"), ("multiply", "mul"), ("subtract", "sub"),
    )
    for kind in ("Tensor", "Scalar")
}  # fmt: skip
#: Operators whose results are views in PyTorch, too, or may be.
VIEWS = frozenset(
    {
        "view.default", "reshape.default", "_unsafe_view.default", "flatten.using_ints",
        "unflatten.int", "permute.default", "transpose.int", "movedim.int", "movedim.intlist",
        "t.default", "squeeze.default",
        "squeeze.dim", "squeeze.dims", "unsqueeze.default", "slice.Tensor", "narrow.default",
        "select.int", "chunk.default", "split.Tensor", "split_with_sizes.default", "split.sizes",
        "unbind.int", "contiguous.default", "to.dtype", "to.dtype_layout", "expand.default",
        "expand_as.default", "reshape_as.default", "view_as.default", "to.device",
        "type_as.default",
    }
)  # fmt: skip
#: Operators whose result is their argument itself.
SAME = frozenset(
    {
        "detach.default", "alias.default", "dropout.default", "feature_dropout.default",
        "alpha_dropout.default", "feature_alpha_dropout.default",
    }
)  # fmt: skip
#: Operators that keep elements where they are, of a picture before it is turned.
KEEPS = frozenset(
    {
        "to.dtype", "to.dtype_layout", "_to_copy.default", "contiguous.default", "clone.default",
        "detach.default", "alias.default", "clamp.default", "add.Tensor", "sub.Tensor",
        "mul.Tensor", "div.Tensor", "add.Scalar", "sub.Scalar", "mul.Scalar", "div.Scalar",
    }
)  # fmt: skip
#: Operators that may have results of integers: they keep them, or their integers are places.
OF_INTEGERS = (VIEWS - {"type_as.default"}) | SAME | {
    "max_pool2d_with_indices.default",
    "argmax.default", "max.dim", "min.dim", "adaptive_max_pool1d.default",
    "adaptive_max_pool2d.default", "cat.default",
    "concat.default", "stack.default", "clone.default", "lift_fresh_copy.default",
    "_to_copy.default",
}  # fmt: skip
#: Operators that change their first argument: ``relu_`` for ``relu``.
IN_PLACE = frozenset(
    name.replace(".", "_.", 1)
    for name in _BASE
    if name.partition(".")[0]
    in {
        "add", "sub", "mul", "div", "relu", "relu6", "sigmoid", "tanh", "silu", "mish", "hardswish",
        "hardsigmoid", "hardtanh", "clamp", "clamp_min", "clamp_max", "leaky_relu", "elu", "selu",
        "celu", "abs", "dropout", "neg",
    }
)  # fmt: skip
READERS = {**_BASE, **{name: _BASE[name.replace("_.", ".", 1)] for name in IN_PLACE}}

#: Of these there are only the formulas that they are part of.
PARTS = frozenset(
    {
        "erf.default", "linalg_vector_norm.default", "sqrt.default", "rsqrt.default",
        "reciprocal.default",
    }
)  # fmt: skip
