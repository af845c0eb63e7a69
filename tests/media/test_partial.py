"""Frames of which only parts are converted: the same pixels there as in the whole."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from support.clips import clip_file
from support.detectors import photo

from minimeso import Detector
from minimeso.detect.near import near_box
from minimeso.media import partial as partial_module
from minimeso.media import video
from minimeso.media.clip import parts_of
from minimeso.media.partial import LEAST_PIXELS, PartialFrame, around, whole_of
from minimeso.media.pictures import read_picture
from minimeso.media.to_rgb import Converter
from minimeso.media.video import open_clip
from minimeso.notes import Note

av = pytest.importorskip("av")

SIZES = ((768, 512), (722, 406))  # blocks of every scaler, and of none
PORTRAIT = Path(video.__file__).parents[1] / "samples/portrait.jpg"


@pytest.fixture
def converted() -> Converter:
    return Converter()


def frame_of(kind: str, size: tuple[int, int], **colours: int) -> Any:
    frame = av.VideoFrame.from_ndarray(photo(size[1], size[0]), "rgb24").reformat(format=kind)
    for name, value in colours.items():
        setattr(frame, name, value)
    return frame


def partial(frame: Any, converter: Converter) -> PartialFrame:
    assert converter.has_parts(frame)
    return PartialFrame(frame, converter, pytest.fail)


@pytest.mark.parametrize("colours", [{}, {"colorspace": 1}, {"colorspace": 5, "color_range": 2}])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", ["yuv420p", "yuvj420p", "yuv444p", "yuvj444p"])
def test_the_bits_of_the_whole(
    kind: str, size: tuple[int, int], colours: dict[str, int], converted: Converter
) -> None:
    frame, (width, height) = frame_of(kind, size, **colours), size
    wanted = converted.rgb(frame)
    rng = np.random.default_rng(1)
    for _ in range(12):
        found = partial(frame, converted)
        assert found.shape == wanted.shape
        for _ in range(2):
            side = rng.uniform(1, height / 3)
            x, y = rng.uniform(-side, width), rng.uniform(-side, height)
            pixels = found.around((x, y, side, side))
            box = np.s_[max(int(y), 0) : int(y + side) + 1, max(int(x), 0) : int(x + side) + 1]
            np.testing.assert_array_equal(pixels[box], wanted[box])
    np.testing.assert_array_equal(found.whole(), wanted)
    assert found.around((0, 0, 4, 4)) is found.whole()


def test_most_of_a_frame_is_all_of_it(converted: Converter) -> None:
    found = partial(frame_of("yuv420p", SIZES[0]), converted)
    assert found.around((10, 10, *SIZES[0])) is found.whole() is whole_of(found)
    pixels = photo(10, 10)
    assert whole_of(pixels) is pixels is around(pixels, (0, 0, 1, 1))


def test_luma_is_the_plane(converted: Converter) -> None:
    frame = frame_of("yuv420p", SIZES[1])
    luma = partial(frame, converted).luma
    np.testing.assert_array_equal(luma, frame.to_ndarray()[: SIZES[1][1]])


@pytest.mark.parametrize("kind", ["yuv422p", "yuv420p10le", "gray", "rgb24", "yuva420p"])
def test_other_formats_are_converted_as_a_whole(kind: str, converted: Converter) -> None:
    assert not converted.has_parts(frame_of(kind, SIZES[0]))


def test_hdr_and_pixels_that_are_not_square_too(converted: Converter) -> None:
    assert not converted.has_parts(frame_of("yuv420p", SIZES[0], color_trc=16))
    assert not converted.has_parts(frame_of("yuv420p", SIZES[0], color_primaries=9))
    assert not converted.has_parts(frame_of("yuv420p", SIZES[0], colorspace=9))
    assert not Converter(1.5, SIZES[0]).has_parts(frame_of("yuv420p", SIZES[0]))
    assert not converted.has_parts(frame_of("yuv444p", (721, 405)))


# --- clips -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A face that moves over frames large enough."""
    face = np.asarray(Image.open(PORTRAIT).convert("RGB").resize((300, 300)))
    frames: list[npt.NDArray[np.uint8]] = []
    for number in range(8):
        frame = np.full((512, 768, 3), 90, np.uint8)
        frame[100:400, 150 + 9 * number : 450 + 9 * number] = face
        frames.append(frame)
    folder = tmp_path_factory.mktemp("partial")
    return clip_file(folder, frames=frames, size=(768, 512), options={"qscale": "2"})


