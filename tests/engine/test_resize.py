"""Cutting and scaling pictures: against Pillow, against float64, and boxes that cannot be."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from minimeso import EngineError, InputError
from minimeso.engine.native import available_isas, resize

Box = tuple[float, float, float, float]
SIDES = st.one_of(st.integers(1, 40), st.integers(1, 400))


def noise(height: int, width: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    """The hardest picture there is: neighbours have nothing to do with each other."""
    rng = np.random.default_rng(seed)
    return rng.choice(
        np.array([0, 255, 1, 254, 128, 77], np.uint8), (height, width, 3), shuffle=False
    )


def by_pillow(
    picture: npt.NDArray[np.uint8], box: Box, size: tuple[int, int], resample: str
) -> npt.NDArray[np.float64]:
    """(3, height, width), whole numbers up to 255."""
    image = Image.fromarray(np.ascontiguousarray(picture))
    scaled = image.resize(size[::-1], Image.Resampling[resample.upper()], box=box)
    return np.asarray(scaled, np.float64).transpose(2, 0, 1)


def normalized(weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return weights / weights.sum(axis=1, keepdims=True)


def doubled(pixels: int) -> npt.NDArray[np.float64]:
    """What inputs (columns) count for in twice as many samples: Keys' cubic, a = -0.5."""
    x = np.abs(np.arange(pixels) + 0.5 - (np.arange(2 * pixels)[:, None] + 0.5) / 2)
    near, far = 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return normalized(np.where(x < 1, near, np.where(x < 2, far, 0)))


def by_definition(
    picture: npt.NDArray[np.uint8], box: Box, size: tuple[int, int], resample: str = "bilinear"
) -> npt.NDArray[np.float64]:
    """In float64, (3, height, width) from 0 to 1."""

    def weights(pixels: int, start: float, end: float, outputs: int) -> npt.NDArray[np.float64]:
        scale = float(np.float32(end) - np.float32(start)) / outputs
        if resample == "bicubic_2x" and scale < 1:
            return linear(2 * pixels, 2 * np.float32(start), 2 * scale, outputs) @ doubled(pixels)
        return linear(pixels, np.float32(start), scale, outputs)

    def linear(
        pixels: int, start: np.float32, scale: float, outputs: int
    ) -> npt.NDArray[np.float64]:
        centers = start + (np.arange(outputs) + 0.5) * scale
        distances = np.abs(np.arange(pixels) + 0.5 - centers[:, None])
        return normalized(np.maximum(1 - distances / max(scale, 1), 0))

    rows = weights(picture.shape[0], box[1], box[3], size[0])
    columns = weights(picture.shape[1], box[0], box[2], size[1])
    scaled = np.einsum("yi,ijc,xj->cyx", rows, picture / 255.0, columns, optimize=True)
    return np.clip(scaled, 0, 1)


@st.composite
def edges(draw: st.DrawFn, size: int) -> tuple[float, float]:
    """Two edges inside the picture: of pixels, or anywhere."""
    kind = draw(st.sampled_from(["all", "pixels", "anywhere"]))
    if kind == "all":
        return 0, size
    if kind == "pixels":
        start = draw(st.integers(0, size - 1))
        return start, draw(st.integers(start + 1, size))
    numbers = st.floats(0, size, width=32)
    start, end = sorted((draw(numbers), draw(numbers)))
    # thinner ones go astray in Pillow's float32, too
    return (start, end) if end - start > size * 1e-5 else (0.0, float(size))


@given(st.data(), SIDES, SIDES, SIDES, SIDES)
def test_equals_pillow(data: st.DataObject, height: int, width: int, h: int, w: int) -> None:
    """Bilinear: Pillow rounds after each pass, so it is up to 1/2 + 1/2 off the exact value, and
    we, rounded, up to 1/2: two whole numbers less than 2 apart.  Nearest: the same pixels."""
    picture = noise(height, width)
    (left, right), (top, bottom) = data.draw(edges(width)), data.draw(edges(height))
    box, isa = (left, top, right, bottom), data.draw(st.sampled_from(available_isas()))
    result = resize(picture, box, (h, w), "bilinear", isa)
    assert result.shape == (3, h, w) and result.dtype == np.float32
    expected = by_pillow(picture, box, (h, w), "bilinear")
    assert np.abs(np.rint(255 * result) - expected).max() <= 1
    assert np.abs(result - expected / 255).max() < 1.001 / 255
    nearest = by_pillow(picture, box, (h, w), "nearest").astype(np.float32) / np.float32(255)
    assert np.array_equal(resize(picture, box, (h, w), "nearest", isa), nearest)


@given(st.data(), SIDES, SIDES, SIDES, SIDES)
def test_error_bound(data: st.DataObject, height: int, width: int, h: int, w: int) -> None:
    picture = noise(height, width, 1)
    (left, right), (top, bottom) = data.draw(edges(width)), data.draw(edges(height))
    box = (left, top, right, bottom)
    for resample in ("bilinear", "bicubic_2x"):
        expected = by_definition(picture, box, (h, w), resample)
        for isa in available_isas():
            result = resize(picture, box, (h, w), resample, isa)
            assert np.abs(result - expected).max() < 5e-7


