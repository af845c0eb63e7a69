"""The activations alone: error against float64, and the values at the ends."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from minimeso import EngineError
from minimeso.engine import reference
from minimeso.engine.native import activate

#: Formula, limit at -inf, limit at +inf.
FUNCTIONS = {
    "relu": (lambda x: np.maximum(x, 0), 0.0, np.inf),
    "leaky_relu": (lambda x: reference.leaky_relu(x, float(np.float32(0.1))), -np.inf, np.inf),
    "swish": (reference.swish, -0.0, np.inf),
    "mish": (reference.mish, -0.0, np.inf),
    "pish": (reference.pish, -0.0, np.inf),
    "sigmoid": (reference.sigmoid, 0.0, 1.0),
    "tanh": (np.tanh, -1.0, 1.0),
}


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
    """5e-7 absolute or 8 ulp, whichever is larger."""
    x = samples()
    with np.errstate(over="ignore"):
        wanted = FUNCTIONS[name][0](x.astype(np.float64))
        got = activate(x, name, isa=isa).astype(np.float64)
        rounded = wanted.astype(np.float32)
    assert not np.isnan(got).any()
    finite = np.isfinite(rounded)
    assert (got[~finite] == rounded[~finite]).all()
    bound = np.maximum(5e-7, 8 * np.spacing(np.abs(rounded[finite])).astype(np.float64))
    excess = np.abs(got[finite] - wanted[finite]) / bound
    worst = int(excess.argmax())
    assert excess[worst] <= 1, f"x = {x[finite][worst]!r}: {excess[worst]:.2f} times the bound"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_ends(name: str, isa: str) -> None:
    _, low, high = FUNCTIONS[name]
    at_zero = 0.5 if name == "sigmoid" else 0.0
    x = np.array([0.0, -0.0, -np.inf, np.inf, 3e38, -3e38], np.float32)
    y = activate(x, name, isa=isa)
    assert y[0] == y[1] == at_zero
    np.testing.assert_array_equal(y[2:4], np.array([low, high], np.float32))
    if name in ("swish", "mish", "pish"):
        assert np.signbit(y[2])
    payloads = np.array([0x7FC00000, 0x7FC00001, 0xFFC12345, 0x7F800001], np.uint32)
    assert np.isnan(activate(payloads.view(np.float32), name, isa=isa)).all()


def test_any_length_and_shape(isa: str) -> None:
    x = np.linspace(-3, 3, 70, dtype=np.float32)
    whole = activate(x, "mish", isa=isa)
    for n in (0, 1, 15, 16, 17, 33):
        assert (activate(x[:n], "mish", isa=isa) == whole[:n]).all()
    assert activate(x.reshape(7, 10)[:, ::2], "mish", isa=isa).shape == (7, 5)


def test_unknown_activation() -> None:
    with pytest.raises(EngineError, match="gelu"):
        activate(np.zeros(1, np.float32), "gelu")
