"""The face finder: OpenCV's numbers, scales, turned pictures, bad input.

What is found in the bundled picture must be found scaled, moved and turned, too.  Where
MINIMESO_DATA names the shared data, the published outputs of YuNet for four pictures must come out.
"""

from __future__ import annotations

import json
import math
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from support.detectors import photo

from minimeso import Detector, FaceFinder, FoundFace, Graph, InputError, Model, ModelError, Session
from minimeso.detect import finder as module
from minimeso.detect.box import Box, iou
from minimeso.detect.canvas import CELL, Canvases, in_cells
from minimeso.detect.framing import square
from minimeso.detect.quality import _pose
from minimeso.engine.library import find_model
from minimeso.media.pictures import read_picture

SAMPLE = Path(module.__file__).parent.parent / "samples" / "portrait.jpg"
PORTRAIT = read_picture(SAMPLE).pixels


@pytest.fixture(scope="module")
def finder() -> FaceFinder:
    return FaceFinder(threads=1)


@pytest.fixture(scope="module")
def face(finder: FaceFinder) -> FoundFace:
    (found,) = finder.find(PORTRAIT)
    return found


def points(face: FoundFace) -> npt.NDArray[np.float64]:
    """(7, 2): both corners of the box, then the landmarks."""
    x, y, width, height = face.box
    return np.array([(x, y), (x + width, y + height), *face.landmarks])


# --- numbers -----------------------------------------------------------------------------


