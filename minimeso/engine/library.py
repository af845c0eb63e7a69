"""Models by name or path; each file is read once and shared by everyone who uses it."""

from __future__ import annotations

import contextlib
import copyreg
import os
import weakref
import zlib
from typing import Any

from ..errors import ModelError
from ..locks import Lock
from .model_file import Model, load_model

_FOLDER = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "models")
_ENDING = ".npz"
#: Short names, of which ``default`` is the network that looks at every frame.
ALIASES = {
    "default": "mesoinception4-mish",
    "mish": "mesoinception4-mish",
    "relu": "mesoinception4-relu",
    "leaky_relu": "mesoinception4-leaky_relu",
    "swish": "mesoinception4-swish",
    "pish": "mesoinception4-pish",
    "meso4": "meso4-leaky_relu",
}
_lock = Lock()
_loaded: weakref.WeakValueDictionary[tuple[str, int, int], Model] = weakref.WeakValueDictionary()


def bundled_files(ending: str) -> dict[str, str]:
    """Name and path of every file with this ending that comes with the package."""
    files = sorted(name for name in os.listdir(_FOLDER) if name.endswith(ending))
    return {name.removesuffix(ending): os.path.join(_FOLDER, name) for name in files}


def bundled_models() -> dict[str, str]:
    """Name and file of every model that comes with the package, without the short names."""
    return bundled_files(_ENDING)


def model_path(name_or_path: str | os.PathLike[str]) -> str:
    """The file of the bundled model of that name, short or long; any other path as it is."""
    name = os.fspath(name_or_path)
    bundled = bundled_models()
    return bundled.get(ALIASES.get(name, name), name)


def find_model(name_or_path: str | os.PathLike[str]) -> Model:
    """The bundled model of that name, or the model file at that path.

    Raises:
        ModelError: there is no such model, or its file cannot be trusted.
    """
    name = os.fspath(name_or_path)
    path = model_path(name)
    try:
        status = os.stat(path)
    except (OSError, ValueError) as error:
        known = ", ".join(["default", *bundled_models()])
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ModelError(
            f"{name}: no bundled model ({known}) and no model file of that name: {reason}"
        ) from None
    if path.endswith(".json"):
        raise ModelError(f"{name}: a pair of networks, and one is wanted: name one of its files")
    key = (os.path.realpath(path), status.st_mtime_ns, status.st_size)
    with _lock:
        model = _loaded.get(key)
        if model is None:
            model = load_model(path)
            _loaded[key] = model
        return model


# --- pickled models ----------------------------------------------------------------------


def _reduced(model: Model) -> tuple[Any, ...]:
    """A bundled model goes by its name, so that it lies in a process once however often it comes
    there; any other with all that is in it, because its file may lie on this machine alone."""
    with _lock:
        keys = [key for key, loaded in _loaded.items() if loaded is model]
    for path, time, size in keys:
        if os.path.dirname(path) == os.path.realpath(_FOLDER):
            with contextlib.suppress(OSError):  # it is gone: its contents are here
                status = os.stat(path)
                if (status.st_mtime_ns, status.st_size) == (time, size):
                    name = os.path.basename(path).removesuffix(_ENDING)
                    return _same_bundled, (name, _checksum(path))
    return Model, (
        model.name, model.graph, model.weights, model.meta,
        model.framing, model.calibration, model.thresholds,
    )  # fmt: skip


def _same_bundled(name: str, checksum: int) -> Model:
    """The bundled model, if it is the one that was pickled.

    Raises:
        ModelError: another version of the package comes with another one.
    """
    model = find_model(name)
    if _checksum(model_path(name)) != checksum:
        raise ModelError(
            f"{name}: it was pickled by a minimeso with another network of that name: install the "
            "same version on both sides"
        )
    return model


def _checksum(path: str) -> int:
    with open(path, "rb") as file:
        return zlib.crc32(file.read())


copyreg.pickle(Model, _reduced)
