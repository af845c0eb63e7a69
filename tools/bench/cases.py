"""What `tools.bench` runs: a network with weights, as every engine gets it.

Both detectors and EfficientNet-Lite0 have random weights; the finder of faces is the bundled one,
on the picture that it makes of a frame of 1280 x 720, its three outputs behind each other.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from minimeso.networks import NETWORKS
from tools.convert import efficientnet

if TYPE_CHECKING:
    from torch import nn

    from minimeso.engine.graph import Graph

Array = NDArray[np.float32]

SEED = 2021
EPS = 1e-3
OPSET = 17
WEIGHTS = "weights.npz"

FINDER = "yunet-s"
KNOWN = (*NETWORKS, efficientnet.ARCHITECTURE, FINDER)
#: The one activation of networks that have no choice.
ONLY = {efficientnet.ARCHITECTURE: efficientnet.ACTIVATION, FINDER: "relu"}
_SIDES = {FINDER: (352, 640)}


@dataclass(frozen=True)
class Case:
    """A network, how many images it gets at once, and on how many threads.

    `folder` holds the network: what `write_weights` and `write_onnx` wrote, and peers made of it.
    """

    folder: Path
    architecture: str
    activation: str
    batch: int
    threads: int

    def images(self) -> Array:
        """(batch, 3, height, width) in [0, 1], the same for every engine."""
        shape = (self.batch, 3, *_SIDES.get(self.architecture, (256, 256)))
        return np.random.default_rng(SEED).random(shape, np.float32)

    def weights(self) -> dict[str, Array]:
        with np.load(self.folder / WEIGHTS, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}

    def onnx(self, batch: int) -> Path:
        return self.folder / f"{batch}.onnx"


def graph_of(architecture: str, activation: str) -> Graph:
    """The network for us: p_fake, or what the finder gives, (F,)."""
    if architecture == FINDER:
        return _finder()
    from tools.convert import source

    return source.graph_of(architecture, activation, EPS)


def _finder() -> Graph:
    """With a picture of one size, and one output as all the others have."""
    from minimeso import Graph
    from minimeso.engine.library import find_model

    bundled = find_model(FINDER).graph
    graph = Graph(FINDER)
    (picture,) = bundled.inputs
    graph.input(picture, (3, *_SIDES[FINDER]))
    for node in bundled.nodes:
        graph.node(node.op, *node.inputs, name=node.name, **node.attributes)
    flat = [graph.node("flatten", name, name=f"flat_{name}") for name in bundled.outputs]
    graph.output(graph.node("concat", *flat, name="found"))
    return graph


# --- the network, written once ---------------------------------------------------------------


def write_weights(folder: Path, architecture: str, activation: str) -> None:
    """As NumPy arrays: random ones, of the finder its own."""
    if architecture == FINDER:
        from minimeso.engine.library import find_model

        weights = dict(find_model(FINDER).weights)
    else:
        from tools.convert import reference

        weights = reference.random_arrays(architecture, activation, EPS, SEED)
    np.savez(folder / WEIGHTS, allow_pickle=False, **weights)


def write_onnx(folder: Path, architecture: str, activation: str, batches: Sequence[int]) -> None:
    """The network with these weights as ONNX, once for one image and once for each batch.

    Shapes are fixed, because every peer optimises better when it knows them.
    """
    import torch

    network = torch_network(Case(folder, architecture, activation, 1, 1))
    for batch in {1, *batches}:
        case = Case(folder, architecture, activation, batch, 1)
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # the old exporter is deprecated; it needs no onnxscript
            torch.onnx.export(
                network,
                (torch.zeros(case.images().shape),),
                case.onnx(batch),
                dynamo=False,
                opset_version=OPSET,
                input_names=["image"],
                output_names=["p_fake"],
            )


def torch_network(case: Case) -> nn.Module:
    """The same as a module, to be evaluated only."""
    import torch
    from torch import nn

    torch.set_num_threads(case.threads)
    if case.architecture == FINDER:
        return _finder_module(case)
    from tools.convert import reference

    network = reference.build_network(case.architecture, case.activation, EPS, case.weights())
    return nn.Sequential(network.float(), nn.Sigmoid()).eval()


def _finder_module(case: Case) -> nn.Module:
    """Node for node, as its graph names them."""
    import torch
    from torch import nn

    graph, arrays = graph_of(case.architecture, case.activation), case.weights()
    kinds: dict[str, Any] = {
        "relu": lambda _: nn.ReLU(),
        "max_pool2d": lambda a: nn.MaxPool2d(a["kernel_size"], a["stride"], a["padding"][:2]),
        "resize": lambda a: nn.Upsample(scale_factor=a["scale"], mode="nearest"),
        "flatten": lambda _: nn.Flatten(),
    }

    class Finder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleDict()
            for node in graph.nodes:
                if node.op == "conv2d":
                    layer = _convolution(node.attributes, arrays, node.name)
                elif node.op in kinds:
                    layer = kinds[node.op](node.attributes)
                else:
                    continue
                self.layers[node.name.replace(".", "_")] = layer

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            (picture,) = graph.inputs
            values = {picture: image}
            for node in graph.nodes:
                inputs = [values[name] for name in node.inputs]
                if node.op == "add":
                    value = inputs[0] + inputs[1]
                elif node.op == "concat":
                    value = torch.cat(inputs, 1)
                else:
                    value = self.layers[node.name.replace(".", "_")](*inputs)
                values[node.name] = value
            return values[graph.outputs[0]]

    return Finder().eval()


def _convolution(attributes: dict[str, Any], arrays: dict[str, Array], name: str) -> nn.Conv2d:
    import torch
    from torch import nn

    weight = arrays[f"{name}.weight"]
    layer = nn.Conv2d(
        weight.shape[1] * attributes["groups"], weight.shape[0], attributes["kernel_size"],
        attributes["stride"], attributes["padding"][:2], attributes["dilation"],
        attributes["groups"],
    )  # fmt: skip
    layer.weight.data = torch.from_numpy(weight.astype(np.float32))
    assert layer.bias is not None
    layer.bias.data = torch.from_numpy(arrays[f"{name}.bias"].astype(np.float32))
    return layer
