"""The C engine as cffi hands it over, its constants, and its names by number.

What the engine numbers or counts is asked from it: nothing here is written down a second time.
Comes before NumPy wherever that is imported, because it says where NumPy would not run.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

from ..errors import EngineError

try:
    from ._cffi import ffi, lib
except ModuleNotFoundError as error:
    raise ImportError(f"{__file__}: no C engine is built here: run pip install -e .") from error


def check_numpy(has_sse42: bool, version: str | None = None) -> None:
    """Refuse a NumPy that ends the process by an illegal instruction when it is imported.

    Args:
        has_sse42: whether the CPU has what NumPy wants from 2.4 on.
        version: of NumPy; of the one that is installed.

    Raises:
        EngineError: it does not run here.
    """
    if has_sse42 or ("numpy" in sys.modules and version is None):
        return
    from importlib.metadata import version as installed  # takes milliseconds

    version = version or installed("numpy")
    if tuple(map(int, version.split(".")[:2])) >= (2, 4):
        raise EngineError(
            f"this processor has no SSE4.2, and NumPy {version} does not run without it: "
            "pip install 'minimeso[old-pc]', or pip install 'numpy<2.4'",
            lib.MM_E_ISA,
        )


check_numpy(bool(lib.mm_cpu_has_sse42()))

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
