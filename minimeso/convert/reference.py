"""What the source computes, laid out as the engine lays it out, to be compared layer by layer."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..engine import Graph
from ..errors import ConvertError
from .keras_file import KerasFile
from .onnx_float32 import in_float32
from .torch_entries import PREFIX, makes, reads
from .torch_program import Program
from .torch_values import OF_SIZES, of_sizes, value_of
from .view import OPEN, OPEN_BATCH, Value, flat

#: Most values of a layer that are stored.
SAMPLES = 96
#: ScalarType of the schema of a ``.pt2``: those that are not computed in float64.
_INTEGERS = {1: "uint8", 2: "int8", 3: "int16", 4: "int32", 5: "int64", 12: "bool"}
_HALVES = {6: "float16", 13: "bfloat16"}


def as_stored(value: Value, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """An array of the source as the engine has it: (N, C, H, W) or (N, F).

    Args:
        value: the view of the engine's tensor.
        array: of the shape of the view; an axis of size 1 may be the batch.
    """
    if array.ndim == len(value.axes) - 1 and any(own is OPEN_BATCH for own in value.axes):
        # a squeeze of one picture took it along
        place = next(i for i, own in enumerate(value.axes) if own is OPEN_BATCH)
        array = np.expand_dims(array, place)
    if array.ndim != len(value.axes):
        raise ValueError(f"an array of shape {array.shape} is no {value.shape}")
    sizes: list[int] = []
    places: dict[int, int] = {}
    batch: list[int] = []
    for atoms, size in zip(value.axes, array.shape, strict=True):
        known = int(np.prod([atom.size for atom in atoms if atom.size is not None], dtype=int))
        if not atoms:
            batch += [len(sizes)] if size != 1 else []
            sizes += [size] if size != 1 else []
        for atom in atoms:
            if atom is OPEN:
                continue
            if atom.is_batch:
                batch.append(len(sizes))
            places[id(atom)] = len(sizes)
            sizes.append(atom.size if atom.size is not None else size // known)
    order = [*batch, *(places[id(atom)] for atom in flat(value.stored))]
    if len(batch) > 1 or sorted(order) != list(range(len(sizes))):
        raise ValueError(f"an array of shape {array.shape} is no {value.shape}")
    count = sizes[batch[0]] if batch else 1
    groups = [
        int(np.prod([sizes[places[id(atom)]] for atom in group], dtype=int))
        for group in value.stored
    ]
    return np.reshape(array.reshape(sizes).transpose(order), (count, *groups))


def sample_indices(size: int) -> npt.NDArray[np.int32]:
    """SAMPLES places in a flattened output: an odd stride visits every column, also the edges."""
    return np.arange(SAMPLES, dtype=np.int32) * (size // SAMPLES - 1 | 1)


def reference_entries(
    graph: Graph, x: npt.NDArray[Any], outputs: Mapping[str, npt.NDArray[Any]]
) -> dict[str, npt.NDArray[Any]]:
    """What ``minimeso verify`` reads: ``input``, and of the layers in ``outputs`` the values.

    Args:
        graph: the network.
        x: its input, as ``Session.run`` takes it.
        outputs: (N, C, H, W) or (N, F) arrays by node.

    Returns:
        ``input``; ``output/NODE`` float32: all values, or of more than 96 some in a flat array;
        ``index/NODE`` int32 where these stand in the flattened output; ``scale`` float32: the
        largest absolute value of each node of the graph, 0 where none is stored.
    """
    entries: dict[str, npt.NDArray[Any]] = {"input": x}
    scales = np.zeros(len(graph.nodes), np.float32)
    for number, node in enumerate(graph.nodes):
        output = outputs.get(node.name)
        if output is None:
            continue
        scales[number] = np.abs(output).max()
        values = output
        if output.size > SAMPLES:
            indices = sample_indices(output.size)
            entries[f"index/{node.name}"] = indices
            values = output.reshape(-1)[indices]
        entries[f"output/{node.name}"] = values.astype(np.float32)
    entries["scale"] = scales
    return entries


# --- what the source computes ---------------------------------------------------------------


def evaluate_onnx(
    model: Any, inputs: Mapping[str, npt.NDArray[Any]], wanted: Iterable[str]
) -> dict[str, npt.NDArray[Any]]:
    """Values of an ONNX graph, by ONNX Runtime where it is installed, else by the definitions of
    ``onnx_definitions``; in float32, which ONNX Runtime has all operators for."""
    import onnx

    model = in_float32(model)
    made = {output for node in model.graph.node for output in node.output}
    names = [name for name in wanted if name in made]
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    del copy.graph.output[:]
    copy.graph.output.extend([onnx.ValueInfoProto(name=name) for name in names])
    types = {entry.name: entry.type.tensor_type.elem_type for entry in model.graph.input}
    given = {
        name: _as_given(array, onnx.helper.tensor_dtype_to_np_dtype(types[name]))
        for name, array in inputs.items()
    }
    try:
        import onnxruntime
    except ImportError:
        from .onnx_definitions import evaluator

        results = evaluator(copy).run(None, given)
    else:
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.intra_op_num_threads = 1
        options.log_severity_level = 4  # what it cannot do it raises, too
        session = onnxruntime.InferenceSession(
            copy.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        results = session.run(None, given)
    return dict(zip(names, map(np.asarray, results), strict=True))


def _as_given(array: npt.NDArray[Any], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """As the type that a network takes."""
    return (np.rint(array) if dtype.kind in "iu" else array).astype(dtype)


def evaluate_program(
    program: Program, inputs: Mapping[str, npt.NDArray[Any]]
) -> dict[str, npt.NDArray[Any]]:
    """Values of an exported program, by PyTorch in float64; constants of 16 bits as they are."""
    try:
        import torch
    except ImportError:
        raise ConvertError("running it needs PyTorch: pip install 'minimeso[train]'") from None
    values: dict[str, Any] = {}
    for name, array in (*program.arrays.items(), *inputs.items()):
        tensor = torch.from_numpy(np.array(array))
        values[name] = tensor.double() if tensor.is_floating_point() else tensor
    kept: dict[str, npt.NDArray[Any]] = {}
    constants = set(program.arrays)
    with torch.inference_mode():
        for entry in program.nodes:
            constant = constants.issuperset(reads(entry))
            for name, result in _run_node(entry, values).items():
                half = _HALVES.get(program.dtypes.get(name, 0))
                if constant:
                    constants.add(name)
                if constant and half:
                    result = result.to(getattr(torch, half)).double()
                values[name] = result
                if isinstance(result, torch.Tensor):
                    kept[name] = result.numpy().copy()  # a later node may change it in place
    for name in program.outputs:  # which are returned as that node left them
        if name in kept:
            kept[name] = values[name].numpy().copy()
    return kept


def _run_node(entry: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """The results of a node by their names, by PyTorch; operators of ATen only."""
    import torch

    target = str(entry["target"])
    if target in OF_SIZES:
        return of_sizes(entry, values)
    if not target.startswith(PREFIX) or not makes(entry):  # or it asserts the source's types
        return {}
    packet, _, overload = target.removeprefix(PREFIX).partition(".")
    function = getattr(getattr(torch.ops.aten, packet), overload)
    arguments = {str(a["name"]): a["arg"] for a in entry["inputs"]}
    types = {number: getattr(torch, name) for number, name in _INTEGERS.items()}
    given = {
        name: types.get(argument["as_scalar_type"], torch.float64)
        if "as_scalar_type" in argument
        else value_of(argument, values)
        for name, argument in arguments.items()
        if not {"as_memory_format", "as_layout", "as_device"} & argument.keys()
    }
    known = [argument.name for argument in function._schema.arguments if not argument.kwarg_only]
    positional = [given.pop(name) for name in list(given) if name in known[: len(given)]]
    results = function(*positional, **given)
    names: list[str] = []
    for result in entry["outputs"]:
        for content in result.values():
            entries = content if isinstance(content, list) else [content]
            names += [str(one.get("name", one.get("as_name"))) for one in entries]
    return dict(
        zip(names, results if isinstance(results, (list, tuple)) else [results], strict=False)
    )


def evaluate_keras(file: KerasFile, given: npt.NDArray[Any]) -> dict[str, npt.NDArray[Any]]:
    """Values of a Keras network, by Keras itself on whatever it runs on."""
    try:
        import keras
    except ImportError:
        raise ConvertError("running it needs Keras 3: pip install keras") from None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"network.{file.kind}"
        path.write_bytes(file.data)
        try:
            model = keras.saving.load_model(path, compile=False, safe_mode=True)
        except Exception as error:  # of many kinds, with long texts
            text = str(error).strip().partition("\n")[0][:300]
            raise ConvertError(f"Keras itself cannot read it: {text}") from error
    return _layers_of(model, given.astype(np.float32), "")


def _layers_of(model: Any, given: npt.NDArray[Any], inside: str) -> dict[str, npt.NDArray[Any]]:
    """What every call of every layer gives, and of functions between them, also of models in it,
    for one input."""
    import keras

    tensors: dict[str, Any] = {}
    inner: dict[str, Any] = {}
    graph = getattr(model, "_functional", model)  # which a Sequential has
    own = {id(node) for nodes in graph._nodes_by_depth.values() for node in nodes}
    for layer in graph.operations:
        calls = [node for node in layer._inbound_nodes if id(node) in own]
        for number, node in enumerate(calls):
            call = f"{inside}{layer.name}:{number}"
            tensors |= {f"{call}:{i}": tensor for i, tensor in enumerate(node.output_tensors)}
            if isinstance(layer, keras.Model) and len(node.input_tensors) == 1:
                inner[call] = (layer, node.input_tensors[0])
    asked = [*tensors.values(), *(tensor for _, tensor in inner.values())]
    whole = keras.Model(model.inputs, asked)
    found = [keras.ops.convert_to_numpy(value) for value in whole([given], training=False)]
    results = dict(zip(tensors, found, strict=False))
    for (call, (layer, _)), value in zip(inner.items(), found[len(tensors) :], strict=True):
        results |= _layers_of(layer, value, f"{call}/")
    return results