@given(st.integers(8, 250), st.integers(8, 250))
def test_twice_as_large_first_is_nearly_what_pillow_makes_by_two_calls(
    height: int, width: int
) -> None:
    """Pillow rounds after each of four passes, the first two by up to a half times 1.28."""
    soft = (noise(height, width, 2) // 2 + 64).astype(np.uint8)  # no overshoot is cut off
    large = Image.fromarray(soft).resize((2 * width, 2 * height), Image.Resampling.BICUBIC)
    expected = by_pillow(np.asarray(large), (0, 0, 2 * width, 2 * height), (256, 256), "bilinear")
    result = resize(soft, (0, 0, width, height), (256, 256), "bicubic_2x")
    assert np.abs(255 * result - expected).max() < 2.5


@pytest.mark.parametrize("resample", ["bilinear", "nearest", "bicubic_2x"])
def test_nothing_to_do_changes_nothing(resample: str, isa: str) -> None:
    """Every byte becomes what the engine makes of a uint8 input: correctly rounded quotients."""
    picture = np.arange(3 * 256, dtype=np.uint32).reshape(16, 16, 3).astype(np.uint8)
    expected = picture.transpose(2, 0, 1).astype(np.float32) / np.float32(255)
    assert len(np.unique(picture)) == 256
    assert np.array_equal(resize(picture, (0, 0, 16, 16), (16, 16), resample, isa), expected)
    inside = resize(picture, (3, 5, 16, 12), (7, 13), resample, isa)
    assert np.array_equal(inside, expected[:, 5:12, 3:16])


@pytest.mark.parametrize(
    ("shape", "box", "size"),
    [
        ((1080, 1920), (760.3, 200.7, 1160.9, 601.2), (256, 256)),
        ((720, 1280), (100, 100, 286, 286), (256, 256)),
        ((1, 1), (0, 0, 1, 1), (256, 256)),
        ((1, 1), (0.25, 0.5, 0.75, 0.50001), (3, 5)),
        ((2000, 1), (0, 0, 1, 2000), (1, 40)),
        ((1, 2000), (0, 0, 2000, 1), (40, 1)),
        ((3, 5), (0, 0, 5, 3), (700, 1000)),
    ],
)
def test_sizes_from_practice_and_from_the_edge(
    shape: tuple[int, int], box: Box, size: tuple[int, int], isa: str
) -> None:
    picture = noise(*shape)
    twice = resize(picture, box, size, "bicubic_2x", isa)
    assert np.abs(twice - by_definition(picture, box, size, "bicubic_2x")).max() < 5e-7
    result = resize(picture, box, size, "bilinear", isa)
    assert np.abs(result - by_definition(picture, box, size)).max() < 5e-7
    assert np.abs(np.rint(255 * result) - by_pillow(picture, box, size, "bilinear")).max() <= 1


def test_large_picture() -> None:
    """8K; all of its lines are one line in memory."""
    line = noise(1, 7680)
    result = resize(
        np.broadcast_to(line, (4320, 7680, 3)), (0, 0, 7680, 4320), (64, 256), "bilinear"
    )
    expected = by_definition(line, (0, 0, 7680, 1), (1, 256))
    assert np.abs(result - expected).max() < 5e-7


@pytest.mark.parametrize(
    "view",
    [
        lambda p: p[10:50, 20:80],
        lambda p: p[::-1],
        lambda p: p[::3],
        lambda p: p[:, ::-1],
        lambda p: p[:, ::2],
        lambda p: p[:, :, ::-1],
        lambda p: p.transpose(1, 0, 2),
        lambda p: p[5:6, 7:8],
        lambda p: p[-1:],
        lambda p: p[:, -1:],
    ],
)
@pytest.mark.parametrize("resample", ["bilinear", "nearest", "bicubic_2x"])
def test_views(view: Any, resample: str, isa: str) -> None:
    part = view(noise(60, 90))
    box = (0, 0, part.shape[1], part.shape[0])
    expected = resize(np.ascontiguousarray(part), box, (20, 30), resample, isa)
    assert np.array_equal(resize(part, box, (20, 30), resample, isa), expected)


def test_pixels_around_the_box_count_as_in_pillow() -> None:
    picture = np.zeros((8, 8, 3), np.uint8)
    picture[:, 4:] = 255
    scaled = resize(picture, (0, 0, 4, 8), (8, 8), "bilinear")
    assert scaled[0, 0, -1] == 0.25
    assert by_pillow(picture, (0, 0, 4, 8), (8, 8), "bilinear")[0, 0, -1] == 64


@given(
    st.tuples(*[st.one_of(st.floats(), st.floats(-2, 12), st.integers(-2, 12))] * 4),
    st.integers(1, 10),
    st.integers(1, 10),
)
@example((0, 0, math.nan, 5), 10, 10)
@example((0, -math.inf, 5, math.inf), 10, 10)
@example((-1e-3, 0, 5, 5), 10, 10)
@example((0, 0, 10.001, 5), 10, 10)
@example((2, 5, 2, 6), 10, 10)
@example((0, 0, 1e300, 5), 10, 10)
def test_boxes_outside_are_refused(box: Box, height: int, width: int) -> None:
    picture = noise(height, width)
    with np.errstate(over="ignore"):
        left, top, right, bottom = np.array(box, np.float32)
    if 0 <= left < right <= width and 0 <= top < bottom <= height:
        result = resize(picture, box, (3, 4), "bilinear")
        assert result.min() >= 0 and result.max() <= 1.000001
    else:
        with pytest.raises(InputError, match=f"of a picture {width} x {height} as 4 x 3"):
            resize(picture, box, (3, 4), "bilinear")


@pytest.mark.parametrize("size", [(0, 4), (4, 0), (-1, 4), (4, 2**24 + 1), (2**40, 2**40)])
def test_sizes_are_refused(size: tuple[int, int]) -> None:
    with pytest.raises(InputError, match="no box"):
        resize(noise(4, 4), (0, 0, 4, 4), size, "bilinear")


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((4, 0, 3), np.uint8),
    ],
)
def test_arrays_are_refused(picture: npt.NDArray[Any]) -> None:
    with pytest.raises(InputError):
        resize(picture, (0, 0, 4, 4), (4, 4), "bilinear")


