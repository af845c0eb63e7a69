"""The training loop: exact resume, averaged weights, rates, and checkpoints that convert."""

from __future__ import annotations

import csv
import zipfile
from dataclasses import replace
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("tqdm")


from support.made_faces import arguments, assert_same, noise_picture  # noqa: E402

import minimeso.networks  # noqa: E402
from minimeso import Session, load_model  # noqa: E402
from minimeso.networks import NETWORKS  # noqa: E402
from tools.convert import __main__ as convert_command  # noqa: E402
from tools.convert import checkpoints, source  # noqa: E402
from tools.paper import classify  # noqa: E402
from tools.train import __main__ as train_command  # noqa: E402
from tools.train import (  # noqa: E402
    batches,
    detectors,
    faces,
    fused,
    networks,
    teacher,
    trainer,
)

pytest_plugins = ["support.face_fixtures"]
CPU = torch.device("cpu")


@pytest.mark.parametrize("architecture", networks.ARCHITECTURES)
def test_evaluation_and_training_compute_the_same_function(architecture: str) -> None:
    """Training runs the 1x1 convolutions of an inception module as one."""
    network = networks.build(architecture, "mish").double()
    modules = [m for m in network.modules() if isinstance(m, networks.Inception)]
    assert len(modules) == (2 if architecture == "mesoinception4" else 0)
    for module in modules:
        x = torch.randn(2, module.conv1.in_channels, 20, 12, dtype=torch.double)
        torch.testing.assert_close(module.train()(x), module.eval()(x))


def test_a_setting_more_is_one_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """As docs/extend/activation.md says; and whatever has a graph has a twin."""
    monkeypatch.setattr(minimeso.networks, "ACTIVATION_SETTINGS", ("relu", "softplus"))
    spec = spec_from_file_location("networks_anew", networks.__file__)
    assert spec is not None and spec.loader is not None
    anew = module_from_spec(spec)
    spec.loader.exec_module(anew)
    assert anew.build("meso4", "softplus")(torch.zeros(1, 3, 256, 256)).shape == (1, 1)
    assert tuple(NETWORKS) == networks.ARCHITECTURES


def test_average_follows_the_weights(tmp_path: Path) -> None:
    recipe = detectors.Recipe(architecture="meso4", average=0.75)
    run = detectors.DetectorTrainer(recipe, tmp_path, CPU)
    name, past = "fc2.bias", []
    for run.step in range(1, 60):
        weight = float(run.step % 7)
        past.append(weight)
        with torch.no_grad():
            run.network.get_parameter(name).fill_(weight)
        run.network.get_buffer("bn1.num_batches_tracked").fill_(run.step)
        run.averaged.update_parameters(run.network)
    shares = 0.25 * 0.75 ** np.arange(59)[::-1]  # the growing decay of the start is forgotten
    judged = run.judged.state_dict()
    assert judged[name].item() == pytest.approx(float(shares @ past), abs=1e-3)
    assert judged["bn1.num_batches_tracked"] == 59


def test_learning_rates() -> None:
    paper = detectors.Recipe()
    rates = [detectors.learning_rate(paper, step, 9000) for step in (0, 999, 1000, 2000, 8000)]
    assert rates == pytest.approx([1e-3, 1e-3, 1e-4, 1e-5, 1e-6])
    cosine = detectors.Recipe(schedule="cosine")
    assert detectors.learning_rate(cosine, 50, 100) == pytest.approx(5e-4)
    trapezoid = detectors.Recipe(schedule="trapezoid")
    rates = [detectors.learning_rate(trapezoid, step, 90) for step in (0, 60, 75, 90)]
    assert rates == pytest.approx([1e-3, 1e-3, 5e-4, 0])


