"""Models by name or path; each file is read once and shared by everyone who uses it."""

from __future__ import annotations

import os
import threading
import weakref
from pathlib import Path

from ..errors import ModelError
from .model_file import Model, load_model

_FOLDER = Path(__file__).resolve().parent.parent / "models"
_lock = threading.Lock()
_loaded: weakref.WeakValueDictionary[tuple[str, int, int], Model] = weakref.WeakValueDictionary()


def bundled_models() -> dict[str, Path]:
    """Name and file of every model that comes with the package."""
    return {path.stem: path for path in sorted(_FOLDER.glob("*.npz"))}


def find_model(name_or_path: str | os.PathLike[str]) -> Model:
    """The bundled model of that name, or the model file at that path.

    Raises:
        ModelError: there is no such model, or its file cannot be trusted.
    """
    name = os.fspath(name_or_path)
    path = bundled_models().get(name, Path(name))
    try:
        status = path.stat()
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
