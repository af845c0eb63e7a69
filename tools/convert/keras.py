"""The Keras files of the MesoNet authors (`Meso4_DF.h5` and its three siblings)."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minimeso.engine.model_file import SIZE_LIMIT
from minimeso.networks import NETWORKS
from tools.convert.source import WHOLE_CROP, Arrays, ConvertError, Source

#: Arrays by layer and short name (`kernel`, `bias`, ...).
Layers = dict[str, dict[str, NDArray[np.float32]]]

KERAS_EPS = 1e-3
HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"


def _inception_chain(number: int) -> list[str]:
    branches = ("conv1", "conv2a", "conv2b", "conv3a", "conv3b", "conv4a", "conv4b")
    return [f"inception{number}.{branch}" for branch in branches]


# Our nodes in the order of Keras' layer numbers: Keras counts layers as they are made, branch by
# branch, and goes on counting from network to network, so only the order of the numbers holds.
KERAS_ORDER = {
    "meso4": {
        "conv2d": ["conv1", "conv2", "conv3", "conv4"],
        "batch_normalization": ["bn1", "bn2", "bn3", "bn4"],
        "dense": ["fc1", "fc2"],
    },
    "mesoinception4": {
        "conv2d": [*_inception_chain(1), *_inception_chain(2), "conv3", "conv4"],
        "batch_normalization": ["bn1", "bn2", "bn3", "bn4"],
        "dense": ["fc1", "fc2"],
    },
}
KERAS_PARAMETERS = {
    "conv2d": {"kernel": "weight", "bias": "bias"},
    "dense": {"kernel": "weight", "bias": "bias"},
    "batch_normalization": {
        "gamma": "weight",
        "beta": "bias",
        "moving_mean": "running_mean",
        "moving_variance": "running_var",
    },
}


def keras_arrays(path: Path, activation: str = "original") -> Source:
    """The weights of a published Keras file under our names and layouts.

    Kernels (H, W, in, out) become (out, in, H, W); the rows of the first dense layer, flattened
    over (H, W, C) there, follow (C, H, W) here; and the last layer is negated, because its sigmoid
    is P(real) there and p_fake = 1 - P(real) = sigmoid(-logit) here.
    """
    layers = _keras_layers(path)
    architecture, kinds = _recognise(path, layers)
    wanted = NETWORKS[architecture](activation, KERAS_EPS, False).parameters()
    arrays: Arrays = {}
    for kind, nodes in KERAS_ORDER[architecture].items():
        for layer, node in zip(kinds[kind], nodes, strict=True):
            names = KERAS_PARAMETERS[kind]
            if set(layers[layer]) != set(names):
                raise ConvertError(
                    f"{path}: layer {layer!r} has the arrays {', '.join(sorted(layers[layer]))};"
                    f" {kind} has {', '.join(names)}"
                )
            for theirs, ours in names.items():
                name = f"{node}.{ours}"
                array = _relayout(layers[layer][theirs], name, wanted[name])
                if array is None:
                    raise ConvertError(
                        f"{path}: layer {layer!r}, {theirs} has shape"
                        f" {layers[layer][theirs].shape}, which does not fit {name!r} of"
                        f" {architecture} {wanted[name]}"
                    )
                arrays[name] = array
    arrays["fc2.weight"] = -arrays["fc2.weight"]
    arrays["fc2.bias"] = -arrays["fc2.bias"]
    meta = {"converted_from": f"Keras weights {path.name}"}
    return Source(
        architecture,
        activation,
        KERAS_EPS,
        arrays,
        {"resample": "nearest", "side": WHOLE_CROP},
        meta,
    )


def _recognise(path: Path, layers: Layers) -> tuple[str, dict[str, list[str]]]:
    """The architecture, and its layers by kind in the order of their numbers."""
    kinds: dict[str, list[tuple[int, str]]] = {kind: [] for kind in KERAS_PARAMETERS}
    for layer in layers:
        match = re.fullmatch(r"([a-z0-9_]+?)(?:_(\d+))?", layer)
        if match is None or match[1] not in kinds:
            raise ConvertError(
                f"{path}: layer {layer!r} holds arrays ({', '.join(sorted(layers[layer]))});"
                f" known are only {', '.join(kinds)}"
            )
        kinds[match[1]].append((int(match[2] or 0), layer))
    counts = {kind: len(found) for kind, found in kinds.items()}
    matching = [
        name
        for name, order in KERAS_ORDER.items()
        if counts == {kind: len(nodes) for kind, nodes in order.items()}
    ]
    if not matching:
        raise ConvertError(
            f"{path}: {_listed(counts)} layers; known are "
            + ", ".join(
                f"{name} ({_listed({kind: len(nodes) for kind, nodes in order.items()})})"
                for name, order in KERAS_ORDER.items()
            )
        )
    return matching[0], {kind: [layer for _, layer in sorted(kinds[kind])] for kind in kinds}


def _relayout(
    array: NDArray[np.float32], name: str, shape: tuple[int, ...]
) -> NDArray[np.float32] | None:
    """From Keras' layout to ours; None if the shape is another."""
    if array.ndim == 4:
        array = array.transpose(3, 2, 0, 1)
    elif name == "fc1.weight" and array.shape == shape[::-1]:
        outputs = shape[0]
        array = array.reshape(8, 8, 16, outputs).transpose(3, 2, 0, 1).reshape(shape)
    elif array.ndim == 2:
        array = array.T
    return np.ascontiguousarray(array) if array.shape == shape else None


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in counts.items())


