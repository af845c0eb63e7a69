"""What every kind of source gives: weights under our names, and what is known about them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minimeso.engine.graph import Graph
from minimeso.networks import NETWORKS
from tools.convert import efficientnet
from tools.errors import ToolError

Arrays = dict[str, NDArray[np.float32]]

TORCH_EPS = 1e-5
#: ``side`` of the framing that shows about what tight crops of dlib's finder show.
WHOLE_CROP = 2.3


class ConvertError(ToolError):
    """SRC cannot be converted; the message names the layer, what was found and what is known."""


@dataclass(frozen=True)
class Source:
    """Weights under our names and layouts, and all that is known about them."""

    architecture: str
    activation: str
    eps: float
    arrays: Arrays
    framing: dict[str, Any] | None  # how faces were cut and scaled to 256x256; None: no faces
    meta: dict[str, Any] = field(default_factory=dict)


def graph_of(
    architecture: str,
    activation: str,
    eps: float,
    arrays: Mapping[str, Any] | None = None,
    calibrated: bool = False,
) -> Graph:
    """The graph of any network that this script knows; `arrays` tell how wide it is, where that
    may differ, and of a detector it may have the node `calibration`."""
    if architecture in NETWORKS:
        return NETWORKS[architecture](activation, eps, calibrated)
    if architecture == efficientnet.ARCHITECTURE:
        return efficientnet.efficientnet_lite0(calibrated, efficientnet.widths_of(arrays or {}))
    import torch

    from tools.train import classifiers

    with torch.device("meta"):  # only its modules count, not its weights
        return classifiers.graph_of(classifiers.build(architecture, activation, eps), architecture)
