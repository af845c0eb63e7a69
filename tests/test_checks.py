"""Checks: what is a number and what only looks like one."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from minimeso.checks import float_of, is_integer, is_number


@pytest.mark.parametrize(
    "value", [0, -3, np.uint8(3), 1.5, math.nan, 10**400, Fraction(1, 2), np.float32(2)]
)
def test_numbers(value: Any) -> None:
    assert is_number(value)
    assert is_integer(value) == isinstance(value, (int, np.integer))


@pytest.mark.parametrize("value", [True, None, "1", b"1", [1], {}, 1j, Decimal(1), np.bool_(True)])
def test_no_numbers(value: Any) -> None:
    assert not is_number(value) and not is_integer(value)


def test_numbers_as_floats() -> None:
    assert float_of(Fraction(1, 3)) == 1 / 3 and type(float_of(np.float32(2))) is float
    assert float_of(Fraction(1, 10**400)) == 0 and float_of(10**400) == math.inf
    assert all(math.isnan(float_of(value)) for value in (True, "1", None, math.nan, 1j))
