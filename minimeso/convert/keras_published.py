"""Networks whose weights were published as ``.h5`` without the network: Meso-4 and MesoInception-4
(Afchar et al. 2018, WIFS), as their authors' ``classifiers.py`` builds them.

Their output is P(real).  Keras counts layers as they are made, branch by branch, and goes on
counting from network to network, so of a layer's number only the order holds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from ..errors import GraphError

_KINDS = ("conv2d", "batch_normalization", "dense")
_NO_NETWORK = (
    "weights without a network: save the whole model, model.save('network.keras'), where it was"
    " built"
)


def config_of(paths: Iterable[str]) -> dict[str, Any]:
    """The configuration of the network whose arrays have these paths.

    Raises:
        GraphError: they are of no network that is known.
    """
    layers = dict.fromkeys(path.partition("/")[0] for path in paths)
    numbered: dict[str, list[tuple[int, str]]] = {kind: [] for kind in _KINDS}
    for layer in layers:
        found = re.fullmatch(r"([a-z0-9_]+?)(?:_(\d{1,9}))?", layer)
        if found is None or found[1] not in numbered:
            raise GraphError(f"{_NO_NETWORK} (layer {layer[:80]!r})")
        numbered[found[1]].append((int(found[2] or 0), layer))
    names = {kind: [layer for _, layer in sorted(found)] for kind, found in numbered.items()}
    counts = tuple(map(len, names.values()))
    if counts not in _NETWORKS:
        raise GraphError(_NO_NETWORK)
    return _NETWORKS[counts](_Writer(names))


class _Writer:
    """A functional model as Keras 2 writes it."""

    def __init__(self, names: dict[str, list[str]]) -> None:
        self._names = {kind: iter(layers) for kind, layers in names.items()}
        self._layers: list[dict[str, Any]] = []

    def add(self, kind: str, class_name: str, inputs: list[str], **config: Any) -> str:
        """A layer; its name."""
        name = next(self._names[kind]) if kind in self._names else f"{kind}_{len(self._layers)}"
        nodes = [[[source, 0, 0, {}] for source in inputs]] if inputs else []
        self._layers.append(
            {"class_name": class_name, "name": name, "inbound_nodes": nodes,
             "config": {"name": name, **config}}
        )  # fmt: skip
        return name

    def conv(self, x: str, filters: int, size: int, dilation: int = 1) -> str:
        return self.add(
            "conv2d", "Conv2D", [x], filters=filters, kernel_size=[size, size], padding="same",
            dilation_rate=[dilation, dilation], activation="relu",
        )  # fmt: skip

    def normalise_and_pool(self, x: str, size: int) -> str:
        x = self.add("batch_normalization", "BatchNormalization", [x], epsilon=1e-3)
        return self.add("pool", "MaxPooling2D", [x], pool_size=[size, size], padding="same")

    def inception(self, x: str, widths: tuple[int, ...]) -> str:
        branches = [self.conv(x, widths[0], 1)]
        for dilation, width in enumerate(widths[1:], start=1):
            branches.append(self.conv(self.conv(x, width, 1), width, 3, dilation))
        return self.add("concatenate", "Concatenate", branches, axis=-1)

    def model(self, x: str, first: str) -> dict[str, Any]:
        """With what both networks end in."""
        x = self.add("flatten", "Flatten", [x])
        x = self.add("dense", "Dense", [x], units=16)
        x = self.add("leaky_re_lu", "LeakyReLU", [x], alpha=0.1)
        x = self.add("dense", "Dense", [x], units=1, activation="sigmoid")
        config = {"layers": self._layers, "input_layers": [[first, 0, 0]],
                  "output_layers": [[x, 0, 0]]}  # fmt: skip
        return {"class_name": "Functional", "config": config}

    def picture(self) -> str:
        return self.add("input", "InputLayer", [], batch_input_shape=[None, 256, 256, 3])


def _meso4(make: _Writer) -> dict[str, Any]:
    first = x = make.picture()
    for filters, size, pool in ((8, 3, 2), (8, 5, 2), (16, 5, 2), (16, 5, 4)):
        x = make.normalise_and_pool(make.conv(x, filters, size), pool)
    return make.model(x, first)


def _mesoinception4(make: _Writer) -> dict[str, Any]:
    first = x = make.picture()
    for widths in ((1, 4, 4, 2), (2, 4, 4, 2)):
        x = make.normalise_and_pool(make.inception(x, widths), 2)
    for pool in (2, 4):
        x = make.normalise_and_pool(make.conv(x, 16, 5), pool)
    return make.model(x, first)


#: Numbers of convolutions, batch norms and dense layers -> what has them.
_NETWORKS = {(4, 4, 2): _meso4, (16, 4, 2): _mesoinception4}
