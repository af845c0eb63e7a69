"""Faces of several sets: nobody is in two splits, of each set as many fakes as real faces."""

from __future__ import annotations

import csv
import io
import os
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="the tools need the extra `train`")

from PIL import Image

from tools.train import sources
from tools.train.faces import MARGIN, DataError, frame
from tools.train.sets import BALANCED, SETS

COLUMNS = (
    "path", "label", "split", "set", "method", "identity_or_source", "original_video", "width",
    "height",
)  # fmt: skip


def _jpeg(side: int, level: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (side, side), (level, level, level)).save(file, "jpeg")
    return file.getvalue()


def _write(folder: Path, rows: list[dict[str, object]], archive: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "faces.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, COLUMNS, restval="")
        table.writeheader()
        table.writerows(rows)
    for name in {str(row[archive]) for row in rows}:
        with zipfile.ZipFile(folder / f"{name}.zip", "w") as made:
            for level, row in enumerate(rows):
                if row[archive] == name:
                    made.writestr(str(row["path"]), _jpeg(int(str(row["width"])), 40 + 5 * level))


def _row(name: str, split: str, people: str, method: str = "", **more: object) -> dict[str, object]:
    label = "fake" if method else "real"
    return {
        "path": f"{label}/{name}.jpg",
        "label": label,
        "split": split,
        "set": "ffpp",
        "method": method or "original",
        "identity_or_source": people,
        "original_video": people[:8],
        "width": 120,
        "height": 120,
    } | more


@pytest.fixture
def data(tmp_path: Path) -> Path:
    pairs = [
        {"path": f"{label}/{name}.jpg", "label": label, "split": split, "width": 224, "height": 224,
         "identity_or_source": f"{person}/id1", "original_video": name}
        for name, split, person in (("a", "train", "g1"), ("b", "val", "g2"), ("c", "test", "g3"))
        for label in ("real", "fake")
    ]  # fmt: skip
    _write(tmp_path / "faces", pairs, "split")
    more = [
        _row("1", "train", "ffpp-001-002"),
        _row("2", "train", "ffpp-001-002", width=100, height=100),
        _row("3", "train", "ffpp-001-002", "Deepfakes"),
        _row("4", "train", "ffpp-001-002", "Deepfakes"),
        _row("5", "train", "ffpp-001-002", "FaceSwap"),
        _row("6", "train", "ffpp-004-003"),  # 003 is in val
        _row("7", "val", "ffpp-003-005"),
        _row("8", "val", "ffpp-003-005", "NeuralTextures"),
        _row("9", "train", "g2/id9", set="dfdc", method="DFDC", label="fake", path="fake/9.jpg"),
    ]
    _write(tmp_path / "more", more, "set")
    return tmp_path


def test_nobody_is_in_two_splits(data: Path) -> None:
    rows = sources.tables(data)
    names = {Path(row.path).stem for row in rows}
    assert "6" not in names and "9" not in names and {"1", "7", "a", "b", "c"} <= names
    _assert_apart(rows)


def _assert_apart(rows: list[sources.Row]) -> None:
    splits: dict[str, set[str]] = {}
    for row in rows:
        for person in row.people:
            splits.setdefault(person, set()).add(row.split)
    assert splits and all(len(of_person) == 1 for of_person in splits.values())


def test_as_many_fakes_as_real_faces_evenly_over_methods(data: Path, tmp_path: Path) -> None:
    train = sources.load(data, "ffpp", "train", tmp_path / "cache")
    assert train.layout == "sets"
    assert Counter(train.fake.tolist()) == {0: 2, 1: 2}
    assert Counter(train.method) == {"original": 2, "Deepfakes": 1, "FaceSwap": 1}
    assert set(train.source) == {"ffpp"} and set(train.identity) == {"ffpp-001+ffpp-002"}


def test_framed_pictures_are_cut_in_their_middle_and_not_scaled(data: Path, tmp_path: Path) -> None:
    train = sources.load(data, "ffpp", "train", tmp_path / "cache")
    assert train.images.shape == (4, 120, 120, 3)
    for name, image, (x, y, width, height) in zip(
        train.name, train.images, train.squares, strict=True
    ):
        side = 100 if name == "real/2.jpg" else 120
        assert width == height == pytest.approx(side / 1.3)
        assert x == y == pytest.approx(side * MARGIN)
        assert np.ptp(image) == 0  # what is beside a smaller picture repeats its edge
        assert frame(image, (x, y, width, height)).shape == (256, 256, 3)


def test_at_most_so_many_faces_and_the_rarer_set_whole(data: Path) -> None:
    rows = [row for row in sources.tables(data) if row.split == "train"]
    assert Counter(row.set for row in sources.balanced(rows)) == {"dfdc": 2, "ffpp": 4}
    assert Counter(row.set for row in sources.balanced(rows, most=4)) == {"dfdc": 2, "ffpp": 2}


def test_the_same_faces_whatever_the_order_of_the_table(data: Path) -> None:
    rows = [row for row in sources.tables(data) if row.split == "train"]
    assert sources.balanced(rows) == sources.balanced(rows[::-1])


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("original_video", "video", "no column"),
        ("train", "tarin", "tarin"),
        ("120", "wide", "cannot be read"),
    ],
)
def test_a_damaged_table_is_named(data: Path, old: str, new: str, said: str) -> None:
    table = data / "more" / "faces.csv"
    table.write_text(table.read_text().replace(old, new))
    with pytest.raises(DataError, match=rf"faces\.csv.*{said}"):
        sources.tables(data)


