"""The paper's experiments on tiny data: what they write, that they resume, that they do not lie."""

from __future__ import annotations

import csv
import math
import random
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("kornia")
pytest.importorskip("matplotlib")

from PIL import Image  # noqa: E402

from minimeso import Model, save_model  # noqa: E402
from minimeso.networks import NETWORKS  # noqa: E402
from tools.paper import __main__ as command  # noqa: E402
from tools.paper import figures_of_paper as paper  # noqa: E402
from tools.paper import results, table1, table2, table3, table4  # noqa: E402
from tools.train import detectors, faces  # noqa: E402

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


def paper_main(name: str, data: Path | None, out: Path, *more: str) -> int:
    given = ("--data", str(data)) if data else ()
    return command.main([name, *given, "--out", str(out), *more])


def rows_of(out: Path, name: str) -> list[results.Row]:
    return results.read_rows(out / name / "runs.csv")


# --- the experiments -------------------------------------------------------------------------


def test_stage_1_is_the_paper_s_protocol(done: Path) -> None:
    rows = rows_of(done, "table1")
    assert [row["activation"] for row in rows] == list(paper.TABLE1)
    assert all(0 <= float(row["val_accuracy"]) <= 1 for row in rows)
    for path in done.glob("table1/checkpoints/*/last.pt"):
        recipe = detectors.load_checkpoint(path)["recipe"]
        assert recipe["architecture"] == "mesoinception4"
        changed = ("activation", "epochs", "precision", "limit")
        assert detectors.Recipe(**recipe) == replace(
            detectors.Recipe(), **{name: recipe[name] for name in changed}
        )
    text = (done / "table1" / "table1.md").read_text()
    assert "smoke run" in text and "1 of the paper's 12 runs" in text
    assert "4 faces to train and 4 to validate (12,353 in all there" in text
    assert "pairs of DFDC" in text and "kept its first rate" in text
    for row in results.read_rows(done / "table1" / "table1.csv"):
        accuracy = float(row["train_accuracy"])
        assert f"| {paper.NAMES[row['activation']]} | 1 | {accuracy:.3f} |" in text


def test_stage_2_is_every_setting_and_rate(done: Path) -> None:
    rows = rows_of(done, "table2")
    found = [(row["activation"], float(row["learning_rate"])) for row in rows]
    assert found == table2.SETTINGS and len(found) == 12
    first = done / "table2/checkpoints/pish-0.01-split1-seed0/last.pt"
    assert detectors.load_checkpoint(first)["recipe"]["learning_rate"] == 0.01
    text = (done / "table2" / "table2.md").read_text()
    assert "| Pish 1e-4 | 1 |" in text and "All runs are of one division" in text


def test_stage_3_judges_the_best_by_our_engine(done: Path, data: Path) -> None:
    rows = rows_of(done, "table3")
    assert len(rows) == 5
    best = table3.choose(rows_of(done, "table2"))
    assert [[row[name] for name in table3.KEY] for row in rows] == [
        [row[name] for name in table3.KEY] for row in best
    ]
    test = faces.load(data / "faces", "test", done / "cache", FEW.examples)
    for row in rows:
        name = "{activation}-{learning_rate}-split1-seed0".format(**row)
        saved = detectors.load_checkpoint(done / "table2/checkpoints" / name / "last.pt")
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


def test_times_are_taken_in_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    two = {name: paper.TABLE4[name] for name in ("relu", "pish")}
    monkeypatch.setattr(paper, "TABLE4", two)
    assert paper_main("table4", None, tmp_path) == 0
    rows = rows_of(tmp_path, "table4")
    assert len(rows) * table4.TURN == 50
    assert all(float(row["torch_pish_median_ms"]) > 0 for row in rows)
    assert all(float(row["p_fake_apart"]) < 1e-5 for row in rows)
    before = (tmp_path / "table4/table4.md").read_text()
    assert "50 random images" in before
    monkeypatch.setattr(table4, "_takers", None)  # nothing is left to measure
    assert paper_main("table4", None, tmp_path) == 0
    assert (tmp_path / "table4/table4.md").read_text() == before


