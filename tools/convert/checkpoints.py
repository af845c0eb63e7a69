"""Checkpoints of `tools.train`, of the paper's experiments, and bare PyTorch `state_dict`s."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from minimeso.engine.model_file import CROP_DTYPES, RESAMPLE
from minimeso.errors import GraphError
from minimeso.networks import ACTIVATION_SETTINGS, NETWORKS
from tools import files
from tools.convert import efficientnet
from tools.convert.source import (
    TORCH_EPS,
    WHOLE_CROP,
    Arrays,
    ConvertError,
    Source,
    graph_of,
)


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
        if tensor.dtype not in (torch.float32, torch.float16) or tensor.layout != torch.strided:
            raise ConvertError(
                f"{path}: {name!r} is {tensor.dtype}; known are torch.float32 and torch.float16"
            )
        arrays[name] = np.ascontiguousarray(tensor.float().numpy())
    if any(name.startswith("body.") for name in arrays):  # of `Teacher`
        return _efficientnet(path, arrays, saved if whole else {})
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
        framing = _framing(path, saved.get("framing") if whole else None, WHOLE_CROP)
    return Source(architecture, found, TORCH_EPS, arrays, framing, meta)


def _efficientnet(path: Path, arrays: Arrays, saved: Mapping[str, Any]) -> Source:
    """EfficientNet-Lite0, of the usual widths or pruned."""
    from tools.train import faces

    architecture = efficientnet.ARCHITECTURE
    said = str(saved.get("architecture", architecture))
    if said != architecture:
        raise ConvertError(f"{path}: is {said[:80]!r}; of its kind, {architecture} alone is known")
    arrays = {**arrays, **efficientnet.SCALING}
    try:
        graph = efficientnet.efficientnet_lite0(widths=efficientnet.widths_of(arrays))
    except GraphError as error:
        raise ConvertError(f"{path}: not {architecture}: {error}") from None
    _compare(path, architecture, graph.parameters(), arrays)
    framing = _framing(path, saved.get("framing"), faces.FRAME_SIDE)
    meta = _training_meta(saved)
    return Source(architecture, efficientnet.ACTIVATION, efficientnet.EPS, arrays, framing, meta)


def _framing(path: Path, found: object, usual: float) -> dict[str, Any]:
    """How training cut its faces; older checkpoints do not say so, they saw the usual side."""
    if found is None:
        return {"resample": "bilinear", "side": usual}
    known = found if isinstance(found, dict) else {}
    resample, side, dtype = (known.get(key) for key in ("resample", "side", "dtype"))
    if (
        resample not in RESAMPLE
        or not isinstance(side, float)
        or not 0.1 <= side <= 10
        or dtype not in (None, *CROP_DTYPES)
    ):
        raise ConvertError(f"{path}: unknown framing {str(found)[:80]}")
    return {"resample": resample, "side": side, **({"dtype": dtype} if dtype else {})}


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
    _compare(path, nearest, wanted, arrays)
    return nearest


def _compare(
    path: Path, architecture: str, wanted: Mapping[str, tuple[int, ...]], arrays: Arrays
) -> None:
    """Whether the arrays are those of a network, by names and shapes."""
    for name in arrays:
        if name not in wanted:
            raise ConvertError(f"{path}: array {name[:80]!r} belongs to no node of {architecture}")
    for name, shape in wanted.items():
        if name not in arrays:
            raise ConvertError(f"{path}: {name!r} of {architecture} is missing")
        if (found := arrays[name].shape) != shape:
            raise ConvertError(f"{path}: {name!r} is {found}, in {architecture} it is {shape}")


def _training_meta(saved: Mapping[str, Any]) -> dict[str, Any]:
    """Recipe and figures of a training run, as far as they are plain values."""
    meta: dict[str, Any] = {}
    history = saved.get("history")
    for name in ("recipe", "teacher", "average"):
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
