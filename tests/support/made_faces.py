"""For tests of training: pictures, a command line that trains, and equality to the last bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from minimeso.engine import library

PORTRAIT = Path(library.__file__).parent.parent / "samples" / "portrait.jpg"


def noise_picture(rng: np.random.Generator) -> Image.Image:
    return Image.fromarray(rng.integers(0, 256, (224, 224, 3), np.uint8))


def arguments(archive: Path, cache: Path, out: Path, *more: str) -> list[str]:
    return [
        *("--data", str(archive), "--cache", str(cache), "--out", str(out), "--batch", "6"),
        *("--architecture", "meso4", "--activation", "swish", "--augment", "pixel", *more),
    ]


def assert_same(left: object, right: object) -> None:
    """Equal to the last bit, through dicts, lists and tensors; the clock aside."""
    import torch

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
