"""Quality: each reason for itself, on a drawn face; limits that the training faces keep."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from minimeso.detect.finder import FoundFace
from minimeso.detect.quality import SMALLEST, fault, is_profile, luma, outside, sharpness

SIDE = 200.0
PICTURE = (480, 640)


def texture(seed: int = 0, mean: float = 120, spread: float = 40) -> Any:
    """(480, 640, 3) uint8: noise of the spectrum of faces, 1 / frequency."""
    rng = np.random.default_rng(seed)
    height, width = PICTURE
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    frequency[0, 0] = 1
    wave = rng.normal(size=frequency.shape) + 1j * rng.normal(size=frequency.shape)
    wave[0, 0] = 0
    plane = np.fft.irfft2(wave / frequency, s=PICTURE)
    plane = mean + plane * (spread / plane.std())
    return np.repeat(np.clip(np.rint(plane), 0, 255).astype(np.uint8)[:, :, None], 3, 2)


def face(
    x: float = 220, y: float = 140, side: float = SIDE, *, yaw: float = 0, roll: float = 0
) -> tuple[FoundFace, tuple[float, float, float, float]]:
    """A face and its square; ``yaw`` and ``roll`` in degrees."""
    # eyes, nose, mouth corners of a head of radius 1, eyes 0.8 apart; z points to the camera
    head = np.array(
        [[-0.4, -0.4, 0.5], [0.4, -0.4, 0.5], [0, 0, 0.9], [-0.3, 0.4, 0.5], [0.3, 0.4, 0.5]]
    )
    a, b = math.radians(yaw), math.radians(roll)
    seen = np.stack([head[:, 0] * math.cos(a) + head[:, 2] * math.sin(a), head[:, 1]], 1)
    seen = seen @ np.array([[math.cos(b), math.sin(b)], [-math.sin(b), math.cos(b)]])
    points = (x + side / 2, y + side / 2) + seen * side / 2
    return (
        FoundFace((x, y, side, side), 0.9, tuple((float(p), float(q)) for p, q in points)),
        (x, y, side, side),
    )


def test_a_good_face_has_no_fault() -> None:
    assert fault(texture(), *face()) is None


def test_too_small() -> None:
    found, square = face(side=SMALLEST - 1)
    assert fault(texture(), found, square) == "too_small"
    assert fault(texture(), *face(side=SMALLEST)) is None


@pytest.mark.parametrize("sign", [-1, 1])
def test_profiles(sign: int) -> None:
    """Half profiles stay, profiles and heads on their side do not."""
    picture = texture()
    for yaw, roll in ((30, 0), (0, 30), (20, -20)):
        assert fault(picture, *face(yaw=sign * yaw, roll=sign * roll)) is None
    for yaw, roll in ((70, 0), (90, 0), (0, 60), (0, 90), (0, 180)):
        assert fault(picture, *face(yaw=sign * yaw, roll=sign * roll)) == "turned"


@pytest.mark.parametrize(("turned", "roll"), [(90, -90), (270, 90)])
def test_a_face_found_in_a_turned_picture_is_upright(turned: int, roll: float) -> None:
    """Its square is turned before it is judged; on its other side it is on its head."""
    found, _ = face(roll=roll)
    assert is_profile(found)
    assert not is_profile(FoundFace(found.box, found.score, found.landmarks, turned))
    assert is_profile(FoundFace(found.box, found.score, found.landmarks, 360 - turned))


def test_landmarks_on_one_point_are_no_face() -> None:
    assert is_profile(FoundFace((0, 0, 10, 10), 0.9, ((5.0, 5.0),) * 5))


@pytest.mark.parametrize(("x", "y"), [(-100, 140), (540, 140), (220, -100), (220, 380)])
def test_cut_off(x: float, y: float) -> None:
    """Half outside on either side is out, a sixth stays."""
    picture = texture()
    assert fault(picture, *face(x, y)) == "cut_off"
    assert fault(picture, *face(x + (220 - x) * 2 / 3, y + (140 - y) * 2 / 3)) is None
    assert fault(picture, *face(3 * x, 3 * y)) == "cut_off"


def test_outside() -> None:
    assert outside((0.0, 0.0, 10.0, 10.0), (10, 10)) == 0
    assert outside((-5.0, 0.0, 10.0, 10.0), (10, 10)) == pytest.approx(0.5)
    assert outside((5.0, 5.0, 10.0, 10.0), (10, 10)) == pytest.approx(0.75)
    assert outside((-20.0, 0.0, 10.0, 10.0), (10, 10)) == 1


def test_dark() -> None:
    assert fault(texture(mean=20, spread=5), *face()) == "dark"
    assert fault(texture(mean=40, spread=8), *face()) is None


def test_luma_is_that_of_the_middle() -> None:
    picture = np.zeros((*PICTURE, 3), np.uint8)
    picture[200:280, 280:360] = (10, 200, 30)
    expected = 0.299 * 10 + 0.587 * 200 + 0.114 * 30
    assert luma(picture, (270.0, 190.0, 100.0, 100.0)) == pytest.approx(expected, abs=1)


@pytest.mark.parametrize("side", [60.0, 100.0, 200.0, 300.0])
def test_blurred(side: float) -> None:
    """A blur of 8 / 224 of the face is out, one of 1 / 224 is not, at any size."""
    picture = texture(side > 100)
    for sigma, expected in ((8, "blurred"), (1, None)):
        soft = Image.fromarray(picture).filter(ImageFilter.GaussianBlur(sigma * side / 224))
        assert fault(np.asarray(soft), *face(side=side)) == expected


def test_sharpness_falls_with_blur_and_ignores_contrast() -> None:
    _, square = face()
    picture = texture()
    sharp = [
        sharpness(np.asarray(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(s))), square)
        for s in (0, 1, 2, 4, 8)
    ]
    assert sharp == sorted(sharp, reverse=True)
    assert sharpness(texture(spread=20), square) == pytest.approx(sharp[0], abs=0.3)


def test_a_flat_face_is_blurred() -> None:
    """A fade-out, a cartoon: there is nothing to judge."""
    assert fault(np.full((*PICTURE, 3), 128, np.uint8), *face()) == "blurred"


@given(
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.floats(-200, 200),
    st.floats(-200, 200),
    st.floats(1, 400),
)
def test_any_square_in_any_picture(shape: tuple[int, int], x: float, y: float, side: float) -> None:
    """One pixel, squares far outside: numbers, no errors."""
    picture = np.full((*shape, 3), 77, np.uint8)
    square = (x, y, side, side)
    assert 0 <= outside(square, picture.shape) <= 1
    assert luma(picture, square) == pytest.approx(77)
    assert math.isfinite(sharpness(picture, square))
    assert fault(picture, FoundFace(square, 0.9, face()[0].landmarks), square) is not None
