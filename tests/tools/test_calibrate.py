"""Calibration over several sources: each counts alike, promises hold in each, groups are told."""

from __future__ import annotations

import math

import numpy as np
import pytest

pytest.importorskip("torch", reason="the tools need the extra `train`")
pytest.importorskip("sklearn")

from tools.train import calibrate, measures, metrics
from tools.train.faces import Faces


def made_up(counts: dict[tuple[str, int], int], level: int = 128) -> Faces:
    """So many faces of each source and label; all are one grey."""
    rows = [row for row, count in counts.items() for _ in range(count)]
    size = len(rows)
    image = np.full((1, 64, 64, 3), level, np.uint8)
    return Faces(
        images=np.broadcast_to(image, (size, 64, 64, 3)),
        squares=np.tile([4.0, 4.0, 56.0, 56.0], (size, 1)),
        fake=np.array([label for _, label in rows], np.uint8),
        pair=np.full(size, -1),
        identity=tuple(f"p{i // 3}" for i in range(size)),
        name=tuple(map(str, range(size))),
        source=tuple(source for source, _ in rows),
        method=tuple("x" if label else "original" for _, label in rows),
    )


COUNTS = {("a", 0): 3000, ("a", 1): 3000, ("b", 0): 500, ("b", 1): 900, ("c", 0): 800}


def test_each_source_counts_alike_among_real_faces_and_among_fakes() -> None:
    split = made_up(COUNTS)
    count, source = calibrate.importance(split), np.array(split.source)
    assert count.sum() == pytest.approx(len(split))
    for label, sources in ((0, "abc"), (1, "ab")):
        shares = [count[(source == name) & (split.fake == label)].sum() for name in sources]
        assert shares == pytest.approx([len(split) / 2 / len(sources)] * len(sources))
    without = calibrate.importance(split, ("b",))
    assert not without[source == "b"].any() and without.sum() == pytest.approx(len(split))


def test_platt_scaling_finds_what_is_true() -> None:
    random = np.random.default_rng(0)
    first, second = random.normal(0, 2, (2, 20000))
    truth = 0.3 + 0.7 * first + 1.1 * second
    fake = (random.random(20000) < 1 / (1 + np.exp(-truth))).astype(np.uint8)
    fit = calibrate.platt(np.stack([first, second]), fake, np.ones(20000))
    assert (*fit.weights, fit.bias) == pytest.approx((0.7, 1.1, 0.3), abs=0.07)
    assert fit.logit(np.stack([first, second])) == pytest.approx(truth, abs=0.5)
    against = calibrate.platt(
        np.stack([truth, -truth + random.normal(0, 3, 20000)]), fake, np.ones(20000)
    )
    assert min(against.weights) >= 0


def test_thresholds_keep_their_promises_in_every_source() -> None:
    split, random = made_up(COUNTS), np.random.default_rng(1)
    source = np.array(split.source)
    hard = np.where(source == "b", 1.2, 2.5)  # b is harder to tell
    logit = random.normal(np.where(split.fake == 1, hard, -hard), 2.0)
    p_fake = 1 / (1 + np.exp(-logit))
    found = calibrate.thresholds(p_fake, split)
    for name in "ab":
        theirs = source == name
        for said, true in (
            (p_fake >= found["fake"], split.fake == 1),
            (p_fake <= found["real"], split.fake == 0),
        ):
            hits, errors = said[theirs & true].mean(), said[theirs & ~true].mean()
            assert hits / (hits + errors) >= calibrate.RIGHT
    assert (p_fake[source == "c"] >= found["fake"]).mean() <= calibrate.FALSE_ALARMS
    easier = calibrate.thresholds(p_fake, split, leave_out=("b", "c"))
    assert easier["fake"] < found["fake"] and easier["real"] > found["real"]


@pytest.mark.parametrize(
    ("colour", "angle"),
    # the skins of the ColorChecker; its published L*a*b* is under D50
    [((194, 150, 130), 41.4), ((115, 82, 68), -40.5)],
)
def test_skin_tones(colour: tuple[int, int, int], angle: float) -> None:
    face = np.full((256, 256, 3), colour, np.uint8)
    assert measures.skin_tone(face) == pytest.approx(angle, abs=4)


def test_groups_are_told_with_intervals_and_small_ones_are_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(metrics, "RESAMPLES", 30)
    split = made_up({("a", 0): 60, ("a", 1): 60, ("c", 0): 40, ("few", 0): 5, ("few", 1): 5})
    p_fake = np.where(split.fake == 1, 0.9, 0.1)
    p_fake[:6] = 0.95
    found = measures.by_group(p_fake, split, {"real": 0.2, "fake": 0.8})
    assert "few" not in found and "medium skin" not in found
    assert found["a"]["real_called_fake"] == pytest.approx(0.1)
    assert found["a"]["auc_low"] <= found["a"]["auc"] <= found["a"]["auc_high"]
    assert found["c"]["real_called_real"] == 1 and "auc" not in found["c"]


def test_precision_where_fakes_are_rare() -> None:
    split = made_up({("a", 0): 400, ("a", 1): 100})
    p_fake = np.where(split.fake == 1, 0.999, 0.05)
    p_fake[:4] = 0.999  # 1 % of the real ones err
    rows = measures.precision(p_fake, split, {"real": 0.2, "fake": 0.8}, "a")
    assert [row["prior"] for row in rows] == [0.01, 0.05, 0.5]
    for row in rows:
        prior = row["prior"]
        assert row["right_of_fake"] == pytest.approx(prior / (prior + 0.01 * (1 - prior)), abs=1e-4)
        assert row["right_of_real"] == 1 and not math.isnan(row["decided"])
