"""Rings of stages: as long as any band needs, whoever takes which bands."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from conftest import random_weights
from hypothesis import example, given
from hypothesis import strategies as st

from minimeso import EngineError, Graph, Session
from minimeso.engine.bindings import OP_NUMBERS, ffi, lib
from minimeso.engine.steps import Stage
from minimeso.engine.structs import Structs

CHANNELS = 4


def pyramid(levels: int, before: str, between: str, stride: int) -> Graph:
    """Maps x0, x1, ... of twice the height each; what has been made of the smaller ones is doubled
    and added to the next, ``levels`` times.  Layers by letters: see ``convolved``."""
    graph = Graph()
    x = convolved(graph, graph.input("x0", (CHANNELS, None, None)), before)
    for level in range(1, levels + 1):
        doubled = graph.node("resize", x, scale=2, mode="nearest")
        fine = graph.input(f"x{level}", (CHANNELS, None, None))
        x = convolved(graph, graph.node("add", fine, doubled), between)
    graph.output(graph.node("conv2d", x, out_channels=CHANNELS, kernel_size=1, stride=stride))
    return graph


def convolved(graph: Graph, x: str, layers: str) -> str:
    """``d``: depthwise 3 x 3, ``3`` ``5`` ``7``: of that size, ``w``: 3 x 3 with dilation 2."""
    for letter in layers:
        size, dilation = (3, 2) if letter == "w" else (3 if letter == "d" else int(letter), 1)
        groups = CHANNELS if letter == "d" else 1
        x = graph.node(
            "conv2d", x, out_channels=CHANNELS, kernel_size=size, dilation=dilation, groups=groups,
            padding=dilation * (size // 2),
        )  # fmt: skip
    return x


@given(
    levels=st.integers(1, 4),
    before=st.text("d357w", min_size=1, max_size=3),
    between=st.text("d357w", max_size=2),
    stride=st.integers(1, 4),
    height=st.integers(9, 40),
)
@example(levels=2, before="d", between="d", stride=3, height=12)
def test_nested_doublings(levels: int, before: str, between: str, stride: int, height: int) -> None:
    """However bands are shared out, every line that a ring is asked for is still there."""
    graph = pyramid(levels, before, between, stride)
    rng = np.random.default_rng(0)
    weights = random_weights(graph, rng)
    maps = {
        f"x{level}": rng.normal(0, 1, (1, CHANNELS, height << level, 1 << level)).astype(np.float32)
        for level in range(levels + 1)
    }
    wanted = Session(graph, weights, threads=1, without=("row_bands",)).run(maps)
    for threads in (1, 2, 3, 5, 8):
        result = Session(graph, weights, threads=threads).run(maps)
        np.testing.assert_array_equal(result, wanted, err_msg=f"{threads} threads")


@pytest.mark.parametrize("scale", (2, 3, 4))
@pytest.mark.parametrize("size", (3, 5, 7))
def test_windows_behind_a_pixel_shuffle(scale: int, size: int) -> None:
    """The first band of a picture wants lines above it, and rings long enough for later bands."""
    graph = Graph()
    x = graph.input("x", (CHANNELS, 40, 32))
    x = graph.node("conv2d", x, out_channels=CHANNELS * scale**2, kernel_size=3, padding=1)
    x = graph.node("pixel_shuffle", x, upscale_factor=scale)
    for size_here in (size, 3):
        x = graph.node(
            "conv2d", x, out_channels=CHANNELS, kernel_size=size_here, padding=size_here // 2
        )
    graph.output(x)
    rng = np.random.default_rng(0)
    weights = random_weights(graph, rng)
    maps = rng.normal(0, 1, (1, CHANNELS, 40, 32)).astype(np.float32)
    wanted = Session(graph, weights, threads=1, without=("row_bands",)).run(maps)
    for threads in (1, 3):
        result = Session(graph, weights, threads=threads).run(maps)
        np.testing.assert_array_equal(result, wanted, err_msg=f"{threads} threads")


@pytest.mark.parametrize("count", (1, 2, 3, 6))
def test_strides_beyond_any_picture(count: int) -> None:
    """Lines that bands would need of a picture without edges are no numbers to be afraid of."""
    graph = Graph()
    x = graph.input("x", (1, 3, 16))
    first = x = graph.node("conv2d", x, out_channels=1, kernel_size=1)
    far = 1 << 20
    for _ in range(count):
        x = graph.node(
            "conv2d", x, out_channels=1, kernel_size=1, stride=[far, 1], padding=[far, 0] * 2
        )
    graph.output(graph.node("add", first, x))
    rng = np.random.default_rng(0)
    weights = random_weights(graph, rng)
    maps = rng.normal(0, 1, (1, 1, 3, 16)).astype(np.float32)
    wanted = Session(graph, weights, threads=1, without=("row_bands",)).run(maps)
    np.testing.assert_array_equal(Session(graph, weights, threads=1).run(maps), wanted)


@pytest.mark.parametrize("height", (24, 3000, 200_000))
def test_tiles_without_a_common_divisor(height: int) -> None:
    """Tiles of such dilations meet bands as before after 10 ** 10 lines only: nobody walks so far,
    nor every band of a picture, however high."""
    graph = Graph()
    x = graph.input("x", (CHANNELS, height, 1))
    for dilation in (61, 67, 71, 73, 79):
        x = graph.node(
            "conv2d", x, out_channels=CHANNELS, kernel_size=3, padding=[dilation, 1] * 2,
            dilation=[dilation, 1],
        )  # fmt: skip
    graph.output(x)
    plan = Session(graph, random_weights(graph, np.random.default_rng(0)), threads=1).plan()
    assert [s.op for s in plan.steps].count("WINOGRAD") == 5
    stage = Stage(1, 5, 6 * 79)
    rings = [plan.tensors[step.output].buffer for step in plan.steps[1:5]]
    assert (plan.structs.ring_lines(stage, rings) is None) == (height == 200_000)


def test_short_rings_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine does not trust the planner: it walks the bands itself."""
    graph = pyramid(2, "d", "d", 3)
    weights = random_weights(graph, np.random.default_rng(0))
    maps = {
        name: np.zeros((1, CHANNELS, 12 << level, 1 << level), np.float32)
        for level, name in enumerate(graph.inputs)
    }
    Session(graph, weights, threads=1).run(maps)
    lines = Structs.ring_lines
    monkeypatch.setattr(Structs, "ring_lines", lambda *a: [n // 2 for n in lines(*a) or ()])
    with pytest.raises(EngineError, match="contradicts itself"):
        Session(graph, weights, threads=1).run(maps)


def tall_program(lines_of_rings: int) -> tuple[Any, list[Any]]:
    """A stage of 64 steps over 2 ** 21 lines, as a hostile plan may have it: the last is
    a pool of three lines, the others clamp.  With what it holds on to."""
    height, count = 1 << 21, 64
    nowhere = dict.fromkeys(
        ("second", "sign", "first_table", "second_table", "first_constant", "second_constant",
         "pre_activation", "activation", "slopes", "scale", "shift", "weight", "bias"),
        -1,
    )  # fmt: skip
    rows = {"row_stride": 32, "line_stride": 48, "channels": 1, "height": height, "width": 1}
    tensors = [
        {**rows, "ring": -1, "line_mask": -1, "offset": 16 + at * 48 * height} for at in range(2)
    ]
    tensors += [
        {**rows, "ring": r, "line_mask": lines_of_rings - 1, "offset": 16 + r * 256}
        for r in range(count - 1)
    ]
    steps = [
        {**nowhere, "op": OP_NUMBERS["CLAMP"], "input": i + 1 if i else 0,
         "output": i + 2 if i < count - 1 else 1}
        for i in range(count)
    ]  # fmt: skip
    steps[-1] |= {"op": OP_NUMBERS["MAX_POOL"], "kernel_h": 3, "kernel_w": 1, "pad_top": 1}
    steps[-1] |= dict.fromkeys(("stride_h", "stride_w", "dilation_h", "dilation_w"), 1)
    kept = [
        ffi.new("mm_tensor[]", tensors),
        ffi.new("mm_step[]", steps),
        ffi.new("mm_stage[]", [{"count": count, "band": 1}]),
    ]
    counts = {"tensor_count": len(tensors), "step_count": count, "stage_count": 1}
    sizes = {"arena_floats": 100 * height, "ring_floats": 20_000, "scratch_floats": 256}
    program = ffi.new("mm_program *", {**counts, **sizes, "max_list": 16})
    program.tensors, program.steps, program.stages = kept
    return program, kept


@pytest.mark.parametrize(("lines", "refused"), [(4, False), (2, True)])
def test_a_tall_program_is_checked_at_once(lines: int, refused: bool) -> None:
    """It took as long as its bands are many: 2.6 seconds for 25 kB of a plan."""
    program, kept = tall_program(lines)
    step = ffi.new("int64_t *")
    before = time.process_time()
    status = lib.mm_check(program, step)
    assert time.process_time() - before < 1
    assert status == (lib.MM_E_PROGRAM if refused else lib.MM_OK), (step[0], len(kept))
