"""What an operator is: one entry, with all that the engine has to know about it.

Shapes have no batch axis: ``(C, H, W)`` for a map, ``(F,)`` for a vector; ``None`` stands for a
height or width that is known only when a picture arrives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ...errors import GraphError
from ..layer import Layer
from .attributes import Attribute

if TYPE_CHECKING:
    from typing import Protocol
else:
    Protocol = object  # making one takes longer than all else that this module does

Shape = tuple[int | None, ...]
Shapes = Sequence[Shape]
Attributes = Mapping[str, Any]
Array = npt.NDArray[np.float64]
Arrays = Mapping[str, Array]
Packed = dict[str, npt.NDArray[Any]]  # float32, quantized weights int8
Field = int | float | str | Sequence[int]

#: Most elements of one tensor of one image (1 GiB of float32).
MAX_ELEMENTS = 1 << 28


class Lowering(Protocol):
    """The plan, as far as a lowering needs it: it appends steps (``MM_OP_*`` of ``csrc``)."""

    def shape(self, name: str) -> tuple[int, ...]:
        """(C, H, W) or (F,) of an input or layer."""

    def map_shape(self, name: str) -> tuple[int, int, int]:
        """(C, H, W) of an input or layer; a vector of F features is (1, 1, F)."""

    def channels(self, name: str) -> int:
        """C of an input or layer; of a vector its features."""

    def temporary(self, layer: Layer, shape: tuple[int, ...]) -> str:
        """The name of a new tensor between two steps of a layer."""

    def emit(self, op: str, layer: Layer, *inputs: str, **fields: Field) -> None:
        """The step that makes a layer's output, with its packed arrays and its epilogue.

        ``inputs`` are its one or two inputs, by default the layer's first.
        """

    def emit_into(self, output: str, op: str, layer: Layer, *inputs: str, **fields: Field) -> None:
        """A step before it that writes a temporary tensor, without the epilogue."""

    def copy(self, layer: Layer, source: str, at: int) -> None:
        """Copy an input into channels (features) ``at`` on of the output, if it is not there."""

    def zero(self, layer: Layer, at: int, count: int) -> None:
        """Clear channels [at, at + count) of the output."""

    def constant(self, values: npt.ArrayLike) -> int:
        """Offset of new float32 constants."""

    def table(self, values: npt.ArrayLike) -> int:
        """Offset of new int32 indices."""

    def plane_width(self, name: str) -> int:
        """Width of a line of a map that lies plane by plane; 0: it does not."""

    def in_column_phases(self, name: str) -> bool:
        """Whether even and odd columns of an input lie in channels of their own."""


class Activation(NamedTuple):
    """What makes an operator an element-wise function that other steps apply as they store.

    Attributes:
        kernel: attributes to its name in ``csrc`` (``MM_ACTIVATIONS``).
        slope: attribute that the kernel gets as its parameter; "" if it takes none.
        slopes: array with a parameter for each channel; "" if there is none.
        never_falls: attributes and arrays to whether the largest argument has the largest value.
        is_valley: whether it falls to one minimum and rises after it.
        error: attributes to the largest absolute error of the kernel, where 8 ulp are not more.
    """

    kernel: Callable[[Attributes], str]
    slope: str
    slopes: str
    never_falls: Callable[[Attributes, Mapping[str, npt.NDArray[Any]]], bool]
    is_valley: bool
    error: Callable[[Attributes], float]


class Operator(NamedTuple):
    """One operator: schema, definition, and how it runs.

    Attributes:
        summary: one line for people, with the formula.
        infer: input shapes and attributes to the output shape; raises ``GraphError``.
        reference: the definition: inputs (N, C, H, W) or (N, F), attributes and arrays to the
            output, all in float64.
        lower: appends the steps of a layer to a plan.
        arity: least and most number of inputs.
        attributes: by name.
        parameters: input shapes and attributes to the shapes of its float32 arrays.
        pack: a layer and its number of output channels (features) to its arrays as the kernels
            want them, by their field of ``mm_step``.
        multiply_adds: input shapes, attributes and output shape to what one image takes.
        takes_epilogue: whether its step can apply an activation and a batch norm as it stores.
        folds_batch_norm: whether its ``weight`` and ``bias`` can take in a batch norm behind it.
        takes_column_phases: whether a layer can read an input whose even and odd columns are
            channels of their own.
        first_part: attributes to the channel from which on its inputs lie in its output one behind
            the other; None if they don't.
        affine: a layer to the (scale, shift) per channel that is all it does; None if it is not.
        activation: None if it is none.
    """

    summary: str
    infer: Callable[[Shapes, Attributes], Shape]
    reference: Callable[[Sequence[Array], Attributes, Arrays], Array]
    lower: Callable[[Lowering, Layer], None]
    arity: tuple[int, int] = (1, 1)
    attributes: Mapping[str, Attribute] = {}
    parameters: Callable[[Shapes, Attributes], dict[str, tuple[int, ...]]] = lambda shapes, a: {}
    pack: Callable[[Layer, int], Packed] = lambda layer, channels: {}
    multiply_adds: Callable[[Shapes, Attributes, Shape], int] = lambda shapes, a, output: 0
    takes_epilogue: bool = False
    folds_batch_norm: bool = False
    takes_column_phases: Callable[[Layer], bool] = lambda layer: False
    first_part: Callable[[Attributes], int] | None = None
    affine: Callable[[Layer], tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]] | None = None
    activation: Activation | None = None

    def read_attributes(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Checked attributes with defaults filled in; raises ``GraphError``."""
        unknown = sorted(set(given) - set(self.attributes))
        if unknown:
            known = ", ".join(self.attributes) or "none"
            raise GraphError(f"unknown attribute {unknown[0]!r} (known: {known})")
        values = {}
        for name, attribute in self.attributes.items():
            value = given.get(name, attribute.default)
            if value is ...:
                raise GraphError(f"attribute {name!r} is missing")
            try:
                values[name] = attribute.read(value)
            except GraphError as error:
                raise GraphError(f"attribute {name!r} {error}") from None
        return values


