"""Boxes: their middle, and how much two share."""

from __future__ import annotations

import pytest

from minimeso.detect.box import Box, center, iou


def test_center() -> None:
    assert center(Box(-4, 6, 10, 3)) == center((-4, 6, 10, 3)) == (1, 7.5)


def test_iou() -> None:
    assert iou((0, 0, 10, 10), (0, 0, 10, 10)) == pytest.approx(1)
    assert iou((0, 0, 10, 10), (5, 0, 10, 10)) == pytest.approx(1 / 3)
    assert iou((0, 0, 10, 10), (10, 0, 10, 10)) == 0
    assert iou((0, 0, 0, 0), (0, 0, 0, 0)) == 0
    assert iou(Box(0, 0, 4, 4), (2, 2, 4, 4)) == pytest.approx(4 / 28)
