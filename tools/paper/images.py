"""MNIST and CIFAR-10 as arrays, from the files that the shared data has.

MNIST: its four idx files, each packed by gzip. CIFAR-10: `train.zip` and `test.zip`, each with a
table of labels and JPEG mosaics of 1,000 pictures (40 columns, 25 rows). What is read is checked
first: sizes against what the data set has, so that a damaged or hostile file is named and costs
neither memory nor a traceback.
"""

from __future__ import annotations

import csv
import gzip
import io
import math
import zipfile
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tools.paper.results import ResultsError

CLASSES = 10
MOST = 70_000  # pictures of a split; both sets have 60,000 and 10,000 or fewer
COLUMNS, ROWS, TILE = 40, 25, 32  # of a mosaic
MEMBER_BYTES = 8 << 20  # a mosaic has 0.6 MB, the labels 0.9
MNIST_FILES = {"train": "train", "test": "t10k"}


class Images(NamedTuple):
    """(N, H, W, C) uint8, one channel or RGB, and (N,) int64 classes 0 to 9."""

    pictures: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def first(self, count: int) -> Images:
        """The first so many, or all for 0."""
        return Images(self.pictures[: count or None], self.labels[: count or None])


def mnist(folder: Path, split: str) -> Images:
    """The pictures (N, 28, 28, 1) and labels of "train" or "test".

    Raises:
        ResultsError: a file is missing, cut or not what it should be.
    """
    stem = f"{MNIST_FILES[split]}-{{}}-ubyte.gz"
    labels = _idx(folder / stem.format("labels-idx1"), ())
    pictures = _idx(folder / stem.format("images-idx3"), (28, 28))
    return _checked(folder / stem.format("labels-idx1"), pictures[..., None], labels)


def _idx(path: Path, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """(N, *shape) bytes of an idx file: magic, the extents as big-endian int32, the values."""
    header = 4 * (2 + len(shape))
    most = header + MOST * math.prod(shape)
    try:
        with gzip.open(path) as file:
            data = file.read(most + 1)
    except FileNotFoundError:
        raise ResultsError(
            f"{path}: no such file; --data must be the folder with MNIST's four .gz files,"
            " or the one with mnist/"
        ) from None
    except (OSError, EOFError, zlib.error) as error:
        raise ResultsError(
            f"{path}: cannot be read or is damaged ({error}); copy it anew"
        ) from None
    magic = bytes((0, 0, 8, 1 + len(shape)))
    extents = tuple(int.from_bytes(data[i : i + 4], "big") for i in range(4, header, 4))
    if data[:4] != magic or len(data) < header or extents[1:] != shape:
        wanted = " of 28x28 pictures" if shape else " of labels"
        raise ResultsError(f"{path}: not an idx file{wanted}; copy it anew")
    if extents[0] > MOST or len(data) - header != extents[0] * math.prod(shape):
        raise ResultsError(
            f"{path}: says it has {extents[0]} entries, but has {len(data) - header} bytes of them;"
            " copy it anew"
        )
    values: NDArray[np.uint8] = np.frombuffer(data, np.uint8, offset=header).reshape(extents).copy()
    return values


def cifar10(folder: Path, split: str, count: int = 0) -> Images:
    """The first `count` pictures (N, 32, 32, 3) and labels of "train" or "test"; 0: all.

    Raises:
        ResultsError: a file is missing, cut or not what it should be.
    """
    path = folder / f"{split}.zip"
    try:
        with zipfile.ZipFile(path) as archive:
            labels = _labels(path, _member(path, archive, f"{split}_labels.csv"))
            labels = labels[: count or None]
            mosaics = [
                _mosaic(path, archive, f"{split}_{number:02}.jpg")
                for number in range(math.ceil(len(labels) / (COLUMNS * ROWS)))
            ]
    except FileNotFoundError:
        raise ResultsError(
            f"{path}: no such file; --data must be the folder with CIFAR-10's train.zip and"
            " test.zip, or the one with cifar10/"
        ) from None
    except (OSError, zipfile.BadZipFile) as error:
        raise ResultsError(
            f"{path}: cannot be read or is damaged ({error}); copy it anew"
        ) from None
    return _checked(path, np.concatenate(mosaics)[: len(labels)], labels)


def _member(path: Path, archive: zipfile.ZipFile, name: str) -> bytes:
    try:
        size = archive.getinfo(name).file_size
        if size > MEMBER_BYTES:
            raise ResultsError(f"{path}: {name} has {size} bytes, more than {MEMBER_BYTES}")
        return archive.read(name)
    except KeyError:
        raise ResultsError(f"{path}: {name} is not in it; is it CIFAR-10 in mosaics?") from None
    except (OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise ResultsError(f"{path}: {name} is damaged ({error}); copy the zip anew") from None


def _labels(path: Path, table: bytes) -> NDArray[np.int64]:
    """Column `label` of rows whose `index` counts from 0."""
    try:
        rows = list(csv.DictReader(io.StringIO(table.decode())))
        labels = [int(row["label"]) for row in rows]
        in_order = [int(row["index"]) for row in rows] == list(range(len(rows)))
    except (ValueError, KeyError, TypeError, csv.Error) as error:
        raise ResultsError(
            f"{path}: its labels are no table with index and label ({error})"
        ) from None
    if not labels or not in_order or len(labels) > MOST:
        raise ResultsError(f"{path}: the indices of its labels do not count from 0 to {MOST - 1}")
    if min(labels) < 0 or max(labels) >= CLASSES:
        raise ResultsError(f"{path}: its labels are not 0 to {CLASSES - 1}")
    return np.array(labels, np.int64)


def _mosaic(path: Path, archive: zipfile.ZipFile, name: str) -> NDArray[np.uint8]:
    """(1000, 32, 32, 3), row by row."""
    data = _member(path, archive, name)
    size = (COLUMNS * TILE, ROWS * TILE)
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG",)) as picture:
            if picture.size != size or picture.mode != "RGB":
                raise ResultsError(
                    f"{path}: {name} is {picture.size[0]}x{picture.size[1]} {picture.mode},"
                    f" not {size[0]}x{size[1]} RGB"
                )
            pixels = np.asarray(picture)
    except (OSError, SyntaxError, ValueError) as error:  # Pillow's kinds for damaged files
        raise ResultsError(
            f"{path}: {name} is no whole JPEG ({error}); copy the zip anew"
        ) from None
    tiles = pixels.reshape(ROWS, TILE, COLUMNS, TILE, 3).transpose(0, 2, 1, 3, 4)
    return np.ascontiguousarray(tiles).reshape(COLUMNS * ROWS, TILE, TILE, 3)


def _checked(
    path: Path, pictures: NDArray[np.uint8], labels: NDArray[np.uint8] | NDArray[np.int64]
) -> Images:
    """Both together, if they fit each other."""
    if not len(labels) or len(labels) != len(pictures) or labels.max() >= CLASSES:
        raise ResultsError(
            f"{path}: {len(labels)} labels for {len(pictures)} pictures, or labels above"
            f" {CLASSES - 1}; copy the data anew"
        )
    return Images(pictures, labels.astype(np.int64))
