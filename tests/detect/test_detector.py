"""The detector: framing, words and numbers of a verdict, every bad file answered, never a crash."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from detectors import constant_detector, photo, png_header, random_detector, saved
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

import minimeso
from minimeso import Detector, Face, Graph, InputError, Model, ModelError, PictureError, Verdict
from minimeso.detect.framing import cut, whole
from minimeso.detect.verdict import judge

PHOTO = photo()
WHOLE = "the whole picture judged as one face"


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector(random_detector(), threads=1)


# --- verdicts ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("p_fake", "word"),
    [(0.0, "real"), (0.4, "real"), (0.41, "uncertain"), (0.59, "uncertain"), (0.6, "fake")],
)
def test_judge(p_fake: float, word: str) -> None:
    assert judge(p_fake, {"real": 0.4, "fake": 0.6}) == word


def test_judge_with_one_threshold() -> None:
    thresholds = {"real": 0.5, "fake": 0.5}
    assert [judge(p, thresholds) for p in (0.49, 0.5, 0.51)] == ["real", "fake", "fake"]


def test_verdict_to_json() -> None:
    verdict = Verdict("a.jpg", "ok", "fake", 0.9, (Face((1, 2, 3, 4), 0.9),), "default")
    assert json.dumps(verdict.to_json()) == (
        '{"path": "a.jpg", "status": "ok", "verdict": "fake", "p_fake": 0.9, '
        '"faces": [{"box": [1, 2, 3, 4], "p_fake": 0.9}], "model": "default", "note": null}'
    )
    with pytest.raises(dataclasses.FrozenInstanceError):
        verdict.p_fake = 0.1  # type: ignore[misc]


# --- framing -----------------------------------------------------------------------------


def by_pillow(picture: Any, size: tuple[int, int], resample: str = "bilinear") -> Any:
    """(3, height, width), bytes."""
    scaled = Image.fromarray(picture).resize(size[::-1], Image.Resampling[resample.upper()])
    return np.asarray(scaled).transpose(2, 0, 1)


def test_the_whole_picture_is_squeezed_as_pillow_does() -> None:
    """Within 1: Pillow rounds to bytes twice, the crop is not rounded at all."""
    crop = cut(PHOTO, whole(PHOTO), (24, 32), "bilinear")
    assert crop.shape == (1, 3, 24, 32) and crop.dtype == np.float32
    assert np.abs(np.rint(255 * crop[0]) - by_pillow(PHOTO, (24, 32))).max() <= 1
    crop = cut(PHOTO, whole(PHOTO), (24, 32), "nearest")
    expected = by_pillow(PHOTO, (24, 32), "nearest") / np.float32(255)
    assert np.array_equal(crop[0], expected) and crop.dtype == np.float32


@pytest.mark.parametrize("resample", ["bilinear", "nearest"])
def test_a_box_sees_nothing_around_it(resample: str) -> None:
    for box in ((10, 20, 30, 50), (10.25, 20.5, 29.5, 49.0)):
        other = 255 - PHOTO
        other[20:70, 10:40] = PHOTO[20:70, 10:40]
        crop = cut(PHOTO, box, (64, 64), resample)
        assert np.array_equal(cut(other, box, (64, 64), resample), crop)
    expected = by_pillow(PHOTO[20:70, 10:40], (64, 64))
    crop = cut(PHOTO, (10, 20, 30, 50), (64, 64), "bilinear")
    assert np.abs(np.rint(255 * crop[0]) - expected).max() <= 1


@given(st.tuples(*[st.floats(0, 90)] * 4))
@example((89.3, 0.0, 0.2, 0.1))
def test_any_box_inside_can_be_cut(box: tuple[float, float, float, float]) -> None:
    x, y, w, h = box[0], box[1], 0.5 + box[2], 0.5 + box[3]
    fits = x + w <= 90 and y + h <= 120
    if fits:
        assert cut(PHOTO, (x, y, w, h), (4, 4), "bilinear").max() <= 1.000001
    else:
        with pytest.raises(InputError, match="in a picture 90 x 120"):
            cut(PHOTO, (x, y, w, h), (4, 4), "bilinear")


@pytest.mark.parametrize("resample", ["bilinear", "nearest"])
@pytest.mark.parametrize(
    "box",
    [
        (-1, 0, 10, 10), (0, -0.5, 10, 10), (85, 0, 6, 10), (0, 0, 90.5, 10), (0, 0, 10, 121),
        (200, 200, 10, 10), (0, 0, 0, 10), (0, 0, 10, -5), (math.nan, 0, 10, 10),
        (0, 0, math.nan, 10), (0, 0, math.inf, 10), (-math.inf, 0, math.inf, 10),
        (0, 0, 10**400, 10),
    ],
)  # fmt: skip
def test_a_box_that_is_not_inside_is_refused(box: Any, resample: str) -> None:
    with pytest.raises(InputError, match="no box"):
        cut(PHOTO, box, (8, 8), resample)


# --- numbers -----------------------------------------------------------------------------


def test_p_fake_is_that_of_the_session(detector: Detector) -> None:
    verdict = detector.check(PHOTO)
    crop = cut(PHOTO, whole(PHOTO), (256, 256), "bilinear")
    expected = float(detector.session.run(crop)[0])
    assert 0.01 < expected < 0.99
    assert verdict == Verdict(
        None, "ok", judge(expected, {"real": 0.4, "fake": 0.6}), expected,
        (Face((0, 0, 90, 120), expected),), "random", WHOLE,
    )  # fmt: skip


def test_path_image_and_array_agree(detector: Detector, tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    Image.fromarray(PHOTO).save(path)
    expected = detector.check(PHOTO)
    assert detector.check(Image.fromarray(PHOTO)) == expected
    assert detector.check(PHOTO / 255) == expected
    for name in (path, str(path)):
        assert detector.check(name) == dataclasses.replace(expected, path=str(path))


def test_different_pictures_get_different_numbers(detector: Detector) -> None:
    assert detector.check(PHOTO).p_fake != detector.check(PHOTO[::-1]).p_fake


def test_framing_of_the_model_is_used() -> None:
    framing = {"resample": "nearest", "side": 2.3}
    nearest = Detector(random_detector(framing=framing), threads=1)
    crop = by_pillow(PHOTO, (256, 256), "nearest").transpose(1, 2, 0)
    assert nearest.check(PHOTO).p_fake == float(nearest.session.run(crop[None])[0])


def test_a_picture_of_the_right_size_is_seen_as_it_is(detector: Detector) -> None:
    picture = photo(256, 256)
    assert detector.check(picture).p_fake == float(detector.session.run(picture[None])[0])


@pytest.mark.parametrize(("logit", "word"), [(-3.0, "real"), (0.0, "uncertain"), (3.0, "fake")])
def test_words_follow_the_thresholds(logit: float, word: str) -> None:
    verdict = Detector(constant_detector(logit)).check(PHOTO)
    assert verdict.verdict == word
    assert verdict.p_fake == pytest.approx(1 / (1 + math.exp(-logit)), abs=1e-6)


def test_input_size_comes_from_the_graph() -> None:
    assert Detector(constant_detector(1.0)).check(PHOTO[:1, :1]).faces[0].box == (0, 0, 1, 1)


def test_every_isa_and_thread_count(isa: str) -> None:
    model = random_detector()
    first, second = (Detector(model, threads=n, isa=isa).check(PHOTO) for n in (1, 3))
    assert first == second


def test_from_several_threads(detector: Detector) -> None:
    expected = detector.check(PHOTO)
    with ThreadPoolExecutor(4) as threads:
        assert set(threads.map(detector.check, [PHOTO] * 16)) == {expected}


# --- bad files ---------------------------------------------------------------------------


def bad_files(folder: Path) -> dict[str, tuple[str, str]]:
    """Path to (status, part of the note)."""
    Image.fromarray(PHOTO).save(folder / "good.jpg")
    data = (folder / "good.jpg").read_bytes()
    (folder / "text.jpg").write_text("no picture\n" * 9)
    (folder / "empty.jpg").touch()
    (folder / "cut.jpg").write_bytes(data[: len(data) // 2])
    (folder / "header.jpg").write_bytes(data[:200])
    (folder / "bomb.png").write_bytes(png_header(60_000, 60_000))
    return {
        str(folder / "text.jpg"): ("unreadable", "not a picture"),
        str(folder / "empty.jpg"): ("unreadable", "empty"),
        str(folder / "cut.jpg"): ("partial", "cut short"),
        str(folder / "header.jpg"): ("unreadable", "header"),
        str(folder / "bomb.png"): ("unreadable", "bomb"),
        str(folder / "missing.jpg"): ("unreadable", "No such file"),
        str(folder): ("unreadable", "folder"),
        os.devnull: ("unreadable", "device"),
        str(folder / "good.jpg"): ("ok", WHOLE),
    }


def test_bad_files_are_answered(detector: Detector, tmp_path: Path) -> None:
    for path, (status, note) in bad_files(tmp_path).items():
        verdict = detector.check(path)
        assert (verdict.path, verdict.status, verdict.model) == (path, status, "random")
        assert verdict.note is not None and note in verdict.note
        assert not verdict.note.startswith(path)
        if status == "unreadable":
            assert (verdict.verdict, verdict.p_fake, verdict.faces) == (None, None, ())
        else:
            assert verdict.p_fake is not None and verdict.note.startswith(WHOLE)


def test_animation_says_so(detector: Detector, tmp_path: Path) -> None:
    frames = [Image.fromarray(PHOTO), Image.fromarray(PHOTO[::-1])]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:])
    verdict = detector.check(tmp_path / "a.png")
    assert verdict.note == f"{WHOLE}; only its first frame"
    assert verdict.p_fake == detector.check(PHOTO).p_fake


@pytest.mark.parametrize("source", [None, 3, b"a.jpg", PHOTO[None], PHOTO.astype(np.int32)])
def test_wrong_types_raise(detector: Detector, source: Any) -> None:
    with pytest.raises(InputError):
        detector.check(source)


def test_damaged_pillow_image_raises(detector: Detector, tmp_path: Path) -> None:
    Image.fromarray(PHOTO).save(tmp_path / "good.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "good.jpg").read_bytes()[:900])
    with Image.open(tmp_path / "cut.jpg") as image, pytest.raises(PictureError):
        detector.check(image)


# --- models ------------------------------------------------------------------------------


def test_model_by_path(tmp_path: Path) -> None:
    path = saved(constant_detector(3.0), tmp_path)
    assert Detector(path).check(PHOTO).model == "constant"
    assert Detector(Path(path)).check(PHOTO).verdict == "fake"


def test_unknown_model() -> None:
    with pytest.raises(ModelError, match="no bundled model"):
        Detector("nobody")


def test_model_without_thresholds() -> None:
    with pytest.raises(ModelError, match="constant: has no thresholds"):
        Detector(constant_detector(0.0, thresholds=None))


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, None, 8), (5,)])
def test_model_that_takes_no_picture(shape: tuple[int | None, ...]) -> None:
    graph = Graph("other")
    graph.output(graph.node("relu", graph.input("x", shape)))
    thresholds, framing = {"real": 0.1, "fake": 0.9}, {"resample": "nearest", "side": 2.3}
    with pytest.raises(ModelError, match="other: no detector"):
        Detector(Model("other", graph, {}, framing=framing, thresholds=thresholds))


def test_weights_that_overflow_give_no_number() -> None:
    graph = Graph("overflow")
    x = graph.node("flatten", graph.input("image", (3, 6, 8)))
    x = graph.node("linear", x, name="infinite", out_features=2)
    x = graph.node("linear", x, name="difference", out_features=1)
    graph.output(graph.node("sigmoid", x))
    weights = {
        "infinite.weight": np.full((2, 144), 3e38, np.float32) * np.array([[1], [-1]], np.float32),
        "infinite.bias": np.zeros(2, np.float32),
        "difference.weight": np.ones((1, 2), np.float32),
        "difference.bias": np.zeros(1, np.float32),
    }
    thresholds, framing = {"real": 0.1, "fake": 0.9}, {"resample": "nearest", "side": 2.3}
    model = Model("overflow", graph, weights, framing=framing, thresholds=thresholds)
    with pytest.raises(ModelError, match="overflow: p_fake is nan"):
        Detector(model).check(PHOTO)


def test_public_names() -> None:
    assert minimeso.Detector is Detector
    for name in ("Detector", "Face", "Verdict"):
        assert name in minimeso.__all__ and getattr(minimeso, name).__doc__
