"""Plans: layers and the size of a picture become the steps of one C program.

A plan says which tensor lies where in the arena and which step reads and writes it.  Parts of a
concatenation are written where they belong, so that most concatenations are no step at all.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from ..errors import InputError
from .bindings import LANES, SLACK
from .layer import Layer
from .memory import MAX_DIM, Buffer, place, place_apart, round_lanes
from .operators import OPERATORS, kernel_of
from .operators.operator import Field
from .pack import Parameters
from .planes import line_channels
from .stages import make_stages
from .steps import Step, Tensor
from .structs import Structs

#: What a plan can do without, to test it: see ``Plan``.
CHOICES = (
    "concat_in_place", "double_in_sum", "scale_input", "split_input", "row_bands", "planes",
)  # fmt: skip
#: Up to so many floats, 2 MiB, tensors do not take turns in memory where several threads work on an
#: image: else each core would write where another one's cache still has what that wrote.
_MAX_APART = 1 << 19
#: Largest arena: 4 GiB of float32.
MAX_ARENA = 1 << 30


class Plan:
    """A program for pictures of one size.

    Attributes:
        tensors, steps: of the program, in order.
        constants, tables: what the steps need beside the parameters.
        stages: which steps run together, band by band.
        arena_floats: memory of one image; ``unshared_floats`` without taking turns or rings.
        ring_floats: rings of one thread.
        scratch_floats, max_list: memory of one thread.
        structs: tensors and steps for the engine.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        parameters: Parameters,
        inputs: Mapping[str, tuple[tuple[int, ...], bool]],
        shapes: Mapping[str, tuple[int, ...]],
        outputs: Sequence[str],
        without: Collection[str] = (),
        threads: int = 1,
    ) -> None:
        """
        Args:
            layers: rewritten layers, in order.
            parameters: their packed arrays.
            inputs: shape of each graph input, and whether it comes as uint8.
            shapes: shape of each layer's output.
            outputs: layers (or inputs) whose values the caller gets, in that order.
            without: ``concat_in_place`` copies the parts of every concatenation instead,
                ``double_in_sum`` makes a tensor of every picture that is scaled up,
                ``scale_input`` makes a step of a batch norm of a picture, ``split_input``
                reads pictures as they are, ``row_bands`` runs step by step,
                ``planes`` leaves all maps line by line.
            threads: how many may work on an image.
        """
        self.tensors: list[Tensor] = []
        self.steps: list[Step] = []
        self.constants: list[npt.NDArray[np.float32]] = []
        self.tables: list[npt.NDArray[np.int32]] = []
        self.scratch_floats = LANES
        self.max_list = 1
        self._constant_count = self._table_count = 0
        self._parameters = parameters
        self._buffers: list[Buffer] = []
        self._index: dict[str, int] = {}
        self._outputs = list(outputs)
        self._in_phases: set[str] = set()  # inputs whose even and odd columns are channels

        every_shape = {**shapes, **{name: shape for name, (shape, _) in inputs.items()}}
        homes = {} if "concat_in_place" in without else _homes(layers, every_shape)
        if "double_in_sum" not in without:
            layers = _double_in_sums(layers, every_shape, outputs)
        by_line = {*homes, *outputs}
        planes = {} if "planes" in without else line_channels(layers, every_shape, by_line)
        scaled = {} if "scale_input" in without else _scalings(inputs, layers, outputs)
        read = {layer.name for layer in scaled.values()}
        layers = [layer for layer in layers if layer.name not in read]
        self._add_inputs(inputs, scaled, layers, "split_input" not in without)
        for layer in reversed(layers):  # a whole before its parts
            if layer.name in homes:
                whole, channel = homes[layer.name]
                parent = self.tensors[self._index[whole]]
                self._tensor(
                    layer.name, shapes[layer.name], parent.buffer, parent.channel + channel
                )
            else:
                in_line = planes.get(layer.name, 0)
                self._tensor(layer.name, shapes[layer.name], in_line=in_line)
        self._lower(layers)
        self._check_sizes()
        self._lay_out("row_bands" not in without, threads > 1)

    def _lower(self, layers: Sequence[Layer]) -> None:
        """The steps of all layers."""
        for layer in layers:
            OPERATORS[layer.op].lower(self, layer)
            self._emit_output(layer.name)

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a layer's output in this plan."""
        return self.tensors[self._index[name]].shape

    def _add_inputs(
        self,
        inputs: Mapping[str, tuple[tuple[int, ...], bool]],
        scaled: Mapping[str, Layer],
        layers: Sequence[Layer],
        in_phases: bool,
    ) -> None:
        """``scaled``: batch norms that are done while inputs are read, by the name of the input."""
        for array, (name, (shape, as_bytes)) in enumerate(inputs.items()):
            op = "INPUT_U8" if as_bytes else "INPUT_F32"
            fields = {"array": array}
            layer = scaled.get(name)
            if layer is not None:
                name = layer.name
                fields.update(self._parameters.offsets(layer))
            if in_phases and _can_read_phases(name, shape, layers, self._outputs):
                shape = (2 * shape[0], shape[1], shape[2] // 2)
                fields["column_phases"] = 1
                self._in_phases.add(name)
            self.steps.append(Step(op, self._tensor(name, shape), fields=fields, layer=layer))
            self._emit_output(name)

    def _check_sizes(self) -> None:
        """``InputError`` where an axis is longer than the engine counts: of a flattened picture,
        say, or of what a layer makes between its steps."""
        sizes = [(max(tensor.laid_out), tensor.name) for tensor in self.tensors]
        for step in self.steps:
            window = (step.fields.get(name, 1) for name in ("kernel_h", "kernel_w"))
            sizes.append((max(window), step.layer.name if step.layer else step.op))
        size, name = max(sizes, default=(0, ""))
        if size > MAX_DIM:
            raise InputError(
                f"{name!r} would be {size} long on one axis, more than {MAX_DIM}: use a smaller "
                "picture"
            )

    def _lay_out(self, banded: bool, apart: bool) -> None:
        """Measure the steps, divide them into stages and give every tensor its place: one of its
        own, if ``apart`` and they are small."""
        for number, step in enumerate(self.steps):
            for index in step.operands:
                self.tensors[index].buffer.used_at(number)
        self.structs = Structs(self.tensors, self.steps)
        self._make_room()
        self.unshared_floats = sum(b.floats for b in self._buffers)
        self.stages = make_stages(self.steps, self.tensors, self.structs, banded)
        rings = [b for b in self._buffers if b.ring >= 0]
        lasting = [b for b in self._buffers if b.ring < 0]
        apart = apart and sum(b.floats for b in lasting) <= _MAX_APART
        placed = place_apart(lasting) if apart else place(lasting)
        self.arena_floats = max(placed + SLACK, self._loads_end(lasting))
        self.ring_floats = max(place(rings) + SLACK, self._loads_end(rings))
        self.structs.place()
        if self.arena_floats > MAX_ARENA:
            raise InputError(
                f"a picture of this size needs {self.arena_floats * 4 / 2**30:.1f} GiB of "
                f"activations, more than {MAX_ARENA * 4 / 2**30:.0f} GiB: use a smaller one"
            )

    # --- tensors -------------------------------------------------------------------------

    def _tensor(
        self,
        name: str,
        shape: tuple[int, ...],
        buffer: Buffer | None = None,
        channel: int = 0,
        in_line: int = 0,
    ) -> int:
        tensor = Tensor(name, buffer or Buffer(1, 1, 1), channel, shape, in_line)
        if buffer is None:
            channels, height, width = tensor.laid_out
            tensor.buffer = Buffer(channels, height, width)
            self._buffers.append(tensor.buffer)
        self.tensors.append(tensor)
        self._index.setdefault(name, len(self.tensors) - 1)
        return len(self.tensors) - 1

    def _slice(self, index: int, channel: int, channels: int) -> int:
        whole = self.tensors[index]
        _, height, width = whole.map_shape
        return self._tensor(
            f"{whole.name}[{channel}:{channel + channels}]",
            (channels, height, width),
            whole.buffer,
            whole.channel + channel,
        )

    # --- steps ---------------------------------------------------------------------------

    def _emit_output(self, name: str) -> None:
        if name in self._outputs:
            array = self._outputs.index(name)
            self.steps.append(Step("OUTPUT", input=self._index[name], fields={"array": array}))

    # --- what lowerings need (``operators.operator.Lowering``) --------------------------------

    def map_shape(self, name: str) -> tuple[int, int, int]:
        return self.tensors[self._index[name]].map_shape

    def channels(self, name: str) -> int:
        return self.shape(name)[0]

    def temporary(self, layer: Layer, shape: tuple[int, ...]) -> str:
        name = f"{layer.name}@{len(self.tensors)}"
        self._tensor(name, shape)
        return name

    def emit(self, op: str, layer: Layer, *inputs: str, **fields: Field) -> None:
        self._emit(self._index[layer.name], op, layer, inputs, fields)
        fields = self.steps[-1].fields
        if layer.activation is not None:
            fields["activation"], fields["slope"] = kernel_of(layer.activation)
        if layer.pre_activation is not None:
            fields["pre_activation"] = kernel_of(layer.pre_activation)[0]

    def emit_into(self, output: str, op: str, layer: Layer, *inputs: str, **fields: Field) -> None:
        self._emit(self._index[output], op, layer, inputs, fields)
        for name in ("slopes", "scale", "shift"):
            self.steps[-1].fields.pop(name, None)

    def _emit(
        self, output: int, op: str, layer: Layer, inputs: Sequence[str], fields: dict[str, Field]
    ) -> None:
        first, second = (*(self._index[name] for name in inputs or layer.inputs[:1]), -1)[:2]
        fields = {**fields, **self._parameters.offsets(layer)}
        self.steps.append(Step(op, output, first, second, fields, layer))

    def copy(self, layer: Layer, source: str, at: int) -> None:
        whole, part = (self.tensors[self._index[name]] for name in (layer.name, source))
        if part.buffer is not whole.buffer or part.channel != whole.channel + at:
            output, given = self._index[layer.name], self._index[source]
            self.steps.append(Step("COPY", output, given, fields={"at": at}, layer=layer))

    def zero(self, layer: Layer, at: int, count: int) -> None:
        output = self._slice(self._index[layer.name], at, count)
        self.steps.append(Step("ZERO", output, layer=layer))

    def constant(self, values: npt.ArrayLike) -> int:
        array = np.asarray(values, np.float32)
        array = np.pad(array, (0, round_lanes(array.size) - array.size))
        self.constants.append(array)
        self._constant_count += array.size
        return self._constant_count - array.size

    def table(self, values: npt.ArrayLike) -> int:
        array = np.asarray(values, np.int32).ravel()
        self.tables.append(array)
        self._table_count += array.size
        return self._table_count - array.size

    def plane_width(self, name: str) -> int:
        tensor = self.tensors[self._index[name]]
        return tensor.map_shape[2] if tensor.line_channels else 0

    def in_column_phases(self, name: str) -> bool:
        return name in self._in_phases

    # --- how much memory steps need ----------------------------------------------------------

    def _make_room(self) -> None:
        """For the lists and the scratch of all steps, the row of zeros that they read in place of
        lines outside the picture, and the zeros that they want around the rows of their inputs."""
        zeros = 0
        for step, needs in zip(self.steps, self.structs.needs, strict=True):
            self.scratch_floats = max(self.scratch_floats, needs.scratch_floats)
            self.max_list = max(self.max_list, needs.max_list)
            zeros = max(zeros, needs.zeros)
            if needs.loads or needs.before:
                buffer = self.tensors[step.input].buffer
                padding = round_lanes(max(needs.before, needs.behind))
                buffer.row_padding = max(buffer.row_padding, padding)
        row = self.constant(np.zeros(zeros)) if zeros else -1
        for struct, needs in zip(self.structs.steps, self.structs.needs, strict=True):
            if needs.zeros:
                struct.first_constant = row

    def _loads_end(self, buffers: Sequence[Buffer]) -> int:
        """Where the last vector load of any step from these buffers ends."""
        end, own = 0, {id(buffer) for buffer in buffers}
        for step, needs in zip(self.steps, self.structs.needs, strict=True):
            if needs.loads and id(self.tensors[step.input].buffer) in own:
                source = self.tensors[step.input]
                row = source.buffer.offset(source.channel + source.laid_out[0] - 1)
                row += (source.buffer.lines - 1) * source.buffer.line_stride
                end = max(end, row + needs.loads)
        return end


def _homes(
    layers: Sequence[Layer], shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, tuple[str, int]]:
    """For each part of a concatenation that can be written in place: the whole, and where."""
    produced = {layer.name for layer in layers}
    homes: dict[str, tuple[str, int]] = {}
    for layer in layers:
        first_part = OPERATORS[layer.op].first_part
        if first_part is None or len(shapes[layer.name]) != 3:
            continue
        at = first_part(layer.attributes)
        for name in layer.inputs:
            if name in produced and name not in homes and layer.inputs.count(name) == 1:
                homes[name] = layer.name, at
            at += shapes[name][0]
    return homes


def _scalings(
    inputs: Collection[str], layers: Sequence[Layer], outputs: Collection[str]
) -> dict[str, Layer]:
    """The batch norm of each input that alone reads it, and nothing else done by it."""
    found = {}
    for name in inputs:
        readers = [layer for layer in layers if name in layer.inputs]
        if len(readers) != 1 or name in outputs or readers[0].activation is not None:
            continue
        if OPERATORS[readers[0].op].affine and readers[0].affine is not None:
            found[name] = readers[0]
    return found


def _can_read_phases(
    name: str, shape: tuple[int, ...], layers: Sequence[Layer], outputs: Collection[str]
) -> bool:
    """Whether all that read an input can read its even and odd columns as channels of their own:
    convolutions that read every second column then load whole vectors."""
    readers = [layer for layer in layers if name in layer.inputs]
    return (
        name not in outputs
        and bool(readers)
        and shape[-1] % 2 == 0
        and all(OPERATORS[layer.op].takes_column_phases(layer) for layer in readers)
    )


def _double_in_sums(
    layers: Sequence[Layer], shapes: Mapping[str, tuple[int, ...]], outputs: Collection[str]
) -> list[Layer]:
    """Without the layers that double height and width, each pixel twice, for one sum that alone
    reads them: it doubles on the way."""
    readers = [name for layer in layers for name in layer.inputs]
    by_name = {layer.name: layer for layer in layers}
    gone: set[str] = set()
    result = []
    for layer in layers:
        for name, other in (layer.inputs, layer.inputs[::-1]) if layer.op == "add" else ():
            resize = by_name.get(name)
            if resize is None or resize.op != "resize" or resize.attributes["mode"] != "nearest":
                continue
            source = resize.inputs[0]
            channels, height, width = shapes[source]
            if shapes[name] != (channels, 2 * height, 2 * width) or shapes[other] != shapes[name]:
                continue
            if resize.attributes["scale"] not in (None, (2.0, 2.0)):
                continue  # 2.1 may give that size, too, but other pixels
            if resize.activation or resize.affine or name in outputs or readers.count(name) > 1:
                continue
            covers = (*resize.covers, *layer.covers)
            layer = layer._replace(inputs=(other, source), covers=covers)
            gone.add(name)
            break
        result.append(layer)
    return [layer for layer in result if layer.name not in gone]
