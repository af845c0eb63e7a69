"""Drawings of faces are pictures of the same size; what tells strangers tells them; the bundled
pair has it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.detectors import photo

import minimeso
from minimeso import Detector, FaceFinder, Session
from minimeso.detect.framing import square
from minimeso.detect.pair import bundled_pairs, load_pair
from minimeso.media.pictures import read_picture
from minimeso.media.pixels import Pixels
from tools.bench.domain import Seen, table
from tools.train import domain
from tools.train.domain_drawings import HELD_OUT, KINDS
from tools.train.faces import FRAMING, Faces

PORTRAIT = Path(minimeso.__file__).parent / "samples" / "portrait.jpg"


@pytest.fixture(scope="module")
def pixels() -> Pixels:
    return read_picture(PORTRAIT).pixels


@pytest.mark.parametrize("name", [*KINDS, *HELD_OUT])
def test_a_drawing_is_another_picture_of_the_same_size(name: str) -> None:
    draw = {**KINDS, **HELD_OUT}[name]
    for height, width, side in ((120, 90, 70.0), (41, 37, 30.0), (200, 180, 170.0)):
        picture = photo(height, width)
        drawn = [draw(picture, side, np.random.default_rng(seed)) for seed in (1, 1, 2)]
        assert all(one.shape == picture.shape and one.dtype == np.uint8 for one in drawn)
        assert np.array_equal(drawn[0], drawn[1]) and not np.array_equal(drawn[0], picture)


def test_no_kind_is_both_learned_from_and_new() -> None:
    assert not set(KINDS) & set(HELD_OUT)


def test_a_face_stays_where_it_is() -> None:
    """Whatever becomes of the picture, its square holds the same."""
    face = domain.Face(photo(200, 160), (40.0, 50.0, 80.0, 80.0))
    for seed in range(8):
        random = np.random.default_rng(seed)
        ways = (domain.worse, domain.graded, domain.smoothed)
        afters = [domain.drawing(face, lambda p, s, r: p, random)]
        for after in [*afters, *(change(face, random) for change in ways)]:
            x, y, width, height = np.divide(after.square, after.picture.shape[1] / 160)
            assert (x, y, width, height) == pytest.approx((40, 50, 80, 80), abs=1.5)
            assert after.picture.dtype == np.uint8


def made_up(count: int = 240) -> tuple[Faces, dict[str, domain.Seen]]:
    """Values of which the third says what is drawn."""
    random = np.random.default_rng(4)
    names = [f"{number % 60}" for number in range(count)]
    val = Faces(
        np.zeros((count, 1, 1, 3), np.uint8), np.zeros((count, 4)),
        np.arange(count).astype(np.uint8) % 2, np.zeros(count, np.int64),
        tuple(names), tuple(names), ("one", "two") * (count // 2), ("",) * count,
    )  # fmt: skip
    seen = {}
    for name in (*domain.PHOTOGRAPHS, *KINDS, *HELD_OUT):
        values = random.normal(0, 1, (count, 6))
        values[:, 2] += 6 * (name in KINDS or name in HELD_OUT)
        seen[name] = domain.Seen(values, range(count))
    return val, seen


def test_strangers_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    val, seen = made_up()
    model = domain.trained(seen, val, "layer")
    assert model.calibration is not None and model.calibration["layer"] == "layer"
    session, limit = Session(model, threads=1), model.calibration["limit"]

    def share(name: str) -> float:
        values = seen[name].values[~domain.is_fitted_on(val)].astype(np.float32)
        return float((session.run(values)[:, 0] > limit).mean())

    assert share(domain.PLAIN) <= 0.03 and min(share(name) for name in HELD_OUT) > 0.95
    assert "dithered (new)" in capsys.readouterr().out


def test_nobody_is_on_both_sides() -> None:
    val, _ = made_up()
    fitted_on = domain.is_fitted_on(val)
    people = [{val.identity[row] for row in np.flatnonzero(fitted_on == side)} for side in (0, 1)]
    assert not people[0] & people[1] and 0.4 < fitted_on.mean() < 0.8


def test_the_limit_is_the_highest_that_anybody_needs() -> None:
    source = np.array(["a"] * 100 + ["b"] * 100)
    plain = np.concatenate([np.linspace(0, 1, 100), np.linspace(0, 2, 100)])
    assert domain.limit_of(plain, source, []) == pytest.approx(2 * 0.99, abs=1e-3)
    assert domain.limit_of(plain, source, [np.linspace(0, 9, 50)]) == pytest.approx(8.82, abs=1e-3)


def test_what_the_layer_computes() -> None:
    pair = load_pair(bundled_pairs()["default"])
    session = Session(pair.thorough, threads=1)
    faces = [domain.Face(photo(150, 150), (x, 10.0, 100.0, 100.0)) for x in (5.0, 20.0, 35.0)]
    values = domain.values_of(session, domain.LAYER, faces)
    assert values.shape == (3, 1280) and not np.array_equal(values[0], values[1])


def test_the_bundled_pair_knows_strangers(pixels: Pixels) -> None:
    pair = load_pair(bundled_pairs()["default"])
    assert pair.domain is not None and pair.framing == FRAMING
    with Detector(pair, threads=1) as detector, FaceFinder(threads=1) as finder:
        side = square(finder.find(pixels)[0], FRAMING)[2]
        for draw in (None, KINDS["cartoon"], HELD_OUT["watercolour"]):
            picture = pixels if draw is None else draw(pixels, side, np.random.default_rng(1))
            verdict = detector.check(picture)
            codes = [doubt["code"] for doubt in verdict.to_json()["doubts"]]
            assert ("out_of_domain" in codes) == (draw is not None)
            assert draw is None or verdict.verdict == "uncertain"


def test_a_table_says_what_came_of_it() -> None:
    seen = [
        Seen("oil", True, "real", True),
        Seen("oil", True, "fake"),
        Seen("oil", False),
        Seen("relief", True, "real"),
    ]
    rows = {line[:26].strip(): line[26:].split() for line in table(seen)}
    assert rows["oil"][::2] == ["3", "%", "%", "%", "%", "%", "%"]
    assert rows["oil"][1::2] == ["66.7", "50.0", "50.0", "50.0", "0.0", "50.0"]
    assert rows["relief (new)"][1] == "100.0" and "ALL new kinds" in rows