def judged(path: Path) -> dict[str, Any]:
    with Detector("mesoinception4-relu", threads=1) as detector:
        found: dict[str, Any] = detector.check(path, every_frame=True).to_json()
    return found


def test_a_verdict_is_the_same(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts, part = [], Converter.part
    monkeypatch.setattr(Converter, "part", lambda *a: parts.append(a) or part(*a))
    found = judged(path)
    assert len(found["tracks"]) == 1 and parts
    monkeypatch.setattr(partial_module, "LEAST_PIXELS", 1 << 30)
    assert judged(path) == found


def test_whoever_is_told_of_a_frame_gets_all_of_it(path: Path) -> None:
    with open_clip(path, every_frame=True) as clip:
        wanted = [frame.pixels for frame in clip]
    seen: list[npt.NDArray[np.uint8]] = []
    Detector("mesoinception4-relu", threads=1).check(
        path, every_frame=True, on_frame=lambda frame, _: seen.append(frame.pixels)
    )
    np.testing.assert_array_equal(seen, wanted)


def fails(*_: object) -> None:
    raise MemoryError


def test_a_part_that_fails_is_the_whole(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = judged(path)
    monkeypatch.setattr(Converter, "part", fails)
    assert judged(path) == wanted


def test_frames_that_fail_later_are_counted(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rgb, calls = Converter.rgb, iter(range(100))

    def once(self: Converter, frame: Any) -> Any:
        return rgb(self, frame) if next(calls) == 0 else fails()

    monkeypatch.setattr(Converter, "rgb", once)
    monkeypatch.setattr(Converter, "part", fails)
    verdict = Detector("mesoinception4-relu", threads=1).check(path, every_frame=True)
    assert verdict.status == "partial" and verdict.frames_scored == 1
    assert verdict.notes[0] == Note("damaged_frames", {"frames": 7})


def test_the_first_frame_and_small_ones_are_whole(path: Path, tmp_path: Path) -> None:
    with open_clip(path, every_frame=True) as clip:
        kinds = [type(parts_of(convert)) for _, convert in clip.unconverted()]
    assert kinds == [np.ndarray, *[PartialFrame] * 7]
    assert LEAST_PIXELS > 96 * 80
    with open_clip(clip_file(tmp_path, size=(96, 80)), every_frame=True) as clip:
        assert {type(parts_of(convert)) for _, convert in clip.unconverted()} == {np.ndarray}


def test_what_is_looked_at_near_a_face() -> None:
    """Enough for ``find_near``: what lies further away does not count."""
    with Detector("mesoinception4-relu", threads=1) as detector:
        finder = detector.finder
        assert finder is not None
        portrait = read_picture(PORTRAIT).pixels
        picture = np.pad(portrait, ((300, 300), (300, 300), (0, 0)))
        (face,) = finder.find(picture)
        x, y, width, height = near_box(face.box, 0.5)
        other = np.full_like(picture, 255)
        rows, columns = (
            slice(int(start), int(start + size) + 1) for start, size in ((y, height), (x, width))
        )
        other[rows, columns] = picture[rows, columns]
        assert finder.find_near(picture, face, 0.5) == finder.find_near(other, face, 0.5)
        other[rows, columns] = 255
        assert finder.find_near(picture, face, 0.5) != finder.find_near(other, face, 0.5)


@pytest.mark.parametrize("kind", ["yuv420p", "yuv444p"])
def test_two_threads_of_one_clip(kind: str, converted: Converter) -> None:
    """Who is told of a frame asks for its pixels while faces are looked for in the next one."""
    noise = np.random.default_rng(0).integers(16, 236, (2, 512, 512, 3), dtype=np.uint8)
    frames = [av.VideoFrame.from_ndarray(n, "rgb24").reformat(format=kind) for n in noise]
    wanted = [Converter().rgb(frame) for frame in frames]
    wrong: list[int] = []

    def convert(number: int) -> None:
        for _ in range(100):
            found = partial(frames[number], converted).whole()
            wrong.extend([number] * (not np.array_equal(found, wanted[number])))

    threads = [threading.Thread(target=convert, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
