"""``minimeso detect`` as people and scripts use it: text, JSON, exit status, signals, odd names."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.detectors import constant_detector, photo, png_header, saved, saved_pair, small_pair

import minimeso
from minimeso.cli import main
from minimeso.cli.progress import ClipProgress, Progress
from minimeso.engine import native

PHOTO = photo()
KEYS = [
    "path", "status", "verdict", "p_fake", "interval", "prior", "faces", "model", "note", "doubts",
    "tracks", "frames_read", "frames_scored", "left_out", "file",
]  # fmt: skip
ROOT = Path(__file__).parent.parent.parent
COMMAND = [sys.executable, "-m", "minimeso"]

Captured = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return saved(constant_detector(3.0), tmp_path_factory.mktemp("models"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Pictures, good and bad, in a tree."""
    top = tmp_path / "pictures"
    (top / "below" / "deeper").mkdir(parents=True)
    (top / ".hidden").mkdir()
    image = Image.fromarray(PHOTO)
    for name in ("b.jpg", "a.PNG", "below/deeper/c.webp", ".hidden/x.jpg", ".y.jpg"):
        image.save(top / name)
    (top / "notes.txt").write_text("no picture, not judged")
    (top / "below" / "text.jpg").write_text("no picture, but named so")
    return top


def every_kind(folder: Path) -> dict[str, str]:
    """The pictures of the issue: path to status."""
    image = Image.fromarray(PHOTO)
    exif = Image.Exif()
    exif[274] = 6
    image.save(folder / "good.jpg", exif=exif)
    image.convert("L").save(folder / "grey.png")
    image.quantize(16).save(folder / "palette.png")
    image.convert("CMYK").save(folder / "print.jpg")
    Image.fromarray(PHOTO[:, :, 0].astype(np.uint16) * 257).save(folder / "deep.png")
    image.convert("RGBA").save(folder / "alpha.png")
    image.save(folder / "moving.gif", save_all=True, append_images=[image.rotate(90)])
    image.save(folder / "Gesicht ä 顔.jpg")
    data = (folder / "good.jpg").read_bytes()
    (folder / "cut.jpg").write_bytes(data[: len(data) // 2])
    (folder / "text.jpg").write_text("not a picture")
    (folder / "empty.jpg").touch()
    (folder / "bomb.png").write_bytes(png_header(60_000, 60_000))
    status = {str(path): "ok" for path in sorted(folder.iterdir())}
    for name in ("text.jpg", "empty.jpg", "bomb.png", "missing.jpg"):
        status[str(folder / name)] = "unreadable"
    return {**status, str(folder / "cut.jpg"): "partial"}


def process(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """``python -m minimeso`` with ``arguments`` and more environment."""
    command = [*COMMAND, *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, timeout=60, env={**os.environ, **environment}
    )


# --- text and JSON -----------------------------------------------------------------------


def test_on_a_terminal_a_plain_sentence_follows(
    model: str, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "photo.png"
    Image.fromarray(PHOTO).save(path)
    for arguments, expected in (([], True), (["--json"], False)):
        with monkeypatch.context() as patch:
            patch.setattr(sys.stdout, "isatty", lambda: True)
            assert main(["detect", str(path), "--crops", "--model", model, *arguments]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert len(lines) == 1 + expected
        assert not expected or lines[1].startswith("  1 face was judged, and it looks swapped in")
        assert "\\x" not in "".join(lines)


def test_a_report_tells_nothing_about_the_place_of_a_finder(model: str, tmp_path: Path) -> None:
    finder = tmp_path / "mine.npz"
    shutil.copy(Path(minimeso.__file__).parent / "models" / "yunet-s.npz", finder)
    Image.fromarray(PHOTO).save(tmp_path / "a.png")
    page = tmp_path / "page.html"
    arguments = ["--model", model, "--finder", str(finder), "--report", str(page)]
    assert main(["detect", str(tmp_path / "a.png"), *arguments]) == 0
    text = page.read_text(encoding="utf-8")
    assert "found by mine.npz" in text and str(tmp_path) not in text


def test_text(
    model: str, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Image.fromarray(PHOTO).save("photo.png")
    Path("text.jpg").write_text("no picture")
    assert main(["detect", "photo.png", "text.jpg", "gone.jpg", "--crops", "--model", model]) == 3
    output = capsys.readouterr()
    assert output.err == ""
    assert output.out == (
        "fake        p_fake  95.3 % (62 to >99 %)  photo.png\n"
        "unreadable                                text.jpg  "
        "(neither a picture nor a clip of a known format: save it as JPEG, PNG or MP4)\n"
        "unreadable                                gone.jpg  "
        "(No such file or directory: check the name)\n"
    )


def test_text_of_what_is_not_fake(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That nothing was found is no proof, so ``real`` is for programs; uncertain says why."""
    monkeypatch.chdir(tmp_path)
    Image.fromarray(PHOTO).save("a.png")
    path = saved(constant_detector(-4.0), tmp_path)
    assert main(["detect", "a.png", "--crops", "--model", path]) == 0
    assert capsys.readouterr().out == (
        "no trace of a swap of the kinds it knows  a.png  (p_fake 1.8 % (<1 to 18 %))\n"
    )
    assert main(["detect", "a.png", "--crops", "--model", path, "--prior", "0.95"]) == 0
    assert capsys.readouterr().out == (
        "uncertain   p_fake  25.8 % (3 to 81 %)    a.png  (prior 95 %; uncertain: p_fake may be "
        "anything from 2.8 to 80.9 %, there was one look only; it may help: a clip of some "
        "seconds, or more pictures)\n"
    )


@pytest.mark.parametrize(
    ("prior", "score", "said"),
    [("0.999999999", ">99.9 % (>99 to >99 %)", "prior >99.9 %"),
     ("5e-324", "<0.1 % (<1 to <1 %)", "prior 4.94e-322 %"),
     ("1e-9", "<0.1 % (<1 to <1 %)", "prior 1e-07 %")],
)  # fmt: skip
def test_priors_at_the_ends(
    model: str, tmp_path: Path, capsys: Captured, prior: str, score: str, said: str
) -> None:
    Image.fromarray(PHOTO).save(tmp_path / "a.png")
    arguments = ["--crops", "--model", model, "--prior", prior]
    assert main(["detect", str(tmp_path / "a.png"), *arguments]) == 0
    out = capsys.readouterr().out
    assert score in out and said in out
    assert main(["detect", str(tmp_path / "a.png"), "--json", *arguments]) == 0
    found = json.loads(capsys.readouterr().out)
    low, high = found["interval"]
    assert 0 <= low <= found["p_fake"] <= high <= 1 and found["prior"] == float(prior)


@pytest.mark.parametrize(
    ("logit", "statuses"),
    [(4.0, {None: 0, "fake": 1, "uncertain": 1}), (0.0, {"fake": 0, "uncertain": 1}),
     (-4.0, {"fake": 0, "uncertain": 0})],
)  # fmt: skip
def test_fail_on(tmp_path: Path, capsys: Captured, logit: float, statuses: dict[str, int]) -> None:
    """For scripts: a finding is an exit status, and more than that something is unreadable."""
    Image.fromarray(PHOTO).save(tmp_path / "a.png")
    path = saved(constant_detector(logit), tmp_path)
    for word, status in statuses.items():
        more = [] if word is None else ["--fail-on", word]
        assert (
            main(["detect", str(tmp_path / "a.png"), "--crops", "--model", path, *more]) == status
        )
    arguments = ["detect", str(tmp_path / "a.png"), "gone.jpg", "--crops", "--model", path]
    assert main([*arguments, "--fail-on", "fake"]) == (1 if statuses["fake"] else 3)


def test_a_report_tells_the_prior_where_it_was_chosen(
    model: str, tmp_path: Path, capsys: Captured
) -> None:
    Image.fromarray(PHOTO).save(tmp_path / "a.png")
    pages = []
    for prior in ([], ["--prior", "0.05"]):
        page = tmp_path / "page.html"
        path = str(tmp_path / "a.png")
        assert (
            main(["detect", path, "--crops", "--model", model, "--report", str(page), *prior]) == 0
        )
        pages.append(page.read_text())
    assert "taken to have" not in pages[0]
    assert "5 % of files are taken to have a swapped face" in pages[1]


def test_figures_of_other_sources_are_told_once(tmp_path: Path, capsys: Captured) -> None:
    Image.fromarray(PHOTO).save(tmp_path / "a.png")
    figures = {"trained_on": "A", "tested_on": "B", "auc": 0.74, "right_of_decided": 0.831}
    path = saved(constant_detector(4.0, meta={"out_of_source": figures}), tmp_path)
    arguments = ["detect", *[str(tmp_path / "a.png")] * 3, "--crops", "--model", path]
    assert main(arguments) == 0
    assert capsys.readouterr().err == (
        "minimeso: what such a network did on sources that its training never saw: trained on A "
        "and tested on B: AUC 0.74; of 100 verdicts other than uncertain 83 were right\n"
    )
    assert main([*arguments, "--json"]) == 0 == main([*arguments, "--prior", "0.1"])
    assert capsys.readouterr().err == ""


def test_json(model: str, tmp_path: Path, capsys: Captured) -> None:
    path = tmp_path / "photo.png"
    Image.fromarray(PHOTO).save(path)
    assert main(["detect", "--json", "--crops", "--model", model, str(path), "gone.jpg"]) == 3
    good, gone = map(json.loads, capsys.readouterr().out.splitlines())
    assert list(good) == list(gone) == KEYS
    assert good.pop("file") == {
        "name": "photo.png", "size": path.stat().st_size,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "container": "PNG",
        "codec": None, "duration": None, "encoder": None, "software": None,
        "digital_source_type": None, "c2pa": None,
    }  # fmt: skip
    assert gone.pop("file") is None
    p_fake = good["p_fake"]
    assert p_fake == pytest.approx(0.952574)
    interval = good["interval"]
    box = [0, 0, 90, 120]
    assert good == {
        "path": str(path), "status": "ok", "verdict": "fake", "p_fake": p_fake,
        "interval": interval, "prior": 0.5,
        "faces": [{"box": box, "p_fake": p_fake, "interval": interval, "verdict": "fake"}],
        "model": "constant", "note": None, "doubts": [],
        "tracks": [{
            "id": 1, "p_fake": p_fake, "interval": interval, "verdict": "fake", "doubts": [],
            "segments": [], "frames": [{"t": 0.0, "box": box, "p_fake": p_fake, "thorough": False}],
        }],
        "frames_read": 1, "frames_scored": 1, "left_out": {},
    }  # fmt: skip
    low, high = interval
    assert 0 < low < p_fake < high < 1
    assert gone == {
        "path": "gone.jpg", "status": "unreadable", "verdict": None, "p_fake": None,
        "interval": None, "prior": 0.5, "faces": [], "model": "constant",
        "note": "No such file or directory: check the name",
        "doubts": [], "tracks": [], "frames_read": 0, "frames_scored": 0, "left_out": {},
    }  # fmt: skip


def test_json_is_that_of_the_detector(model: str, folder: Path, capsys: Captured) -> None:
    path = str(folder / "b.jpg")
    assert main(["detect", "--json", "--crops", "--model", model, path]) == 0
    expected = minimeso.Detector(model, crops=True).check(path).to_json()
    found = json.loads(capsys.readouterr().out)
    assert found.pop("file")["name"] == "b.jpg" and found == expected


def test_every_kind_of_picture(model: str, tmp_path: Path, capsys: Captured) -> None:
    status = every_kind(tmp_path)
    assert main(["detect", "--json", "--crops", "--model", model, *status]) == 3
    verdicts = [json.loads(text) for text in capsys.readouterr().out.splitlines()]
    assert {v["path"]: v["status"] for v in verdicts} == status
    notes = {Path(v["path"]).name: v["note"] for v in verdicts}
    assert "cut short" in notes["cut.jpg"] and "bomb" in notes["bomb.png"]
    assert main(["detect", "--crops", "--model", model, *status]) == 3
    assert len(capsys.readouterr().out.splitlines()) == len(status)


def test_words_and_thresholds(tmp_path: Path, capsys: Captured) -> None:
    Image.fromarray(PHOTO).save(tmp_path / "a.png")
    for logit, word in ((-4.0, "no trace"), (0.0, "uncertain"), (4.0, "fake")):
        path = saved(constant_detector(logit), tmp_path)
        assert main(["detect", str(tmp_path / "a.png"), "--crops", "--model", path]) == 0
        assert capsys.readouterr().out.startswith(f"{word} ")


# --- folders -----------------------------------------------------------------------------


def test_folder(model: str, folder: Path, capsys: Captured) -> None:
    assert main(["detect", "--json", "--crops", "--model", model, str(folder)]) == 3
    verdicts = [json.loads(text) for text in capsys.readouterr().out.splitlines()]
    paths = [str(Path(v["path"]).relative_to(folder)) for v in verdicts]
    assert paths == ["a.PNG", "b.jpg", "below/deeper/c.webp", "below/text.jpg"]
    assert [v["status"] for v in verdicts] == ["ok", "ok", "ok", "unreadable"]


def test_wildcards_of_windows(
    model: str, folder: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whose shells leave them to the programs; a name may have such letters, too."""
    monkeypatch.setattr("minimeso.cli.inputs._SHELL_EXPANDS_NOTHING", True)
    shutil.copy(folder / "b.jpg", folder / "[b].jpg")
    (folder / "[a]").mkdir()
    asked = ["*b*.jpg", "[b].jpg", "?.none", "[a]"]
    paths = [str(folder / name) for name in asked]
    assert main(["detect", "--crops", "--json", "--model", model, *paths]) == 3
    found = capsys.readouterr()
    rows = [json.loads(row)["path"] for row in found.out.splitlines()]
    names = ["[b].jpg", "b.jpg", "[b].jpg", "?.none"]
    assert rows == [str(folder / name) for name in names]
    assert f"{folder / '[a]'}: no pictures or clips in it" in found.err


def test_empty_folder(model: str, tmp_path: Path, capsys: Captured) -> None:
    assert main(["detect", "--crops", "--model", model, str(tmp_path)]) == 3
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err == f"minimeso: {tmp_path}: no pictures or clips in it\n"


def test_what_is_not_looked_at_is_counted(model: str, tmp_path: Path, capsys: Captured) -> None:
    """And what has no ending is looked into."""
    for name in ("a.txt", "b.TXT", "c.pdf", ".d.png", "e"):
        (tmp_path / name).write_text("text")
    Image.fromarray(PHOTO).save(tmp_path / "photo", "PNG")
    (tmp_path / ".hidden").mkdir()
    assert main(["detect", "--crops", "--json", "--model", model, str(tmp_path)]) == 0
    output = capsys.readouterr()
    assert json.loads(output.out)["path"] == str(tmp_path / "photo")
    said = output.err.splitlines()[0].partition("not looked at: ")[2]
    assert sorted(said.split(", ")) == [
        "1 .pdf", "1 hidden files", "1 hidden folders", "1 without an ending", "2 .txt",
    ]  # fmt: skip


def test_links_are_followed_once(model: str, tmp_path: Path, capsys: Captured) -> None:
    photos, linked = tmp_path / "photos", tmp_path / "linked"
    photos.mkdir()
    linked.mkdir()
    Image.fromarray(PHOTO).save(photos / "a.png")
    (linked / "one").symlink_to(photos)
    (linked / "two").symlink_to(photos)
    (linked / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    assert main(["detect", "--crops", "--model", model, str(linked)]) == 3
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and "one/a.png" in lines[1]
    assert "gone.jpg  (a link to" in lines[0] and "not there: restore it" in lines[0]


def test_folder_that_may_not_be_opened(
    model: str, folder: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    scandir = os.scandir

    def refuse(path: Any) -> Any:
        if str(path).endswith("below"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert main(["detect", "--crops", "--model", model, str(folder)]) == 3
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 and "below  (Permission denied: ask for" in lines[2]


def test_folder_with_a_loop_of_links(model: str, folder: Path, capsys: Captured) -> None:
    (folder / "below" / "up").symlink_to(folder)
    assert main(["detect", "--crops", "--model", model, str(folder)]) == 3
    assert len(capsys.readouterr().out.splitlines()) == 4


def test_a_pair_and_its_fast_network_alone(tmp_path: Path, capsys: Captured) -> None:
    Image.fromarray(photo()).save(tmp_path / "a.png")
    arguments = ["detect", "--crops", "--json", "--model", saved_pair(small_pair(), tmp_path)]
    answers = []
    for options in ([], ["--fast"], ["--model", str(tmp_path / "quick.npz")]):
        assert main([*arguments, *options, str(tmp_path / "a.png")]) == 0
        answers.append(json.loads(capsys.readouterr().out))
    both, fast, alone = answers
    assert fast == alone and (both["model"], fast["model"]) == ("both", "quick")
    assert both["tracks"][0]["frames"][0]["thorough"] is True
    assert fast["tracks"][0]["frames"][0]["thorough"] is False
    assert both["p_fake"] != fast["p_fake"]


# --- usage -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["detect"], "PATH"),
        (["detect", "a.jpg", "--threads", "0"], "'0' is not a number from 1 to 1024"),
        (["detect", "a.jpg", "--threads", "9999999999999"], "is not a number"),
        (["detect", "a.jpg", "--prior", "1"], "'1' is not a number above 0 and below 1"),
        (["detect", "a.jpg", "--prior", "nan"], "'nan' is not a number"),
        (["detect", "a.jpg", "--no-such"], "--no-such"),
        (["detect", "a.jpg", "--model", "nobody"], "nobody: no bundled model"),
        (["detect", "a.jpg", "--model", os.devnull], "null"),
        ([], "COMMAND"),
        (["judge"], "judge"),
    ],
)
def test_wrong_usage(arguments: list[str], part: str, capsys: Captured) -> None:
    assert main(arguments) == 2
    output = capsys.readouterr()
    assert output.out == "" and part in output.err and "Traceback" not in output.err


def test_wrong_isa(model: str, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["detect", "a.jpg", "--crops", "--model", model, "--isa", "mmx"]) == 2
    assert "isa='mmx' is not an instruction set" in capsys.readouterr().err
    monkeypatch.setattr(native, "_WANTED_ISA", "mmx")
    assert main(["detect", "a.jpg", "--crops", "--model", model]) == 2
    assert "MINIMESO_ISA='mmx'" in capsys.readouterr().err


def test_isa_and_threads(model: str, folder: Path, isa: str, capsys: Captured) -> None:
    path = str(folder / "b.jpg")
    assert main(["detect", path, "--crops", "--model", model, "--isa", isa, "--threads", "2"]) == 0
    assert capsys.readouterr().out.startswith("fake")


def test_model_that_is_no_detector(folder: Path, tmp_path: Path, capsys: Captured) -> None:
    path = saved(constant_detector(1.0, thresholds=None), tmp_path)
    assert main(["detect", str(folder / "b.jpg"), "--crops", "--model", path]) == 2
    assert "no thresholds" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["detect", "info", "bench", "verify"])
def test_help_ends_with_examples(command: str, capsys: Captured) -> None:
    assert main([command, "--help"]) == 0
    examples = capsys.readouterr().out.partition("examples:\n")[2].splitlines()
    assert 2 <= len(examples) <= 3
    assert all(example.startswith(("  minimeso", "  python -m tools.")) for example in examples)


def test_help_and_version_load_no_pillow() -> None:
    program = (
        "import sys; from minimeso.cli import main\n"
        "print(main(['--version']), main(['detect', '--help']), main(['--help']))\n"
        "print(sorted({'PIL', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout.startswith(f"minimeso {minimeso.__version__}\n".encode())
    assert done.stdout.endswith(b"0 0 0\n[]\n")


def test_as_a_module_and_as_a_script() -> None:
    assert process("--version").stdout.decode() == f"minimeso {minimeso.__version__}\n"
    script = shutil.which("minimeso", path=Path(sys.executable).parent)
    if script is not None:
        done = subprocess.run([script, "--version"], capture_output=True, check=True)
        assert done.stdout.decode() == f"minimeso {minimeso.__version__}\n"


# --- odd names, signals, pipes -----------------------------------------------------------

ODD = ["Gesicht ä 顔.png", "two\nlines.png", "esc\x1b[31m.png", os.fsdecode(b"b\xff\xfe.png")]


@pytest.mark.parametrize("environment", [{}, {"LC_ALL": "C"}, {"PYTHONIOENCODING": "ascii"}])
def test_odd_names(model: str, tmp_path: Path, environment: dict[str, str]) -> None:
    for name in ODD:
        try:
            with (tmp_path / name).open("wb") as file:
                Image.fromarray(PHOTO[:60, :60]).save(file, "png")
        except OSError:
            pytest.skip("this file system refuses such names")
    paths = [str(tmp_path / name) for name in (*ODD, "gone\udcff\n顔.png")]
    text = process("detect", "--crops", "--model", model, *paths, **environment)
    assert text.returncode == 3 and text.stderr == b""
    assert text.stdout.count(b"\n") == len(paths) and b"\x1b" not in text.stdout
    done = process("detect", "--json", "--crops", "--model", model, *paths, **environment)
    assert done.returncode == 3 and done.stderr == b""
    assert [json.loads(row)["path"] for row in done.stdout.splitlines()] == paths
    done = process("detect", "--model", tmp_path / ODD[3] / "x", "a.png", **environment)
    assert done.returncode == 2 and b"Traceback" not in done.stderr


def start(*arguments: str) -> subprocess.Popen[bytes]:
    """``python -m minimeso`` with ``arguments``, left running."""
    command = [*COMMAND, *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    # a shell's background jobs, and what they start, ignore Ctrl-C
    heeded = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(command, **pipes)
    finally:
        signal.signal(signal.SIGINT, heeded)


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_ctrl_c_keeps_what_was_printed(model: str, folder: Path) -> None:
    with start(
        "detect", "--json", "--crops", "--model", model, *[str(folder / "b.jpg")] * 20000
    ) as running:
        assert running.stdout and running.stderr
        first = running.stdout.readline()  # lines come one by one
        running.send_signal(signal.SIGINT)
        rest = running.stdout.read().splitlines()
        assert running.wait(timeout=20) == 130
        assert running.stderr.read() == b""
    assert all(json.loads(row)["status"] == "ok" for row in (first, *rest))
    assert len(rest) < 19999


@pytest.mark.skipif(os.name != "posix", reason="pipes of POSIX")
def test_broken_pipe(model: str, folder: Path) -> None:
    with start("detect", "--crops", "--model", model, *[str(folder / "b.jpg")] * 20000) as running:
        assert running.stdout and running.stderr
        assert running.stdout.readline().startswith(b"fake")
        running.stdout.close()
        assert running.wait(timeout=20) == 141
        assert running.stderr.read() == b""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_full_disk(model: str, folder: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*COMMAND, "detect", "--crops", "--model", model, folder / "b.jpg"],
            stdout=full, stderr=subprocess.PIPE,
        )  # fmt: skip
    assert done.returncode == 4
    assert done.stderr.startswith(b"minimeso: the output cannot be written: No space")
    assert b"Traceback" not in done.stderr and b"Exception" not in done.stderr


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(5, "Input/output error", "in.jpg"), "in.jpg: Input/output error"),
        (OSError(5, "Input/output error"), "Input/output error"),
        (BrokenPipeError(32, "Broken pipe"), "Broken pipe"),
    ],
)
def test_what_goes_wrong_with_an_input_is_not_the_outputs_fault(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch, error: OSError, said: str
) -> None:
    def fail(*arguments: Any, **options: Any) -> None:
        raise error

    monkeypatch.setattr("minimeso.detect.Detector.check", fail)
    assert main(["detect", "in.jpg", "--crops"]) == 3
    assert capsys.readouterr().err == f"minimeso: {said}\n"
    print("stdout is still there")
    assert capsys.readouterr().out == "stdout is still there\n"


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (OSError(28, "No space left on device"), 4, "cannot be written: No space left on device"),
        (BrokenPipeError(32, "Broken pipe"), 141, ""),
    ],
)
@pytest.mark.parametrize("when", ["write", "flush"])
@pytest.mark.parametrize("options", [["info"], ["info", "--json"], ["info", "default"]])
def test_what_goes_wrong_with_stdout_is_the_outputs_fault(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch, error: OSError, status: int, said: str,
    when: str, options: list[str],
) -> None:  # fmt: skip
    class Broken(io.StringIO):
        def write(self, text: str) -> int:
            if when == "write":
                raise error
            return len(text)

        def flush(self) -> None:
            if when == "flush":
                raise error

    monkeypatch.setattr(sys, "stdout", Broken())
    assert main(options) == status
    assert said in capsys.readouterr().err


def test_messages_do_not_go_where_the_data_goes(
    model: str, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python has no stderr where a script closed it."""
    monkeypatch.setattr(sys, "stderr", None)
    assert main(["detect", "--crops", "--model", model, str(tmp_path)]) == 3
    assert capsys.readouterr().out == ""


def test_a_closed_stdin_is_an_input_that_cannot_be_read(
    model: str, folder: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    paths = ["-", str(folder / "b.jpg")]
    assert main(["detect", "--crops", "--json", "--model", model, *paths]) == 3
    verdicts = [json.loads(row) for row in capsys.readouterr().out.splitlines()]
    assert [verdict["status"] for verdict in verdicts] == ["unreadable", "ok"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_only_on_a_terminal(
    model: str, folder: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [str(folder / "b.jpg")] * 12
    assert main(["detect", "--crops", "--model", model, *paths]) == 0
    assert capsys.readouterr().err == ""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert main(["detect", "--crops", "--model", model, *paths]) == 0
    assert re.search(r"\r\x1b\[K12/12 .*b", terminal.getvalue())
    assert terminal.getvalue().endswith("\r\x1b[K")
    assert len(capsys.readouterr().out.splitlines()) == 12


@pytest.mark.skipif(os.name != "posix", reason="a terminal of POSIX")
@pytest.mark.parametrize("wide", [20, 40, 80])
def test_progress_fits_a_narrow_terminal_while_stdout_is_a_file(
    wide: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line that is too long leaves its first half behind each time; of a clip in many folders a
    name was all that was seen."""
    import fcntl
    import pty
    import termios

    pytest.importorskip("tqdm")
    monkeypatch.delenv("COLUMNS", raising=False)
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, wide, 0, 0))
    path = "/home/somebody/pictures/of/a/summer/" * 3 + "holiday.mp4"
    with os.fdopen(theirs, "w") as terminal, os.fdopen(ours, "rb", buffering=0) as screen:
        monkeypatch.setattr(sys, "stderr", terminal)
        Progress(12).show(3, path)
        with ClipProgress(path) as bar:
            bar.show(1.0, 0.42)
        said = ""
        while " left" not in said:
            said += screen.read(4096).decode()
    lines = [part for part in re.split(r"\r(?:\x1b\[K)?", said) if part.strip()]
    assert len(lines) >= 2 and all(len(part) <= wide for part in lines)
    assert lines[0].startswith("3/12 /home") and " left" in lines[1]
    assert wide == 20 or "iday.mp4: " in lines[1]
