"""ONNX' Resize and Upsample: where their coordinates are those of the engine, which are PyTorch's.

Of the many ways to count coordinates those are taken that give the same pixels for the sizes at
hand; the others are refused by the name of the attribute.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ..engine.operators import MAX_EXTENT
from ..engine.operators.shape import nearest_pixels
from ..errors import GraphError
from . import layers
from .builder import NEEDS_SIZE
from .source import Node, text_of
from .view import Value

#: Where a pixel comes from whatever the size of the picture, and up to which size that is tried.
_BY_FACTOR = ("half_pixel", "pytorch_half_pixel", "asymmetric")
_TRIED = 1 << 12


def resize(node: Node) -> Value:
    """Nearest and linear, by sizes or scales that are known."""
    x = node.value()
    mode = text_of(node.get("mode", b"nearest"))
    coordinates = text_of(node.get("coordinate_transformation_mode", b"half_pixel"))
    rounding = text_of(node.get("nearest_mode", b"round_prefer_floor"))
    old = node.op == "Upsample" or node.version < 11
    if old:
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
        sizes_out = [None if n is None else _made(n, f) for n, f in zip(source, scale, strict=True)]
    else:
        sizes_out = list(sizes[-2:] if len(x.axes) == 4 else [1, sizes[-1]])
        if None in source:
            raise GraphError(NEEDS_SIZE)
        # no size is None here, which mypy does not see
        scale = [out / size for out, size in zip(sizes_out, source, strict=True)]  # type: ignore[operator]
    how = _how(sizes_out, scale, source, sizes is not None)
    if mode == "linear":
        aligned = coordinates == "align_corners" and _keeps_corners(how)
        if not aligned:
            _check_linear(coordinates, scale, sizes_out, node.version)
            _check_kept(source, sizes_out, scale)
        return layers.resize(node.build, x, "bilinear", *how, aligned)
    for size, out, factor in zip(source, sizes_out, scale, strict=True):
        if old and factor < 1:
            rounding = "ceil"  # as ONNX Runtime; ONNX itself did not say
        _check_nearest(coordinates, rounding, size, out, factor, how[0] is not None)
    return layers.resize(node.build, x, "nearest", *how)


def _how(
    sizes: Sequence[int | None],
    scale: Sequence[float],
    source: Sequence[int | None],
    given: bool,
) -> tuple[list[int] | None, list[float] | None]:
    """A size where it is ``given``, or known and the scale exactly, else the scale."""
    known = [s for s in sizes if s is not None]
    if given or all(
        n is not None and _is_exact(n, f, s) for n, f, s in zip(source, scale, sizes, strict=True)
    ):
        return known, None
    for n, f, s in zip(source, scale, sizes, strict=True):
        if n is not None and math.floor(n * f) != s:
            raise GraphError(f"makes {s} of {n} pixels by a scale of {f}: give 'sizes'")
    return None, list(scale)


def _keeps_corners(how: tuple[list[int] | None, list[float] | None]) -> bool:
    """Whether the corners of ONNX' ``align_corners``, which counts in sizes that need not be whole,
    are those of the pixels: where it makes whole sizes."""
    size, scale = how
    return size is not None or all(factor.is_integer() for factor in scale or ())


def _made(size: int, factor: float) -> int:
    """How many pixels, in float32 as ONNX Runtime: of 20 a scale of 1.3 makes 26."""
    return int(np.floor(np.float32(size) * np.float32(factor)))


def _is_exact(size: int, factor: float, out: int | None) -> bool:
    return bool(np.float32(size) * np.float32(factor) == out)


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
        if any(a not in (b, -1) for a, b in zip(whole[:2], x.shape, strict=False)):
            raise GraphError("resizes channels or the batch")
        return None, whole
    if scales is None or not scales.size:
        raise GraphError("has neither sizes nor scales")
    factors = [1.0] * rank
    for axis, factor in zip(axes, scales.reshape(-1), strict=True):
        factors[axis] = float(str(np.float32(factor)))  # 1.3, which float32 has not
    if any(f != 1 for f in factors[:2]):
        raise GraphError("resizes channels or the batch")
    return factors, None


def _check_linear(
    coordinates: str, scale: Sequence[float], sizes: Sequence[int | None], version: int
) -> None:
    if coordinates == "half_pixel":
        return
    if coordinates == "pytorch_half_pixel" and 1 not in sizes:
        return
    if coordinates != "tf_crop_and_resize" and all(factor == 1 for factor in scale):
        return
    if version < 11:
        raise GraphError("resizes linearly as only opsets before 11 do: export with 11 or later")
    raise GraphError(
        f"attribute 'coordinate_transformation_mode' is {coordinates!r}; of linear resizing known"
        " are 'half_pixel' (PyTorch's align_corners=False) and, to whole sizes, 'align_corners'"
    )


def _check_kept(
    source: Sequence[int | None], sizes: Sequence[int | None], scale: Sequence[float]
) -> None:
    """Of a scale that keeps a size ONNX moves the pixels, PyTorch and the engine do not."""
    for size, out, factor in zip(source, sizes, scale, strict=True):
        if size is not None and size == out and factor != 1:
            raise GraphError(f"keeps {size} pixels by a scale of {factor:g}: give 'sizes'")


def _check_nearest(
    coordinates: str,
    rounding: str,
    size: int | None,
    out: int | None,
    factor: float,
    by_size: bool,
) -> None:
    """Whether the pixels are those that the engine takes, which multiplies where ONNX divides."""
    tried = max(min(_TRIED, int(MAX_EXTENT / factor)), 1) if size is None else size
    made = _made(tried, factor) if out is None else out
    if made > MAX_EXTENT:
        raise GraphError(f"makes {made} pixels of {tried} along an axis")
    ratio = np.float32(tried / made if by_size else 1 / factor)
    wanted = _nearest(coordinates, rounding, tried, made, factor)
    found = nearest_pixels(tried, made, ratio)
    if size is None and coordinates not in _BY_FACTOR:
        wanted = None
    if wanted is not None and (wanted == found).all():
        return
    if size is None:
        raise GraphError(f"coordinates {coordinates!r} with {rounding!r}: {NEEDS_SIZE}")
    raise GraphError(
        f"attributes 'coordinate_transformation_mode' {coordinates!r} and 'nearest_mode'"
        f" {rounding!r} take other pixels than the engine at {factor:g} times the size; try"
        " 'asymmetric' with 'floor', or another size"
    )


def _nearest(
    coordinates: str, rounding: str, size: int, out: int, factor: float
) -> npt.NDArray[np.float32] | None:
    """In float32, as ONNX Runtime: where a coordinate is nearly whole, that decides."""
    one = np.float32(1)
    index, scale, half = np.arange(out, dtype=np.float32), np.float32(factor), one / 2
    if coordinates in ("half_pixel", "pytorch_half_pixel"):
        at = (index + half) / scale - half
        if coordinates == "pytorch_half_pixel" and out == 1:
            at = index
    elif coordinates == "asymmetric":
        at = index / scale
    elif coordinates == "align_corners":
        at = index * np.float32(size - 1) / np.float32(max(out - 1, 1))
    else:
        return None
    rounded = {
        "floor": np.floor(at),
        "ceil": np.ceil(at),
        "round_prefer_floor": np.ceil(at - half),
        "round_prefer_ceil": np.floor(at + half),
    }.get(rounding)
    return None if rounded is None else rounded.clip(0, size - 1)
