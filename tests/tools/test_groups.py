"""Pairs drawn anew out of groups, self-blended faces, the harms of clips, weights to begin with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the tools need the extra `train`")

from tools.train import blends, faces, groups, harms, networks, weights  # noqa: E402
from tools.train.trainer import TrainError  # noqa: E402

SIDE = 224


def _picture(level: int) -> np.ndarray:
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    waves = 40 * np.sin(x / 3) + 30 * np.sin(y / 5)
    return np.clip(level + waves[:, :, None] + np.zeros(3), 0, 255).astype(np.uint8)


@pytest.fixture
def several() -> faces.Faces:
    """Two videos of DFDC with 3 and 1 fakes, one of FF++ with 2 real and 2 fake, three stills."""
    rows = [
        ("dfdc", 0, 0), ("dfdc", 0, 1), ("dfdc", 0, 1), ("dfdc", 0, 1), ("dfdc", 1, 0),
        ("dfdc", 1, 1), ("ffpp", 2, 0), ("ffpp", 2, 0), ("ffpp", 2, 1), ("ffpp", 2, 1),
        ("stills", 3, 0), ("stills", 4, 0), ("stills", 5, 0),
    ]  # fmt: skip
    return faces.Faces(
        images=np.stack([_picture(60 + 10 * i) for i in range(len(rows))]),
        squares=np.tile([8.0, 8.0, 208.0, 208.0], (len(rows), 1)),
        fake=np.array([fake for _, _, fake in rows], np.uint8),
        pair=np.array([group for _, group, _ in rows], np.int64),
        identity=tuple(f"p{group}" for _, group, _ in rows),
        name=tuple(map(str, range(len(rows)))),
        source=tuple(source for source, _, _ in rows),
        method=tuple("x" if fake else "original" for _, _, fake in rows),
    )


def test_pairs_are_of_one_video_and_drawn_anew(several: faces.Faces) -> None:
    torch.manual_seed(0)
    repeat = {"ffpp": 3.0, "stills": 0.67}
    supply = groups.Groups(several, 7, "clips", torch.device("cpu"), repeat)
    assert supply.pairs == 2 + 6 + 2 and len(supply) == 4
    partners: dict[int, set[int]] = {}
    counts = []
    for _ in range(12):
        taken = []
        for x, fake, rows in supply.epoch():
            assert x.shape == (len(rows), 3, 256, 256)
            assert fake.tolist() == [0, 1] * (len(rows) // 2)
            assert bool(((x >= 0) & (x <= 1)).all())
            for real, other in rows.reshape(-1, 2).tolist():
                assert several.pair[real] == several.pair[other] and several.fake[real] == 0
                partners.setdefault(real, set()).add(other)
                taken.append(real)
        counts.append(np.bincount(taken, minlength=len(several)))
    total = np.sum(counts, 0)
    assert [int(n) for n in total[:10]] == [12, 0, 0, 0, 12, 0, 36, 36, 0, 0]
    assert total[10:].sum() == 24
    assert partners[0] == {1, 2, 3} and partners[4] == {5} and partners[6] == {8, 9}
    assert partners[10] == {10}  # no fake of it: its self-blended self


def test_share_of_self_blended_ones(several: faces.Faces) -> None:
    torch.manual_seed(1)
    supply = groups.Groups(several, 8, "clips", torch.device("cpu"), {"ffpp": 100.0}, 0.25)
    drawn = [pair.fake is None for pair in supply._pairs() if pair.real in (6, 7)]
    assert np.mean(drawn) == pytest.approx(0.25, abs=0.08)


def test_a_self_blended_face_changes_inside_its_square_alone() -> None:
    picture, square = _picture(120), np.array([40.0, 30.0, 120.0, 120.0])
    changes = []
    for seed in range(40):
        blended = blends.self_blended(picture, square, seed)
        assert blended.dtype == np.uint8 and blended.shape == picture.shape
        assert np.array_equal(blended, blends.self_blended(picture, square, seed))
        moved = np.abs(blended.astype(int) - picture).max(2)
        assert not moved[170:].any() and not moved[:, 180:].any() and not moved[:12].any()
        changes.append(moved[60:120, 70:130].mean())
    assert np.mean(np.array(changes) > 0.5) > 0.6


@pytest.mark.parametrize("size", [(224, 224), (125, 131)])
def test_harms_of_clips(size: tuple[int, int]) -> None:
    pytest.importorskip("av", reason="clips need the extra `video`")
    picture = _picture(110)[: size[0], : size[1]]
    errors = []
    for crf in (20, 32, 40):
        harmed = harms.harm(picture, "h264", crf, seed=3)
        assert harmed.shape == picture.shape and harmed.dtype == np.uint8
        errors.append(np.abs(harmed.astype(float) - picture).mean())
    assert errors[0] < errors[1] < errors[2] < 40
    woven = harms.harm(picture, "interlaced", 0.02)
    assert woven.shape == picture.shape and not np.array_equal(woven, picture)


def test_weights_to_begin_with(tmp_path: Path) -> None:
    network = networks.build("mesoinception4", "mish")
    torch.save({k: v.half() for k, v in network.state_dict().items()}, tmp_path / "half.pt")
    read = weights.read(tmp_path / "half.pt")
    assert all(v.dtype == torch.float32 for v in read.values() if v.is_floating_point())
    bundled = weights.read(Path(__file__).parents[2] / "minimeso/models/mesoinception4-mish.npz")
    assert set(bundled) == {k for k in network.state_dict() if not k.endswith("tracked")}
    (tmp_path / "other.pt").write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(TrainError, match=r"other\.pt: cannot be read"):
        weights.read(tmp_path / "other.pt")
    torch.save({"a": 1}, tmp_path / "none.pt")
    with pytest.raises(TrainError, match="no state_dict"):
        weights.read(tmp_path / "none.pt")
