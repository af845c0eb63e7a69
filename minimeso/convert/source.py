"""What all kinds of source are read by: named values, nodes, and what to say of a node that is
not known."""

from __future__ import annotations

import contextlib
import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, TypeVar

import numpy as np

from ..checks import is_number
from ..engine import Graph
from ..errors import ConvertError, GraphError
from .builder import Array, Builder, Operand
from .view import OPEN_BATCH, Atom, Atoms, Size, Value, axis, flat, size_of

#: Most bytes of a source file, and of all constants that are worked out of it.
SIZE_LIMIT = 1 << 30
#: Most layers of operators of the engine: what a source may have, its shape arithmetic included.
MOST_NODES = 1 << 15


#: Most nodes between an input and where its channels come first.
_MOST_STEPS = 64
#: Largest number of a mean or std.
_MOST_OF_A_MEAN = 1e30
#: Most channels of a picture that is prepared: each becomes a sum of all.
_MOST_CHANNELS = 1 << 10

#: What Python raises where a file has something of another kind than belongs there.
DAMAGE = (
    TypeError, ValueError, LookupError, AttributeError, ArithmeticError, StopIteration,
    MemoryError, RecursionError,
)  # fmt: skip


#: All that ``zipfile`` raises of hostile bytes: RuntimeError of entries that are encrypted or
#: packed in a way it does not know.
DAMAGED_ZIP = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, OSError, EOFError, ValueError, RuntimeError,
)  # fmt: skip


@contextlib.contextmanager
def damage_told(what: str) -> Iterator[None]:
    """Turns ``DAMAGE`` into a ``GraphError`` that begins so; what is one stays.  NumPy says nothing
    of numbers that are not finite: whoever makes a model of a network looks for them."""
    try:
        with np.errstate(all="ignore"):
            yield
    except GraphError:
        raise
    except DAMAGE as error:
        text = str(error).partition("\n")[0][:120]
        raise GraphError(f"{what} cannot be read ({type(error).__name__}: {text})") from None


@dataclass
class Node:
    """A node of the source while it is read.

    Attributes:
        op: its operator, as the source calls it.
        name: for messages.
        inputs: values, constants, None where one is left out.
        attributes: by name; those that nobody asked for make the node unknown.
        build: what the engine's nodes are appended to.
        version: of the operator set.
        outputs: how many of its results are used.
    """

    op: str
    name: str
    inputs: list[Any]
    attributes: Mapping[str, Any]
    build: Builder
    version: int = 0
    outputs: int = 1
    _asked: set[str] = field(default_factory=set)

    def get(self, name: str, default: Any = None) -> Any:
        """An attribute."""
        self._asked.add(name)
        return self.attributes.get(name, default)

    def only(self, name: str, *known: Any) -> None:
        """An attribute that may have these values only."""
        value = self.get(name, known[0])
        if value not in known:
            raise GraphError(f"attribute {name!r} is {value!r}; known is {known[0]!r}. {REMEDY}")

    def has(self, place: int) -> bool:
        """Whether that input is there."""
        return place < len(self.inputs) and self.inputs[place] is not None

    def value(self, place: int = 0) -> Value:
        """An input that is computed."""
        found = self.inputs[place] if self.has(place) else None
        if not isinstance(found, Value):
            if found is None:
                raise GraphError(f"input {place} is missing, not a value")
            raise GraphError(
                f"input {place} is a constant, and of constants this is not worked out here: store"
                " its result in the source"
            )
        return found

    def constant(self, place: int, what: str) -> Array:
        """An input that must be known beforehand."""
        found = self.inputs[place] if self.has(place) else None
        if not isinstance(found, np.ndarray):
            how = "missing" if found is None else "computed from the picture"
            raise GraphError(f"its {what} is {how}; known are constants")
        return found

    def optional(self, place: int, what: str) -> Array | None:
        """The same, or None where it is left out."""
        return self.constant(place, what) if self.has(place) else None

    def unknown_attributes(self) -> list[str]:
        """Attributes that were not asked for."""
        return sorted(set(self.attributes) - self._asked)


def integers(array: Array | Sequence[int] | None) -> list[int] | None:
    """An attribute or a constant as Python's integers; None stays None."""
    return None if array is None else [int(i) for i in np.asarray(array).reshape(-1)]


def text_of(value: Any) -> str:
    """An attribute as text."""
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


Results = Operand | Sequence[Operand | int | None]
Reader = Callable[[Node], Results]
_Kind = TypeVar("_Kind", bound=Node)


