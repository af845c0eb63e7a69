"""What an exported program computes from parameters and sizes alone: views of them, mostly, such as
``weight[:, None, None]``, and grids of coordinates.  What may be larger than what it is made of is
measured before."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..errors import GraphError
from .builder import NEEDS_SIZE, Array
from .source import Node, Reader
from .torch_arguments import array, ints, needed, swapped


def _flattened(node: Node) -> Array:
    x = needed(node, "self")
    start, end = (int(node.get(n, d)) % x.ndim for n, d in (("start_dim", 0), ("end_dim", -1)))
    return x.reshape(*x.shape[:start], -1, *x.shape[end + 1 :])


def _squeezed(node: Node) -> Array:
    x = needed(node, "self")
    numbers = range(x.ndim) if node.get("dim") is None else ints(node.get("dim"))
    return x.squeeze(tuple(i % x.ndim for i in numbers if x.shape[i] == 1))


def _reshaped(node: Node) -> Array:
    x, other = needed(node, "self"), node.get("other")
    if other is not None:
        return x.reshape(_checked(other.shape))
    return x.reshape(ints(node.get("size", node.get("shape"))))


def _sliced(node: Node) -> Array:
    x, dim = needed(node, "self"), int(node.get("dim", 0))
    part = slice(node.get("start"), node.get("end"), node.get("step", 1))
    return x[(slice(None),) * (dim % x.ndim) + (part,)]


def _same(node: Node) -> Array:
    node.get("memory_format")
    return needed(node, "self")


def _cast(node: Node) -> Array:
    for name in ("non_blocking", "copy"):
        node.get(name)
    return _typed(node, needed(node, "self"))


def _cast_as(node: Node) -> Array:
    x, other = needed(node, "self"), node.get("other")
    kind = other.dtype if isinstance(other, np.ndarray) else np.dtype(np.float32)
    return x if x.dtype.kind == kind.kind == "f" else x.astype(kind)


def _narrowed(node: Node) -> Array:
    x, dim, start = (needed(node, "self"), int(node.get("dim")), int(node.get("start")))
    start += x.shape[dim] if start < 0 else 0
    part = slice(start, start + int(node.get("length")))
    return x[(slice(None),) * (dim % x.ndim) + (part,)]


def _repeated(node: Node) -> Array:
    x, counts = needed(node, "self"), ints(node.get("repeats", node.get("dims")))
    kept = [1] * (len(counts) - x.ndim) + list(x.shape)
    counts = [1] * (len(kept) - len(counts)) + counts
    _checked([size * count for size, count in zip(kept, counts, strict=True)])
    return np.tile(x, counts)


def _product(other: str) -> Callable[[Node], Array]:
    return lambda node: np.asarray(needed(node, "self") @ needed(node, other))


def _parted(node: Node) -> list[Array]:
    """``chunk`` and ``split``."""
    x, dim = needed(node, "self"), int(node.get("dim", 0))
    size, count = x.shape[dim], node.get("chunks")
    sizes = node.get("split_size", node.get("split_sizes"))
    if not isinstance(sizes, list):
        each = int(sizes) if count is None else -(-size // int(count))
        sizes = [min(each, size - at) for at in range(0, size, each)]
    return np.split(x, np.cumsum(ints(sizes))[:-1], dim)


def _over(how: Callable[..., Array]) -> Callable[[Node], Array]:
    """A reduction of NumPy."""

    def read(node: Node) -> Array:
        x, dims = needed(node, "self"), node.get("dim")
        node.only("dtype", None, 7)
        axes = tuple(ints(dims)) if dims not in (None, []) else None
        return np.asarray(how(x, axis=axes, keepdims=bool(node.get("keepdim", False))))

    return read


def _deviation(node: Node, squared: bool = False) -> Array:
    x, dims, less = needed(node, "self"), node.get("dim"), node.get("correction", 1)
    if node.get("unbiased") is not None:
        less = int(bool(node.get("unbiased")))
    axes = tuple(ints(dims)) if dims not in (None, []) else None
    keep = bool(node.get("keepdim", False))
    variance = x.var(axis=axes, ddof=1 if less is None else less, keepdims=keep)
    return np.asarray(variance if squared else np.sqrt(variance))


def _length(x: Array, axis: tuple[int, ...] | None, keepdims: bool) -> Array:
    return np.asarray(np.sqrt((x * x).sum(axis=axis, keepdims=keepdims)))


def _vector_norm(node: Node) -> Array:
    node.only("ord", 2, 2.0)
    return _over(_length)(node)


def _weight_norm(node: Node) -> Array:
    """g v / |v|, the length over all axes but one."""
    v, g, dim = needed(node, "v"), needed(node, "g"), int(node.get("dim", 0))
    axes = tuple(i for i in range(v.ndim) if i != dim % v.ndim) if dim != -1 else None
    return np.asarray(v * (g / _length(v, axes, True)))


def _standardized(node: Node) -> Array:
    """Weights (1, C, ...) by their own statistics: the batch norm of training, as in NFNets."""
    for name in ("momentum", "cudnn_enabled"):
        node.get(name)
    node.only("training", True)
    for name in ("running_mean", "running_var"):  # those of training are not read
        node.get(name)
    x, scale, shift = needed(node, "input"), array(node, "weight"), array(node, "bias")
    axes = tuple(i for i in range(x.ndim) if i != 1)
    variance = x.var(axes, keepdims=True) + float(node.get("eps"))
    found = (x - x.mean(axes, keepdims=True)) / np.sqrt(variance)
    along = [-1 if i == 1 else 1 for i in range(x.ndim)]
    found = found if scale is None else found * scale.reshape(along)
    return np.asarray(found if shift is None else found + shift.reshape(along))


def _softmax(node: Node) -> Array:
    node.only("dtype", None, 7)
    node.only("half_to_float", False)
    x, dim = needed(node, "self"), int(node.get("dim"))
    e = np.exp(x - x.max(axis=dim, keepdims=True))
    return np.asarray(e / e.sum(axis=dim, keepdims=True))


def _clamped(node: Node) -> Array:
    low, high = node.get("min"), node.get("max")
    return np.asarray(np.clip(needed(node, "self"), low, high))


def _softplus(node: Node) -> Array:
    node.only("beta", 1, 1.0)
    node.only("threshold", 20, 20.0)
    return np.asarray(np.logaddexp(needed(node, "self"), 0))


def _each(how: Callable[[Array], Array]) -> Callable[[Node], Array]:
    """A function of NumPy, element by element."""
    return lambda node: np.asarray(how(needed(node, "self")))


def _real(how: Callable[[Array], Array]) -> Callable[[Node], Array]:
    """The same with results that are no integers: of bytes NumPy has them in 16 bits."""
    return _each(lambda x: how(x if x.dtype.kind == "f" else x.astype(np.float32)))


#: Most elements of a constant that is made.
_MOST_ELEMENTS = 1 << 26
#: ScalarType -> NumPy's; without one it is float32, or int64 of whole numbers.
_TYPES = {4: np.int32, 5: np.int64, **dict.fromkeys((6, 7, 8, 13), np.float32), 12: np.bool_}


def _checked(shape: Sequence[Any]) -> list[int]:
    if None in shape:
        raise GraphError(NEEDS_SIZE)
    if math.prod(map(float, shape)) > _MOST_ELEMENTS or min(shape, default=0) < 0:
        raise GraphError(f"a constant of the shape {tuple(shape)}")
    return [int(size) for size in shape]


def _typed(node: Node, array: Array) -> Array:
    for name in ("layout", "device", "pin_memory", "memory_format", "requires_grad"):
        node.get(name)
    given = node.get("dtype")
    if given is not None and given not in _TYPES:
        raise GraphError(f"makes a constant of the type {given}")
    return array.astype(_TYPES[given]) if given is not None else array


def _filled(number: float | None) -> Callable[[Node], Array]:
    """All elements the same number, of a shape or of that of a value."""

    def read(node: Node) -> Array:
        of = node.get("self")
        size = node.get("size", of.shape if of is not None else None)
        wanted = node.get("fill_value") if number is None else number
        shape = _checked(size if isinstance(size, (list, tuple)) else [size])
        return _typed(node, np.full(shape, wanted, np.float32))

    return read


def _arange(node: Node) -> Array:
    start, end, step = node.get("start", 0), node.get("end"), node.get("step", 1)
    if None in (start, end, step):
        raise GraphError(NEEDS_SIZE)
    _checked([math.ceil((end - start) / step) if step else _MOST_ELEMENTS + 1])
    found = np.arange(start, end, step)
    return _typed(node, found if found.dtype.kind == "i" else found.astype(np.float32))


def _linspace(node: Node) -> Array:
    steps = _checked([node.get("steps")])[0]
    return _typed(node, np.linspace(node.get("start"), node.get("end"), steps, dtype=np.float32))


def _meshgrid(node: Node) -> list[Array]:
    arrays = [np.asarray(one) for one in node.get("tensors")]
    _checked([one.size for one in arrays])
    indexing: Any = node.get("indexing", "ij")
    return [np.array(one) for one in np.meshgrid(*arrays, indexing=indexing)]


def _joined(stacked: bool) -> Callable[[Node], Array]:
    def read(node: Node) -> Array:
        arrays, dim = [np.asarray(one) for one in node.get("tensors")], int(node.get("dim", 0))
        _checked([sum(one.size for one in arrays)])
        return np.stack(arrays, dim) if stacked else np.concatenate(arrays, dim)

    return read


def _expanded(node: Node) -> Array:
    x, other = needed(node, "self"), node.get("other")
    node.get("implicit")
    wanted = list(other.shape) if other is not None else ints(node.get("size"))
    kept = [1] * (len(wanted) - x.ndim) + list(x.shape)
    shape = _checked([n if size == -1 else size for size, n in zip(wanted, kept, strict=True)])
    return np.array(np.broadcast_to(x, shape))


#: Types of 16 bits in the schema, and integers.
_FLOAT16, _BFLOAT16 = 6, 13
_INTEGERS = {1: np.uint8, 2: np.int8, 3: np.int16, 4: np.int32, 5: np.int64}


def rounded(result: Any, kind: int | None, given: Sequence[Any]) -> Any:
    """A constant as the type that the program says of it holds it, of 16 bits or of integers;
    computed in more, as PyTorch does."""
    if not isinstance(result, np.ndarray) or shares(result, given):
        return result
    if kind in _INTEGERS and result.dtype != _INTEGERS[kind]:  # which are cut, and go round
        return result.astype(np.int64).astype(_INTEGERS[kind])
    if kind not in (_FLOAT16, _BFLOAT16):
        return result
    exact = result.astype(np.float32)
    if kind == _FLOAT16:
        return exact.astype(np.float16).astype(np.float32)
    bits = exact.view(np.uint32)
    half = np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))  # to the even one
    near = ((bits + half) & np.uint32(0xFFFF0000)).view(np.float32)
    return np.where(np.isnan(exact), exact, near)


def shares(result: Array, given: Sequence[Any]) -> bool:
    """Whether it is a view of one of these."""
    return any(isinstance(one, np.ndarray) and np.may_share_memory(result, one) for one in given)


#: Constants made of sizes.
MADE: dict[str, Reader] = {
    "arange.default": _arange,
    "arange.start": _arange,
    "arange.start_step": _arange,
    "linspace.default": _linspace,
    "zeros.default": _filled(0),
    "ones.default": _filled(1),
    "full.default": _filled(None),
    "zeros_like.default": _filled(0),
    "ones_like.default": _filled(1),
    "full_like.default": _filled(None),
    "new_zeros.default": _filled(0),
    "new_ones.default": _filled(1),
    "new_full.default": _filled(None),
}

#: By the operators' names; what they read is constant.
FOLDED: dict[str, Reader] = {
    "meshgrid.default": _meshgrid,
    "meshgrid.indexing": _meshgrid,
    "cat.default": _joined(False),
    "stack.default": _joined(True),
    "unsqueeze.default": lambda node: np.expand_dims(needed(node, "self"), int(node.get("dim"))),
    "squeeze.default": _squeezed,
    "squeeze.dim": _squeezed,
    "squeeze.dims": _squeezed,
    "view.default": _reshaped,
    "reshape.default": _reshaped,
    "_unsafe_view.default": _reshaped,
    "reshape_as.default": _reshaped,
    "view_as.default": _reshaped,
    "flatten.using_ints": _flattened,
    "permute.default": lambda node: needed(node, "self").transpose(ints(node.get("dims"))),
    "transpose.int": lambda node: needed(node, "self").swapaxes(*swapped(node)),
    "t.default": lambda node: needed(node, "self").T,
    "numpy_T.default": lambda node: needed(node, "self").T,
    "mT.default": lambda node: needed(node, "self").swapaxes(-1, -2),
    "mv.default": _product("vec"),
    "dot.default": _product("tensor"),
    "vdot.default": _product("other"),
    "mm.default": _product("mat2"),
    "matmul.default": _product("other"),
    "flip.default": lambda node: np.flip(needed(node, "self"), tuple(ints(node.get("dims")))),
    "repeat.default": _repeated,
    "tile.default": _repeated,
    "narrow.default": _narrowed,
    "chunk.default": _parted,
    "split.Tensor": _parted,
    "split_with_sizes.default": _parted,
    "split.sizes": _parted,
    "unbind.int": lambda node: list(np.moveaxis(needed(node, "self"), int(node.get("dim", 0)), 0)),
    "slice.Tensor": _sliced,
    "select.int": lambda node: needed(node, "self").take(
        int(node.get("index")), int(node.get("dim"))
    ),
    "neg.default": lambda node: -needed(node, "self"),
    "exp.default": _real(np.exp),
    "abs.default": _each(np.abs),
    "log.default": _real(np.log),
    "sqrt.default": _real(np.sqrt),
    "rsqrt.default": _real(lambda x: 1 / np.sqrt(x)),
    "reciprocal.default": _real(lambda x: 1 / x),
    "square.default": _each(np.square),
    "tanh.default": _real(np.tanh),
    "relu.default": _each(lambda x: np.maximum(x, 0)),
    "sigmoid.default": _real(lambda x: 1 / (1 + np.exp(-x))),
    "softplus.default": _softplus,
    "clamp.default": _clamped,
    "clamp_min.default": _clamped,
    "pow.Tensor_Scalar": lambda node: np.power(needed(node, "self"), float(node.get("exponent"))),
    "softmax.int": _softmax,
    "mean.dim": _over(np.mean),
    "mean.default": _over(np.mean),
    "sum.dim_IntList": _over(np.sum),
    "sum.default": _over(np.sum),
    "amax.default": _over(np.max),
    "expand.default": _expanded,
    "expand_as.default": _expanded,
    "std.dim": _deviation,
    "std.correction": _deviation,
    "var.dim": lambda node: _deviation(node, True),
    "var.correction": lambda node: _deviation(node, True),
    "linalg_vector_norm.default": _vector_norm,
    "_weight_norm.default": _weight_norm,
    "batch_norm.default": _standardized,
    "_native_batch_norm_legit.no_stats": _standardized,
    "contiguous.default": _same,
    "clone.default": _same,
    "detach.default": _same,
    "alias.default": _same,
    "lift_fresh_copy.default": _same,
    "to.dtype": _cast,
    "to.dtype_layout": _cast,
    "to.device": _cast,
    "_to_copy.default": _cast,
    "type_as.default": _cast_as,
}
