"""Arrays of layers that are made when they are asked for: of all layers together they would be a
second copy of the network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt

from .graph import Weights
from .layer import Quantized, quantized


class OfNode(Mapping[str, npt.NDArray[np.float32]]):
    """The arrays of a node; those of a file with small types become float32 only then."""

    def __init__(self, weights: Weights, prefix: str, names: tuple[str, ...]) -> None:
        self._weights, self._prefix, self._names = weights, prefix, names

    def __getitem__(self, name: str) -> npt.NDArray[np.float32]:
        return self._weights[self._prefix + name]

    def quantized(self, name: str) -> Quantized | None:
        """See ``layer.quantized``."""
        return quantized(self._weights, self._prefix + name)

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


class Folded(Mapping[str, npt.NDArray[np.float32]]):
    """Weight and bias of a convolution or dense layer with a batch norm in them."""

    def __init__(
        self,
        arrays: Mapping[str, npt.NDArray[np.float32]],
        scale: npt.NDArray[np.float32],
        shift: npt.NDArray[np.float32],
    ) -> None:
        self._arrays = arrays
        self._scale, self._shift = scale.astype(np.float64), shift.astype(np.float64)

    def __getitem__(self, name: str) -> npt.NDArray[np.float32]:
        if name == "weight":
            weight = self._arrays["weight"]
            scale = self._scale.reshape(-1, *(1,) * (weight.ndim - 1))
            into = np.empty_like(weight)  # in float64, but not all at once
            return np.multiply(weight, scale, out=into, dtype=np.float64, casting="same_kind")
        if name == "bias":
            bias = self._arrays.get("bias", np.zeros(len(self._scale), np.float32))
            return np.asarray(bias * self._scale + self._shift, np.float32)
        raise KeyError(name)

    def quantized(self, name: str) -> Quantized | None:
        """The weights of the file; their scale takes in that of the batch norm."""
        found = quantized(self._arrays, name)
        if found is None:
            return None
        with np.errstate(over="ignore"):  # seen by `are_finite`
            return found._replace(scale=np.asarray(found.scale * self._scale, np.float32))

    def __contains__(self, name: object) -> bool:
        return name in ("weight", "bias")

    def __iter__(self) -> Iterator[str]:
        return iter(("weight", "bias"))

    def __len__(self) -> int:
        return 2

    def are_finite(self) -> bool:
        """Whether all of them are, as float32."""
        small = self.quantized("weight")
        if small is not None:
            return small.is_finite() and bool(np.isfinite(self["bias"]).all())
        weight = self._arrays["weight"]
        largest = np.abs(weight).reshape(len(weight), -1).max(1)  # of each output channel
        with np.errstate(over="ignore", invalid="ignore"):
            weights = (largest * self._scale).astype(np.float32)
            return bool(np.isfinite(weights).all() and np.isfinite(self["bias"]).all())