def test_times_over_relu_are_those_of_a_round() -> None:
    """A machine that is slower in every round does not change them; a tenth more is found."""
    rng = np.random.default_rng(0)
    rows = []
    for speed in np.exp(rng.normal(0, 1, 60)):
        row = {}
        for engine in table4.ENGINES:
            for activation in paper.TABLE4:
                cost = 1.1 if activation == "pish" else 1.0
                ms = speed * (cost + 0.001 * rng.random())
                row |= {f"{engine}_{activation}_{k}_ms": str(ms) for k in ("median", "mean")}
        rows.append(row)
    found = {row["activation"]: row for row in table4.summarise(rows) if row["engine"] == "torch"}
    assert found["pish"]["over_low"] < 0.1 < found["pish"]["over_high"]
    assert found["pish"]["over_high"] - found["pish"]["over_low"] < 0.001
    assert found["relu"]["over"] == 0
    apart = {(d.one, d.other) for d in table4.differences(rows, "torch") if d.low > 0 or d.high < 0}
    assert apart == {(name, "pish") for name in paper.TABLE4 if name != "pish"}


def test_pish_and_its_derivative_agree(tmp_path: Path) -> None:
    assert paper_main("figure1", None, tmp_path) == 0
    (row,) = rows_of(tmp_path, "figure1")
    assert float(row["pish_minimeso_off"]) < 2e-6  # an ulp of 12.6
    assert float(row["derivative_autograd_off"]) < 1e-14
    assert float(row["derivative_minimeso_off"]) < 1e-8
    for key, wanted in (
        ("derivative_printed_at_0", 0.873240),
        ("least_at", -1.333340),
        ("least", -0.555545),
        ("slope", np.pi / 2),
    ):
        assert float(row[key]) == pytest.approx(wanted, abs=1e-6)
    assert float(row["printed_float32_nan_from"]) == pytest.approx(np.log(2.0**128), abs=0.02)
    curves = results.read_rows(tmp_path / "figure1" / "curves.csv")
    off = max(abs(float(c["pish_minimeso"]) - float(c["pish_printed"])) for c in curves)
    assert off == pytest.approx(float(row["pish_minimeso_off"]), rel=1e-6)
    before = {path: path.read_bytes() for path in (tmp_path / "figure1").iterdir()}
    assert paper_main("figure1", None, tmp_path, "--budget", "full") == 0
    assert before == {path: path.read_bytes() for path in (tmp_path / "figure1").iterdir()}
    assert "0.873240 | 0.873240" in (tmp_path / "figure1" / "figure1.md").read_text()


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
    rows = rows_of(done, "table2")
    best = table3.choose(rows)
    spoilt = [row | {"val_loss": "nan"} if row == best[0] else row for row in rows]
    chosen = table3.choose(spoilt)
    assert len(chosen) == 5 and best[0] not in chosen and best[1] in chosen


# --- resuming and rendering ------------------------------------------------------------------


