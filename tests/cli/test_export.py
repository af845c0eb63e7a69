"""``minimeso export``: which files there are, what is said, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.detectors import random_detector, saved, saved_pair, small_detector, small_pair

from minimeso.cli import main

Captured = pytest.CaptureFixture[str]


def test_a_network(tmp_path: Path, capsys: Captured) -> None:
    out = tmp_path / "new" / "folder"
    model = saved(random_detector(), tmp_path)
    assert main(["export", model, str(out), "--name", "mine", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["name"] == "mine"
    assert facts["files"] == ["mine.c", "mine.h", "mine.md", "mine_example.c"]
    assert {path.name for path in out.iterdir()} == set(facts["files"])
    assert f"MINE_ARENA_BYTES {facts['arena_bytes']} " in (out / "mine.h").read_text()
    assert facts["weight_bytes"] > 0


def test_a_pair_is_two_networks(tmp_path: Path, capsys: Captured) -> None:
    pair = saved_pair(small_pair(), tmp_path)
    assert main(["export", pair, str(tmp_path / "out"), "--plan"]) == 0
    assert capsys.readouterr().out.count(".plan: weights") == 2
    assert len(list((tmp_path / "out").glob("*.plan"))) == 2
    assert main(["export", pair, str(tmp_path / "out"), "--name", "mine"]) == 2


def test_networks_of_a_pair_with_one_name_in_c(tmp_path: Path, capsys: Captured) -> None:
    """The second was written over the first, and both were said to be there."""
    names = {"fast": small_detector("a-b", 1), "thorough": small_detector("a_b", 2)}
    pair = saved_pair(small_pair(**names), tmp_path)
    assert main(["export", pair, str(tmp_path / "out")]) == 2
    assert "a-b and a_b would both be a_b.c: export them one by one" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_size_and_floats(tmp_path: Path, capsys: Captured) -> None:
    assert main(["export", "yunet-s", str(tmp_path)]) == 2
    assert "--size" in capsys.readouterr().err
    assert main(["export", "yunet-s", str(tmp_path), "--size", "64x32", "--floats"]) == 0
    text = (tmp_path / "yunet_s.h").read_text()
    assert "image: 3 x 32 x 64 float" in text and "const float *image" in text
    assert not (tmp_path / "yunet_s_example.c").exists()


def test_a_file_is_no_folder(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "file").write_text("")
    assert main(["export", saved(random_detector(), tmp_path), str(tmp_path / "file")]) == 4
    assert "name a folder" in capsys.readouterr().err


def test_a_package_that_is_not_whole(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("minimeso.engine.paths._package", lambda: tmp_path / "package")
    model = saved(random_detector(), tmp_path)
    assert main(["export", model, str(tmp_path / "out"), "--plan", "--library"]) == 4
    error = capsys.readouterr().err
    assert error.endswith("install minimeso again\n") and "name a folder" not in error
