"""What an exported program computes from parameters alone: views of them, mostly, such as
``weight[:, None, None]``.  Results are no larger than what they are made of."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .builder import Array
from .source import Node
from .torch_arguments import ints, needed


def _flattened(node: Node) -> Array:
    x = needed(node, "self")
    start, end = (int(node.get(n, d)) % x.ndim for n, d in (("start_dim", 0), ("end_dim", -1)))
    return x.reshape(*x.shape[:start], -1, *x.shape[end + 1 :])


def _squeezed(node: Node) -> Array:
    x = needed(node, "self")
    numbers = range(x.ndim) if node.get("dim") is None else ints(node.get("dim"))
    return x.squeeze(tuple(i % x.ndim for i in numbers if x.shape[i] == 1))


def _reshaped(node: Node) -> Array:
    return needed(node, "self").reshape(ints(node.get("size", node.get("shape"))))


def _same(node: Node) -> Array:
    return needed(node, "self")


#: By the operators' names; the first argument is a constant.
FOLDED: dict[str, Callable[[Node], Array]] = {
    "unsqueeze.default": lambda node: np.expand_dims(needed(node, "self"), int(node.get("dim"))),
    "squeeze.default": _squeezed,
    "squeeze.dim": _squeezed,
    "squeeze.dims": _squeezed,
    "view.default": _reshaped,
    "reshape.default": _reshaped,
    "_unsafe_view.default": _reshaped,
    "flatten.using_ints": _flattened,
    "permute.default": lambda node: needed(node, "self").transpose(ints(node.get("dims"))),
    "transpose.int": lambda node: needed(node, "self").swapaxes(
        int(node.get("dim0")), int(node.get("dim1"))
    ),
    "select.int": lambda node: needed(node, "self").take(
        int(node.get("index")), int(node.get("dim"))
    ),
    "neg.default": lambda node: -needed(node, "self"),
    "exp.default": lambda node: np.exp(needed(node, "self")),
    "contiguous.default": _same,
    "clone.default": _same,
    "detach.default": _same,
    "alias.default": _same,
    "lift_fresh_copy.default": _same,
    "to.dtype": _same,
}