def test_a_picture_of_another_size_than_its_table_says(data: Path, tmp_path: Path) -> None:
    table = data / "more" / "faces.csv"
    table.write_text(table.read_text().replace(",100,100", ",110,110"))
    with pytest.raises(DataError, match=r"real/2\.jpg"):
        sources.load(data, "ffpp", "train", tmp_path / "cache")


@pytest.mark.skipif("MINIMESO_DATA" not in os.environ, reason="needs MINIMESO_DATA")
def test_the_real_tables_keep_people_apart() -> None:
    folder = Path(os.environ["MINIMESO_DATA"])
    if not (folder / "more").is_dir():
        pytest.skip("no further sets there")
    rows = sources.tables(folder)
    _assert_apart(rows)
    assert {row.set for row in rows} == {"dfdc", "ffpp", "stills"}
    assert {row.split for row in rows} == {"train", "val", "test"}


def test_the_pilot_and_stage_1_on_a_set(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("kornia")
    from tools.paper import __main__ as command
    from tools.paper import pilot, results, table1

    few = results.Budget(runs=1, epochs=1, examples=4)
    for experiment in (pilot, table1):
        monkeypatch.setitem(experiment.BUDGETS, "smoke", few)
    arguments = ["--data", str(data), "--out", str(tmp_path / "out")]
    monkeypatch.setitem(SETS, "ffpp-swaps", SETS["ffpp"])  # val has neither swap here
    assert command.main(["pilot", *arguments]) == 0
    rows = results.read_table(tmp_path / "out" / "pilot" / "runs.csv")
    assert rows["set"].tolist() == [*BALANCED, *BALANCED, "ffpp-swaps"]
    protocols = ["paper"] * len(BALANCED) + ["pixel"] * len(BALANCED) + ["pixel-long"]
    assert rows["protocol"].tolist() == protocols
    assert rows["epochs"].tolist() == ["1"] * 2 * len(BALANCED) + ["2"]
    page = (tmp_path / "out" / "pilot" / "pilot.md").read_text()
    assert all(f"`{name}`" in page for name in BALANCED) and "V.AUC 0.85" in page
    assert command.main(["table1", "--set", "ffpp", *arguments]) == 0
    page = (tmp_path / "out" / "table1-ffpp" / "table1.md").read_text()
    assert "--set ffpp" in page and "DFDC" not in page.partition("## What was reduced")[2]
    assert not (tmp_path / "out" / "table1").exists()
    assert command.main(["table1", "--set", "ffpp", "--protocol", "pixel", *arguments]) == 0
    page = (tmp_path / "out" / "table1-ffpp-pixel" / "table1.md").read_text()
    assert "--protocol pixel" in page and "whole pixels" in page
    again = ["--set", "ffpp", "--protocol", "pixel", "--seed", "1"]
    assert command.main(["table1", *again, *arguments]) == 0
    assert command.main(["pilot", "--render", *arguments]) == 0
    page = (tmp_path / "out" / "pilot" / "pilot.md").read_text()
    assert "between 2 seeds (standard deviation, and its 95 % interval; all of stage 1)" in page
    assert "paper" not in set(
        results.read_table(tmp_path / "out" / "pilot" / "runs.csv")["machine"]
    )


def test_a_set_is_for_stage_1_only(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tools.paper import __main__ as command

    with pytest.raises(SystemExit) as status:
        command.main(["table4", "--set", "ffpp", "--data", str(data)])
    assert status.value.code == 2 and "--set" in capsys.readouterr().err
    with pytest.raises(SystemExit) as status:
        command.main(["table4", "--protocol", "pixel"])
    assert status.value.code == 2 and "--protocol" in capsys.readouterr().err
