"""ONNX' Resize and Upsample: where their coordinates are those of the engine, which are PyTorch's.

Of the many ways to count coordinates those are taken that give the same pixels for the sizes at
hand; the others are refused by the name of the attribute.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ..errors import GraphError
from . import layers
from .builder import NEEDS_SIZE
from .source import Node, text_of
from .view import Value


def resize(node: Node) -> Value:
    """Nearest and linear, by sizes or scales that are known."""
    x = node.value()
    mode = text_of(node.get("mode", b"nearest"))
    coordinates = text_of(node.get("coordinate_transformation_mode", b"half_pixel"))
    rounding = text_of(node.get("nearest_mode", b"round_prefer_floor"))
    if node.op == "Upsample" or node.version < 11:
        coordinates, rounding = "asymmetric", "floor"
    for name in ("cubic_coeff_a", "extrapolation_value"):
        node.get(name)
    node.only("exclude_outside", 0)
    node.only("antialias", 0)
    if mode not in ("nearest", "linear"):
        raise GraphError(f"attribute 'mode' is {mode!r}; known are 'nearest' and 'linear'")
    scales, sizes = _scales_and_sizes(node, x)
    source = layers.spatial(x)
    if sizes is None:
        assert scales is not None
        scale = scales[-2:] if len(x.axes) == 4 else [1.0, scales[-1]]
        sizes_out = [
            None if n is None else math.floor(n * f) for n, f in zip(source, scale, strict=True)
        ]
    else:
        sizes_out = list(sizes[-2:] if len(x.axes) == 4 else [1, sizes[-1]])
        if None in source:
            raise GraphError(NEEDS_SIZE)
        # no size is None here, which mypy does not see
        scale = [out / size for out, size in zip(sizes_out, source, strict=True)]  # type: ignore[operator]
    if mode == "linear":
        _check_linear(coordinates, source, sizes_out, node.version)
        return layers.resize(node.build, x, "bilinear", *_how(sizes_out, scale, source))
    for size, out, factor in zip(source, sizes_out, scale, strict=True):
        _check_nearest(coordinates, rounding, size, out, factor)
    return layers.resize(node.build, x, "nearest", *_how(sizes_out, scale, source))


def _how(
    sizes: Sequence[int | None], scale: Sequence[float], source: Sequence[int | None]
) -> tuple[list[int] | None, list[float] | None]:
    """A size where it is known and is the scale exactly, else the scale."""
    known = [s for s in sizes if s is not None]
    exact = all(n is not None and n * f == s for n, f, s in zip(source, scale, sizes, strict=True))
    return (known, None) if len(known) == 2 and exact else (None, list(scale))


def _scales_and_sizes(node: Node, x: Value) -> tuple[list[float] | None, list[int] | None]:
    rank = len(x.axes)
    places = (2, 3) if node.op == "Resize" and node.version >= 11 else (1, 9)
    scales, sizes = (node.optional(place, "size") for place in places)
    if node.op == "Upsample" and scales is None:
        scales = np.asarray(node.get("scales", []))
    axes = [x.axis_number(a) for a in node.get("axes", range(rank))]
    policy = text_of(node.get("keep_aspect_ratio_policy", b"stretch"))
    if policy != "stretch":
        raise GraphError(f"attribute 'keep_aspect_ratio_policy' is {policy!r}")
    if sizes is not None and sizes.size:
        whole: list[int] = [size if size is not None else -1 for size in x.shape]
        for axis, size in zip(axes, sizes.reshape(-1), strict=True):
            whole[axis] = int(size)
        if whole[:-2] != list(x.shape[:-2]) and rank == 4:
            raise GraphError("resizes channels or the batch")
        return None, whole
    if scales is None or not scales.size:
        raise GraphError("has neither sizes nor scales")
    factors = [1.0] * rank
    for axis, factor in zip(axes, scales.reshape(-1), strict=True):
        factors[axis] = float(factor)
    if any(f != 1 for f in factors[:2]):
        raise GraphError("resizes channels or the batch")
    return factors, None


def _check_linear(
    coordinates: str, source: Sequence[int | None], sizes: Sequence[int | None], version: int
) -> None:
    if coordinates == "half_pixel":
        return
    if coordinates == "pytorch_half_pixel" and 1 not in sizes:
        return
    if tuple(source) == tuple(sizes):
        return
    if version < 11:
        raise GraphError("resizes linearly as only opsets before 11 do: export with 11 or later")
    raise GraphError(
        f"attribute 'coordinate_transformation_mode' is {coordinates!r}; of linear resizing known"
        " is 'half_pixel' (PyTorch's align_corners=False)"
    )


def _check_nearest(
    coordinates: str, rounding: str, size: int | None, out: int | None, factor: float
) -> None:
    """Whether the pixels are those that PyTorch takes: floor(i / factor)."""
    if (coordinates, rounding) == ("asymmetric", "floor"):
        return
    whole = factor == int(factor)
    if size is None or out is None:  # for any size, then
        if whole and coordinates.endswith("half_pixel") and rounding.startswith("round"):
            return
        raise GraphError(f"coordinates {coordinates!r} with {rounding!r}: {NEEDS_SIZE}")
    wanted = np.floor(np.arange(out) / factor).clip(0, size - 1)
    found = _nearest(coordinates, rounding, size, out, factor)
    if found is None or (wanted != found).any():
        raise GraphError(
            f"attributes 'coordinate_transformation_mode' {coordinates!r} and 'nearest_mode'"
            f" {rounding!r} take other pixels than the engine; known is 'asymmetric' with 'floor'"
        )


def _nearest(
    coordinates: str, rounding: str, size: int, out: int, factor: float
) -> npt.NDArray[np.float64] | None:
    index = np.arange(out, dtype=np.float64)
    if coordinates in ("half_pixel", "pytorch_half_pixel"):
        at = (index + 0.5) / factor - 0.5
        if coordinates == "pytorch_half_pixel" and out == 1:
            at = np.zeros(1)
    elif coordinates == "asymmetric":
        at = index / factor
    elif coordinates == "align_corners":
        at = index * ((size - 1) / (out - 1)) if out > 1 else np.zeros(1)
    else:
        return None
    rounded = {
        "floor": np.floor(at),
        "ceil": np.ceil(at),
        "round_prefer_floor": np.ceil(at - 0.5),
        "round_prefer_ceil": np.floor(at + 0.5),
    }.get(rounding)
    return None if rounded is None else rounded.clip(0, size - 1)
