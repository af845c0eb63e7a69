"""What Python is told about the C engine agrees with what the C compiler made of it."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import random_weights

from minimeso import EngineError, Graph, Session
from minimeso.engine.bindings import ACTIVATION_NUMBERS, OP_NUMBERS, lib
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
    plan = Session(graph, weights, threads=1).plan()
    parameters = np.zeros(1 << 16, np.float32)
    Program(plan, parameters)
    if size == "zeros":
        plan.constants[-1] = plan.constants[-1][:-32]  # 16 are added to whatever there is
    else:
        setattr(plan, size, getattr(plan, size) - 1)
    with pytest.raises(EngineError, match="contradicts itself"):
        Program(plan, parameters)
