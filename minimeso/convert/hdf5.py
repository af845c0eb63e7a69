"""Reads the arrays and attributes of HDF5 files as Keras writes them; needs ``h5py``.

HDF5 can point into other files, nest in circles and unfold a few bytes to gigabytes: whatever is
not plainly there is refused before it is read.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from ..errors import ConvertError, GraphError
from .builder import Array

MAGIC = b"\x89HDF\r\n\x1a\n"
#: Groups in groups: Keras needs two for each model in a model.
_DEEPEST = 32
#: Groups and arrays of a file.
_MOST = 1 << 17
#: Of the optimizer, which no network needs.
_LEFT_OUT = frozenset({"optimizer", "optimizer_weights"})


class Content(NamedTuple):
    """What a file holds.

    Attributes:
        arrays: by their path in the file, ``layers/dense/vars/0``, in the order of the file.
        attributes: the texts at its root, and ``model_weights`` with whose of that group.
    """

    arrays: dict[str, Array]
    attributes: dict[str, str]


def read(data: bytes) -> Content:
    """Everything in the bytes of a file.

    Raises:
        ConvertError: ``h5py`` is missing.
        GraphError: it is damaged, or holds something that is not plainly there.
    """
    try:
        import h5py
    except ImportError:
        raise ConvertError("reading Keras files needs: pip install 'minimeso[keras]'") from None
    with _told(), h5py.File(io.BytesIO(data), "r") as file:
        attributes = {name: _text(file.attrs, name) for name in ("model_config", "keras_version")}
        arrays, left = {}, len(data)
        for path, dataset in _datasets(file):
            # really stored, so all of them together are no larger than the file
            left -= dataset.nbytes
            if left < 0 or dataset.chunks or dataset.id.get_storage_size() != dataset.nbytes:
                raise GraphError(f"array {path[:120]!r} is packed, or larger than the file")
            arrays[path] = np.asarray(dataset[()])
    return Content(arrays, {name: text for name, text in attributes.items() if text})


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Whatever h5py raises of hostile bytes as a ``GraphError``."""
    try:
        yield
    except GraphError:
        raise
    except Exception as error:  # of many kinds, by way of HDF5
        reason = str(error).partition("\n")[0][:200]
        raise GraphError(f"damaged, or no HDF5 file ({reason})") from None


def _text(attributes: Any, name: str) -> str:
    """An attribute that is a text, or none."""
    if name not in attributes:
        return ""
    value = attributes[name]
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


def _datasets(file: Any) -> Iterator[tuple[str, Any]]:
    """All arrays of numbers, by their paths."""
    import h5py

    waiting, seen = [("", file)], 0
    while waiting:
        path, group = waiting.pop()
        below = []
        for name in group:
            own = f"{path}/{name}".lstrip("/")
            seen += 1
            if seen > _MOST or own.count("/") >= _DEEPEST:
                raise GraphError(f"{own[:120]!r} lies too deep, or is one of too many")
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise GraphError(f"{own[:120]!r} is a link to elsewhere")
            if own in _LEFT_OUT:
                continue
            item = group[name]
            if isinstance(item, h5py.Group):
                below.append((own, item))
            elif isinstance(item, h5py.Dataset):
                if item.is_virtual or item.external:
                    raise GraphError(f"array {own[:120]!r} is in another file")
                if item.dtype.kind in "fiu":
                    yield own, item
        waiting += reversed(below)
