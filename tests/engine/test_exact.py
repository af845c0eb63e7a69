"""Sums and functions of ``csrc/exact.c``: near to the truth, of the same bits on every machine."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minimeso.engine import exact

#: Of the results for 20,000 values.
HASHES = {
    "exp": "1b4197df680970e6",
    "expm1": "fda44f90c39932fd",
    "log": "02d71bc52eded693",
    "log1p": "65ca5aeca6641411",
}
FUNCTIONS: dict[str, tuple[Callable[[float], float], Callable[[float], float], float, float]] = {
    "exp": (exact.exp, math.exp, -740, 709),
    "expm1": (exact.expm1, math.expm1, -50, 709),
    "log": (exact.log, math.log, 5e-324, 1e308),
    "log1p": (exact.log1p, math.log1p, -1 + 1e-15, 1e308),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_are_near_the_truth(name: str) -> None:
    ours, truth, low, high = FUNCTIONS[name]

    @given(st.one_of(st.floats(low, high), st.floats(max(low, -1.5), 1.5)))
    def check(x: float) -> None:
        assert abs(ours(x) - truth(x)) <= 2 * math.ulp(truth(x))

    check()


def test_edges() -> None:
    inf, nan = math.inf, math.nan
    assert [exact.exp(x) for x in (inf, 710, -inf, -746, 0)] == [inf, inf, 0, 0, 1]
    assert [exact.log(x) for x in (inf, 0, 1)] == [inf, -inf, 0]
    assert [exact.log1p(x) for x in (inf, -1, 0, 1e-300)] == [inf, -inf, 0, 1e-300]
    assert [exact.expm1(x) for x in (inf, -inf, 0, 1e-300)] == [inf, -1, 0, 1e-300]
    odd = [*(f(nan) for f, *_ in FUNCTIONS.values()), exact.log(-1), exact.log1p(-2)]
    assert all(map(math.isnan, odd))
    assert exact.sigmoid(-1e4) == 0 and exact.sigmoid(1e4) == 1 and exact.sigmoid(0) == 0.5
    assert exact.logit(0.5) == 0


@pytest.mark.parametrize("name", ["exp", "sigmoid", "logit"])
def test_arrays_are_as_their_elements(name: str) -> None:
    x = np.random.default_rng(0).uniform(0.001, 0.999, (7, 11))
    one: Callable[[float], float] = getattr(exact, name)
    many: Callable[[Any], Any] = getattr(exact, name + "s")
    assert many(x.T).tolist() == [[one(v) for v in row] for row in x.T.tolist()]
    assert many(x[:0]).shape == (0, 11)


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 16, 1000])
def test_sums_have_one_order(count: int) -> None:
    x, y = np.random.default_rng(count).normal(size=(2, count))
    sums = [0.0] * 8
    for i, product in enumerate((x * y).tolist()):
        sums[i % 8] += product
    a, b, c, d, e, f, g, h = sums
    assert exact.dot(x, y) == ((a + e) + (c + g)) + ((b + f) + (d + h))
    assert exact.dot(x[::-1], y) == pytest.approx(math.fsum(x[::-1] * y), rel=1e-12)
    with pytest.raises(ValueError):
        exact.dot(x, np.ones(count + 1))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_machine_gives_these_bits(name: str) -> None:
    ours, _, low, high = FUNCTIONS[name]
    i = np.arange(1, 20_001) / 20_001
    x = low + i * (min(high, 700.0) - low)
    found = np.array([ours(v) for v in x.tolist()], "<f8")
    assert hashlib.sha256(found.tobytes()).hexdigest()[:16] == HASHES[name]
