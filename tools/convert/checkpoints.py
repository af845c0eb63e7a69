"""Checkpoints of `tools.train`, of the paper's experiments, and bare PyTorch `state_dict`s."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from minimeso.networks import ACTIVATION_SETTINGS, NETWORKS
from tools import files
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
