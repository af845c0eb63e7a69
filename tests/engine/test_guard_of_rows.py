"""The border guard, of what is read before and behind the rows of a step's input."""

from __future__ import annotations

import pytest

from minimeso.engine.bindings import OP_NUMBERS, ffi, lib

_ROW_PADDING = 16


def status_of(op: str, pad_left: int, stride: int) -> int:
    """What the guard says of one step whose window, five wide, begins so far left of its input."""
    nowhere = dict.fromkeys(
        ("second", "sign", "first_table", "second_table", "second_constant", "pre_activation",
         "activation", "slopes", "scale", "shift", "quantized", "weight_scale"),
        -1,
    )  # fmt: skip
    height = 3 if op == "WINOGRAD" else 5
    step = {
        **nowhere, "op": OP_NUMBERS[op], "input": 0, "output": 1, "kernel_h": height,
        "kernel_w": 5, "stride_h": stride, "stride_w": stride, "dilation_h": 1, "dilation_w": 1,
        "pad_left": pad_left, "groups": 1, "plane_out": 4,
    }  # fmt: skip
    row = {"row_stride": 16 + _ROW_PADDING, "line_stride": 48, "channels": 1, "height": 8}
    whole = {**row, "width": 4, "ring": -1, "line_mask": -1}
    tensors = ffi.new("mm_tensor[]", [{**whole, "offset": 16 + 480 * i} for i in range(2)])
    program = ffi.new(
        "mm_program *",
        {"tensor_count": 2, "step_count": 1, "stage_count": 1, "arena_floats": 2000,
         "scratch_floats": 10_000, "max_list": 1000, "constant_count": 1000,
         "parameter_count": 1000},
    )  # fmt: skip
    if op == "DEPTHWISE_PLANES":  # channels of one line for each line of planes
        tensors[0].channels, tensors[0].line_stride = 8, 16 + 8 * 32
        tensors[1].offset = 16 + 8 * 300
        program.arena_floats = 4000
    steps, stages = ffi.new("mm_step[]", [step]), ffi.new("mm_stage[]", [{"count": 1, "band": 12}])
    program.tensors, program.steps, program.stages = tensors, steps, stages
    return int(lib.mm_check(program, ffi.new("int64_t *")))


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("op", ["CONV", "WINOGRAD", "DEPTHWISE", "DEPTHWISE_PLANES"])
def test_no_window_begins_before_the_zeros_of_a_row(op: str, stride: int) -> None:
    """Found by .ci/fuzz programs-msan: where loads ended right before the row, nothing was asked,
    and memory before the arena was read."""
    if op == "WINOGRAD" and stride == 2:
        return
    for pad_left in range(100):
        fits = status_of(op, pad_left, stride) == lib.MM_OK
        assert fits == (pad_left <= _ROW_PADDING), pad_left
