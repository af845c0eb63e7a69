"""Makes a minimeso model file of trained weights: `python -m tools.convert SRC DST.npz`.

SRC is a Keras file of the MesoNet authors (`Meso4_DF.h5` and its three siblings) or a checkpoint of
`tools.train` or of the paper's experiments on MNIST and CIFAR-10 (or a bare PyTorch `state_dict`
of `tools/train/networks.py` or `tools/train/classifiers.py`, with --activation). MesoNets become
detectors; the others plain networks whose output is the softmax.
The architecture is read off the arrays; what is unknown is refused by name. Nothing in SRC is
trusted: no pickled code runs, no other file is opened on its behalf, sizes are checked before
arrays are read.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minimeso.engine.graph import Graph
from minimeso.engine.model_file import SIZE_LIMIT, Model
from minimeso.networks import ACTIVATION_SETTINGS, NETWORKS
from tools import files

Arrays = dict[str, NDArray[np.float32]]

KERAS_EPS = 1e-3
TORCH_EPS = 1e-5
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

#: ``side`` of the framing that shows about what tight crops of dlib's finder show.
WHOLE_CROP = 2.3


class ConvertError(Exception):
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


def graph_of(architecture: str, activation: str, eps: float) -> Graph:
    """The graph of any network that this script knows."""
    if architecture in NETWORKS:
        return NETWORKS[architecture](activation, eps, False)
    import torch

    from tools.train import classifiers

    with torch.device("meta"):  # only its modules count, not its weights
        return classifiers.graph_of(classifiers.build(architecture, activation, eps), architecture)


def read_source(path: Path, architecture: str | None, activation: str | None) -> Source:
    """The weights in a Keras file or a checkpoint; both flags may only confirm what is known."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            magic = file.read(len(HDF5_MAGIC))
    except OSError as error:
        raise ConvertError(f"{path}: cannot be read: {error.strerror}") from None
    if size > SIZE_LIMIT:
        raise ConvertError(f"{path}: {size} bytes, more than the limit of {SIZE_LIMIT}")
    if magic == HDF5_MAGIC:
        source = keras_arrays(path, activation or "original")
    elif magic.startswith(b"PK"):
        source = checkpoint_arrays(path, activation)
    else:
        raise ConvertError(f"{path}: neither a Keras .h5 file nor a PyTorch checkpoint")
    for what, wanted, found in (
        ("architecture", architecture, source.architecture),
        ("activation", activation, source.activation),
    ):
        if wanted is not None and wanted != found:
            raise ConvertError(f"{path}: the {what} is {found}, not {wanted}")
    return source


def keras_arrays(path: Path, activation: str = "original") -> Source:
    """The weights of a published Keras file under our names and layouts.

    Kernels (H, W, in, out) become (out, in, H, W); the rows of the first dense layer, flattened
    over (H, W, C) there, follow (C, H, W) here; and the last layer is negated, because its sigmoid
    is P(real) there and p_fake = 1 - P(real) = sigmoid(-logit) here.
    """
    layers = _keras_layers(path)
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

    architecture = matching[0]
    wanted = NETWORKS[architecture](activation, KERAS_EPS, False).parameters()
    arrays: Arrays = {}
    for kind, nodes in KERAS_ORDER[architecture].items():
        for (_, layer), node in zip(sorted(kinds[kind]), nodes, strict=True):
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


def _keras_layers(path: Path) -> dict[str, dict[str, NDArray[np.float32]]]:
    """Arrays by layer and short name (`kernel`, `bias`, ...), for the layers that hold any."""
    import h5py

    layers: dict[str, dict[str, NDArray[np.float32]]] = {}
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


