"""The training tools: data, batches, exact resume, and what the converter makes of a checkpoint."""

from __future__ import annotations

import csv
import random
import zipfile
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("tqdm")

from PIL import Image  # noqa: E402

from minimeso import Session  # noqa: E402
from tools import convert, faces, networks, train  # noqa: E402

CPU = torch.device("cpu")


def noise_picture(rng: np.random.Generator) -> Image.Image:
    return Image.fromarray(rng.integers(0, 256, (224, 224, 3), np.uint8))


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six pairs to train and four to choose on, as zips with a table; pairs 0 and 1 are twins."""
    data = tmp_path_factory.mktemp("archive")
    rng = np.random.default_rng(0)
    rows = []
    for split, pairs in (("train", 6), ("val", 4)):
        with zipfile.ZipFile(data / f"{split}.zip", "w") as archive:
            for pair in range(pairs):
                picture = noise_picture(rng)
                for label in ("real", "fake"):
                    path = f"{label}/{pair}.png"
                    with archive.open(path, "w") as file:
                        (picture if pair < 2 else noise_picture(rng)).save(file, "png")
                    identity = f"g{pair}/id{pair}"
                    rows.append((path, label, split, identity, f"video{split}{pair}"))
    random.Random(0).shuffle(rows)
    with (data / "faces.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(("path", "label", "split", "identity_or_source", "original_video"))
        table.writerows(rows)
    return data


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def arguments(archive: Path, cache: Path, out: Path, *more: str) -> list[str]:
    return [
        *("--data", str(archive), "--cache", str(cache), "--out", str(out), "--batch", "6"),
        *("--architecture", "meso4", "--activation", "swish", "--augment", "pixel", *more),
    ]


def assert_same(left: object, right: object) -> None:
    """Equal to the last bit, through dicts, lists and tensors; the clock aside."""
    assert type(left) is type(right)
    if isinstance(left, torch.Tensor):
        assert torch.equal(left, right)
    elif isinstance(left, dict):
        assert left.keys() == right.keys()
        for key in left.keys() - {"seconds"}:
            assert_same(left[key], right[key])
    elif isinstance(left, (list, tuple)):
        assert len(left) == len(right)
        for one, other in zip(left, right, strict=True):
            assert_same(one, other)
    else:
        assert left == right


@pytest.mark.parametrize("architecture", networks.ARCHITECTURES)
def test_evaluation_and_training_compute_the_same_function(architecture: str) -> None:
    """Training runs the 1x1 convolutions of an inception module as one."""
    network = networks.build(architecture, "mish").double()
    modules = [m for m in network.modules() if isinstance(m, networks.Inception)]
    assert len(modules) == (2 if architecture == "mesoinception4" else 0)
    for module in modules:
        x = torch.randn(2, module.conv1.in_channels, 20, 12, dtype=torch.double)
        torch.testing.assert_close(module.train()(x), module.eval()(x))


def test_archive_is_read_in_pairs(archive: Path, cache: Path) -> None:
    data = faces.load(archive, "train", cache)
    assert data.images.shape == (12, 256, 256, 3)
    assert data.fake.tolist() == [1, 0] * 6
    assert data.pair.tolist() == sorted(list(range(6)) * 2)
    assert data.identity[:4] == ("g0/id0", "g0/id0", "g1/id1", "g1/id1")
    with zipfile.ZipFile(archive / "train.zip") as zipped, zipped.open("real/5.png") as file:
        wanted = Image.open(file).resize((256, 256), Image.Resampling.BILINEAR)
    assert np.array_equal(data.images[11], np.asarray(wanted))


def test_folders_hold_out_the_last_scenes(tmp_path: Path, cache: Path) -> None:
    rng = np.random.default_rng(1)
    for label in ("df", "real"):
        (tmp_path / label).mkdir()
        for number in range(10):
            noise_picture(rng).save(tmp_path / label / f"{number:02}.png")
    assert len(faces.load(tmp_path, "train", cache)) == 18
    assert faces.load(tmp_path, "val", cache).name == ("df/09.png", "real/09.png")
    with pytest.raises(faces.DataError, match="test"):
        faces.load(tmp_path, "test", cache)


def test_native_pixels_are_cached_where_one_size_fits(archive: Path, tmp_path: Path) -> None:
    native = faces.load(archive, "train", tmp_path, native=True).images
    assert native.shape == (12, 224, 224, 3)
    assert faces.load(archive, "train", tmp_path, native=True).images.shape == native.shape
    scaled = faces.load(archive, "train", tmp_path).images  # beside it, not instead
    for one, other in zip(native, scaled, strict=True):
        assert np.array_equal(faces._frame(one, faces.Change()), other)

    data = tmp_path / "ragged"
    for label in ("df", "real"):
        (data / label).mkdir(parents=True)
        for number in range(2):
            noise_picture(np.random.default_rng(number)).resize((200 + number, 200)).save(
                data / label / f"{number}.png"
            )
    images = faces.load(data, "train", tmp_path, native=True).images
    assert images.shape == (4, 256, 256, 3)


@pytest.mark.parametrize("augmentation", ["pixel", "pairs"])
def test_pairs_share_batch_and_augmentation(
    archive: Path, cache: Path, augmentation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(faces, "EXACT", 0.5)
    monkeypatch.setattr(faces, "HARMED", 1.0)
    native = augmentation == "pairs"
    data = faces.load(archive, "train", cache, limit=4, native=native)  # both pairs are twins
    batches = faces.Batches(data, 3, augmentation, CPU)
    assert batches.size == 2
    for x, fake in (batch for _ in range(5) for batch in batches.epoch()):
        assert x.shape == (2, 3, 256, 256) and x.dtype == torch.float32
        assert fake.tolist() == [1, 0]
        assert torch.equal(x[0], x[1])
        assert x.min() >= 0 and x.max() <= 1


def test_frames_are_windows_with_repeated_edges() -> None:
    """The same as Pillow's resize of a picture that was padded first; and which way is which."""
    rng = np.random.default_rng(3)
    picture = rng.integers(0, 256, (224, 200, 3), np.uint8)
    padded = Image.fromarray(np.pad(picture, ((40, 40), (40, 40), (0, 0)), "edge"))
    for zoom, x, y in ((0.88, 0.06, -0.06), (1.12, -0.05, 0.03), (0.9, 0.0, 0.0)):
        wide, high = 200 / zoom, 224 / zoom
        left, top = 40 + 100 + 200 * x - wide / 2, 40 + 112 + 224 * y - high / 2
        box = (left, top, left + wide, top + high)
        wanted = np.asarray(padded.resize((256, 256), Image.Resampling.BILINEAR, box))
        got = faces._frame(picture, faces.Change(zoom=zoom, x=x, y=y)).astype(int)
        assert abs(got - wanted).max() <= 1


