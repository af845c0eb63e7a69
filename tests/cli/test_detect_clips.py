"""``minimeso detect`` on clips: the verdict of persons, raw frames, reports, copies, Ctrl-C."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.clips import clip_file
from support.detectors import constant_detector, saved

import minimeso
from minimeso.cli import main
from minimeso.detect.verdict import SeenFrame
from minimeso.media.pictures import read_picture
from minimeso.report.writers import ClipWriter

av = pytest.importorskip("av")

ROOT = Path(__file__).parent.parent.parent
PORTRAIT = read_picture(ROOT / "minimeso" / "samples" / "portrait.jpg").pixels
COMMAND = [sys.executable, "-m", "minimeso", "detect"]
SIZE = (400, 320)

Captured = pytest.CaptureFixture[str]


def scene(number: int) -> Any:
    """(320, 400, 3): a person who walks to the right."""
    return np.ascontiguousarray(PORTRAIT[: SIZE[1], 90 - number : 90 - number + SIZE[0]])


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return saved(constant_detector(3.0), tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of it, 25 frames each."""
    folder = tmp_path_factory.mktemp("clips")
    frames = [scene(number) for number in range(50)]
    return clip_file(folder, "walk.mp4", frames=frames, size=SIZE, options={"qscale": "2"})


def answer(captured: Captured) -> dict[str, Any]:
    return dict(json.loads(captured.readouterr().out))


# --- verdicts ----------------------------------------------------------------------------


def test_json_of_a_clip(model: str, clip: Path, capsys: Captured) -> None:
    assert main(["detect", "--json", "--model", model, str(clip)]) == 0
    found = answer(capsys)
    assert (found["status"], found["verdict"]) == ("ok", "fake")
    assert (found["frames_read"], found["frames_scored"], found["left_out"]) == (50, 8, {})
    (track,) = found["tracks"]
    assert track["id"] == 1 and track["verdict"] == "fake"
    assert track["p_fake"] == pytest.approx(0.952574, abs=1e-6) == found["p_fake"]
    assert [frame["t"] for frame in track["frames"]] == [
        pytest.approx(0.25 * number, abs=0.041) for number in range(8)
    ]
    left = [frame["box"][0] for frame in track["frames"]]
    assert left == sorted(left) and left[-1] - left[0] > 30
    assert all(frame["p_fake"] == pytest.approx(0.952574) for frame in track["frames"])


@pytest.mark.parametrize(("options", "scored"), [(["--every-frame"], 50), (["--fps", "10"], 20)])
def test_how_many_frames(
    model: str, clip: Path, capsys: Captured, options: list[str], scored: int
) -> None:
    assert main(["detect", "--json", "--model", model, str(clip), *options]) == 0
    found = answer(capsys)
    assert abs(found["frames_scored"] - scored) <= 1 and len(found["tracks"]) == 1


def test_text_of_a_clip(model: str, clip: Path, capsys: Captured) -> None:
    assert main(["detect", "--model", model, str(clip)]) == 0
    assert capsys.readouterr().out == f"fake        p_fake  95.3 % (84 to 99 %)   {clip}\n"


def test_a_clip_without_a_face(model: str, tmp_path: Path, capsys: Captured) -> None:
    path = clip_file(tmp_path, "empty.mp4", frames=20)
    assert main(["detect", "--model", model, str(path)]) == 0
    assert capsys.readouterr().out == f"{'no face':<40}  {path}  (no face found)\n"


def test_a_clip_that_is_cut_short_is_judged_so_far(
    model: str, clip: Path, tmp_path: Path, capsys: Captured
) -> None:
    path = tmp_path / "short.avi"
    frames = [scene(number) for number in (*range(50), *reversed(range(50)))]
    whole = clip_file(tmp_path, "whole.avi", kind="avi", codec="mjpeg", frames=frames, size=SIZE,
                      pix_fmt="yuvj420p")  # fmt: skip
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size * 6 // 10])
    assert main(["detect", "--json", "--model", model, str(path)]) == 3
    found = answer(capsys)
    assert (found["status"], found["verdict"]) == ("partial", "fake")
    assert 50 < found["frames_read"] < 100 and "cut short" in found["note"]


