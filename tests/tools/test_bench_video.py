"""The benchmarks of the whole job and of the finder: small runs, and what they are made of."""

from __future__ import annotations

import itertools
import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minimeso import FoundFace
from minimeso.errors import PictureError
from tools.bench import __main__ as bench_command
from tools.bench import clips, report, search, timers, usual, whole
from tools.bench.peers import UnavailableError

# --- clips -----------------------------------------------------------------------------------

FRAMES = 10


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Ten frames of 96 x 64 that get brighter."""
    av = pytest.importorskip("av")
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for number in range(FRAMES):
            pixels = np.full((64, 96, 3), 20 * number, np.uint8)
            output.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        output.mux(stream.encode(None))
    return path


def brightness(path: Path) -> list[int]:
    """Of every frame, in the steps in which ``clip`` gets brighter; times must grow."""
    import av

    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    times = [frame.time for frame in frames]
    assert times == sorted(set(times))
    return [round(frame.to_ndarray(format="rgb24").mean() / 20) for frame in frames]


EXPECTED = [number % FRAMES for number in range(25)]


def test_a_clip_is_repeated_without_encoding(clip: Path, tmp_path: Path) -> None:
    found = clips.repeated(clip, 25, tmp_path)
    assert (found.frames, found.width, found.height) == (25, 96, 64)
    assert (found.codec, found.how) == ("mpeg4", clips.COPIED)
    assert brightness(found.path) == EXPECTED


def test_a_clip_that_cannot_be_joined_is_encoded(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ValueError

    monkeypatch.setattr(clips, "_repeat_packets", fail)
    found = clips.repeated(clip, 25, tmp_path)
    assert (found.frames, found.how) == (25, clips.ENCODED)
    assert brightness(found.path) == EXPECTED


def test_a_clip_is_scaled(clip: Path, tmp_path: Path) -> None:
    found = clips.repeated(clips.scaled(clip, 128, tmp_path), FRAMES, tmp_path)
    assert (found.frames, found.width, found.height) == (FRAMES, 192, 128)


def test_no_clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "text.mp4"
    path.write_text("no clip")
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(UnavailableError, match=r"minimeso\[video\]"):
        clips.repeated(path, 2, tmp_path)
    monkeypatch.undo()
    pytest.importorskip("av")
    with pytest.raises(UnavailableError, match=r"text\.mp4: no clip that PyAV reads"):
        clips.repeated(path, 2, tmp_path)


# --- the whole job ---------------------------------------------------------------------------


def test_a_small_run(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(*_: object) -> None:
        raise UnavailableError(usual.INSTALL)

    monkeypatch.setattr(whole, "_usual", missing)
    monkeypatch.setattr(whole, "LINES", 128)
    monkeypatch.setattr(whole, "START_FRAMES", 2)
    path = tmp_path / "report.json"
    arguments = ["--video", str(clip), "--frames", "12", "--rounds", "1", "--threads", "1"]
    assert bench_command.main([*arguments, "--json", str(path)]) == 0
    found = json.loads(path.read_text())["video"]
    assert list(found["jobs"]) == list(whole.SCRIPTS)
    for job in found["jobs"].values():
        assert job["start_seconds"] > 0 and 0 < job["seconds"] < 60
        assert job["memory_bytes"] > 1e7
    assert found["jobs"][whole.DECODE]["ratio_to_decoding"] == 1
    assert [row["frames"] for row in found["memory"]] == [12, 12, 48, 48]
    for stages in found["stages"].values():
        assert stages["frames_read"] == 12
        # nobody is in view, so nothing is looked for again, refused or cropped
        unused = {"find near the last place", "refuse", "see covers", "crop"}
        calls = {name: stage["calls"] for name, stage in stages["stages"].items()}
        assert {name for name, count in calls.items() if not count} == unused
    printed = capsys.readouterr().out
    assert "not measured: usual route, every frame: needs facenet-pytorch" in printed
    assert all(target["what"] in printed for target in found["targets"])


def test_a_job_that_is_not_done_is_no_figure(clip: Path) -> None:
    with pytest.raises(UnavailableError, match=r"read 10 of 11 frames"):
        whole._job(whole.DECODE, clip, 1, 11)
    clip.write_bytes(clip.read_bytes()[:200])
    with pytest.raises(UnavailableError, match=r"clip\.mp4: unreadable: "):
        whole._job(whole.SAMPLED, clip, 1, 10)


def test_a_stopwatch_counts_each_second_once(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.count()  # a second goes by with each look at it
    monkeypatch.setattr(timers.time, "perf_counter", lambda: float(next(clock)))
    watch = timers.Stopwatch()
    inner = watch.around(lambda: None, "inner")
    watch.around(lambda: [inner(), inner()], "outer")()
    assert watch.seconds == {"outer": 3, "inner": 2}
    assert watch.calls == {"outer": 1, "inner": 2}


def test_targets() -> None:
    few = report.target("few", 1.5, "ms", at_most=2)
    many = report.target("many", 1.5, "x", at_least=2)
    assert few["met"] and not many["met"]
    lines = list(report.target_lines([few, many]))
    assert lines[1].split() == ["few", "1.50", "ms", "<=", "2", "ms", "met"]
    assert lines[2].split() == ["many", "1.50", "x", ">=", "2", "x", "MISSED"]


# --- the usual route -------------------------------------------------------------------------


def test_without_overlap() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [20, 0, 30, 10], [5, 0, 15, 10]], np.float32)
    scores = np.array([0.5, 0.9, 0.1, 0.7], np.float32)
    assert usual.without_overlap(boxes, scores, 0.5).tolist() == [1, 3, 2]
    assert usual.without_overlap(boxes, scores, 0.4).tolist() == [1, 2]


def test_what_stands_for_torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    for name in [name for name in sys.modules if name.startswith("torchvision")]:
        monkeypatch.delitem(sys.modules, name)
    for name in ("", ".transforms", ".transforms.functional", ".ops", ".ops.boxes"):
        monkeypatch.setitem(sys.modules, "torchvision" + name, None)
    lent = usual.torchvision()
    assert lent.name == usual.STAND_IN
    from torchvision.ops.boxes import batched_nms
    from torchvision.transforms import functional

    boxes = torch.tensor([[0, 0, 10, 10], [0, 0, 10, 10], [1, 0, 11, 10]], dtype=torch.float32)
    scores, groups = torch.tensor([0.1, 0.2, 0.9]), torch.tensor([7, 3, 3])
    assert batched_nms(boxes, scores, groups, 0.5).tolist() == [2, 0]
    assert batched_nms(boxes[:0], scores[:0], groups[:0], 0.5).tolist() == []
    assert lent.seconds > 0
    assert functional.to_tensor(np.zeros((2, 3, 4), np.float32)).shape == (4, 2, 3)


# --- the finder ------------------------------------------------------------------------------


class FakeOpenCV:
    """Finds what it is told to."""

    version = "0"

    def __init__(self, onnx: Path, shape: tuple[int, ...]) -> None:
        assert shape == (352, 640)

    def detect(self, small: Any) -> None:
        assert small.shape == (352, 640, 3)

    def scaled(self, pixels: Any, size: tuple[int, int]) -> Any:
        assert pixels.shape == (720, 1280, 3) and size == (352, 626)
        return np.zeros((352, 640, 3), np.uint8)

    def find(self, planes: Any, scale: float) -> Any:
        from minimeso import FaceFinder

        assert planes.shape == (3, 352, 626) and scale == 352 / 720
        faces = FaceFinder(threads=1, doubt=False).find(search.frame(None))
        rows = [(*f.box, *np.ravel(f.landmarks), f.score) for f in faces]
        return np.array(rows, np.float32) + np.float32(1e-2)


def test_the_finder_beside_another(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(search, "OpenCV", FakeOpenCV)
    found = search.measure(search.frame(None), tmp_path / "any.onnx", 1)
    assert found["faces"] == 1 and found["scale"] == 352 / 720
    assert 0 < found["ms"][search.OURS] < 1e4
    assert found["difference"]["score"] == pytest.approx(1e-2, rel=1e-3)
    ratio = found["ms"][search.OURS] / found["ms"][search.DETECT]
    values = {target["what"]: target for target in found["targets"]}
    assert values["over OpenCV's detect() alone"]["value"] == ratio
    assert not values["difference to OpenCV on our pixels"]["met"]
    text = "\n".join(search.lines(found))
    assert "beside OpenCV 0 on the same pixels" in text and "MISSED" in text


def test_the_finder_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, picture = tmp_path / "report.json", tmp_path / "grey.png"
    from PIL import Image

    Image.new("RGB", (64, 36), "grey").save(picture)
    arguments = ["--finder", "--rounds", "1", "--picture", str(picture), "--json", str(path)]
    assert bench_command.main(arguments) == 0
    found = json.loads(path.read_text())["finder"]
    assert found["faces"] == 0
    assert set(found["ms"]) == {search.OURS, "  its scaling", "  its network", search.NOBODY}
    assert "not measured: OpenCV" in capsys.readouterr().out


def test_faces_that_differ() -> None:
    ours = [
        FoundFace((0, 0, 2, 2), 0.9, ((1, 1),) * 5),
        FoundFace((9, 9, 2, 2), 0.8, ((1, 1),) * 5),
    ]
    theirs = np.array([(9, 9, 2, 2.5, *(1,) * 10, 0.8), (0, 0, 2, 2, *(1,) * 10, 0.7)], np.float32)
    found = search.difference(ours, theirs[::-1])
    assert found["ours"] == found["theirs"] == 2
    assert found["pixels"] == pytest.approx(9) and math.isclose(found["score"], 0.1, rel_tol=1e-5)
    theirs[:, 14] = 0.8, 0.9
    found = search.difference(ours, theirs)
    assert (found["pixels"], found["score"]) == (0.5, pytest.approx(0, abs=1e-6))
    assert search.difference(ours, theirs[:1]) == {"ours": 2, "theirs": 1}


def test_no_picture(tmp_path: Path) -> None:
    with pytest.raises(PictureError):
        search.frame(tmp_path / "none.jpg")
