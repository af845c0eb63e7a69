"""Convolutions that take several lines as one (csrc/op_joined.c): of single pixels the bits of one
line with all pixels, of larger windows what the definition gives."""

from __future__ import annotations

import numpy as np
import pytest

from minimeso import Graph, Model, Session
from minimeso.engine.reference import evaluate


def _session(height: int, width: int, isa: str, threads: int, activation: str) -> Session:
    random = np.random.default_rng(0)
    graph, weights = Graph("narrow"), {}
    x = graph.input("x", (5, height, width))
    for name, channels, filters in (("a", 5, 19), ("b", 19, 3)):
        x = graph.node("conv2d", x, name=name, out_channels=filters, kernel_size=1)
        weights[f"{name}.weight"] = random.normal(size=(filters, channels, 1, 1)).astype("f4")
        weights[f"{name}.bias"] = random.normal(size=filters).astype("f4")
        x = graph.node(activation, x, name=f"{name}.{activation}")
    graph.output(x)
    return Session(Model("narrow", graph, weights), threads=threads, isa=isa)


@pytest.mark.parametrize("activation", ["relu6", "mish"])
@pytest.mark.parametrize(("height", "width"), [(7, 7), (8, 8), (70, 1), (2, 3), (33, 5), (1, 4)])
def test_as_one_line(height: int, width: int, activation: str, isa: str) -> None:
    x = np.random.default_rng(1).normal(size=(2, 5, height, width)).astype("f4")
    wanted = _session(1, height * width, isa, 1, activation).run(x.reshape(2, 5, 1, -1))
    for threads in (1, 2):
        found = _session(height, width, isa, threads, activation).run(x)
        np.testing.assert_array_equal(found.reshape(wanted.shape), wanted)


def test_padding_behind(isa: str) -> None:
    """A transposed convolution, one of whose phases is a convolution of single pixels with padding
    behind."""
    random = np.random.default_rng(0)
    graph = Graph("uneven")
    x = graph.input("x", (3, 4, 5))
    options = {"out_channels": 2, "kernel_size": 3, "stride": 3, "padding": 1, "output_padding": 2}
    graph.output(graph.node("conv_transpose2d", x, name="up", bias=False, **options))
    weight = random.normal(size=(3, 2, 3, 3)).astype("f4")
    session = Session(Model("uneven", graph, {"up.weight": weight}), threads=1, isa=isa)
    pixels = random.normal(size=(2, 3, 4, 5)).astype("f4")
    wanted = np.zeros((2, 2, 14, 17))  # from -1 on
    for i in range(4):
        for j in range(5):
            part = np.einsum("nc,cohw->nohw", pixels[:, :, i, j], weight, dtype=np.float64)
            wanted[:, :, 3 * i : 3 * i + 3, 3 * j : 3 * j + 3] += part
    for _ in range(2):  # a second time nothing is fresh
        np.testing.assert_allclose(session.run(pixels), wanted[:, :, 1:13, 1:16], atol=1e-6)


#: Filters of which the last are blocks of four, two and one.
FILTERS = 103


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize(
    ("kernel", "stride", "dilation", "padding", "size"),
    [
        (1, 1, 1, 0, (9, 19)),
        (1, 2, 1, 0, (9, 28)),
        (1, 3, 1, 0, (7, 40)),
        (4, 4, 1, 0, (16, 24)),
        (3, 5, 1, [1, 2, 0, 2], (14, 33)),
        (1, 2, 1, [1, 2, 0, 1], (9, 13)),
        (3, 2, 1, 1, (14, 14)),
        (3, 2, 1, 1, (13, 56)),
        (3, 2, 2, 2, (15, 15)),
        (3, 1, 1, 1, (7, 7)),
        (2, 2, 1, [0, 1, 1, 0], (9, 12)),
        ([1, 5], 1, 1, [0, 2, 0, 2], (6, 19)),
        ([5, 2], 2, 1, [4, 0, 9, 3], (8, 9)),
        (5, 1, 1, 4, (3, 3)),
    ],
)
def test_windows(
    kernel: object,
    stride: int,
    dilation: object,
    padding: object,
    size: tuple[int, int],
    activation: str,
    isa: str,
) -> None:
    random = np.random.default_rng(0)
    graph = Graph("joined")
    x = graph.node("tanh", graph.input("x", (5, *size)))  # or it reads even and odd columns apart
    options = {"stride": stride, "dilation": dilation, "padding": padding}
    x = graph.node("conv2d", x, name="a", out_channels=FILTERS, kernel_size=kernel, **options)
    graph.output(graph.node(activation, x, name="y"))
    weights = {
        name: random.normal(size=shape).astype("f4") for name, shape in graph.parameters().items()
    }
    pixels = random.normal(size=(2, 5, *size)).astype("f4")
    given = Session(graph, weights, threads=1, isa=isa, without=["choose_winograd"])
    found = given.run(pixels)
    ((plan, _),) = given._plans.values()
    assert any(needs.scratch_floats for needs in plan.structs.needs)  # joined, as nothing else is
    wanted = evaluate(graph, weights, {"x": pixels})["y"]
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)
    for threads, without in ((2, []), (1, ["row_bands"])):
        others = Session(
            graph, weights, threads=threads, isa=isa, without=["choose_winograd", *without]
        )
        np.testing.assert_array_equal(others.run(pixels), found)
