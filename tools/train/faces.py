"""Face crops with labels, for training: read once, kept as one uint8 array, framed as in use.

Two layouts of a data folder are understood:
  - `faces.csv` beside `train.zip`, `val.zip` and `test.zip`; a row names a member of a zip, and
    every `original_video` has one real and one fake face (a pair);
  - folders `df/` and `real/` of pictures, at the top or inside `train/`, `val/` and `test/` (the
    set of Afchar et al.). Without a `val/`, the last tenth of either class by name is held out:
    names follow the scenes there, so at most one scene is in both.
A network never sees a whole crop, but the square that `minimeso.detect.framing` cuts of a found
face: the finder's landmarks say where it lies, once, and what is fed is cut from the pixels of the
file in one interpolation, so that training and use see the same.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import math
import os
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from minimeso import FaceFinder
from minimeso.detect import framing
from minimeso.detect.box import Box
from minimeso.engine.native import resize
from tools import files
from tools.errors import ToolError

SIZE = 256
#: How a face is cut, in training and in use; it becomes part of the model file.
FRAME_SIDE = 2.1
FRAMING: dict[str, Any] = {"resample": "bicubic_2x", "side": FRAME_SIDE, "dtype": "uint8"}
# Where the finder finds nothing: the whole crop is about so many times the length that `side`
# counts in (median over the training faces), and the face is in its middle.
CROP_SIDE = 2.3
# A square is believed if its side is within these parts of the crop's, and its centre as near to
# the crop's. They are wide: half and double what 99 of 100 faces have.
SANE_SIDE, SANE_MOVE = (0.6, 1.4), 0.2
# Pictures that are framed already are 1.3 squares wide.
MARGIN = 0.15 / 1.3
SPLITS = ("train", "val", "test")
COLUMNS = ("path", "label", "identity_or_source", "original_video")
T = TypeVar("T")
PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")


class DataError(ToolError):
    """The data folder cannot be used; the message names the file and the remedy."""


@dataclass(frozen=True)
class Faces:
    """N faces of one split. Members of a pair follow each other; `pair` is -1 without one."""

    images: NDArray[np.uint8]  # (N, H, W, 3), RGB, as in the files if all are of one size <= 256
    squares: NDArray[np.float64]  # (N, 4) x, y, side, side of the face in its picture's pixels
    fake: NDArray[np.uint8]  # (N,) 1 fake, 0 real
    pair: NDArray[np.int64]  # (N,)
    identity: tuple[str, ...]
    name: tuple[str, ...]
    source: tuple[str, ...] = ()  # of which set each face is: see `tools.sources`
    method: tuple[str, ...] = ()  # and how it was made, "original" for a real one

    def __len__(self) -> int:
        return len(self.fake)

    @property
    def layout(self) -> str:
        """Where they come from: "pairs" of a table, "folders", or several "sets"."""
        if self.source:
            return "sets"
        return "pairs" if self.pair[0] >= 0 else "folders"

    @cached_property
    def framed(self) -> NDArray[np.uint8]:
        """What a network sees of the faces: (N, 256, 256, 3); 0.2 MB each, kept."""
        seen = np.empty((len(self), SIZE, SIZE, 3), np.uint8)
        for face, picture, square in zip(seen, self.images, self.squares, strict=True):
            face[...] = frame(picture, square)
        return seen


def people(data: Faces) -> NDArray[np.str_]:
    """Of each face (N,) who it is: the group of identities that may be one person, or where nobody
    knows that, as of folders, the face itself."""
    if data.layout == "folders":
        return np.array(data.identity)
    return np.array([identity.partition("/")[0] for identity in data.identity])


def digest(data: Faces) -> str:
    """Another for other faces, or other squares of them."""
    found = hashlib.sha256("\n".join(data.name).encode())
    found.update(np.ascontiguousarray(data.squares).tobytes())
    return found.hexdigest()[:16]


def frame(
    picture: NDArray[np.uint8], square: Iterable[float], outside: str = "edge"
) -> NDArray[np.uint8]:
    """The inside of a square (x, y, width, height) of a picture (H, W, 3) as (256, 256, 3).

    The same as `minimeso.detect.framing.resized_crop`, but Pillow's, in bytes, which is faster here
    (`NOTES.md`). `outside` the picture there is what `np.pad` calls so: "edge", "wrap" or
    "reflect".
    """
    x, y, width, height = square
    left, top, right, bottom = math.floor(x), math.floor(y), x + width, y + height
    columns = _lines(left, math.ceil(right), picture.shape[1], outside)
    rows = _lines(top, math.ceil(bottom), picture.shape[0], outside)
    part = Image.fromarray(picture[rows].take(columns, 1))
    box = x - left, y - top, right - left, bottom - top
    return np.asarray(part.resize((SIZE, SIZE), Image.Resampling.BILINEAR, box))


def seen(
    picture: NDArray[np.uint8],
    square: Iterable[float],
    outside: str = "edge",
    resample: str = "",
) -> NDArray[np.float32]:
    """As `frame`, but as `minimeso.detect.framing` cuts in use: (3, 256, 256) from 0 to 1, rounded
    once. A large network can learn the rounding by heart (`NOTES.md`). `resample`: as `FRAMING` has
    it where there is none."""
    x, y, width, height = square
    left, top, right, bottom = math.floor(x), math.floor(y), x + width, y + height
    columns = _lines(left, math.ceil(right), picture.shape[1], outside)
    rows = _lines(top, math.ceil(bottom), picture.shape[0], outside)
    part = picture[rows].take(columns, 1)
    box = x - left, y - top, right - left, bottom - top
    how = resample or FRAMING["resample"]
    return resize(part, box, (SIZE, SIZE), how, rounded=FRAMING["dtype"] == "uint8")


def _lines(start: int, stop: int, length: int, outside: str) -> NDArray[np.int64]:
    """Of `length` lines of a picture those from start to stop, with what stands for others."""
    lines = np.arange(start, stop)
    if outside == "edge":
        return np.clip(lines, 0, length - 1)
    if outside == "wrap":
        return lines % length
    lines = lines % max(2 * length - 2, 1)
    return np.minimum(lines, 2 * length - 2 - lines)


@dataclass(frozen=True)
class Source:
    """One face before it is read: `read` returns the bytes of the picture file."""

    name: str
    fake: bool
    pair: int
    identity: str
    stamp: str  # changes when the file does
    read: Callable[[], bytes]
    # Width and height where the picture is the framed face with a margin around it, and the face
    # its middle; None: the finder says where the face lies.
    size: tuple[int, int] | None = None
    origin: str = ""  # the set
    method: str = ""


def load(data: Path, split: str, cache: Path, limit: int = 0) -> Faces:
    """Faces of one split; decoded pixels and the squares of the faces are kept in `cache`.

    Pictures of several sizes, or larger than 256, are first scaled to 256x256.
    """
    if not data.is_dir():
        raise DataError(f"{data}: no such folder; point --data at the face set")
    archived = (data / "faces.csv").is_file()
    sources = _from_archive(data, split) if archived else _from_folders(data, split)
    if len({source.fake for source in sources[: limit or None]}) != 2:
        raise DataError(f"{data}: the {split} split needs real and fake faces; both must be there")
    return read(sources[: limit or None], split, cache)


def read(sources: Sequence[Source], split: str, cache: Path) -> Faces:
    """The faces, decoded; pixels and squares are kept in `cache`, under the name of the split."""
    digest = hashlib.sha256("\n".join(f"{s.name} {s.stamp}" for s in sources).encode())
    stem = f"{split}-{len(sources)}-{digest.hexdigest()[:12]}"
    images = _decode(sources, cache / f"{stem}.npy")
    several = any(source.origin for source in sources)
    return Faces(
        images=images,
        squares=_squares(images, sources, cache / f"{stem}-squares-{FRAME_SIDE}.npy"),
        fake=np.array([source.fake for source in sources], np.uint8),
        pair=np.array([source.pair for source in sources], np.int64),
        identity=tuple(source.identity for source in sources),
        name=tuple(source.name for source in sources),
        source=tuple(source.origin for source in sources) if several else (),
        method=tuple(source.method for source in sources) if several else (),
    )


def _from_archive(data: Path, split: str) -> list[Source]:
    table, archive = data / "faces.csv", data / f"{split}.zip"
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:  # spreadsheets write a mark
            rows = [row for row in csv.DictReader(file) if row["split"] == split]
        if any(row[column] is None for row in rows for column in COLUMNS):
            raise DataError(f"{table}: a row of {split} is cut short; get the table anew")
        rows.sort(key=lambda row: (row["original_video"], row["label"]))
        unknown = {row["label"] for row in rows} - {"fake", "real"}
        members = zipfile.ZipFile(archive)
        stamp = f"{archive.stat().st_size}"
    except KeyError as error:
        raise DataError(f"{table}: no column {error}; get the table of this face set") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{table}: cannot be read ({error}); copy it again") from None
    except (OSError, zipfile.BadZipFile, ValueError) as error:
        raise DataError(f"{archive}: cannot be read ({error}); copy it again") from None
    if unknown:
        raise DataError(f"{table}: label {min(unknown)!r}; it must be real or fake")
    numbers: dict[str, int] = {}
    return [
        Source(
            name=row["path"],
            fake=row["label"] == "fake",
            pair=numbers.setdefault(row["original_video"], len(numbers)),
            identity=row["identity_or_source"],
            stamp=stamp,
            read=partial(members.read, row["path"]),
        )
        for row in rows
    ]


def _from_folders(data: Path, split: str) -> list[Source]:
    parted = (data / "train").is_dir()
    if split == "test" and not (data / "test").is_dir():
        raise DataError(f"{data}: no folder test/; put df/ and real/ of the test split there")
    held_out = not (data / "val").is_dir()
    folder = data / ("train" if split == "val" and held_out else split)
    if not parted and split != "test":
        folder = data
    sources: list[tuple[int, Source]] = []
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
            sources.append((place, Source(relative, fake, -1, relative, stamp, path.read_bytes)))
    sources.sort(key=lambda placed: placed[0])  # fake and real in turn, so that --limit gets both
    return [source for _, source in sources]


def _decode(sources: Sequence[Source], path: Path) -> NDArray[np.uint8]:
    """(N, H, W, 3) uint8, memory-mapped from a file whose name depends on what was read."""
    if not path.exists():
        size = _common_size(sources)
        make = partial(_picture, size=size)
        keep(path, make, sources, size[::-1], os.cpu_count() or 1, "decoding")
    mapped = cached(path, np.uint8)
    height, width = mapped.shape[1:3] if mapped.ndim == 4 else (0, 0)
    if mapped.shape != (len(sources), height, width, 3) or not 0 < max(height, width) <= SIZE:
        raise DataError(f"{path}: not the cached faces; delete it, it is a cache")
    return mapped


def keep(
    path: Path,
    make: Callable[[T], NDArray[np.uint8]],
    items: Sequence[T],
    size: tuple[int, int],
    threads: int,
    doing: str,
) -> None:
    """Writes a .npy file (N, H, W, 3) uint8 of what threads make of N items."""
    pool = ThreadPoolExecutor(threads)  # Pillow releases the GIL
    some = 32 * threads  # a disk may be slower than they are: no more wait in memory
    parts = (pool.map(make, items[i : i + some]) for i in range(0, len(items), some))
    with files.atomic_file(path) as part, part.open("wb") as file:
        shape = (len(items), *size, 3)
        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        try:  # written and not mapped, so that a full disk is an error and not the end
            made = chain.from_iterable(parts)
            for picture in tqdm(made, doing, len(items), unit="face", disable=None):
                file.write(picture.tobytes())
        finally:
            pool.shutdown(cancel_futures=True)


def _squares(
    images: NDArray[np.uint8], sources: Sequence[Source], path: Path
) -> NDArray[np.float64]:
    """(N, 4): what `minimeso.detect.framing` cuts of each picture, found once."""
    if not path.exists():
        finder = FaceFinder(min_face=20)  # small enough for the full scale
        bar = tqdm(images, "finding faces", unit="face", disable=None)
        squares = np.array(
            [
                _middle(*source.size) if source.size else _square(finder, picture)
                for picture, source in zip(bar, sources, strict=True)
            ]
        )
        with files.atomic_file(path) as part, part.open("wb") as file:
            np.save(file, squares)
    squares = cached(path, np.float64)
    if squares.shape != (len(images), 4):
        raise DataError(f"{path}: not the squares of these faces; delete it, it is a cache")
    return squares


def _square(finder: FaceFinder, picture: NDArray[np.uint8]) -> Box:
    """The square of the best face that lies where the face of a tight crop must lie."""
    height, width = picture.shape[:2]
    crop = max(height, width)
    for face in finder.find(picture):
        x, y, side, _ = square = framing.square(face, FRAMING)
        off = math.hypot(x + side / 2 - width / 2, y + side / 2 - height / 2)
        sane = SANE_SIDE[0] <= side / crop <= SANE_SIDE[1] and off <= SANE_MOVE * crop
        if sane and not face.rotation:
            return square
    side = crop * FRAME_SIDE / CROP_SIDE
    return Box((width - side) / 2, (height - side) / 2, side, side)


def _middle(width: int, height: int) -> Box:
    """The framed face of a picture that has a margin of MARGIN of its side around it."""
    side = min(width, height) * (1 - 2 * MARGIN)
    return Box((width - side) / 2, (height - side) / 2, side, side)


def cached(path: Path, kind: type[np.generic]) -> NDArray[Any]:
    """The array of a .npy file, memory-mapped."""
    try:
        mapped = np.lib.format.open_memmap(path, mode="r")
    except OSError as error:
        reason = error.strerror or "cut short"
        raise DataError(f"{path}: cannot be read ({reason}); delete it, it is a cache") from None
    except ValueError:  # NumPy's own words may advise to load it unsafely
        raise DataError(f"{path}: cut short or damaged; delete it, it is a cache") from None
    if mapped.dtype != kind:
        raise DataError(f"{path}: holds something else; delete it, it is a cache")
    return mapped


def _common_size(sources: Sequence[Source]) -> tuple[int, int]:
    """Width and height of all the pictures; 256 each where they differ or are larger than that.
    Those that are framed already do not count: smaller ones are not scaled."""
    framed = [source.size for source in sources if source.size]
    sizes = {(max(max(size) for size in framed),) * 2} if framed else set()
    for source in sources:
        if source.size:
            continue
        with _opened(source) as image:
            sizes.add(image.size)
        if len(sizes) > 1 or max(image.size) > SIZE:
            return SIZE, SIZE
    return min(max(sizes), (SIZE, SIZE))


@contextlib.contextmanager
def _opened(source: Source) -> Iterator[Image.Image]:
    try:
        with Image.open(io.BytesIO(source.read())) as image:
            yield image
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise DataError(f"{source.name}: cannot be read ({error}); copy it again") from None


def _picture(source: Source, size: tuple[int, int]) -> NDArray[np.uint8]:
    with _opened(source) as image:
        rgb = image.convert("RGB")
    if source.size:
        if rgb.size != source.size or max(rgb.size) > max(size):
            raise DataError(f"{source.name}: {rgb.size}, not {source.size} as its table says")
        right, below = size[0] - rgb.width, size[1] - rgb.height
        return np.pad(np.asarray(rgb), ((0, below), (0, right), (0, 0)), "edge")
    return np.asarray(rgb if rgb.size == size else rgb.resize(size, Image.Resampling.BILINEAR))