# --- what several families share ---------------------------------------------------------


def map_of(shape: Shape) -> tuple[int, int | None, int | None]:
    """A shape that must be a map."""
    if len(shape) != 3:
        raise GraphError(f"needs a map (C, H, W), not {shape}")
    channels, height, width = shape
    assert channels is not None
    return channels, height, width


#: Of what cannot be planned before the size of pictures is known.
OPEN_SIZE = "needs a picture of fixed size: give the input's height and width"


def known_channels(shape: Shape) -> int:
    """Channels (features); those of a flattened picture may be unknown."""
    if shape[0] is None:
        raise GraphError(OPEN_SIZE)
    return shape[0]


def same_shape(shapes: Shapes, a: Attributes) -> Shape:
    """``infer`` of what keeps the shape of its first input."""
    return shapes[0]


def per_channel(array: Array, x: Array) -> Array:
    """(C,) so that it meets the channels of (N, C, H, W) or the features of (N, F)."""
    return array.reshape(1, -1, *(1,) * (x.ndim - 2))


def lower_copy(plan: Lowering, layer: Layer) -> None:
    """What an epilogue does alone."""
    plan.emit("COPY", layer)


def lower_as(op: str) -> Callable[[Lowering, Layer], None]:
    """The lowering to one step without fields of its own."""
    return lambda plan, layer: plan.emit(op, layer)


def window_fields(a: Attributes) -> dict[str, Field]:
    """Fields of ``mm_step`` for a window that moves over its input."""
    kernel, stride = a["kernel_size"], a["stride"] or a["kernel_size"]
    dilation = a.get("dilation") or (1, 1)
    return {
        "kernel_h": kernel[0], "kernel_w": kernel[1],
        "stride_h": stride[0], "stride_w": stride[1],
        "dilation_h": dilation[0], "dilation_w": dilation[1],
        "pad_top": a["padding"][0], "pad_left": a["padding"][1],
    }  # fmt: skip
