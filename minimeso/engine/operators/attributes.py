"""Readers of attributes: a JSON value in, a checked value out, ``GraphError`` if it is none."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from ...checks import is_integer, is_number
from ...errors import GraphError

Reader = Callable[[Any], Any]

#: Largest value of any size, stride or padding: keeps every product far from overflow.
MAX_EXTENT = 1 << 20


class Attribute(NamedTuple):
    """One attribute of an operator.

    Attributes:
        read: its reader.
        default: ``...`` if it must be given.
        examples: values beside the default that the checks try.
    """

    read: Reader
    default: Any = ...
    examples: tuple[Any, ...] = ()


def integer(low: int) -> Callable[[Any], int]:
    """An integer from ``low`` to ``MAX_EXTENT``."""

    def read(value: Any) -> int:
        if not is_integer(value):
            raise GraphError(f"must be an integer, not {value!r}")
        if not low <= value <= MAX_EXTENT:
            raise GraphError(f"must lie in {low}..{MAX_EXTENT}, not {value}")
        return int(value)

    return read


def pair(low: int) -> Callable[[Any], tuple[int, int]]:
    """One integer for both axes, or (height, width)."""
    read_one = integer(low)

    def read(value: Any) -> tuple[int, int]:
        if isinstance(value, (list, tuple)):
            if len(value) != 2:
                raise GraphError(f"must be one integer or (height, width), not {value!r}")
            return read_one(value[0]), read_one(value[1])
        return read_one(value), read_one(value)

    return read


def padding(value: Any) -> tuple[int, int, int, int]:
    """One integer, (height, width) or (top, left, bottom, right) as in ONNX."""
    if isinstance(value, (list, tuple)) and len(value) == 4:
        top, left, bottom, right = (integer(0)(v) for v in value)
        return top, left, bottom, right
    height, width = pair(0)(value)
    return height, width, height, width


def number(value: Any) -> float:
    """A number that is finite in float32."""
    if not is_number(value):
        raise GraphError(f"must be a number, not {value!r}")
    try:
        result = float(value)
    except OverflowError:
        result = math.inf
    if not math.isfinite(result) or abs(result) > 3.4e38:
        raise GraphError("must be finite in float32")
    return result


def positive(value: Any) -> float:
    """A number above 0."""
    result = number(value)
    if result <= 0:
        raise GraphError(f"must be positive, not {result}")
    return result


def scale(value: Any) -> tuple[float, float]:
    """One factor for both axes, or (height, width)."""
    if isinstance(value, (list, tuple)):
        if len(value) != 2:
            raise GraphError(f"must be one number or (height, width), not {value!r}")
        return positive(value[0]), positive(value[1])
    return positive(value), positive(value)


def flag(value: Any) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise GraphError(f"must be true or false, not {value!r}")
    return value


def choice(*names: str) -> Callable[[Any], str]:
    """One of some names."""

    def read(value: Any) -> str:
        if value not in names:
            raise GraphError(f"must be one of {', '.join(names)}, not {value!r}")
        return str(value)

    return read


def optional(read: Reader) -> Reader:
    """None, or what ``read`` takes."""
    return lambda value: None if value is None else read(value)
