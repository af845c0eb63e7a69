"""Operators one by one: what they refuse, special values, and PyTorch where graphs do not go."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from conftest import random_weights

from minimeso import Graph, GraphError, InputError, Session
from minimeso.engine.reference import evaluate

Floats = npt.NDArray[np.float32]
RNG = np.random.default_rng(3)
NAN, INF = float("nan"), float("inf")


def one(op: str, *shapes: tuple[int | None, ...], **attributes: Any) -> Graph:
    """A network of one operator."""
    graph = Graph()
    inputs = [graph.input(f"x{i}", shape) for i, shape in enumerate(shapes)]
    graph.output(graph.node(op, *inputs, name="y", **attributes))
    return graph


@pytest.mark.parametrize(
    ("op", "shape", "attributes", "message"),
    [
        ("clamp", (3, 4, 5), {}, "min"),
        ("clamp", (3, 4, 5), {"min": "0"}, "min"),
        ("clamp", (3, 4, 5), {"max": NAN}, "finite"),
        ("reshape", (3, 4, 5), {"shape": [61]}, "elements"),
        ("reshape", (3, 4, 5), {"shape": [7, -1, 1]}, "elements"),
        ("reshape", (3, 4, 5), {"shape": [-1, -1, 1]}, "-1"),
        ("reshape", (3, 4, 5), {"shape": [3, 20]}, "shape"),
        ("reshape", (3, 4, 5), {"shape": [0]}, "sizes"),
        ("reshape", (3, 4, 5), {"shape": [60.0]}, "integers"),
        ("reshape", (3, 4, 5), {"shape": 60}, "shape"),
        ("reshape", (3, 4, 5), {}, "missing"),
        ("reshape", (3, None, None), {"shape": [-1, 3, 1]}, "fixed size"),
        ("permute", (3, 4, 5), {"dims": [0, 1]}, "dims"),
        ("permute", (3, 4, 5), {"dims": [0, 1, 1]}, "dims"),
        ("permute", (3, 4, 5), {"dims": [1, 2, 3]}, "dims"),
        ("permute", (3, 4, 5), {"dims": [False, 1, 2]}, "dims"),
        ("permute", (60,), {"dims": [0, 1, 2]}, "map"),
        ("permute", (3, None, None), {"dims": [1, 0, 2]}, "fixed size"),
        ("pixel_shuffle", (3, 4, 5), {"upscale_factor": 2}, "multiple"),
        ("slice_channels", (3, 4, 5), {"start": 1, "end": 4}, "no channels"),
        ("slice_channels", (3, 4, 5), {"start": 2, "end": 2}, "no channels"),
        ("channel_shuffle", (3, 4, 5), {"groups": 2}, "multiple"),
        ("pixel_shuffle", (4, 4, 5), {"upscale_factor": 0}, "upscale_factor"),
        (
            "conv_transpose2d",
            (4, 4, 5),
            {"kernel_size": 2, "out_channels": 3, "groups": 2},
            "group",
        ),
        (
            "conv_transpose2d",
            (4, 4, 5),
            {"kernel_size": 2, "out_channels": 3, "padding": 5},
            "leaves",
        ),
        (
            "conv_transpose2d",
            (4, 4, 5),
            {"kernel_size": 2, "out_channels": 3, "stride": 2, "output_padding": 2},
            "output_padding",
        ),
        (
            "conv_transpose2d",
            (4, 1, 1),
            {"kernel_size": 1, "out_channels": 3, "stride": 1 << 20},
            "phases",
        ),
        (
            "conv_transpose2d",
            (1, 1, 1),
            {"kernel_size": 2, "out_channels": 1, "dilation": 1 << 13, "padding": 1 << 12},
            "phases",
        ),
        ("group_norm", (6, 4, 5), {"num_groups": 4}, "groups"),
        ("group_norm", (6, 4, 5), {}, "missing"),
        ("instance_norm", (60,), {}, "map"),
        ("layer_norm2d", (60,), {}, "map"),
        ("layer_norm", (6, 4, 5), {"normalized_shape": [4, 4]}, "end in"),
        ("layer_norm", (6, 4, 5), {"normalized_shape": [2, 6, 4, 5]}, "sizes"),
        ("layer_norm", (5,), {"normalized_shape": [1, 5]}, "end in"),
        ("layer_norm", (5,), {"normalized_shape": 0}, "normalized_shape"),
        ("pad", (3, 4, 5), {"padding": (4, 0)}, "4 cannot be padded by 4"),
        ("pad", (3, 4, 5), {"padding": (0, 6), "mode": "circular"}, "5 cannot be padded by 6"),
        ("pad", (3, 4, 5), {"padding": 1, "mode": "symmetric"}, "reflect, replicate, circular"),
        ("pad", (60,), {"padding": 1}, "map"),
        ("resize", (3, 4, 5), {"scale": 2, "align_corners": True}, "goes with bilinear"),
        ("mean", (60,), {}, "map"),
        ("global_max_pool2d", (60,), {}, "map"),
        ("gelu", (3, 4, 5), {"approximate": "erf"}, "none, tanh"),
    ],
)
def test_what_cannot_be(
    op: str, shape: tuple[int | None, ...], attributes: dict[str, Any], message: str
) -> None:
    with pytest.raises(GraphError, match=message):
        one(op, shape, **attributes)


@pytest.mark.parametrize(
    ("op", "shape", "attributes"),
    [
        ("flatten", (3, 1 << 10, 1 << 10), {}),
        ("layer_norm", (3, 1 << 10, 1 << 10), {"normalized_shape": 1 << 10}),
        ("resize", (1, 1, 1 << 20), {"scale": (1, 3)}),
        ("resize", (1, 1 << 20, 1), {"scale": (3, 1)}),
        ("pad", (1, 1, 3), {"padding": (0, 1 << 20), "mode": "replicate"}),
        ("conv2d", (1, 1, 3), {"out_channels": 1, "kernel_size": 1, "padding": (0, 1 << 20)}),
        ("conv_transpose2d", (1, 2, 2), {"out_channels": 1 << 20, "kernel_size": 2, "stride": 2}),
        (
            "conv_transpose2d",
            (1, 1, 4),
            {"out_channels": 1, "kernel_size": (1, 4), "dilation": (1, 1 << 20)},
        ),
    ],
)
def test_what_is_longer_than_the_engine_counts(
    op: str, shape: tuple[int, ...], attributes: dict[str, Any]
) -> None:
    """Its own guard would say of the plan that it contradicts itself."""
    graph = one(op, shape, **attributes)
    weights = {name: np.zeros(size, np.float32) for name, size in graph.parameters().items()}
    with pytest.raises(InputError, match="on one axis, more than 2097152"):
        Session(graph, weights, threads=1).plan()


def test_what_is_as_long_as_the_engine_counts() -> None:
    x = RNG.normal(0, 1, (1, 2, 1 << 10, 1 << 10)).astype(np.float32)
    result = Session(one("flatten", x.shape[1:]), threads=1).run(x)
    np.testing.assert_array_equal(result, x.reshape(1, -1))


@pytest.mark.parametrize(
    ("shape", "window", "middle"),
    [
        # by Winograd a tile would have too many lines
        (
            (8, 4, 4),
            {"kernel_size": 3, "dilation": (1 << 19, 1), "padding": (1 << 19, 1)},
            {"kernel_size": (1, 3), "padding": (0, 1)},
        ),
        # by even and odd columns a window too many
        (
            (8, 3, 64),
            {
                "kernel_size": 3,
                "dilation": (1 << 19, 1 << 20),
                "padding": (1 << 19, 1 << 20),
                "stride": (1, 2),
            },
            {"kernel_size": 1, "stride": (1, 2)},
        ),
    ],
)
def test_holes_larger_than_the_picture(
    shape: tuple[int, ...], window: dict[str, Any], middle: dict[str, Any], isa: str
) -> None:
    """Of which the middle of the kernel alone meets anything."""
    graph = one("conv2d", shape, out_channels=8, **window)
    weights = random_weights(graph, RNG)
    x = RNG.normal(0, 1, (2, *shape)).astype(np.float32)
    columns = slice(None) if middle["kernel_size"] == (1, 3) else slice(1, 2)
    small = {**weights, "y.weight": weights["y.weight"][:, :, 1:2, columns]}
    wanted = evaluate(one("conv2d", shape, out_channels=8, **middle), small, {"x0": x})["y"]
    result = Session(graph, weights, isa=isa, threads=2).run(x)
    np.testing.assert_allclose(result, wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("shape", [(1, 9, 32), (1, 1, 2)])
def test_one_channel_of_a_picture_by_itself(shape: tuple[int, ...], kernel: int, isa: str) -> None:
    """A convolution of one channel to one is depthwise, whose kernel knows nothing of even and odd
    columns apart: the engine refused what was planned (found by fuzzing)."""
    graph = one("conv2d", shape, out_channels=1, kernel_size=kernel, stride=2, padding=2)
    weights = random_weights(graph, RNG)
    levels = RNG.integers(0, 256, (2, *shape), np.uint8)
    wanted = evaluate(graph, weights, {"x0": levels / 255.0})["y"]
    with Session(graph, weights, isa=isa, threads=2) as session:
        for x in (levels.transpose(0, 2, 3, 1), levels / np.float32(255)):
            np.testing.assert_allclose(session.run(x), wanted, rtol=0, atol=1e-5)


@pytest.mark.timing
def test_holes_cost_nothing() -> None:
    """By Winograd the lines of a tile are as many times further apart; most are no lines."""

    def seconds(dilation: int) -> float:
        graph = one(
            "conv2d", (8, 8, 8), out_channels=8, kernel_size=3,
            dilation=(dilation, 1), padding=(dilation, 1),
        )  # fmt: skip
        session = Session(graph, random_weights(graph, RNG), threads=1)
        x = np.zeros((1, 8, 8, 8), np.float32)
        times = []
        for _ in range(5):
            start = time.process_time()
            session.run(x)
            times.append(time.process_time() - start)
        return min(times)

    assert seconds(1 << 15) < 20 * seconds(9)


@pytest.mark.parametrize("first", [(2, 1, 1), (2, 3, 17)])
@pytest.mark.parametrize("second", [(2, 1, 1), (2, 3, 17)])
@pytest.mark.parametrize("op", ["sub", "div"])
def test_order_counts(op: str, first: tuple[int, ...], second: tuple[int, ...], isa: str) -> None:
    """Exactly, zeros and infinities among the operands: these operators round once."""
    specials = np.array([0.0, -0.0, INF, 1.0, -3.0, 1e-40, 3e38], np.float32)
    a, b = (RNG.choice(specials, (2, *shape)) for shape in (first, second))
    with np.errstate(all="ignore"):
        wanted = a - b if op == "sub" else a / b
    result = Session(one(op, first, second), isa=isa).run({"x0": a, "x1": b})
    np.testing.assert_array_equal(result, wanted)


@pytest.mark.parametrize(("low", "high"), [(-1, 2), (None, 2), (-1, None), (2, -1)])
def test_clamp(low: float | None, high: float | None, isa: str) -> None:
    x = np.array([[NAN, INF, -INF, 0.0, -1.0, 2.0, 1.9999999, 3e38]], np.float32)
    given = {k: v for k, v in (("min", low), ("max", high)) if v is not None}
    result = Session(one("clamp", (8,), **given), isa=isa).run(x)
    np.testing.assert_array_equal(result, np.clip(x, low, high))


def test_largest_of_all_and_of_none(isa: str) -> None:
    x = np.full((1, 3, 5, 19), -INF, np.float32)
    x[0, 1, 4, 18] = -3e38
    x[0, 2, 0, 0] = INF
    result = Session(one("global_max_pool2d", (3, 5, 19)), isa=isa).run(x)
    np.testing.assert_array_equal(result.ravel(), np.array([-INF, -3e38, INF], np.float32))


def test_argmax_of_nan_and_equals(isa: str) -> None:
    x = RNG.choice(np.array([NAN, INF, -INF, 1, 2], np.float32), (4, 5, 6, 33))
    for values in (x, x[..., 0, 0]):
        result = Session(one("argmax", values.shape[1:]), isa=isa).run(values)
        np.testing.assert_array_equal(result, values.argmax(1)[:, None])


@pytest.mark.parametrize("dims", [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]])
def test_what_only_moves_moves_bits(dims: list[int], isa: str) -> None:
    """Through a permutation and two shapes, odd bits among them."""
    bits = RNG.integers(0, 2**32, (2, 6, 5, 7), dtype=np.uint32)
    graph = Graph()
    x = graph.node("permute", graph.input("x", (6, 5, 7)), dims=dims)
    x = graph.node("reshape", x, shape=[-1])
    graph.output(graph.node("reshape", x, shape=[15, 2, 7]))
    result = Session(graph, isa=isa).run(bits.view(np.float32))
    wanted = bits.transpose(0, *(d + 1 for d in dims)).reshape(2, 15, 2, 7)
    np.testing.assert_array_equal(result.view(np.uint32), wanted)


@pytest.mark.parametrize(
    ("op", "shape", "attributes"),
    [
        ("group_norm", (12, 5, 19), {"num_groups": 3}),
        ("group_norm", (12,), {"num_groups": 3}),
        ("instance_norm", (3, 17, 33), {"affine": True}),
        ("layer_norm2d", (40, 3, 19), {}),
        ("layer_norm2d", (5, 7, 33), {"affine": False}),
        ("layer_norm", (40,), {"normalized_shape": 40}),
        ("layer_norm", (3, 5, 40), {"normalized_shape": [5, 40], "bias": False}),
        ("layer_norm", (3, 5, 40), {"normalized_shape": [40]}),
        ("layer_norm", (3, 5, 7), {"normalized_shape": [3, 5, 7], "elementwise_affine": False}),
    ],
)
@pytest.mark.parametrize("offset", [0, 1000])
def test_norms_as_pytorch(
    op: str, shape: tuple[int, ...], attributes: dict[str, Any], offset: float, isa: str
) -> None:
    """Also where the mean is far larger than the deviation, and with an epilogue behind."""
    torch_graph = pytest.importorskip("torch_graph")
    graph = Graph()
    y = graph.node(op, graph.input("x", shape), **attributes)
    graph.output(graph.node("mish", y))
    weights = random_weights(graph, RNG)
    x = (RNG.normal(0, 1, (2, *shape)) + offset).astype(np.float32)
    wanted = evaluate(graph, weights, {"x": x})[graph.outputs[0]]
    for threads in (1, 2):
        result = Session(graph, weights, isa=isa, threads=threads).run(x)
        np.testing.assert_allclose(result, wanted, rtol=0, atol=3e-6)
    theirs = torch_graph.evaluate(graph, weights, x).numpy()
    np.testing.assert_allclose(result, theirs, rtol=0, atol=3e-6 if offset == 0 else 2e-3)


def test_norms_of_equals_are_their_bias(isa: str) -> None:
    x = np.full((1, 4, 3, 17), 0.1, np.float32)
    graph = one("instance_norm", (4, 3, 17), affine=True)
    weights = random_weights(graph, RNG)
    result = Session(graph, weights, isa=isa).run(x)
    np.testing.assert_allclose(
        result, np.broadcast_to(weights["y.bias"].reshape(1, 4, 1, 1), x.shape), rtol=0, atol=1e-6
    )


def test_pictures_of_any_size() -> None:
    graph = Graph()
    x = graph.input("x", (4, None, None))
    x = graph.node("pixel_shuffle", x, upscale_factor=2)
    x = graph.node("permute", x, dims=[0, 2, 1])
    x = graph.node("conv_transpose2d", x, out_channels=4, kernel_size=3, stride=2)
    x = graph.node("clamp", x, min=-1, max=1)
    graph.output(graph.node("reshape", x, shape=[4, -1, 1]))
    weights = random_weights(graph, RNG)
    session = Session(Graph.from_json(graph.to_json()), weights)
    for height, width in ((1, 1), (3, 2), (7, 20)):
        x = RNG.normal(0, 1, (2, 4, height, width)).astype(np.float32)
        wanted = evaluate(graph, weights, {"x": x})[graph.outputs[0]]
        np.testing.assert_allclose(session.run(x), wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({"x": (3, 0, 8)}, r"\(3, 0, 8\), the network wants \(3, 'any', 8\)"),
        ({"x": (3, -2, 8)}, "the network wants"),
        ({"x": (3, 8.0, 8)}, "the network wants"),
        ({}, r"inputs are \['x'\], not \[\]"),
        ({"x": (3, 8, 8), "z": (1,)}, r"not \['x', 'z'\]"),
    ],
)
def test_shapes_that_are_none(shapes: dict[str, Any], message: str) -> None:
    graph = Graph()
    graph.output(graph.node("relu", graph.input("x", (3, None, 8))))
    with pytest.raises(GraphError, match=message):
        graph.shapes(shapes)
    with Session(graph, {}, threads=1) as session, pytest.raises(InputError, match=message):
        session.plan(shapes)


def test_a_shape_that_does_not_fit_the_picture() -> None:
    session = Session(one("reshape", (3, None, None), shape=[3, 5, 5]))
    assert session.run(np.zeros((1, 3, 1, 25), np.float32)).shape == (1, 3, 5, 5)
    with pytest.raises(InputError, match="elements"):
        session.run(np.zeros((1, 3, 4, 6), np.float32))


def test_division_and_argmax_as_pytorch() -> None:
    torch = pytest.importorskip("torch")
    a, b = (RNG.normal(0, 1, (2, 5, 6, 7)).astype(np.float32) for _ in range(2))
    result = Session(one("div", (5, 6, 7), (5, 6, 7))).run({"x0": a, "x1": b})
    assert (torch.from_numpy(result) == torch.from_numpy(a) / torch.from_numpy(b)).all()
    result = Session(one("argmax", (5, 6, 7))).run(a)
    assert (torch.from_numpy(result) == torch.from_numpy(a).argmax(1, True)).all()