def _keras_layers(path: Path) -> Layers:
    """Arrays by layer and short name (`kernel`, `bias`, ...), for the layers that hold any."""
    import h5py

    layers: Layers = {}
    left = SIZE_LIMIT
    try:
        with h5py.File(path, "r") as file:
            whole = "model_weights" in file  # saved with its configuration: weights are inside
            if whole and isinstance(file.get("model_weights", getlink=True), h5py.HardLink):
                root = file["model_weights"]
            else:
                root = file
            for names, dataset in _datasets(root, ()):
                where = f"{path}: {'/'.join(names)}"
                if dataset.dtype != np.float32 or dataset.ndim > 4:
                    found = f"{dataset.dtype} with {dataset.ndim} axes"
                    raise ConvertError(f"{where}: {found}; known is float32 with up to 4")
                left -= math.prod(dataset.shape) * 4
                if left < 0:
                    raise ConvertError(f"{where}: more than {SIZE_LIMIT} bytes of weights")
                short = names[-1].split(":")[0]
                if short in layers.setdefault(names[0], {}):
                    raise ConvertError(f"{where}: a second array of that name in its layer")
                layers[names[0]][short] = np.asarray(dataset[()], np.float32)
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, MemoryError) as error:
        reason = str(error).split("\n", 1)[0][:200]
        raise ConvertError(f"{path}: damaged or not a Keras file: {reason}") from None
    if not layers:
        raise ConvertError(f"{path}: no layer in it holds arrays; is it a Keras weights file?")
    return layers


def _datasets(group: Any, names: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """All datasets below a group. Links are not followed: they may lead to other files."""
    import h5py

    if len(names) > 4:  # Keras nests three deep; a damaged file may nest in circles
        raise ConvertError(f"{group.file.filename}: {'/'.join(names)} is nested too deep")
    for name in group:
        below = (*names, str(name))
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise ConvertError(f"{group.file.filename}: {'/'.join(below)} is a link to elsewhere")
        item = group[name]
        if isinstance(item, h5py.Group):
            yield from _datasets(item, below)
        elif isinstance(item, h5py.Dataset):
            if item.is_virtual or item.external:
                raise ConvertError(f"{group.file.filename}: {'/'.join(below)} is in another file")
            yield below, item
