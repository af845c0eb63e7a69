"""ONNX' own tests of single operators, on the engine: `python -m tools.convert.onnx_nodes`.

They come with the package `onnx` (`onnx.backend.test`). Every one whose operators are read is
converted and run; what depends on a constant of the network gets it as one. A test is
passed, failed, or skipped because the conversion was refused, which says why.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minimeso import Session
from minimeso.convert import onnx_file
from minimeso.convert.onnx_operators import PARTS, READERS
from minimeso.convert.reference import as_stored
from minimeso.errors import MinimesoError

#: Operators all of whose inputs are values; of the others only the first is.
_OF_VALUES = frozenset({"Add", "Sub", "Mul", "Div", "Sum", "Mean", "Concat"})
#: As ONNX' own runner, for what float32 leaves.
_RTOL, _ATOL = 1e-3, 1e-5
_RTOL_BFLOAT16 = 2.0**-7  # it rounds in every step, the engine does not


#: Single operators as ONNX defines them, and as old exporters of PyTorch wrote them.
KINDS = ("node", "simple", "pytorch-operator", "pytorch-converted")


class Outcome(NamedTuple):
    """Of one test: `passed`, `skipped` or `failed`, and why."""

    test: str
    operator: str
    result: str
    reason: str


def claimed(kinds: Sequence[str]) -> Iterator[tuple[str, Any, list[Any], list[Any]]]:
    """Every test of operators that are read: name, model, inputs and outputs."""
    from onnx.backend.test import loader

    for kind in kinds:
        for case in loader.load_model_tests(kind=kind):
            model = case.model or _model(Path(case.model_dir or ""))
            operators = {node.op_type for node in model.graph.node} - {"Constant"}
            domains = {node.domain for node in model.graph.node}
            if not operators - PARTS or operators - READERS.keys() or domains - {"", "ai.onnx"}:
                continue
            if case.data_sets:
                inputs, outputs = case.data_sets[0]
            else:
                inputs, outputs = (
                    _arrays(Path(case.model_dir or ""), part) for part in ("input", "output")
                )
            yield case.name, model, [*map(_array, inputs)], [*map(_array, outputs)]


def _array(given: Any) -> Any:
    """An array; a test may come with the tensor of the file, or with what is no array."""
    import onnx

    return onnx.numpy_helper.to_array(given) if isinstance(given, onnx.TensorProto) else given


def _model(folder: Path) -> Any:
    import onnx

    return onnx.load_model(str(folder / "model.onnx"), load_external_data=False)


def _arrays(folder: Path, part: str) -> list[NDArray[Any]]:
    import onnx

    found = folder.glob(f"test_data_set_0/{part}_*.pb")
    ordered = sorted(found, key=lambda path: int(path.stem.rpartition("_")[2]))
    tensors = [onnx.TensorProto.FromString(path.read_bytes()) for path in ordered]
    return [onnx.numpy_helper.to_array(tensor) for tensor in tensors]


def run(name: str, model: Any, arrays: Sequence[Any], outputs: Sequence[Any]) -> Outcome:
    """Convert a test's model and compare what it gives."""
    if model.graph.node[0].op_type == "LayerNormalization":  # mean and deviation are not read
        del model.graph.output[1:]
    first = next(node for node in model.graph.node if node.op_type != "Constant")
    stored = {tensor.name for tensor in model.graph.initializer}
    names = [entry.name for entry in model.graph.input if entry.name not in stored]
    values = set(first.input) if first.op_type in _OF_VALUES else {first.input[0]}
    values |= set(names[:1])
    try:
        inputs = {n: np.asarray(array) for n, array in zip(names, arrays, strict=True)}
        wanted = [np.asarray(array, np.float64) for array in outputs]
        if any(a.dtype == np.float64 and (np.abs(a) > 3e38).any() for a in inputs.values()):
            return Outcome(name, first.op_type, "skipped", "numbers beyond float32")
        constants = {n: array for n, array in inputs.items() if n not in values}
        read = onnx_file.read(Path(name), model.SerializeToString())
        found = onnx_file.convert_onnx(read, "node", constants=constants)
        given = {
            view.name: as_stored(view, inputs[n]).astype(np.float32)
            for n, view in found.inputs.items()
        }
        session = Session(found.graph, found.weights, threads=1)
        results = session.run(given, outputs=found.graph.outputs)
    except (MinimesoError, ValueError) as error:
        return Outcome(name, first.op_type, "skipped", str(error))
    for entry, array, source in zip(model.graph.output, wanted, outputs, strict=False):
        expected = as_stored(found.values[entry.name], array)
        result = results[found.values[entry.name].name]
        if result.shape != expected.shape:
            reason = f"shape {result.shape}, not {expected.shape}"
            return Outcome(name, first.op_type, "failed", reason)
        rtol = _RTOL_BFLOAT16 if np.asarray(source).dtype.name == "bfloat16" else _RTOL
        if not np.allclose(result, expected, rtol, _ATOL, equal_nan=True):
            largest = np.abs(result - expected).max()
            return Outcome(name, first.op_type, "failed", f"off by {largest:.3g}")
    return Outcome(name, first.op_type, "passed", "")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tools.convert.onnx_nodes", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--all", action="store_true", help="print every test with its reason")
    options = parser.parse_args(arguments)
    outcomes = [run(*test) for test in claimed(KINDS)]
    if options.all:
        for outcome in outcomes:
            print(f"{outcome.result:8}{outcome.test}: {outcome.reason}"[:200])
    counts = Counter((o.operator, o.result) for o in outcomes)
    print("operator                 passed  skipped   failed")
    for operator in sorted({o.operator for o in outcomes}):
        row = (counts[operator, result] for result in ("passed", "skipped", "failed"))
        print(f"{operator:22}" + "".join(f"{count:9}" for count in row))
    sums = Counter(o.result for o in outcomes)
    print(f"{'all':22}" + "".join(f"{sums[r]:9}" for r in ("passed", "skipped", "failed")))
    return 1 if sums["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
