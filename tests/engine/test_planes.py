"""Small maps that lie plane by plane: blocks of narrow and wide layers, as MobileNets have them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from conftest import random_weights
from hypothesis import example, given
from hypothesis import strategies as st

from minimeso import Graph, Session
from minimeso.engine.native import available_isas
from minimeso.engine.reference import evaluate

STEPS = ("POINTWISE", "DEPTHWISE_PLANES")


def block(
    graph: Graph, x: str, wide: int, narrow: int, kernel: int, stride: int,
    padding: list[int], activation: str, add: bool,
) -> str:  # fmt: skip
    """1x1 to wide, each channel by itself, 1x1 to narrow, and perhaps what came in added."""
    y = graph.node("conv2d", x, out_channels=wide, kernel_size=1)
    y = graph.node(activation, y)
    y = graph.node(
        "conv2d",
        y,
        out_channels=wide,
        kernel_size=kernel,
        stride=stride,
        padding=padding,
        groups=wide,
    )
    y = graph.node(activation, y)
    y = graph.node("conv2d", y, out_channels=narrow, kernel_size=1)
    if add and graph.shapes()[x] == graph.shapes()[y]:
        y = graph.node("add", y, x)
    return y


@st.composite
def networks(draw: st.DrawFn) -> Graph:
    graph = Graph()
    height, width = draw(st.integers(4, 24)), draw(st.sampled_from([4, 8, 9, 12, 16, 24, 32, 48]))
    x = graph.input("x", (draw(st.integers(1, 9)), height, width))
    narrow = draw(st.sampled_from([4, 8, 12, 16, 20, 5]))
    for _ in range(draw(st.integers(1, 4))):
        kernel, stride = draw(st.sampled_from([3, 5])), draw(st.integers(1, 2))
        missing = kernel - 1 if stride == 1 else kernel - 2
        before = draw(st.integers(0, missing))
        same = [before, before, missing - before, missing - before]
        _, height, width = (d or 0 for d in graph.shapes()[x])
        padding = same if draw(st.integers(0, 3)) else [draw(st.integers(0, 6)) for _ in range(4)]
        if height + padding[0] + padding[2] < kernel or width + padding[1] + padding[3] < kernel:
            break
        wide = draw(st.sampled_from([4, 16, 24, 36, 7]))
        activation = draw(st.sampled_from(["relu6", "relu", "swish", "prelu"]))
        x = block(graph, x, wide, narrow, kernel, stride, padding, activation, draw(st.booleans()))
    end = draw(st.sampled_from(["global_avg_pool2d", "mean", "batch_norm", "swish", "softmax"]))
    graph.output(graph.node(end, x, name="y"))
    return graph


@given(graph=networks(), seed=st.integers(0, 99), batch=st.integers(1, 3))
def test_blocks_equal_definition(graph: Graph, seed: int, batch: int) -> None:
    rng = np.random.default_rng(seed)
    weights = random_weights(graph, rng)
    for name in weights:
        if name.endswith("running_var"):
            weights[name] = rng.uniform(0.3, 2, weights[name].shape).astype(np.float32)
    x = rng.normal(0, 1, (batch, *graph.inputs["x"])).astype(np.float32)
    wanted = evaluate(graph, weights, {"x": x})["y"]
    bits: dict[bool, set[bytes]] = {False: set(), True: set()}
    for isa in available_isas():
        for threads in (1, 2, 3):
            result = Session(graph, weights, isa=isa, threads=threads).run(x)
            np.testing.assert_allclose(
                result, wanted, rtol=0, atol=2e-5 * max(1.0, np.abs(wanted).max()), err_msg=isa
            )
            bits[isa in ("scalar", "sse2")].add(result.tobytes())
    assert max(map(len, bits.values())) == 1


@given(
    width=st.sampled_from([4, 8, 12, 16]),
    height=st.integers(1, 16),
    kernel=st.sampled_from([3, 5]),
    stride=st.integers(1, 2),
    pads=st.lists(st.integers(0, 16), min_size=4, max_size=4),
)
@example(width=8, height=8, kernel=5, stride=1, pads=[2, 2, 2, 2])
@example(width=16, height=16, kernel=5, stride=2, pads=[1, 1, 2, 2])
def test_any_window(width: int, height: int, kernel: int, stride: int, pads: list[int]) -> None:
    """From planes to planes, with as much padding as there is room for, and more."""
    graph = Graph()
    x = graph.input("x", (8, height, width))
    x = graph.node("conv2d", x, out_channels=8, kernel_size=3, padding=1, groups=8)
    for _ in range(2):
        x = graph.node("conv2d", x, out_channels=8, kernel_size=1)
    size = (height + pads[0] + pads[2], width + pads[1] + pads[3])
    if min(size) < kernel:
        return
    x = graph.node(
        "conv2d", x, out_channels=8, kernel_size=kernel, stride=stride, padding=pads, groups=8
    )
    graph.output(graph.node("mean", graph.node("conv2d", x, out_channels=4, kernel_size=1)))
    compare(graph)


def compare(graph: Graph) -> None:
    rng = np.random.default_rng(0)
    weights = random_weights(graph, rng)
    x = rng.normal(0, 1, (2, *graph.inputs["x"])).astype(np.float32)
    wanted = evaluate(graph, weights, {"x": x})[graph.outputs[0]]
    for isa in available_isas():
        result = Session(graph, weights, isa=isa, threads=2).run(x)
        np.testing.assert_allclose(
            result, wanted, rtol=0, atol=2e-5 * max(1.0, np.abs(wanted).max()), err_msg=isa
        )


def ops(graph: Graph, **arguments: Any) -> list[str]:
    weights = random_weights(graph, np.random.default_rng(0))
    return [step.op for step in Session(graph, weights, threads=1, **arguments).plan().steps]


def chain(end: str) -> Graph:
    graph = Graph()
    x = graph.input("x", (8, 16, 16))
    x = graph.node("conv2d", x, out_channels=8, kernel_size=3, stride=2, padding=1, groups=8)
    x = block(graph, x, 32, 8, 5, 1, [2] * 4, "relu6", True)
    graph.output(graph.node(end, block(graph, x, 32, 8, 3, 1, [1] * 4, "relu6", True)))
    return graph


@pytest.mark.parametrize("end", ["global_avg_pool2d", "mean"])
def test_steps_of_a_chain(end: str) -> None:
    """All of it, if a mean is at the end; the wide maps are rings, a few channels at a time."""
    graph = chain(end)
    found = ops(graph)
    assert found.count("POINTWISE") == 4 and found.count("DEPTHWISE_PLANES") == 3
    assert "CONV" not in found and "DEPTHWISE" not in found and "CLAMP" not in found
    assert not set(STEPS) & set(ops(graph, without=("planes",)))
    weights = random_weights(graph, np.random.default_rng(0))
    plan = Session(graph, weights, threads=1).plan()
    wide = [t for t in plan.tensors if t.shape == (32, 8, 8) and t.buffer.ring >= 0]
    assert len(wide) == 2
    compare(graph)


def test_what_others_read_lies_line_by_line() -> None:
    """What is no convolution, sum or mean has lines; before it, planes may still be."""
    graph = chain("softmax")
    found = ops(graph)
    assert "POINTWISE" not in found
    compare(graph)


def test_a_sum_that_doubles_has_lines() -> None:
    """What a finder of faces does on the way up: half the size, each pixel for 2 x 2, and another
    map.  In planes the engine could not tell which pixels these are."""
    graph = Graph()
    x = graph.input("x", (16, 16, 16))
    x = graph.node("conv2d", x, out_channels=16, kernel_size=3, padding=1, groups=16)
    large = graph.node("conv2d", x, out_channels=16, kernel_size=1)
    small = graph.node(
        "conv2d", large, out_channels=16, kernel_size=3, stride=2, padding=1, groups=16
    )
    small = graph.node("conv2d", small, out_channels=16, kernel_size=1)
    y = graph.node("add", graph.node("resize", small, scale=2.0), large)
    y = graph.node("conv2d", y, out_channels=16, kernel_size=1)
    graph.output(graph.node("mean", y))
    assert "POINTWISE" not in ops(graph) and "NEAREST" not in ops(graph)
    compare(graph)


def test_outputs_lie_line_by_line() -> None:
    graph = chain("mean")
    weights = random_weights(graph, np.random.default_rng(0))
    session = Session(graph, weights, threads=1)
    x = np.random.default_rng(1).normal(0, 1, (1, 8, 16, 16)).astype(np.float32)
    names = [node.name for node in graph.nodes]
    wanted = evaluate(graph, weights, {"x": x})
    for name in names:
        result = session.run(x, outputs=[name])[name]
        np.testing.assert_allclose(result, wanted[name], rtol=0, atol=1e-5 * 100)
