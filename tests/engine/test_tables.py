"""Tables of steps: the guard looks at each entry once."""

from __future__ import annotations

import pytest

from minimeso.engine.bindings import OP_NUMBERS, ffi, lib


@pytest.mark.parametrize(("shared", "status"), [(False, lib.MM_OK), (True, lib.MM_E_PROGRAM)])
def test_each_step_has_tables_of_its_own(shared: bool, status: int) -> None:
    """A table of which all steps made use was looked at for each: seconds for 7 MB of a plan, and
    a hundred times as long for ten times as much."""
    features, count = 32, 50
    nowhere = dict.fromkeys(
        ("second", "sign", "second_table", "first_constant", "second_constant", "pre_activation",
         "activation", "slopes", "scale", "shift", "weight", "bias"),
        -1,
    )  # fmt: skip
    row = {"row_stride": 48, "line_stride": 64, "channels": 1, "height": 1, "width": features}
    more = {"is_vector": 1, "ring": -1, "line_mask": -1}
    tensors = ffi.new("mm_tensor[]", [{**row, **more, "offset": 16 + 80 * i} for i in range(2)])
    steps = ffi.new(
        "mm_step[]",
        [
            {**nowhere, "op": OP_NUMBERS["SELECT"], "input": i % 2, "output": 1 - i % 2,
             "first_table": 0 if shared else i * features}
            for i in range(count)
        ],
    )  # fmt: skip
    stages = ffi.new("mm_stage[]", [{"first": i, "count": 1, "band": 1} for i in range(count)])
    tables = ffi.new("int32_t[]", [i % features for i in range(count * features)])
    counts = {"tensor_count": 2, "step_count": count, "stage_count": count}
    program = ffi.new("mm_program *", {**counts, "arena_floats": 300, "scratch_floats": 64})
    program.table_count = features if shared else count * features
    program.tensors, program.steps, program.stages, program.tables = tensors, steps, stages, tables
    step = ffi.new("int64_t *")
    assert lib.mm_check(program, step) == status
    assert step[0] == (1 if shared else -1)
