"""Dumps what PyTorch computes in every layer, for `minimeso verify MODEL REFERENCE.npz`.

    python -m tools.convert.reference ARCHITECTURE ACTIVATION DST.npz    random weights
    python -m tools.convert.reference CHECKPOINT DST.npz                 trained ones

ARCHITECTURE is meso4 or mesoinception4, efficientnet_lite0 (its ACTIVATION is relu6), or one of
tools/train/classifiers.py: squeezenet, resnet20, mobilenetv2_0.5, mnist15 to 25.

DST is a NumPy .npz (no pickle) with these entries, for one input picture and a network of nodes:

    model.json, NODE.PARAMETER   the model itself, entry for entry as in a model file: without the
                                 entries named below, DST is one (`--model` writes it as such)
    input                        (1, H, W, C) uint8, RGB or one channel, of the network's size; the
                                 network gets it as (N, C, H, W) float32, divided by 255
    output/NODE                  float32: the output of the node, (N, C, H, W) or (N, F), if it has
                                 up to 96 values; else a flat array of some of its values
    index/NODE                   int32, only beside a flat array: where its values stand in the
                                 flattened output
    scale                        (nodes,) float32: the largest absolute value of each node's
                                 whole output, nodes in the order of the model's graph

The outputs come from float64 arithmetic, rounded once: the difference to them is the error of
whatever is compared. Random networks are drawn to be unpleasant: batch norm with negative scales
and with variances down to 1e-6 (far below and above epsilon), means off zero. Nothing depends on
how a random generator works, since everything random is stored.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from minimeso.convert.reference import reference_entries
from minimeso.engine.graph import Graph, Node
from minimeso.engine.model_file import Model, save_model
from minimeso.engine.operators import Shape
from minimeso.errors import MinimesoError
from minimeso.networks import NETWORKS
from tools.convert import efficientnet, models
from tools.convert.source import WHOLE_CROP, Arrays, ConvertError, Source, graph_of
from tools.train import classifiers, networks, teacher

LITE0 = efficientnet.ARCHITECTURE
KNOWN = (*networks.ARCHITECTURES, LITE0, *classifiers.ARCHITECTURES)
DETECTORS = (*NETWORKS, LITE0)
TILE = 32
MANTISSA_BITS = 10
#: Of the batch norms of the deep networks: with 1, 25 of them in a row reach 1e9, and there every
#: activation is a straight line.
DEEP_GAIN = 0.4


def random_arrays(architecture: str, activation: str, eps: float, seed: int) -> Arrays:
    """Random weights and running statistics, all float32, by `node.parameter`.

    Values keep 10 bits of mantissa, which halves the file. The last layer is scaled so that the
    logits of the random picture are about 1: a saturated sigmoid or softmax would hide errors.
    """
    random = np.random.default_rng(seed)
    graph = graph_of(architecture, activation, eps)
    arrays: Arrays = {}
    gain = 1.0 if architecture in NETWORKS else DEEP_GAIN
    for name, shape in graph.parameters().items():
        parameter = name.rpartition(".")[2]
        if parameter == "weight" and len(shape) > 1:
            values = random.normal(0, (2 / np.prod(shape[1:])) ** 0.5, shape)
        elif parameter == "weight":
            values = random.uniform(0.5, 1.5, shape) * random.choice([-1, 1], shape, p=[0.4, 0.6])
            values *= gain
        elif parameter == "running_var":
            values = random.lognormal(-1, 1, shape)
        else:
            values = random.normal(0, 0.2, shape)
        arrays[name] = _round(values)
    if architecture == LITE0:
        arrays |= efficientnet.SCALING
    for node in graph.nodes:
        if node.op == "batch_norm" and f"{node.name}.weight" not in efficientnet.SCALING:
            channels = arrays[f"{node.name}.running_var"].size
            for channel in random.permutation(channels)[:2]:
                _wither(arrays, graph, node, int(channel), 10 ** random.uniform(-6, -4))
    (picture_shape,) = graph.inputs.values()
    network = build_network(architecture, activation, eps, arrays)
    outputs = layer_outputs(network, picture(seed, _whole(picture_shape)))
    last = next(node.name for node in reversed(graph.nodes) if f"{node.name}.weight" in arrays)
    largest = float(np.abs(outputs[last]).max())
    for name in (f"{last}.weight", f"{last}.bias"):
        arrays[name] = _round(arrays[name] / max(1.0, largest))
    return arrays


def _whole(shape: Shape) -> tuple[int, int, int]:
    """(C, H, W) of a network for pictures of one size."""
    channels, height, width = (extent or 0 for extent in shape)
    return channels, height, width


def _wither(arrays: Arrays, graph: Graph, batch_norm: Node, channel: int, variance: float) -> None:
    """Makes a channel nearly dead: the layer before it small, and its running statistics with it.

    That layer may stand behind an activation, and behind one branch of a concatenation.
    """
    before = {node.name: node for node in graph.nodes}
    source = before[batch_norm.inputs[0]]
    branches = source.inputs if source.op == "concat" else (source.name,)
    first = 0
    for name in branches:
        layer = name if f"{name}.weight" in arrays else before[name].inputs[0]
        own = [
            arrays[f"{layer}.{part}"] for part in ("weight", "bias") if f"{layer}.{part}" in arrays
        ]
        if first <= channel < first + len(own[0]):
            for array in own:
                array[channel - first] = _round(array[channel - first] * variance**0.5)
        first += len(own[0])
    mean = arrays[f"{batch_norm.name}.running_mean"]
    mean[channel] = _round(mean[channel] * variance**0.5)
    arrays[f"{batch_norm.name}.running_var"][channel] = _round(np.float64(variance))


def _round(values: NDArray[np.floating[Any]] | np.floating[Any]) -> NDArray[np.float32]:
    """To 10 bits of mantissa."""
    mantissa, exponent = np.frexp(values)
    rounded = np.round(mantissa * 2**MANTISSA_BITS) / 2**MANTISSA_BITS
    return np.asarray(np.ldexp(rounded, exponent), np.float32)


def picture(seed: int, shape: tuple[int, int, int] = (3, 256, 256)) -> NDArray[np.uint8]:
    """(1, H, W, C) for (C, H, W): random tiles of noise, laid at random, so that it packs well."""
    channels, height, width = shape
    random = np.random.default_rng(seed)
    tiles = random.integers(0, 256, (4, TILE, TILE, channels), np.uint8)
    rows, columns = math.ceil(height / TILE), math.ceil(width / TILE)
    laid = tiles[random.integers(0, len(tiles), (rows, columns))]  # (rows, columns, TILE, TILE, C)
    whole = laid.transpose(0, 2, 1, 3, 4).reshape(1, rows * TILE, columns * TILE, channels)
    return np.ascontiguousarray(whole[:, :height, :width])


def build_network(architecture: str, activation: str, eps: float, arrays: Arrays) -> nn.Module:
    """The PyTorch module with these weights, in float64."""
    network: nn.Module
    if architecture == LITE0:
        network = _lite0(arrays)
    else:
        build = networks.build if architecture in NETWORKS else classifiers.build
        network = build(architecture, activation, eps)
    state = {
        name: torch.from_numpy(array)
        for name, array in arrays.items()
        if name not in efficientnet.SCALING
    }
    missing = network.load_state_dict(state, strict=False)
    assert not missing.unexpected_keys
    assert all(name.endswith("num_batches_tracked") for name in missing.missing_keys)
    return network.double().eval()


def _lite0(arrays: Arrays) -> nn.Module:
    """EfficientNet-Lite0 with convolutions and batch norms as wide as these arrays."""
    network = teacher.Teacher(LITE0)
    for name, module in network.named_modules():
        found = arrays.get(f"{name}.weight")
        if isinstance(module, nn.Conv2d) and found is not None:
            module.weight = nn.Parameter(torch.from_numpy(found))
            module.groups = len(found) if module.groups > 1 else 1
        elif isinstance(module, nn.BatchNorm2d) and found is not None:
            for part in ("weight", "bias", "running_mean", "running_var"):
                getattr(module, part).data = torch.from_numpy(arrays[f"{name}.{part}"])
        elif isinstance(module, nn.Linear) and found is not None:
            module.weight = nn.Parameter(torch.from_numpy(found))
    return network


def layer_outputs(network: nn.Module, images: NDArray[np.uint8]) -> dict[str, NDArray[np.float64]]:
    """The output of every module that is a node, by its path, and the probabilities at the end."""
    outputs: dict[str, NDArray[np.float64]] = {}

    def keep(name: str) -> None:
        def hook(_module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            if isinstance(_module, nn.ReLU6):  # one module, called again and again
                calls = sum(known.startswith(name) for known in outputs)
                outputs[f"{name}{calls}"] = output.numpy()
            elif name == "body":
                outputs["scaled"] = inputs[0].numpy()
                outputs["flatten"] = outputs["body._avg_pooling"].reshape(len(images), -1)
            else:
                outputs[name] = output.numpy()

        network.get_submodule(name).register_forward_hook(hook)

    for name, _ in network.named_modules():
        if name:
            keep(name)
    x = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    with torch.inference_mode():
        logits = network(x.double())
    if isinstance(network, classifiers.Classifier):
        outputs[classifiers.PROBABILITIES] = torch.softmax(logits, 1).numpy()
    else:
        outputs["p_fake"] = torch.sigmoid(logits).numpy()
    return outputs


def dump(model: Model, network: nn.Module, images: NDArray[np.uint8], path: Path) -> None:
    """Writes the reference file described at the top."""
    save_model(model, path)
    with np.load(path, allow_pickle=False) as saved:
        entries = {name: saved[name] for name in saved.files}
    entries |= reference_entries(model.graph, images, layer_outputs(network, images))
    with path.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **entries)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tools.convert.reference",
        usage="%(prog)s [--seed N] [--eps X] [--model FILE] (ARCH ACTIVATION | SRC) DST",
        description="Dump what PyTorch computes in every layer of a random or trained network.",
    )
    parser.add_argument("source", nargs="+", help="architecture and activation, or .pt or .h5 file")
    parser.add_argument("dst", type=Path, help="the reference file to write (.npz)")
    parser.add_argument("--seed", type=int, default=0, help="for random weights and the picture")
    parser.add_argument("--eps", type=float, default=1e-5, help="batch norm of random networks")
    parser.add_argument("--model", type=Path, help="write the model file too")
    options = parser.parse_args(arguments)
    try:
        if len(options.source) == 1:
            source = models.read_source(Path(options.source[0]), None, None)
        elif len(options.source) == 2:
            architecture, activation = options.source
            if architecture not in KNOWN:
                raise ValueError(
                    f"unknown architecture {architecture!r}; known: {', '.join(KNOWN)}"
                )
            arrays = random_arrays(architecture, activation, options.eps, options.seed)
            framing = {"resample": "bilinear", "side": WHOLE_CROP}
            source = Source(
                architecture,
                activation,
                options.eps,
                arrays,
                framing if architecture in DETECTORS else None,
            )
        else:
            parser.error("give an architecture and an activation, or one file, and then DST")
        model = models.to_model(source, options.dst.stem)
        network = build_network(source.architecture, source.activation, source.eps, source.arrays)
        (shape,) = model.graph.inputs.values()
        dump(model, network, picture(options.seed, _whole(shape)), options.dst)
        if options.model:
            save_model(model, options.model)
    except (ConvertError, MinimesoError, OSError, ValueError) as error:
        print(f"reference: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
