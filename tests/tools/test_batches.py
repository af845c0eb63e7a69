"""Batches: pairs, changes, draws that come again, and the losses that need pairs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("tqdm")


from tools.train import (  # noqa: E402
    batches,
    detectors,
    faces,
    harms,
    patches,
)

pytest_plugins = ["support.face_fixtures"]
CPU = torch.device("cpu")


@pytest.mark.parametrize("augmentation", batches.PAIRED)
def test_pairs_share_batch_square_and_augmentation(
    archive: Path, cache: Path, augmentation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for strength in harms.STRENGTHS.values():
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
    for name, harm in harms.STRENGTHS["broad"].harms.items():
        harmed = batches.changed(picture, square, change._replace(harms=((name, harm.strong),)))
        steps = 8 if name == "palette" else 4  # 64 colours for a plane full of them
        assert abs(harmed.astype(float) - wanted).mean() < steps, name
        assert np.mean(harmed.astype(float) - wanted) == pytest.approx(0, abs=0.5), name


def test_harms_are_mild_and_named(archive: Path, cache: Path) -> None:
    smooth = np.add.outer(np.arange(224), np.arange(224)) // 2
    picture = np.repeat(smooth[:, :, None], 3, 2).astype(np.uint8)
    picture[96:160, 96:160] = 255
    before = faces.frame(picture, (0, 0, 224, 224))
    for name, (_, mild, strong) in harms.STRENGTHS["broad"].harms.items():
        errors = []
        for amount in (mild, strong):
            harmed = harms.harm(picture, name, amount, seed=7)
            after = faces.frame(harmed, (0, 0, harmed.shape[1], harmed.shape[0]))
            errors.append(np.abs(after.astype(float) - before).mean())
        assert errors[0] < errors[1] < 4, name

    of_pairs = harms.STRENGTHS["pairs"].harms
    every = tuple((name, harm.mild) for name, harm in of_pairs.items())
    for seed in (0, 255 + 256 * 255, (1 << 30) - 1):  # the noise must cover what has grown
        change = batches.Change(harms=every, seed=seed)
        assert batches.changed(picture, np.array([0.0, 0, 224, 224]), change).shape == (256, 256, 3)

    torch.manual_seed(0)
    data = faces.load(archive, "train", cache)
    supply = batches.Batches(data, 2, "pairs", CPU)
    changes = [change for _ in range(400) for change in supply._draw()]
    assert 0.3 < np.mean([bool(change.harms) for change in changes]) < 0.45
    for name, (share, mild, strong) in of_pairs.items():
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


def test_plain_batches_are_the_pictures(archive: Path, cache: Path) -> None:
    data = faces.load(archive, "train", cache)
    sums = sorted(
        float(x.double().sum()) for x, _, _ in batches.Batches(data, 1, "none", CPU).epoch()
    )
    assert sums == pytest.approx(sorted(data.framed.sum((1, 2, 3)) / 255), rel=1e-6)


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