def test_a_cut_loses_nothing(
    done: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C in the third run: two are kept, and all come out as without it."""
    evaluate, calls = detectors.evaluate, []

    def interrupted(*arguments: object) -> dict[str, float]:
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return evaluate(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(detectors, "evaluate", interrupted)
        assert paper_main("table1", data, tmp_path) == 130
        assert len(rows_of(tmp_path, "table1")) == 2
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

    monkeypatch.setattr(detectors, "train", never)
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


@pytest.mark.parametrize("name", sorted(path.parent.name for path in COMMITTED.glob("*/runs.csv")))
def test_committed_results_are_what_their_csv_says(name: str, tmp_path: Path) -> None:
    folder = COMMITTED / name
    made = [folder / f"{folder.name}.{kind}" for kind in ("csv", "md")]
    shutil.copytree(folder, tmp_path / folder.name, ignore=shutil.ignore_patterns("checkpoints"))
    assert paper_main(folder.name, None, tmp_path, "--render") == 0
    for path in made:
        assert (tmp_path / folder.name / path.name).read_text() == path.read_text()


# --- what is refused -------------------------------------------------------------------------


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
        results.write_rows(path, [row | {"train_faces": "5"} for row in results.read_rows(path)])
    elif spoil == "twice":
        path = again / "table1" / "runs.csv"
        results.write_rows(path, 2 * results.read_rows(path))
    elif spoil == "table2":
        shutil.rmtree(again / spoil)
    elif spoil == "checkpoints":
        shutil.rmtree(again / "table2" / spoil)
        shutil.rmtree(again / "table3")
    elif spoil == "rows":
        rows = results.read_rows(source)
        gone = ("pish", "0.0001")
        kept = [row for row in rows if (row["activation"], row["learning_rate"]) != gone]
        results.write_rows(source, kept)
    elif spoil == "order":
        rows = results.read_rows(source)
        chosen = {row["activation"] + row["learning_rate"] for row in rows_of(again, "table3")}
        for row in rows:
            if row["activation"] + row["learning_rate"] not in chosen:
                row["val_accuracy"] = "0.99"
        results.write_rows(source, rows)
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
    rows = results.read_rows(path)
    rows[1][column] = value
    results.write_rows(path, rows)
    capsys.readouterr()
    assert paper_main("table1", None, again, "--render") == 2
    (message,) = capsys.readouterr().err.splitlines()
    assert message.startswith("paper: ") and "edited" in message and "remove" in message


def test_help_names_every_experiment() -> None:
    """Started as the README says."""
    started = [sys.executable, "-m", "tools.paper", "--help"]
    root = Path(detectors.__file__).parent.parent.parent
    said = subprocess.run(started, cwd=root, capture_output=True, text=True, check=True).stdout
    assert all(name in said for name in command.EXPERIMENTS) and "examples:" in said


def test_no_data_and_nothing_to_render(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert paper_main("table1", tmp_path / "none", tmp_path) == 2
    assert "no such folder" in capsys.readouterr().err
    assert paper_main("table1", tmp_path, tmp_path) == 2
    assert "faces.csv" in capsys.readouterr().err
    assert paper_main("table2", None, tmp_path, "--render") == 2
    assert "run the experiment first" in capsys.readouterr().err


# --- the parts -------------------------------------------------------------------------------


def many(seed: int, means: dict[str, float], scatter: float, runs: int) -> dict[str, list[float]]:
    rng = np.random.default_rng(seed)
    return {name: (mean + scatter * rng.normal(size=runs)).tolist() for name, mean in means.items()}


@pytest.mark.parametrize(
    ("means", "scatter", "runs", "words"),
    [
        ({"a": 0.9, "b": 0.8, "c": 0.7}, 0.01, 5, "**So the order here is the paper's.**"),
        ({"a": 0.7, "b": 0.8, "c": 0.9}, 0.01, 5, "**So the order here is not the paper's.**"),
        ({"a": 0.9, "b": 0.9, "c": 0.9}, 0.01, 5, "**So the order here is noise"),
        ({"a": 0.9, "b": 0.9, "c": 0.7}, 0.01, 5, "lies as in the paper"),
        ({"a": 0.9, "b": 0.8, "c": 0.7}, 0.01, 1, "**With so few runs"),
    ],
)
def test_order_or_noise(means: dict[str, float], scatter: float, runs: int, words: str) -> None:
    figures = many(1, means, scatter, runs)
    names = {name: name.upper() for name in figures}
    between = results.differences(figures)
    ours = {name: float(np.mean(found)) for name, found in figures.items()}
    order = {"a": 3, "b": 2, "c": 1}
    statement = results.order_statement(ours, order, between, names)
    assert words in statement, statement
    if "is the paper's" in words:
        assert "here: A, B, C; in the paper: A, B, C." in statement
        assert "+1.00" in statement and "probability 0.167 (exact)" in statement
        lower = {name: -value for name, value in ours.items()}
        turned = [d._replace(by=-d.by, low=-d.high, high=-d.low) for d in between]
        assert words in results.order_statement(lower, order, turned, names, higher=False)


def test_equals_are_no_order() -> None:
    names = dict.fromkeys("abc", "X")
    order = {"a": 3, "b": 2, "c": 1}
    same = results.order_statement(dict.fromkeys("abc", 0.5), order, [], names)
    assert "X = X = X" in same and "All are equal" in same
    assert "approximate" in results.order_statement({"a": 1, "b": 1, "c": 0}, order, [], names)
    assert "no order to compare" in results.order_statement({"a": 1, "z": 2}, order, [], names)


def test_equals_of_the_paper_are_no_order_either() -> None:
    """Swish 1e-3 and Pish 1e-3 have the same printed figures, so neither comes before the other."""
    theirs = {table2.name_of(*setting): found for setting, found in paper.TABLE2.items()}
    names = {name: name for name in theirs}
    figures = many(0, {"pish 0.001": 0.9, "swish 0.001": 0.7}, 0.001, 3)
    means = {name: float(np.mean(found)) for name, found in figures.items()}
    statement = results.order_statement(means, theirs, results.differences(figures), names)
    assert "in the paper: swish 0.001 = pish 0.001." in statement
    assert "pish 0.001 before swish 0.001 by 0.200" in statement
    assert "other way round" not in statement and "not the paper's" not in statement


def test_a_run_that_diverged_leaves_the_others_their_figures() -> None:
    figures = {"a": [0.9, 0.91], "b": [0.8, 0.81], "c": [0.5, math.nan]}
    between = results.differences(figures)
    assert [(d.one, d.other) for d in between] == [("a", "b")] and between[0].low > 0
    found = results.over_runs(figures)
    assert all(map(math.isnan, found["c"])) and not any(map(math.isnan, found["a"]))
    means = {name: interval.mean for name, interval in found.items()}
    names = {name: name.upper() for name in figures}
    statement = results.order_statement(means, {"a": 3, "b": 2, "c": 1}, between, names)
    assert "Left out, because a run of it diverged: C." in statement
    assert "**So the order here is the paper's.**" in statement


def test_differences_hold_together() -> None:
    """Tukey's: their half width is q(0.95; 5 settings, 10 degrees of freedom) = 4.654, from any
    table, times the pooled deviation over the root of the runs."""
    figures = many(0, dict.fromkeys("abcde", 0.9), 0.01, 3)
    deviation = np.mean([np.var(runs, ddof=1) for runs in figures.values()]) ** 0.5
    found = results.differences(figures)
    assert len(found) == 10
    for one, other, by, low, high in found:
        assert by == pytest.approx(np.mean(figures[one]) - np.mean(figures[other]))
        assert high - by == pytest.approx(by - low)
        assert high - by == pytest.approx(4.654 * deviation / 3**0.5, rel=1e-3)


def test_what_runs_have_in_common_is_no_scatter() -> None:
    """A second division of the faces that is easier for all; q(0.95; 5, 8) = 4.886."""
    figures = many(0, dict.fromkeys("abcde", 0.5), 0.01, 3)
    shifted = {
        name: [v + 0.2 * run for run, v in enumerate(runs)] for name, runs in figures.items()
    }
    table = np.array(list(figures.values()))
    residuals = table - table.mean(0) - table.mean(1)[:, None] + table.mean()
    for given in (figures, shifted):
        for _, _, by, low, high in results.differences(given, blocks=True):
            wanted = 4.886 * (np.sum(residuals**2) / 8 / 3) ** 0.5
            assert high - by == pytest.approx(by - low) == pytest.approx(wanted, rel=1e-3)
    assert results.differences({"a": [1, 2], "b": [2, 3, 4]}, blocks=True) == results.differences(
        {"a": [1, 2], "b": [2, 3, 4]}
    )


def test_intervals_over_runs() -> None:
    """Of one setting they are Student's; the scatter of several is pooled, those with one run
    included."""
    alone = results.over_runs({"a": [0.8, 0.9, 1.0]})["a"]
    assert alone == pytest.approx((0.9, 0.9 - 0.248414, 0.9 + 0.248414), abs=1e-5)
    assert f"{alone}" == "0.900 ± 0.248"
    assert f"{results.over_runs({'a': [0.5]})['a']}" == "0.500"
    assert f"{results.Interval(0.5, 0.25, 0.625)}" == "0.500 [0.250, 0.625]"
    pooled = results.over_runs({"a": [0.8, 0.9, 1.0], "b": [0.5, 0.5, 0.5], "c": [0.1]})
    scatter = (0.02 / 4) ** 0.5
    for setting, runs in (("a", 3), ("b", 3), ("c", 1)):
        half = pooled[setting].high - pooled[setting].mean
        assert half == pytest.approx(2.776445 * scatter / runs**0.5, rel=1e-5)


def test_people_are_drawn_whole() -> None:
    """Ten faces of each person, all right or all wrong: as uncertain as so many people."""
    people = 40
    right = " ".join(f"{10 * (i % 2)}/10" for i in range(people))
    rows = [
        {"activation": "pish", "learning_rate": "0.001", "right_of_each_person": right},
        {"activation": "swish", "learning_rate": "0.01", "right_of_each_person": right},
    ]
    draws = table3.accuracies(rows)
    assert draws["pish", "0.001"].std() == pytest.approx(0.5 / people**0.5, rel=0.1)
    assert np.array_equal(*draws.values())  # the same people for all


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
    rows = [{k: results.cell(v) for k, v in row.items()} for row in table1.shipped(tmp_path)]
    assert [row["model"] for row in rows] == ["default", "other"]
    assert list(table1._shipped(rows)) == []
    bundled("pish", "pish", 0.8, seed=3)
    rows = [{k: results.cell(v) for k, v in row.items()} for row in table1.shipped(tmp_path)]
    text = "\n".join(table1._shipped(rows))
    assert "| Pish | `pish` | 20 | 0.600 | 0.800 [0.700, 0.900] |" in text
    assert text.index("`pish`") < text.index("`default`") and "`other`" not in text
    assert "here: Pish, Leaky ReLU; in the paper: Leaky ReLU, Pish" in text
