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
    if any(own is OPEN_BATCH or any(atom.is_batch for atom in own) for own in axes):
        raise GraphError("works along the batch: the engine sees each picture alone")


def flat(groups: Sequence[Atoms]) -> Atoms:
    """All atoms in order."""
    return tuple(atom for group in groups for atom in group)


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
        left = list(flat(self.axes))
        if self.axes and self.axes[0] is OPEN_BATCH and shape and shape[0] == 1:
            axes.append(OPEN_BATCH)
        for size in shape[len(axes) :]:
            taken: list[Atom] = []
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
            axes.append(tuple(taken))
        return None if left else Value(value.name, value.stored, tuple(axes))


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
