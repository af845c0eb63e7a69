"""PyTorch's operators that cut, join and turn: one function each."""

from __future__ import annotations

import sys

import numpy as np

from ..errors import GraphError
from . import composed, moving
from .basics import activate
from .builder import NEEDS_SIZE, Operand
from .source import Node, integers
from .torch_arguments import first, ints, needed, swapped, to_floats
from .view import OPEN_BATCH, Value, resolved


def reshape(node: Node) -> Value:
    x, other = first(node), node.get("other")
    if other is not None:
        return moving.reshape(node.build, x, list(other.shape))
    wanted = ints(node.get("size", node.get("shape")))
    return moving.reshape(node.build, x, resolved(wanted, x.shape, False))


def flatten(node: Node) -> Value:
    x = first(node)
    start = x.axis_number(int(node.get("start_dim", 0)))
    last = x.axis_number(int(node.get("end_dim", -1)))
    shape = x.shape
    merged: int | None = 1
    for size in shape[start : last + 1]:
        merged = None if merged is None or size is None else merged * size
    return moving.reshape(node.build, x, [*shape[:start], merged, *shape[last + 1 :]])


def transpose(node: Node) -> Value:
    x = first(node)
    order = list(range(len(x.axes)))
    one, other = (x.axis_number(number) for number in swapped(node))
    order[one], order[other] = order[other], order[one]
    return x.permuted(order)


def movedim(node: Node) -> Value:
    x = first(node)
    sources, targets = (
        [x.axis_number(number) for number in ints(node.get(name))]
        for name in ("source", "destination")
    )
    placed = dict(zip(targets, sources, strict=True))
    left = iter([i for i in range(len(x.axes)) if i not in sources])
    return x.permuted([placed[i] if i in placed else next(left) for i in range(len(x.axes))])


def squeeze(node: Node) -> Value:
    x = first(node)
    dim = node.get("dim")
    numbers = range(len(x.axes)) if dim is None else map(x.axis_number, ints(dim))
    # a batch of any size is exported for more than one picture
    gone = [n for n in numbers if x.shape[n] == 1 and x.axes[n] is not OPEN_BATCH]
    return x.squeezed(gone)


def cut(node: Node) -> Value:
    start, end = node.get("start"), node.get("end")
    return moving.narrow(
        node.build,
        first(node),
        int(node.get("dim", 0)),
        int(start or 0),
        moving.TO_THE_END if end is None else int(end),
        int(node.get("step", 1)),
    )


def narrow(node: Node) -> Value:
    x, dim, start = first(node), int(node.get("dim")), int(node.get("start"))
    if start < 0:
        size = x.shape[x.axis_number(dim)]
        if size is None:
            raise GraphError(NEEDS_SIZE)
        start += size
    return moving.narrow(node.build, x, dim, start, start + int(node.get("length")))


def select(node: Node) -> Value:
    x, dim, index = first(node), int(node.get("dim")), int(node.get("index"))
    size = x.shape[x.axis_number(dim)]
    if size is None:
        raise GraphError(NEEDS_SIZE)
    index += size if index < 0 else 0
    return moving.narrow(node.build, x, dim, index, index + 1).squeezed([dim])


