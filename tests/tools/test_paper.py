"""The three stages on tiny data: what they write, that they resume, that they do not lie."""

from __future__ import annotations

import csv
import math
import random
import shutil
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pd = pytest.importorskip("pandas")
pytest.importorskip("kornia")
pytest.importorskip("matplotlib")

from PIL import Image  # noqa: E402
from support.paper_runs import paper_main, rows_of  # noqa: E402

from minimeso import Model, save_model  # noqa: E402
from minimeso.networks import NETWORKS  # noqa: E402
from tools.paper import figures_of_paper as paper  # noqa: E402
from tools.paper import results, table1, table2, table3  # noqa: E402
from tools.train import detectors, faces, trainer  # noqa: E402

COMMITTED = Path(table1.__file__).parent / "results"
PAIRS = {"train": 6, "val": 4, "test": 3}
FEW = results.Budget(runs=1, epochs=1, examples=4)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with faces/: pairs of noise as zips with a table, two pairs a person."""
    data = tmp_path_factory.mktemp("data")
    folder = data / "faces"
    folder.mkdir()
    rng = np.random.default_rng(0)
    rows = []
    for split, pairs in PAIRS.items():
        with zipfile.ZipFile(folder / f"{split}.zip", "w") as archive:
            for pair in range(pairs):
                for label in ("real", "fake"):
                    path = f"{label}/{pair}.png"
                    picture = Image.fromarray(rng.integers(0, 256, (64, 64, 3), np.uint8))
                    with archive.open(path, "w") as file:
                        picture.save(file, "png")
                    person = f"g{split}{pair // 2}/id{pair}"
                    rows.append((path, label, split, person, f"video{split}{pair}"))
    random.Random(0).shuffle(rows)
    with (folder / "faces.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(("path", "label", "split", "identity_or_source", "original_video"))
        table.writerows(rows)
    return data


@pytest.fixture(scope="module", autouse=True)
def few() -> Iterator[None]:
    """Smoke runs with fewer faces."""
    with pytest.MonkeyPatch.context() as patch:
        for experiment in (table1, table2):
            patch.setitem(experiment.BUDGETS, "smoke", FEW)
        yield


@pytest.fixture(scope="module")
def done(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of the experiments on faces, at budget smoke."""
    out = tmp_path_factory.mktemp("done")
    for name in ("table1", "table2", "table3"):
        assert paper_main(name, data, out) == 0
    return out


@pytest.fixture
def again(done: Path, tmp_path: Path) -> Path:
    """A copy of these results, to be spoilt."""
    return Path(shutil.copytree(done, tmp_path / "again"))


def test_stage_1_is_the_paper_s_protocol(done: Path) -> None:
    rows = rows_of(done, "table1")
    assert [row["activation"] for row in rows] == list(paper.TABLE1)
    assert all(0 <= float(row["val_accuracy"]) <= 1 for row in rows)
    for path in done.glob("table1/checkpoints/*/last.pt"):
        recipe = trainer.load_checkpoint(path)["recipe"]
        assert recipe["architecture"] == "mesoinception4"
        changed = ("activation", "epochs", "precision", "limit")
        assert detectors.Recipe(**recipe) == replace(
            detectors.Recipe(), **{name: recipe[name] for name in changed}
        )
    text = (done / "table1" / "table1.md").read_text()
    assert "smoke run" in text and "1 of the paper's 12 runs" in text
    assert "4 faces to train and 4 to validate (12,353 in all there" in text
    assert "pairs of DFDC" in text and "kept its first rate" in text
    for row in results.read_table(done / "table1" / "table1.csv").to_dict("records"):
        accuracy = float(row["train_accuracy"])
        assert f"| {paper.NAMES[row['activation']]} | 1 | {accuracy:.3f} |" in text


def test_stage_2_is_every_setting_and_rate(done: Path) -> None:
    rows = rows_of(done, "table2")
    found = [(row["activation"], float(row["learning_rate"])) for row in rows]
    assert found == table2.SETTINGS and len(found) == 12
    first = done / "table2/checkpoints/pish-0.01-split1-seed0/last.pt"
    assert trainer.load_checkpoint(first)["recipe"]["learning_rate"] == 0.01
    text = (done / "table2" / "table2.md").read_text()
    assert "| Pish 1e-4 | 1 |" in text and "All runs are of one division" in text


