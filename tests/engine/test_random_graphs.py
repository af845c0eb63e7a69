"""Random graphs of all operations, odd sizes, any batch: the engine against PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from conftest import random_weights
from hypothesis import given
from hypothesis import strategies as st
from test_operations import attributes

from minimeso import Graph, GraphError, Session
from minimeso.engine.native import available_isas
from minimeso.engine.operators import OPERATORS

torch = pytest.importorskip("torch")
torch_graph = pytest.importorskip("torch_graph")

#: Of the largest value of the output, as for the networks themselves.
BOUND = 2e-5


#: Small errors before them become any error behind; ``test_operations`` has them alone.
ILL_CONDITIONED = ("div", "argmax", "group_norm", "instance_norm", "layer_norm", "layer_norm2d")


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """A chain of two to seven nodes with side branches that are joined again."""
    graph = Graph()
    channels = draw(st.integers(1, 37))
    x = graph.input("x", (channels, draw(st.integers(1, 67)), draw(st.integers(1, 45))))
    for _ in range(draw(st.integers(2, 7))):
        shape = graph.shapes()[x]
        channels = shape[0] or 0
        maps = [n for n, s in graph.shapes().items() if s == shape]
        op = draw(st.sampled_from([op for op in OPERATORS if op not in ILL_CONDITIONED]))
        inputs = [x]
        if OPERATORS[op].arity[1] > 1:
            inputs.append(draw(st.sampled_from(maps)))
            if OPERATORS[op].arity == (2, 2) and len(shape) == 3 and draw(st.booleans()):
                inputs[1] = graph.node("global_avg_pool2d", x)
        values: dict[str, Any] = draw(attributes(op, shape))
        if op == "linear":
            values = {"out_features": draw(st.integers(1, 30))}
        if "pool2d" in op and "padding" in values:  # PyTorch pads both sides alike
            values["padding"] = values["padding"][:2]
        if values.get("approximate") == "piecewise":  # its errors are not roundings
            values["approximate"] = "none"
        if op == "leaky_relu":
            values["negative_slope"] = draw(st.floats(0, 1))
        try:
            x = graph.node(op, *inputs, **values)
        except GraphError:
            continue  # a map is wanted, or a window larger than what is left of the picture
    graph.output(x)
    return graph


@given(graph=graphs(), seed=st.integers(0, 999), batch=st.integers(1, 5), data=st.data())
def test_engine_equals_pytorch(graph: Graph, seed: int, batch: int, data: st.DataObject) -> None:
    rng = np.random.default_rng(seed)
    weights = random_weights(graph, rng)
    for name in weights:
        if name.endswith("running_var"):  # chains of tiny variances only amplify rounding
            weights[name] = rng.uniform(0.3, 2, weights[name].shape).astype(np.float32)
    x = rng.normal(0, 1, (batch, *graph.inputs["x"])).astype(np.float32)
    wanted = torch_graph.evaluate(graph, weights, x).numpy()
    if not np.isfinite(wanted).all():
        return
    scale = max(1.0, float(np.abs(wanted).max()))
    for isa in available_isas():
        session = Session(graph, weights, isa=isa, threads=data.draw(st.integers(1, 2)))
        result = session.run(x)
        assert result.shape == wanted.shape
        np.testing.assert_allclose(result, wanted, rtol=0, atol=BOUND * scale, err_msg=isa)
