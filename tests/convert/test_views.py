"""Reshapes, transposes and the rest of what moves no element, against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minimeso import GraphError, Session
from minimeso.convert import layers, moving
from minimeso.convert.builder import Builder
from minimeso.convert.elementwise import binary
from minimeso.convert.reference import as_stored
from minimeso.convert.source import add_input, finished
from minimeso.convert.view import Value, resolved

Array = np.ndarray[Any, Any]


def computed(build: Builder, value: Value, given_: Value, x: Array) -> tuple[Array, Value]:
    """What the engine makes of the input, and the view of it."""
    found = finished(build, "views", {"y": value}, {"x": given_}, ["y"])
    result = Session(found.graph, found.weights, threads=1).run(
        {given_.name: as_stored(given_, x)}, outputs=found.graph.outputs
    )
    view = found.values["y"]
    return result[view.name], view


@given(st.data())
def test_random_views(data: st.DataObject) -> None:
    """Any reshapes and transposes of (N, C, H, W), then a sum with its own transpose's elements."""
    draw = data.draw
    batch = draw(st.sampled_from([1, 2]))
    shape = [batch, *draw(st.lists(st.sampled_from([1, 2, 3, 4, 6]), min_size=3, max_size=3))]
    x = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    build = Builder()
    value = start = add_input(build, "x", shape, False)
    wanted = x
    for number in range(draw(st.integers(1, 4))):
        build.where = f"step{number}"
        if draw(st.booleans()):
            order = [0, *(1 + i for i in draw(st.permutations(range(wanted.ndim - 1))))]
            value, wanted = value.permuted(order), wanted.transpose(order)
        else:
            left = int(np.prod(wanted.shape[1:]))
            first = draw(st.sampled_from([n for n in range(1, left + 1) if left % n == 0]))
            second = draw(st.sampled_from([n for n in (1, 2, 3) if left // first % n == 0]))
            new = [batch, first, second, left // first // second]
            value, wanted = moving.reshape(build, value, new), wanted.reshape(new)
    assert value.shape == wanted.shape
    result, view = computed(build, value, start, x)
    assert np.array_equal(result, as_stored(view, wanted))


@pytest.mark.parametrize("number", [1, 2, 3, -1])
def test_slices_and_joins_along_any_axis(number: int) -> None:
    x = np.random.default_rng(0).random((2, 6, 4, 8), np.float32)
    build = Builder()
    start = add_input(build, "x", x.shape, False)
    build.where = "node"
    parts = moving.split(build, start, number, [x.shape[number] // 2] * 2)
    whole = moving.concat(build, parts[::-1], number)
    result, view = computed(build, binary(build, "add", whole, start), start, x)
    halves = np.split(x, 2, axis=number)
    wanted = np.concatenate(halves[::-1], axis=number) + x
    np.testing.assert_allclose(result, as_stored(view, wanted), rtol=1e-6)


@pytest.mark.parametrize(
    "shape", [(1, 6, 1, 1), (6, 1, 1), (4, 8), (1, 1, 4, 8), (1, 6, 1, 8), (1, 6, 4, 8), (1,), ()]
)
@pytest.mark.parametrize("op", ["add", "mul", "sub", "div"])
def test_constants_are_spread_as_in_numpy(op: str, shape: tuple[int, ...]) -> None:
    random = np.random.default_rng(0)
    x = random.random((2, 6, 4, 8), np.float32)
    constant = np.asarray(random.random(shape) + 0.5, np.float32)
    build = Builder()
    start = add_input(build, "x", x.shape, False)
    build.where = "node"
    value = binary(build, op, start, constant)
    result, view = computed(build, value, start, x)
    formula = {"add": np.add, "mul": np.multiply, "sub": np.subtract, "div": np.divide}[op]
    np.testing.assert_allclose(result, as_stored(view, formula(x, constant)), rtol=1e-5)


@pytest.mark.parametrize("shape", [(1, 3, 1, 1), (3, 1, 5), (1, 1, 4, 5), (1, 3, 4, 5), (2, 1, 1)])
@pytest.mark.parametrize("whole", [(2, 1, 4, 5), (2, 1, 1, 5), (2, 1, 1, 1)])
@pytest.mark.parametrize("op", ["add", "mul", "sub", "div", "from"])
def test_values_are_spread_as_constants_are(
    op: str, whole: tuple[int, ...], shape: tuple[int, ...]
) -> None:
    """A grey picture minus three means, a map of coordinates of a mean: "do not fit"."""
    random = np.random.default_rng(0)
    x, constant = random.random(whole, np.float32), random.random(shape, np.float32) + 0.5
    build = Builder()
    start = add_input(build, "x", x.shape, False)
    build.where = "node"
    value = (
        binary(build, "sub", constant, start)
        if op == "from"
        else binary(build, op, start, constant)
    )
    result, view = computed(build, value, start, x)
    formula = {"add": np.add, "mul": np.multiply, "sub": np.subtract, "div": np.divide}
    wanted = constant - x if op == "from" else formula[op](x, constant)
    assert value.shape == wanted.shape
    np.testing.assert_allclose(result, as_stored(view, wanted), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("before", "after", "nodes"), [(4e-7, 4e-7, 1), (1000, -1000.0005, 1), (0, 9e-7, 1), (1, -1, 0)]
)
def test_small_numbers_that_are_added(before: float, after: float, nodes: int) -> None:
    """What two sums come to was left out below 1e-6, of whatever size the values were."""
    x = np.random.default_rng(0).normal(0, 1e-6, (1, 3, 4, 5)).astype(np.float32)
    build = Builder()
    start = add_input(build, "x", x.shape, False)
    build.where = "node"
    value = binary(build, "add", start, np.float32([before]))
    value = binary(build, "add", value, np.float32([after]))
    result, view = computed(build, value, start, x)
    wanted = x.astype(np.float64) + float(np.float32(before)) + float(np.float32(after))
    np.testing.assert_allclose(result, as_stored(view, wanted), rtol=1e-5, atol=1e-12)
    assert (value.name != start.name) == nodes


def test_constants_that_do_not_fit() -> None:
    build = Builder()
    x = add_input(build, "x", (1, 3, 4, 5), False)
    build.where = "node"
    for shape, message in (
        ((1, 2, 1, 1), "do not fit"),
        ((3,), "do not fit"),
        ((2, 1, 1, 1), "batch"),
    ):
        with pytest.raises(GraphError, match=message):
            binary(build, "add", x, np.ones(shape, np.float32))
    any_size = add_input(build, "z", (1, 3, None, None), False)
    with pytest.raises(GraphError, match="give it with --size"):
        binary(build, "add", any_size, np.ones((4, 5), np.float32))


@pytest.mark.parametrize("axes", [(0, 1, 2, 3), (0, 3, 1, 2), (0, 2, 3, 1)])
@pytest.mark.parametrize("shape", [(2, 3, 1, 1), (2, 1, 4, 5), (2, 3, 4, 5), (2, 1, 1, 5)])
@pytest.mark.parametrize("whole", [(2, 3, 4, 5), (2, 3, 4, 1), (2, 3, 1, 1), (2, 1, 4, 1)])
def test_values_are_spread_as_in_numpy(
    axes: list[int], shape: tuple[int, ...], whole: tuple[int, ...]
) -> None:
    """One of them, or each along axes of its own."""
    random = np.random.default_rng(0)
    x, other = random.random(whole, np.float32), random.random(shape, np.float32)
    build = Builder()
    first = add_input(build, "x", x.shape, False)
    second = add_input(build, "z", shape, False)
    build.where = "node"
    value = binary(build, "mul", first.permuted(axes), second.permuted(axes))
    inputs = {"x": first, "z": second}
    found = finished(build, "views", {"y": value}, inputs, ["y"])
    result = Session(found.graph, found.weights, threads=1).run(
        {"x": as_stored(first, x), "z": as_stored(second, other)}, outputs=found.graph.outputs
    )
    view = found.values["y"]
    wanted = (x * other).transpose(axes)
    np.testing.assert_allclose(result[view.name], as_stored(view, wanted), rtol=1e-6)


def test_shapes_are_worked_out() -> None:
    assert resolved([0, -1], (1, 3, 4, 4), True) == [1, 48]
    assert resolved([1, -1, 4], (1, 3, None, 4), False) == [1, None, 4]
    for shape in ([-1, -1], [-2, 3], [5, -1]):
        with pytest.raises(GraphError):
            resolved(shape, (1, 3, 4, 4), False)


def test_what_the_engine_cannot_spread_is_refused() -> None:
    build = Builder()
    batch = add_input(build, "z", (2, 3, 4, 5), False)
    with pytest.raises(GraphError, match="batch"):
        moving.narrow(build, batch, 0, 0, 1)
    with pytest.raises(GraphError, match="batch"):
        moving.softmax(build, batch, [0])


def test_what_needs_a_size_says_how_to_give_it() -> None:
    build = Builder()
    build.where = "node"
    x = add_input(build, "x", (1, 4, None, None), False)
    last = x.permuted([0, 2, 3, 1])
    for needs in (
        lambda: moving.reshape(build, x, [1, 4, None]),
        lambda: layers.layer_norm(build, x, 1, None, None, 1e-5),
        lambda: moving.concat(build, [last, last], 1),
        lambda: moving.softmax(build, x, [3]),
        lambda: layers.mean(build, x, [2], False, "avg"),
    ):
        with pytest.raises(GraphError, match="give it with --size WIDTHxHEIGHT"):
            needs()
    assert layers.layer_norm(build, last, 1, None, None, 1e-5).shape == last.shape  # of channels
    with pytest.raises(GraphError, match="cannot be split into 3 groups"):
        layers.conv(build, x, np.zeros((4, 1, 3, 3)), None, stride=(1, 1), padding=(0, 0, 0, 0),
                    dilation=(1, 1), groups=3)  # fmt: skip
