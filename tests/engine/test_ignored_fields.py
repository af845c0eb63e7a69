"""Fields that an operator does not name: any numbers, which change nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minimeso.engine.bindings import OP_NUMBERS, ffi, lib
from minimeso.engine.native import Pool, Workspace

_HEIGHT = 64


def program_with(kernel: tuple[int, int]) -> tuple[Any, list[Any]]:
    """A column goes through a clamp, whose kernel nobody asks for, and a pool of three lines: these
    two share a stage.  With what it holds on to."""
    nowhere = dict.fromkeys(
        ("input", "second", "output", "sign", "first_table", "second_table", "first_constant",
         "second_constant", "pre_activation", "activation", "slopes", "scale", "shift", "weight",
         "quantized", "weight_scale", "bias"),
        -1,
    )  # fmt: skip
    rows = {"row_stride": 32, "line_stride": 48, "channels": 1, "height": _HEIGHT, "width": 1}
    whole = {**rows, "ring": -1, "line_mask": -1}
    tensors = [{**whole, "offset": 16 + 48 * _HEIGHT * i} for i in range(2)]
    tensors.append({**rows, "ring": 0, "line_mask": 7, "offset": 16})
    window = dict.fromkeys(("stride_h", "stride_w", "dilation_h", "dilation_w", "pad_top"), 1)
    steps = [
        {"op": "INPUT_F32", "output": 0},
        {"op": "CLAMP", "input": 0, "output": 2, "low": 0, "high": 9,
         "kernel_h": kernel[0], "kernel_w": kernel[1]},
        {"op": "MAX_POOL", "input": 2, "output": 1, **window, "kernel_h": 3, "kernel_w": 100},
        {"op": "OUTPUT", "input": 1},
    ]  # fmt: skip
    kept = [
        ffi.new("mm_tensor[]", tensors),
        ffi.new("mm_step[]", [{**nowhere, **s, "op": OP_NUMBERS[str(s["op"])]} for s in steps]),
        ffi.new("mm_stage[]", [(0, 1, 1), (1, 2, 1), (3, 1, 1)]),
    ]
    counts = {"tensor_count": 3, "step_count": 4, "stage_count": 3}
    sizes = {"arena_floats": 100 * _HEIGHT, "ring_floats": 500, "scratch_floats": 200}
    arrays = {"input_count": 1, "output_count": 1}
    program = ffi.new("mm_program *", {**counts, **sizes, **arrays, "max_list": 16})
    program.tensors, program.steps, program.stages = kept
    return program, kept


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("kernel", [(0, 0), (-270, 1), (270, 1), (-(1 << 31), (1 << 31) - 1)])
def test_a_step_without_a_kernel_has_none(kernel: tuple[int, int], threads: int) -> None:
    """Its work was reckoned with it, and could be less than none: then threads took pieces that
    there were not, in memory before their own, for ever."""
    program, kept = program_with(kernel)
    assert lib.mm_check(program, ffi.new("int64_t *")) == lib.MM_OK, kept
    x = np.random.default_rng(0).normal(0, 1, _HEIGHT).astype(np.float32)
    y = np.zeros_like(x)
    pool, memory = Pool(threads), Workspace()
    code = lib.mm_run(
        program, lib.MM_SCALAR, pool.handle,
        ffi.new("void *[]", [ffi.from_buffer(x)]),
        ffi.new("float *[]", [ffi.from_buffer("float[]", y)]),
        1, memory.pointer(lib.mm_workspace_bytes(program, threads, 1)), 1, ffi.NULL,
    )  # fmt: skip
    pool.close()
    assert code == lib.MM_OK
    around = np.lib.stride_tricks.sliding_window_view(np.pad(x, 1), 3)
    np.testing.assert_array_equal(y, np.maximum(around.max(1), 0))
