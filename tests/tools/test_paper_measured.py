"""Table 4 and figure 1, and that the committed pages are what their CSV files say."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pd = pytest.importorskip("pandas")
pytest.importorskip("kornia")
pytest.importorskip("matplotlib")


from support.paper_runs import paper_main, rows_of  # noqa: E402

from tools.paper import __main__ as command  # noqa: E402
from tools.paper import figures_of_paper as paper  # noqa: E402
from tools.paper import page, results, table1, table4  # noqa: E402
from tools.train import detectors  # noqa: E402

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
    folder = COMMITTED / name
    made = [folder / f"{folder.name}.{kind}" for kind in ("csv", "md")]
    shutil.copytree(folder, tmp_path / folder.name, ignore=shutil.ignore_patterns("checkpoints"))
    assert paper_main(folder.name, None, tmp_path, "--render") == 0
    for path in made:
        assert (tmp_path / folder.name / path.name).read_text() == path.read_text()


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
    assert f"- Table 1: {said}" in text.split("## Table 1, on `ffpp`")[0]
    assert "](../results/table1-ffpp/table1.png)" in text and "### More" in text


def test_help_names_every_experiment() -> None:
    """Started as the README says."""
    started = [sys.executable, "-m", "tools.paper", "--help"]
    root = Path(detectors.__file__).parent.parent.parent
    said = subprocess.run(started, cwd=root, capture_output=True, text=True, check=True).stdout
    assert all(name in said for name in command.EXPERIMENTS) and "examples:" in said
