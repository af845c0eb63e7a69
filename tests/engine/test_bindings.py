"""What Python is told about the C engine agrees with what the C compiler made of it."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import random_weights

from minimeso import EngineError, Graph, Session
from minimeso.engine.bindings import ACTIVATION_NUMBERS, OP_NUMBERS, ffi, lib
from minimeso.engine.native import Program
from minimeso.engine.operators import OPERATORS, functions, kernel_of


def test_numbers_are_those_of_the_compiler() -> None:
    """setup.py spells the lists out for cffi; the compiler counts them itself."""
    assert len(OP_NUMBERS) == lib.MM_OP_COUNT
    assert all(getattr(lib, f"MM_OP_{name}") == n for name, n in OP_NUMBERS.items())
    assert len(ACTIVATION_NUMBERS) == lib.MM_ACTIVATION_COUNT
    assert all(getattr(lib, f"MM_{name.upper()}") == n for name, n in ACTIVATION_NUMBERS.items())


def test_valleys_are_the_same_on_both_sides() -> None:
    """Python decides which a pool may take in; C refuses the others."""
    for function in functions().values():
        activation = OPERATORS[function.op].activation
        assert activation is not None
        number = ACTIVATION_NUMBERS[kernel_of(function)[0]]
        assert activation.is_valley == bool(lib.mm_activation_is_valley(number)), function


@pytest.mark.parametrize(
    ("kernel", "size"),
    ((5, "scratch_floats"), (5, "max_list"), (2, "scratch_floats"), (5, "zeros")),
)
def test_measures_are_what_the_guard_asks_for(kernel: int, size: str) -> None:
    """With one float, tap or zero less than ``mm_measure`` says a program is refused."""
    graph = Graph()
    x = graph.input("x", (8, 20, 20))
    if kernel == 5:
        x = graph.node("conv2d", x, out_channels=8, kernel_size=5, padding=2)
    else:
        x = graph.node("max_pool2d", x, kernel_size=kernel, stride=1)
    graph.output(x)
    weights = random_weights(graph, np.random.default_rng(0))
    plan, program = Session(graph, weights, threads=1).program()
    parameters = program.parameters
    if size == "zeros":
        plan.constants[-1] = plan.constants[-1][:-32]  # 16 are added to whatever there is
    else:
        setattr(plan, size, getattr(plan, size) - 1)
    with pytest.raises(EngineError, match="contradicts itself"):
        Program(plan, parameters)


@pytest.mark.parametrize(
    ("op", "fields"),
    [
        ("CONV", {"groups": 0}),
        ("CONV", {"stride_h": 0}),
        ("WINOGRAD", {"kernel_h": 9}),
        ("WINOGRAD", {"channels": -4}),
        ("PIXEL_SHUFFLE", {"stride_h": 0}),
        ("MAX_POOL", {"ring": lib.MM_MAX_STAGE}),
    ],
)
def test_what_cannot_be_measured_is_refused(op: str, fields: dict[str, int]) -> None:
    """A division by zero would end the process."""
    tensors = ffi.new("mm_tensor[2]")
    for tensor in tensors:
        tensor.channels, tensor.height, tensor.width = 16, 20, 20
        tensor.ring = tensor.line_mask = -1
    step = ffi.new("mm_step *", {"op": OP_NUMBERS[op], "output": 1, "second": -1, "groups": 1})
    for axis in ("kernel", "stride", "dilation"):
        setattr(step, f"{axis}_h", 3 if axis == "kernel" else 1)
        setattr(step, f"{axis}_w", 3 if axis == "kernel" else 1)
    program = ffi.new("mm_program *", {"tensors": tensors, "tensor_count": 2})
    program.steps, program.step_count = step, 1
    needs, lines = ffi.new("mm_needs *"), ffi.new("int64_t[]", lib.MM_MAX_STAGE)
    stage = ffi.new("mm_stage *", (0, 1, 4))
    assert lib.mm_measure(program, 0, needs) == lib.MM_OK
    assert lib.mm_measure_stage(program, stage, lines) == lib.MM_OK
    for name, value in fields.items():
        setattr(tensors[0] if name in ("channels", "ring") else step, name, value)
    assert lib.mm_measure(program, 0, needs) == lib.MM_E_PROGRAM
    assert lib.mm_measure_stage(program, stage, lines) == lib.MM_E_PROGRAM


def test_a_ring_of_a_longer_stage_is_refused() -> None:
    """What it repeats would be read before anybody wrote it."""
    tensors = ffi.new("mm_tensor[2]")
    for tensor in tensors:
        tensor.channels, tensor.height, tensor.width = 16, 20, 20
        tensor.ring = tensor.line_mask = -1
    step = ffi.new("mm_step *", {"op": OP_NUMBERS["CLAMP"], "output": 1, "second": -1})
    program = ffi.new("mm_program *", {"tensors": tensors, "tensor_count": 2})
    program.steps, program.step_count = step, 1
    lines, stage = ffi.new("int64_t[]", lib.MM_MAX_STAGE), ffi.new("mm_stage *", (0, 1, 4))
    assert lib.mm_measure_stage(program, stage, lines) == lib.MM_OK
    tensors[0].ring = 2
    assert lib.mm_measure_stage(program, stage, lines) == lib.MM_E_PROGRAM


@pytest.mark.parametrize("stage", [(0, 0, 4), (0, 1, 0), (-1, 1, 4), (1, 1, 4), (0, 65, 4)])
def test_a_stage_outside_of_the_program_is_refused(stage: tuple[int, int, int]) -> None:
    program = ffi.new("mm_program *", {"step_count": 1})
    lines = ffi.new("int64_t[]", lib.MM_MAX_STAGE)
    found = ffi.new("mm_stage *", stage)
    assert lib.mm_measure_stage(program, found, lines) == lib.MM_E_PROGRAM
