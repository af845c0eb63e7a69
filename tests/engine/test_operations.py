"""Every operation on random shapes and attributes against the float64 definition."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from conftest import random_weights
from hypothesis import given
from hypothesis import strategies as st

from minimeso import Graph, GraphError, Session
from minimeso.engine.native import available_isas
from minimeso.engine.operators import ACTIVATIONS, OPERATORS, examples
from minimeso.engine.operators.activations import PIECEWISE
from minimeso.engine.reference import evaluate

ULP = 2.0**-24

#: What takes vectors as well as maps; activations have no more to show there.
VECTORS_TOO = (
    "softmax", "batch_norm", "prelu", "add", "sub", "div", "clamp", "concat", "argmax", "reshape",
    "slice_channels", "group_norm", "layer_norm",
)  # fmt: skip
small = st.integers(1, 3)
pads = st.tuples(*[st.integers(0, 3)] * 4).map(list)


@st.composite
def attributes(draw: st.DrawFn, op: str, shape: Sequence[int | None]) -> dict[str, Any]:
    """Random attributes, valid but for windows that turn out larger than the picture."""
    channels = shape[0] or 0
    if op == "conv2d":
        groups = draw(st.sampled_from([g for g in range(1, channels + 1) if channels % g == 0]))
        return {
            "out_channels": groups * draw(st.integers(1, 9)),
            "kernel_size": [draw(st.integers(1, 7)), draw(st.integers(1, 7))],
            "stride": [draw(small), draw(st.integers(1, 4))],
            "dilation": [draw(small), draw(small)],
            "padding": draw(pads),
            "groups": groups,
            "bias": draw(st.booleans()),
        }
    if op in ("max_pool2d", "avg_pool2d"):
        kernel = [draw(st.integers(1, 5)), draw(st.integers(1, 5))]
        values: dict[str, Any] = {
            "kernel_size": kernel,
            "stride": draw(st.none() | st.tuples(small, st.integers(1, 4)).map(list)),
            "padding": [draw(st.integers(0, k // 2)) for k in kernel * 2],
            "ceil_mode": draw(st.booleans()),
        }
        if op == "max_pool2d":
            values["dilation"] = [draw(small), draw(small)]
        else:
            values["count_include_pad"] = draw(st.booleans())
            values["divisor_override"] = draw(st.none() | st.integers(1, 9))
        return values
    if op == "resize":
        size = {"size": [draw(st.integers(1, 50)), draw(st.integers(1, 50))]}
        scale = {"scale": [draw(st.floats(0.3, 3.5)), draw(st.floats(0.3, 3.5))]}
        mode = draw(st.sampled_from(["nearest", "bilinear"]))
        corners = {"align_corners": mode == "bilinear" and draw(st.booleans())}
        return {"mode": mode} | corners | draw(st.sampled_from([size, scale]))
    if op == "pad":
        _, height, width = shape
        most = [min(n or 1, 9) for n in (height, width)] * 2
        mode = draw(st.sampled_from(["reflect", "replicate", "circular"]))
        less = mode == "reflect"  # which leaves the edge out
        return {"padding": [draw(st.integers(0, n - less)) for n in most], "mode": mode}
    if op == "pad_channels":
        return {"before": draw(st.integers(0, 3)), "after": draw(st.integers(0, 3))}
    if op == "leaky_relu":
        return {"negative_slope": draw(st.floats(-1, 2))}
    if op == "conv_transpose2d":
        groups = draw(st.sampled_from([g for g in range(1, channels + 1) if channels % g == 0]))
        stride, dilation = [draw(small), draw(small)], [draw(small), draw(small)]
        extra = [draw(st.integers(0, max(s, d) - 1)) for s, d in zip(stride, dilation, strict=True)]
        return {
            "out_channels": groups * draw(st.integers(1, 5)),
            "kernel_size": [draw(st.integers(1, 5)), draw(st.integers(1, 5))],
            "stride": stride,
            "padding": [draw(st.integers(0, 4)), draw(st.integers(0, 4))],
            "output_padding": extra,
            "dilation": dilation,
            "groups": groups,
            "bias": draw(st.booleans()),
        }
    if op == "group_norm":
        groups = [g for g in range(1, channels + 1) if channels % g == 0]
        return {"num_groups": draw(st.sampled_from(groups)), "affine": draw(st.booleans())}
    if op == "layer_norm":
        return {
            "normalized_shape": list(shape[draw(st.integers(0, len(shape) - 1)) :]),
            "elementwise_affine": draw(st.booleans()),
            "bias": draw(st.booleans()),
        }
    if op == "clamp":
        low, high = draw(st.tuples(st.floats(-1, 1), st.floats(-1, 1)))
        return draw(st.sampled_from([{"min": low}, {"max": high}, {"min": low, "max": high}]))
    if op == "reshape":
        shapes = [[-1], [channels, 1, -1], [1, 1, -1], [channels, -1, 1], [1, -1, channels]]
        return {"shape": draw(st.sampled_from(shapes))}
    if op == "permute":
        return {"dims": list(draw(st.permutations([0, 1, 2])))}
    if op == "pixel_shuffle":
        factors = [f for f in range(1, 5) if channels % f**2 == 0]
        return {"upscale_factor": draw(st.sampled_from(factors))}
    if op == "slice_channels":
        start = draw(st.integers(0, channels - 1))
        end = draw(st.integers(start + 1, channels))
        return {"start": start, "end": end, "step": draw(small)}
    if op == "channel_shuffle":
        groups = [g for g in range(1, channels + 1) if channels % g == 0]
        return {"groups": draw(st.sampled_from(groups))}
    if op == "prelu":
        return {"num_parameters": draw(st.sampled_from([1, channels]))}
    return draw(st.sampled_from(examples(op)))


@st.composite
def cases(draw: st.DrawFn, op: str) -> Graph:
    """A graph of one operation between a pointwise layer and, sometimes, an epilogue."""
    graph = Graph()
    channels = draw(st.integers(1, 37))
    if op == "pixel_shuffle":
        channels *= draw(st.sampled_from([1, 4, 9]))
    x = graph.input("x", (channels, draw(st.integers(1, 67)), draw(st.integers(1, 45))))
    if op == "linear" or (op in VECTORS_TOO and draw(st.booleans())):
        x = graph.node("flatten", x)
        channels = graph.shapes()[x][0] or 0
    inputs = [x]
    if OPERATORS[op].arity[1] > 1:
        inputs.append(graph.node("swish", x))
        if OPERATORS[op].arity == (2, 2) and draw(st.booleans()):
            factor = graph.node("global_avg_pool2d", x)
            if op == "div":  # by a mean near 0 nothing is well conditioned
                factor = graph.node("sigmoid", factor)
            inputs[draw(st.integers(0, 1))] = factor
        if op == "concat":
            inputs.append(inputs[draw(st.integers(0, 1))])
    values = (
        {"out_features": draw(st.integers(1, 40))}
        if op == "linear"
        else draw(attributes(op, graph.shapes()[x]))
    )
    y = graph.node(op, *inputs, name="y", **values)
    if draw(st.booleans()):
        y = graph.node(draw(st.sampled_from(ACTIVATIONS)), y, name="activation")
        y = graph.node("batch_norm", y, name="norm")
    graph.output(y)
    return graph


@pytest.mark.parametrize("op", OPERATORS)
@given(data=st.data())
def test_operation_equals_definition(op: str, data: st.DataObject) -> None:
    try:
        graph = data.draw(cases(op))
    except GraphError:
        return  # a window larger than the picture; the message is tested elsewhere
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    weights = random_weights(graph, rng)
    x = rng.normal(0, 1, (data.draw(st.integers(1, 5)), *graph.inputs["x"])).astype(np.float32)
    wanted = evaluate(graph, weights, {"x": x})
    name = graph.outputs[0]
    scale = max(1.0, *(float(np.abs(wanted[n]).max()) for n in ("y", name)))
    # n roundings of a sum walk sqrt(n) away; the rest of an operation rounds a dozen times
    bound = ULP * (16 + 2 * _terms(graph) ** 0.5) * scale
    bound = (bound + _approximated(graph)) * _amplification(graph, weights)
    for isa in available_isas():
        session = Session(graph, weights, isa=isa, threads=data.draw(st.integers(1, 3)))
        result = session.run(x)
        assert result.shape == wanted[name].shape
        np.testing.assert_allclose(result, wanted[name], rtol=0, atol=bound, err_msg=isa)


def _approximated(graph: Graph) -> float:
    """What approximations may be off; an activation behind one is at most 2.5 steep."""
    approximate = [n for n in graph.nodes if n.attributes.get("approximate") == "piecewise"]
    return 2.5 * PIECEWISE if approximate else 0.0


@st.composite
def finders(draw: st.DrawFn) -> Graph:
    """What face finders are made of, in odd sizes: a stride of 2 at the input, pairs of pointwise
    and depthwise convolutions with pools behind, a coarse map doubled and added to a fine one."""
    graph = Graph()
    height, width = draw(st.integers(40, 63)), draw(st.integers(50, 99))
    channels = draw(st.integers(1, 9))
    x = graph.input("x", (draw(st.integers(1, 4)), height, width))
    kernel = [draw(st.integers(1, 5)), draw(st.integers(1, 5))]
    columns = {"stride": [draw(small), 2], "dilation": [1, draw(small)], "padding": draw(pads)}
    x = graph.node("conv2d", x, out_channels=channels, kernel_size=kernel, **columns)

    def depthwise(x: str) -> str:
        padding = draw(st.sampled_from([[0] * 4, [1] * 4])) if draw(st.booleans()) else draw(pads)
        x = graph.node(
            "conv2d", x, out_channels=channels, groups=channels, kernel_size=3, padding=padding
        )
        for op in draw(st.sampled_from([[], ["relu"], ["leaky_relu"], ["swish", "batch_norm"]])):
            x = graph.node(op, x)
        return x

    x = depthwise(graph.node("conv2d", x, out_channels=channels, kernel_size=1))
    if draw(st.booleans()):
        x = graph.node("max_pool2d", x, kernel_size=2)
    _, height, width = (d or 0 for d in graph.shapes()[x])
    fine = graph.node("resize", x, size=[2 * (height // 2), 2 * (width // 2)])
    coarse = graph.node("max_pool2d", depthwise(fine), kernel_size=2)
    _, height, width = (d or 0 for d in graph.shapes()[coarse])
    fine = graph.node("resize", fine, size=[2 * height, 2 * width])
    doubled = graph.node("resize", coarse, scale=2.0, mode="nearest")
    y = graph.node("add", *draw(st.permutations([fine, doubled])), name="y")
    graph.output(graph.node("relu", y, name="activation") if draw(st.booleans()) else y)
    return graph


@given(data=st.data())
def test_finders_equal_definition(data: st.DataObject) -> None:
    graph = data.draw(finders())
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    weights = random_weights(graph, rng)
    for name in weights:
        if name.endswith("running_var"):
            weights[name] = rng.uniform(0.3, 2, weights[name].shape).astype(np.float32)
    x = rng.normal(0, 1, (data.draw(st.integers(1, 3)), *graph.inputs["x"])).astype(np.float32)
    wanted = evaluate(graph, weights, {"x": x})[graph.outputs[0]]
    bits: dict[bool, set[bytes]] = {False: set(), True: set()}
    for isa in available_isas():
        for threads in (1, 2):
            result = Session(graph, weights, isa=isa, threads=threads).run(x)
            np.testing.assert_allclose(
                result, wanted, rtol=0, atol=2e-5 * max(1.0, np.abs(wanted).max()), err_msg=isa
            )
            bits[isa in ("scalar", "sse2")].add(result.tobytes())
    assert max(map(len, bits.values())) == 1


def check(graph: Graph) -> None:
    """Against the definition, each graph input random."""
    rng = np.random.default_rng(0)
    weights = random_weights(graph, rng)
    maps = {n: rng.normal(0, 1, (2, *s)).astype(np.float32) for n, s in graph.inputs.items()}
    wanted = evaluate(graph, weights, maps)[graph.outputs[0]]
    for isa in available_isas():
        for threads in (1, 2):
            result = Session(graph, weights, isa=isa, threads=threads).run(maps)
            np.testing.assert_allclose(result, wanted, rtol=0, atol=2e-5, err_msg=isa)


def test_dilated_pool_is_not_taken_into_a_depthwise_convolution() -> None:
    graph = Graph()
    x = graph.input("x", (4, 12, 12))
    x = graph.node("conv2d", x, out_channels=4, groups=4, kernel_size=3, padding=1)
    graph.output(graph.node("max_pool2d", x, kernel_size=2, stride=2, dilation=2))
    check(graph)


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
@pytest.mark.parametrize(("size", "scale"), [(2, 1.25), (2, 2.1), (3, 1.3), (4, 2.2), (5, 2.0)])
def test_where_the_size_stays_or_doubles(size: int, scale: float, mode: str, isa: str) -> None:
    """As PyTorch, which then counts whatever the scale."""
    functional = pytest.importorskip("torch.nn.functional")
    import torch

    graph = Graph()
    x = graph.node("resize", graph.input("x", (3, size, size)), scale=scale, mode=mode)
    graph.output(x)
    picture = np.random.default_rng(0).normal(size=(1, 3, size, size)).astype(np.float32)
    tensor = torch.from_numpy(picture)
    wanted = functional.interpolate(tensor, scale_factor=scale, mode=mode).numpy()
    for result in (Session(graph, isa=isa).run(picture), evaluate(graph, {}, {"x": picture})[x]):
        np.testing.assert_allclose(result, wanted, rtol=0, atol=2e-6 * (mode == "bilinear"))


@pytest.mark.parametrize("size", (1, 2, 3, 4))
@pytest.mark.parametrize("scale", (2.0, 2.1, 2.2, 2.4, 2.49, [2.0, 2.1], [2.1, 2.0]))
def test_nearest_that_happens_to_double_the_size(scale: float | list[float], size: int) -> None:
    """Whatever the scale: it is a sum that reads each pixel two by two."""
    graph = Graph()
    x = graph.node("resize", graph.input("x", (3, size, size)), scale=scale, mode="nearest")
    graph.output(graph.node("add", x, graph.input("y", tuple(graph.shapes()[x]))))
    check(graph)


@pytest.mark.parametrize("epilogue", ((), ("relu",)))
@pytest.mark.parametrize("scale", (None, 2.0))
def test_one_pixel_added_to_two_by_two(scale: float | None, epilogue: tuple[str, ...]) -> None:
    """It is a value per channel, and doubled, both."""
    graph = Graph()
    x = graph.input("x", (3, 2, 2))
    fine = graph.node("conv2d", x, out_channels=4, kernel_size=1)
    pixel = graph.node("conv2d", x, out_channels=4, kernel_size=2, stride=2)
    if scale:
        pixel = graph.node("resize", pixel, scale=scale, mode="nearest")
    y = graph.node("add", pixel, fine)
    for op in epilogue:
        y = graph.node(op, y)
    graph.output(graph.node("conv2d", y, out_channels=4, kernel_size=1))
    check(graph)


def _terms(graph: Graph) -> int:
    """Terms of the longest sum that the operation adds up."""
    node = next(n for n in graph.nodes if n.name == "y")
    shape = [d or 0 for d in graph.shapes()[node.inputs[0]]]
    if node.op in ("conv2d", "conv_transpose2d"):
        return int(shape[0] // node.attributes["groups"] * np.prod(node.attributes["kernel_size"]))
    if node.op == "avg_pool2d":
        return int(np.prod(node.attributes["kernel_size"]))
    sums = ("linear", "global_avg_pool2d", "mean", "softmax", "group_norm", "instance_norm",
            "layer_norm", "layer_norm2d")  # fmt: skip
    return int(np.prod(shape)) if node.op in sums else 1


def _amplification(graph: Graph, weights: dict[str, Any]) -> float:
    """How much a batch norm behind the operation can enlarge its rounding errors."""
    if "norm.running_var" not in weights:
        return 1.0
    scale = np.abs(weights["norm.weight"]) / np.sqrt(weights["norm.running_var"])
    return max(1.0, float(scale.max()))
