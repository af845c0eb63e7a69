"""The detector: framing, words and numbers of a verdict, every bad file answered, never a crash."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image
from support.detectors import (
    constant_detector,
    photo,
    png_header,
    random_detector,
    saved,
    small_pair,
)

import minimeso
from minimeso import (
    Detector,
    Face,
    FaceFinder,
    FoundFace,
    Graph,
    InputError,
    Model,
    ModelError,
    PictureError,
    Track,
    Verdict,
)
from minimeso.detect.box import Box
from minimeso.detect.framing import resized_crop, square, whole
from minimeso.detect.moments import Moments
from minimeso.detect.prior import shift, shifted
from minimeso.detect.verdict import Moment, SeenFrame, judge
from minimeso.media.pictures import read_picture

PHOTO = photo()
PORTRAIT = Path(minimeso.__file__).parent / "samples" / "portrait.jpg"


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector(random_detector(), crops=True, threads=1)


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
    track = Track(1, 0.9, (0.7, 0.95), "fake", (Moment(0.5, (1, 2, 3, 4), 0.9),))
    face = Face((1, 2, 3, 4), 0.9, "fake", (0.7, 0.95))
    verdict = Verdict(
        "a.jpg", "ok", "fake", 0.9, (face,), "default", (), (track,), 7, 1, {"dark": 2}, (0.6, 1.0)
    )
    assert json.dumps(verdict.to_json()) == (
        '{"path": "a.jpg", "status": "ok", "verdict": "fake", "p_fake": 0.9, '
        '"interval": [0.6, 1.0], "prior": 0.5, '
        '"faces": [{"box": [1, 2, 3, 4], "p_fake": 0.9, "interval": [0.7, 0.95], '
        '"verdict": "fake"}], '
        '"model": "default", "note": null, "doubts": [], "tracks": [{"id": 1, "p_fake": 0.9, '
        '"interval": [0.7, 0.95], "verdict": "fake", "doubts": [], "segments": [], '
        '"frames": [{"t": 0.5, "box": [1, 2, 3, 4], "p_fake": 0.9, "thorough": false}]}], '
        '"frames_read": 7, "frames_scored": 1, "left_out": {"dark": 2}}'
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
    crop = resized_crop(PHOTO, whole(PHOTO), (24, 32), "bilinear")
    assert crop.shape == (1, 3, 24, 32) and crop.dtype == np.float32
    assert np.abs(np.rint(255 * crop[0]) - by_pillow(PHOTO, (24, 32))).max() <= 1
    crop = resized_crop(PHOTO, whole(PHOTO), (24, 32), "nearest")
    expected = by_pillow(PHOTO, (24, 32), "nearest") / np.float32(255)
    assert np.array_equal(crop[0], expected) and crop.dtype == np.float32


@pytest.mark.parametrize("resample", ["bilinear", "nearest", "bicubic_2x"])
def test_a_box_sees_nothing_around_it(resample: str) -> None:
    for box in ((10, 20, 30, 50), (10.25, 20.5, 29.5, 49.0)):
        other = 255 - PHOTO
        other[20:70, 10:40] = PHOTO[20:70, 10:40]
        crop = resized_crop(PHOTO, box, (64, 64), resample)
        assert np.array_equal(resized_crop(other, box, (64, 64), resample), crop)
    expected = by_pillow(PHOTO[20:70, 10:40], (64, 64))
    crop = resized_crop(PHOTO, (10, 20, 30, 50), (64, 64), "bilinear")
    assert np.abs(np.rint(255 * crop[0]) - expected).max() <= 1


@given(
    st.tuples(*[st.integers(-480, 720).map(lambda n: n / 8)] * 4),
    st.sampled_from([0, 90, 180, 270]),
)
@example((89.3, 0.0, 0.2, 0.1), 0)
def test_any_box_that_touches_can_be_cut(
    box: tuple[float, float, float, float], turned: int
) -> None:
    """Outside, the edge repeats; turned, the crop of a square turns with it."""
    x, y, side = box[0], box[1], 0.5 + abs(box[2])
    touches = x < 90 and y < 120 and x + side > 0 and y + side > 0
    if not touches:
        with pytest.raises(InputError, match="in a picture 90 x 120"):
            resized_crop(PHOTO, (x, y, side, side), (8, 8), "bilinear")
        return
    crop = resized_crop(PHOTO, (x, y, side, side), (8, 8), "bilinear", rotation=turned)
    assert crop.max() <= 1.000001 and crop.min() >= 0
    padded = np.pad(PHOTO, ((64, 160), (64, 160), (0, 0)), "edge")
    upright = resized_crop(padded, (x + 64, y + 64, side, side), (8, 8), "bilinear")
    expected = np.rot90(upright[0], -(turned // 90), (1, 2))
    assert np.abs(crop[0] - expected).max() < 1e-4  # coordinates are float32


@pytest.mark.parametrize("resample", ["bilinear", "nearest"])
@pytest.mark.parametrize(
    "box",
    [
        (200, 200, 10, 10), (-20, 5, 10, 10), (5, 120, 10, 10), (0, 0, 0, 10), (0, 0, 10, -5),
        (math.nan, 0, 10, 10), (0, 0, math.nan, 10), (0, 0, math.inf, 10),
        (-math.inf, 0, math.inf, 10), (0, 0, 10**400, 10), (-1e9, -1e9, 2e9, 2e9),
    ],
)  # fmt: skip
def test_a_box_that_cannot_be_is_refused(box: Any, resample: str) -> None:
    with pytest.raises(InputError, match=r"no box|far larger"):
        resized_crop(PHOTO, box, (8, 8), resample)


def test_the_square_follows_the_landmarks() -> None:
    """Centre between eyes and mouth; side by the larger distance; turned with the face."""
    marks = ((30.0, 40.0), (70.0, 40.0), (50.0, 60.0), (40.0, 90.0), (60.0, 90.0))
    face = FoundFace((20, 10, 60, 90), 0.9, marks)
    assert square(face, {"side": 2.0}) == (0.0, 15.0, 100.0, 100.0)
    profile = FoundFace((20, 10, 60, 90), 0.9, ((30.0, 40.0), (40.0, 40.0), *marks[2:]))
    assert square(profile, {"side": 2.0})[2] == pytest.approx(2 * math.hypot(15, 50))
    turned = FoundFace((0, 0, 9, 9), 0.9, tuple((y, 100 - x) for x, y in marks), 90)
    x, y, side, _ = square(turned, {"side": 2.0})
    assert (x, y, side) == (15.0, 0.0, 100.0)


# --- numbers -----------------------------------------------------------------------------


def test_p_fake_is_that_of_the_session(detector: Detector) -> None:
    verdict = detector.check(PHOTO)
    crop = resized_crop(PHOTO, whole(PHOTO), (256, 256), "bilinear")
    expected = float(detector.session.run(crop)[0])
    assert 0.01 < expected < 0.99
    assert verdict.p_fake == pytest.approx(expected, abs=1e-9)
    (track,) = verdict.tracks
    assert (verdict.status, verdict.verdict, verdict.model) == ("ok", track.verdict, "random")
    assert verdict.faces == (Face((0, 0, 90, 120), expected, track.verdict, track.interval),)
    assert list(track.frames) == [Moment(0.0, (0, 0, 90, 120), expected)]
    assert track.interval[0] < expected < track.interval[1]
    assert (verdict.frames_read, verdict.frames_scored, verdict.left_out) == (1, 1, {})


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
    nearest = Detector(random_detector(framing=framing), crops=True, threads=1)
    crop = by_pillow(PHOTO, (256, 256), "nearest").transpose(1, 2, 0)
    assert nearest.check(PHOTO).p_fake == float(nearest.session.run(crop[None])[0])


@pytest.mark.parametrize("resample", ["bilinear", "bicubic_2x"])
def test_faces_are_rounded_to_bytes_where_the_model_says_so(resample: str) -> None:
    framing = {"resample": resample, "side": 2.3, "dtype": "uint8"}
    rounding = Detector(random_detector(framing=framing), crops=True, threads=1)
    exact = resized_crop(PHOTO, whole(PHOTO), (256, 256), resample)[0]
    crop = np.rint(255 * exact).astype(np.uint8).transpose(1, 2, 0)
    assert rounding.check(PHOTO).p_fake == float(rounding.session.run(crop[None])[0])


def test_a_picture_of_the_right_size_is_seen_as_it_is(detector: Detector) -> None:
    picture = photo(256, 256)
    assert detector.check(picture).p_fake == float(detector.session.run(picture[None])[0])


@pytest.mark.parametrize(("logit", "word"), [(-3.0, "real"), (0.0, "uncertain"), (3.0, "fake")])
def test_words_follow_the_thresholds(logit: float, word: str) -> None:
    verdict = Detector(constant_detector(logit), crops=True).check(PHOTO)
    assert verdict.verdict == word
    assert verdict.p_fake == pytest.approx(1 / (1 + math.exp(-logit)), abs=1e-6)


def test_crops_of_any_shape_but_too_small_ones() -> None:
    detector = Detector(constant_detector(1.0), crops=True)
    assert detector.check(PHOTO[:60, :70]).faces[0].box == (0, 0, 70, 60)
    verdict = detector.check(PHOTO[:1, :1])
    assert (verdict.status, verdict.left_out) == ("no_face", {"too_small": 1})


def test_every_isa_and_thread_count(isa: str) -> None:
    model = random_detector()
    first, second = (Detector(model, crops=True, threads=n, isa=isa).check(PHOTO) for n in (1, 3))
    assert first == second


def test_from_several_threads(detector: Detector) -> None:
    expected = detector.check(PHOTO)
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(detector.check, [PHOTO] * 16)) == [expected] * 16


# --- finding -----------------------------------------------------------------------------


def test_the_face_is_found_and_cut_as_the_model_wants_it() -> None:
    detector = Detector(random_detector(framing={"resample": "bilinear", "side": 2.1}), threads=1)
    verdict = detector.check(PORTRAIT)
    pixels = read_picture(PORTRAIT).pixels
    finder = FaceFinder(threads=1)
    (found,) = finder.find(pixels)
    found = finder.steadied(pixels, found)
    crop = resized_crop(pixels, square(found, {"side": 2.1}), (256, 256), "bilinear")
    (face,) = verdict.faces
    assert face.p_fake == float(detector.session.run(crop)[0])
    assert np.abs(np.array(face.box) - found.box).max() <= 1
    assert (verdict.status, verdict.frames_read, verdict.frames_scored) == ("ok", 1, 1)


def test_a_face_that_lies_on_its_side_is_judged_upright() -> None:
    detector = Detector(random_detector(), threads=1)
    upright = detector.check(PORTRAIT)
    turned = detector.check(np.rot90(read_picture(PORTRAIT).pixels))
    assert upright.p_fake is not None and turned.p_fake is not None
    assert turned.p_fake == pytest.approx(upright.p_fake, abs=0.1)


def test_all_faces_speak_for_the_picture() -> None:
    """With the prior of one of two each; and what is drawn is what is said."""
    pixels = read_picture(PORTRAIT).pixels
    both = np.concatenate([pixels, pixels[:, ::-1] // 2 + 60], axis=1)
    detector = Detector(random_detector(), threads=1)
    seen: list[SeenFrame] = []
    verdict = detector.check(both, on_frame=lambda frame, done: seen.append(frame))
    assert len(verdict.faces) == len(verdict.tracks) == 2
    first, second = (track.p_fake for track in verdict.tracks)
    assert verdict.p_fake == pytest.approx(1 - (1 - first) * (1 - second)) and first >= second
    assert [face.p_fake for face in verdict.faces] == [first, second]
    assert {face.p_fake for face in seen[0].faces} == {first, second}
    alone = detector.check(pixels).p_fake
    assert alone is not None
    with_prior = shifted(alone, shift(0.5, 2))
    assert min(abs(p - with_prior) for p in (first, second)) < 0.02


def test_no_face_is_a_status() -> None:
    verdict = Detector(random_detector(), threads=1).check(PHOTO)
    assert (verdict.status, verdict.verdict, verdict.p_fake) == ("no_face", None, None)
    assert verdict.note == "no face found" and verdict.tracks == ()


def test_faces_that_cannot_be_judged_are_counted_by_reason() -> None:
    small = Image.fromarray(read_picture(PORTRAIT).pixels).resize((200, 200))
    verdict = Detector(random_detector(), threads=1).check(small)
    assert (verdict.status, verdict.left_out) == ("no_face", {"too_small": 1})
    assert verdict.note == "no face that can be judged; left out: 1 too small (under 50 pixels)"
    dark = read_picture(PORTRAIT).pixels // 12
    verdict = Detector(random_detector(), threads=1).check(dark)
    assert verdict.status == "no_face"


def test_settings_that_contradict_each_other(detector: Detector) -> None:
    for arguments in ({"crops": True}, {"finder": FaceFinder(threads=1)}):
        with pytest.raises(InputError, match="min_face"):
            Detector(random_detector(), min_face=30, **arguments)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="fps"):
        detector.check(PHOTO, fps=0)
    with pytest.raises(InputError, match="choose one"):
        detector.check(PHOTO, fps=2, every_frame=True)


@pytest.mark.parametrize("rate", [0, -1, math.nan, "25", math.inf, 10**400, Fraction(1, 10**400)])
def test_streams_that_cannot_be(detector: Detector, rate: Any) -> None:
    with pytest.raises(InputError, match="rate"):
        next(detector.stream([PHOTO], rate=rate))
    with pytest.raises(InputError, match="one frame"):
        next(detector.stream(PHOTO))


@pytest.mark.parametrize("mode", ["RGB", "P", "CMYK", "YCbCr", "LA", "I;16"])
def test_a_stream_of_pillow_images(mode: str) -> None:
    """Whatever their colours are, as pictures: those of a GIF are places in a palette."""
    detector = Detector(random_detector(), crops=True, threads=1)
    image = Image.fromarray(PHOTO)
    if mode == "I;16":
        image = Image.fromarray(PHOTO[:, :, 1].astype(np.uint16) * 257)
    elif image.mode != mode:
        image = image.convert(mode)
    (face,) = detector.stream(iter([image]))
    assert face.p_fake == detector.check(image).p_fake


def test_a_file_is_no_stream(detector: Detector) -> None:
    for file in (str(PORTRAIT), PORTRAIT, PORTRAIT.read_bytes()[:99]):
        with pytest.raises(InputError, match="a file is what check judges"):
            next(detector.stream(file))  # type: ignore[arg-type] # this is what is tested


@pytest.mark.parametrize("rate", [Fraction(30000, 1001), np.float32(29.97), 30])
def test_times_of_a_stream_are_floats(detector: Detector, rate: Any) -> None:
    times = [face.t for face in detector.stream([PHOTO] * 3, rate)]
    assert all(type(t) is float for t in times)
    assert times == pytest.approx([0, 1 / rate, 2 / rate])


def test_a_stream_of_many_frames_a_second_calls_somebody_fake() -> None:
    """What counts live reaches back over the seconds that it takes."""
    detector = Detector(constant_detector(4.0), crops=True, threads=1)
    words = [face.verdict for face in detector.stream([PHOTO] * 700, 400)]
    assert words == ["uncertain"] * 600 + ["fake"] * 100


@pytest.mark.parametrize("thorough", [False, True])
def test_a_stream_of_days_keeps_few_frames(thorough: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """And says what it would say if it kept all of them."""
    model = small_pair() if thorough else random_detector()
    detector = Detector(model, crops=True, threads=1)
    rng = np.random.default_rng(3)
    frames = [rng.integers(0, 256, (64, 64, 3), np.uint8) for _ in range(40)]
    places = rng.integers(0, len(frames), 400)
    kept = []
    monkeypatch.setattr("minimeso.detect.analyzer._LIVE_MOMENTS", 50)
    monkeypatch.setattr("minimeso.detect.moments._FORGOTTEN_AT_ONCE", 20)
    forget = Moments.forget

    def watched(self: Moments, before: int) -> None:
        forget(self, before)
        kept.append(len(self.times()))
        assert len(self) == len(kept)

    monkeypatch.setattr(Moments, "forget", watched)
    found = list(detector.stream((frames[place] for place in places), 40))
    assert max(kept) < 150 < len(found)
    monkeypatch.setattr(Moments, "forget", lambda self, before: None)
    assert found == list(detector.stream((frames[place] for place in places), 40))


def test_frames_that_were_forgotten_are_not_others() -> None:
    moments = Moments()
    for number in range(700):
        moments.append(number / 10, Box(number, 0, 9, 9), 0.5)
    moments.forget(300)
    assert len(moments) == 700 and moments[300].box.x == 300 and moments[-1].box.x == 699
    with pytest.raises(IndexError, match="forgotten"):
        moments[299]


def test_uncertain_says_why() -> None:
    model = constant_detector(0.0, thresholds={"real": 0.2, "fake": 0.8})
    verdict = Detector(model, crops=True).check(PHOTO[:90])
    codes = [doubt["code"] for doubt in verdict.to_json()["doubts"]]
    assert codes == ["between_thresholds", "few_frames", "small_face"]
    assert verdict.note == (
        "uncertain: p_fake is too high for no trace (up to 20 %) and too low for fake (from "
        "80 %), there was one look only, the face is small (90 pixels); "
        "it may help: a clip of some seconds, or more pictures or a larger picture of the face"
    )


def test_on_frame_is_told_of_a_picture(detector: Detector) -> None:
    seen: list[tuple[SeenFrame, float | None]] = []
    detector.check(PHOTO, on_frame=lambda frame, done: seen.append((frame, done)))
    ((frame, done),) = seen
    assert done == 1.0 and np.array_equal(frame.pixels, PHOTO)
    assert frame.faces[0].p_fake == detector.check(PHOTO).p_fake


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
        str(folder / "text.jpg"): ("unreadable", "neither a picture"),
        str(folder / "empty.jpg"): ("unreadable", "empty"),
        str(folder / "cut.jpg"): ("partial", "cut short"),
        str(folder / "header.jpg"): ("unreadable", "header"),
        str(folder / "bomb.png"): ("unreadable", "bomb"),
        str(folder / "missing.jpg"): ("unreadable", "No such file"),
        str(folder): ("unreadable", "folder"),
        os.devnull: ("unreadable", "device"),
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
            assert verdict.p_fake is not None


def test_animation_without_the_extra_is_its_first_frame(
    detector: Detector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = [Image.fromarray(PHOTO), Image.fromarray(PHOTO[::-1])]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:])
    monkeypatch.setattr("minimeso.media.kinds.has_pyav", lambda: False)
    verdict = detector.check(tmp_path / "a.png")
    assert verdict.note is not None and verdict.note.startswith("only its first frame")
    assert verdict.p_fake == detector.check(PHOTO).p_fake


@pytest.mark.parametrize("source", [None, 3, PHOTO[None], PHOTO.astype(np.int32)])
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
    assert Detector(path, crops=True).check(PHOTO).model == "constant"
    assert Detector(Path(path), crops=True).check(PHOTO).verdict == "fake"


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
        Detector(model, crops=True).check(PHOTO)


@pytest.mark.parametrize("logit", [3.7, -2.0, 1.1])
def test_a_network_without_a_sigmoid_gives_no_probability(logit: float) -> None:
    graph = Graph("logits")
    x = graph.node("flatten", graph.input("image", (3, 6, 8)))
    graph.output(graph.node("linear", x, name="fc", out_features=1))
    weights = {"fc.weight": np.zeros((1, 144), np.float32), "fc.bias": np.float32([logit])}
    thresholds, framing = {"real": 0.1, "fake": 0.9}, {"resample": "nearest", "side": 2.3}
    model = Model("logits", graph, weights, framing=framing, thresholds=thresholds)
    with Detector(model, crops=True) as detector:
        with pytest.raises(ModelError, match=f"logits: p_fake is {logit:g}, no prob.* a sigmoid"):
            detector.check(PHOTO)
        with pytest.raises(ModelError, match="no probability"):
            next(detector.stream([PHOTO]))


def test_a_sum_of_probabilities_may_be_rounded() -> None:
    graph = Graph("sum")
    x = graph.node("flatten", graph.input("image", (3, 6, 8)))
    graph.output(graph.node("linear", x, name="fc", out_features=1))
    weights = {"fc.weight": np.zeros((1, 144), np.float32), "fc.bias": np.float32([1.000001])}
    thresholds, framing = {"real": 0.1, "fake": 0.9}, {"resample": "nearest", "side": 2.3}
    model = Model("sum", graph, weights, framing=framing, thresholds=thresholds)
    assert Detector(model, crops=True).check(PHOTO).p_fake == 1.0


def test_public_names() -> None:
    assert minimeso.Detector is Detector
    for name in ("Detector", "Face", "FaceFinder", "FoundFace", "Track", "Verdict"):
        assert name in minimeso.__all__ and getattr(minimeso, name).__doc__
