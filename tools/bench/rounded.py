"""What smaller numbers do to the thorough network: the AUC of `tools.bench.products --data`.

PyTorch's twin of it, in float32, as it is and with what goes into each 1x1 convolution rounded: to
integers from -L to L, a scale for each convolution, six where a ReLU6 is before it, else the
largest that faces of train give it; or to bfloat16, as its weights then are, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from minimeso import Model
from minimeso.detect import framing
from minimeso.engine.library import find_model
from tools.bench.products import NETWORK
from tools.convert import efficientnet, reference
from tools.train import divisions, faces, metrics, pasted, sources

#: Levels on either side of zero, none of bfloat16. Of 8 bits what follows a ReLU6 has 255.
LEVELS = {"16 bits": 8191, "bfloat16": 0, "8 bits": 127}
#: Faces of train that tell how large inputs become.
_RANGE_FACES = 64
_BATCH = 16


class _Rounding:
    """Hooks on the 1x1 convolutions: they learn how large inputs are, or round them."""

    def __init__(self, network: nn.Module) -> None:
        self.largest: dict[nn.Module, float] = {}
        self.least: dict[nn.Module, float] = {}
        self.what = "nothing"
        for module in network.modules():
            if isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1):
                self.largest[module] = self.least[module] = 0.0
                module.register_forward_pre_hook(self._see)

    def _see(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        (x,) = inputs
        if self.what == "learn":
            self.largest[module] = max(self.largest[module], float(x.abs().max()))
            self.least[module] = min(self.least[module], float(x.min()))
        if self.what not in LEVELS:
            return None
        levels = LEVELS[self.what]
        if not levels:
            return (x.bfloat16().float(),)
        if self.least[module] >= 0 and levels == 127:
            levels = 255
        scale = levels / self.largest[module]
        return ((x * scale).round().clamp(-levels, levels) / scale,)


def aucs(
    data: Path, cache: Path, count: int
) -> Iterator[tuple[str, float, dict[str, tuple[float, float]]]]:
    """Of each source of val with fakes: its name, the AUC of so many faces in float32, and of each
    of `LEVELS` that and by how much a logit differs (root of the mean square)."""
    model = find_model(NETWORK)
    arrays = {
        name: np.array(array, np.float32)
        for name, array in model.weights.items()
        if not name.startswith("calibration.")
    }
    network = reference.build_network(
        efficientnet.ARCHITECTURE, efficientnet.ACTIVATION, efficientnet.EPS, arrays
    ).float()
    rounding = _Rounding(network)
    rounding.what = "learn"
    _logits(network, model, pasted.some(sources.load(data, "all", "train", cache), _RANGE_FACES))
    split = sources.load(data, "all", "val", cache)
    for name in sorted(set(split.source)):
        theirs = divisions.chosen(split, np.flatnonzero(np.array(split.source) == name))
        some = divisions.chosen(theirs, np.linspace(0, len(theirs) - 1, count).astype(int))
        if not some.fake.any():
            continue
        rounding.what = "nothing"
        exact = _logits(network, model, some)
        rough = {}
        for rounding.what in LEVELS:
            found = _logits(network, model, some)
            off = float(np.sqrt(np.mean((exact - found) ** 2)))
            rough[rounding.what] = metrics.roc_auc(some.fake, found), off
        yield name, metrics.roc_auc(some.fake, exact), rough


def _logits(network: nn.Module, model: Model, split: faces.Faces) -> NDArray[np.float64]:
    """(N,) of the faces, cut as the model wants them."""
    cutting = model.framing or faces.FRAMING
    size = (faces.SIZE, faces.SIZE)
    crops = [
        framing.cut(face.picture, face.square, size, cutting) for face in pasted.as_trained(split)
    ]
    found = []
    with torch.inference_mode():
        for first in range(0, len(crops), _BATCH):
            batch = np.concatenate(crops[first : first + _BATCH])
            found.append(network(torch.from_numpy(batch))[:, 0].double().numpy())
    return np.concatenate(found)
