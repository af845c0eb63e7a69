"""Fixtures of tests of training: faces made up, and a folder for what is decoded of them.

A test module asks for them by `pytest_plugins`.
"""

from __future__ import annotations

import csv
import random
import zipfile
from pathlib import Path

import numpy as np
import pytest

from minimeso import FaceFinder
from minimeso.detect import framing
from minimeso.media.pictures import read_picture
from support.made_faces import PORTRAIT, noise_picture


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