@pytest.mark.parametrize(
    "more",
    [
        (),
        (
            *("--augment", "pairs", "--rank", "1", "--average", "0.9", "--patches", "0.5"),
            *("--architecture", "mesoinception4", "--limit", "6"),
        ),
    ],
)
def test_resume_is_exact(
    archive: Path,
    cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    more: tuple[str, ...],
) -> None:
    """Three epochs at once, and three with an end after two and Ctrl-C in the third."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert train_command.main(arguments(archive, cache, whole, "--epochs", "3", *more)) == 0
    assert train_command.main(arguments(archive, cache, parts, "--epochs", "2", *more)) == 0

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(detectors, "evaluate", interrupt)
        assert train_command.main(arguments(archive, cache, parts, "--epochs", "3", *more)) == 130
    assert train_command.main(arguments(archive, cache, parts, "--epochs", "3", *more)) == 0

    for name in ("last.pt", "best.pt"):
        saved = [trainer.load_checkpoint(folder / name) for folder in (whole, parts)]
        if name == "last.pt":
            assert saved[0].pop("recipe") == saved[1].pop("recipe")
        else:  # was perhaps written when only two epochs were planned
            del saved[0]["recipe"], saved[1]["recipe"]
        assert_same(*saved)
    names = sorted(path.name for path in parts.iterdir())
    assert names == ["best.pt", "last.pt", "log.csv"]
    with (parts / "log.csv").open() as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["1", "2", "3"]


def test_a_run_goes_on_with_its_own_faces(
    archive: Path, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same names, but another picture: so other squares."""
    assert train_command.main(arguments(archive, cache, tmp_path / "out", "--epochs", "1")) == 0
    rng = np.random.default_rng(1)
    for split in ("train", "val"):
        with (
            zipfile.ZipFile(archive / f"{split}.zip") as old,
            zipfile.ZipFile(tmp_path / f"{split}.zip", "w") as new,
        ):
            for name in old.namelist():
                with new.open(name, "w") as file:
                    noise_picture(rng).resize((230, 230)).save(file, "png")
    (tmp_path / "faces.csv").write_bytes((archive / "faces.csv").read_bytes())
    options = arguments(tmp_path, tmp_path / "cache", tmp_path / "out", "--epochs", "2")
    assert train_command.main(options) == 2
    assert "a run with other faces; choose another --out" in capsys.readouterr().err


def test_nobody_is_told_to_load_it_unsafely(archive: Path, cache: Path, tmp_path: Path) -> None:
    """As PyTorch and NumPy advise of what may hold code."""
    spoilt = tmp_path / "spoilt"
    spoilt.write_text("x")
    with pytest.raises(trainer.TrainError) as checkpoint:
        trainer.load_checkpoint(spoilt)
    with pytest.raises(faces.DataError) as table:
        teacher.read_table(spoilt, faces.load(archive, "train", cache), "pairs")
    with pytest.raises(source.ConvertError) as converted:
        checkpoints.checkpoint_arrays(spoilt)
    recipe = classify.Recipe("mnist15", "relu", "sgd", 0.1, 1, 0, False, "fp32", 0)
    run = classify.ClassifierTrainer(recipe, tmp_path, CPU)
    spoilt.rename(run.path)
    with pytest.raises(trainer.TrainError) as classified:
        run.resume()
    spoilt = tmp_path
    for error in (checkpoint, table, converted, classified):
        assert str(spoilt) in str(error.value) and "cut short" in str(error.value)
        assert not {"pickle", "weights_only"} & set(str(error.value).replace("=", " ").split())


@pytest.mark.parametrize(
    ("schedule", "now", "goes"),
    [("cosine", 9, False), ("trapezoid", 9, True), ("trapezoid", 4, False), ("paper", 5, True)],
)
def test_epochs_may_change_while_rates_do_not(
    archive: Path, cache: Path, tmp_path: Path, schedule: str, now: int, goes: bool
) -> None:
    """Four of six epochs are done (a step each): may there be another number of them?"""
    recipe = detectors.Recipe(architecture="meso4", schedule=schedule, epochs=6)
    run = detectors.DetectorTrainer(recipe, tmp_path, CPU)
    run.step, run.history = 4, [{"val_auc": 0.5}] * 4
    run.save()
    other = detectors.DetectorTrainer(replace(recipe, epochs=now), tmp_path, CPU)
    if goes:
        assert other.resume() and other.epoch == 4
    else:
        with pytest.raises(trainer.TrainError, match="epochs 6"):
            other.resume()


def test_best_is_the_averaged_network(archive: Path, cache: Path, tmp_path: Path) -> None:
    """What was judged is what is kept; the weights in training stand beside it."""
    more = ("--epochs", "1", "--average", "0.9", "--batch", "2")
    assert train_command.main(arguments(archive, cache, tmp_path, *more)) == 0
    saved = trainer.load_checkpoint(tmp_path / "best.pt")
    assert not torch.equal(saved["state_dict"]["fc1.weight"], saved["trained"]["fc1.weight"])
    network = networks.build(saved["architecture"], saved["activation"])
    network.load_state_dict(saved["state_dict"])
    judged = detectors.evaluate(network, faces.load(archive, "val", cache), "mse", CPU)
    assert judged.items() <= saved["history"][-1].items()


