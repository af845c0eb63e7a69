"""The comparison with Pillow: every way is run, and they do the same work."""

from __future__ import annotations

import numpy as np

from minimeso.engine.native import available_isas
from tools.bench import crops


def test_all_ways_do_the_same() -> None:
    turns = crops.calls(186)
    assert list(turns) == ["Pillow resize", "Pillow to planes", *available_isas()]
    expected = np.array(turns["Pillow to planes"]())
    assert expected.shape == (3, 256, 256) and expected.dtype == np.float32
    resized = np.asarray(turns["Pillow resize"]()).transpose(2, 0, 1)[:, :-1, 1:-1]
    for isa in available_isas():
        result = np.asarray(turns[isa]())
        assert np.abs(np.rint(255 * result)[:, :-1, 1:-1] - resized).max() <= 1


def test_medians() -> None:
    assert all(time > 0 for time in crops.medians(64, 3).values())
