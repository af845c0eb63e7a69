"""Layer by layer against PyTorch: `python -m tools.zoo [NAME ...]`.

Each network gets random weights and statistics, is exported and read as `minimeso convert` reads
it, once as a program of `torch.export` and once as ONNX, and every layer that is still there is
compared for a random picture: with PyTorch in float64, and with ONNX Runtime (or the package
`onnx`).
"""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from minimeso import Session
from minimeso.convert import front
from minimeso.convert.reference import SAMPLES, sample_indices
from minimeso.errors import MinimesoError
from tools.zoo import classic, mobile, pictures


class Entry(NamedTuple):
    """What makes a network, the shape of its picture, and how many values it learns."""

    build: Callable[[], nn.Module]
    shape: tuple[int, int, int]
    parameters: int


_PHOTO = (3, 224, 224)
#: So often a network runs, each time asked for every so many layers: those between are fused.
_LOOKS = 8
ZOO = {
    "squeezenet1.1": Entry(classic.squeezenet1_1, _PHOTO, 1_235_496),
    "resnet18": Entry(lambda: classic.resnet((2, 2, 2, 2), False), _PHOTO, 11_689_512),
    "resnet50": Entry(lambda: classic.resnet((3, 4, 6, 3), True), _PHOTO, 25_557_032),
    "mobilenet-v2": Entry(mobile.mobilenet_v2, _PHOTO, 3_504_872),
    "mobilenet-v3-small": Entry(mobile.mobilenet_v3_small, _PHOTO, 2_542_856),
    "efficientnet-b0": Entry(lambda: mobile.efficientnet(False), _PHOTO, 5_288_548),
    "efficientnet-lite0": Entry(lambda: mobile.efficientnet(True), _PHOTO, 4_652_008),
    "xception": Entry(classic.xception, (3, 299, 299), 22_855_952),
    "shufflenet-v2": Entry(mobile.shufflenet_v2, _PHOTO, 2_278_604),
    "densenet121": Entry(classic.densenet121, _PHOTO, 7_978_856),
    "blazeface": Entry(mobile.BlazeFace, (3, 128, 128), 117_038),
    "unet": Entry(pictures.UNet, (3, 128, 128), 7_763_074),
    "srcnn": Entry(pictures.srcnn, (1, 96, 96), 8_129),
    "espcn": Entry(pictures.espcn, (1, 96, 96), 22_729),
    "convnext-atto": Entry(pictures.convnext_atto, _PHOTO, 3_695_520),
}


class Row(NamedTuple):
    """One network, read one way: layers of its graph, those compared, the worst of these."""

    nodes: int
    compared: int
    worst: str
    error: float


def network(name: str, seed: int = 0) -> nn.Module:
    """With random weights, and statistics as if it had been trained."""
    torch.manual_seed(seed)
    made = ZOO[name].build().eval()
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.2)
            assert module.running_mean is not None and module.running_var is not None
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 1.5)
    return made


def exported(name: str, kind: str, folder: Path, shape: Sequence[int] | None = None) -> Path:
    """A file of the network, `onnx` or `pt2`."""
    example = (torch.rand(1, *(shape or ZOO[name].shape)),)
    path = folder / f"{name}.{kind}"
    with warnings.catch_warnings():  # of an exporter that PyTorch will give up some day
        warnings.simplefilter("ignore")
        if kind == "pt2":
            torch.export.save(torch.export.export(network(name), example), str(path))
        else:
            torch.onnx.export(
                network(name),
                example,
                str(path),
                dynamo=False,
                opset_version=17,
                input_names=["image"],
            )
    return path


def compare(path: Path) -> Row:
    """Every layer of what became of a file against what the file itself computes."""
    read = front.read_network(path)
    with np.load(io.BytesIO(front.reference_of(read, 0))) as file:
        stored = dict(file)
    nodes = [node.name for node in read.model.graph.nodes]
    kept = [name for name in nodes if f"output/{name}" in stored]
    worst, largest = "", 0.0
    with Session(read.model) as session:
        for first in range(_LOOKS):
            asked = kept[first::_LOOKS]
            for name, found in session.run(stored["input"], outputs=asked).items() if asked else ():
                found = found.reshape(-1)
                if found.size > SAMPLES:
                    found = found[sample_indices(found.size)]
                wanted = stored[f"output/{name}"].reshape(-1)
                scale = float(stored["scale"][nodes.index(name)]) or 1.0
                error = float(np.abs(found - wanted.astype(np.float64)).max()) / scale
                if not error <= largest:
                    worst, largest = name, error
    return Row(len(nodes), len(kept), worst, largest)


def agrees(label: str, path: Path) -> bool:
    """Prints a row of the table; whether every layer agrees to 1e-4."""
    try:
        row = compare(path)
    except MinimesoError as error:
        print(f"{label}  {error}", flush=True)
        return False
    print(f"{label}{row.nodes:7}{row.compared:10}{row.error:13.1e}  {row.worst}", flush=True)
    return row.error <= 1e-4


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tools.zoo", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(ZOO)}")
    parser.add_argument("--kind", choices=("pt2", "onnx"), help="only one of the two ways")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.names if name not in ZOO]
    if unknown:
        parser.error(f"no network {unknown[0]!r}; there are {', '.join(ZOO)}")
    print(f"{'network':20}{'read as':>8}{'nodes':>7}{'compared':>10}{'error/scale':>13}  where")
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        for name in options.names or ZOO:
            for kind in (options.kind,) if options.kind else ("pt2", "onnx"):
                path = exported(name, kind, Path(folder))
                failed |= not agrees(f"{name:20}{kind:>8}", path)
                path.unlink()
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
