"""Models by name or path; each file is read once and shared by everyone who uses it."""

from __future__ import annotations

import os
import threading
import weakref

from ..errors import ModelError
from .model_file import Model, load_model

_FOLDER = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "models")
_ENDING = ".npz"
_lock = threading.Lock()
_loaded: weakref.WeakValueDictionary[tuple[str, int, int], Model] = weakref.WeakValueDictionary()


def bundled_models() -> dict[str, str]:
    """Name and file of every model that comes with the package."""
    files = sorted(name for name in os.listdir(_FOLDER) if name.endswith(_ENDING))
    return {name.removesuffix(_ENDING): os.path.join(_FOLDER, name) for name in files}


def find_model(name_or_path: str | os.PathLike[str]) -> Model:
    """The bundled model of that name, or the model file at that path.

    Raises:
        ModelError: there is no such model, or its file cannot be trusted.
    """
    name = os.fspath(name_or_path)
    path = bundled_models().get(name, name)
    try:
        status = os.stat(path)
    except (OSError, ValueError) as error:
        known = ", ".join(bundled_models()) or "none"
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ModelError(
            f"{name}: no bundled model ({known}) and no model file of that name: {reason}"
        ) from None
    key = (os.path.realpath(path), status.st_mtime_ns, status.st_size)
    with _lock:
        model = _loaded.get(key)
        if model is None:
            model = load_model(path)
            _loaded[key] = model
        return model
