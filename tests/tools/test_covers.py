"""Drawn covers hide what they say, what is harmless hides nothing; the twin is the network."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import random_weights

from minimeso import Session
from tools.train import covers
from tools.train.cover_canvas import Axes, hidden
from tools.train.cover_drawings import COVERS, HELD_OUT
from tools.train.cover_examples import COVERED, FREE, SIDE, label
from tools.train.cover_harmless import HARMLESS

#: A face of 60 pixels from eye to eye.
LANDMARKS = ((70.0, 80.0), (130.0, 80.0), (100.0, 115.0), (78.0, 145.0), (122.0, 145.0))
AXES = Axes.of(LANDMARKS)


def pictures(seed: int) -> tuple[np.ndarray, np.ndarray, np.random.Generator]:
    random = np.random.default_rng(seed)
    both = random.integers(0, 256, (2, 200, 200, 3), np.uint8)
    return both[0], both[1], random


@pytest.mark.parametrize("name", [*COVERS, *HELD_OUT])
def test_a_cover_hides_eyes_or_mouth(name: str) -> None:
    draw, shares = {**COVERS, **HELD_OUT}[name], []
    for seed in range(12):
        picture, other, random = pictures(seed)
        drawn, opacity = draw(random, picture, AXES, other)
        assert drawn.shape == picture.shape and drawn.dtype == np.uint8
        assert opacity.min() >= 0 and opacity.max() <= 1 + 1e-6
        far = opacity == 0
        assert far.any() and (drawn[20:60][far[20:60]] == picture[20:60][far[20:60]]).mean() > 0.8
        shares.append(max(hidden(AXES, opacity)))
    assert np.mean([share >= COVERED for share in shares]) >= 0.6


@pytest.mark.parametrize("name", list(HARMLESS))
def test_what_is_harmless_hides_nothing(name: str) -> None:
    for seed in range(12):
        picture, other, random = pictures(seed)
        drawn, opacity = HARMLESS[name](random, picture, AXES, other)
        assert drawn.shape == picture.shape and not np.array_equal(drawn, picture)
        assert max(hidden(AXES, opacity)) < (COVERED + FREE) / 2


def test_axes_are_those_of_the_face() -> None:
    assert AXES.place(0) == pytest.approx((-30 / 65, 0)) and AXES.unit == 65
    first, second = AXES.pixels([(0, 0), (0, 1)])
    assert first == pytest.approx((100, 80)) and second == pytest.approx((100, 145))


def test_labels_go_from_free_to_covered() -> None:
    assert [label(share) for share in (0, FREE, (FREE + COVERED) / 2, COVERED, 1)] == pytest.approx(
        [0, 0, 0.5, 1, 1]
    )


def test_the_twin_is_the_network(isa: str) -> None:
    graph, twin = covers.graph(), covers.network().eval()
    weights = random_weights(graph, np.random.default_rng(1))
    state = {name: torch.from_numpy(array) for name, array in weights.items()}
    twin.load_state_dict({**twin.state_dict(), **state})
    crops = np.random.default_rng(2).integers(0, 256, (3, SIDE + 8, SIDE + 8, 3), np.uint8)
    seen = np.ascontiguousarray(covers.middle(crops).transpose(0, 3, 1, 2), np.float32) / 255
    found = Session(graph, weights, threads=1, isa=isa).run(seen)
    assert np.abs(found - covers.probabilities(twin, crops)).max() < 1e-4


def test_training_learns_and_repeats_itself() -> None:
    random = np.random.default_rng(3)
    crops = random.integers(0, 200, (256, SIDE + 8, SIDE + 8, 3), np.uint8)
    targets = random.integers(0, 2, (256, 2)).astype(np.float32)
    crops[targets[:, 0] == 1, 10:30] = 0
    crops[targets[:, 1] == 1, 45:60] = 255
    kinds = np.where(targets.any(1), "bar", "plain")
    examples = covers.Examples(crops, targets, kinds, np.arange(256))
    nets = [covers.train(examples, 6, 1) for _ in range(2)]
    first, second = (covers.probabilities(net, crops) for net in nets)
    assert np.array_equal(first, second)
    limits = covers.limits_of(first, examples)
    assert set(limits) == set(covers.PARTS)
    assert len(covers.report(first, examples, limits)) == 2