@pytest.mark.parametrize(
    ("count", "word", "doubts"),
    [(30, "uncertain", ["too_short_for_fake", "few_frames"]), (45, "fake", [])],
)
def test_nobody_is_called_fake_for_a_second(
    model: str, tmp_path: Path, capsys: Captured, count: int, word: str, doubts: list[str]
) -> None:
    """However sure the model is of every frame; and it says why."""
    frames = [scene(number) for number in range(count)]
    path = clip_file(tmp_path, "clip.mp4", frames=frames, size=SIZE)
    (track,) = minimeso.Detector(model).check(path).tracks
    assert track.verdict == word and track.interval[0] > 0.5
    assert [doubt.code for doubt in track.doubts] == doubts
    page = tmp_path / "page.html"
    assert main(["detect", "--json", "--model", model, str(path), "--report", str(page)]) == 0
    found = answer(capsys)
    assert found["verdict"] == word and (found["note"] is not None) == bool(doubts)
    assert ("The model cannot tell about person 1" in page.read_text()) == bool(doubts)


def test_a_folder_goes_on_and_ends_with_a_summary(
    model: str, clip: Path, tmp_path: Path, capsys: Captured
) -> None:
    (tmp_path / "a.mp4").write_bytes(clip.read_bytes())
    (tmp_path / "b.mp4").write_bytes(b"no clip" * 99)
    Image.fromarray(PORTRAIT).save(tmp_path / "c.jpg")
    assert main(["detect", "--model", model, str(tmp_path)]) == 3
    output = capsys.readouterr()
    assert [row.split()[0] for row in output.out.splitlines()] == ["fake", "unreadable", "fake"]
    assert output.err == "minimeso: 3 inputs: 2 fake, 1 unreadable\n"


def test_a_summary_counts_each_input_once(model: str, tmp_path: Path, capsys: Captured) -> None:
    """Also one that is both a fake and read only in part."""
    file = io.BytesIO()
    Image.fromarray(PORTRAIT).save(file, "JPEG")
    (tmp_path / "a.jpg").write_bytes(file.getvalue()[:-500])
    (tmp_path / "b.jpg").write_bytes(file.getvalue())
    assert main(["detect", "--model", model, str(tmp_path)]) == 3
    assert capsys.readouterr().err == ("minimeso: 2 inputs: 2 fake; 1 of them by a part only\n")


def test_without_the_extra(
    model: str, clip: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("minimeso.media.kinds.has_pyav", lambda: False)
    assert main(["detect", "--model", model, str(clip)]) == 3
    output = capsys.readouterr().out
    assert output.count("\n") == 1 and "pip install 'minimeso[video]'" in output


# --- stdin -------------------------------------------------------------------------------


def piped(data: bytes, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*COMMAND, *arguments], input=data, capture_output=True, timeout=60)


def test_raw_frames(model: str) -> None:
    data = b"".join(scene(number).tobytes() for number in range(30))
    arguments = ["-", "--json", "--model", model, "--size", "400x320", "--rate", "10"]
    done = piped(data, *arguments)
    assert done.returncode == 0 and done.stderr == b""
    found = json.loads(done.stdout)
    assert (found["path"], found["verdict"], found["frames_read"]) == ("-", "fake", 30)
    assert len(found["tracks"]) == 1 and found["tracks"][0]["frames"][-1]["t"] > 2.4
    done = piped(data[:-7], *arguments)
    found = json.loads(done.stdout)
    assert done.returncode == 3 and found["status"] == "partial"
    assert "incomplete" in found["note"] and found["frames_read"] == 29


