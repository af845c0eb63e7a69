"""Rewrites: a graph with its weights becomes a shorter network that computes the same.

``bind`` joins a graph and its weights into layers; each rewrite takes layers and returns layers.
A rewrite never removes a layer whose name the caller wants as an output, so that every layer
can be looked at; ``REWRITES`` lists them in the order in which they are applied, and each can be
left out, so that each can be tested against the plain graph.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import numpy as np

from . import winograd
from .bound import Folded, OfNode
from .graph import Graph, Weights
from .layer import Function, Layer, Layers
from .memory import MAX_DIM
from .operators import OPERATORS


def bind(graph: Graph, weights: Weights) -> Layers:
    """The nodes of ``graph`` with their arrays."""
    layers, shapes = [], graph.shapes()
    for node in graph.nodes:
        wanted = OPERATORS[node.op].parameters([shapes[i] for i in node.inputs], node.attributes)
        arrays = OfNode(weights, f"{node.name}.", tuple(wanted))
        covers = (node.name,)
        layers.append(
            Layer(node.name, node.op, node.inputs, node.attributes, arrays, wanted, covers=covers)
        )
    return layers


def rewrite(layers: Layers, keep: Collection[str], without: Collection[str] = ()) -> Layers:
    """Apply all ``REWRITES`` but those named in ``without``; layers in ``keep`` stay visible."""
    layers = prune(layers, keep)
    for name, apply in REWRITES.items():
        if name not in without:
            layers = apply(layers, keep)
    return [_as_epilogue(layer) for layer in layers]


def _as_epilogue(layer: Layer) -> Layer:
    """A lone activation or batch norm is a copy with an epilogue."""
    entry = OPERATORS[layer.op]
    if entry.activation is not None:
        return layer._replace(activation=_function(layer), arrays={})
    if entry.affine is not None:
        return layer._replace(affine=entry.affine(layer), arrays={})
    return layer


def _function(layer: Layer) -> Function:
    return Function(layer.op, layer.attributes, layer.arrays)


def prune(layers: Layers, keep: Collection[str]) -> Layers:
    """Without the layers that nothing wanted depends on."""
    needed = set(keep)
    for layer in reversed(layers):
        if layer.name in needed:
            needed.update(layer.inputs)
    return [layer for layer in layers if layer.name in needed]


def _pairs(layers: Layers, keep: Collection[str]) -> list[tuple[Layer, Layer]]:
    """(producer, consumer) where the consumer is the only reader and nobody asks for the first."""
    readers: dict[str, list[Layer]] = {}
    for layer in layers:
        for name in layer.inputs:
            readers.setdefault(name, []).append(layer)
    return [
        (layer, readers[layer.name][0])
        for layer in layers
        if len(readers.get(layer.name, ())) == 1 and layer.name not in keep
    ]


def _until_stable(
    layers: Layers,
    keep: Collection[str],
    step: Callable[[Layer, Layer], Sequence[Layer] | None],
) -> Layers:
    """Replace pairs by what ``step`` returns for them until it returns nothing.

    What replaces a pair stands where its second layer stood.
    """
    while True:
        new: dict[str, Sequence[Layer]] = {}
        for first, second in _pairs(layers, keep):
            if first.name in new or second.name in new:
                continue  # changed in this sweep already: the next one looks at it
            result = step(first, second)
            if result is not None:
                new[first.name], new[second.name] = (), result
        if not new:
            return layers
        layers = [kept for layer in layers for kept in new.get(layer.name, (layer,))]


def clamp_to_relu6(layers: Layers, keep: Collection[str]) -> Layers:
    """A clamp to 0 and 6 is an activation, which other steps apply as they store."""
    return [
        layer._replace(op="relu6", attributes={})
        if layer.op == "clamp" and (layer.attributes["min"], layer.attributes["max"]) == (0, 6)
        else layer
        for layer in layers
    ]


def fold_batch_norm(layers: Layers, keep: Collection[str]) -> Layers:
    """A batch norm right after a convolution or dense layer goes into its weights."""

    def step(first: Layer, second: Layer) -> Sequence[Layer] | None:
        affine = OPERATORS[second.op].affine
        if not OPERATORS[first.op].folds_batch_norm or affine is None:
            return None
        arrays = Folded(first.arrays, *affine(second))
        if not arrays.are_finite():
            return None
        return [
            first._replace(
                name=second.name,
                arrays=arrays,
                attributes={**first.attributes, "bias": True},
                covers=first.covers + second.covers,
            )
        ]

    return _until_stable(layers, keep, step)


def split_pools(layers: Layers, keep: Collection[str]) -> Layers:
    """A max-pool of a concatenation (and a batch norm between) becomes one for each part: what a
    part ends in can then sink through its pool, while it is still in the cache."""
    only_reader = {first.name: second for first, second in _pairs(layers, keep)}
    channels = _channels_of_parts(layers)
    by_name = {layer.name: layer for layer in layers}
    split: dict[str, Layers] = {}
    for layer in layers:
        chain = _chain_to_pool(layer, only_reader)
        if layer.op != "concat" or not chain or any(n not in channels for n in layer.inputs):
            continue
        if any(name not in only_reader for name in layer.inputs):
            continue  # a part that others read too, or twice in this concatenation
        ends: list[str] = []
        start = 0
        for number, part_name in enumerate(layer.inputs):
            name, part = part_name, (start, channels[part_name])
            start += channels[part_name]
            split[part_name] = [by_name[part_name]]
            for link in chain:
                arrays = {key: a[part[0] : start] for key, a in link.arrays.items()}
                own = f"{link.name}~{number}"
                split[part_name].append(
                    link._replace(name=own, inputs=(name,), arrays=arrays, part=part)
                )
                name = own
            ends.append(name)
        split.update({gone.name: [] for gone in (layer, *chain)})
        covers = (*layer.covers, *(name for link in chain for name in link.covers))
        split[chain[-1].name] = [
            layer._replace(name=chain[-1].name, inputs=tuple(ends), covers=covers)
        ]
    return [new for layer in layers for new in split.get(layer.name, [layer])]


def _channels_of_parts(layers: Layers) -> dict[str, int]:
    """Channels of what convolutions make, also behind functions of it."""
    channels: dict[str, int] = {}
    for layer in layers:
        if layer.op == "conv2d":
            channels[layer.name] = layer.attributes["out_channels"]
        elif OPERATORS[layer.op].activation and layer.inputs[0] in channels:
            channels[layer.name] = channels[layer.inputs[0]]
    return channels


def _chain_to_pool(layer: Layer, only_reader: dict[str, Layer]) -> Layers:
    """The max-pool that alone reads a layer, with a batch norm before it if there is one."""
    chain: Layers = []
    reader = only_reader.get(layer.name)
    if reader is not None and OPERATORS[reader.op].affine:
        chain.append(reader)
        reader = only_reader.get(reader.name)
    if reader is None or reader.op != "max_pool2d" or not _is_plain_pool(reader):
        return []
    return [*chain, reader]


def sink_through_max_pool(layers: Layers, keep: Collection[str]) -> Layers:
    """Batch norms and functions that never fall move behind the max-pool: a quarter of the work.

    Where the scale of the batch norm is negative, the largest value after it comes from the
    smallest before it, so the pool gets a sign per channel.  Functions like Swish fall to their
    one minimum and rise after it, so the largest of a window is that of its smallest or of its
    largest argument; the pool takes them in as its ``pre_activation``.
    """

    def step(first: Layer, second: Layer) -> Sequence[Layer] | None:
        if second.op != "max_pool2d" or second.activation or second.affine:
            return None
        if second.attributes["dilation"] not in (1, (1, 1)) or first.affine or first.activation:
            return None  # a dilated window may hold padding only, which must stay -inf
        if second.pre_activation:
            return None  # it comes before whatever moves behind the pool
        sign, entry = second.sign, OPERATORS[first.op]
        if entry.affine is not None:
            own = np.where(entry.affine(first)[0] < 0, np.float32(-1), np.float32(1))
            sign = own if sign is None else sign * own
        elif entry.activation is None:
            return None
        elif entry.activation.is_valley:
            if not _is_plain_pool(second):
                return None
            covers = _merged(first.covers, second.covers)
            function = _function(first)
            return [second._replace(inputs=first.inputs, pre_activation=function, covers=covers)]
        elif not entry.activation.never_falls(first.attributes, first.arrays):
            return None
        pool = second._replace(name=f"{second.name}~{first.name}", inputs=first.inputs, sign=sign)
        return [pool, first._replace(name=second.name, inputs=(pool.name,), part=second.part)]

    return _until_stable(layers, keep, step)


def _is_plain_pool(pool: Layer) -> bool:
    """2 x 2 or 4 x 4 without padding, overlap or holes: the engine has a kernel for it."""
    a = pool.attributes
    height, width = a["kernel_size"]
    plain = height == width and width in (2, 4) and (a["stride"] or a["kernel_size"])[1] == width
    return plain and a["dilation"] == (1, 1) and not any(a["padding"]) and not a["ceil_mode"]


def choose_depthwise(layers: Layers, keep: Collection[str]) -> Layers:
    """3 x 3 and 5 x 5 convolutions of each channel by itself are marked; a 2 x 2 max-pool that
    alone reads the result of a 3 x 3 is taken in."""

    def step(first: Layer, second: Layer) -> Sequence[Layer] | None:
        if first.algorithm != "depthwise" or second.op != "max_pool2d":
            return None
        if first.attributes["kernel_size"] != (3, 3) or first.attributes["stride"] != (1, 1):
            return None
        a = second.attributes
        if not _is_plain_pool(second) or a["kernel_size"] != (2, 2):
            return None
        if second.sign is not None or second.pre_activation or (a["stride"] or (2, 2)) != (2, 2):
            return None
        return [
            first._replace(
                name=second.name,
                algorithm="depthwise_pool",
                covers=_merged(first.covers, second.covers),
                part=second.part,
            )
        ]

    marked = [
        layer._replace(algorithm="depthwise")
        if layer.op == "conv2d" and _is_depthwise(layer)
        else layer
        for layer in layers
    ]
    return _until_stable(marked, keep, step)


def _is_depthwise(layer: Layer) -> bool:
    a, (filters, channels) = layer.attributes, layer.shapes["weight"][:2]
    alone = channels == 1 and filters == a["groups"] and a["kernel_size"] in ((3, 3), (5, 5))
    return bool(alone and a["stride"] in ((1, 1), (2, 2)) and a["dilation"] == (1, 1))


def fuse_epilogue(layers: Layers, keep: Collection[str]) -> Layers:
    """An activation, and a batch norm after it, are applied as the layer before them stores."""

    def step(first: Layer, second: Layer) -> Sequence[Layer] | None:
        if not OPERATORS[first.op].takes_epilogue or len(second.inputs) != 1 or first.affine:
            return None
        fused = first._replace(name=second.name, covers=_merged(first.covers, second.covers))
        entry = OPERATORS[second.op]
        if entry.activation and not first.activation:
            return [fused._replace(activation=_function(second))]
        if entry.affine is not None:
            return [fused._replace(affine=entry.affine(second))]
        return None

    return _until_stable(layers, keep, step)


def choose_winograd(layers: Layers, keep: Collection[str]) -> Layers:
    """Convolutions for which vertical Winograd takes clearly fewer multiplications are marked."""
    return [
        layer._replace(algorithm="winograd")
        if layer.op == "conv2d" and _can_winograd(layer)
        else layer
        for layer in layers
    ]


def _can_winograd(layer: Layer) -> bool:
    a = layer.attributes
    filters, channels = layer.shapes["weight"][:2]
    plain = a["stride"] == (1, 1) and a["groups"] == 1 and layer.algorithm == "direct"
    if not plain or not winograd.pays(channels, filters, a["kernel_size"]):
        return False
    tile = winograd.output_lines(a["kernel_size"][0]) * a["dilation"][0]
    return bool(tile <= MAX_DIM)


def _merged(first: tuple[str, ...], second: tuple[str, ...]) -> tuple[str, ...]:
    return first + tuple(name for name in second if name not in first)


#: All rewrites, in the order in which they are applied.
REWRITES: dict[str, Callable[[Layers, Collection[str]], Layers]] = {
    "clamp_to_relu6": clamp_to_relu6,
    "fold_batch_norm": fold_batch_norm,
    "split_pools": split_pools,
    "sink_through_max_pool": sink_through_max_pool,
    "choose_depthwise": choose_depthwise,
    "fuse_epilogue": fuse_epilogue,
    "choose_winograd": choose_winograd,
}