def convert_node(node: _Kind, readers: Mapping[str, Callable[[_Kind], Results]]) -> list[Any]:
    """The results of a node.

    Raises:
        GraphError: it, or one of its attributes, is not known; the message names it.
    """
    reader = readers.get(node.op)
    if reader is None:
        raise GraphError(f"node {node.name!r} ({node.op}): no such operator here. {REMEDY}")
    node.build.where = node.name
    try:
        with damage_told("something in it"):
            found = reader(node)
    except GraphError as error:
        raise GraphError(f"node {node.name!r} ({node.op}): {error}") from None
    unknown = node.unknown_attributes()
    if unknown:
        value = str(node.attributes[unknown[0]])[:80]
        raise GraphError(
            f"node {node.name!r} ({node.op}): attribute {unknown[0]!r} ({value}) is not known here."
            f" {REMEDY}"
        )
    if isinstance(found, np.generic):  # of one element, which NumPy likes to unwrap
        return [np.asarray(found)]
    return [found] if isinstance(found, (Value, np.ndarray)) else list(found)


REMEDY = (
    "Write it with the operators that `minimeso convert --operators` lists, or leave it to your"
    " program: export the network up to there"
)


def with_size(
    sizes: list[Size], places: tuple[int, int], size: tuple[int, int] | None
) -> list[Size]:
    """Sizes of an input (N, C, H, W), those at the two places given where they are open.

    Raises:
        GraphError: they are not open, and others.
    """
    if size is None or len(sizes) != 4:
        return sizes
    for place, given in zip(places, size, strict=True):
        if sizes[place] not in (None, given):
            height, width = (sizes[p] or "any" for p in places)
            raise GraphError(f"its pictures are {width}x{height} already: leave --size away")
    return [size[places.index(i)] if i in places else n for i, n in enumerate(sizes)]


class Step(NamedTuple):
    """A node that reads an input: the names of what it makes, and whether it turns (N, H, W, C) to
    (N, C, H, W), or keeps all elements where they are."""

    makes: Sequence[str]
    turns: bool
    keeps: bool


def is_channels_last(
    name: str, sizes: Sequence[Size], readers: Callable[[str], Iterable[Step]]
) -> bool:
    """Whether an input is of (N, H, W, C): each way from it comes to where that is turned."""
    names, turned, seen = [name], False, 0
    while names and len(sizes) == 4:
        for step in readers(names.pop()):
            seen += 1
            if seen > _MOST_STEPS or not (step.turns or step.keeps or not step.makes):
                return False
            turned = turned or step.turns
            names += [] if step.turns else step.makes
    return turned


def add_input(
    build: Builder,
    name: str,
    sizes: Sequence[Size],
    last_is_channel: bool,
    batched: bool | None = None,
) -> Value:
    """An input (N, ...) of the network; of (N, H, W, C) the engine's picture is (C, H, W).

    A first axis of 1 or of unknown size is the batch; so is that of a matrix or a map. A vector
    or three axes of fixed size have none, unless ``batched`` says so.
    """
    if batched is None:
        batched = len(sizes) not in (1, 3) or sizes[0] in (None, 1)
    batch: Atoms = ()
    if batched:
        first, *rest = sizes if sizes else (1,)
        if first is None:
            batch = OPEN_BATCH
        elif first != 1:
            batch = (Atom(first, is_batch=True),)
    else:
        rest = list(sizes)
    axes = [axis(size) for size in rest]
    groups: list[Atoms]
    if len(axes) <= 1:
        groups = [flat(axes)]
    elif last_is_channel:
        groups = [axes[2], axes[0], axes[1]]
    elif len(axes) == 2:
        groups = [axes[0], (), axes[1]]
    else:
        groups = [axes[0], axes[1], flat(axes[2:])]
    if any(atom.size is None for atom in groups[0]):
        raise GraphError(f"input {name!r} of shape {tuple(sizes)}: how many channels has it?")
    return build.input(name, tuple(groups), tuple([batch, *axes] if batched else axes))


