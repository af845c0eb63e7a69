"""Which maps lie plane by plane instead of line by line: small ones, between convolutions.

A line of such a tensor holds a few whole channels, each one row (``csrc/op_planes.c``): a row of 64
fills vectors that a row of 8 does not.  Only some steps can read and write them, so a map lies so
if its producer and all its readers can.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Literal

from .bindings import BLOCK, LANES
from .layer import Layer
from .operators import OPERATORS

#: Largest plane: beyond, lines are long enough, and a plane would not stay in the first cache.
MAX_PLANE = 256
#: Channels of a line, what divides the channels of the map is taken.
_LINE_CHANNELS = (16, 8, BLOCK)

Kind = Literal["pointwise", "depthwise", "sum", "mean", ""]


def line_channels(
    layers: Sequence[Layer],
    shapes: Mapping[str, tuple[int, ...]],
    lines: Collection[str],
) -> dict[str, int]:
    """Channels of a line of each map that is to lie plane by plane.

    Args:
        layers: those of a plan, in order.
        shapes: of their outputs.
        lines: layers whose outputs must lie line by line.
    """
    kinds = {layer.name: _kind(layer) for layer in layers}
    chosen = {
        layer.name
        for layer in layers
        if kinds[layer.name] not in ("", "mean")
        and layer.name not in lines
        and _is_small(shapes[layer.name])
    }
    while True:
        gone = {
            name for layer in layers for name in _unfit(layer, kinds[layer.name], shapes, chosen)
        }
        if not gone & chosen:
            break
        chosen -= gone
    return {name: next(n for n in _LINE_CHANNELS if shapes[name][0] % n == 0) for name in chosen}


def _is_small(shape: tuple[int, ...]) -> bool:
    """Also: its lines can be written one behind the other in whole vectors (``line_fits`` in C)."""
    if len(shape) != 3:
        return False
    channels, height, width = shape
    fits = width in (4, 8) or width % LANES == 0
    return fits and channels % BLOCK == 0 and height * width <= MAX_PLANE


def _kind(layer: Layer) -> Kind:
    """What a step does that knows of planes."""
    if layer.op in ("global_avg_pool2d", "mean"):
        return "mean"
    activation = layer.activation and OPERATORS[layer.activation.op].activation
    if layer.affine is not None or (activation and activation.slopes):
        return ""  # these go by the number of a channel
    if layer.op == "add":
        return "sum"
    if layer.op != "conv2d":
        return ""
    a = layer.attributes
    if layer.algorithm == "depthwise":
        return "depthwise" if max(a["padding"]) <= LANES else ""  # it is laid out in scratch
    plain = a["kernel_size"] == a["stride"] == (1, 1) and not any(a["padding"])
    return "pointwise" if plain and a["groups"] == 1 and layer.algorithm == "direct" else ""


def _unfit(
    layer: Layer, kind: Kind, shapes: Mapping[str, tuple[int, ...]], chosen: Collection[str]
) -> set[str]:
    """Maps at this layer that cannot lie plane by plane, while the others do as chosen."""
    inside = layer.name in chosen
    unfit = set()
    if kind in ("pointwise", "sum") and not all(name in chosen for name in layer.inputs):
        unfit.add(layer.name)
    if kind == "sum" and any(shapes[name] != shapes[layer.name] for name in layer.inputs):
        unfit.add(layer.name)  # one of them counts for 2 x 2, which lines alone can tell
    if kind != "mean" and not inside:
        unfit.update(layer.inputs)
    return unfit
