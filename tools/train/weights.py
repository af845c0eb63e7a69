"""Weights to begin with, and teachers to ask: of model files, checkpoints and state_dicts."""

from __future__ import annotations

import zipfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from minimeso import Model, Session, load_model
from minimeso.errors import MinimesoError
from tools import files
from tools.train import faces, pasted, teacher
from tools.train.trainer import TrainError

_INPUT = (3, faces.SIZE, faces.SIZE)


def read(path: Path) -> dict[str, Tensor]:
    """The state_dict of a model file (.npz), of a checkpoint of `tools.train`, or as it is.

    Half-precision values are widened.

    Raises:
        TrainError: it cannot be read, or holds something else.
    """
    if path.suffix == ".npz":
        return {
            name: torch.from_numpy(array.copy())
            for name, array in model_of(path).weights.items()
            # Fitted anew by `release.py`; what no module has.
            if not name.startswith(("calibration.", "scaled."))
        }
    try:
        saved: Any = files.read_checkpoint(path)
    except (OSError, ValueError) as error:
        raise TrainError(f"{path}: cannot be read ({error}); name another file") from None
    saved = saved.get("state_dict", saved) if isinstance(saved, dict) else None
    if not saved or not all(isinstance(value, Tensor) for value in saved.values()):
        raise TrainError(f"{path}: holds no state_dict; name a .pt of one network")
    return {
        name: value.float() if value.is_floating_point() else value for name, value in saved.items()
    }


def model_of(path: Path) -> Model:
    """A model file.

    Raises:
        TrainError: it cannot be read, or is none.
    """
    try:
        return load_model(path)
    except MinimesoError as error:
        raise TrainError(str(error)) from None


def is_table(path: Path) -> bool:
    """Whether it is a table of `distill.py`; else it may hold a network."""
    if path.suffix != ".npz":
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return "model.json.npy" not in archive.namelist()
    except (OSError, zipfile.BadZipFile):
        return True  # whose reader says what is wrong with it


def with_counts(weights: dict[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """Weights with the counters of the network's batch norms, which a model file has not."""
    counts = {
        name: value
        for name, value in network.state_dict().items()
        if name.endswith("num_batches_tracked")
    }
    return counts | weights


def _check_is_detector(model: Model, path: Path) -> None:
    shapes = model.graph.shapes()
    outputs = [(node.op, shapes[node.name]) for node in model.graph.nodes
               if node.name in model.graph.outputs]  # fmt: skip
    if list(model.graph.inputs.values()) != [_INPUT] or outputs != [("sigmoid", (1,))]:
        raise TrainError(f"{path}: {model.name} is no detector of faces; name another file")


class EngineTeacher(nn.Module):
    """The network of a model file on a CPU, by our engine: a third of what PyTorch takes."""

    def __init__(self, model: Model, threads: int) -> None:
        super().__init__()
        self._layer = pasted.logit_layer(model)
        self._session = Session(model, threads=threads)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, 256, 256) to logits (N, 1) float32, as trained."""
        said = self._session.run(x.float().contiguous().numpy(), outputs=[self._layer])
        return torch.from_numpy(said[self._layer].reshape(len(x), 1))


class MeanOfTeachers(nn.Module):
    """The mean of the logits of networks, by how often each counts."""

    def __init__(self, networks: Sequence[nn.Module], counts: Sequence[int]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.shares = [count / sum(counts) for count in counts]

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, 256, 256) to (N, 1) float32."""
        said = [
            share * network(x).float()
            for share, network in zip(self.shares, self.networks, strict=True)
        ]
        return torch.stack(said).sum(0)


def teachers_of(paths: Sequence[Path], device: torch.device) -> nn.Module:
    """The mean of large networks, of which one that is named twice counts twice.

    Raises:
        TrainError: a file is of none.
    """
    counts = Counter(paths)
    networks = [teacher_of(path, device) for path in counts]
    return networks[0] if len(networks) == 1 else MeanOfTeachers(networks, list(counts.values()))


def teacher_of(path: Path, device: torch.device) -> nn.Module:
    """A large network with the weights of a file, for `DetectorTrainer.teacher`.

    Raises:
        TrainError: the file is of none.
    """
    if path.suffix == ".npz" and device.type == "cpu":
        model = model_of(path)
        _check_is_detector(model, path)
        return EngineTeacher(model, torch.get_num_threads())
    saved = read(path)
    for architecture in teacher.ARCHITECTURES:
        network = teacher.Teacher(architecture)
        values = with_counts(saved, network)
        if all(
            name in values and values[name].shape == value.shape
            for name, value in network.state_dict().items()
        ):
            network.load_state_dict(values)
            return network.to(device).eval().requires_grad_(False)
    raise TrainError(f"{path}: of none of {', '.join(teacher.ARCHITECTURES)}; name another file")
