"""ONNX' operators that cut, join and turn: one function each."""

from __future__ import annotations

import numpy as np

from ..errors import GraphError
from . import composed, moving
from .builder import NEEDS_SIZE, Operand
from .source import Node, integers, text_of
from .view import Value, refuse_batch, resolved


def reshape(node: Node) -> Value:
    shape = node.get("shape")
    wanted = integers(shape if shape is not None else node.constant(1, "shape")) or []
    x = node.value()
    zeros = not node.get("allowzero", 0)
    return moving.reshape(node.build, x, resolved(wanted, x.shape, zeros))


def flatten(node: Node) -> Value:
    x, number = node.value(), node.get("axis", 1)
    number += len(x.axes) if number < 0 else 0
    if number == 0:  # the batch goes into the one row
        refuse_batch(x.axes)
    sizes = [1, 1]
    for i, size in enumerate(x.shape):
        if size is None:
            raise GraphError(NEEDS_SIZE)
        sizes[i >= number] *= size
    return moving.reshape(node.build, x, sizes)


def axes(node: Node) -> list[int] | None:
    found = integers(node.get("axes"))
    return found if found is not None else integers(node.optional(1, "axes"))


def split(node: Node) -> list[Value]:
    x, number = node.value(), node.get("axis", 0)
    sizes = integers(node.get("split"))
    if sizes is None:
        sizes = integers(node.optional(1, "split"))
    count = node.get("num_outputs", node.outputs)
    if sizes is None:
        total = x.shape[x.axis_number(number)]
        if total is None:
            raise GraphError(NEEDS_SIZE)
        each = -(-total // count)
        sizes = [min(each, total - i * each) for i in range(count)]
    return moving.split(node.build, x, number, sizes)


def cut(node: Node) -> Value:
    x = node.value()
    starts, ends = integers(node.get("starts")), integers(node.get("ends"))
    axes, steps = integers(node.get("axes")), None
    if starts is None or ends is None:
        starts, ends = (integers(node.constant(i, "ends")) or [] for i in (1, 2))
        axes = integers(node.optional(3, "axes"))
        steps = integers(node.optional(4, "steps"))
    axes = axes if axes is not None else list(range(len(starts)))
    steps = steps if steps is not None else [1] * len(starts)
    for number, start, end, step in zip(axes, starts, ends, steps, strict=True):
        x = composed.cut(node.build, x, number, start, end, step)
    return x


def gather(node: Node) -> Value:
    x, number = node.value(), node.get("axis", 0)
    indices = node.constant(1, "indices")
    number = x.axis_number(number)
    whole = x.shape
    x = composed.chosen(node.build, x, number, integers(indices) or [])
    shape = [*whole[:number], *indices.shape, *whole[number + 1 :]]
    return moving.reshape(node.build, x, shape)


def concat(node: Node) -> Value:
    values: list[Operand] = [
        one if isinstance(one, np.ndarray) else node.value(i) for i, one in enumerate(node.inputs)
    ]
    return composed.joined(node.build, values, node.get("axis", 1))


def expand(node: Node) -> Value:
    x, wanted = node.value(), integers(node.constant(1, "shape")) or []
    return moving.expanded(node.build, x, wanted)


def tile(node: Node) -> Value:
    counts = integers(node.constant(1, "number of repeats")) or []
    return composed.repeated(node.build, node.value(), counts)


def softmax(node: Node) -> Value:
    x = node.value()
    if node.version >= 13:
        return moving.softmax(node.build, x, [node.get("axis", -1)])
    return moving.softmax(node.build, x, range(x.axis_number(node.get("axis", 1)), len(x.axes)))


def argmax(node: Node) -> Value:
    node.only("select_last_index", 0)
    return moving.argmax(
        node.build, node.value(), node.get("axis", 0), bool(node.get("keepdims", 1))
    )


def depth_to_space(node: Node) -> Value:
    mode = text_of(node.get("mode", b"DCR"))
    return moving.pixel_shuffle(node.build, node.value(), node.get("blocksize"), mode == "DCR")


def space_to_depth(node: Node) -> Value:
    return moving.pixel_unshuffle(node.build, node.value(), node.get("blocksize"), True)
