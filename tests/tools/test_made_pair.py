"""A pair made of two models: fitted together, its card, and what a network says of strangers."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="the tools need the extra `train`")
pytest.importorskip("av", reason="clips need the extra `video`")
pytest.importorskip("matplotlib")

from minimeso import Detector
from minimeso.detect.pair import load_pair
from tools.train import calibrate, metrics, pair, pair_card, sources
from tools.train.faces import Faces

MODELS = Path(__file__).parents[2] / "minimeso" / "models"
FAST, THOROUGH = "mesoinception4-swish", "mesoinception4-relu"


@pytest.fixture
def some_faces(monkeypatch: pytest.MonkeyPatch) -> Faces:
    """Noise of two sources with fakes and one without, as every split of every set."""
    random = np.random.default_rng(0)
    kinds = [("dfdc", 0), ("dfdc", 1), ("ffpp", 0), ("ffpp", 1), ("stills", 0)] * 4
    size = len(kinds)
    made = Faces(
        images=random.integers(0, 256, (size, 96, 96, 3), dtype=np.uint8),
        squares=np.tile([8.0, 8.0, 80.0, 80.0], (size, 1)),
        fake=np.array([fake for _, fake in kinds], np.uint8),
        pair=np.full(size, -1),
        identity=tuple(f"p{i // 5}" for i in range(size)),
        name=tuple(map(str, range(size))),
        source=tuple(source for source, _ in kinds),
        method=tuple("x" if fake else "original" for _, fake in kinds),
    )
    monkeypatch.setattr(sources, "load", lambda *_: made)
    monkeypatch.setattr(metrics, "RESAMPLES", 3)
    monkeypatch.setattr("tools.train.measures.LEAST", 4)
    return made


def test_a_pair_is_made_and_judges(some_faces: Faces, tmp_path: Path) -> None:
    for name in (FAST, THOROUGH):
        shutil.copy(MODELS / f"{name}.npz", tmp_path)
    target = tmp_path / "both.json"
    files = [str(tmp_path / f"{FAST}.npz"), str(tmp_path / f"{THOROUGH}.npz"), str(target)]
    table = tmp_path / "strangers.csv"
    table.write_text(
        "trained_on,tested_on,faces,people,auc,decided,right_of_decided\na,b,10,3,0.7,0.5,0.8\n"
    )
    options = ["--data", str(tmp_path), "--cache", str(tmp_path), "--name", "both"]
    options += ["--leave-out", "ffpp", "--out-of-source", str(table)]
    assert pair.main([*files, *options]) == 0
    made = load_pair(target)
    assert made.fast.name == FAST and made.meta["left_out"] == ["ffpp"]
    assert "12 faces, but for those of ffpp" in made.calibration["fitted_on"]
    assert min(made.combination[1:]) >= 0
    text = target.with_suffix(".md").read_text()
    assert "| a | b | 10 | 0.700 | 50.0% | 80.0% |" in text
    assert "flatter" in text and "| stills | 4 |" in text and "None" not in text
    assert "tools.train.out_of_source BEST.pt" in text  # the command of that table, too
    assert "--leave-out ffpp --out-of-source OTHERS.csv\n" in text
    assert "tools.train.domain" not in text and "tools.train.domain default.json" in (
        MODELS / "default.md"
    ).read_text(encoding="utf-8")
    before = target.with_suffix(".md").read_bytes(), target.with_suffix(".svg").read_bytes()
    assert pair_card.main([str(target)]) == 0
    assert before == (
        target.with_suffix(".md").read_bytes(),
        target.with_suffix(".svg").read_bytes(),
    )
    verdict = Detector(str(target), crops=True).check(some_faces.images[0])
    assert verdict.model == "both" and verdict.p_fake is not None


def test_the_share_of_a_network_is_of_all_sources(some_faces: Faces) -> None:
    """One that knows a single source has little to say, though nothing else is fitted on it."""
    random, size = np.random.default_rng(1), 4000
    source = np.repeat(["dfdc", "ffpp"], size // 2)
    fake = np.tile([0, 1], size // 2).astype(np.uint8)
    sign = np.where(fake == 1, 1.0, -1.0)
    narrow = random.normal(np.where(source == "dfdc", 2 * sign, 0), 1.5)
    wide = random.normal(2 * sign, 1.5)
    many = Faces(
        images=some_faces.images[:1], squares=some_faces.squares[:1], fake=fake,
        pair=np.full(size, -1), identity=("",) * size, name=("",) * size, source=tuple(source),
    )  # fmt: skip
    both = np.stack([narrow, wide])
    alone = calibrate.platt(both, fake, calibrate.importance(many, ("ffpp",)))
    fit = pair.combined(both, many, 1, ("ffpp",))
    assert fit.weights[0] / fit.weights[1] < 0.7 * alone.weights[0] / alone.weights[1]
    in_dfdc = source == "dfdc"
    p_fake = 1 / (1 + np.exp(-fit.logit(both)[in_dfdc]))
    assert metrics.calibration_error(p_fake, fake[in_dfdc]) < 0.05


def test_a_bad_table_of_strangers_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.csv").write_text("trained_on,auc\na,high\n")
    with pytest.raises(SystemExit):
        pair.main(
            [
                "a",
                "b",
                "c",
                "--data",
                ".",
                "--cache",
                ".",
                "--out-of-source",
                str(tmp_path / "bad.csv"),
            ]
        )
    assert "bad.csv" in capsys.readouterr().err
