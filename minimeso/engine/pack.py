"""Parameters as the kernels want them: one float32 block, shared by all programs of a network.

Layouts are those of ``mm_step`` in ``csrc/minimeso.h``; they do not depend on the instruction set.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from .bindings import LANES
from .memory import round_lanes
from .rewrites import Layer
from .winograd import transform_weights

Array = npt.NDArray[np.float32]


class Parameters:
    """The packed arrays of a network.

    Attributes:
        block: all of them, one behind the other, each from a multiple of 16 floats on.
    """

    def __init__(self, layers: Sequence[Layer], channels: dict[str, int]) -> None:
        """``channels``: channel (feature) count of every layer's output."""
        self._offsets: dict[tuple[str, str], int] = {}
        self._parts: list[Array] = []
        self._size = 0
        for layer in layers:
            self._pack_layer(layer, channels[layer.name])
        self.block: Array = np.concatenate(self._parts) if self._parts else np.zeros(0, np.float32)
        self._parts = []

    def offset(self, layer: Layer, name: str) -> int:
        """Offset of an array of ``layer`` in the block, -1 where it has none."""
        return self._offsets.get((layer.name, name), -1)

    def _add(self, layer: Layer, name: str, array: Array) -> None:
        flat = np.ascontiguousarray(array, np.float32).ravel()
        self._offsets[layer.name, name] = self._size
        padded = np.zeros(round_lanes(flat.size), np.float32)
        padded[: flat.size] = flat
        self._parts.append(padded)
        self._size += padded.size

    def _pack_layer(self, layer: Layer, channels: int) -> None:
        if layer.attributes.get("winograd"):
            self._add(layer, "weight", pack_winograd(layer.arrays["weight"]))
        elif layer.op == "conv2d":
            self._add(
                layer, "weight", pack_conv(layer.arrays["weight"], layer.attributes["groups"])
            )
        elif layer.op == "linear":
            self._add(layer, "weight", pack_linear(layer.arrays["weight"]))
        if layer.op in ("conv2d", "linear"):
            self._add(layer, "bias", layer.arrays.get("bias", np.zeros(channels, np.float32)))
        if "sign" in layer.attributes:
            self._add(layer, "sign", layer.attributes["sign"])
        if layer.activation and "weight" in layer.activation[1]:
            slopes = layer.activation[1]["weight"]
            self._add(layer, "slopes", np.broadcast_to(slopes, (channels,)))
        if layer.affine:
            self._add(layer, "scale", layer.affine[0])
            self._add(layer, "shift", layer.affine[1])


def block_sizes(filters: int) -> list[int]:
    """Output channels of each weight block: fours, then at most one two and one one."""
    return [4] * (filters // 4) + [2] * (filters % 4 // 2) + [1] * (filters % 2)


def pack_conv(weight: Array, groups: int) -> Array:
    """(O, I, kh, kw) to [group][block][kh][I][kw][block size]."""
    filters = weight.shape[0] // groups
    parts = []
    for group in range(groups):
        start = group * filters
        for size in block_sizes(filters):
            parts.append(weight[start : start + size].transpose(2, 1, 3, 0).ravel())
            start += size
    return np.concatenate(parts)


def pack_winograd(weight: Array) -> Array:
    """(O, I, kh, kw) to [block][8][I][kw][block size]."""
    points = transform_weights(weight)
    parts, start = [], 0
    for size in block_sizes(weight.shape[0]):
        parts.append(points[:, start : start + size].transpose(0, 2, 3, 1).ravel())
        start += size
    return np.concatenate(parts)


def pack_linear(weight: Array) -> Array:
    """(O, I) to [block of 16 outputs][I][16], the last block filled with zeros."""
    outputs, inputs = weight.shape
    padded = np.zeros((round_lanes(outputs), inputs), np.float32)
    padded[:outputs] = weight
    return np.ravel(padded.reshape(-1, LANES, inputs).transpose(0, 2, 1))
