"""Faces to train on: what is read, how it is cut, what is refused."""

from __future__ import annotations

import time
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("tqdm")

from PIL import Image  # noqa: E402
from support.made_faces import noise_picture  # noqa: E402

from minimeso import FaceFinder  # noqa: E402
from minimeso.detect import framing  # noqa: E402
from tools.train import (  # noqa: E402
    batches,
    divisions,
    faces,
)

pytest_plugins = ["support.face_fixtures"]
CPU = torch.device("cpu")


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
    sources = [SimpleNamespace(size=None)] * 3  # tight crops, whose faces are searched
    squares = faces._squares(images, sources, tmp_path / "squares.npy")
    best = FaceFinder(min_face=20).find(head)[0]
    assert squares[0] == pytest.approx(framing.square(best, {"side": 2.1}))
    side = 224 * 2.1 / 2.3
    assert squares[1] == pytest.approx(((224 - side) / 2, (224 - side) / 2, side, side))
    assert squares[2] == pytest.approx(squares[1])
    assert np.array_equal(faces._squares(images, sources, tmp_path / "squares.npy"), squares)
    with pytest.raises(faces.DataError, match="delete it"):
        faces._squares(images[:2], sources[:2], tmp_path / "squares.npy")


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


def test_parts_have_nobody_in_common() -> None:
    names = ("a+b", "c", "b+d", "e+c", "f")
    count = len(names)
    data = faces.Faces(
        np.zeros((count, 2, 2, 3), np.uint8), np.zeros((count, 4)), np.zeros(count, np.uint8),
        np.arange(count), names, names, ("ffpp",) * count, ("original",) * count,
    )  # fmt: skip
    part = divisions.parts(data)
    assert part[0] == part[2] and part[1] == part[3] and len(set(part.tolist())) == 3
    few = divisions.chosen(data, np.array([4, 0]))
    assert few.identity == ("f", "a+b") == few.name and few.pair.tolist() == [4, 0]
    assert few.source == ("ffpp",) * 2
