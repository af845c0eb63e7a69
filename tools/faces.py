"""Face crops with labels, for training: read once, kept as one uint8 array, augmented by the batch.

Two layouts of a data folder are understood:
  - `faces.csv` beside `train.zip`, `val.zip` and `test.zip`; a row names a member of a zip, and
    every `original_video` has one real and one fake face (a pair);
  - folders `df/` and `real/` of pictures, at the top or inside `train/`, `val/` and `test/` (the
    set of Afchar et al.). Without a `val/`, the last tenth of either class by name is held out:
    names follow the scenes there, so whole scenes go.
Faces are scaled to 256x256 by Pillow, bilinear. What is random comes from PyTorch's generator of
the CPU, on the caller's thread, so saving that generator's state is enough to resume exactly.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
import zipfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from tqdm import tqdm

SIZE = 256
SPLITS = ("train", "val", "test")
AUGMENTATIONS = ("paper", "pixel", "none")
PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
MAX_SHIFT = 16  # half a cell of the last feature map (256 / 8 = 32 pixels)


class DataError(Exception):
    """The data folder cannot be used; the message names the file and the remedy."""


@dataclass(frozen=True)
class Faces:
    """N faces of one split. Members of a pair follow each other; `pair` is -1 without one."""

    images: NDArray[np.uint8]  # (N, 256, 256, 3), RGB
    fake: NDArray[np.uint8]  # (N,) 1 fake, 0 real
    pair: NDArray[np.int64]  # (N,)
    identity: tuple[str, ...]
    name: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.fake)


@dataclass(frozen=True)
class _Source:
    """One face before it is read: `read` returns the bytes of the picture file."""

    name: str
    fake: bool
    pair: int
    identity: str
    stamp: str  # changes when the file does
    read: Callable[[], bytes]


def load(data: Path, split: str, cache: Path, limit: int = 0) -> Faces:
    """Faces of one split; decoded pixels are kept in `cache` and mapped from there next time."""
    if not data.is_dir():
        raise DataError(f"{data}: no such folder; point --data at the face set")
    archived = (data / "faces.csv").is_file()
    sources = _from_archive(data, split) if archived else _from_folders(data, split)
    if limit:
        sources = sources[:limit]
    if len({source.fake for source in sources}) != 2:
        raise DataError(f"{data}: the {split} split needs real and fake faces; both must be there")
    return Faces(
        images=_decode(sources, split, cache),
        fake=np.array([source.fake for source in sources], np.uint8),
        pair=np.array([source.pair for source in sources], np.int64),
        identity=tuple(source.identity for source in sources),
        name=tuple(source.name for source in sources),
    )


def _from_archive(data: Path, split: str) -> list[_Source]:
    table, archive = data / "faces.csv", data / f"{split}.zip"
    try:
        with table.open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if row["split"] == split]
        rows.sort(key=lambda row: (row["original_video"], row["label"]))
        unknown = {row["label"] for row in rows} - {"fake", "real"}
        members = zipfile.ZipFile(archive)
        stamp = f"{archive.stat().st_size}"
    except KeyError as error:
        raise DataError(f"{table}: no column {error}; get the table of this face set") from None
    except (OSError, zipfile.BadZipFile, ValueError) as error:
        raise DataError(f"{archive}: cannot be read ({error}); copy it again") from None
    if unknown:
        raise DataError(f"{table}: label {min(unknown)!r}; it must be real or fake")
    numbers: dict[str, int] = {}
    return [
        _Source(
            name=row["path"],
            fake=row["label"] == "fake",
            pair=numbers.setdefault(row["original_video"], len(numbers)),
            identity=row["identity_or_source"],
            stamp=stamp,
            read=lambda path=row["path"]: members.read(path),  # type: ignore[misc]
        )
        for row in rows
    ]


def _from_folders(data: Path, split: str) -> list[_Source]:
    parted = (data / "train").is_dir()
    if not parted and split == "test":
        raise DataError(f"{data}: no folder test/; put df/ and real/ of the test split there")
    held_out = not (data / "val").is_dir()
    folder = data if not parted else data / ("train" if split == "val" and held_out else split)
    sources: list[tuple[int, _Source]] = []
    for name, fake in (("df", True), ("real", False)):
        if not (folder / name).is_dir():
            raise DataError(f"{folder}: neither faces.csv nor a folder {name}/; see --help")
        paths = sorted(p for p in (folder / name).iterdir() if p.suffix.lower() in PICTURES)
        if held_out and split != "test":
            cut = len(paths) - len(paths) // 10
            paths = paths[cut:] if split == "val" else paths[:cut]
        for place, path in enumerate(paths):
            stamp = f"{path.stat().st_size}"
            relative = path.relative_to(data).as_posix()
            sources.append((place, _Source(relative, fake, -1, relative, stamp, path.read_bytes)))
    sources.sort(key=lambda placed: placed[0])  # fake and real in turn, so that --limit gets both
    return [source for _, source in sources]


def _decode(sources: Sequence[_Source], split: str, cache: Path) -> NDArray[np.uint8]:
    """(N, 256, 256, 3) uint8, memory-mapped from a file whose name depends on what was read."""
    digest = hashlib.sha256("\n".join(f"{s.name} {s.stamp}" for s in sources).encode())
    path = cache / f"{split}-{len(sources)}-{digest.hexdigest()[:12]}.npy"
    shape = (len(sources), SIZE, SIZE, 3)
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}.part")
        try:
            images = np.lib.format.open_memmap(part, "w+", np.uint8, shape)
            pool = ThreadPoolExecutor(os.cpu_count())  # Pillow releases the GIL
            try:
                pictures = pool.map(_picture, sources)
                bar = tqdm(pictures, f"decoding {split}", len(sources), unit="face", disable=None)
                for index, picture in enumerate(bar):
                    images[index] = picture
            finally:
                pool.shutdown(cancel_futures=True)
            images.flush()
            del images
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    try:
        mapped: NDArray[np.uint8] = np.load(path, mmap_mode="r")
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error}); delete it, it is a cache") from None
    if mapped.shape != shape or mapped.dtype != np.uint8:
        raise DataError(f"{path}: not the cached faces; delete it, it is a cache")
    return mapped


def _picture(source: _Source) -> NDArray[np.uint8]:
    try:
        with Image.open(io.BytesIO(source.read())) as image:
            rgb = image.convert("RGB")
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise DataError(f"{source.name}: cannot be read ({error}); copy it again") from None
    if rgb.size != (SIZE, SIZE):
        rgb = rgb.resize((SIZE, SIZE), Image.Resampling.BILINEAR)
    return np.asarray(rgb)


class Batches:
    """Augmented training batches, epoch after epoch.

    `none` and `paper` shuffle faces. `pixel` shuffles pairs and keeps the two faces of a pair in
    one batch under the same augmentation (an odd batch size is made even): what then tells them
    apart is the manipulation alone. It never interpolates, because that blurs the traces which
    the network looks for.
    """

    def __init__(self, faces: Faces, size: int, augmentation: str, device: torch.device) -> None:
        self.faces = faces
        self.augmentation = augmentation
        self.device = device
        by_pair = np.reshape(faces.pair[: len(faces) // 2 * 2], (-1, 2))
        self.paired = (
            augmentation == "pixel"
            and len(faces) % 2 == 0
            and bool((faces.pair >= 0).all() and (by_pair[:, 0] == by_pair[:, 1]).all())
        )
        self.size = max(size // 2 * 2, 2) if self.paired else size
        self._kornia = _kornia_augmentation() if augmentation == "paper" else None

    def __len__(self) -> int:
        return -(-len(self.faces) // self.size)

    def epoch(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yields x (N, 3, 256, 256) float32 in [0, 1] and fake (N,) float32, on the device."""
        order, moves = self._draw()
        with ThreadPoolExecutor(1) as pool:  # gathers one batch ahead
            following = pool.submit(self._gather, order[: self.size], moves[: self.size])
            for start in range(0, len(order), self.size):
                images, fake = following.result()
                end = start + self.size
                if end < len(order):
                    chunk = slice(end, end + self.size)
                    following = pool.submit(self._gather, order[chunk], moves[chunk])
                yield self._finish(images.to(self.device)), fake.to(self.device)

    def _draw(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Order (N,) of an epoch and for each face its move (N, 3): flip, rows down, columns."""
        per = 2 if self.paired else 1
        groups = torch.randperm(len(self.faces) // per).numpy()
        order = (groups[:, None] * per + np.arange(per)).reshape(-1)
        moves = np.zeros((len(groups), 3), np.int64)
        if self.augmentation == "pixel":
            moves[:, 0] = torch.randint(0, 2, (len(groups),)).numpy()
            moves[:, 1:] = torch.randint(-MAX_SHIFT, MAX_SHIFT + 1, (len(groups), 2)).numpy()
        return order, np.repeat(moves, per, 0)

    def _gather(self, order: NDArray[np.int64], moves: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Flipped and shifted faces (N, 256, 256, 3) uint8 and their labels (N,) float32."""
        images = np.empty((len(order), SIZE, SIZE, 3), np.uint8)
        line = np.arange(SIZE)
        for image, index, (flip, down, right) in zip(images, order, moves, strict=True):
            source = self.faces.images[index]
            if flip or down or right:
                rows = np.clip(line - down, 0, SIZE - 1)  # edge pixels repeat
                columns = np.clip(line - right, 0, SIZE - 1)
                source = source[rows].take(columns[::-1] if flip else columns, 1)
            image[...] = source
        fake = self.faces.fake[order].astype(np.float32)
        return torch.from_numpy(images), torch.from_numpy(fake)

    def _finish(self, images: Tensor) -> Tensor:
        """uint8 (N, 256, 256, 3) to float32 (N, 3, 256, 256), with the rest of the augmentation."""
        x = to_float(images)
        if self._kornia is not None:
            x = self._kornia(x)
        elif self.augmentation == "pixel":
            x = _recolour(x, 2 if self.paired else 1)
        return x


def to_float(images: Tensor) -> Tensor:
    """uint8 (N, H, W, 3) to float32 (N, 3, H, W) in [0, 1]."""
    return images.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format) / 255


def _recolour(x: Tensor, per: int) -> Tensor:
    """Brightness and contrast within 20 %, each colour within 10 %; the same for `per` faces."""
    draws = torch.rand(len(x) // per, 5).repeat_interleave(per, 0).to(x.device)
    contrast = 0.8 + 0.4 * draws[:, :1]
    gain = (0.8 + 0.4 * draws[:, 1:2]) * (0.9 + 0.2 * draws[:, 2:])
    offset = x.mean((1, 2, 3))[:, None] * (1 - contrast) * gain
    scale = contrast * gain
    return torch.addcmul(offset[:, :, None, None], x, scale[:, :, None, None]).clamp_(0, 1)


def _kornia_augmentation() -> torch.nn.Module:
    """The paper's: zoom, flips, rotation, colour. Amounts as in Afchar et al.; theirs are unnamed
    in Kawa & Syga."""
    from kornia import augmentation

    return torch.nn.Sequential(
        augmentation.RandomHorizontalFlip(),
        augmentation.RandomAffine(15.0, scale=(0.8, 1.2), padding_mode="border", p=1.0),
        augmentation.ColorJiggle(0.2, 0.2, 0.2, 0.05, p=1.0),
    )
