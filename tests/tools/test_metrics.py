"""The metrics of the model cards, against scikit-learn and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies
from hypothesis.extra import numpy as arrays

pytest.importorskip("sklearn")

from sklearn.metrics import roc_auc_score

from tools.train import metrics

THRESHOLDS = {"real": 0.2, "fake": 0.8}


@given(
    arrays.arrays(np.uint8, 12, elements=strategies.integers(0, 1)),
    arrays.arrays(np.float64, 12, elements=strategies.sampled_from([0.0, 0.25, 0.5, 1.0])),
)
def test_area_under_curve(fake: np.ndarray, score: np.ndarray) -> None:
    """With ties."""
    fake[:2] = 0, 1
    wanted = roc_auc_score(fake, score)
    assert metrics.roc_auc(fake, score) == pytest.approx(wanted, abs=1e-12)


def test_judged() -> None:
    p_fake = np.array([0.9, 0.1, 0.7, 0.75, 0.1, 0.3])
    fake = np.array([1, 0, 1, 0, 1, 0], np.uint8)
    pair = np.array([0, 0, 1, 1, 2, 2])
    found = metrics.judged(p_fake, fake, pair, THRESHOLDS)
    assert found["auc"] == pytest.approx(roc_auc_score(fake, p_fake))
    assert found["accuracy"] == pytest.approx(4 / 6)
    assert found["fake_above_its_real_twin"] == pytest.approx(1 / 3)
    assert found["decided"] == pytest.approx(3 / 6)
    assert found["right_of_decided"] == pytest.approx(2 / 3)
    # bins .1 (two faces, one fake), .3, .7 (two, one fake) and .9
    wanted = (2 * 0.4 + 0.3 + 2 * 0.225 + 0.1) / 6
    assert found["expected_calibration_error"] == pytest.approx(wanted)

    nobody = metrics.judged(np.array([0.5, 0.5]), np.array([1, 1], np.uint8), -np.ones(2, int), {
        "real": 0.1, "fake": 0.9,
    })  # fmt: skip
    for name in ("auc", "fake_above_its_real_twin", "right_of_decided"):
        assert np.isnan(nobody[name])


def test_people_are_drawn_whole() -> None:
    """Ten pairs of each person, all right or all wrong, are as uncertain as one pair of each."""
    right = np.arange(20) % 2 == 0
    one = np.stack([np.where(right, 0.9, 0.1), np.full(20, 0.5)], 1)
    fake = np.tile(np.array([1, 0], np.uint8), 20)
    few = metrics.intervals(
        one.reshape(-1), fake, np.arange(20).repeat(2), THRESHOLDS, [str(i // 2) for i in range(40)]
    )
    many = metrics.intervals(
        one.repeat(10, 0).reshape(-1),
        np.tile(fake, 10),
        np.arange(200).repeat(2),
        THRESHOLDS,
        [str(i // 20) for i in range(400)],
    )
    assert all(many[name] == pytest.approx(few[name]) for name in few)
    low, high = many["fake_above_its_real_twin"]
    assert low == pytest.approx(0.5 - 1.96 * (0.25 / 20) ** 0.5, abs=0.05)
    assert high == pytest.approx(0.5 + 1.96 * (0.25 / 20) ** 0.5, abs=0.05)


def test_a_draw_may_hold_fakes_only() -> None:
    """Where every face is its own person, and there are no pairs."""
    fake = np.array([0, 1, 1, 1], np.uint8)
    p_fake = np.array([0.2, 0.1, 0.5, 0.6])
    found = metrics.intervals(p_fake, fake, np.full(4, -1), THRESHOLDS, list("abcd"))
    low, high = found["auc"]
    assert 0 <= low < high <= 1
    assert all(map(np.isnan, found["fake_above_its_real_twin"]))
