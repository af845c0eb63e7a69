"""Assignment: the least in total, as SciPy finds it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from minimeso.detect.assignment import least_in_total

SHAPES = [(1, 1), (1, 5), (2, 2), (2, 3), (4, 2), (3, 4), (4, 4), (6, 5), (9, 20), (32, 32)]


@pytest.mark.parametrize("shape", SHAPES)
def test_assignments_are_the_best(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(5)
    for _ in range(20):
        costs = rng.uniform(0, 9, shape)
        rows, columns = linear_sum_assignment(costs)
        assert least_in_total(costs.tolist()) == list(
            zip(rows.tolist(), columns.tolist(), strict=True)
        )


@given(
    st.tuples(st.integers(1, 6), st.integers(1, 6)).flatmap(
        lambda shape: st.lists(
            st.lists(
                st.sampled_from([0.0, 0.5, 1.0, 3.0, 1e6]), min_size=shape[1], max_size=shape[1]
            ),
            min_size=shape[0],
            max_size=shape[0],
        )
    )
)
def test_where_many_are_as_good(costs: list[list[float]]) -> None:
    """With ties and impossible pairs the total counts."""
    pairs = least_in_total(costs)
    rows, columns = linear_sum_assignment(np.array(costs))
    assert sum(costs[i][j] for i, j in pairs) == np.array(costs)[rows, columns].sum()
    assert len({i for i, _ in pairs}) == len({j for _, j in pairs}) == len(pairs) == len(rows)


def test_nobody() -> None:
    assert least_in_total([]) == [] == least_in_total([[], []])