def test_older_checkpoints_go_on(archive: Path, cache: Path, tmp_path: Path) -> None:
    """Those of before --rank and --average."""
    assert train_command.main(arguments(archive, cache, tmp_path, "--epochs", "1")) == 0
    saved = trainer.load_checkpoint(tmp_path / "last.pt")
    del saved["recipe"]["rank"], saved["recipe"]["average"]
    torch.save(saved, tmp_path / "last.pt")
    assert train_command.main(arguments(archive, cache, tmp_path, "--epochs", "2")) == 0
    assert trainer.load_checkpoint(tmp_path / "last.pt")["epoch"] == 2


def test_checkpoint_converts(
    archive: Path, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train_command.main(arguments(archive, cache, tmp_path, "--epochs", "1")) == 0
    checkpoint, model = tmp_path / "last.pt", tmp_path / "model.npz"
    assert convert_command.main([str(checkpoint), str(model)]) == 0

    saved = trainer.load_checkpoint(checkpoint)
    network = networks.build(saved["architecture"], saved["activation"])
    network.load_state_dict(saved["state_dict"])
    images = faces.load(archive, "val", cache).framed[:2]
    with torch.inference_mode():
        wanted = torch.sigmoid(network.eval()(batches.to_float(torch.tensor(images))))[:, 0]
    assert load_model(model).framing == faces.FRAMING
    assert Session(model, threads=1).run(images) == pytest.approx(wanted.numpy(), abs=1e-5)

    capsys.readouterr()
    whole = checkpoint.read_bytes()
    for length in (0, 3, 100, len(whole) // 2, len(whole) - 1):
        checkpoint.write_bytes(whole[:length])
        assert convert_command.main([str(checkpoint), str(model)]) == 2
        assert train_command.main(arguments(archive, cache, tmp_path, "--epochs", "2")) == 2
    assert all("last.pt" in line for line in capsys.readouterr().err.splitlines())


def test_refusals_name_file_and_remedy(
    archive: Path, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert train_command.main(arguments(archive, cache, out, "--epochs", "1")) == 0
    with pytest.raises(SystemExit):
        train_command.main(arguments(archive, cache, out, "--learning-rate", "nan"))
    for changed, words in (
        (arguments(archive, cache, out, "--seed", "7"), ("last.pt", "seed 0", "--out")),
        (arguments(tmp_path / "none", cache, tmp_path / "new"), ("none", "--data")),
        (arguments(archive, cache, out, "--device", "nonsense"), ("nonsense", "cpu")),
        (arguments(archive, cache, out, "--average", "0.9"), ("last.pt", "average 0.0", "--out")),
        (
            arguments(archive, cache, tmp_path / "new", "--augment", "none", "--rank", "1"),
            ("--rank", "--augment pairs"),
        ),
    ):
        capsys.readouterr()
        assert train_command.main(changed) == 2
        message = capsys.readouterr().err
        assert all(word in message for word in words), message


def test_precision_follows_the_hardware(
    archive: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for fast, kernels, precision in (
        (True, False, "bf16"),
        (False, False, "fp32"),
        (True, True, "fp32"),
    ):
        monkeypatch.setattr(networks, "bfloat16_is_fast", lambda _, fast=fast: fast)
        if not kernels:
            monkeypatch.setattr(fused, "kernels", lambda: None)
        elif fused.kernels() is None:
            break
        out = tmp_path / f"{fast}-{kernels}"
        assert (
            train_command.main(arguments(archive, cache, out, "--epochs", "1", "--limit", "2")) == 0
        )
        assert trainer.load_checkpoint(out / "last.pt")["recipe"]["precision"] == precision
        monkeypatch.undo()


def test_runs_trained_together_are_those_trained_alone(
    archive: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bit by bit, also where one of them was saved and another was not when both were stopped."""
    train_set, val_set = (faces.load(archive, split, cache) for split in ("train", "val"))
    recipe = detectors.Recipe(epochs=3, batch=4, learning_rate=1e-3, seed=5)
    settings = [("relu", 1e-3), ("mish", 1e-3), ("relu", 1e-2)]

    def runs(folder: str, epochs: int) -> list[detectors.DetectorTrainer]:
        made = []
        for number, (activation, rate) in enumerate(settings):
            own = replace(recipe, activation=activation, learning_rate=rate, epochs=epochs)
            out = tmp_path / folder / str(number)
            out.mkdir(parents=True, exist_ok=True)
            made.append(detectors.DetectorTrainer(own, out, CPU))
            made[-1].resume()
        return made

    for run in runs("alone", 3):
        run.train(train_set, val_set)
    runs("together", 1)[1].train(train_set, val_set)
    detectors.train_together(runs("together", 3), train_set, val_set)
    for number in range(len(settings)):
        one, other = (
            trainer.load_checkpoint(tmp_path / folder / str(number) / "last.pt")
            for folder in ("alone", "together")
        )
        for name, value in one["state_dict"].items():
            assert torch.equal(value, other["state_dict"][name]), name
        assert torch.equal(one["random"], other["random"])
        for before, after in zip(one["history"], other["history"], strict=True):
            assert {**before, "seconds": 0} == {**after, "seconds": 0}

    # Steps of Adam make much of how a gradient near zero was rounded: both by the same kernels.
    monkeypatch.setattr(fused, "applies", lambda *_: False)
    by_pytorch, as_one = runs("by PyTorch", 1), runs("as one", 1)
    for run in by_pytorch:
        run.train(train_set, val_set)
    detectors.train_together(as_one, train_set, val_set, as_one=True)
    for alone, run in zip(by_pytorch, as_one, strict=True):
        for figure in ("train_loss", "val_loss"):
            assert run.history[0][figure] == pytest.approx(alone.history[0][figure], rel=1e-3)


def test_networks_get_what_was_drawn_unrounded(tmp_path: Path) -> None:
    """A teacher subtracts and divides before its first convolution: what it is given in bfloat16
    has lost half a level."""
    run = detectors.DetectorTrainer(detectors.Recipe(precision="bf16"), tmp_path, CPU)
    seen = []
    run.network.register_forward_pre_hook(lambda _, given: seen.append(given[0].dtype))
    x, fake = torch.rand(2, 3, 256, 256), torch.tensor([0.0, 1.0])
    run.forward(batches.Batch(x, fake, np.arange(2)))
    assert seen == [torch.float32]


def test_without_a_figure_to_choose_by_there_is_no_best_and_that_is_said(
    archive: Path, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train_set, val_set = (faces.load(archive, split, cache) for split in ("train", "val"))
    val_set = replace(val_set, fake=np.zeros_like(val_set.fake))
    recipe = detectors.Recipe("meso4", batch=4, epochs=1)
    detectors.DetectorTrainer(recipe, tmp_path, CPU).train(train_set, val_set)
    first, *_, last = capsys.readouterr().err.splitlines()
    assert first.startswith("val has real faces alone, so that V.AUC is no number")
    assert (
        last == f"{tmp_path}: no best.pt, as V.AUC of no epoch is a number; last.pt is the last one"
    )
    assert not (tmp_path / "best.pt").exists()


def test_another_precision_is_told_by_the_machine(tmp_path: Path) -> None:
    """The paper's experiments have no option for it."""
    run = detectors.DetectorTrainer(detectors.Recipe(precision="bf16"), tmp_path, CPU)
    trainer.write_checkpoint(run.checkpoint(), run.path)
    with pytest.raises(trainer.TrainError, match=r"now precision is fp32; .* or a machine like"):
        detectors.DetectorTrainer(detectors.Recipe(precision="fp32"), tmp_path, CPU).resume()


def test_epochs_between_are_not_judged(archive: Path, cache: Path, tmp_path: Path) -> None:
    """The last always is; one that was not cannot be the best, and a run goes on from it."""
    train_set, val_set = (faces.load(archive, split, cache) for split in ("train", "val"))
    recipe = detectors.Recipe("meso4", batch=4)
    for epochs in (4, 5):
        run = detectors.DetectorTrainer(replace(recipe, epochs=epochs), tmp_path, CPU)
        run.resume()
        detectors.train_together([run], train_set, val_set, judge_every=3)
    aucs = [row["val_auc"] for row in run.history]
    assert np.isnan(aucs).tolist() == [True, True, False, False, False]
    best = trainer.load_checkpoint(tmp_path / "best.pt")
    assert best["history"][-1]["val_auc"] == max(aucs[2:])