def test_harms_are_mild_and_named(archive: Path, cache: Path) -> None:
    smooth = np.add.outer(np.arange(256), np.arange(256)) // 2
    picture = np.repeat(smooth[:, :, None], 3, 2).astype(np.uint8)
    picture[96:160, 96:160] = 255
    for harm, (low, high) in faces.HARMS.items():
        mild, strong = (high, low) if harm != "blur" else (low, high)
        errors = []
        for amount in (mild, strong):
            harmed = faces._harm(picture, faces.Change(harm=harm, amount=amount))
            assert harmed.shape == picture.shape and harmed.dtype == np.uint8
            errors.append(np.abs(harmed.astype(float) - picture).mean())
        assert 0 < errors[0] < errors[1] < 4, harm

    torch.manual_seed(0)
    data = faces.load(archive, "train", cache, native=True)
    batches = faces.Batches(data, 2, "pairs", CPU)
    changes = [change for _ in range(200) for change in batches._draw()[1][::2]]
    moved = [change for change in changes if change.zoom != 1]
    assert len(moved) / len(changes) == pytest.approx(1 - faces.EXACT, abs=0.05)
    assert all(change.down == change.right == 0 for change in moved)
    assert {change.harm for change in changes} == {"", *faces.HARMS}
    for change in changes:
        assert max(abs(change.x), abs(change.y)) <= faces.MAX_MOVE
        assert max(abs(change.down), abs(change.right)) <= faces.MAX_SHIFT
        if change.harm:
            low, high = faces.HARMS[change.harm]
            assert low <= change.amount <= high


def test_rank_loss_is_of_pairs() -> None:
    """Whichever face of a pair comes first; a fake far above its twin costs nothing."""
    logit, fake = torch.tensor([1.0, 3.0, 9.0, -9.0]), torch.tensor([1.0, 0.0, 1.0, 0.0])
    wanted = (np.log1p(np.exp(2.0)) + np.log1p(np.exp(-18.0))) / 2
    assert train.rank_loss(logit, fake).item() == pytest.approx(wanted, rel=1e-6)
    assert train.rank_loss(logit.flip(0), fake.flip(0)).item() == pytest.approx(wanted, rel=1e-6)


def test_average_follows_the_weights(tmp_path: Path) -> None:
    recipe = train.Recipe(architecture="meso4", average=0.75)
    run = train.Run(recipe, tmp_path, CPU)
    name, past = "fc2.bias", []
    for run.step in range(1, 60):
        weight = float(run.step % 7)
        past.append(weight)
        with torch.no_grad():
            run.network.get_parameter(name).fill_(weight)
        run.network.get_buffer("bn1.num_batches_tracked").fill_(run.step)
        run._average()
    shares = 0.25 * 0.75 ** np.arange(59)[::-1]  # the growing decay of the start is forgotten
    judged = run.judged.state_dict()
    assert judged[name].item() == pytest.approx(float(shares @ past), abs=1e-3)
    assert judged["bn1.num_batches_tracked"] == 59


