"""The Keras files of the MesoNet authors (`Meso4_DF.h5` and its three siblings) as detectors."""

from __future__ import annotations

from pathlib import Path

from minimeso.convert import convert_file
from minimeso.errors import ConvertError as FileError
from minimeso.networks import NETWORKS
from tools.convert.source import WHOLE_CROP, Arrays, ConvertError, Source

KERAS_EPS = 1e-3


def keras_arrays(path: Path, activation: str = "original") -> Source:
    """The weights of a published Keras file under our names.

    The last layer is negated, because its sigmoid is P(real) there and p_fake = 1 - P(real) =
    sigmoid(-logit) here.
    """
    try:
        model = convert_file(path)
    except FileError as error:
        raise ConvertError(str(error)) from None
    found: dict[str, list[str]] = {}
    for node in model.graph.nodes:
        found.setdefault(node.op, []).append(node.name)
    for architecture, build in NETWORKS.items():
        arrays: Arrays = {}
        wanted = build(activation, KERAS_EPS, False)
        for op in ("conv2d", "batch_norm", "linear"):
            ours = [node.name for node in wanted.nodes if node.op == op]
            for theirs, name in zip(_in_order(found.get(op, [])), ours, strict=False):
                arrays |= {
                    f"{name}.{key.rpartition('.')[2]}": array
                    for key, array in model.weights.items()
                    if key.rpartition(".")[0] == theirs
                }
        shapes = {name: array.shape for name, array in arrays.items()}
        if shapes == wanted.parameters() and len(model.weights) == len(arrays):
            arrays["fc2.weight"] = -arrays["fc2.weight"]
            arrays["fc2.bias"] = -arrays["fc2.bias"]
            framing = {"resample": "nearest", "side": WHOLE_CROP}
            meta = {"converted_from": f"Keras weights {path.name}"}
            return Source(architecture, activation, KERAS_EPS, arrays, framing, meta)
    raise ConvertError(f"{path}: neither of {', '.join(NETWORKS)}: use `minimeso convert`")


def _in_order(names: list[str]) -> list[str]:
    """By their numbers, as they were made: branch by branch, as ours."""

    def number(name: str) -> int:
        end = name.rpartition("_")[2]
        return int(end) if end.isdigit() else 0

    return sorted(names, key=number)
