"""Any number of files: an archive in, a Parquet data set out.  Needs the extra ``scan``.

``source`` lists what there is to judge, with the help of ``tables`` and ``addresses``; ``dataset``
holds what was found and knows what is missing; ``run`` sends the one to the workers of a Dask
cluster and puts the other into its place.  On a worker ``task`` hands file after file to a process
of its own (``process`` is the worker's end, ``child`` the other), which can hang, grow or die
without hurting anybody.  ``page`` and ``summary`` tell what came out.

    >>> from minimeso.scan import Limits, Scan, Settings
    >>> Scan("archive/", "verdicts/", Settings(fps=2)).run()      # doctest: +SKIP
"""

from __future__ import annotations

import importlib.util

from ..errors import InputError
from .limits import Limits
from .run import Scan, State
from .settings import Settings

__all__ = ["Limits", "Scan", "Settings", "State", "require_packages"]

#: What the extra brings, as modules.
PACKAGES = ("dask", "distributed", "pyarrow", "fsspec", "cryptography")


def require_packages() -> None:
    """``InputError`` unless the extra ``scan`` is installed."""
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(f"scan needs {', '.join(missing)}: pip install 'minimeso[scan]'")
