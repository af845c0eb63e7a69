"""minimeso: was the face in this picture swapped?  On a plain CPU, without a framework.

    >>> import minimeso
    >>> minimeso.Detector().check("picture.jpg").p_fake      # doctest: +SKIP
    0.31

``Detector`` judges pictures and clips, ``FaceFinder`` finds faces, ``Session`` runs a network on
arrays, ``Graph`` describes one.
"""

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
from .engine import Graph, Model, Session, load_model, save_model
from .errors import (
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
    "load_model",
    "save_model",
]
