"""What programs give to a detector and must not: answered with its own errors, or with a status."""

from __future__ import annotations

import copy
import io
import math
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.clips import clip_bytes, clip_file
from support.detectors import photo, random_detector, small_domain, small_pair

import minimeso
from minimeso import Detector, FaceFinder, FoundFace, InputError, PictureError, SeenFrame, Session
from minimeso.detect import detector as module
from minimeso.detect import late_session
from minimeso.detect.covered import Covers
from minimeso.detect.domain import Domain
from minimeso.media.key_frames import Span
from minimeso.media.pictures import read_picture
from minimeso.media.video import open_clip, raw_frames

WHOLE = Span(0, 0, None)
PORTRAIT = Path(minimeso.__file__).parent / "samples" / "portrait.jpg"


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector(random_detector(), crops=True, threads=1)


class Pipe(io.BytesIO):
    def seekable(self) -> bool:
        return False


@pytest.mark.parametrize("fps", ["4", [4], True, math.nan, 0, 10**400])
def test_frames_a_second_that_are_none(detector: Detector, fps: Any) -> None:
    with pytest.raises(InputError, match="fps"):
        detector.check(photo(), fps=fps)


@pytest.mark.parametrize("value", ["40", math.nan, True, [1], -1])
def test_settings_that_are_no_numbers(value: Any) -> None:
    with pytest.raises(InputError, match="max_pixels"):
        Detector(random_detector(), crops=True, max_pixels=value)
    with pytest.raises(InputError, match="min_face"):
        FaceFinder(min_face=value)
    with pytest.raises(InputError, match="threshold"):
        FaceFinder(threshold=value)


@pytest.mark.parametrize("no", ["no", "0", "False", b""])
def test_text_is_neither_yes_nor_no(detector: Detector, no: Any) -> None:
    """As settings of a file or of the environment are: with them the fast network judged alone."""
    with pytest.raises(InputError, match=r"every_frame .*: give True or False"):
        detector.check(photo(), every_frame=no)
    for name in ("fast", "crops"):
        with pytest.raises(InputError, match=f"{name} .*: give True or False"):
            Detector(random_detector(), **{name: no})


@pytest.mark.parametrize("most", [math.inf, 1e6, np.int64(10**6)])
def test_most_pixels_may_be_any_number(most: Any) -> None:
    assert Detector(random_detector(), crops=True, max_pixels=most).check(photo()).status == "ok"


@pytest.mark.parametrize("data", [b"", b"no clip at all " * 99])
def test_a_piece_of_what_is_no_clip(detector: Detector, data: bytes) -> None:
    for source in (io.BytesIO(data), Pipe(data)):
        with pytest.raises(PictureError, match="-: n"):
            detector.check_piece(source, WHOLE)


def test_a_piece_of_a_pipe(detector: Detector) -> None:
    pytest.importorskip("av")
    assert detector.check_piece(Pipe(clip_bytes()), WHOLE).findings.frames_read == 10
    array: Any = photo()
    with pytest.raises(InputError, match="no clip"):
        detector.check_piece(array, WHOLE)


@pytest.mark.parametrize("frames", [None, 3, Image.new("RGB", (9, 9))])
def test_what_is_no_series_of_frames(detector: Detector, frames: Any) -> None:
    with pytest.raises(InputError, match=r"is no series of frames: give several, \[x\]"):
        next(detector.stream(frames))


def test_pieces_may_be_joined_twice(detector: Detector, tmp_path: Path) -> None:
    pytest.importorskip("av")
    path = str(clip_file(tmp_path, frames=[photo()] * 20, kind="matroska", options={"g": "10"}))
    cut = int(1000 * 10 / 25)
    spans = Span(0, 0, cut), Span(0, cut, None)
    for judge in (detector, Detector(random_detector(), threads=1)):
        pieces = [judge.check_piece(path, span, every_frame=True) for span in spans]
        assert [piece.findings.frames_read for piece in pieces] == [10, 10]
        joined = judge.join(pieces)
        assert joined.frames_read == 20 and joined == judge.join(pieces)


def test_a_clip_that_is_over_is_no_clip_without_faces(detector: Detector, tmp_path: Path) -> None:
    pytest.importorskip("av")
    clip = open_clip(clip_file(tmp_path, frames=[photo()] * 10))
    assert detector.check(clip).verdict is not None
    with pytest.raises(InputError, match=r"clip\.mp4: read or closed already"):
        detector.check(clip)
    stopped = open_clip(clip_file(tmp_path))
    stopped.stop()
    assert detector.check(stopped).note == "stopped before its end; no face found"


def test_frames_that_do_not_come(detector: Detector) -> None:
    """Of a stream without a name, too, and of one that somebody closed."""
    verdict = detector.check(raw_frames(io.BytesIO(), (8, 8), 25))
    assert (verdict.path, verdict.status) == (None, "unreadable")
    assert verdict.note is not None and verdict.note.startswith("not one frame can be read")
    file = io.BytesIO(photo().tobytes())
    clip = raw_frames(file, photo().shape[1::-1], 25)
    file.close()
    verdict = detector.check(clip)
    assert verdict.status == "unreadable" and "closed file" in str(verdict.note)


def test_bytes_with_gaps(detector: Detector) -> None:
    data = np.frombuffer(clip_bytes("mp4", "mpeg4"), np.uint8).repeat(2)
    assert detector.check(memoryview(data)[::2]).status in ("ok", "no_face")


