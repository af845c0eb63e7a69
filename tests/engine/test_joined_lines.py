"""Convolutions of single pixels on narrow maps take several lines as one: the same bits as one
line with all pixels."""

from __future__ import annotations

import numpy as np
import pytest

from minimeso import Graph, Model, Session


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
