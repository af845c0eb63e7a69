"""What kind of file a source is, told from its first bytes and without unpickling anything."""

from __future__ import annotations

import io
import pickletools
import zipfile
from pathlib import Path

from ..engine.files import read_file
from ..errors import ConvertError, ModelError
from . import hdf5
from .source import DAMAGED_ZIP, SIZE_LIMIT

_EXPORT = (
    "export the network instead: torch.export.save(torch.export.export(network.eval(), (example,)),"
    " 'network.pt2')"
)
#: What is read; of whatever name, since contents tell which it is.
ENDINGS = ".onnx, .pt2, .keras, .h5 and .hdf5"
_ONNX = "export it as ONNX, for example by tf2onnx, or save it as .keras"
#: PyTorch's old format has several, one behind the other.
_MOST_PICKLES = 5
#: Whatever has no start of its own is taken for ONNX, but these have one.
_KNOWN_BY_START = (".keras", ".h5", ".hdf5", ".pt2")
#: First bytes -> what to say.
_OTHERS = {
    b"\x93NUMPY": "an array of NumPy, not a network",
}


def read_source(path: Path) -> tuple[str, bytes]:
    """The kind of a file, ``onnx``, ``pt2``, ``keras`` or ``h5``, and its bytes.

    Raises:
        ConvertError: it cannot be read, or is of another kind; the message says of which.
    """
    if path.is_dir():
        raise ConvertError(f"{path}: a folder; of a TensorFlow model, {_ONNX}")
    try:
        data = read_file(path, SIZE_LIMIT)
    except ModelError as error:
        raise ConvertError(str(error)) from None
    for magic, what in _OTHERS.items():
        if data.startswith(magic):
            raise ConvertError(f"{path}: {what}")
    if data.startswith(hdf5.MAGIC):
        return "h5", data
    if data[4:8] == b"TFL3":
        raise ConvertError(f"{path}: a TensorFlow Lite file: {_ONNX}")
    if data.startswith(b"PK"):
        return _kind_of_zip(path, data), data
    if data.startswith(b"\x80") and data[1:2] in b"\x02\x03\x04\x05":
        raise ConvertError(f"{path}: {told_of_pickle(data)}")
    if path.suffix.lower() in _KNOWN_BY_START:
        raise ConvertError(f"{path}: damaged: it does not begin as a {path.suffix} file does")
    return "onnx", data


def _kind_of_zip(path: Path, data: bytes) -> str:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = archive.namelist()
            parts = {name.partition("/")[2] for name in names}
            if "models/model.json" in parts or "archive_format" in parts:
                return "pt2"
            if "model.json.npy" in names:
                raise ConvertError(f"{path}: is a minimeso model already")
            if "config.json" in names and "model.weights.h5" in names:
                return "keras"
            if "serialized_exported_program.json" in names:
                raise ConvertError(
                    f"{path}: a program of PyTorch before 2.8, whose arrays are pickled:"
                    " save it again with a later one"
                )
            if any(name.partition("/")[2].startswith("code/") for name in names):
                raise ConvertError(f"{path}: a TorchScript archive: {_EXPORT}")
            pickles = [name for name in names if name.endswith("/data.pkl")]
            if not pickles or archive.getinfo(pickles[0]).file_size > SIZE_LIMIT:
                raise ConvertError(
                    f"{path}: a zip archive, but of no network that is known: {ENDINGS} are read"
                )
            content = archive.read(pickles[0])
    except DAMAGED_ZIP as error:
        if isinstance(error, ConvertError):
            raise
        raise ConvertError(f"{path}: damaged or cut short ({str(error)[:80]})") from None
    raise ConvertError(f"{path}: {told_of_pickle(content)}")


def told_of_pickle(content: bytes) -> str:
    """What a pickle of PyTorch holds, in words, read from its opcodes; nothing is executed."""
    own = pickled_class(content)
    if own is not None:
        return (
            f"a pickled whole module (of {own[:80]}), not an exported network: loading it would"
            f" run code of the file, so it is refused; {_EXPORT}"
        )
    return f"weights without a network (a state_dict): {_EXPORT}"


def pickled_class(content: bytes) -> str | None:
    """The class of a module that is pickled there, or one of its parts; None if there is none."""
    own = [
        name
        for name in sorted(_globals(content))
        if not name.startswith(("torch.", "collections.", "builtins.", "__builtin__."))
        or name.startswith("torch.nn.modules.")
    ]
    own.sort(key=lambda name: name.startswith("torch."))  # the user's own class says most
    return own[0] if own else None


def _globals(content: bytes) -> set[str]:
    """Every class or function that a file of pickles names, as far as it can be read."""
    found: set[str] = set()
    strings: list[str] = []
    file = io.BytesIO(content)
    try:
        for _ in range(_MOST_PICKLES):
            for code, argument, _place in pickletools.genops(file):
                if code.name == "GLOBAL":
                    found.add(str(argument).replace(" ", "."))
                elif code.name == "STACK_GLOBAL":
                    found.add(".".join(strings[-2:]))
                elif isinstance(argument, str):
                    strings.append(argument)
    except (ValueError, IndexError, UnicodeError, OverflowError):
        pass  # cut short, or arrays behind them: what was read is told
    return found