def test_networks_for_clips_are_opened_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By several threads at once, and not at all once the detector is closed."""
    detector, opened, open_networks = _detector(), [], module.open_networks
    threads, all_here = 4, threading.Barrier(4)

    def slowly(*arguments: Any) -> Any:
        opened.append(arguments)
        all_waiting.wait(0.2)
        return open_networks(*arguments)

    all_waiting = threading.Event()
    monkeypatch.setattr(module, "open_networks", slowly)

    def analyzer(_: int) -> Any:
        all_here.wait()
        return detector._clip_analyzer()

    with ThreadPoolExecutor(threads) as pool:
        assert len(list(pool.map(analyzer, range(threads)))) == threads
    assert len(opened) == 1
    detector.close()
    with pytest.raises(InputError, match="closed"):
        detector._clip_analyzer()


def test_faces_are_found_from_several_threads() -> None:
    pixels = read_picture(PORTRAIT).pixels
    with Detector(random_detector(), threads=1) as detector, ThreadPoolExecutor(3) as pool:
        expected = [detector.check(part) for part in (pixels, pixels[:300])]
        assert len(expected[0].faces) == 1
        found = pool.map(detector.check, [pixels, pixels[:300]] * 3)
        assert list(found) == expected * 3


def _detector() -> Detector:
    return Detector(random_detector(), crops=True, threads=1)


@pytest.mark.parametrize("kind", ["covers", "domain"])
def test_a_small_network_is_opened_once(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the first of several threads, and not at all once it is closed."""
    with Session(small_pair().thorough, threads=1) as session:
        part = Covers(session) if kind == "covers" else Domain(small_domain(1.0), session)
        opened: list[Session] = []
        threads, all_here, never = 4, threading.Barrier(4), threading.Event()

        def slowly(*arguments: Any, **options: Any) -> Session:
            never.wait(0.2)
            opened.append(Session(*arguments, **options))
            return opened[-1]

        def session_of(_: int) -> Session:
            all_here.wait()
            return part._opened()

        monkeypatch.setattr(late_session, "Session", slowly)
        with ThreadPoolExecutor(threads) as pool:
            assert list(pool.map(session_of, range(threads))) == opened * threads
        part.close()
        assert opened[0]._closed
        late = Covers(session) if kind == "covers" else Domain(small_domain(1.0), session)
        late.close()
        with pytest.raises(InputError, match="closed"):
            late._opened()
        assert len(opened) == 1


def test_nobody_is_told_of_frames_who_has_had_enough() -> None:
    """Whatever else was judged together with the last one."""
    data = io.BytesIO(photo().tobytes() * 9)
    clip = raw_frames(data, photo().shape[1::-1], 25, every_frame=True)
    told: list[float] = []

    def enough(frame: SeenFrame, done: float | None) -> bool:
        told.append(frame.t)
        return len(told) == 2

    with Detector(random_detector(), crops=True, threads=8) as detector:
        verdict = detector.check(clip, on_frame=enough)
    assert told == [0, 0.04] and verdict.notes[0].code == "stopped"


class OnTheLeft(FaceFinder):
    """Finds the faces left of a line, and has a constructor of its own."""

    def __init__(self, line: float) -> None:
        super().__init__(threads=1)
        self.line = line

    def find(self, picture: Any) -> tuple[FoundFace, ...]:
        return tuple(face for face in super().find(picture) if face.box[0] < self.line)


def test_a_finder_of_ones_own_finds_the_faces_of_clips_too() -> None:
    pixels = read_picture(PORTRAIT).pixels
    both = np.concatenate([pixels, pixels], axis=1)
    clip = clip_bytes("avi", "mjpeg", [both] * 3, rate=1, pix_fmt="yuvj444p")
    for line, count in ((pixels.shape[1], 1), (2 * pixels.shape[1], 2)):
        finder = OnTheLeft(line)
        with Detector(random_detector(), finder=finder, threads=2) as detector:
            assert len(detector.check(both).tracks) == count
            assert len(detector.check(clip).tracks) == count
        assert len(finder.find(both)) == count  # it came from outside and is open still


class WithPool(FaceFinder):
    """Ends something of its own when it is closed."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.pool = {"open": True}

    def close(self) -> None:
        self.pool["open"] = False
        super().close()


def test_what_a_finder_from_outside_holds_stays_open(tmp_path: Path) -> None:
    """The copy of it that finds faces of clips shares what it holds."""
    finder = WithPool(threads=1)
    with Detector(random_detector(), finder=finder, threads=1) as detector:
        detector.check(clip_file(tmp_path, frames=2))
    assert finder.pool["open"]
    finder.close()


def test_what_is_told_of_a_picture_can_be_sent_elsewhere() -> None:
    """Its faces are cut anew, by a function that held the networks and their locks."""
    told: list[SeenFrame] = []
    with Detector(random_detector(), threads=1) as detector:
        detector.check(PORTRAIT, on_frame=lambda frame, _: told.append(frame))
    for other in (pickle.loads(pickle.dumps(told[0])), copy.deepcopy(told[0])):
        assert other.faces and np.array_equal(other.faces[0].crop, told[0].faces[0].crop)


def test_a_series_may_have_items_alone(detector: Detector) -> None:
    class Frames:
        def __getitem__(self, place: int) -> np.ndarray:
            if place > 1:
                raise IndexError(place)
            return np.zeros((64, 64, 3), np.uint8)

    assert len(list(detector.stream(Frames(), 5.0))) == 2
