"""Model files: one ``.npz`` with ``model.json`` and one array per parameter.

Weights are float32, or smaller where a file is to be small (``storage``).
Everything in a file is hostile until checked: sizes are compared with the real length before
anything is allocated, nothing is unpickled, and every failure is a ``ModelError`` that names
the file and, where there is one, the node.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping
from copy import copy, deepcopy
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ..checks import is_integer, is_number
from ..errors import GraphError, ModelError
from .archive import entries
from .files import parse_object, read_file, write_file
from .float_errors import with_usual_float_errors
from .graph import Graph, Weights
from .storage import DTYPES, FORMAT_WITH_SMALL_TYPES, Dtype, Widened, stored

#: The newest format.  Files of float32 alone are written as the first, which old readers know.
FORMAT = 3
#: From which on faces may be cut in ways that older readers do not know.
_FORMAT_WITH_ROUNDED_FACES = 3
SIZE_LIMIT = 64 << 20
_JSON = "model.json"
#: Share of its size to which an array must shrink to be compressed.
_WORTH_INFLATING = 0.9
RESAMPLE = ("bilinear", "nearest", "bicubic_2x")
#: What a face is rounded to before the network sees it as float32 from 0 to 1.
CROP_DTYPES = ("float32", "uint8")
#: Format 1.0 of ``.npy`` (NumPy's ``lib/_format_impl.py``), for numbers.
_HEADER = re.compile(
    rb"\x93NUMPY\x01\x00(?s:..)"
    rb"\{'descr': '(?P<dtype>[<>|][fiu]\d\d?)', 'fortran_order': (?P<fortran_order>False|True), "
    rb"'shape': \((?P<shape>[\d, ]{0,200})\), \} *\n"
)


@dataclass(frozen=True, eq=False)
class Model:
    """A graph with its weights and what a person should know about it.

    Attributes:
        name: short name, shown in verdicts.
        graph: the network, as it is when the model is made.
        weights: float32 arrays by ``node.parameter``, which stay as they are from the first session
            on; each time a new array where the file stores it in a smaller type.
        meta: architecture, activation, data, recipe, metrics, licence (free form).
        framing: how a face is cut for a detector: ``resample`` (as ``native.resize`` has it),
            ``side`` (of the square that is cut, see ``minimeso.detect.framing``) and ``dtype``
            (``uint8`` if the face is rounded to bytes; ``float32``, as without it, if not).
        calibration: how the probabilities were calibrated (free form).
        thresholds: ``real`` and ``fake``: at most the first is real, at least the second
            is fake, between them uncertain.  A model with thresholds is a detector.
    """

    name: str
    graph: Graph
    weights: Weights
    meta: dict[str, Any] = field(default_factory=dict)
    framing: dict[str, Any] | None = None
    calibration: dict[str, Any] | None = None
    thresholds: dict[str, float] | None = None
    #: What sessions have made of the weights (rewritten, packed), for all sessions together.
    prepared: dict[Any, Any] = field(default_factory=dict, init=False, repr=False, compare=False)
    #: Whether ``check`` has found nothing.
    checked: bool = field(default=False, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "graph", copy(self.graph))  # somebody may go on building it

    def check(self) -> None:
        """``GraphError`` that names the array, unless the weights fit the graph; looked at once."""
        if not self.checked:
            self.graph.check_arrays(self.weights)
            object.__setattr__(self, "checked", True)  # of what does not change

    def __copy__(self) -> Model:
        return replace(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> Model:
        # graph and weights of a model are not changed: all may have the same
        return replace(
            self,
            meta=deepcopy(self.meta, memo),
            framing=deepcopy(self.framing, memo),
            calibration=deepcopy(self.calibration, memo),
            thresholds=deepcopy(self.thresholds, memo),
        )

    def approximated(self) -> Model:
        """The same weights in ``graph.approximated()``."""
        return replace(self, graph=self.graph.approximated())

    @property
    def is_detector(self) -> bool:
        """Whether the output is a ``p_fake`` per face."""
        return self.thresholds is not None


def save_model(
    model: Model,
    path: str | os.PathLike[str],
    size_limit: int = SIZE_LIMIT,
    *,
    dtype: Dtype = "float32",
) -> None:
    """Write ``model`` to ``path`` at once or not at all; same model, same bytes.

    Args:
        model: what to write.
        path: the ``.npz`` file, replaced if there is one.
        size_limit: most bytes that the file may hold, packed or unpacked.
        dtype: of the weights of convolutions and dense layers in the file: ``float16``, half as
            large, rounds them to 11 bits; ``int8``, nearly a quarter, rounds those of large arrays
            to 254 steps in each output channel, see ``storage``.  ``load_model`` gives float32.

    Raises:
        ModelError: the model would not load again as it is.
        OutputError: there is a folder, pipe or device of that name.
        OSError: the folder cannot be written.
    """
    if dtype not in DTYPES:
        raise ModelError(f"dtype is {dtype!r}: give one of {', '.join(DTYPES)}")
    write_file(path, _packed(model, os.fsdecode(path), size_limit, dtype))


@with_usual_float_errors
def _packed(model: Model, where: str, size_limit: int, dtype: Dtype) -> bytes:
    """The bytes of a model file, after they have been read back as ``load_model`` would."""
    if not isinstance(model, Model):
        raise ModelError(
            f"{where}: a {type(model).__name__} is no Model: of a pair, save each network"
        )
    for what, value in (("meta", model.meta), ("calibration", model.calibration)):
        if not isinstance(value, dict) and (value is not None or what == "meta"):
            raise ModelError(f"{where}: {what!r} is {value!r}, not a dict")
    description = {
        "format": _format(model, dtype),
        "name": model.name,
        "graph": model.graph.to_json(),
        "meta": model.meta,
        "framing": model.framing,
        "calibration": model.calibration,
        "thresholds": model.thresholds,
    }
    try:
        weights = model.graph.check_weights(model.weights)
        text = json.dumps(description, indent=1, allow_nan=False).encode()
    except GraphError as error:
        raise ModelError(f"{where}: {error}") from None
    except (TypeError, ValueError, RecursionError) as error:
        raise ModelError(f"{where}: the model has a value that JSON has not: {error}") from None
    kept = stored(weights, dtype, where)
    data = _archive({_JSON: np.frombuffer(text, np.uint8), **kept})
    _model_of(_arrays_of(data, where, size_limit), where)
    return data


def _archive(arrays: Mapping[str, npt.NDArray[Any]]) -> bytes:
    """As ``np.savez_compressed``, but what loses less than a tenth by it is not compressed: of
    weights that is most, and inflating them takes a large network a third of its load."""
    import io  # who only loads models need not wait for these
    import zipfile
    import zlib

    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            content = io.BytesIO()
            little = array.astype(array.dtype.newbyteorder("<"), copy=False)  # on any machine
            np.lib.format.write_array(content, little, allow_pickle=False)
            entry, data = zipfile.ZipInfo(f"{name}.npy"), content.getvalue()  # of 1980: same bytes
            pays = len(zlib.compress(data)) <= _WORTH_INFLATING * len(data)
            entry.compress_type = zipfile.ZIP_DEFLATED if pays else zipfile.ZIP_STORED
            archive.writestr(entry, data)
    return file.getvalue()


def load_model(path: str | os.PathLike[str], size_limit: int = SIZE_LIMIT) -> Model:
    """Read and check a model file.

    Args:
        path: the ``.npz`` file; a bundled model is ``Session(NAME).model``.
        size_limit: most bytes that the file may hold, packed or unpacked.

    Raises:
        ModelError: the file is missing, damaged, hostile, newer than this version, or larger than
            the memory of this machine.
    """
    where = os.fspath(path)
    return _model_of(read_arrays(where, size_limit), where)


def _model_of(arrays: dict[str, Any], where: str) -> Model:
    text = arrays.pop(_JSON, None)
    if text is None or text.dtype != np.uint8 or text.ndim != 1:
        raise ModelError(f"{where}: no 'model.json' inside: not a minimeso model")
    description = parse_object(text.tobytes(), where, "'model.json'")
    version, name = check_head(description, FORMAT, where)
    meta = description.get("meta")
    calibration = description.get("calibration")
    try:
        model = Model(
            name,
            Graph.from_json(description.get("graph"), name),
            Widened(arrays, version, where),
            meta if isinstance(meta, dict) else {},
            description.get("framing"),
            calibration if isinstance(calibration, dict) else None,
            description.get("thresholds"),
        )
        model.check()
    except GraphError as error:
        raise ModelError(f"{where}: {error}") from None
    _check_detector(description, where)
    if model.is_detector and _is_newly_cut(model) and version < _FORMAT_WITH_ROUNDED_FACES:
        raise ModelError(
            f"{where}: 'framing' says what format {version} has not: save the model again, or say "
            f"format {_FORMAT_WITH_ROUNDED_FACES}"
        )
    return model


def _format(model: Model, dtype: Dtype) -> int:
    """The oldest that has what a model needs."""
    if model.is_detector and _is_newly_cut(model):
        return _FORMAT_WITH_ROUNDED_FACES
    return 1 if dtype == "float32" else FORMAT_WITH_SMALL_TYPES


def _is_newly_cut(model: Model) -> bool:
    framing = model.framing if isinstance(model.framing, dict) else {}
    return "dtype" in framing or framing.get("resample") == "bicubic_2x"


def check_head(description: Mapping[str, Any], newest: int, where: str) -> tuple[int, str]:
    """Format and name of an untrusted description.

    Raises:
        ModelError: they are none, or the format is newer than the newest that is known here.
    """
    version, name = description.get("format"), description.get("name")
    if not is_integer(version) or version < 1:
        raise ModelError(f"{where}: 'format' is {str(version)[:80]!r}, not a positive integer")
    if version > newest:
        raise ModelError(
            f"{where}: format {version} is newer than this minimeso reads ({newest}): update it"
        )
    if not isinstance(name, str) or not name.isprintable() or not 0 < len(name) <= 100:
        raise ModelError(f"{where}: 'name' is not a short printable string")
    return version, name


def read_arrays(path: str | os.PathLike[str], size_limit: int = SIZE_LIMIT) -> dict[str, Any]:
    """All arrays of an untrusted ``.npz`` file (numbers only, no pickle), by name.

    Raises:
        ModelError: the file is missing, damaged, or larger than ``size_limit`` bytes.
    """
    where = os.fspath(path)
    return _arrays_of(read_file(where, size_limit), where, size_limit)


def _arrays_of(data: bytes, where: str, size_limit: int) -> dict[str, Any]:
    """All arrays of an untrusted archive."""
    if len(data) > size_limit:
        raise ModelError(f"{where}: more than the limit of {size_limit} bytes")
    arrays: dict[str, Any] = {}
    try:
        for entry, content in entries(data, size_limit):
            name = entry.removesuffix(".npy")
            if name in arrays:
                raise ModelError(f"{where}: entry {name!r} occurs twice")
            arrays[name] = _parse_array(content, name, where)
    except ModelError:
        raise
    except MemoryError:
        raise ModelError(f"{where}: this machine has not enough memory for it") from None
    except Exception as error:  # struct, zlib and numpy raise many kinds on hostile bytes
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelError(f"{where}: damaged or not a model file: {reason[:200]}") from None
    return arrays


def _parse_array(data: bytes | memoryview, name: str, where: str) -> npt.NDArray[Any]:
    """NumPy's own reader gives headers to Python's parser: slower, and more than is needed."""
    start_of_body = 10 + int.from_bytes(data[8:10], "little")
    header = _HEADER.fullmatch(bytes(data[:start_of_body]))
    if header is None:
        raise ModelError(f"{where}: entry {name!r} is no array of numbers as NumPy writes it")
    dtype = np.dtype(header["dtype"].decode())
    shape = tuple(int(d) for d in header["shape"].split(b",") if d.strip())
    body = memoryview(data)[start_of_body:]
    if math.prod(shape) * dtype.itemsize != len(body):
        raise ModelError(f"{where}: array {name!r} of shape {shape} has {len(body)} bytes")
    array: npt.NDArray[Any] = np.frombuffer(body, dtype)
    if not array.flags.aligned:
        array = array.copy()
    if not dtype.isnative:  # the file is of a machine with the other order of bytes
        array = array.astype(dtype.newbyteorder("="))
    return array.reshape(shape, order="F" if header["fortran_order"] == b"True" else "C")


def _check_detector(description: Mapping[str, Any], where: str) -> None:
    thresholds, framing = description.get("thresholds"), description.get("framing")
    if thresholds is None:
        return
    check_thresholds(thresholds, where)
    known = framing if isinstance(framing, dict) else {}
    side = _fraction(framing, "side", 10)
    if known.get("resample") not in RESAMPLE or side is None or side < 0.1:
        raise ModelError(f"{where}: 'framing' needs a resample filter and a side in 0.1..10")
    if known.get("dtype", "float32") not in CROP_DTYPES:
        raise ModelError(f"{where}: 'framing' has a dtype that is none of {', '.join(CROP_DTYPES)}")


def check_thresholds(thresholds: Any, where: str) -> None:
    """``ModelError`` unless these are thresholds of a detector."""
    real = _fraction(thresholds, "real", 1)
    fake = _fraction(thresholds, "fake", 1)
    if real is None or fake is None or real > fake:
        said = str(thresholds)[:80]
        raise ModelError(f"{where}: 'thresholds' needs 0 <= real <= fake <= 1, not {said}")


def _fraction(values: Any, key: str, most: float) -> float | None:
    """``values[key]`` if it is a number in 0..most."""
    value = values.get(key) if isinstance(values, dict) else None
    return value if is_number(value) and 0 <= value <= most else None
