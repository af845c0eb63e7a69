"""The activations alone: error against float64, and the values at the ends."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from minimeso import EngineError, Graph, Model, Session, load_model, save_model
from minimeso.engine.layer import Function
from minimeso.engine.native import activate, available_isas
from minimeso.engine.operators import ACTIVATIONS, OPERATORS, functions, kernel_of
from minimeso.engine.operators.activations import EXACT

FUNCTIONS = functions()


def by_engine(function: Function, x: npt.NDArray[np.float32], isa: str) -> npt.NDArray[np.float32]:
    return activate(x, *kernel_of(function), isa)


def by_definition(function: Function, x: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    with np.errstate(all="ignore"):
        wide = x.astype(np.float64)[None]
        return OPERATORS[function.op].reference([wide], function.attributes, {})[0]


def promised(function: Function) -> float:
    activation = OPERATORS[function.op].activation
    assert activation is not None
    return activation.error(function.attributes)


def samples() -> npt.NDArray[np.float32]:
    """Dense where the functions bend, and every 4,099th float32 there is."""
    bits = np.arange(0, 2**32, 4099, dtype=np.uint64).astype(np.uint32)
    anywhere = bits.view(np.float32)
    return np.concatenate(
        [
            np.linspace(-30, 30, 400_001, dtype=np.float32),
            np.linspace(-110, 110, 50_001, dtype=np.float32),
            anywhere[np.isfinite(anywhere)],
        ]
    )


@pytest.mark.parametrize("name", FUNCTIONS)
def test_error_bound(name: str, isa: str) -> None:
    """What the entry promises, or 8 ulp, whichever is larger."""
    x = samples()
    wanted = by_definition(FUNCTIONS[name], x)
    got = by_engine(FUNCTIONS[name], x, isa).astype(np.float64)
    with np.errstate(over="ignore"):
        rounded = wanted.astype(np.float32)
    assert not np.isnan(got).any()
    finite = np.isfinite(rounded)
    assert (got[~finite] == rounded[~finite]).all()
    bound = np.maximum(
        promised(FUNCTIONS[name]), 8 * np.spacing(np.abs(rounded[finite])).astype(np.float64)
    )
    excess = np.abs(got[finite] - wanted[finite]) / bound
    worst = int(excess.argmax())
    assert excess[worst] <= 1, f"x = {x[finite][worst]!r}: {excess[worst]:.2f} times the bound"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_ends(name: str, isa: str) -> None:
    function = FUNCTIONS[name]
    x = np.array([0.0, -0.0, -np.inf, np.inf], np.float32)
    wanted = by_definition(function, x).astype(np.float32)
    y = by_engine(function, x, isa)
    if promised(function) > EXACT:
        np.testing.assert_allclose(y, wanted, rtol=0, atol=promised(function))
    else:
        np.testing.assert_array_equal(y, wanted)
    if y[2] == 0:
        assert np.signbit(y[2]) == np.signbit(wanted[2])
    huge = np.array([1e38, -1e38], np.float32)
    assert np.isfinite(by_engine(function, huge, isa)).all()
    payloads = np.array([0x7FC00000, 0x7FC00001, 0xFFC12345, 0x7F800001], np.uint32)
    assert np.isnan(by_engine(function, payloads.view(np.float32), isa)).all()


def test_any_length_and_shape(isa: str) -> None:
    x = np.linspace(-3, 3, 70, dtype=np.float32)
    whole = activate(x, "mish", isa=isa)
    for n in (0, 1, 15, 16, 17, 33):
        assert (activate(x[:n], "mish", isa=isa) == whole[:n]).all()
    assert activate(x.reshape(7, 10)[:, ::2], "mish", isa=isa).shape == (7, 5)


def test_every_activation_has_a_module_of_pytorch() -> None:
    """``tools/activations.py`` is the one place for it."""
    pytest.importorskip("torch")
    from tools.activations import MODULES

    assert set(MODULES) == set(ACTIVATIONS)


def test_unknown_activation() -> None:
    with pytest.raises(EngineError, match="no_such_function"):
        activate(np.zeros(1, np.float32), "no_such_function")


def test_approximated_networks(tmp_path: Path) -> None:
    graph = Graph()
    x = graph.input("x", (3, 16, 16))
    for op in ("swish", "mish", "pish", "silu", "gelu"):
        x = graph.node("conv2d", x, out_channels=4, kernel_size=1)
        x = graph.node(op, x)
    graph.output(x)
    weights = {
        name: np.random.default_rng(0).normal(0, 1, shape).astype(np.float32)
        for name, shape in graph.parameters().items()
    }
    exact = Model("exact", graph, weights)
    save_model(exact.approximated(), tmp_path / "rough.npz")
    rough = load_model(tmp_path / "rough.npz")
    chosen = [n.attributes["approximate"] for n in rough.graph.nodes if n.op != "conv2d"]
    assert chosen == ["piecewise"] * 4 + ["none"]
    assert "piecewise" not in str(graph.to_json())
    image = np.random.default_rng(1).normal(0, 1, (2, 3, 16, 16)).astype(np.float32)
    results = {isa: Session(rough, isa=isa).run(image) for isa in available_isas()}
    for isa, result in results.items():
        wanted = Session(exact, isa=isa).run(image)
        np.testing.assert_allclose(result, wanted, rtol=0, atol=0.05)
        assert isa in ("sse2", "scalar") or (result != wanted).any()
    if {"avx2", "avx512"} <= set(results):
        assert (results["avx2"] == results["avx512"]).all()