def test_a_clip_from_stdin(model: str, tmp_path: Path) -> None:
    """Through a pipe, whose index lies behind the frames; from a file; cut short; endless zeros."""
    path = clip_file(tmp_path, frames=[scene(number) for number in range(12)])
    expected = json.loads(piped(b"", str(path), "--json", "--model", model).stdout)
    expected = {**expected, "path": "-", "file": {**expected["file"], "name": "-"}}
    done = piped(path.read_bytes(), "-", "--json", "--model", model)
    assert done.returncode == 0 and json.loads(done.stdout) == expected
    with path.open("rb") as file:
        command = [*COMMAND, "-", "--json", "--model", model]
        found = subprocess.run(command, stdin=file, capture_output=True, timeout=60)
    assert json.loads(found.stdout) == expected
    done = piped(path.read_bytes()[:5000], "-", "--model", model)
    assert done.returncode == 3 and b"cut short" in done.stdout
    done = piped(bytes(1 << 20), "-", "--model", model)
    assert done.returncode == 3 and b"neither a picture nor a clip" in done.stdout


@pytest.mark.skipif(os.name != "posix", reason="flags of POSIX")
def test_a_pipe_that_does_not_wait_is_read_to_its_end(model: str, tmp_path: Path) -> None:
    """Other programs of a pipe (ssh, node) leave it so; a read gives nothing before the end then,
    and the clip was judged by what had come until then."""
    path = clip_file(tmp_path, "a.ts", frames=[scene(number) for number in range(50)])
    arguments = ["--json", "--model", model]
    expected = json.loads(piped(path.read_bytes(), "-", *arguments).stdout)
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    with subprocess.Popen([*COMMAND, "-", *arguments], stdin=reading, stdout=-1) as running:
        os.close(reading)
        with os.fdopen(writing, "wb", buffering=0) as pipe:
            time.sleep(1)  # it looks before there is anything
            data = path.read_bytes()
            for part in (data[:100], data[100:20_000], data[20_000:]):
                pipe.write(part)
                time.sleep(0.3)
        found = json.loads(running.communicate(timeout=60)[0])
    assert found == expected and found["status"] == "ok"


def test_stdin_that_is_used_up_has_no_origin(model: str) -> None:
    """The second line told of the file that had come for the first."""
    file = io.BytesIO()
    Image.fromarray(PORTRAIT).save(file, "png")
    done = piped(file.getvalue(), "-", "-", "--json", "--model", model)
    first, second = map(json.loads, done.stdout.splitlines())
    assert first["file"]["container"] == "PNG"
    assert second["status"] == "unreadable" and second["file"] is None


def test_a_picture_from_stdin(model: str) -> None:
    file = io.BytesIO()
    Image.fromarray(PORTRAIT).save(file, "png")
    done = piped(file.getvalue(), "-", "--json", "--model", model)
    assert done.returncode == 0
    assert json.loads(done.stdout)["faces"][0]["verdict"] == "fake"
    for data in (b"", b"nonsense" * 9):
        done = piped(data, "-", "--model", model)
        assert done.returncode == 3 and done.stdout.startswith(b"unreadable")


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["-", "--size", "400"], "WIDTHxHEIGHT"),
        (["-", "--size", "0x9"], "each side"),
        (["a.mp4", "--size", "4x4"], "--size goes with -"),
        (["-", "--size", "4x4", "--rate", "0"], "not a number above 0"),
        (["a.mp4", "--fps", "nan"], "not a number above 0"),
        (["a.mp4", "--fps", "3", "--every-frame"], "exclude each other"),
        (["a.mp4", "b.mp4", "--annotate", "c.mp4"], "one picture or clip"),
        (["a.mp4", "--min-face", "-3"], "not a number above 0"),
        (["a.mp4", "--finder", "default"], "no face finder"),
    ],
)
def test_wrong_usage(arguments: list[str], part: str, capsys: Captured) -> None:
    assert main(["detect", *arguments]) == 2
    output = capsys.readouterr()
    assert output.out == "" and part in output.err


# --- report and copy ---------------------------------------------------------------------


