"""The exceptions of minimeso, all in one place.

::

    Exception
     └── MinimesoError           everything that minimeso raises on purpose
          ├── GraphError         a network that cannot be (also ValueError)
          ├── ModelError         a model file that cannot be trusted (also ValueError)
          ├── ConvertError       a network of another kind that cannot be read (also ValueError)
          ├── InputError         an array that does not fit the network (also ValueError)
          ├── PictureError       a picture that cannot be read (also OSError)
          ├── OutputError        a file that cannot be written (also OSError)
          └── EngineError        the C engine refused; ``code`` is its status
"""

from __future__ import annotations

__all__ = [
    "ConvertError",
    "EngineError",
    "GraphError",
    "InputError",
    "MinimesoError",
    "ModelError",
    "OutputError",
    "PictureError",
]


class MinimesoError(Exception):
    """Base of every exception that minimeso raises on purpose."""


class GraphError(MinimesoError, ValueError):
    """A network description is wrong; the message names the node."""


class ModelError(MinimesoError, ValueError):
    """A model file is damaged, hostile or too new; the message names the file and the node."""


class ConvertError(MinimesoError, ValueError):
    """A network of another format cannot be read; the message names file, node and remedy."""


class InputError(MinimesoError, ValueError):
    """An input array has the wrong shape, dtype or size for the network."""


class PictureError(MinimesoError, OSError):
    """A picture cannot be read; the message names the file and the reason."""


class OutputError(MinimesoError, OSError):
    """A file cannot be written; the message names it, the reason and what to do.

    No ``PictureError``: that the copy of a clip cannot be written says nothing about the clip.
    """


class EngineError(MinimesoError, RuntimeError):
    """The C engine returned a status other than 0.

    Attributes:
        code: the negative ``MM_E_*`` status of ``csrc/minimeso.h``.
    """

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code

    def __reduce__(self) -> tuple[type[EngineError], tuple[str, int]]:
        return type(self), (str(self), self.code)  # or a pool of processes breaks at its coming
