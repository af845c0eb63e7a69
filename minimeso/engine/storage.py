"""How weights lie in a model file, where it is to be small: as float16 or int8.

Whoever asks for an array gets float32; int8 weights of convolutions are also to be had as they are,
and the engine keeps them so.  What is lost is lost at saving, once: what was read and is saved in
the same way again is the same.  Vectors (biases, batch norm) are float32 in any case: they are few,
and a variance may be smaller than any float16.

int8 is for large arrays, in which nearly all weights of a large network are; the first layers of
EfficientNet-Lite0, whose arrays are small, lose most by it.  Such an array is symmetric about 0,
with a scale for each output channel in an array ``NODE.PARAMETER.scale`` of its own::

    weight[o] = stored[o] * scale[o]

A scale has 16 bits and the product with any int8 23, so it is exact, and so is the way back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ..errors import ModelError
from .graph import Weights
from .layer import Quantized

Dtype = Literal["float32", "float16", "int8"]
DTYPES = ("float32", "float16", "int8")
#: The format of model files with anything but float32 in them.
FORMAT_WITH_SMALL_TYPES = 2
#: Values from which on an array is int8 where that is wanted; smaller ones are float16.
LARGE = 30_000
_SCALE = ".scale"
_MOST = 127
_SCALE_BITS = 16

Arrays = dict[str, npt.NDArray[Any]]


def stored(weights: Weights, dtype: Dtype, where: str) -> Arrays:
    """The arrays of a file.

    Raises:
        ModelError: an array does not fit into float16.
    """
    arrays: Arrays = {}
    for name, array in weights.items():
        if array.ndim < 2 or dtype == "float32":
            arrays[name] = array
        elif dtype == "int8" and array.size >= LARGE and f"{name}{_SCALE}" not in weights:
            arrays[name], arrays[f"{name}{_SCALE}"] = quantized(array)
        else:
            arrays[name] = _as_float16(array, name, where)
    return arrays


def _as_float16(array: npt.NDArray[np.float32], name: str, where: str) -> npt.NDArray[np.float16]:
    with np.errstate(over="ignore"):
        half = array.astype(np.float16)
    if not np.isfinite(half).all():
        largest = float(np.abs(array).max())
        raise ModelError(
            f"{where}: array {name!r} reaches {largest:g}, float16 only 65504: "
            "store the model as float32"
        )
    return half


def quantized(
    array: npt.NDArray[np.float32],
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """An array (O, ...) as int8, and the scale (O,) of each output channel."""
    channels = array.astype(np.float64).reshape(len(array), -1)
    mantissa, exponent = np.frexp(np.abs(channels).max(axis=1) / _MOST)
    step = 2.0**-_SCALE_BITS
    scale = np.ldexp(np.ceil(mantissa / step) * step, exponent)
    scale = np.maximum(scale, float(np.finfo(np.float32).tiny))  # of a channel of zeros
    values = np.rint(channels / scale[:, None]).astype(np.int8)
    return values.reshape(array.shape), scale.astype(np.float32)


class Widened(Mapping[str, npt.NDArray[Any]]):
    """The arrays of a file as float32; what is of no known kind stays as it is.

    Small types are widened each time that an array is asked for: in float32 a large network would
    lie in memory as often as it is rewritten and packed.

    Args:
        arrays: of a file, by name.
        version: its format.
        where: its name, for errors.

    Raises:
        ModelError: the format of the file knows none but float32, or a scale is missing or wrong.
    """

    def __init__(self, arrays: Mapping[str, npt.NDArray[Any]], version: int, where: str) -> None:
        self._arrays = dict(arrays)
        self._scales: Arrays = {}
        for name, array in arrays.items():
            if array.dtype in (np.float16, np.int8):
                self._check_small(name, array, version, where)
        for name, array in self._arrays.items():
            self._arrays[name] = np.ascontiguousarray(array)

    def _check_small(self, name: str, array: npt.NDArray[Any], version: int, where: str) -> None:
        if version < FORMAT_WITH_SMALL_TYPES:
            raise ModelError(
                f"{where}: array {name!r} is {array.dtype}, which format {version} has not: save "
                f"the model again, or say format {FORMAT_WITH_SMALL_TYPES}"
            )
        if array.dtype == np.int8:
            scale = self._arrays.pop(f"{name}{_SCALE}", None)
            if scale is None or scale.dtype != np.float32 or scale.shape != array.shape[:1]:
                raise ModelError(
                    f"{where}: int8 array {name!r} needs '{name}{_SCALE}', one float32 for each "
                    "output channel"
                )
            self._scales[name] = scale.reshape(-1, *(1,) * (array.ndim - 1))

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        array = self._arrays[name]
        if array.dtype in (np.float16, np.int8):
            array = array.astype(np.float32)
            if name in self._scales:
                with np.errstate(over="ignore", invalid="ignore"):  # infinities are refused
                    array *= self._scales[name]
        return array

    def quantized(self, name: str) -> Quantized | None:
        """An array that is int8 in the file, with the scale of each output channel."""
        scale = self._scales.get(name)
        return None if scale is None else Quantized(self._arrays[name], scale.ravel())

    def __contains__(self, name: object) -> bool:  # that of Mapping widens the array
        return name in self._arrays

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)
