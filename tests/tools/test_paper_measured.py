"""Table 4 and figure 1, and that the committed pages are what their CSV files say."""

from __future__ import annotations

import itertools
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pd = pytest.importorskip("pandas")
pytest.importorskip("kornia")
pytest.importorskip("matplotlib")


from support.paper_runs import paper_main, rows_of  # noqa: E402

from tools.paper import __main__ as command  # noqa: E402
from tools.paper import (  # noqa: E402
    elsewhere,
    figure3,
    page,
    pilot,
    results,
    table1,
    table2,
    table3,
    table4,
    table5,
)
from tools.paper import figures_of_paper as paper  # noqa: E402
from tools.train import detectors  # noqa: E402
from tools.train.sets import BALANCED  # noqa: E402

SUMMARY = {
    **{"set": "ffpp-swaps", "protocol": "paper", "about": "", "epochs": "1"},
    **{"train_faces": "1", "val_faces": "1"},
    **dict.fromkeys(("train_accuracy", "val_accuracy", "val_loss", "val_auc"), "0.5"),
}
COMMITTED = Path(table1.__file__).parent / "results"
PAIRS = {"train": 6, "val": 4, "test": 3}
FEW = results.Budget(runs=1, epochs=1, examples=4)


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
    rows = pd.DataFrame(rows)
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
    curves = results.read_table(tmp_path / "figure1" / "curves.csv").astype(float)
    off = (curves["pish_minimeso"] - curves["pish_printed"]).abs().max()
    assert off == pytest.approx(float(row["pish_minimeso_off"]), rel=1e-6)
    before = {path: path.read_bytes() for path in (tmp_path / "figure1").iterdir()}
    assert paper_main("figure1", None, tmp_path, "--budget", "full") == 0
    assert before == {path: path.read_bytes() for path in (tmp_path / "figure1").iterdir()}
    assert "0.873240 | 0.873240" in (tmp_path / "figure1" / "figure1.md").read_text()


@pytest.mark.parametrize("name", sorted(path.parent.name for path in COMMITTED.glob("*/*.md")))
def test_committed_results_are_what_their_csv_says(name: str, tmp_path: Path) -> None:
    """With the folders beside it, as some pages count the runs of others."""
    out = tmp_path / "results"
    shutil.copytree(COMMITTED, out, ignore=shutil.ignore_patterns("checkpoints", "*.md"))
    (page_of,) = (COMMITTED / name).glob("*.md")
    table = page_of.with_suffix(".csv")
    (out / name / table.name).unlink()
    assert paper_main(page_of.stem, None, out, *_how(page_of.stem, name), "--render") == 0
    for path in (page_of, table):
        assert (out / name / path.name).read_bytes() == path.read_bytes()


def test_the_shipped_models_are_those_there_are(tmp_path: Path) -> None:
    """The committed table of them says what their files say: whoever ships others makes it anew."""
    for path in table1.MODELS.glob("mesoinception4-*.npz"):
        (tmp_path / path.name).symlink_to(path)
    results.write_table(tmp_path / "shipped.csv", list(table1.shipped(tmp_path)))
    committed = COMMITTED / "table1" / "shipped.csv"
    assert committed.read_bytes() == (tmp_path / "shipped.csv").read_bytes()


def _how(experiment: str, folder: str) -> list[str]:
    """The options of the command that wrote into this folder."""
    for of_set, protocol in itertools.product(("", *BALANCED), results.PROTOCOLS):
        if results.called(experiment, of_set, protocol) == folder:
            return [*(["--set", of_set] if of_set else []), "--protocol", protocol]
    raise AssertionError(f"no command writes into {folder}")


def test_the_page_of_all_is_what_their_pages_say(tmp_path: Path) -> None:
    """Also of a set of faces, whose verdict stands at the top."""
    made = page.PAGE.parent / "never.md"  # links are relative to where it stands
    text = "\n\n".join(page.page(page.RESULTS, made)) + "\n"
    assert text == page.PAGE.read_text(encoding="utf-8")
    for path in re.findall(r"!\[[^]]*\]\(([^)]*)\)", text):
        assert (page.PAGE.parent / path).is_file(), path

    folder = tmp_path / "results" / "table1-ffpp"
    folder.mkdir(parents=True)
    said = "**Of the paper's 10 claims that one setting is better than another, 10 stay open.**"
    (folder / "table1.md").write_text(f"# Table 1\n\n{said}\n\n![x](table1.png)\n\n## More\n")
    text = "\n\n".join(page.page(tmp_path / "results", tmp_path / "docs" / "paper.md"))
    assert f"- Table 1, on `ffpp`: {said}" in text.split("## Table 1, on `ffpp`")[0]
    assert "](../results/table1-ffpp/table1.png)" in text and "### More" in text


