"""The door: a file or a module in, a ``Model`` out."""

from __future__ import annotations

import hashlib
import io
import math
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..checks import is_integer
from ..engine import Model
from ..engine.files import check_not_over, write_file
from ..errors import ConvertError, GraphError
from . import onnx_file
from .keras_file import KerasFile
from .keras_graph import convert_keras
from .kinds import read_source
from .reference import as_stored, evaluate_keras, evaluate_onnx, evaluate_program, reference_entries
from .source import Converted, Preparation, refuse
from .torch_program import Program, convert_program
from .view import flat

Size = tuple[int, int]


class Read(NamedTuple):
    """A source and the network that became of it: ``source`` a ModelProto, a Program or a
    KerasFile."""

    source: Any
    converted: Converted
    model: Model


def convert_file(
    path: str | os.PathLike[str],
    *,
    name: str | None = None,
    size: Size | None = None,
    preparation: Preparation | None = None,
) -> Model:
    """The network in an ONNX file, a ``.pt2`` of ``torch.export.save`` or a Keras file, as a model.

    Args:
        path: the file. ONNX needs the package ``onnx``, the others nothing.
        name: of the model; by default that of the file.
        size: (height, width) of pictures, where the file leaves them open and the network needs
            to know.
        preparation: mean and deviation that it wants pictures to have; by default they come as
            they are, RGB in [0, 1], or from 0 to 255 where the file's input is of bytes.

    Raises:
        ConvertError: the file is damaged, or holds something that is not known; the message names
            the node and what to do.
    """
    try:
        path = Path(path)
    except TypeError:
        raise ConvertError(
            f"a {type(path).__name__} is no path of a file; convert_module reads an nn.Module"
        ) from None
    return read_network(path, name, size, preparation).model


def convert_module(
    module: Any,
    example: Any,
    *,
    name: str | None = None,
    size: Size | None = None,
    preparation: Preparation | None = None,
    dynamic_shapes: Any = None,
) -> Model:
    """A network of PyTorch as a model; needs PyTorch 2.8 or later.

    Args:
        module: an ``nn.Module`` in evaluation mode.
        example: its arguments, a tuple of tensors or one tensor: (1, C, H, W) for one picture of
            the size that is to be run.
        name, size, preparation: as in ``convert_file``; the name is by default that of the class.
        dynamic_shapes: as in ``torch.export.export``.

    Raises:
        ConvertError: the module is in training mode, cannot be exported, or holds something that
            is not known.
    """
    return _read_module(module, example, name, size, preparation, dynamic_shapes).model


def write_reference(
    source: str | os.PathLike[str],
    path: str | os.PathLike[str],
    *,
    size: Size | None = None,
    preparation: Preparation | None = None,
    seed: int = 0,
) -> None:
    """What the source computes in every layer of a random picture, for ``minimeso verify``; of as
    many as it takes at once, where that is fixed.

    Args:
        source: as ``convert_file`` takes it.
        path: the ``.npz`` file to write.
        size, preparation: as in ``convert_file``.
        seed: of the picture.

    Raises:
        ConvertError: as ``convert_file``, or what runs the source is missing (ONNX Runtime or the
            package ``onnx``; PyTorch; Keras) or cannot run it; or the network has several inputs.
        OutputError: ``path`` is the source.
        OSError: it cannot be written.
    """
    check_not_over(path, source)
    read = read_network(Path(source), None, size, preparation)
    write_file(path, reference_of(read, seed))


def reference_of(read: Read, seed: int) -> bytes:
    """The content of a reference file."""
    graph = read.converted.graph
    if len(graph.inputs) != 1:
        raise ConvertError("a reference is for networks with one input")
    ((given, shape),) = graph.inputs.items()
    if None in shape:
        raise ConvertError("pictures of any size: give one with --size WIDTHxHEIGHT")
    ((source, view),) = read.converted.inputs.items()
    pictures = math.prod(atom.size or 1 for atom in flat(view.axes) if atom.is_batch)
    random = np.random.default_rng(seed)
    levels = random.integers(0, 256, (pictures, *(size or 1 for size in shape)))
    x = (levels / 255).astype(np.float32)  # as of bytes, which some networks take
    wanted = _before(read, given, x)
    try:
        if isinstance(read.source, Program):
            results = evaluate_program(read.source, {source: wanted})
        elif isinstance(read.source, KerasFile):
            results = evaluate_keras(read.source, wanted)
        else:
            results = evaluate_onnx(read.source, {source: wanted}, read.converted.values)
    except ConvertError:
        raise
    except Exception as error:  # of many kinds, with long texts
        text = str(error).strip().partition("\n")[0][:300]
        raise ConvertError(f"the source's own engine cannot run it: {text}") from error
    outputs = {}
    for key, view in read.converted.values.items():
        if key in results:
            try:
                outputs[view.name] = as_stored(view, results[key])
            except ValueError as error:
                what = f"the source's own engine makes something else of {key[:80]!r}"
                raise ConvertError(f"{what}: {error}") from None
    if not outputs:
        raise ConvertError("nothing to compare: the network only moves what it gets")
    file = io.BytesIO()
    entries = reference_entries(graph, x, outputs)
    np.savez_compressed(file, allow_pickle=False, **entries)
    return file.getvalue()


