"""The C engine as cffi hands it over, its constants, and its names by number.

What the engine numbers or counts is asked from it: nothing here is written down a second time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

try:
    from ._cffi import ffi, lib
except ModuleNotFoundError as error:
    raise ImportError(f"{__file__}: no C engine is built here: run pip install -e .") from error


__all__ = ["ACTIVATION_NUMBERS", "BLOCK", "LANES", "OP_NUMBERS", "SLACK", "ffi", "lib", "names"]


def names(of: Callable[[int], Any]) -> Iterator[str]:
    """Names that a function of the engine gives for 0, 1, ..., up to the last."""
    number = 0
    while (name := of(number)) != ffi.NULL:
        yield ffi.string(name).decode()
        number += 1


#: Rows are padded to this many floats.
LANES: int = lib.MM_LANES
#: Output channels of a full weight block.
BLOCK: int = lib.MM_BLOCK
#: Vector loads may run this far past the last element that is needed.
SLACK: int = lib.MM_SLACK

#: Numbers by name: ``CONV``, ``relu``.
OP_NUMBERS: dict[str, int] = {name: i for i, name in enumerate(names(lib.mm_op_name))}
ACTIVATION_NUMBERS: dict[str, int] = {
    name: i for i, name in enumerate(names(lib.mm_activation_name))
}
