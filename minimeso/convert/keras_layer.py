"""A layer of Keras while it is read, and what most of its readers need."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import GraphError
from .builder import Array
from .source import Node
from .view import Value

#: Settings that only training, or building, knows.
_OF_TRAINING = (
    "name", "trainable", "dtype", "autocast", "batch_input_shape", "batch_shape", "input_shape",
    "input_dtype", "input_dim", "sparse", "ragged", "supports_masking", "mask", "stateful",
    "momentum", "synchronized", "renorm", "renorm_clipping", "renorm_momentum", "seed", "rate",
    "noise_shape", "stddev", "activity_regularizer",
)  # fmt: skip
_ENDINGS = ("_initializer", "_regularizer", "_constraint")


def _no_arrays(names: Sequence[str]) -> list[Array]:
    return []


@dataclass
class Layer(Node):
    """A call of a layer, its configuration as attributes; ``version`` is Keras' (2 or 3).

    Attributes:
        arrays_of: the layer's arrays, in the order of their names.
    """

    arrays_of: Callable[[Sequence[str]], list[Array]] = _no_arrays

    def only(self, name: str, *known: Any) -> None:
        """Lists as tuples."""
        value = self.get(name, known[0])
        value = tuple(value) if isinstance(value, list) else value
        if value is not None and value not in known:
            raise GraphError(f"setting {name!r} is {str(value)[:80]!r}; known is {known[0]!r}")

    def arrays(self, *names: str) -> list[Array]:
        """Its arrays."""
        return self.arrays_of(names)

    def unknown_attributes(self) -> list[str]:
        """Those that matter to what it computes, and were not asked for; one that is None is none.

        ``training`` at a call means something to Keras 2 only; a prediction of Keras 3 is none.
        """
        return [
            name
            for name in super().unknown_attributes()
            if name not in _OF_TRAINING
            and not name.endswith(_ENDINGS)
            and self.attributes[name] is not None
            and not (name == "training" and (self.version > 2 or self.attributes[name] is False))
        ]


def size_of_window(layer: Layer, name: str, rank: int, default: Any = None) -> tuple[int, ...]:
    """A setting that is one number for each axis of a map, or one for all."""
    value = layer.get(name)
    value = default if value is None else value
    if isinstance(value, (int, float)):
        value = [value] * rank
    found = tuple(int(number) for number in value)
    if len(found) != rank or min(found) < 1 or max(found) > 1 << 20:
        raise GraphError(f"setting {name!r} is {str(value)[:80]}")
    return found


def is_last(layer: Layer) -> bool:
    """Whether its channels are the last axis."""
    found = layer.get("data_format")
    if found not in (None, "channels_last", "channels_first"):
        raise GraphError(f"setting 'data_format' is {str(found)[:80]!r}")
    return bool(found != "channels_first")


def as_map(layer: Layer, rank: int) -> Value:
    """What it reads, (N, C, H, W) or (N, C, L) whatever the file has."""
    x = layer.value()
    if len(x.axes) != rank + 2:
        raise GraphError(f"reads {x.shape}; known are maps of {rank} axes")
    return x.permuted([0, rank + 1, *range(1, rank + 1)]) if is_last(layer) else x


def as_before(layer: Layer, made: Value) -> Value:
    """A map in the order of axes that the file has."""
    rank = len(made.axes) - 2
    return made.permuted([0, *range(2, rank + 2), 1]) if is_last(layer) else made
