"""Keras files: ``.keras`` (a zip of JSON and HDF5) and ``.h5``; what network they describe, and
its arrays.  Read without Keras, so no code of a file runs: a layer is what its class is called.
"""

from __future__ import annotations

import json
import re
import struct
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ..engine.archive import entries
from ..errors import GraphError
from . import hdf5, keras_published
from .builder import Array
from .source import SIZE_LIMIT

_PARTS = frozenset({"config.json", "metadata.json", "model.weights.h5"})
_AGAIN = "save the whole model again: model.save('network.keras')"


class Place(NamedTuple):
    """Where a layer is.

    Attributes:
        names: of the models that it is in, and its own.
        keys: the same as a ``.keras`` file's groups are called: class and number.
        call: which call of it this is, in which call of the models around: ``model:0/layer:0``.
    """

    names: tuple[str, ...]
    keys: tuple[str, ...]
    call: str


class KerasFile:
    """A network of Keras.

    Attributes:
        config: of the model: ``class_name`` and ``config``.
        version: of Keras, (major, minor).
        data: the file.
        kind: ``keras`` or ``h5``.
    """

    def __init__(self, data: bytes, kind: str) -> None:
        self.data, self.kind = data, kind
        version: Any
        if kind == "keras":
            parts = _parts(data)
            self.config = _object(parts["config.json"], "config.json")
            version = _object(parts["metadata.json"], "metadata.json").get("keras_version", "3.0")
            arrays = hdf5.read(parts["model.weights.h5"]).arrays
        else:
            content = hdf5.read(data)
            arrays = content.arrays
            version = content.attributes.get("keras_version", "2.0")
            if "model_config" in content.attributes:
                self.config = _object(content.attributes["model_config"], "model_config")
            else:
                self.config = keras_published.config_of(arrays)
        found = re.match(r"(\d{1,4})\.(\d{1,4})", str(version))
        self.version = (int(found[1]), int(found[2])) if found else (3, 0)
        self._groups = self._grouped(arrays)

    def _grouped(self, arrays: Mapping[str, Array]) -> dict[str, dict[str, Array]]:
        """By what a layer's arrays are found by: where its ``vars`` are, or the outermost name."""
        groups: dict[str, dict[str, Array]] = {}
        for path, array in arrays.items():
            if self.kind == "keras":
                group, _, name = path.rpartition("/")
            else:
                group, _, name = path.removeprefix("model_weights/").partition("/")
            groups.setdefault(group, {})[name] = array
        return groups

    def layer_arrays(self, place: Place, names: Sequence[str]) -> list[Array]:
        """The arrays of a layer, in the order of their names, of which one may be ``a|b``.

        Raises:
            GraphError: it has others.
        """
        if self.kind == "keras":
            own = self._groups.get("".join(f"layers/{key}/" for key in place.keys) + "vars", {})
            wanted: list[tuple[str, ...]] = [(str(i),) for i in range(len(names))]
        else:
            own = self._by_name(place)
            wanted = [tuple(name.split("|")) for name in names]
        found = [next((own[n] for n in choice if n in own), None) for choice in wanted]
        if len(own) != len(names) or any(array is None for array in found):
            shapes = ", ".join(f"{n[:40]} {a.shape}" for n, a in sorted(own.items())[:8]) or "none"
            raise GraphError(f"its arrays are {shapes}; known are {', '.join(names)}")
        checked = []
        for name, array in zip(names, found, strict=True):
            if array is None or array.dtype.kind not in "fiu":
                raise GraphError(f"its {name} is no array of numbers")
            checked.append(array)
        return checked

    def _by_name(self, place: Place) -> dict[str, Array]:
        """Of an ``.h5``: in the group of the outermost layer; the names of those in it are part of
        the path, all of them or the last."""
        layers: dict[str, dict[str, Array]] = {}
        for path, array in self._groups.get(place.names[0], {}).items():
            layer, _, name = path.rpartition("/")
            layers.setdefault(layer, {})[name.partition(":")[0]] = array
        if len(place.names) == 1:
            return {name: array for own in layers.values() for name, array in own.items()}
        ends = ["/".join(place.names[i:]) for i in range(1, len(place.names))]
        found = [layer for end in ends for layer in layers if layer == end]
        found += [layer for end in ends for layer in layers if layer.endswith(f"/{end}")]
        return layers[found[0]] if found else {}


def _parts(data: bytes) -> dict[str, bytes]:
    """The JSON texts of a ``.keras``, and its HDF5 file."""
    try:
        parts = {name: bytes(c) for name, c in entries(data, SIZE_LIMIT) if name in _PARTS}
    except (ValueError, struct.error, zlib.error) as error:
        raise GraphError(f"damaged or cut short ({str(error)[:80]}): {_AGAIN}") from None
    if len(parts) < len(_PARTS):
        raise GraphError(f"has no {' or no '.join(sorted(_PARTS - parts.keys()))}: {_AGAIN}")
    return parts


def _object(text: str | bytes, what: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise GraphError(f"{what} is no JSON ({str(error)[:80]}): {_AGAIN}") from None
    if not isinstance(found, Mapping):
        raise GraphError(f"{what} is no JSON object: {_AGAIN}")
    return dict(found)