def test_plain_batches_are_the_pictures(archive: Path, cache: Path) -> None:
    data = faces.load(archive, "train", cache)
    sums = sorted(float(x.double().sum()) for x, _ in faces.Batches(data, 1, "none", CPU).epoch())
    assert sums == pytest.approx(sorted(data.images.sum((1, 2, 3)) / 255), rel=1e-6)


def test_learning_rates() -> None:
    paper = train.Recipe()
    rates = [train.learning_rate(paper, step, 9000) for step in (0, 999, 1000, 2000, 8000)]
    assert rates == pytest.approx([1e-3, 1e-3, 1e-4, 1e-5, 1e-6])
    cosine = train.Recipe(schedule="cosine")
    assert train.learning_rate(cosine, 50, 100) == pytest.approx(5e-4)


def test_area_under_curve_counts_ties_half() -> None:
    fake = np.array([0, 1, 0, 1], np.uint8)
    assert train.area_under_curve(fake, np.array([0, 1, 2, 3], np.float32)) == 0.75
    assert train.area_under_curve(fake, np.zeros(4, np.float32)) == 0.5


@pytest.mark.parametrize(
    "more",
    [
        (),
        (
            *("--augment", "pairs", "--rank", "1", "--average", "0.9"),
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
    assert train.main(arguments(archive, cache, whole, "--epochs", "3", *more)) == 0
    assert train.main(arguments(archive, cache, parts, "--epochs", "2", *more)) == 0

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(train, "evaluate", interrupt)
        assert train.main(arguments(archive, cache, parts, "--epochs", "3", *more)) == 130
    assert train.main(arguments(archive, cache, parts, "--epochs", "3", *more)) == 0

    for name in ("last.pt", "best.pt"):
        saved = [train.load_checkpoint(folder / name) for folder in (whole, parts)]
        if name == "last.pt":
            assert saved[0].pop("recipe") == saved[1].pop("recipe")
        else:  # was perhaps written when only two epochs were planned
            del saved[0]["recipe"], saved[1]["recipe"]
        assert_same(*saved)
    names = sorted(path.name for path in parts.iterdir())
    assert names == ["best.pt", "last.pt", "log.csv"]
    with (parts / "log.csv").open() as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["1", "2", "3"]


def test_best_is_the_averaged_network(archive: Path, cache: Path, tmp_path: Path) -> None:
    """What was judged is what is kept; the weights in training stand beside it."""
    more = ("--epochs", "1", "--average", "0.9", "--batch", "2")
    assert train.main(arguments(archive, cache, tmp_path, *more)) == 0
    saved = train.load_checkpoint(tmp_path / "best.pt")
    assert not torch.equal(saved["state_dict"]["fc1.weight"], saved["trained"]["fc1.weight"])
    network = networks.build(saved["architecture"], saved["activation"])
    network.load_state_dict(saved["state_dict"])
    judged = train.evaluate(network, faces.load(archive, "val", cache), "mse", CPU)
    assert judged.items() <= saved["history"][-1].items()


def test_older_checkpoints_go_on(archive: Path, cache: Path, tmp_path: Path) -> None:
    """Those of before --rank and --average."""
    assert train.main(arguments(archive, cache, tmp_path, "--epochs", "1")) == 0
    saved = train.load_checkpoint(tmp_path / "last.pt")
    del saved["recipe"]["rank"], saved["recipe"]["average"]
    torch.save(saved, tmp_path / "last.pt")
    assert train.main(arguments(archive, cache, tmp_path, "--epochs", "2")) == 0
    assert train.load_checkpoint(tmp_path / "last.pt")["epoch"] == 2


def test_checkpoint_converts(
    archive: Path, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train.main(arguments(archive, cache, tmp_path, "--epochs", "1")) == 0
    checkpoint, model = tmp_path / "last.pt", tmp_path / "model.npz"
    assert convert.main([str(checkpoint), str(model)]) == 0

    saved = train.load_checkpoint(checkpoint)
    network = networks.build(saved["architecture"], saved["activation"])
    network.load_state_dict(saved["state_dict"])
    images = faces.load(archive, "val", cache).images[:2]
    with torch.inference_mode():
        wanted = torch.sigmoid(network.eval()(faces.to_float(torch.tensor(images))))[:, 0]
    assert Session(model, threads=1).run(images) == pytest.approx(wanted.numpy(), abs=1e-5)

    capsys.readouterr()
    whole = checkpoint.read_bytes()
    for length in (0, 3, 100, len(whole) // 2, len(whole) - 1):
        checkpoint.write_bytes(whole[:length])
        assert convert.main([str(checkpoint), str(model)]) == 2
        assert train.main(arguments(archive, cache, tmp_path, "--epochs", "2")) == 2
    assert all("last.pt" in line for line in capsys.readouterr().err.splitlines())


def test_refusals_name_file_and_remedy(
    archive: Path, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert train.main(arguments(archive, cache, out, "--epochs", "1")) == 0
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
        assert train.main(changed) == 2
        message = capsys.readouterr().err
        assert all(word in message for word in words), message
