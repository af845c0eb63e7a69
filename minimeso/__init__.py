"""minimeso: was the face in this picture swapped?  On a plain CPU, without a framework.

    >>> import minimeso
    >>> minimeso.Detector().check("picture.jpg").p_fake      # doctest: +SKIP
    0.31

``Detector`` judges pictures and clips, ``FaceFinder`` finds faces, ``Session`` runs a network on
arrays, ``Graph`` describes one.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from . import interpreter as _interpreter  # noqa: F401 (it may refuse)

if TYPE_CHECKING:
    from .detect import (
        Detector,
        Face,
        FaceFinder,
        FoundFace,
        LiveFace,
        Moment,
        SeenFace,
        SeenFrame,
        Track,
        Verdict,
    )
    from .engine import (
        Graph,
        Model,
        Session,
        get_include,
        get_library,
        load_model,
        save_model,
    )
    from .errors import (
        ConvertError,
        EngineError,
        GraphError,
        InputError,
        MinimesoError,
        ModelError,
        OutputError,
        PictureError,
    )

__version__ = "0.1.0"

__all__ = [
    "ConvertError",
    "Detector",
    "EngineError",
    "Face",
    "FaceFinder",
    "FoundFace",
    "Graph",
    "GraphError",
    "InputError",
    "LiveFace",
    "MinimesoError",
    "Model",
    "ModelError",
    "Moment",
    "OutputError",
    "PictureError",
    "SeenFace",
    "SeenFrame",
    "Session",
    "Track",
    "Verdict",
    "get_include",
    "get_library",
    "load_model",
    "save_model",
]

#: Where each name is; asked when it is wanted, so that `minimeso --help` need not wait for NumPy.
_HOMES = {
    **dict.fromkeys(
        (
            "Detector",
            "Face",
            "FaceFinder",
            "FoundFace",
            "LiveFace",
            "Moment",
            "SeenFace",
            "SeenFrame",
            "Track",
            "Verdict",
        ),
        "detect",
    ),
    **dict.fromkeys(
        (
            "Graph",
            "Model",
            "Session",
            "get_include",
            "get_library",
            "load_model",
            "save_model",
        ),
        "engine",
    ),
    **dict.fromkeys(
        (
            "ConvertError",
            "EngineError",
            "GraphError",
            "InputError",
            "MinimesoError",
            "ModelError",
            "OutputError",
            "PictureError",
        ),
        "errors",
    ),
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(f".{home}", __name__), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
