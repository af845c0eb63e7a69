"""Layers: nodes with their arrays, as the rewrites hand them on and the plan lowers them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]

#: How a convolution is computed: as it stands; by vertical Winograd; each channel by itself; the
#: last with the 2 x 2 max-pool that alone reads it.
Algorithm = Literal["direct", "winograd", "depthwise", "depthwise_pool"]


class Quantized(NamedTuple):
    """A weight as small integers: ``values[o] * scale[o]``.

    Attributes:
        values: int8 (O, ...).
        scale: float32 (O,).
    """

    values: npt.NDArray[np.int8]
    scale: Array

    def is_finite(self) -> bool:
        """Whether all of the weight is, as float32."""
        largest = max(int(self.values.max()), -int(self.values.min()))
        with np.errstate(over="ignore", invalid="ignore"):
            return bool(np.isfinite(self.scale * np.float32(largest)).all())


def quantized(arrays: Mapping[str, Array], name: str) -> Quantized | None:
    """An array as its model file has it, if it is int8 there and still is."""
    find: Callable[[str], Quantized | None] | None = getattr(arrays, "quantized", None)
    return find(name) if find is not None else None


class Function(NamedTuple):
    """An activation with its arguments: the operator's name, attributes and arrays."""

    op: str
    attributes: dict[str, Any]
    arrays: Mapping[str, Array]


class Layer(NamedTuple):
    """One step of a bound network.

    Attributes:
        name: the graph node whose value this layer computes.
        op: an operator of ``OPERATORS``.
        inputs: names of layers or graph inputs.
        attributes: as in the graph.
        arrays: its parameters, without the node name; each may be made when it is asked for.
        shapes: of the parameters of the node.
        activation: function applied to the result.
        affine: (scale, shift) per channel, float32 (C,), applied after the activation.
        covers: names of the graph nodes that were fused into it, itself last.
        part: (first, count) if it computes only so many channels of the node; what stands behind a
            ``~`` in its name then tells it from the other parts.
        algorithm: of a convolution.
        sign: of a max-pool, float32 (C,): the smallest instead of the largest where negative.
        pre_activation: of a max-pool: the function whose values it compares.
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    attributes: dict[str, Any]
    arrays: Mapping[str, Array]
    shapes: Mapping[str, tuple[int, ...]]
    activation: Function | None = None
    affine: tuple[Array, Array] | None = None
    covers: tuple[str, ...] = ()
    part: tuple[int, int] | None = None
    algorithm: Algorithm = "direct"
    sign: Array | None = None
    pre_activation: Function | None = None


Layers = list[Layer]
