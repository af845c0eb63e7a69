"""Face crops with labels, for training: read once, kept as one uint8 array, augmented by the batch.

Two layouts of a data folder are understood:
  - `faces.csv` beside `train.zip`, `val.zip` and `test.zip`; a row names a member of a zip, and
    every `original_video` has one real and one fake face (a pair);
  - folders `df/` and `real/` of pictures, at the top or inside `train/`, `val/` and `test/` (the
    set of Afchar et al.). Without a `val/`, the last tenth of either class by name is held out:
    names follow the scenes there, so whole scenes go.
Faces are scaled to 256x256 by Pillow, bilinear; `pairs` does so anew each time, from the pixels of
the file, so that zoom and shift cost no second interpolation. What is random comes from PyTorch's
generator of the CPU, on the caller's thread, so saving its state is enough to resume exactly.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import math
import os
import zipfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from torch import Tensor
from tqdm import tqdm

SIZE = 256
SPLITS = ("train", "val", "test")
AUGMENTATIONS = ("paper", "pixel", "pairs", "none")
PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
MAX_SHIFT = 16  # half a cell of the last feature map (256 / 8 = 32 pixels)
LOADERS = min(os.cpu_count() or 1, 8)  # threads; Pillow releases the GIL
# Of `pairs`: how often a face is framed exactly, else zoomed and moved by as much as this (parts of
# its side); how often a picture is made worse, and by how much.
EXACT = 0.6
ZOOM = (0.88, 1.12)
MAX_MOVE = 0.06
HARMED = 0.3
HARMS = {"jpeg": (30, 90), "rescale": (0.45, 0.9), "blur": (0.4, 1.1)}


class DataError(Exception):
    """The data folder cannot be used; the message names the file and the remedy."""


@dataclass(frozen=True)
class Faces:
    """N faces of one split. Members of a pair follow each other; `pair` is -1 without one."""

    images: NDArray[np.uint8]  # (N, 256, 256, 3), RGB; smaller where `load` was told native
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


def load(data: Path, split: str, cache: Path, limit: int = 0, native: bool = False) -> Faces:
    """Faces of one split; decoded pixels are kept in `cache` and mapped from there next time.

    `native`: as they are in the files, where all are of one size and none is larger than 256.
    """
    if not data.is_dir():
        raise DataError(f"{data}: no such folder; point --data at the face set")
    archived = (data / "faces.csv").is_file()
    sources = _from_archive(data, split) if archived else _from_folders(data, split)
    if limit:
        sources = sources[:limit]
    if len({source.fake for source in sources}) != 2:
        raise DataError(f"{data}: the {split} split needs real and fake faces; both must be there")
    return Faces(
        images=_decode(sources, f"{split}-native" if native else split, cache, native),
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
            read=partial(members.read, row["path"]),
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


def _decode(sources: Sequence[_Source], split: str, cache: Path, native: bool) -> NDArray[np.uint8]:
    """(N, H, W, 3) uint8, memory-mapped from a file whose name depends on what was read."""
    digest = hashlib.sha256("\n".join(f"{s.name} {s.stamp}" for s in sources).encode())
    path = cache / f"{split}-{len(sources)}-{digest.hexdigest()[:12]}.npy"
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        size = _common_size(sources) if native else (SIZE, SIZE)
        shape = (len(sources), *size[::-1], 3)
        part = path.with_suffix(f".{os.getpid()}.part")
        try:
            images = np.lib.format.open_memmap(part, "w+", np.uint8, shape)
            pool = ThreadPoolExecutor(os.cpu_count())  # Pillow releases the GIL
            try:
                pictures = pool.map(lambda source: _picture(source, size), sources)
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
    height, width = mapped.shape[1:3] if mapped.ndim == 4 else (0, 0)
    fits = 0 < max(height, width) <= SIZE if native else (height, width) == (SIZE, SIZE)
    if mapped.shape != (len(sources), height, width, 3) or not fits or mapped.dtype != np.uint8:
        raise DataError(f"{path}: not the cached faces; delete it, it is a cache")
    return mapped


def _common_size(sources: Sequence[_Source]) -> tuple[int, int]:
    """Width and height of all the pictures; 256 each where they differ or are larger than that."""
    sizes = set()
    for source in sources:
        with _opened(source) as image:
            sizes.add(image.size)
        if len(sizes) > 1 or max(image.size) > SIZE:
            return SIZE, SIZE
    return sizes.pop()


@contextlib.contextmanager
def _opened(source: _Source) -> Iterator[Image.Image]:
    try:
        with Image.open(io.BytesIO(source.read())) as image:
            yield image
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise DataError(f"{source.name}: cannot be read ({error}); copy it again") from None


def _picture(source: _Source, size: tuple[int, int]) -> NDArray[np.uint8]:
    with _opened(source) as image:
        rgb = image.convert("RGB")
    return np.asarray(rgb if rgb.size == size else rgb.resize(size, Image.Resampling.BILINEAR))


class Change(NamedTuple):
    """What happens to a face before its colours change: first the box, then the harm, then the
    rest. The default is nothing."""

    flip: bool = False
    down: int = 0  # pixels of 256
    right: int = 0
    zoom: float = 1.0
    x: float = 0.0  # of the box's centre, in sides of the picture, from the middle
    y: float = 0.0
    harm: str = ""  # of HARMS
    amount: float = 0.0


class Batches:
    """Augmented training batches, epoch after epoch.

    `none` and `paper` shuffle faces. `pixel` and `pairs` shuffle pairs and keep the two faces of a
    pair in one batch under the same augmentation (an odd batch size is made even): what then tells
    them apart is the manipulation alone. `pixel` never interpolates, because that blurs the traces
    which the network looks for; `pairs` does it for some faces, so that the network bears it.
    """

    def __init__(self, faces: Faces, size: int, augmentation: str, device: torch.device) -> None:
        self.faces = faces
        self.augmentation = augmentation
        self.device = device
        even = len(faces) // 2 * 2
        pair, fake = faces.pair[:even].reshape(-1, 2), faces.fake[:even].reshape(-1, 2)
        self.paired = (
            augmentation in ("pixel", "pairs")
            and len(faces) == even
            and bool(((pair[:, 0] == pair[:, 1]) & (pair[:, 0] >= 0)).all())
            and bool((fake[:, 0] != fake[:, 1]).all())
        )
        self.size = max(size // 2 * 2, 2) if self.paired else size
        self._kornia = _kornia_augmentation() if augmentation == "paper" else None

    def __len__(self) -> int:
        return -(-len(self.faces) // self.size)

    def epoch(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yields x (N, 3, 256, 256) float32 in [0, 1] and fake (N,) float32, on the device."""
        order, changes = self._draw()
        starts = iter(range(0, len(order), self.size))
        with ThreadPoolExecutor(LOADERS) as pool:  # each thread gathers one batch ahead

            def gather(start: int) -> Future[tuple[Tensor, Tensor]]:
                chunk = slice(start, start + self.size)
                return pool.submit(self._gather, order[chunk], changes[chunk])

            ahead = deque(map(gather, islice(starts, LOADERS)))
            while ahead:
                images, fake = ahead.popleft().result()
                ahead.extend(map(gather, islice(starts, 1)))
                yield self._finish(images.to(self.device)), fake.to(self.device)

    def _draw(self) -> tuple[NDArray[np.int64], list[Change]]:
        """Order (N,) of an epoch and for each face of that order its change."""
        per = 2 if self.paired else 1
        groups = torch.randperm(len(self.faces) // per).numpy()
        order = (groups[:, None] * per + np.arange(per)).reshape(-1)
        changes = [Change()] * len(groups)
        if self.augmentation in ("pixel", "pairs"):
            flips = torch.randint(0, 2, (len(groups),)).tolist()
            shifts = torch.randint(-MAX_SHIFT, MAX_SHIFT + 1, (len(groups), 2)).tolist()
            changes = [Change(bool(f), *shift) for f, shift in zip(flips, shifts, strict=True)]
        if self.augmentation == "pairs":
            draws = torch.rand(len(groups), 7).tolist()
            changes = list(map(_reframed_and_harmed, changes, draws))
        return order, [change for change in changes for _ in range(per)]

    def _gather(self, order: NDArray[np.int64], changes: list[Change]) -> tuple[Tensor, Tensor]:
        """Changed faces (N, 256, 256, 3) uint8 and their labels (N,) float32."""
        images = np.empty((len(order), SIZE, SIZE, 3), np.uint8)
        for image, index, change in zip(images, order, changes, strict=True):
            source = _harm(_frame(self.faces.images[index], change), change)
            if change.flip or change.down or change.right:
                columns = _shifted(change.right)
                columns = columns[::-1] if change.flip else columns
                source = source[_shifted(change.down)].take(columns, 1)
            image[...] = source
        fake = self.faces.fake[order].astype(np.float32)
        return torch.from_numpy(images), torch.from_numpy(fake)

    def _finish(self, images: Tensor) -> Tensor:
        """uint8 (N, 256, 256, 3) to float32 (N, 3, 256, 256), with the rest of the augmentation."""
        x = to_float(images)
        if self._kornia is not None:
            x = self._kornia(x)
        elif self.augmentation in ("pixel", "pairs"):
            x = _recolour(x, 2 if self.paired else 1)
        return x.contiguous(memory_format=torch.channels_last)


def _reframed_and_harmed(change: Change, draws: list[float]) -> Change:
    """Seven uniform draws decide whether the face is framed anew or shifted, and what harms it."""
    framed, zoom, x, y, harmed, which, amount = draws
    if framed >= EXACT:
        change = Change(
            flip=change.flip,
            zoom=ZOOM[0] + (ZOOM[1] - ZOOM[0]) * zoom,
            x=MAX_MOVE * (2 * x - 1),
            y=MAX_MOVE * (2 * y - 1),
        )
    if harmed < HARMED:
        harm = list(HARMS)[int(which * len(HARMS))]
        low, high = HARMS[harm]
        change = change._replace(harm=harm, amount=low + (high - low) * amount)
    return change


def _frame(source: NDArray[np.uint8], change: Change) -> NDArray[np.uint8]:
    """What the box shows of a picture (H, W, 3), as (256, 256, 3); outside, edge pixels repeat."""
    height, width = source.shape[:2]
    if (change.zoom, change.x, change.y) == (1, 0, 0):
        if (height, width) == (SIZE, SIZE):
            return source
        return _resized(Image.fromarray(source))
    left, right = _span(width, change.x, change.zoom)
    top, bottom = _span(height, change.y, change.zoom)
    # One pixel more on each side, for the filter.
    x0, y0 = math.floor(left) - 1, math.floor(top) - 1
    columns = np.clip(np.arange(x0, math.ceil(right) + 1), 0, width - 1)
    rows = np.clip(np.arange(y0, math.ceil(bottom) + 1), 0, height - 1)
    part = source[rows].take(columns, 1)
    return _resized(Image.fromarray(part), (left - x0, top - y0, right - x0, bottom - y0))


def _span(length: int, move: float, zoom: float) -> tuple[float, float]:
    """The two ends of a box on an axis of so many pixels."""
    middle, half = length * (0.5 + move), length / zoom / 2
    return middle - half, middle + half


def _resized(
    image: Image.Image, box: tuple[float, float, float, float] | None = None
) -> NDArray[np.uint8]:
    return np.asarray(image.resize((SIZE, SIZE), Image.Resampling.BILINEAR, box))


def _harm(source: NDArray[np.uint8], change: Change) -> NDArray[np.uint8]:
    """The picture (256, 256, 3) compressed, made small and large again, or blurred."""
    if not change.harm:
        return source
    image = Image.fromarray(source)
    if change.harm == "jpeg":
        file = io.BytesIO()
        image.save(file, "jpeg", quality=round(change.amount))
        return np.asarray(Image.open(file))
    if change.harm == "rescale":
        side = round(SIZE * change.amount)
        return _resized(image.resize((side, side), Image.Resampling.BILINEAR))
    return np.asarray(image.filter(ImageFilter.GaussianBlur(change.amount)))


def _shifted(shift: int) -> NDArray[np.int64]:
    """For each of 256 lines the one that comes there; edge lines repeat."""
    return np.clip(np.arange(SIZE) - shift, 0, SIZE - 1)


def to_float(images: Tensor) -> Tensor:
    """uint8 (N, H, W, 3) to float32 (N, 3, H, W) in [0, 1], channels last in memory.

    A training step takes 15 % less time so than with the channels first (36.5 to 30.8 ms an image
    on one Zen core).
    """
    return images.permute(0, 3, 1, 2).to(torch.float32) / 255


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
