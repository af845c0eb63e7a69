"""Parameters as the kernels want them: one float32 block, shared by all programs of a network.

Layouts are those of ``mm_step`` in ``csrc/minimeso.h``; they do not depend on the instruction set.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from .layer import Layer
from .memory import round_lanes
from .operators import OPERATORS

Array = npt.NDArray[np.float32]


class Parameters:
    """The packed arrays of a network.

    Attributes:
        block: all of them, one behind the other, each from a multiple of 16 floats on.
    """

    def __init__(self, layers: Sequence[Layer], channels: dict[str, int]) -> None:
        """``channels``: channel (feature) count of every layer's output."""
        self._offsets: dict[str, dict[str, int]] = {}
        self._parts: list[Array] = []
        self._size = 0
        for layer in layers:
            for name, array in _arrays(layer, channels[layer.name]).items():
                self._add(layer, name, array)
        self.block: Array = np.concatenate(self._parts) if self._parts else np.zeros(0, np.float32)
        self._parts = []

    def offsets(self, layer: Layer) -> dict[str, int]:
        """Where the arrays of ``layer`` begin in the block, by their field of ``mm_step``."""
        return self._offsets.get(layer.name, {})

    def _add(self, layer: Layer, name: str, array: Array) -> None:
        flat = np.ascontiguousarray(array, np.float32).ravel()
        self._offsets.setdefault(layer.name, {})[name] = self._size
        padded = np.zeros(round_lanes(flat.size), np.float32)
        padded[: flat.size] = flat
        self._parts.append(padded)
        self._size += padded.size


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