def chunk(node: Node) -> list[Value]:
    x, dim, count = first(node), int(node.get("dim", 0)), int(node.get("chunks"))
    size = x.shape[x.axis_number(dim)]
    if size is None:
        raise GraphError(NEEDS_SIZE)
    return _in_parts(node, x, dim, size, -(-size // count))


def split(node: Node) -> list[Value]:
    x, dim = first(node), int(node.get("dim", 0))
    sizes = node.get("split_size", node.get("split_sizes"))
    if isinstance(sizes, list):
        return moving.split(node.build, x, dim, ints(sizes))
    size = x.shape[x.axis_number(dim)]
    if size is None:
        raise GraphError(NEEDS_SIZE)
    return _in_parts(node, x, dim, size, int(sizes))


def _in_parts(node: Node, x: Value, dim: int, size: int, each: int) -> list[Value]:
    return moving.split(node.build, x, dim, [min(each, size - at) for at in range(0, size, each)])


def _parts(node: Node) -> list[Operand]:
    """What is joined, constants among it."""
    values = node.get("tensors")
    if not all(isinstance(value, (Value, np.ndarray)) for value in values):
        raise GraphError("joins what is no tensor")
    return list(values)


def cat(node: Node) -> Value:
    return composed.joined(node.build, _parts(node), int(node.get("dim", 0)))


def stack(node: Node) -> Value:
    values, dim = _parts(node), int(node.get("dim", 0))
    first = values[0]
    place = dim if dim >= 0 else dim + 1 + (first.ndim if isinstance(first, np.ndarray) else len(
        first.axes))  # fmt: skip
    turned: list[Operand] = [
        np.expand_dims(v, place) if isinstance(v, np.ndarray) else v.unsqueezed([place])
        for v in values
    ]
    return composed.joined(node.build, turned, place)


def expand(node: Node) -> Value:
    x, other = first(node), node.get("other")
    node.get("implicit")
    wanted = ints(node.get("size")) if other is None else other.shape
    return moving.expanded(node.build, x, wanted)


def repeat(node: Node) -> Value:
    counts = ints(node.get("repeats", node.get("dims")))
    return composed.repeated(node.build, first(node), counts)


def flip(node: Node) -> Value:
    x = first(node)
    for dim in ints(node.get("dims")):
        x = composed.cut(node.build, x, dim, -1, -sys.maxsize, -1)
    return x


def index_select(node: Node) -> Value:
    places = integers(needed(node, "index")) or []
    return composed.chosen(node.build, first(node), int(node.get("dim")), places)


def index(node: Node) -> Value:
    """``x[:, [2, 1, 0]]``: places along one axis, that are known."""
    given = node.get("indices")
    numbers = [i for i, places in enumerate(given) if places is not None]
    places = given[numbers[0]] if len(numbers) == 1 else None
    if not isinstance(places, np.ndarray) or places.ndim != 1 or places.dtype.kind not in "iu":
        raise GraphError("picks by what is no list of places along one axis, known beforehand")
    return composed.chosen(node.build, first(node), numbers[0], integers(places) or [])


def unbind(node: Node) -> list[Value]:
    x, dim = first(node), int(node.get("dim", 0))
    size = x.shape[x.axis_number(dim)]
    if size is None:
        raise GraphError(NEEDS_SIZE)
    return [part.squeezed([dim]) for part in moving.split(node.build, x, dim, [1] * size)]


def unflatten(node: Node) -> Value:
    x = first(node)
    number = x.axis_number(int(node.get("dim")))
    wanted = resolved(ints(node.get("sizes")), [x.shape[number]], False)
    return moving.reshape(node.build, x, [*x.shape[:number], *wanted, *x.shape[number + 1 :]])


def softmax(node: Node) -> Value:
    node.only("half_to_float", False)
    to_floats(node)
    return moving.softmax(node.build, first(node), [int(node.get("dim"))])


def argmax(node: Node) -> Value:
    dim = node.get("dim")
    if dim is None:
        raise GraphError("searches all axes; known is one of them")
    return moving.argmax(node.build, first(node), int(dim), bool(node.get("keepdim", False)))


def pixel_shuffle(node: Node) -> Value:
    return moving.pixel_shuffle(node.build, first(node), int(node.get("upscale_factor")))


def pixel_unshuffle(node: Node) -> Value:
    return moving.pixel_unshuffle(node.build, first(node), int(node.get("downscale_factor")))


def channel_shuffle(node: Node) -> Value:
    x, groups = node.build.map(first(node)), int(node.get("groups"))
    return activate(node.build, "channel_shuffle", x, groups=groups)