def test_stage_3_judges_the_best_by_our_engine(done: Path, data: Path) -> None:
    rows = rows_of(done, "table3")
    assert len(rows) == 5
    best = table3.choose(results.read_table(done / "table2" / "runs.csv"))
    assert [[row[name] for name in table3.KEY] for row in rows] == [
        [row[name] for name in table3.KEY] for row in best
    ]
    test = faces.load(data / "faces", "test", done / "cache", FEW.examples)
    for row in rows:
        name = "{activation}-{learning_rate}-split1-seed0".format(**row)
        saved = trainer.load_checkpoint(done / "table2/checkpoints" / name / "last.pt")
        network = table3_network(saved)
        wanted = detectors.evaluate(network, test, "mse", torch.device("cpu"))
        assert float(row["auc"]) == pytest.approx(wanted["val_auc"], abs=1e-5)
        assert float(row["accuracy"]) == pytest.approx(wanted["val_accuracy"], abs=1e-5)
        right, of = np.array([p.split("/") for p in row["right_of_each_person"].split()], int).T
        assert of.tolist() == [4]  # two identities of a group, which may be one person
        assert right.sum() / 4 == pytest.approx(float(row["accuracy"]))


def table3_network(saved: dict) -> torch.nn.Module:
    from tools.train import networks

    network = networks.build(saved["architecture"], saved["activation"])
    network.load_state_dict(saved["state_dict"])
    return network


