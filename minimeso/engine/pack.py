"""Parameters as the kernels want them: one float32 block, shared by all programs of a network.

Layouts are those of ``mm_step`` in ``csrc/minimeso.h``; they do not depend on the instruction set.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from .layer import Layer, Layers
from .memory import round_lanes
from .operators import OPERATORS

Array = npt.NDArray[np.float32]


class Parameters:
    """The packed arrays of a network.

    Attributes:
        block: all of them, one behind the other, each from a multiple of 16 floats on.
    """

    def __init__(self, layers: Layers, channels: dict[str, int]) -> None:
        """``layers``: what is packed is taken out of them, one by one, because a large network
        would lie in memory twice; ``channels``: channel (feature) count of each one's output.
        """
        self._offsets: dict[str, dict[str, int]] = {}
        size = 0
        # Memory that is never written is none of the process's, so there may be too much of it.
        block = np.zeros(
            sum(_expected(layer, channels[layer.name]) for layer in layers), np.float32
        )
        for number, layer in enumerate(layers):
            offsets = self._offsets[layer.name] = {}
            arrays = _arrays(layer, channels[layer.name])
            for name, array in arrays.items():
                end = size + array.size
                if round_lanes(end) > block.size:
                    larger = np.zeros(round_lanes(2 * end), np.float32)
                    larger[:size] = block[:size]
                    block = larger
                offsets[name] = size
                block[size:end].reshape(array.shape)[...] = array
                size = round_lanes(end)
            left = {name: layer.arrays[name] for name in layer.arrays if name not in arrays}
            layers[number] = replace(layer, arrays=left)  # norms are lowered with theirs
        self.block: Array = block[:size]

    def offsets(self, layer: Layer) -> dict[str, int]:
        """Where the arrays of ``layer`` begin in the block, by their field of ``mm_step``."""
        return self._offsets.get(layer.name, {})


def _expected(layer: Layer, channels: int) -> int:
    """Most layers are packed into no more values: of parameters, bias, slopes, scale and shift."""
    sizes = (round_lanes(math.prod(shape)) for shape in layer.shapes.values())
    return sum(sizes) + 4 * round_lanes(channels)


def _arrays(layer: Layer, channels: int) -> dict[str, Array]:
    """What its operator packs, and its epilogue."""
    arrays = OPERATORS[layer.op].pack(layer, channels)
    if layer.activation is not None:
        activation = OPERATORS[layer.activation.op].activation
        assert activation is not None
        if activation.slopes:
            slopes = layer.activation.arrays[activation.slopes]
            arrays["slopes"] = np.broadcast_to(slopes, (channels,))
    if layer.affine is not None:
        arrays["scale"], arrays["shift"] = layer.affine
    return arrays
