"""Plan files: what a program in C runs through ``minimeso_c_api.h``.

``csrc/plan_file.h`` says what stands in one, and ``csrc/plan_file.c`` reads it.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from ..engine.bindings import ffi, lib
from ..engine.native import Program
from .interface import Interface

_MAGIC = b"MMPLAN\0\2"
#: Of ``mm_program``, in order.
COUNTS = (
    "tensor_count", "step_count", "stage_count", "parameter_count", "constant_count", "table_count",
    "quantized_count", "arena_floats", "ring_floats", "scratch_floats", "max_list", "input_count",
    "output_count",
)  # fmt: skip


def plan_file(program: Program, public: Interface) -> bytes:
    """The bytes of a plan file."""
    made = program.struct
    limits = public.model.thresholds if public.is_detector else None
    parts = [
        _numbers([lib.mm_plan_version()]),
        _numbers(getattr(made, name) for name in COUNTS),
        _numbers([limits is not None]),
        _numbers(_bits(limits[key] if limits else 0.0) for key in ("real", "fake")),
        *(_name(array.given) for array in (*public.inputs, *public.outputs)),
        *(_fields(row) for row in ffi.unpack(made.tensors, made.tensor_count)),
        *(_fields(row) for row in ffi.unpack(made.steps, made.step_count)),
        *(_fields(row) for row in ffi.unpack(made.stages, made.stage_count)),
        program.constants.astype("<f4").tobytes(),
        program.tables.astype("<i4").tobytes(),
        program.parameters.block.astype("<f4").tobytes(),
        program.parameters.quantized.tobytes(),
    ]
    body = b"".join(parts)
    return _MAGIC + struct.pack("<I", zlib.crc32(body)) + body


def _numbers(values: Iterable[int]) -> bytes:
    return b"".join(struct.pack("<q", int(value)) for value in values)


def _bits(value: float) -> int:
    return int(np.float32(value).view(np.uint32))


def _name(name: str) -> bytes:
    text = name.encode()
    return _numbers([len(text)]) + text + bytes(-len(text) % 8)


def _fields(row: Any) -> bytes:
    return _numbers(_values(row))


def _values(row: Any) -> Iterator[int]:
    """All fields of a struct in its own order, floats by their bits."""
    for name, about in ffi.typeof(row).fields:
        value = getattr(row, name)
        if about.type.kind == "array":
            yield from value
        else:
            yield _bits(value) if isinstance(value, float) else value
