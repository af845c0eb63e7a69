"""The mean of the weights of several networks."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("tqdm")

from support.made_faces import arguments  # noqa: E402

from tools.train import __main__ as train_command  # noqa: E402
from tools.train import average, networks, release, trainer, weights  # noqa: E402

pytest_plugins = ["support.face_fixtures"]


def test_the_mean_says_what_it_is_of_and_converts(
    archive: Path, cache: Path, tmp_path: Path
) -> None:
    assert train_command.main(arguments(archive, cache, tmp_path / "run", "--epochs", "1")) == 0
    best, bare, out = tmp_path / "run/best.pt", tmp_path / "bare.pt", tmp_path / "mean.pt"
    recipe = trainer.load_checkpoint(best)["recipe"]
    other = networks.build(recipe["architecture"], recipe["activation"]).state_dict()
    torch.save(other, bare)
    assert average.main([str(best), str(bare), str(out), "--weights", "3", "1"]) == 0
    mean, first = weights.read(out), weights.read(best)
    for name, value in first.items():
        wanted = 0.75 * value + 0.25 * other[name] if value.is_floating_point() else value
        assert torch.allclose(mean[name], wanted)
    model = release.read_trained(out, "mean")
    assert model.meta["average"] == {
        "of": ["run/best.pt", f"{tmp_path.name}/bare.pt"],
        "weights": [0.75, 0.25],
    }
    commands = "\n".join(release.commands(model.meta, "mean"))
    assert (
        f"average OUT/mean/best.pt {tmp_path.name}/bare.pt OUT/mean/mean.pt --weights 0.75 0.25"
        in commands
    )
    assert "release OUT/mean/mean.pt mean.npz" in commands


def test_what_is_of_another_network_is_refused(
    archive: Path, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train_command.main(arguments(archive, cache, tmp_path / "run", "--epochs", "1")) == 0
    best, other = tmp_path / "run/best.pt", tmp_path / "other.pt"
    torch.save(torch.nn.Linear(2, 2).state_dict(), other)
    out = str(tmp_path / "mean.pt")
    assert average.main([str(best), str(other), out, "--weights", "1", "1"]) == 2
    assert "not of the same network" in capsys.readouterr().err
    assert average.main([str(best), str(best), out, "--weights", "1"]) == 2
    assert "give 2 numbers" in capsys.readouterr().err
    assert average.main([str(other), str(best), out, "--weights", "1", "1"]) == 2
    assert "not a checkpoint" in capsys.readouterr().err
    assert not Path(out).exists()