def test_a_run_that_diverges_leaves_a_table(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its row stands, and nothing else is lost."""
    monkeypatch.setattr(table1, "RATE", 1e30)
    two = {name: paper.TABLE1[name] for name in ("relu", "pish")}
    monkeypatch.setattr(paper, "TABLE1", two)
    for seed in ("0", "1"):
        assert paper_main("table1", data, tmp_path, "--seed", seed) == 0
    assert all(math.isnan(float(row["val_loss"])) for row in rows_of(tmp_path, "table1"))
    text = (tmp_path / "table1" / "table1.md").read_text()
    assert "diverged, so that their loss is no number: 4 (Pish at 1e+30, ReLU at 1e+30)" in text


def test_a_model_that_diverged_is_not_chosen(done: Path) -> None:
    rows = results.read_table(done / "table2" / "runs.csv")
    best = table3.choose(rows)
    rows.loc[[row == best[0] for row in rows.to_dict("records")], "val_loss"] = "nan"
    chosen = table3.choose(rows)
    assert len(chosen) == 5 and best[0] not in chosen and best[1] in chosen


def test_a_cut_loses_nothing(
    done: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C in the third run of five: two epochs are kept, all come out as without it."""
    evaluate, calls = detectors.evaluate, []

    def interrupted(*arguments: object) -> dict[str, float]:
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return evaluate(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(detectors, "evaluate", interrupted)
        assert paper_main("table1", data, tmp_path) == 130
        assert len(list((tmp_path / "table1" / "checkpoints").glob("*/last.pt"))) == 2
        assert paper_main("table1", data, tmp_path) == 0
        assert len(calls) == 6
    pairs = zip(rows_of(tmp_path, "table1"), rows_of(done, "table1"), strict=True)
    for mine, whole in pairs:
        assert mine | {"seconds": ""} == whole | {"seconds": ""}


@pytest.mark.parametrize("name", ["table1", "table2", "table3"])
def test_finished_runs_are_not_done_again(
    again: Path, data: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("done again")

    monkeypatch.setattr(detectors, "train_together", never)
    monkeypatch.setattr(faces, "load", never)
    before = (again / name / "runs.csv").read_bytes()
    assert paper_main(name, data, again) == 0
    assert (again / name / "runs.csv").read_bytes() == before


def test_more_seeds_are_more_runs(again: Path, data: Path) -> None:
    """With them come intervals."""
    assert paper_main("table1", data, again, "--seed", "7") == 0
    rows = rows_of(again, "table1")
    assert [row["seed"] for row in rows] == ["0"] * 5 + ["7"] * 5
    text = (again / "table1" / "table1.md").read_text()
    assert "| Mish | 2 |" in text and " ± " in text and "2 of the paper's 12 runs" in text


@pytest.mark.parametrize("name", ["table1", "table2", "table3"])
def test_pages_are_made_of_the_csv_files(again: Path, name: str) -> None:
    made = [again / name / f"{name}.{kind}" for kind in ("csv", "md", "png")]
    before = [path.read_bytes() for path in made]
    for path in made:
        path.unlink()
    shutil.rmtree(again / name / "checkpoints", ignore_errors=True)
    assert paper_main(name, None, again, "--render") == 0
    assert [path.read_bytes() for path in made] == before


@pytest.mark.parametrize(
    ("name", "spoil", "more", "words"),
    [
        ("table1", None, ("--budget", "cpu"), ("runs.csv", "budget smoke", "--out")),
        ("table1", "", ("--seed", "1"), ("--data",)),
        ("table1", "table1/runs.csv", (), ("runs.csv", "remove")),
        ("table1", None, ("--seed", "1", "--device", "nonsense"), ("nonsense", "cpu")),
        ("table1", "faces", ("--seed", "1"), ("runs.csv", "other faces (train_faces 5", "--data")),
        ("table1", "twice", (), ("runs.csv", "stands in it twice")),
        ("table3", None, ("--budget", "cpu"), ("table2", "budget smoke", "--out")),
        ("table3", "table2", (), ("table2", "first run: python -m tools.paper table2")),
        ("table3", "rows", (), ("table2", "Pish 1e-4", "first run:")),
        ("table3", "checkpoints", (), ("last.pt", "first run:")),
        ("table3", "order", (), ("looked at once", "--out")),
    ],
)
def test_refusals_are_one_line(
    again: Path,
    data: Path,
    name: str,
    spoil: str | None,
    more: tuple[str, ...],
    words: tuple[str, ...],
    capsys: pytest.CaptureFixture[str],
) -> None:
    source = again / "table2" / "runs.csv"
    if spoil == "table1/runs.csv":
        (again / spoil).write_text("budget,epochs\nsmoke\n")
    elif spoil == "faces":
        path = again / "table1" / "runs.csv"
        results.write_table(path, results.read_table(path).assign(train_faces="5"))
    elif spoil == "twice":
        path = again / "table1" / "runs.csv"
        results.write_table(path, pd.concat([results.read_table(path)] * 2))
    elif spoil == "table2":
        shutil.rmtree(again / spoil)
    elif spoil == "checkpoints":
        shutil.rmtree(again / "table2" / spoil)
        shutil.rmtree(again / "table3")
    elif spoil == "rows":
        rows = results.read_table(source)
        gone = (rows["activation"] == "pish") & (rows["learning_rate"] == "0.0001")
        results.write_table(source, rows[~gone])
    elif spoil == "order":
        rows = results.read_table(source)
        chosen = {row["activation"] + row["learning_rate"] for row in rows_of(again, "table3")}
        others = ~(rows["activation"] + rows["learning_rate"]).isin(chosen)
        rows.loc[others, "val_accuracy"] = "0.99"
        results.write_table(source, rows)
    capsys.readouterr()
    assert paper_main(name, None if spoil == "" else data, again, *more) == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert message.startswith("paper: ") and all(word in message for word in words), message


@pytest.mark.parametrize(
    ("column", "value"),
    [("val_accuracy", "abc"), ("val_auc", ""), ("activation", "gelu"), ("train_faces", "6,600")],
)
def test_a_table_edited_by_hand_is_one_line(
    again: Path, column: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = again / "table1" / "runs.csv"
    rows = results.read_table(path)
    rows.loc[1, column] = value
    results.write_table(path, rows)
    capsys.readouterr()
    assert paper_main("table1", None, again, "--render") == 2
    (message,) = capsys.readouterr().err.splitlines()
    assert message.startswith("paper: ") and "edited" in message and "remove" in message


def test_no_data_and_nothing_to_render(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert paper_main("table1", tmp_path / "none", tmp_path) == 2
    assert "no such folder" in capsys.readouterr().err
    assert paper_main("table1", tmp_path, tmp_path) == 2
    assert "faces.csv" in capsys.readouterr().err
    assert paper_main("table2", None, tmp_path, "--render") == 2
    assert "run the experiment first" in capsys.readouterr().err


def test_another_division_is_by_person(data: Path, tmp_path: Path) -> None:
    given = tuple(faces.load(data / "faces", split, tmp_path) for split in ("train", "val"))
    assert table2.divide(given, 1) == given
    one, two = table2.divide(given, 2)
    assert len(one) + len(two) == 20 and 0 < len(two) <= 8
    people = [{name.split("/")[0] for name in part.identity} for part in (one, two)]
    assert not people[0] & people[1]
    assert set(two.identity) != set(given[1].identity)
    for part in (one, two):
        assert part.fake.tolist() == [1, 0] * (len(part) // 2)
        assert (part.pair[0::2] == part.pair[1::2]).all()
        for index in range(len(part)):
            split = "train" if "train" in part.identity[index] else "val"
            archive = zipfile.ZipFile(data / "faces" / f"{split}.zip")
            with archive, archive.open(part.name[index]) as file:
                assert np.array_equal(part.images[index], np.asarray(Image.open(file)))


def test_another_division_of_folders_is_by_name(tmp_path: Path) -> None:
    for label in ("df", "real"):
        (tmp_path / label).mkdir()
        for number in range(10):
            pixels = np.full((64, 64, 3), 20 * number, np.uint8)
            Image.fromarray(pixels).save(tmp_path / label / f"{number:02}.png")
    given = tuple(faces.load(tmp_path, split, tmp_path / "cache") for split in ("train", "val"))
    one, two = table2.divide(given, 2)
    assert sorted(two.name) == ["df/00.png", "real/00.png"]
    assert faces.people(two).tolist() == list(two.identity)  # each face stands for itself
    assert len(one) == 18 and "df/09.png" in one.name


@pytest.fixture
def bundled(tmp_path: Path) -> Callable[..., None]:
    """Writes a model file as `tools/train/release.py` does."""

    def write(name: str, activation: str, auc: float, **changed: object) -> None:
        from tools.convert import reference

        arrays = reference.random_arrays("mesoinception4", activation, 1e-5, 0)
        recipe = {**vars(detectors.Recipe(activation=activation, epochs=20)), **changed}
        figures = {"accuracy": 0.6, "auc": auc, "auc_low": auc - 0.1, "auc_high": auc + 0.1}
        meta = {"architecture": "mesoinception4", "activation": activation, "recipe": recipe}
        meta["metrics"] = {"val": figures, "test": figures}
        graph = NETWORKS["mesoinception4"](activation, 1e-5, False)
        model = Model(name, graph, graph.check_weights(arrays), meta=meta)
        save_model(model, tmp_path / f"{name}.npz")

    return write


def test_shipped_models_stand_beside(
    done: Path, tmp_path: Path, bundled: Callable[..., None]
) -> None:
    """Those of one recipe, which may differ in activation and seed only."""
    bundled("default", "leaky_relu", 0.75)
    bundled("other", "mish", 0.7, epochs=3)
    results.write_table(tmp_path / "shipped.csv", list(table1.shipped(tmp_path)))
    rows = results.read_table(tmp_path / "shipped.csv")
    assert rows["model"].tolist() == ["default", "other"]
    assert list(table1._shipped(rows)) == []
    bundled("default", "leaky_relu", 0.75, start="default.npz")  # went on from its former self
    bundled("pish", "pish", 0.8, seed=3, start="pish.npz")
    results.write_table(tmp_path / "shipped.csv", list(table1.shipped(tmp_path)))
    rows = results.read_table(tmp_path / "shipped.csv")
    text = "\n".join(table1._shipped(rows))
    assert "| Pish | `pish` | 20 | 0.600 | 0.800 [0.700, 0.900] |" in text
    assert text.index("`pish`") < text.index("`default`") and "`other`" not in text
    assert "here: Pish, Leaky ReLU; in the paper: Leaky ReLU = Pish" in text
