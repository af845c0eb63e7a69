"""Parameters as the kernels want them: one float32 block, and one of bytes for large weights that
are int8 in the model file; shared by all programs of a network.

Layouts are those of ``mm_step`` in ``csrc/minimeso.h``; they do not depend on the instruction set.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from .bindings import BLOCK, LANES
from .layer import Layer, Layers
from .memory import round_lanes
from .operators import OPERATORS

Array = npt.NDArray[np.float32]


class _Floats:
    """Arrays one behind the other, each from a multiple of 16 elements on."""

    def __init__(self, expected: int) -> None:
        # Memory that is never written is none of the process's, so there may be too much of it.
        self._room = np.zeros(expected + LANES, np.float32)
        self._size = 0

    def add(self, array: Array) -> int:
        """Where it begins from now on."""
        start, end = self._size, self._size + array.size
        if round_lanes(end) > self._room.size:
            larger = np.zeros(round_lanes(2 * end), np.float32)
            larger[:start] = self._room[:start]
            self._room = larger
        _copy(array, self._room[start:end])
        self._size = round_lanes(end)
        return start

    def whole(self) -> Array:
        return self._room[: max(self._size, LANES)]  # what is empty has no address


class _Bytes:
    """The same for int8, views of what a file has: copied in the end, when their size is known."""

    def __init__(self) -> None:
        self._arrays: list[npt.NDArray[np.int8]] = []
        self.size = 0

    def add(self, array: npt.NDArray[np.int8]) -> int:
        start = self.size
        self._arrays.append(array)
        self.size += round_lanes(array.size)
        return start

    def whole(self) -> npt.NDArray[np.uint8]:
        """Bytes whose zero is 128."""
        block = np.zeros(self.size + LANES, np.int8)  # which may be read
        start = 0
        for array in self._arrays:
            _copy(array, block[start : start + array.size])
            start += round_lanes(array.size)
        unsigned = block.view(np.uint8)
        unsigned ^= 128
        return unsigned


def _copy(array: npt.NDArray[Any], room: npt.NDArray[Any]) -> None:
    room = room.reshape(array.shape)
    if array.ndim < 2 or array.shape[-1] > BLOCK or array.flags.c_contiguous:
        room[...] = array
        return
    for channel in range(array.shape[-1]):  # or NumPy's innermost loop would be of so many
        room[..., channel] = array[..., channel]


class Parameters:
    """The packed arrays of a network.

    Attributes:
        block: float32, all but
        quantized: uint8, weights as ``mm_step`` has them in its field of that name.
        nbytes: what the arrays take in memory.
    """

    def __init__(self, layers: Layers, channels: dict[str, int]) -> None:
        """``layers``: what is packed is taken out of them, one by one, because a large network
        would lie in memory twice; ``channels``: channel (feature) count of each one's output.
        """
        self._offsets: dict[str, dict[str, int]] = {}
        expected = sum(_expected(layer, channels[layer.name]) for layer in layers)
        floats, small = _Floats(expected), _Bytes()
        for number, layer in enumerate(layers):
            arrays = _arrays(layer, channels[layer.name])
            self._offsets[layer.name] = {
                name: (small if name == "quantized" else floats).add(array)
                for name, array in arrays.items()
            }
            packed = {*arrays, "weight"} if "quantized" in arrays else {*arrays}
            left = {name: layer.arrays[name] for name in layer.arrays if name not in packed}
            layers[number] = layer._replace(arrays=left)  # norms are lowered with theirs
        self.block: Array = floats.whole()
        self.quantized: npt.NDArray[np.uint8] = small.whole()
        self.nbytes: int = self.block.nbytes + small.size

    def offsets(self, layer: Layer) -> dict[str, int]:
        """Where the arrays of ``layer`` begin in their block, by their field of ``mm_step``."""
        return self._offsets.get(layer.name, {})


def _expected(layer: Layer, channels: int) -> int:
    """Most layers are packed into no more values: of parameters, bias, slopes, scale and shift."""
    sizes = (round_lanes(math.prod(shape)) for shape in layer.shapes.values())
    return sum(sizes) + 4 * round_lanes(channels)


def _arrays(layer: Layer, channels: int) -> dict[str, npt.NDArray[Any]]:
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
