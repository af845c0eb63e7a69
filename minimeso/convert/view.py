"""Values of a source network as views of what the engine stores.

Frameworks move axes about without moving an element: reshape, transpose, flatten, squeeze.  The
engine stores maps (C, H, W) and vectors (F,), so a value is an engine tensor and how its elements
are to be read: both as lists of ``Atom``, pieces of an axis that no reshape cut so far.  Nothing is
copied before an operator needs the elements in another order (``builder.Builder.stored``).

The batch is no atom where it is 1 or of any size: an axis of size 1 has no atoms at all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..errors import GraphError

#: What the axes of a source are known to be; None: only when a picture arrives.
Size = int | None


class Atom:
    """A piece of an axis: its size, and which piece it is (two of one size are not the same)."""

    __slots__ = ("is_batch", "size")

    def __init__(self, size: Size, is_batch: bool = False) -> None:
        self.size = size
        self.is_batch = is_batch


Atoms = tuple[Atom, ...]


class _OpenBatch(tuple[Atom, ...]):
    __slots__ = ()


#: The batch of a source that takes any: an axis like others of size 1, but nothing goes along it.
OPEN_BATCH: Atoms = _OpenBatch()
#: Stands for it in an axis that a reshape made of it and of others.
OPEN = Atom(1, is_batch=True)


def axis(size: Size) -> Atoms:
    """A new axis of that size."""
    return () if size == 1 else (Atom(size),)


def size_of(atoms: Sequence[Atom]) -> Size:
    """Product of the sizes; None if one is not known."""
    product = 1
    for atom in atoms:
        if atom.size is None:
            return None
        product *= atom.size
    return product


def refuse_batch(axes: Sequence[Atoms]) -> None:
    """``GraphError`` where the batch is one of the axes along which something goes."""
    if any(map(_is_batch, axes)):
        raise GraphError(_ALONG)


_ALONG = "works along the batch: the engine sees each picture alone"


def _is_batch(own: Atoms) -> bool:
    return own is OPEN_BATCH or any(atom.is_batch for atom in own)


def same_batch(values: Sequence[Value]) -> None:
    """``GraphError`` where values, their last axes below each other, have the batch in different
    axes: each picture would meet each."""
    places = [
        {i - len(value.axes) for i, own in enumerate(value.axes) if _is_batch(own)}
        for value in values
    ]
    if any(one and other and one != other for one in places[:1] for other in places[1:]):
        raise GraphError(_ALONG)


def flat(groups: Sequence[Atoms]) -> Atoms:
    """All atoms in order."""
    return tuple(atom for group in groups for atom in group)


def in_order(axes: Sequence[Atoms]) -> list[Atom]:
    """All atoms, among them one for an open batch."""
    atoms: list[Atom] = []
    for atom in flat([(OPEN,) if own is OPEN_BATCH else own for own in axes]):
        if atom is not OPEN or atom not in atoms[-1:]:
            atoms.append(atom)
    return atoms


@dataclass(frozen=True)
class Value:
    """What a tensor of the source is.

    Attributes:
        name: of the engine tensor that holds its elements.
        stored: its axes (C, H, W) or (F,), as atoms.
        axes: the axes of the source, as atoms, the batch among them.
    """

    name: str
    stored: tuple[Atoms, ...]
    axes: tuple[Atoms, ...]

    @property
    def shape(self) -> tuple[Size, ...]:
        """As the source knows it, batch included."""
        return tuple(size_of(atoms) for atoms in self.axes)

    def axis_number(self, number: int) -> int:
        """An axis counted from 0, of one that may be counted from the end."""
        rank = len(self.axes)
        if not -rank <= number < rank:
            raise GraphError(f"has no axis {number}: its shape is {self.shape}")
        return number % rank

    # --- other views of the same elements ---------------------------------------------------

    def permuted(self, order: Sequence[int]) -> Value:
        """Axis i of the result is axis order[i]."""
        numbers = [self.axis_number(number) for number in order]
        if sorted(numbers) != list(range(len(self.axes))):
            raise GraphError(f"{tuple(order)} is no order of the axes of {self.shape}")
        return replace(self, axes=tuple(self.axes[number] for number in numbers))

    def squeezed(self, numbers: Sequence[int] | None) -> Value:
        """Without these axes of size 1, by default without all of them."""
        if numbers is None:
            gone = {i for i, size in enumerate(self.shape) if size == 1}
        else:
            gone = {self.axis_number(number) for number in numbers}
            if any(self.shape[i] != 1 for i in gone):
                raise GraphError(f"axes {tuple(numbers)} of {self.shape} are not all of size 1")
        return replace(self, axes=tuple(a for i, a in enumerate(self.axes) if i not in gone))

    def without_mark(self) -> Value:
        """With no trace of an open batch in other axes."""
        axes = [
            own if own is OPEN_BATCH else tuple(atom for atom in own if atom is not OPEN)
            for own in self.axes
        ]
        return replace(self, axes=tuple(axes))

    def unsqueezed(self, numbers: Sequence[int]) -> Value:
        """With new axes of size 1 at these places of the result."""
        rank = len(self.axes) + len(numbers)
        places = {number % rank for number in numbers if -rank <= number < rank}
        if len(places) != len(numbers):
            raise GraphError(f"{tuple(numbers)} are no places for new axes of {self.shape}")
        left = iter(self.axes)
        return replace(self, axes=tuple(() if i in places else next(left) for i in range(rank)))

    def split(self, atom: Atom, pieces: Atoms) -> Value:
        """The same with these pieces in the place of an atom."""

        def cut(groups: tuple[Atoms, ...]) -> tuple[Atoms, ...]:
            return tuple(replaced(group, atom, pieces) for group in groups)

        return Value(self.name, cut(self.stored), cut(self.axes))

    def reshaped(self, shape: Sequence[Size]) -> Value | None:
        """In another shape, without -1; None if its elements have to be put in order first."""
        if 0 in shape:
            raise GraphError(f"{tuple(shape)} would have no elements")
        value: Value = self
        axes: list[Atoms] = []
        left = in_order(self.axes)
        for number, size in enumerate(shape):
            taken: list[Atom] = []
            if size == 1 and left[:1] == [OPEN]:
                left.pop(0)
                axes.append(OPEN_BATCH)
                continue
            while size_of(taken) != size:
                if not left:
                    return None
                have, following = size_of(taken), left[0].size
                if size is None or have is None or following is None:
                    taken.append(left.pop(0))
                    continue
                missing = size // have
                if size % have:
                    return None
                if missing % following == 0:
                    taken.append(left.pop(0))
                elif following % missing == 0 and not left[0].is_batch:
                    atom, pieces = left.pop(0), axis(missing) + axis(following // missing)
                    value = value.split(atom, pieces)
                    left[:0] = pieces
                else:
                    return None
            if taken and left[:1] == [OPEN] and shape[number + 1 : number + 2] != [1]:
                taken.append(OPEN)  # it may belong here, or to the next
            axes.append(tuple(taken))
        rest = [atom for atom in left if atom is not OPEN]
        return None if rest else Value(value.name, value.stored, tuple(axes))


def replaced(group: Atoms, atom: Atom, pieces: Atoms) -> Atoms:
    """Atoms with these pieces in the place of one of them."""
    if not any(one is atom for one in group):
        return group
    return flat([pieces if one is atom else (one,) for one in group])


def resolved(shape: Sequence[int], current: Sequence[Size], zero_copies: bool) -> list[Size]:
    """A wanted shape with its -1 worked out, and with 0 standing for the old size if asked for."""
    wanted: list[Size] = [
        current[i] if size == 0 and zero_copies and i < len(current) else size
        for i, size in enumerate(shape)
    ]
    if any(size is not None and size < -1 for size in wanted) or wanted.count(-1) > 1:
        raise GraphError(f"{tuple(shape)} is no shape")
    if -1 not in wanted:
        return wanted
    unknown = [size for size in current if size is None]
    kept = [size for size in wanted if size is None]
    if len(unknown) != len(kept):  # the -1 takes in a size that nobody knows yet
        return [None if size == -1 else size for size in wanted]
    total = math.prod(size for size in current if size is not None)
    known = math.prod(size for size in wanted if size is not None and size != -1)
    if known == 0 or total % known:
        raise GraphError(f"{tuple(current)} does not fit the shape {tuple(shape)}")
    return [total // known if size == -1 else size for size in wanted]
