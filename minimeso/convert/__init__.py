"""Networks of other frameworks as model files: knows ONNX, exported PyTorch programs and Keras.

``view`` what moves no element, ``builder`` the graph that grows, ``basics``, ``elementwise``,
``layers``, ``moving`` and ``patterns`` what the engine's operators are made to do; ``source`` what
the readers share, ``onnx_*``, ``torch_*`` and ``keras_*`` (on ``hdf5``) the readers, ``kinds`` what
a file is,
``reference`` what the source itself computes; ``front`` the door.
"""

from .front import convert_file, convert_module, write_reference
from .source import Preparation

__all__ = ["Preparation", "convert_file", "convert_module", "write_reference"]
