"""Annotated pictures and clips: decoded again, and what happens when they cannot be written."""

from __future__ import annotations

import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.detectors import photo
from support.seen import THRESHOLDS, face, frame

from minimeso import OutputError
from minimeso.media.atomic_file import AtomicFile
from minimeso.report.annotate import Annotation
from minimeso.report.drawing import draw_faces

CLIPS = ("mp4", "mkv", "mov", "avi", "webm")


@pytest.fixture
def pyav() -> Any:
    return pytest.importorskip("av", reason="PyAV (extra video) is not installed")


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def decoded(av: Any, path: Path) -> tuple[list[float], list[Any], float]:
    """Times of the frames, frames, seconds that the clip lasts."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
        return [f.time for f in frames], frames, container.duration / av.time_base


def clip(
    path: Path, times: list[float], size: tuple[int, int] = (160, 120), **options: Any
) -> None:
    with Annotation(path, clip=True, **{"rate": 25, **options}) as annotation:
        for t in times:
            pixels = photo(max(size[1], 2), max(size[0], 2))[: size[1], : size[0]]
            annotation.add(frame(t, [face(1, 0.7)], pixels))


# --- pictures ----------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["jpg", "JPEG", "png", "webp", "bmp", "tif"])
def test_a_picture_keeps_size_and_what_lies_outside_the_boxes(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"seen.{ending}"
    with Annotation(path, clip=False, thresholds=THRESHOLDS) as annotation:
        annotation.add(frame(0, [face(1, 0.7), face(2, None, 100, 40, "too_small")]))
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB"), int)
    difference = np.abs(pixels - photo(120, 160)).max(axis=2)
    assert difference.shape == (120, 160)
    assert difference[25:85, 15:65].max() > 100 and difference[100:, :].max() < 40
    assert names(tmp_path) == [path.name]


@pytest.mark.parametrize("background", [0, 90, 128, 255])
def test_a_label_is_legible_on_any_background(background: int) -> None:
    plain = np.full((240, 320, 3), background, np.uint8)
    pixels = np.asarray(draw_faces(frame(0, [face(1, 0.7, 100, 100)], plain), THRESHOLDS))
    label = pixels[80:100, 100:160].max(axis=2)
    assert (label < 40).sum() > 200 and (label > 215).sum() > 30


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (20, 12), (1000, 9), (9, 1000)])
def test_any_size_can_be_drawn_on(size: tuple[int, int]) -> None:
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    faces = [face(12, 0.7, -30, -30), face(3, None, 900, 900, "cut_off")]
    assert draw_faces(frame(0, faces, pixels)).size == size


def test_a_frame_is_not_written_on(tmp_path: Path) -> None:
    pixels = photo(120, 160)
    draw_faces(frame(0, [face(1, 0.7)], pixels))
    assert np.array_equal(pixels, photo(120, 160))


# --- clips -------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", CLIPS)
def test_a_clip_has_the_frames_at_their_times(tmp_path: Path, pyav: Any, ending: str) -> None:
    path = tmp_path / f"seen.{ending}"
    clip(path, [number / 25 for number in range(30)])
    times, frames, duration = decoded(pyav, path)
    assert times == pytest.approx([number / 25 for number in range(30)], abs=0.002)
    assert duration == pytest.approx(30 / 25, abs=0.05)
    assert (frames[0].width, frames[0].height) == (160, 120)
    found = frames[9].to_ndarray(format="rgb24").astype(int)
    assert np.abs(found - photo(120, 160))[100:].mean() < 12


@pytest.mark.parametrize("ending", CLIPS)
def test_sampled_frames_stay_at_their_times(tmp_path: Path, pyav: Any, ending: str) -> None:
    path = tmp_path / f"seen.{ending}"
    clip(path, [0.0, 0.2, 0.4, 1.0, 1.2])
    times, _, duration = decoded(pyav, path)
    assert times == pytest.approx([0.0, 0.2, 0.4, 1.0, 1.2], abs=0.021)
    assert duration == pytest.approx(1.4, abs=0.25)


def test_a_last_frame_stands_no_longer_than_usual(tmp_path: Path, pyav: Any) -> None:
    """Also where the one before stood for minutes, as in what was recorded of a screen."""
    path = tmp_path / "seen.mkv"
    clip(path, [0.0, 0.04, 0.08, 240.0])
    assert decoded(pyav, path)[2] == pytest.approx(240.04, abs=0.01)


def test_avi_of_unknown_rate(tmp_path: Path, pyav: Any) -> None:
    path = tmp_path / "seen.AVI"
    clip(path, [number / 60 for number in range(60)], rate=None)
    times, _, duration = decoded(pyav, path)
    assert times == pytest.approx([number / 60 for number in range(60)], abs=0.005)
    assert duration == pytest.approx(1, abs=0.02)


def test_odd_rates_and_odd_sizes(tmp_path: Path, pyav: Any) -> None:
    path = tmp_path / "seen.mp4"
    rate = Fraction(30000, 1001)
    clip(path, [float(number / rate) for number in range(20)], (161, 121), rate=rate)
    _, frames, duration = decoded(pyav, path)
    assert len(frames) == 20 and duration == pytest.approx(20 / float(rate), abs=0.01)
    assert (frames[0].width, frames[0].height) == (162, 122)


@pytest.mark.parametrize("size", [(1, 1), (2, 300), (300, 2)])
@pytest.mark.parametrize("ending", CLIPS)
def test_tiny_frames(tmp_path: Path, pyav: Any, size: tuple[int, int], ending: str) -> None:
    path = tmp_path / f"seen.{ending}"
    clip(path, [0.0, 0.04], size)
    assert len(decoded(pyav, path)[1]) == 2


def test_a_size_that_changes_is_letterboxed(tmp_path: Path, pyav: Any) -> None:
    path = tmp_path / "seen.mp4"
    with Annotation(path, clip=True, rate=25) as annotation:
        for number, size in enumerate([(160, 120), (160, 120), (60, 120), (161, 90), (400, 300)]):
            white = np.full((size[1], size[0], 3), 255, np.uint8)
            annotation.add(frame(number / 25, [], white))
    _, frames, _ = decoded(pyav, path)
    grey = [f.to_ndarray(format="gray") for f in frames]
    assert [g.shape for g in grey] == [(120, 160)] * 5
    assert grey[0].min() > 220 and grey[4].min() > 220
    assert grey[2][:, :40].max() < 60 and grey[2][:, 60:100].min() > 200
    assert grey[3][:8].max() < 60 and grey[3][40:80].min() > 200


def test_times_that_do_not_rise_are_moved(tmp_path: Path, pyav: Any) -> None:
    path = tmp_path / "seen.mkv"
    clip(path, [0.0, 0.04, 0.04, 0.02, 0.08])
    times, frames, _ = decoded(pyav, path)
    assert len(frames) == 5 and times == sorted(times)


@pytest.mark.parametrize("rate", [None, 0, -1, float("nan"), float("inf"), 1e9])
def test_a_rate_that_cannot_be(tmp_path: Path, pyav: Any, rate: Any) -> None:
    path = tmp_path / "seen.mp4"
    clip(path, [0.0, 0.04], rate=rate)
    assert len(decoded(pyav, path)[1]) == 2


def test_mpeg4_where_there_is_no_x264(
    tmp_path: Path, pyav: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pyav, "codecs_available", {"mpeg4"})
    path = tmp_path / "seen.mp4"
    clip(path, [number / 30 for number in range(12)], rate=30)
    with pyav.open(str(path)) as container:
        assert container.streams.video[0].codec.name == "mpeg4"
    times, _, _ = decoded(pyav, path)
    assert times == pytest.approx([number / 30 for number in range(12)], abs=0.002)
    monkeypatch.setattr(pyav, "codecs_available", set())
    with pytest.raises(OutputError, match="none of the encoders"):
        clip(path, [0.0])


# --- what must not happen ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "is_clip", "said"),
    [
        ("a.mp4", False, "the ending of a clip, and a picture is to be written: name it .jpg"),
        ("a.jpg", True, "the ending of a picture, and a clip is to be written: name it .mp4"),
        ("a.gif", True, "no ending that is known"),
        ("a", False, "nothing is no ending"),
    ],
)
def test_an_ending_that_does_not_fit(tmp_path: Path, name: str, is_clip: bool, said: str) -> None:
    with pytest.raises(OutputError, match=said):
        Annotation(tmp_path / name, clip=is_clip)
    assert not names(tmp_path)


def test_the_source_is_not_written_over(tmp_path: Path) -> None:
    source = tmp_path / "in.png"
    source.write_bytes(b"precious")
    (tmp_path / "link.png").symlink_to(source)
    for name in ("in.png", "link.png"):
        with pytest.raises(OutputError, match="is being judged: name another"):
            Annotation(tmp_path / name, clip=False, source=source)
    assert source.read_bytes() == b"precious"


@pytest.mark.parametrize("is_clip", [False, True])
def test_nothing_is_left_behind_by_ctrl_c(tmp_path: Path, is_clip: bool) -> None:
    if is_clip:
        pytest.importorskip("av", reason="PyAV (extra video) is not installed")
    path = tmp_path / ("seen.mp4" if is_clip else "seen.png")
    path.write_bytes(b"from before")
    with pytest.raises(KeyboardInterrupt), Annotation(path, clip=is_clip) as annotation:
        annotation.add(frame(0.0))
        raise KeyboardInterrupt
    assert names(tmp_path) == [path.name] and path.read_bytes() == b"from before"


def test_without_a_frame_there_is_no_file(tmp_path: Path) -> None:
    assert not Annotation(tmp_path / "seen.png", clip=False).close()
    assert not names(tmp_path)


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    for name, said in (
        ("folder.png", "is a folder"),
        ("nowhere/a.png", "cannot be written: No such file or directory: choose a folder"),
    ):
        with pytest.raises(OutputError, match=said) as caught:
            Annotation(tmp_path / name, clip=False)
        assert str(tmp_path / name) in str(caught.value)
    assert names(tmp_path) == ["folder.png"]


@pytest.mark.skipif(os.name != "posix", reason="rights of POSIX")
def test_files_are_as_private_as_those_that_the_person_makes(tmp_path: Path) -> None:
    """A page and a copy show faces: a mask that hides new files from others hides them, too, and
    what was private before stays so."""
    code = """if True:
        import os, sys
        from minimeso.engine.files import write_file
        from minimeso.media.atomic_file import AtomicFile
        os.umask(int(sys.argv[1], 8))
        os.chdir(sys.argv[2])
        open("theirs", "w").close()
        for name in ("new", "shared", "hidden", "read-only"):
            for ending in (".html", ".npz"):
                if name != "new":
                    open(name + ending, "w").close()
                    rights = {"shared": 0o664, "hidden": 0o600, "read-only": 0o444}[name]
                    os.chmod(name + ending, rights)
            file = AtomicFile(name + ".html")
            with open(file.temporary, "w") as page:
                page.write("x")
            file.keep()
            write_file(name + ".npz", b"x")
    """
    for mask in ("022", "077", "002", "777"):
        folder = tmp_path / mask
        folder.mkdir()
        subprocess.run([sys.executable, "-c", code, mask, str(folder)], check=True)
        rights = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
        usual = rights.pop("theirs")
        assert rights == {
            name + ending: right
            for name, right in (
                ("new", usual), ("shared", 0o664), ("hidden", 0o600), ("read-only", 0o444)
            )
            for ending in (".html", ".npz")
        }  # fmt: skip


def test_a_file_that_nobody_could_keep_or_discard_goes_with_its_object(tmp_path: Path) -> None:
    """As where a signal ends the program just after it was made; a fork removes nothing."""
    file = AtomicFile(tmp_path / "a.html")
    assert names(tmp_path) == [Path(file.temporary).name]
    del file
    assert not names(tmp_path)
    file = AtomicFile(tmp_path / "a.html")
    file._process += 1
    del file
    assert len(names(tmp_path)) == 1


def test_a_device_is_not_replaced() -> None:
    if not Path("/dev/null").exists():
        pytest.skip("no devices here")
    link = Path("/dev/null")
    with pytest.raises(OutputError, match="no regular file"):
        AtomicFile(link)
    assert not link.is_file()


def test_links_in_a_circle(tmp_path: Path) -> None:
    (tmp_path / "a.png").symlink_to("b.png")
    (tmp_path / "b.png").symlink_to("a.png")
    with pytest.raises(OutputError, match="symbolic links"):
        Annotation(tmp_path / "a.png", clip=False)
    assert names(tmp_path) == ["a.png", "b.png"]


def test_a_disk_that_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: Any, **options: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    annotation = Annotation(tmp_path / "seen.png", clip=False)
    with pytest.raises(OutputError, match="No space left on device: choose a folder"):
        annotation.add(frame(0.0))
    assert not names(tmp_path)


def test_what_cannot_be_drawn_is_not_the_files_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: Any) -> None:
        raise ValueError("no such box")

    monkeypatch.setattr("minimeso.report.annotate.draw_faces", fail)
    with (
        pytest.raises(ValueError, match="no such box") as caught,
        Annotation(tmp_path / "seen.png", clip=False) as annotation,
    ):
        annotation.add(frame(0.0))
    assert not isinstance(caught.value, OutputError) and not names(tmp_path)


def test_what_pyav_refuses(tmp_path: Path, pyav: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any, **options: Any) -> None:
        raise pyav.error.UnknownError(1, "no such luck")

    annotation = Annotation(tmp_path / "seen.mp4", clip=True)
    monkeypatch.setattr(pyav, "open", refuse)
    with pytest.raises(OutputError, match=r"seen.mp4: cannot be written: no such luck"):
        annotation.add(frame(0.0))
    assert not names(tmp_path)
