"""Files that the tools write: whole or not at all."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from minimeso.detect.replacing import Replacement


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path to write to, which becomes `path` when all went well and vanishes when not: a kill in
    the middle leaves the former file as it was. The folder is made if need be.

    Raises:
        OutputError: it cannot be written there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    file = Replacement(path)
    try:
        yield Path(file.temporary)
        file.keep()
    finally:
        file.discard()
