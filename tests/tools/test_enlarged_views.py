"""What becomes of faces before they are judged."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

from tools.train import faces, views


def test_an_enlarged_face_lies_where_it_lay() -> None:
    """In a picture twice as large, behind the harm of its view."""
    picture = np.zeros((1, 64, 48, 3), np.uint8)
    picture[0, 20:40, 8:28] = 200
    split = faces.Faces(
        picture, np.array([[8.0, 20.0, 20.0, 20.0]]), np.ones(1, np.uint8),
        np.array([-1]), ("somebody",), ("1",), ("dfdc",), ("df",),
    )  # fmt: skip
    (plain,) = views.EVERY["as trained, enlarged"](split)
    assert plain.picture.shape == (128, 96, 3) and plain.square == (16, 40, 40, 40)
    x, y, width, height = map(int, plain.square)
    assert (plain.picture[y + 4 : y + height - 4, x + 4 : x + width - 4] == 200).all()
    (half,) = views.EVERY["half the size, enlarged"](split)
    assert half.picture.shape == (64, 48, 3) and half.square == (8, 20, 20, 20)
