"""The engine: knows networks.  graph -> rewrites -> plan -> program -> one C call.

``operators`` what there is, each with its definition, ``graph`` a network as data, ``layer`` and
``rewrites`` shorter networks, ``pack`` parameters for the kernels, ``memory``, ``steps``,
``stages`` and ``plan`` where everything lies and when it runs, ``bindings``, ``structs`` and
``native`` the border to C, ``session`` the front door, ``profile`` where time goes,
``files``, ``storage``, ``model_file`` and ``library`` models on disk, ``paths`` the C there,
``reference`` a network by definition, ``exact`` sums and functions of the same bits on every
machine, ``float_errors`` what NumPy does about overflow meanwhile.
"""

from . import bindings as _bindings  # noqa: F401 (it may refuse NumPy, so it comes first)
from .graph import Graph, Node
from .library import ALIASES, bundled_files, bundled_models, find_model, model_path
from .model_file import Model, load_model, save_model
from .paths import get_include, get_library
from .session import Session

__all__ = [
    "ALIASES",
    "Graph",
    "Model",
    "Node",
    "Session",
    "bundled_files",
    "bundled_models",
    "find_model",
    "get_include",
    "get_library",
    "load_model",
    "model_path",
    "save_model",
]
