"""What becomes of a trained model: pasted faces, calibration, its card."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("tqdm")


from support.made_faces import arguments  # noqa: E402

import minimeso  # noqa: E402
from minimeso import FaceFinder, Graph, Model, Session, load_model, save_model  # noqa: E402
from minimeso.detect.pair import load_pair  # noqa: E402
from minimeso.networks import NETWORKS  # noqa: E402
from tools.train import __main__ as train_command  # noqa: E402
from tools.train import (  # noqa: E402
    calibrate,
    card,
    faces,
    metrics,
    networks,
    pair_card,
    pasted,
    release,
    trainer,
    views,
)

pytest_plugins = ["support.face_fixtures"]
CPU = torch.device("cpu")


def probe() -> Model:
    """A network of which only the framing matters: p_fake is the mean of the green channel."""
    torch.manual_seed(0)
    graph = NETWORKS["meso4"]("relu", 1e-5, False)
    network = networks.build("meso4", "relu")
    arrays = {k: v.numpy() for k, v in network.state_dict().items() if "num_batches" not in k}
    return Model("probe", graph, graph.check_weights(arrays), framing=dict(faces.FRAMING))


def test_pasted_faces_are_found_and_cut_as_before(head: np.ndarray) -> None:
    """Where they were pasted, as large as they were pasted."""
    random = np.random.default_rng(0)
    x, y, side, _ = faces._square(FaceFinder(min_face=20), head)
    for scale in (1.0, 0.7, 1.3):
        whole, (left, top) = pasted.paste(head, scale, random)
        assert whole.shape == (480, 640, 3)
        view = pasted.found(FaceFinder(), whole)
        assert view is not None and not view.rotation and view.picture is whole
        got = np.array(view.square)
        assert got[2] == got[3] == pytest.approx(scale * side, rel=0.12)
        middle = np.array([left + scale * (x + side / 2), top + scale * (y + side / 2)])
        assert got[:2] + got[2] / 2 == pytest.approx(middle, abs=0.05 * scale * side)
    whole, (left, top) = pasted.paste(head, 1.0, random)
    assert np.array_equal(whole[top : top + 224, left : left + 224], head)

    clouds = pasted.background(random)
    assert abs(np.diff(clouds.astype(int), axis=0)).max() <= 6
    assert pasted.found(FaceFinder(), clouds) is None


def test_a_table_of_clips_must_name_them(tmp_path: Path) -> None:
    (tmp_path / "videos.csv").write_text("file,label\na.mp4,real\n")
    model = replace(probe(), thresholds={"real": 0.5, "fake": 0.5})
    with pytest.raises(faces.DataError, match=r"videos\.csv: a row without"):
        release.clips(model, tmp_path)


def test_scores_are_those_of_the_framed_faces(archive: Path, cache: Path) -> None:
    data, model = faces.load(archive, "val", cache), probe()
    wanted = Session(model, threads=1).run(data.framed)[:, 0]
    assert pasted.score(model, pasted.as_trained(data)) == pytest.approx(wanted, abs=2e-3)


def test_the_shift_of_small_faces_is_found(
    archive: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of scores that the size moves by a known amount."""
    data = faces.load(archive, "val", cache)
    rng = np.random.default_rng(0)
    fake = rng.integers(0, 2, 3000).astype(np.uint8)
    logit = rng.normal(2 * fake - 1.0, 1.5)
    truth = rng.random(3000) < 1 / (1 + np.exp(-logit))
    many = replace(data, fake=truth.astype(np.uint8))
    sides = iter(calibrate.SMALL)
    monkeypatch.setattr(
        views, "logits", lambda *_: logit + 1.3 * np.log(calibrate.FULL / next(sides)) ** 2
    )
    found = release.small_faces(Model("any", Graph("any"), {}), many, cache)
    assert found["shift"] == pytest.approx(1.3, abs=0.15)


