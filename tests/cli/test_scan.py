"""``minimeso scan`` as people and scripts use it: files, processes, signals, summaries."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("distributed")
pytest.importorskip("pyarrow")

import psutil
from PIL import Image
from support.clips import clip_file
from support.detectors import constant_detector, photo, saved, saved_pair, small_pair
from support.made_faces import PORTRAIT
from support.scans import OF_CLUSTERS, both, rows

from minimeso.cli import main

pytest_plugins = ["support.leftovers"]
pytestmark = OF_CLUSTERS

Captured = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures and clips with one face, two or none, and what is none of them."""
    top = tmp_path_factory.mktemp("archive")
    (top / "below").mkdir()
    portrait = Image.open(PORTRAIT).convert("RGB")
    wide = np.concatenate([np.asarray(portrait), np.asarray(portrait)[:, ::-1]], axis=1)
    shutil.copy(PORTRAIT, top / "one.jpg")
    Image.fromarray(wide).save(top / "below" / "two.png")
    Image.fromarray(photo()).save(top / "none.png")
    (top / "text.jpg").write_text("no picture")
    whole = (top / "one.jpg").read_bytes()
    (top / "cut.jpg").write_bytes(whole[: len(whole) * 2 // 3])
    height, width = (side // 2 * 2 for side in wide.shape[:2])
    frames = [np.ascontiguousarray(np.roll(wide, 2 * n, 1)[:height, :width]) for n in range(30)]
    clip_file(top, "below/two.mp4", frames=frames, rate=10)
    (top / "below" / "lost.mp4").symlink_to(top / "nowhere.mp4")
    os.mkfifo(top / "pipe.mp4")
    return top


def process(*arguments: str | Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "minimeso", "scan", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def until_it_judges(scan: psutil.Process) -> list[psutil.Process]:
    """Its workers and what judges for them, as soon as one does."""
    while scan.is_running() and scan.status() != psutil.STATUS_ZOMBIE:
        family = scan.children(recursive=True)
        for one in family:
            with suppress(psutil.Error):
                if any("minimeso.scan.child" in word for word in one.cmdline()):
                    return family
        time.sleep(0.01)
    raise AssertionError("it judged nothing")


def detected(archive: Path, capsys: Captured, *options: str) -> dict[str, dict[str, Any]]:
    """What ``minimeso detect --json`` says of all files, by path."""
    capsys.readouterr()
    main(["detect", str(archive), "--json", *options])
    found = map(json.loads, capsys.readouterr().out.splitlines())
    return {verdict["path"]: verdict for verdict in found}


def check_equal(out: Path, expected: dict[str, dict[str, Any]]) -> None:
    """The data set says what ``detect`` does, to the last bit."""
    files, tracks = both(out)
    assert [row["path"] for row in files] == sorted(expected)
    for row in files:
        verdict = expected[row["path"]]
        for key in ("status", "verdict", "p_fake", "prior", "model", "note", "frames_read",
                    "frames_scored"):  # fmt: skip
            assert row[key] == verdict[key], (row["path"], key)
        assert [row["low"], row["high"]] == (verdict["interval"] or [None, None])
        assert row["doubts"] == [doubt["code"] for doubt in verdict["doubts"]]
        assert dict(row["left_out"]) == verdict["left_out"]
        ours = [track for track in tracks if track["path"] == row["path"]]
        theirs = sorted(verdict["tracks"], key=lambda track: track["id"])
        assert row["persons"] == len(ours) == len(theirs)
        for one, other in zip(ours, theirs, strict=True):
            assert [one["low"], one["high"]] == other["interval"]
            for key in ("id", "verdict", "p_fake"):
                assert one[key] == other[key]
            assert one["frames"] == len(other["frames"])
            assert one["worst_box"] in [frame["box"] for frame in other["frames"]]


def test_the_same_as_detect(archive: Path, tmp_path: Path, capsys: Captured) -> None:
    """And of a second run, nothing is left to do."""
    pytest.importorskip("av")
    out = tmp_path / "out"
    expected = detected(archive, capsys)
    assert {verdict["status"] for verdict in expected.values()} >= {"ok", "partial", "unreadable"}
    assert main(["scan", str(archive), str(out), "--workers", "2"]) == 3
    output = capsys.readouterr()
    assert "Dask's dashboard: http://127.0.0.1" in output.err
    check_equal(out, expected)
    start = time.process_time()
    assert main(["scan", str(archive), str(out), "--workers", "2"]) == 3
    again = capsys.readouterr()
    assert again.out == output.out and again.err == ""
    assert time.process_time() - start < 5


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_lose_nothing(tmp_path: Path, capsys: Captured, number: int) -> None:
    """To the whole group, as a terminal sends them."""
    folder, out = tmp_path / "many", tmp_path / "out"
    folder.mkdir()
    Image.fromarray(photo(900, 700)).save(folder / "0.png")
    for name in range(1, 300):
        (folder / f"{name}.png").hardlink_to(folder / "0.png")
    pair = saved_pair(small_pair(), tmp_path)
    arguments = [folder, out, "--workers", "2", "--crops", "--model", pair]
    with subprocess.Popen(
        [sys.executable, "-m", "minimeso", "scan", *map(str, arguments)],
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as running:
        assert running.stderr is not None
        assert b"dashboard" in running.stderr.readline()
        time.sleep(1.5)
        os.killpg(running.pid, number)
        message = running.stderr.read().decode()
        status = running.wait(60)
    if status == 0:  # a machine that judges 300 pictures in 1.5 s shows nothing here
        pytest.skip("it was done before the signal came")
    assert status == 128 + number, message
    assert message.startswith("minimeso: stopped: ") and message.count("\n") == 1, message
    done = len(rows(out)) if (out / "files").exists() else 0
    assert f"stopped: {done} of 300 files" in message
    assert main(["scan", *map(str, arguments)]) == 0
    assert len({row["path"] for row in rows(out)}) == 300 == len(rows(out))
    assert "300 files" in capsys.readouterr().out


def test_ctrl_c_while_workers_start(tmp_path: Path) -> None:
    """A terminal sends it to them, too, which are just importing something."""
    (tmp_path / "in").mkdir()
    Image.fromarray(photo()).save(tmp_path / "in" / "a.png")
    model = saved(constant_detector(3.0), tmp_path)
    arguments = [tmp_path / "in", tmp_path / "out", "--workers", "2", "--crops", "--model", model]
    with subprocess.Popen(
        [sys.executable, "-m", "minimeso", "scan", *map(str, arguments)],
        stderr=subprocess.PIPE,
        start_new_session=True,
        text=True,
    ) as running:
        while running.poll() is None and len(psutil.Process(running.pid).children()) < 2:
            time.sleep(0.02)
        time.sleep(0.3)
        os.killpg(running.pid, signal.SIGINT)
        _, errors = running.communicate(timeout=120)
    assert running.returncode == 130
    said = [line for line in errors.splitlines() if "dashboard" not in line]
    assert len(said) == 1 and said[0].startswith("minimeso: stopped: 0 of 1 files"), errors


def test_a_scan_that_is_killed_leaves_nobody_behind(tmp_path: Path) -> None:
    """Workers and what judges end by themselves; the next run does the rest."""
    folder, out = tmp_path / "many", tmp_path / "out"
    folder.mkdir()
    Image.fromarray(photo(900, 700)).save(folder / "0.png")
    for name in range(1, 100):
        (folder / f"{name}.png").hardlink_to(folder / "0.png")
    pair = saved_pair(small_pair(), tmp_path)
    arguments = [folder, out, "--workers", "2", "--crops", "--model", pair]
    with process(*arguments) as running:
        assert running.stderr is not None
        assert b"dashboard" in running.stderr.readline()
        family = until_it_judges(psutil.Process(running.pid))
        running.kill()
    _, left = psutil.wait_procs(family, timeout=40)
    assert not left
    assert main(["scan", *map(str, arguments)]) == 0
    assert len({row["path"] for row in rows(out)}) == 100 == len(rows(out))


def test_summary_report_and_fail_on(tmp_path: Path, capsys: Captured) -> None:
    folder, out, page = tmp_path / "in", tmp_path / "out", tmp_path / "page.html"
    folder.mkdir()
    Image.fromarray(photo()).save(folder / "a.png")
    (folder / "<b>.jpg").write_text("no picture")
    model = saved(constant_detector(3.0), tmp_path)
    scan = ["scan", str(folder), str(out), "--crops", "--model", model, "--workers", "1"]
    assert main([*scan, "--report", str(page), "--fail-on", "fake"]) == 1
    text = capsys.readouterr().out
    assert text == (
        "2 files, 1 person\n           1  fake\n           1  unreadable\n"
        "unreadable: 1  neither a picture nor a clip of a known format: save it as JPEG, PNG or "
        "MP4\nmost suspect:\n"
        f"  p_fake  95.3 %  {folder}/a.png\n"
    )
    html = page.read_text()
    assert html.index("a.png") < html.index("&lt;b&gt;.jpg") and "<b>.jpg" not in html
    assert str(tmp_path) not in html.replace(model, "") and "95.3" in html
    assert main(["scan", "--summary", str(out)]) == 3
    assert capsys.readouterr().out == text
    assert main(["scan", "--summary", str(out), "--json", "--fail-on", "uncertain"]) == 1
    data = json.loads(capsys.readouterr().out)
    assert (data["schema"], data["files"], data["persons"]) == (1, 2, 1)
    assert data["results"] == {"fake": 1, "unreadable": 1}
    assert list(data["unreadable"].values()) == [1] and not data["reasons"]
    assert [row["p_fake"] is None for row in data["suspects"]] == [False, True]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["a"], "name SOURCE and OUT"),
        (["a", "b", "--summary", "c"], "leave out SOURCE"),
        (["--summary", "OUT"], "no data set"),
        (["gone", "OUT"], "no such folder"),
        (["IN", "OUT", "--report", "page.txt"], "name it .html"),
        (["IN", "OUT", "--model", "gone"], "gone"),
        (["IN", "OUT", "--workers", "2", "--scheduler", "tcp://127.0.0.1:1"], "--workers"),
        (["IN", "OUT", "--fps", "2", "--every-frame"], "exclude"),
        (["IN", "OUT", "--crops", "--min-face", "20"], "--crops searches for no faces"),
        (["IN", "OUT", "--memory", "1"], "give 64 MiB or more"),
        (["IN", ""], "OUT is empty"),
        (["IN", "IN/a.png"], "a.png: cannot be listed"),
        (["IN", "OUT", "--column", "path"], "--column is for tables"),
        (["gone://x", "OUT"], "gone://x"),
    ],
)
def test_wrong_usage(tmp_path: Path, capsys: Captured, arguments: list[str], said: str) -> None:
    (tmp_path / "in").mkdir()
    Image.fromarray(photo()).save(tmp_path / "in" / "a.png")
    places = {"IN": str(tmp_path / "in"), "OUT": str(tmp_path / "out")}
    words = [word.replace("IN/", f"{places['IN']}/") for word in arguments]
    assert main(["scan", *(places.get(word, word) for word in words)]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_report_that_cannot_be_written_is_said_first(tmp_path: Path, capsys: Captured) -> None:
    page = tmp_path / "gone" / "page.html"
    assert main(["scan", str(tmp_path), str(tmp_path / "out"), "--report", str(page)]) == 4
    assert str(page) in capsys.readouterr().err and not (tmp_path / "out").exists()


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps the current folder")
def test_relative_names_where_the_current_folder_was_deleted(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "here").rmdir()
    whole = str(tmp_path / "out")
    for source, out in ((str(tmp_path), "OUT"), ("list.txt", whole)):
        assert main(["scan", source, out]) == 2
        assert "the current folder was deleted: give the whole path" in capsys.readouterr().err
    assert main(["scan", str(tmp_path), whole, "--report", "page.html"]) == 4
    assert "page.html: cannot be written" in capsys.readouterr().err


def test_a_report_in_the_folder_that_is_to_be_made(tmp_path: Path, capsys: Captured) -> None:
    """Of the data set, which the scan makes before it writes the page."""
    (tmp_path / "in").mkdir()
    page = tmp_path / "out" / "page.html"
    assert main(["scan", str(tmp_path / "in"), str(tmp_path / "out"), "--report", str(page)]) == 3
    assert page.exists(), capsys.readouterr().err


def test_passwords_of_addresses_are_not_said(capsys: Captured) -> None:
    assert main(["scan", "--summary", "memory://me:secret@nowhere"]) == 2
    said = capsys.readouterr().err
    assert "memory://me@nowhere: no data set" in said and "secret" not in said


@pytest.mark.parametrize("scheduler", [None, "tcp://there"])
def test_who_has_no_workers_is_told_what_to_start(capsys: Captured, scheduler: str | None) -> None:
    """This machine's own come back by themselves."""
    from minimeso.cli.scan import _judge
    from minimeso.scan import State

    class NoWorkers:
        def run(self, tell: Callable[[State], None], _: object) -> State:
            tell(state := State("judging"))
            return state

    scan: Any = NoWorkers()
    _judge(scan, scheduler is not None)
    assert ("dask worker" in capsys.readouterr().err) == (scheduler is not None)


def test_nothing_to_judge_is_said(tmp_path: Path, capsys: Captured) -> None:
    """As where a disk is not there."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "notes.doc").write_text("no picture")
    assert main(["scan", str(tmp_path / "in"), str(tmp_path / "out")]) == 3
    assert capsys.readouterr().err == (
        f"minimeso: not looked at: 1 .doc\nminimeso: {tmp_path}/in: no pictures or clips in it\n"
    )


def test_a_page_of_damaged_settings(tmp_path: Path, capsys: Captured) -> None:
    from support.scans import outcome, write

    write(tmp_path / "out", outcome("a")).describe("s", {})
    (tmp_path / "out" / "_settings" / "s.json").write_text("")
    summary = ["scan", "--summary", str(tmp_path / "out")]
    assert main([*summary, "--report", str(tmp_path / "page.html")]) == 2
    assert "_settings/s.json: damaged" in capsys.readouterr().err


def test_a_page_says_nothing_of_frames_and_where_they_were_judged(tmp_path: Path) -> None:
    """It said that the model has no heat map, that one computer did everything and that the page
    shows faces, and not what such verdicts are worth."""
    from support.scans import outcome, write

    write(tmp_path / "out", outcome("a")).describe("s", {"model": "default"})
    page = tmp_path / "page.html"
    main(["scan", "--summary", str(tmp_path / "out"), "--report", str(page)])
    text = page.read_text(encoding="utf-8")
    for said in ("heat map", "thick edge", "on one computer", "shows faces"):
        assert said not in text, said
    assert "It names files and shows none of them" in text and "Thresholds of this model" in text
    assert "on sources of fakes that its training never saw" in text


def test_a_page_without_its_model_names_no_thresholds(tmp_path: Path) -> None:
    """It lies on another machine, say; "fake from 100 %" stood there."""
    from support.scans import outcome, write

    write(tmp_path / "out", outcome("a")).describe("s", {"model": str(tmp_path / "gone.npz")})
    page = tmp_path / "page.html"
    main(["scan", "--summary", str(tmp_path / "out"), "--report", str(page)])
    text = page.read_text(encoding="utf-8")
    assert "How a verdict comes about" in text and "Thresholds of this model" not in text
    assert "gone.npz" in text and str(tmp_path) not in text  # nothing about the place
    assert "The model is not here" in text and "Nobody wrote down" not in text  # it may have a card


def test_a_page_without_settings_names_no_model(tmp_path: Path) -> None:
    """It said what the default one cannot do."""
    from support.scans import outcome, write

    write(tmp_path / "out", outcome("a"))
    page = tmp_path / "page.html"
    main(["scan", "--summary", str(tmp_path / "out"), "--report", str(page)])
    text = page.read_text(encoding="utf-8")
    assert "The model is not here" in text and "Thresholds of this model" not in text


@pytest.mark.parametrize("told", [{"model": 5}, {"piece": "x"}, {"piece": 0.5}, {"finder": [1]}])
def test_a_page_of_settings_of_others(
    tmp_path: Path, capsys: Captured, told: dict[str, object]
) -> None:
    """It needs no model; it was a traceback."""
    from support.scans import outcome, write

    write(tmp_path / "out", outcome("a")).describe("s", told)
    page = tmp_path / "page.html"
    assert main(["scan", "--summary", str(tmp_path / "out"), "--report", str(page)]) == 0
    capsys.readouterr()
    assert "1 file" in page.read_text()


def test_no_scheduler(tmp_path: Path, capsys: Captured) -> None:
    Image.fromarray(photo()).save(tmp_path / "a.png")
    scan = ["scan", str(tmp_path), str(tmp_path / "out"), "--scheduler", "tcp://127.0.0.1:1"]
    assert main(scan) == 2
    assert "no scheduler answers" in capsys.readouterr().err


def test_without_the_extra(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    from minimeso import scan

    monkeypatch.setattr(scan, "PACKAGES", ("distributed", "nothing_like_it"))
    assert main(["scan", str(tmp_path), str(tmp_path / "out")]) == 2
    assert "pip install 'minimeso[scan]'" in capsys.readouterr().err