def test_the_page_of_all_begins_with_what_each_says() -> None:
    """A reader finds the verdicts first, and then what the paper's abbreviations mean."""
    beginning = page.PAGE.read_text(encoding="utf-8").split("\n## ")[0]
    for name in ("table1-ffpp-swaps-pixel", "table2", "table3", "table4", "table5", "elsewhere"):
        text = (COMMITTED / name / f"{name.split('-')[0]}.md").read_text(encoding="utf-8")
        assert f"\n- {text.splitlines()[0][2:]}" in beginning, name
    for word in ("V.Acc", "V.AUC", "p_fake", "SD", "SE", "bf16", "AVX2", "DFDC"):
        assert word in beginning
    assert "on every engine hold: 8; are the other way round: Mish before Swish" in beginning


def test_the_pilot_says_what_its_few_runs_leave_open() -> None:
    """By the scatter between its seeds, and by that of stage 1's differences; a seed that was
    trained twice is told."""
    rows = results.read_table(COMMITTED / "pilot" / "runs.csv")
    stage1 = results.read_table(COMMITTED / "table1-ffpp-swaps-pixel" / "runs.csv")
    runs = [run for run in stage1.to_dict("records") if int(run["seed"]) < 2]
    (text,) = [part for part in pilot.page(rows, [SUMMARY], runs) if "between 2 seeds" in part]
    first, second = (float(r["val_accuracy"]) for r in runs if r["activation"] == "leaky_relu")
    assert f"scatters by {abs(first - second) / 2**0.5:.3f} [" in text
    assert text.count("runs of each setting") == 1 and "; all of stage 1)" in text
    pixel = rows[rows["protocol"] == "pixel"]
    assert pilot._of_whom(pixel.assign(seed="7"), runs) == "; some of stage 1"
    assert pilot._of_whom(pixel.assign(protocol="pixel-long"), runs) == ""
    whole = "\n".join(pilot.page(rows, [SUMMARY], runs))
    assert "all settings pooled, 4 degrees of freedom" in whole
    assert "Seed 0 was trained here and in stage 1" in whole and "V.Acc 0.698 and 0.726" in whole
    alone = "\n".join(pilot.page(rows, [SUMMARY]))
    assert "seeds" not in alone and "In stage 1" not in alone


def test_stage_3_of_a_set_says_so(tmp_path: Path) -> None:
    """Its command, whose faces, and that people were drawn."""
    folder = tmp_path / "table3-ffpp-pixel"
    rows = results.read_table(COMMITTED / "table3" / "runs.csv")
    rows = rows.assign(
        faces_in="sets", **results.Options(tmp_path, set="ffpp", protocol="pixel").faces
    )
    results.write_table(folder / "runs.csv", rows)
    table3.render(folder)
    text = (folder / "table3.md").read_text(encoding="utf-8")
    assert "`python -m tools.paper table3 --set ffpp --protocol pixel --budget cpu" in text
    assert "by drawing whole people (59 of them)" in text
    assert "validation faces of `--set ffpp`" in text and "DFDC" not in text
    assert "`pilot` chose set and protocol by them" in text


@pytest.mark.parametrize("module", [pilot, table1, table2, figure3, table5, elsewhere])
def test_the_documentation_says_the_budgets_there_are(module: ModuleType) -> None:
    text = (page.PAGE.parent / "experiments.md").read_text(encoding="utf-8")
    head, *lines = re.findall(r"^\|.*\|$", text, re.MULTILINE)
    names = re.findall(r"`(\w+)`", head)
    (cells,) = (line.split(" | ")[2:] for line in lines if line.startswith(f"| `{module.NAME}`"))
    assert names == ["cpu", "days", "gpu", "full"]
    for name, cell in zip(names, cells, strict=True):
        found = re.match(r"(\d+)(?: runs?)? of (\d+)", cell)
        if found is None:
            assert cell == "the same"
        else:
            said = int(found[1]), int(found[2])
        assert said == module.BUDGETS[name][:2], (name, cell)


def test_help_names_every_experiment() -> None:
    """Started as the README says."""
    started = [sys.executable, "-m", "tools.paper", "--help"]
    root = Path(detectors.__file__).parent.parent.parent
    said = subprocess.run(started, cwd=root, capture_output=True, text=True, check=True).stdout
    assert all(name in said for name in command.EXPERIMENTS) and "examples:" in said


def test_without_its_extra_it_names_it() -> None:
    """Before anything else: also for --help."""
    start = "runpy.run_module('tools.paper', run_name='__main__')"
    code = f"import runpy, sys; sys.modules['pandas'] = None; {start}"
    started = [sys.executable, "-c", code, "--help"]
    root = Path(detectors.__file__).parent.parent.parent
    ended = subprocess.run(started, cwd=root, capture_output=True, text=True)
    assert ended.returncode == 2 and ended.stdout == ""
    (line,) = ended.stderr.splitlines()
    assert line.startswith("paper: ") and "pandas" in line and ".[train]" in line