class Preparation(NamedTuple):
    """What a network wants done to pictures, which come as RGB in [0, 1].

    Attributes:
        mean, std: of each channel, or one for all: (x - mean) / std.
        bgr: whether blue comes first; mean and std are then in that order, too.
    """

    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    bgr: bool = False

    def check(self) -> None:
        """``GraphError`` unless mean and std are numbers."""
        for name, values in (("mean", self.mean), ("std", self.std)):
            listed = isinstance(values, (tuple, list, np.ndarray)) and len(values) > 0
            if not listed or not all(is_number(v) and abs(v) <= _MOST_OF_A_MEAN for v in values):
                raise GraphError(
                    f"{name} is {values!r}: give a tuple of numbers, one or one for each channel"
                )

    def for_bytes(self) -> Preparation:
        """Of an input of bytes: a network for 0 to 255, unless mean or std say what it wants."""
        plain = Preparation()
        if (self.mean, self.std) != (plain.mean, plain.std):
            return self
        return self._replace(std=(1 / 255,))

    def apply(self, build: Builder, x: Value) -> Value:
        """The picture as the network wants it: a convolution of one pixel."""
        if self == Preparation() or len(x.stored) != 3:
            return x
        channels = size_of(x.stored[0]) or 1
        if channels > _MOST_CHANNELS:
            raise GraphError(f"mean and std are for pictures, not for {channels} channels")
        if {len(self.mean), len(self.std)} - {1, channels}:
            raise GraphError(f"mean or std do not fit a picture of {channels} channels")
        if 0 in self.std:
            raise GraphError(f"std is {self.std}: pictures are divided by it, so none may be 0")
        mean, std = (np.broadcast_to(v, channels) for v in (self.mean, self.std))
        order = np.arange(channels)[:: -1 if self.bgr else 1]
        weight = np.eye(channels)[order] / std[:, None]
        build.where = "prepared"
        name = build.emit(
            "conv2d",
            [x.name],
            {"weight": weight[:, :, None, None], "bias": -mean / std},
            out_channels=channels,
            kernel_size=1,
        )
        return replace(x, name=name)


def as_output(build: Builder, value: Value) -> Value:
    """A value as the network returns it: (N, ...) in the order of its axes, as far as the engine
    has so many."""
    value = value.without_mark()
    batched = len(value.axes) != 3 or not value.axes[0] or value.axes[0][0].is_batch
    axes = value.axes[1:] if batched and value.axes else value.axes
    if batched and any(not atom.is_batch for atom in flat(value.axes[:1])):
        axes = value.axes
    if len(axes) <= 1:
        groups = [flat(axes)]
    elif len(axes) == 2:
        groups = [axes[0], (), axes[1]]
    else:
        groups = [axes[0], axes[1], flat(axes[2:])]
    build.where = f"{value.name}.output"
    return build.stored(value, groups)


@dataclass(frozen=True)
class Converted:
    """A network of the engine, made of another format's.

    Attributes:
        graph: the network.
        weights: float32 arrays by ``node.parameter``.
        values: what the source calls a value -> the view of an engine tensor that holds it; of
            nodes that are in the graph.
        inputs: names of the source's inputs -> their views.
    """

    graph: Graph
    weights: dict[str, Array]
    values: dict[str, Value]
    inputs: dict[str, Value]


def finished(
    build: Builder,
    name: str,
    values: Mapping[str, Any],
    inputs: Mapping[str, Value],
    outputs: Sequence[str],
    made: Mapping[str, Any] | None = None,
) -> Converted:
    """The network, once all nodes are read.

    Args:
        build: its nodes.
        name: of the network.
        values: what the source's names stand for at its end.
        inputs, outputs: of the source.
        made: what they stood for when they were computed, where that may be something else.
    """
    results: list[str] = []
    values, changed = dict(values), dict(made if made is not None else values)
    for output in outputs:
        value = values.get(output)
        if not isinstance(value, Value):
            raise GraphError(f"output {output!r} does not depend on the picture")
        try:
            found = as_output(build, value)
        except GraphError as error:
            raise GraphError(f"output {output!r} of shape {value.shape}: {error}") from None
        if found.name in build.inputs or found.name in results:  # a node for each
            shape = [-1 if size is None else size for size in build.shapes[found.name]]
            found = replace(found, name=build.emit("reshape", [found.name], shape=shape))
        results.append(found.name)
        values[output] = found
        changed[output] = found
    if not results:
        raise GraphError("has no outputs")
    graph, weights = build.finish(name, results)
    there = {node.name for node in graph.nodes}
    kept = {
        key: replace(value)
        for key, value in changed.items()
        if isinstance(value, Value) and value.name in there
    }
    return Converted(graph, weights, kept, dict(inputs))


def refuse(where: str, error: Exception) -> ConvertError:
    """The error of a file, beginning with its name."""
    return ConvertError(f"{where}: {error}")
