"""Weights that are int8 in a model file stay bytes in the engine, until a product needs them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import random_weights
from hypothesis import given
from hypothesis import strategies as st
from support.quantized import as_stored, blocks, save_all_int8

from minimeso import Graph, Model, Session, load_model
from minimeso.engine.bindings import OP_NUMBERS, ffi
from minimeso.engine.native import available_isas
from minimeso.engine.reference import evaluate


def steps_of(session: Session) -> dict[str, list[bool]]:
    """Of each operator's steps, whether their weights are bytes."""
    struct = session.program()[1].struct
    names = {number: name for name, number in OP_NUMBERS.items()}
    found: dict[str, list[bool]] = {}
    for step in ffi.unpack(struct.steps, struct.step_count):
        found.setdefault(names[step.op], []).append(step.quantized >= 0)
    return found


@given(
    height=st.integers(8, 17),
    width=st.sampled_from([5, 8, 9, 16, 31]),
    channels=st.sampled_from([4, 6, 8, 20]),
    wide=st.sampled_from([4, 16, 36]),
    kernel=st.sampled_from([1, 3]),
    stride=st.integers(1, 2),
)
def test_networks_equal_definition(
    tmp_path_factory: pytest.TempPathFactory,
    height: int, width: int, channels: int, wide: int, kernel: int, stride: int,
) -> None:  # fmt: skip
    graph = blocks(height, width, channels, wide, kernel, stride)
    model = as_stored(graph, tmp_path_factory.mktemp("int8"))
    x = np.random.default_rng(1).normal(0, 1, (3, 3, height, width)).astype(np.float32)
    wanted = evaluate(graph, model.weights, {"x": x})
    bits: dict[bool, set[bytes]] = {False: set(), True: set()}
    for isa in available_isas():
        for threads in (1, 2):
            results = Session(model, isa=isa, threads=threads).run(x)
            assert isinstance(results, dict)
            for name, result in results.items():
                most = max(1.0, np.abs(wanted[name]).max())
                np.testing.assert_allclose(result, wanted[name], rtol=0, atol=2e-5 * most)
            together = b"".join(result.tobytes() for result in results.values())
            bits[isa in ("scalar", "sse2")].add(together)
    assert max(map(len, bits.values())) == 1


def test_which_weights_stay_bytes(tmp_path: Path) -> None:
    """Of convolutions of one group that are computed directly, in whole blocks of four."""
    session = Session(as_stored(blocks(16, 16, 20, 36, 3, 2), tmp_path))
    steps = steps_of(session)
    assert steps["POINTWISE"] and all(steps["POINTWISE"])
    assert sorted(steps["CONV"]) == [False, False, *[True] * 4]  # two groups; 7 channels
    assert not any(any(of) for op, of in steps.items() if op not in ("CONV", "POINTWISE"))


def test_they_take_a_quarter(tmp_path: Path) -> None:
    graph = Graph()
    x = graph.input("x", (64, 8, 8))
    for _ in range(3):
        x = graph.node("batch_norm", graph.node("conv2d", x, out_channels=64, kernel_size=1))
    graph.output(x)
    model = as_stored(graph, tmp_path)
    as_floats = Model("floats", graph, {n: model.weights[n] for n in graph.parameters()})
    sizes = [Session(m).program()[1].parameters.nbytes for m in (model, as_floats)]
    assert sizes[0] < 0.3 * sizes[1]


def test_a_batch_norm_that_overflows_stays_outside(tmp_path: Path) -> None:
    """Weights times its scale would be infinite."""
    graph = Graph()
    x = graph.input("x", (8, 8, 8))
    x = graph.node("conv2d", x, out_channels=8, kernel_size=1, bias=False, name="c")
    graph.output(graph.node("batch_norm", x, name="n", eps=1e-5))
    weights = {
        **random_weights(graph, np.random.default_rng(0)),
        "c.weight": np.full((8, 8, 1, 1), 1e30, np.float32),
        "n.weight": np.full(8, 1e20, np.float32),
        "n.running_var": np.full(8, 1, np.float32),
    }
    save_all_int8(Model("large", graph, weights), tmp_path / "large.npz")
    x0 = np.full((1, 8, 8, 8), 1e-30, np.float32)
    result = Session(load_model(tmp_path / "large.npz")).run(x0)
    assert np.isfinite(result).all()