def by_definition(
    picture: npt.NDArray[np.uint8], threshold: float, model: str = "yunet-s"
) -> list[npt.NDArray[np.float64]]:
    """(15,) each: the decoding as OpenCV's ``FaceDetectorYN`` has it, cell by cell, in float64."""
    height, width = picture.shape[:2]
    padded = np.zeros((-(-height // 32) * 32, -(-width // 32) * 32, 3), np.float32)
    padded[:height, :width] = picture / np.float32(255)
    session = Session(model, threads=1)
    heads = session.run(padded.transpose(2, 0, 1)[None], outputs=session.graph.outputs)
    found = []
    for head in heads.values():
        stride = len(padded) // head.shape[2]
        for row in range(head.shape[2]):
            for column in range(head.shape[3]):
                v = head[0, :, row, column].astype(np.float64)
                score = np.sqrt(1 / (1 + np.exp(-v[0])) * 1 / (1 + np.exp(-v[1])))
                if score < threshold:
                    continue
                x, y = (column + v[2]) * stride, (row + v[3]) * stride
                w, h = np.exp(v[4]) * stride, np.exp(v[5]) * stride
                marks = [(offset + v[6 + i]) * stride for i, offset in enumerate([column, row] * 5)]
                found.append(np.array([score, x - w / 2, y - h / 2, w, h, *marks]))
    found.sort(key=lambda f: -f[0])
    kept: list[npt.NDArray[np.float64]] = []
    for one in found:
        if all(iou(one[1:5].tolist(), o[1:5].tolist()) <= 0.3 for o in kept):
            kept.append(one)
    return kept


@pytest.mark.parametrize("model", ["yunet-s", "yunet-n"])
def test_decoding_is_the_published_one(model: str) -> None:
    finder = FaceFinder(model, min_face=20, threshold=0.3, doubt=False)
    found, expected = finder.find(PORTRAIT), by_definition(PORTRAIT, 0.3, model)
    assert len(found) == len(expected) >= 1
    for one, other in zip(found, expected, strict=True):
        values = [one.score, *one.box, *np.ravel(one.landmarks)]
        assert np.allclose(values, other, rtol=0, atol=1e-6)


def test_every_isa_finds_the_same(isa: str, face: FoundFace) -> None:
    (found,) = FaceFinder(isa=isa, threads=2).find(PORTRAIT)
    assert np.abs(points(found) - points(face)).max() < 1e-3
    assert found.score == pytest.approx(face.score, abs=1e-5)


def test_weights_are_those_of_the_onnx_file() -> None:
    """The converted network against ONNX Runtime, where both the file and the package are."""
    folder, file = data("detectors") / "yunet", "yunet_s_640_640.onnx"
    cv2 = pytest.importorskip("cv2")
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
    bgr = np.ascontiguousarray(PORTRAIT[:, :, ::-1])
    height, width = bgr.shape[:2]
    peer = cv2.FaceDetectorYN.create(str(folder / file), "", (width, height), 0.5, 0.3)
    _, expected = peer.detect(bgr)
    found = FaceFinder(min_face=20, threshold=0.5, doubt=False).find(PORTRAIT)
    assert len(found) == len(expected)
    for one, row in zip(found, sorted(expected.tolist(), key=lambda r: -r[14]), strict=True):
        assert np.abs(np.array([*one.box, *np.ravel(one.landmarks)]) - row[:14]).max() <= 1e-3
        assert one.score == pytest.approx(row[14], abs=1e-5)


def data(name: str) -> Path:
    """A folder of the shared data; skips where there is none."""
    folder = Path(os.environ.get("MINIMESO_DATA", "/nowhere")) / name
    if not folder.is_dir():
        pytest.skip(f"MINIMESO_DATA does not name a folder with {name}/")
    return folder


def test_golden_outputs() -> None:
    """They are rounded to 0.01 pixels and 0.0001 of the score."""
    golden = json.loads((data("detectors") / "yunet" / "golden_yunet_s.json").read_text())
    finder = FaceFinder(min_face=20, threshold=golden["score_threshold"], doubt=False)
    for name, wanted in golden["pictures"].items():
        pixels = read_picture(data("scenes") / name).pixels
        found = finder.find(pixels)
        expected = sorted(wanted["faces"], key=lambda f: -f["score"])
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert one.score == pytest.approx(other["score"], abs=6e-5)
            assert np.abs(points(one)[:2].ravel() - other["xyxy"]).max() <= 0.006
            assert np.abs(points(one)[2:].ravel() - other["landmarks_xy"]).max() <= 0.006
        for head, mean in head_means(finder, pixels).items():
            assert mean == pytest.approx(wanted["head_means"][head], rel=1e-4, abs=1e-6)


def head_means(finder: FaceFinder, picture: npt.NDArray[np.uint8]) -> dict[str, float]:
    """Means of the twelve heads as the ONNX file has them."""
    height, width = picture.shape[:2]
    padded = np.zeros((1, 3, -(-height // 32) * 32, -(-width // 32) * 32), np.float32)
    padded[0, :, :height, :width] = picture.transpose(2, 0, 1) / np.float32(255)
    heads = finder.session.run(padded, outputs=finder.session.graph.outputs)
    means = {}
    for name, head in heads.items():
        stride = name.partition("_")[2]
        values = head[0].astype(np.float64)
        values[:2] = 1 / (1 + np.exp(-values[:2]))
        for kind, start, end in (("cls", 0, 1), ("obj", 1, 2), ("bbox", 2, 6), ("kps", 6, 16)):
            means[f"{kind}_{stride}"] = float(values[start:end].mean())
    return means


def test_scenes() -> None:
    """The targets: average precision 0.95, one box at most on pictures without a face."""
    pytest.importorskip("tqdm")
    from tools.bench import scenes

    figures = scenes.pictures(data("scenes"), "yunet-s", 0.6)
    assert figures["average precision"] >= 0.95
    assert figures["boxes on them"] <= 1


# --- scale, place, turn ------------------------------------------------------------------


@pytest.mark.parametrize(("scale", "off"), [(0.25, 0.15), (0.5, 0.08), (2.0, 0.08), (8.0, 0.08)])
def test_scaled_pictures(finder: FaceFinder, face: FoundFace, scale: float, off: float) -> None:
    """From 25 pixels, two of which are an eye, to 900, which the network alone would miss."""
    image = Image.fromarray(PORTRAIT)
    size = round(image.width * scale), round(image.height * scale)
    (found,) = finder.find(np.asarray(image.resize(size, Image.Resampling.LANCZOS)))
    assert np.abs(points(found) / scale - points(face)).max() < off * face.box[3]
    assert found.rotation == 0


@pytest.mark.parametrize(("quarters", "turned"), [(1, 90), (2, 180), (3, 270)])
def test_turned_pictures(finder: FaceFinder, face: FoundFace, quarters: int, turned: int) -> None:
    """np.rot90 turns counterclockwise, so the face must be turned back clockwise."""
    picture = np.ascontiguousarray(np.rot90(PORTRAIT, quarters))
    (found,) = finder.find(picture)
    assert found.rotation == found.turned == turned
    height, width = PORTRAIT.shape[:2]
    x, y = np.array(face.landmarks).T
    places = {1: [y, width - x], 2: [width - x, height - y], 3: [height - y, x]}
    expected = np.stack(places[quarters], 1)
    assert np.abs(np.array(found.landmarks) - expected).max() < 0.06 * face.box[3]
    assert abs(_pose(found).upright - _pose(face).upright) < 0.05
    near = finder.find_near(picture, found)
    assert near is not None and near.turned == turned
    assert np.abs(points(near) - points(found)).max() < 0.06 * face.box[3]


@pytest.mark.parametrize("side", [224, 640, 1600])
@pytest.mark.parametrize(("part", "quarters"), [(1.9, 0), (2.1, 0), (2.1, 1), (2.1, 2), (2.1, 3)])
def test_face_that_fills_the_picture(
    finder: FaceFinder, face: FoundFace, part: float, side: int, quarters: int
) -> None:
    """From the brows to the chin, at any size."""
    x, y, length, _ = square(face, {"side": part})
    tight = Image.fromarray(PORTRAIT).resize(
        (side, side), Image.Resampling.BICUBIC, (x, y, x + length, y + length)
    )
    picture = np.ascontiguousarray(np.rot90(np.asarray(tight), quarters))
    (found,) = finder.find(picture)
    assert found.rotation == 90 * quarters
    assert iou(found.box, (0, 0, side, side)) > 0.5
    expected = (np.array(face.landmarks) - (x, y)) * (side / length)
    for _ in range(quarters):
        expected = np.stack([expected[:, 1], side - expected[:, 0]], 1)
    assert np.abs(np.array(found.landmarks) - expected).max() < 0.1 * side


@pytest.mark.parametrize("size", ((64, 96), (61, 70)))
def test_what_is_not_scaled_is_searched_as_bytes(finder: FaceFinder, size: tuple[int, int]) -> None:
    """With the bits of the usual way, and without a copy where it fits."""
    picture = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    x = in_cells(picture)
    assert x.shape == (1, 64, 96, 3) and np.shares_memory(x, picture) == (size == (64, 96))
    edges = 0.0, 0.0, float(size[1]), float(size[0])
    canvas = Canvases().filled(picture, edges, size, 0, (CELL, 0), finder.session.isa)
    outputs = finder.session.graph.outputs
    wanted, found = (finder.session.run(given, outputs=outputs) for given in (canvas, x))
    assert all(np.array_equal(wanted[name], found[name]) for name in outputs)


def test_border_leaves_nothing_behind(finder: FaceFinder, face: FoundFace) -> None:
    """The black around a close-up is black for the next picture, too."""
    white = np.full((480, 480, 3), 255, np.uint8)
    fresh = FaceFinder(threads=1)
    for picture in (white, white[:400], white[:, :300]):
        assert finder.find(picture) == ()
    assert finder.find(PORTRAIT) == fresh.find(PORTRAIT)


def test_faces_turned_otherwise_must_be_clear() -> None:
    def at(x: float, score: float, rotation: int) -> FoundFace:
        return FoundFace(Box(x, 0, 10, 10), score, ((0, 0),) * 5, rotation)

    best, clear, doubtful = at(0, 0.93, 180), at(20, 0.9, 0), at(40, 0.84, 0)
    assert module._of_one_rotation([doubtful, best, clear]) == (best, clear)
    assert module._of_one_rotation([doubtful]) == (doubtful,)
    assert module._of_one_rotation([]) == ()


@pytest.mark.parametrize("move", [0.5, 1.0, 3.0])
def test_near_where_it_was(finder: FaceFinder, face: FoundFace, move: float) -> None:
    shift = 0.3 * move * face.box[2]
    box = (face.box[0] + shift, face.box[1], face.box[2], face.box[3])
    found = finder.find_near(PORTRAIT, FoundFace(box, face.score, face.landmarks), move)
    assert found is not None
    assert np.abs(points(found) - points(face)).max() < 0.08 * face.box[3]


def test_steadied_landmarks_move_less() -> None:
    """Over shifts and scales of one face, against its mean place."""
    finder, image = FaceFinder(threads=1), Image.fromarray(PORTRAIT)
    spread = {"once": [], "twice": []}  # type: dict[str, list[Any]]
    for scale in (0.8, 0.9, 1.0, 1.1, 1.2, 1.3):
        size = round(image.width * scale), round(image.height * scale)
        picture = np.asarray(image.resize(size, Image.Resampling.BILINEAR))
        (face,) = finder.find(picture)
        twice = finder.steadied(picture, face)
        assert (twice.box, twice.score, twice.rotation) == (face.box, face.score, face.rotation)
        spread["once"].append(np.array(face.landmarks) / scale)
        spread["twice"].append(np.array(twice.landmarks) / scale)
    once, twice = (np.std(places, 0).mean() for places in spread.values())
    assert twice < once


def test_near_where_there_is_none(finder: FaceFinder, face: FoundFace) -> None:
    corner = FoundFace((0.0, 400.0, 60.0, 60.0), 0.9, face.landmarks)
    assert finder.find_near(PORTRAIT, corner) is None
    outside = FoundFace((-900.0, 40.0, 60.0, 60.0), 0.9, face.landmarks)
    assert finder.find_near(PORTRAIT, outside) is None


NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    "box",
    [(NAN, 1, 5, 5), (1, 1, NAN, 5), (1, 1, 5, INF), (-INF, 1, 5, 5), (0, 0, 1.7e308, 9),
     (1, 2, 3), ("a", 1, 2, 3), (1, 2, (3, 4), 5), None, "abcd", (1, 2, 3, 10**400)],
    ids=str,
)  # fmt: skip
def test_near_no_box(finder: FaceFinder, face: FoundFace, box: Any) -> None:
    nowhere = replace(face, box=box)
    for ask in (finder.find_near, finder.steadied):
        with pytest.raises(InputError, match="box"):
            ask(PORTRAIT, nowhere)


def test_near_what_is_no_face(finder: FaceFinder, face: FoundFace) -> None:
    no_face: Any
    for no_face in (None, face.box, replace(face, rotation=45), replace(face, landmarks=())):
        for ask in (finder.find_near, finder.steadied):
            with pytest.raises(InputError, match="face"):
                ask(PORTRAIT, no_face)
    move: Any
    for move in (NAN, INF, "1", None, 1e308):
        with pytest.raises(InputError, match="move"):
            finder.find_near(PORTRAIT, face, move)
    array: Any = np.array(face.box)  # four numbers, whatever holds them
    assert finder.find_near(PORTRAIT, replace(face, box=array)) is not None


def test_min_face_picks_the_scale(finder: FaceFinder) -> None:
    small = np.asarray(Image.fromarray(PORTRAIT).resize((128, 128)))
    field = np.full((720, 1280, 3), 90, np.uint8)
    field[300:428, 600:728] = small
    assert len(FaceFinder(min_face=20).find(field)) == 1
    assert FaceFinder(min_face=400).find(field) == ()


def test_several_faces_best_first(finder: FaceFinder) -> None:
    pair = np.concatenate([PORTRAIT, PORTRAIT[:, ::-1]], axis=1)
    first, second = finder.find(pair)
    assert first.score >= second.score
    assert abs(first.box[0] - second.box[0]) > 200


def test_nothing_to_find(finder: FaceFinder) -> None:
    for picture in (photo(), np.zeros((300, 400, 3), np.uint8)):
        assert finder.find(picture) == ()


def test_same_from_several_threads(finder: FaceFinder) -> None:
    expected = finder.find(PORTRAIT)
    with ThreadPoolExecutor(4) as threads:
        assert set(threads.map(finder.find, [PORTRAIT] * 8)) == {expected}


# --- bad input ---------------------------------------------------------------------------


@given(st.integers(1, 90), st.integers(1, 90), st.integers(0, 255))
def test_any_size(height: int, width: int, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)
    for face in FaceFinder(threshold=0.05, threads=1).find(pixels):
        assert np.isfinite(points(face)).all() and 0 <= face.score <= 1


@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (5000, 1)])
def test_extreme_shapes(finder: FaceFinder, shape: tuple[int, int]) -> None:
    assert finder.find(np.full((*shape, 3), 128, np.uint8)) == ()


@pytest.mark.parametrize(
    "picture",
    [None, PORTRAIT[:, :, 0], PORTRAIT / 255, PORTRAIT[:0], PORTRAIT[:, :, :2], [[[1, 2, 3]]]],
)
def test_wrong_pictures(finder: FaceFinder, picture: Any) -> None:
    with pytest.raises(InputError, match="picture to search"):
        finder.find(picture)


@pytest.mark.parametrize(
    "arguments",
    [{"min_face": 0}, {"min_face": float("nan")}, {"threshold": 0}, {"threshold": 1.5}],
)
def test_wrong_arguments(arguments: dict[str, float]) -> None:
    with pytest.raises(InputError):
        FaceFinder(**arguments)  # type: ignore[arg-type]  # floats for every parameter


def test_models_that_find_no_faces() -> None:
    with pytest.raises(ModelError, match="no face finder"):
        FaceFinder("default")
    graph = Graph("other")
    graph.output(graph.node("relu", graph.input("image", (3, None, None))))
    with pytest.raises(ModelError, match="other: no face finder"):
        FaceFinder(Model("other", graph, {}))


def test_weights_that_overflow_do_not_say_that_there_is_nobody() -> None:
    model = find_model("yunet-s")
    weights = {name: array * np.float32(1e30) for name, array in model.weights.items()}
    huge = Model("huge", model.graph, weights)
    for find in (FaceFinder(huge, doubt=False).find, Detector(finder=FaceFinder(huge)).check):
        with np.errstate(all="ignore"), pytest.raises(ModelError, match="huge: heads that are no"):
            find(PORTRAIT)