def test_a_model_released_anew_is_not_fitted_on_what_it_learned_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The weights stay what they were, but not the type that they were stored in."""
    meta = {"architecture": "meso4", "activation": "relu", "recipe": {}, "best_epoch": 3,
            "left_out": ["forensics"], "dtype": "int8"}  # fmt: skip
    model = replace(probe(), meta=meta, thresholds={"real": 0.2, "fake": 0.8})
    save_model(model, tmp_path / "old.npz", dtype="int8")
    asked = []

    def calibrated(model: Model, val: None, cache: Path, leave_out: list[str]) -> Model:
        asked.append(leave_out)
        raise EOFError

    monkeypatch.setattr(faces, "load", lambda *_: None)
    monkeypatch.setattr(release, "calibrated", calibrated)
    anew = release.read_trained(tmp_path / "old.npz", "anew")
    assert "dtype" not in anew.meta
    for said in (), ("dfdc",):
        with pytest.raises(EOFError):
            release.released(anew, tmp_path, tmp_path, None, None, leave_out=said)
    assert asked == [["forensics"], ("dfdc",)]


def test_release_calibrates_and_tells_its_limits(
    archive: Path,
    cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    more = ("--epochs", "1", "--schedule", "cosine")
    assert train_command.main(arguments(archive, cache, tmp_path, *more)) == 0
    load = faces.load
    monkeypatch.setattr(  # the fixture has no test split
        faces, "load", lambda data, split, *rest: load(data, "val", *rest)
    )
    monkeypatch.setattr(metrics, "RESAMPLES", 3)
    target = tmp_path / "probe.npz"
    options = ["--data", str(archive), "--cache", str(cache), "--name", "probe"]
    assert release.main([str(tmp_path / "best.pt"), str(target), *options]) == 0
    model = load_model(target)
    assert card.cell({"fake_above_its_real_twin": None}, "fake_above_its_real_twin") == (
        "there are no pairs"
    )
    assert model.framing == faces.FRAMING
    assert model.thresholds == {"real": 0.2, "fake": 0.8}
    assert model.calibration is not None
    assert model.calibration["small_faces"] == {"below": 107.0, "shift": pytest.approx(5, abs=5)}
    text = target.with_suffix(".md").read_text()
    precision = model.meta["recipe"]["precision"]
    install, train, _ = model.meta["commands"]
    assert "[train,video]" in install and f"--precision {precision} --seed 0" in train
    assert sum(count for _, _, count in model.meta["metrics"]["val"]["reliability"]) == 8
    first = target.with_suffix(".md").read_bytes(), target.with_suffix(".svg").read_bytes()
    assert card.main([str(target)]) == 0
    assert first == (
        target.with_suffix(".md").read_bytes(),
        target.with_suffix(".svg").read_bytes(),
    )
    assert release.main([str(target), str(tmp_path / "again.npz"), *options]) == 0
    again = load_model(tmp_path / "again.npz")
    assert again.calibration == model.calibration and again.thresholds == model.thresholds
    assert again.meta == model.meta
    for view in views.VIEWS:
        assert view in model.calibration["fitted_on"]
        if view != "as trained":
            assert 0 <= model.meta["metrics"]["test"][f"auc: {view}"] <= 1
            assert f"| AUC: {view} |" in text
    assert "crop the picture to the face" not in text
    assert model.meta["faces_in"] == "pairs" and "It knows one family of swaps (DFDC" in text
    strangers = replace(load(archive, "val", cache), pair=np.full(8, -1))
    strangers_metrics = release.metrics_of(model, strangers, cache)
    assert strangers_metrics["decided"] == 0
    other = {"faces_in": "folders", "metrics": dict.fromkeys(("val", "test"), strangers_metrics)}
    for said in ("DFDC", "whole people", "| people |", "0% right"):
        assert said not in card.text(replace(model, meta={**model.meta, **other}))

    saved = trainer.load_checkpoint(tmp_path / "best.pt")
    del saved["recipe"]
    torch.save(saved, tmp_path / "best.pt")
    capsys.readouterr()
    assert release.main([str(tmp_path / "best.pt"), str(target), *options]) == 2
    assert "best.pt: not a checkpoint of tools.train with its recipe" in capsys.readouterr().err

    capsys.readouterr()
    monkeypatch.setattr(pasted, "pasted", lambda split, *_: iter(pasted.as_trained(split)))
    assert pasted.main([*options[:4], "--model", str(target), "--faces", "6"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("6 faces, scale 1.0 to 1.0:  found 1.0000")
    assert second.startswith("6 faces, scale 0.7 to 1.3:") and "moved 0.0000" in second


def test_the_bundled_cards_are_what_their_files_say() -> None:
    """Each with the terms of faces and of first weights, and where groups differ."""
    bundled = Path(minimeso.__file__).parent / "models"
    for path in bundled.glob("*-*.npz"):
        if path.name.startswith("yunet"):
            continue
        text = path.with_suffix(".md").read_text(encoding="utf-8")
        assert text == card.text(load_model(path)), path
        assert "is not settled: ask" in text and "EfficientNet-Lite" in text.split("## Terms")[1]
        assert "shipped before" not in text or "git show" in text
        assert ("look fake to the network" in text) == (path.stem != "efficientnet-lite0")
        assert "teacher ," not in text
    pish = (bundled / "mesoinception4-pish.md").read_text(encoding="utf-8").split("## By")[0]
    assert "by skin tone** (AUC, test): light skin 0.811, medium skin 0.775, dark skin" in pish
    pair = pair_card.text(load_pair(bundled / "default.json"))
    assert pair == (bundled / "default.md").read_text(encoding="utf-8")