def _before(read: Read, given: str, x: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """The input as the source wants it, prepared, in the order of its axes."""
    from ..engine.reference import evaluate

    graph = read.converted.graph
    values: dict[str, Any] = {given: x.astype(np.float64)}
    if any(node.name == "prepared" for node in graph.nodes):
        values = dict(evaluate(graph, read.converted.weights, {given: x}, until="prepared"))
        given = "prepared"
    (view,) = read.converted.inputs.values()
    shape = [size if size is not None else -1 for size in view.shape]
    places = as_stored(view, np.arange(x.size).reshape(_sized(shape, x.shape[1:], view.stored)))
    flat = np.empty(x.size)
    flat[places.reshape(-1)] = np.asarray(values[given]).reshape(-1)
    return flat.reshape(_sized(shape, x.shape[1:], view.stored))


def _sized(shape: list[int], stored: tuple[int, ...], groups: Any) -> list[int]:
    """A shape without open sizes."""
    if -1 not in shape:
        return shape
    known = [size for group, size in zip(groups, stored, strict=True)
             if any(atom.size is None for atom in group)]  # fmt: skip
    left = iter(known)
    return [next(left) if size == -1 else size for size in shape]


def read_network(
    path: Path,
    name: str | None = None,
    size: Size | None = None,
    preparation: Preparation | None = None,
) -> Read:
    """``convert_file``, with the source beside the model, for ``reference_of``."""
    kind, data = read_source(path)
    _check(size, preparation, str(path))
    name = name or path.stem[:100]
    meta = {"converted_from": path.name, "sha256": hashlib.sha256(data).hexdigest()}
    try:
        if kind == "pt2":
            return _of_program(Program(data), name, size, preparation, meta)
        if kind in ("keras", "h5"):
            file = KerasFile(data, kind)
            converted = convert_keras(file, name, size, preparation)
            return Read(file, converted, _model(name, converted, meta, preparation))
        source = onnx_file.read(path, data)
        converted = onnx_file.convert_onnx(source, name, size, preparation=preparation)
        return Read(source, converted, _model(name, converted, meta, preparation))
    except GraphError as error:
        raise ConvertError(f"{path}: {error}") from None


def _check(size: Any, preparation: Any, where: str) -> None:
    """``ConvertError`` unless these are what the doors take."""
    pair = size if isinstance(size, (tuple, list)) and len(size) == 2 else (0,)
    if size is not None and not all(is_integer(number) and number >= 1 for number in pair):
        raise ConvertError(f"{where}: size is {size!r}: give (height, width) in pixels")
    if preparation is None:
        return
    if not isinstance(preparation, Preparation):
        what = type(preparation).__name__
        raise ConvertError(f"{where}: preparation is a {what}: give a Preparation(mean, std, bgr)")
    try:
        preparation.check()
    except GraphError as error:
        raise refuse(where, error) from None


#: Of what ``torch.export.export`` gives, and of its ``module()``, which has no ``eval``.
_EXPORTED = "save the exported program by torch.export.save, and convert_file reads that"


def _read_module(
    module: Any,
    example: Any,
    name: str | None,
    size: Size | None,
    preparation: Preparation | None,
    dynamic_shapes: Any = None,
) -> Read:
    try:
        import torch
    except ImportError:
        raise ConvertError("converting a module needs: pip install 'minimeso[train]'") from None
    if not isinstance(module, torch.nn.Module):
        what = f"a {type(module).__name__} is no nn.Module"
        if isinstance(module, torch.export.ExportedProgram):
            what = f"{what}: {_EXPORTED}"
        raise ConvertError(what)
    if module.training:
        exported = isinstance(module, torch.fx.GraphModule) and "eval" in vars(module)
        raise ConvertError(
            f"the module is in training mode: {_EXPORTED if exported else 'call .eval() on it'}"
        )
    name = name or type(module).__name__
    _check(size, preparation, name)
    example = (example,) if isinstance(example, torch.Tensor) else example
    known = (torch.Tensor, list, tuple, dict)
    if not isinstance(example, (tuple, list)) or not any(isinstance(e, known) for e in example):
        raise ConvertError(
            f"{name}: example is {str(example)[:80]!r} ({type(example).__name__}): give what the"
            " module is called with, a tensor or a tuple of tensors, such as"
            " (torch.rand(1, 3, 256, 256),)"
        )
    file = io.BytesIO()
    try:
        program = torch.export.export(module, tuple(example), dynamic_shapes=dynamic_shapes)
        torch.export.save(program, file)
    except Exception as error:  # of many kinds, with long texts
        text = " ".join(str(error).split())[:400]  # what to do stands in later lines
        raise ConvertError(f"{name}: torch.export cannot export it: {text}") from error
    try:
        meta = {"converted_from": f"{type(module).__module__}.{type(module).__qualname__}"}
        return _of_program(Program(file.getvalue()), name, size, preparation, meta)
    except GraphError as error:
        raise ConvertError(f"{name}: {error}") from None


def _of_program(
    program: Program,
    name: str,
    size: Size | None,
    preparation: Preparation | None,
    meta: dict[str, Any],
) -> Read:
    converted = convert_program(program, name, size, preparation)
    return Read(program, converted, _model(name, converted, meta, preparation))


def _model(
    name: str, converted: Converted, meta: dict[str, Any], preparation: Preparation | None
) -> Model:
    graph = converted.graph
    if preparation not in (None, Preparation()) and not any(
        node.name.startswith("prepared") for node in graph.nodes
    ):
        raise GraphError("mean, std and bgr are for pictures, and no input that is used is one")
    return Model(name, graph, graph.check_weights(converted.weights), meta)