def test_report_and_annotated_clip(
    model: str, clip: Path, tmp_path: Path, capsys: Captured
) -> None:
    report, copy = tmp_path / "seen.html", tmp_path / "seen.mp4"
    arguments = ["--report", str(report), "--annotate", str(copy), "--every-frame"]
    assert main(["detect", "--model", model, str(clip), *arguments]) == 0
    assert "walk.mp4" in report.read_text() and "<script" not in report.read_text()
    with av.open(str(copy)) as container:
        frames = sum(1 for _ in container.decode(video=0))
    assert frames == 50
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("rate", [10, 24, 50])
def test_an_annotated_clip_keeps_the_rate(model: str, tmp_path: Path, rate: int) -> None:
    """AVI counts its time in frames, so it must be told how many make a second."""
    frames = [scene(number) for number in range(rate)]
    source = clip_file(tmp_path, "in.mp4", frames=frames, size=SIZE, rate=rate)
    copy = tmp_path / "seen.avi"
    arguments = ["--annotate", str(copy), "--every-frame"]
    assert main(["detect", "--model", model, str(source), *arguments]) == 0
    with av.open(str(copy)) as container:
        assert container.streams.video[0].average_rate == rate
        times = [frame.time for frame in container.decode(video=0)]
    assert times == pytest.approx([number / rate for number in range(rate)])


@pytest.mark.parametrize("ending", ["mp4", "png"])
@pytest.mark.parametrize("name", ["gone.mp4", "damaged.mp4"])
def test_an_input_that_cannot_be_read_is_not_the_copys_fault(
    model: str, tmp_path: Path, capsys: Captured, name: str, ending: str
) -> None:
    (tmp_path / "damaged.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + b"no clip" * 99)
    copy = tmp_path / f"seen.{ending}"
    assert main(["detect", "--model", model, str(tmp_path / name), "--annotate", str(copy)]) == 3
    output = capsys.readouterr()
    assert output.out.startswith("unreadable") and output.err == ""
    assert not copy.exists() and len(list(tmp_path.iterdir())) == 1


def test_annotated_picture(model: str, tmp_path: Path) -> None:
    source = ROOT / "minimeso" / "samples" / "portrait.jpg"
    copy = tmp_path / "seen.png"
    assert main(["detect", "--model", model, str(source), "--annotate", str(copy)]) == 0
    with Image.open(copy) as image:
        assert image.size == PORTRAIT.shape[1::-1]
        assert (np.asarray(image.convert("RGB")) != PORTRAIT).any()


@pytest.mark.parametrize("option", ["--report", "--annotate"])
def test_outputs_that_cannot_be_written(
    model: str, clip: Path, tmp_path: Path, capsys: Captured, option: str
) -> None:
    gone = tmp_path / "gone" / ("a.html" if option == "--report" else "a.mp4")
    assert main(["detect", "--model", model, str(clip), option, str(gone)]) == 4
    assert "gone" in capsys.readouterr().err
    assert main(["detect", "--model", model, str(clip), option, str(clip)]) in (2, 4)
    assert clip.read_bytes()[4:8] == b"ftyp"


@pytest.mark.parametrize("fault", ["the disk is full", "the clip is gone", "memory is short"])
def test_a_copy_that_cannot_be_written_takes_no_verdict_along(
    model: str, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured,
    fault: str,
) -> None:  # fmt: skip
    """It is written when the clip was judged, which may have taken hours."""
    source, copy, page = tmp_path / "a.mp4", tmp_path / "copy.mp4", tmp_path / "page.html"
    source.write_bytes(clip.read_bytes())

    def fail(*_: object, **__: object) -> None:
        if fault == "the clip is gone":
            source.unlink()
            raise minimeso.PictureError(f"{source}: No such file or directory: check the name")
        raise MemoryError if fault == "memory is short" else OSError(28, "No space left on device")

    patched = "whole_clip.open_clip" if fault == "the clip is gone" else "writers.ClipWriter.write"
    monkeypatch.setattr(f"minimeso.report.{patched}", fail)
    arguments = ["--annotate", str(copy), "--report", str(page), "--model", model]
    assert main(["detect", str(source), *arguments]) == (70 if "memory" in fault else 4)
    found = capsys.readouterr()
    assert found.out.startswith("fake") and page.exists()
    assert ("memory" if "memory" in fault else f"{copy}: cannot be written: ") in found.err
    assert not copy.exists() and not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("written", [0, 3])
def test_a_pipe_is_judged_to_its_end_whatever_becomes_of_the_copy(
    model: str, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured,
    written: int,
) -> None:  # fmt: skip
    """What comes through it comes once; but what is wrong from the first frame on is said then."""
    real, copy, calls = ClipWriter.write, tmp_path / "copy.mp4", iter(range(99))

    def full(self: ClipWriter, t: float, picture: Image.Image) -> None:
        if next(calls) >= written:
            raise OSError(28, "No space left on device")
        real(self, t, picture)

    monkeypatch.setattr(ClipWriter, "write", full)
    with clip.open("rb") as file:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(file))
        assert main(["detect", "-", "--annotate", str(copy), "--model", model]) == 4
    found = capsys.readouterr()
    assert found.out.startswith("fake") == (written > 0)
    assert f"{copy}: cannot be written: No space left" in found.err and not list(tmp_path.iterdir())


