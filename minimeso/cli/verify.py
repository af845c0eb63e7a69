"""``minimeso verify``: every layer of a model against stored outputs of another framework.

``minimeso convert --reference`` and ``tools/convert/reference.py`` write the reference file.  Each
layer is asked for on its own, so what runs is the rewritten and fused program that leads to it.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .arguments import add_engine_arguments, add_json_argument
from .output import SOME_WRONG, json_line, line, printable, table

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from ..engine import Graph, Session

HELP = "compare every layer of a model with stored outputs of another framework"
DETAILS = (
    "Prints for each layer the largest error and its ratio to the layer's largest value. Exit "
    "status: 0 all within the bound, 1 some layer is not, 2 a file cannot be used."
)
EXAMPLES = """\
  minimeso verify my_model.npz reference.npz
  minimeso verify my_model.npz reference.npz --isa sse2 --json
  minimeso convert network.onnx my_model.npz --reference reference.npz"""

#: Largest error of a layer, relative to the largest absolute value of its reference: what is
#: promised for the logit.  Measured with random weights: up to 2e-6.
BOUND = 2e-5


@dataclass(frozen=True)
class Expected:
    """What a layer should give: some of its values, where they stand, and its largest value."""

    node: str
    op: str
    values: npt.NDArray[np.float64]
    index: npt.NDArray[np.int64] | None
    scale: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("model", metavar="MODEL", help="bundled model or model file")
    parser.add_argument(
        "reference", metavar="REFERENCE.npz", help="written by `minimeso convert --reference`"
    )
    add_engine_arguments(parser, "threads; default: one per available core")
    add_json_argument(parser, "one object on one line")


def run(options: argparse.Namespace) -> int:
    """Compare and print; returns the exit status."""
    from ..engine import Session
    from ..engine.model_file import read_arrays

    session = Session(options.model, threads=options.threads, isa=options.isa)
    arrays = read_arrays(options.reference)
    layers = _expected(session.graph, arrays, options.reference)
    x = _input(session.graph, arrays, options.reference)
    results = [_compare(session, x, layer) for layer in layers]
    ok = all(result["ok"] for result in results)
    report = {
        "model": session.model.name,
        "reference": options.reference,
        "isa": session.isa,
        "bound": BOUND,
        "ok": ok,
        "layers": results,
    }
    if options.json:
        json_line(report)
    else:
        for text in _text(report):
            line(text)
    return 0 if ok else SOME_WRONG


# --- the reference file, hostile until checked -------------------------------------------


def _input(graph: Graph, arrays: Mapping[str, Any], where: str) -> npt.NDArray[Any]:
    from ..errors import InputError, ModelError

    if "input" not in arrays:
        raise ModelError(f"{where}: no 'input' inside: not written by `minimeso convert`")
    x: npt.NDArray[Any] = arrays["input"]
    if len(graph.inputs) != 1:
        raise InputError("verify is for networks with one input")
    return x


def _expected(graph: Graph, arrays: Mapping[str, Any], where: str) -> list[Expected]:
    """The layers of the reference in the order of the graph."""
    from ..errors import ModelError

    scales = arrays.get("scale")
    if scales is not None and scales.shape != (len(graph.nodes),):
        raise ModelError(
            f"{where}: 'scale' is of {scales.size} layers, the model {len(graph.nodes)}:"
            " another network? `minimeso convert --reference` writes that of a network"
        )
    names = {name.removeprefix("output/") for name in arrays if name.startswith("output/")}
    unknown = sorted(names - {node.name for node in graph.nodes})
    if unknown:
        raise ModelError(f"{where}: layer {unknown[0]!r} is not in the model: another network?")
    if not names:
        raise ModelError(f"{where}: no outputs inside: not written by `minimeso convert`")
    return [
        _layer(arrays, node.name, node.op, None if scales is None else scales[number], where)
        for number, node in enumerate(graph.nodes)
        if node.name in names
    ]


def _layer(arrays: Mapping[str, Any], node: str, op: str, scale: Any, where: str) -> Expected:
    import numpy as np

    from ..errors import ModelError

    values = arrays[f"output/{node}"].astype(np.float64)
    index = arrays.get(f"index/{node}")
    if index is not None:
        if index.dtype.kind not in "iu" or index.shape != values.shape or index.ndim != 1:
            raise ModelError(f"{where}: layer {node!r}: 'index' does not fit 'output'")
        index = index.astype(np.int64)
    if values.size == 0 or not np.isfinite(values).all():
        raise ModelError(f"{where}: layer {node!r}: no values, or some that are not finite")
    largest = float(np.abs(values).max()) if scale is None else float(scale)
    if not 0 <= largest < np.inf:
        raise ModelError(f"{where}: layer {node!r}: its 'scale' is {largest}")
    return Expected(node, op, values, index, largest)


# --- comparing ---------------------------------------------------------------------------


def _compare(session: Session, x: npt.NDArray[Any], layer: Expected) -> dict[str, Any]:
    """Errors of one layer; ``None`` stands for an error that is not a number."""
    import numpy as np

    found = session.run(x, outputs=[layer.node])[layer.node].astype(np.float64)
    error = float(np.abs(_sampled(found, layer) - layer.values).max())
    relative = error / layer.scale if layer.scale else error
    finite = bool(np.isfinite(error))
    return {
        "node": layer.node,
        "op": layer.op,
        "scale": layer.scale,
        "error": error if finite else None,
        "relative": relative if finite else None,
        "ok": finite and relative <= BOUND,
    }


def _sampled(found: npt.NDArray[np.float64], layer: Expected) -> npt.NDArray[np.float64]:
    from ..errors import ModelError

    if layer.index is not None:
        if layer.index.min() < 0 or layer.index.max() >= found.size:
            raise ModelError(f"layer {layer.node!r}: 'index' points past its {found.size} values")
        return found.reshape(-1)[layer.index]
    if found.shape != layer.values.shape:
        raise ModelError(
            f"layer {layer.node!r} has shape {found.shape}, the reference {layer.values.shape}"
        )
    return found


def _text(report: dict[str, Any]) -> Iterator[str]:
    yield printable(f"{report['model']} against {report['reference']}, {report['isa']}")
    rows = [["layer", "operation", "scale", "error", "error/scale", ""]]
    for layer in report["layers"]:
        rows.append(
            [
                layer["node"],
                layer["op"],
                f"{layer['scale']:.3g}",
                _number(layer["error"]),
                _number(layer["relative"]),
                "ok" if layer["ok"] else "FAIL",
            ]
        )
    yield from table(rows, right=[2, 3, 4])
    wrong = sum(not layer["ok"] for layer in report["layers"])
    total = len(report["layers"])
    yield (
        f"all {total} layers within {report['bound']:g}"
        if report["ok"]
        else f"{wrong} of {total} layers NOT within {report['bound']:g}"
    )


def _number(value: float | None) -> str:
    return "nan" if value is None else f"{value:.2e}"
