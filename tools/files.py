"""Files that the tools write, whole or not at all, and checkpoints that they read."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from minimeso.convert.kinds import read_source
from minimeso.errors import ConvertError
from minimeso.media.atomic_file import AtomicFile


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """A path to write to, which becomes `path` when all went well and vanishes when not: a kill in
    the middle leaves the former file as it was. The folder is made if need be.

    Raises:
        OutputError: it cannot be written there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    file = AtomicFile(path)
    try:
        yield Path(file.temporary)
        file.keep()
    finally:
        file.discard()


def read_checkpoint(path: Path) -> Any:
    """What PyTorch wrote, its tensors on the CPU. No pickled code is executed.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no checkpoint, in our words: PyTorch's advise to load it unsafely.
    """
    import torch

    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception:  # half a dozen kinds for a damaged file
        raise ValueError(_reason(path)) from None


def _reason(path: Path) -> str:
    """Why PyTorch does not load it: a whole module, or damage."""
    try:
        read_source(path)
    except ConvertError as error:
        told = str(error).removeprefix(f"{path}: ")
        if told.startswith("a pickled whole module"):
            return told
    return "not a checkpoint, or damaged or cut short"