def test_outputs_take_no_strangers_place(
    model: str, clip: Path, tmp_path: Path, capsys: Captured
) -> None:
    photo, page = tmp_path / "photo.jpg", tmp_path / "old.html"
    photo.write_bytes(b"somebody's")
    page.write_text("the last report")
    assert main(["detect", "--model", model, str(clip), "--report", str(photo)]) == 2
    assert main(["detect", "--model", model, str(clip), "--annotate", str(photo)]) == 4
    both = ["--report", str(page), "--annotate", str(tmp_path / "k.xyz")]
    assert main(["detect", "--model", model, str(clip), *both]) == 4
    assert photo.read_bytes() == b"somebody's" and page.read_text() == "the last report"


# --- Ctrl-C, live use --------------------------------------------------------------------


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_ctrl_c_judges_what_was_seen(model: str, tmp_path: Path) -> None:
    report = tmp_path / "seen.html"
    arguments = ["-", "--json", "--model", model, "--size", "400x320", "--report", str(report)]
    running = subprocess.Popen(
        [*COMMAND, *arguments],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    with running:
        assert running.stdin and running.stdout and running.stderr
        for number in (*range(50), *reversed(range(50))):
            running.stdin.write(scene(number).tobytes())
        running.send_signal(signal.SIGINT)
        with contextlib.suppress(BrokenPipeError):  # it may have stopped already
            running.stdin.write(scene(40).tobytes() * 30)
            running.stdin.close()
        found = json.loads(running.stdout.read())
        assert running.wait(timeout=30) == 130 and running.stderr.read() == b""
    assert found["status"] == "partial" and found["verdict"] == "fake"
    assert "stopped before its end" in found["note"]
    assert report.exists()


def test_stream_is_live(model: str) -> None:
    """Each frame's faces come before the next frame is asked for."""
    asked: list[int] = []

    def camera() -> Iterator[Any]:
        for number in range(18):
            asked.append(number)
            yield scene(number)

    faces = minimeso.Detector(model, threads=1).stream(camera(), rate=10)
    for number, face in enumerate(faces):
        assert asked[-1] == number and face.t == pytest.approx(number / 10)
        assert face.track == 1 and face.p_fake == pytest.approx(0.952574)
        assert face.interval is not None and face.interval[0] < face.p_fake < face.interval[1]
        assert face.verdict == ("fake" if number >= 15 else "uncertain")
    assert len(asked) == 18


def test_stopping_early(model: str, clip: Path) -> None:
    seen: list[float] = []

    def enough(frame: SeenFrame, done: float | None) -> Any:
        assert done is not None and 0 <= done <= 1
        seen.append(frame.t)
        return np.bool_(frame.t >= 1.6)  # as a comparison of NumPy's numbers gives it

    verdict = minimeso.Detector(model).check(clip, every_frame=True, on_frame=enough)
    assert verdict.status == "partial" and [note.code for note in verdict.notes] == ["stopped"]
    assert 1.6 <= seen[-1] < 1.8 and len(verdict.tracks) == 1


def test_an_error_of_the_caller_is_the_callers(model: str, clip: Path) -> None:
    def fail(frame: SeenFrame, done: float | None) -> None:
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        minimeso.Detector(model).check(clip, on_frame=fail)