def checkpoint_arrays(path: Path, activation: str | None = None) -> Source:
    """The weights of a checkpoint of `tools.train`, or of a bare `state_dict`.

    A bare one does not say its activation: it must be given.
    """
    import torch

    try:
        saved = files.read_checkpoint(path)
    except (OSError, ValueError) as error:
        raise ConvertError(f"{path}: {getattr(error, 'strerror', None) or error}") from None
    if not isinstance(saved, dict):
        raise ConvertError(f"{path}: holds a {type(saved).__name__}, not a checkpoint")
    whole = "state_dict" in saved
    state = saved["state_dict"] if whole else saved
    if not isinstance(state, dict) or not state:
        raise ConvertError(f"{path}: no arrays in it; a checkpoint holds a 'state_dict'")
    arrays: Arrays = {}
    for name, tensor in state.items():
        if not isinstance(name, str) or not isinstance(tensor, torch.Tensor):
            raise ConvertError(f"{path}: {str(name)[:80]!r} is not an array")
        if name.rpartition(".")[2] == "num_batches_tracked":
            continue
        if tensor.dtype != torch.float32 or tensor.layout != torch.strided:
            raise ConvertError(f"{path}: {name!r} is {tensor.dtype}; known is torch.float32")
        arrays[name] = np.ascontiguousarray(tensor.numpy())
    found = str(saved.get("activation")) if whole else activation
    if found is None:
        raise ConvertError(f"{path}: does not say its activation; give it with --activation")
    if found not in ACTIVATION_SETTINGS:
        known = ", ".join(ACTIVATION_SETTINGS)
        raise ConvertError(f"{path}: unknown activation {found[:80]!r}; known are {known}")
    architecture = _recognise(path, arrays, found)
    meta = _training_meta(saved) if whole else {}
    framing = None
    if architecture in NETWORKS:
        framing = _framing(path, saved.get("framing") if whole else None)
    return Source(architecture, found, TORCH_EPS, arrays, framing, meta)


def _framing(path: Path, found: object) -> dict[str, Any]:
    """How training cut its faces; older checkpoints do not say so, they saw whole crops."""
    if found is None:
        return {"resample": "bilinear", "side": WHOLE_CROP}
    resample, side = (
        (found.get("resample"), found.get("side")) if isinstance(found, dict) else (0, 0)
    )
    if (
        resample not in ("bilinear", "nearest")
        or not isinstance(side, float)
        or not 0.1 <= side <= 10
    ):
        raise ConvertError(f"{path}: unknown framing {str(found)[:80]}")
    return {"resample": resample, "side": side}


def _recognise(path: Path, arrays: Arrays, activation: str) -> str:
    """The architecture whose arrays these are, by names and shapes."""
    shapes = {name: array.shape for name, array in arrays.items()}
    known: tuple[str, ...] = tuple(NETWORKS)
    if activation != "original" and "fc2.weight" not in shapes:  # which ends every MesoNet
        from tools.train import classifiers

        known += classifiers.ARCHITECTURES
    networks = {name: graph_of(name, activation, TORCH_EPS).parameters() for name in known}
    # The first of those that share most arrays: of the MNIST networks that with fewest layers.
    nearest = max(networks, key=lambda name: len(networks[name].keys() & shapes.keys()))
    wanted = networks[nearest]
    for name in sorted(shapes.keys() - wanted.keys()):
        raise ConvertError(
            f"{path}: array {name[:80]!r} {shapes[name]} belongs to no network;"
            f" known are {', '.join(networks)}"
        )
    for name, shape in wanted.items():
        if name not in shapes:
            raise ConvertError(f"{path}: {name!r} of {nearest} is missing")
        if shapes[name] != shape:
            raise ConvertError(f"{path}: {name!r} is {shapes[name]}, in {nearest} it is {shape}")
    return nearest


def _training_meta(saved: Mapping[str, Any]) -> dict[str, Any]:
    """Recipe and figures of a training run, as far as they are plain values."""
    meta: dict[str, Any] = {}
    history = saved.get("history")
    for name in ("recipe", "teacher"):
        recipe = saved.get(name)
        if isinstance(recipe, dict):
            meta[name] = {key: recipe[key] for key in recipe if _plain({key: recipe[key]})}
    if isinstance(history, list) and history and isinstance(history[-1], dict):
        meta["metrics"] = {
            key: round(value, 6) if isinstance(value, float) else value
            for key, value in history[-1].items()
            if _plain({key: value})
        }
    return meta


def _plain(value: object) -> bool:
    """Whether JSON can hold it."""
    if isinstance(value, list):
        return all(map(_plain, value))
    if isinstance(value, dict):
        return all(isinstance(key, str) and _plain(one) for key, one in value.items())
    return isinstance(value, (str, int)) or (isinstance(value, float) and math.isfinite(value))


def to_model(source: Source, name: str) -> Model:
    """The model file's content: of a MesoNet a detector, uncalibrated, fake from p_fake 0.5 on."""
    graph = graph_of(source.architecture, source.activation, source.eps)
    meta = {
        "architecture": source.architecture,
        "activation": source.activation,
        **source.meta,
    }
    return Model(
        name=name,
        graph=graph,
        weights=graph.check_weights(source.arrays),
        meta=meta,
        framing=source.framing,
        thresholds={"real": 0.5, "fake": 0.5} if source.architecture in NETWORKS else None,
    )