def test_into_an_array_that_is_there(isa: str) -> None:
    picture, batch = noise(40, 50), np.full((3, 3, 17, 21), np.nan, np.float32)
    for resample in ("bilinear", "nearest", "bicubic_2x"):
        result = resize(picture, (0, 0, 50, 40), (17, 21), resample, isa, batch[1])
        assert np.shares_memory(result, batch)
        assert np.array_equal(batch[1], resize(picture, (0, 0, 50, 40), (17, 21), resample, isa))
    assert np.isnan(batch[::2]).all()


@pytest.mark.parametrize(
    "out",
    [
        np.zeros((3, 5, 4), np.float32),
        np.zeros((3, 4, 5)),
        np.zeros((1, 3, 4, 5), np.float32),
        np.zeros((3, 4, 10), np.float32)[:, :, ::2],
        np.zeros((4, 5, 3), np.float32).transpose(2, 0, 1),
        np.broadcast_to(np.float32(0), (3, 4, 5)),
        np.zeros((3, 4, 5), np.float32)[:, ::-1],
        np.lib.stride_tricks.as_strided(np.zeros(60, np.float32), (3, 4, 5), (40, 20, 4)),
        np.frombuffer(bytes(240), np.float32).reshape(3, 4, 5),
    ],
)
def test_out_that_does_not_fit_is_refused(out: npt.NDArray[np.float32]) -> None:
    with pytest.raises(InputError, match="out is no float32 array"):
        resize(noise(6, 6), (0, 0, 6, 6), (4, 5), "bilinear", out=out)


def test_into_a_part_of_an_array(isa: str) -> None:
    picture = noise(80, 170)
    for size in ((40, 85), (32, 64), (17, 21)):
        canvas = np.full((3, size[0] + 5, size[1] + 9), np.nan, np.float32)
        part = canvas[:, 2 : 2 + size[0], 3 : 3 + size[1]]
        resize(picture, (0, 0, 170, 80), size, "bilinear", isa, part)
        assert np.array_equal(part, resize(picture, (0, 0, 170, 80), size, "bilinear", isa))
        assert np.isnan(canvas).sum() == canvas.size - part.size


def test_unknown_isa() -> None:
    with pytest.raises(EngineError, match="not an instruction set"):
        resize(noise(4, 4), (0, 0, 4, 4), (4, 4), "bilinear", "mmx")


@given(st.data(), SIDES, SIDES, st.sampled_from(["bilinear", "nearest", "bicubic_2x"]))
def test_rounded_to_bytes(data: st.DataObject, height: int, width: int, resample: str) -> None:
    """The same levels as rounded afterwards, but where one lies half way to a rounding error."""
    picture = noise(height, width, 3)
    (left, right), (top, bottom) = data.draw(edges(width)), data.draw(edges(height))
    for isa in available_isas():
        exact = resize(picture, (left, top, right, bottom), (19, 23), resample, isa)
        found = resize(picture, (left, top, right, bottom), (19, 23), resample, isa, rounded=True)
        levels = np.rint(255 * found)
        assert np.array_equal(found, levels / np.float32(255))
        assert np.abs(levels - 255 * exact.astype(np.float64)).max() < 0.5001


def test_from_several_threads() -> None:
    pictures = [noise(100 + 7 * i, 300 - 11 * i, i) for i in range(16)]

    def half(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        height, width = picture.shape[:2]
        return resize(picture, (0, 0, width, height), (height // 2, width // 2), "bilinear")

    with ThreadPoolExecutor(4) as threads:
        for _ in range(5):
            for one, other in zip(map(half, pictures), threads.map(half, pictures), strict=True):
                assert np.array_equal(one, other)
