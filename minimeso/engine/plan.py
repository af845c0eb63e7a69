"""Plans: layers and the size of a picture become the steps of one C program.

A plan says which tensor lies where in the arena and which step reads and writes it.  Parts of a
concatenation are written where they belong, so that most concatenations are no step at all.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from ..errors import InputError
from .bindings import ACTIVATION_NUMBERS, BLOCK, LANES, SLACK
from .memory import Buffer, place, round_lanes
from .pack import Parameters
from .rewrites import Layer
from .stages import make_stages
from .steps import Step, Tensor
from .winograd import POINTS
from .winograd import columns as winograd_columns

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
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        parameters: Parameters,
        inputs: Mapping[str, tuple[tuple[int, ...], bool]],
        shapes: Mapping[str, tuple[int, ...]],
        outputs: Sequence[str],
        without: Collection[str] = (),
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
                ``split_input`` reads pictures as they are.
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
        for array, (name, (shape, as_bytes)) in enumerate(inputs.items()):
            op = "INPUT_U8" if as_bytes else "INPUT_F32"
            fields: dict[str, int | float] = {"array": array}
            if "split_input" not in without and _can_read_phases(name, shape, layers, outputs):
                shape = (2 * shape[0], shape[1], shape[2] // 2)
                fields["column_phases"] = 1
                self._in_phases.add(name)
            self._emit(Step(op, self._tensor(name, shape), fields=fields))
            self._emit_output(name)
        for layer in reversed(layers):  # a whole before its parts
            if layer.name in homes:
                whole, channel = homes[layer.name]
                parent = self.tensors[self._index[whole]]
                self._tensor(
                    layer.name, shapes[layer.name], parent.buffer, parent.channel + channel
                )
            else:
                self._tensor(layer.name, shapes[layer.name])
        for layer in layers:
            self._lower(layer, shapes[layer.name])
            self._emit_output(layer.name)
        for number, step in enumerate(self.steps):
            for index in (step.input, step.second, step.output):
                if index >= 0:
                    self.tensors[index].buffer.used_at(number)
        self._zero_row()
        self.unshared_floats = sum(b.floats for b in self._buffers)
        self.stages = make_stages(self.steps, self.tensors, "row_bands" not in without)
        rings = [b for b in self._buffers if b.ring >= 0]
        lasting = [b for b in self._buffers if b.ring < 0]
        self.arena_floats = max(place(lasting) + SLACK, self._vector_reach(lasting))
        self.ring_floats = max(place(rings) + SLACK, self._vector_reach(rings))
        if self.arena_floats > MAX_ARENA:
            raise InputError(
                f"a picture of this size needs {self.arena_floats * 4 / 2**30:.1f} GiB of "
                f"activations, more than {MAX_ARENA * 4 / 2**30:.0f} GiB: use a smaller one"
            )

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a layer's output in this plan."""
        return self.tensors[self._index[name]].shape

    # --- tensors -------------------------------------------------------------------------

    def _tensor(
        self, name: str, shape: tuple[int, ...], buffer: Buffer | None = None, channel: int = 0
    ) -> int:
        tensor = Tensor(name, buffer or Buffer(1, 1, 1), channel, shape)
        if buffer is None:
            channels, height, width = tensor.map_shape
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

    def _emit(self, step: Step) -> None:
        self.steps.append(step)

    def _emit_output(self, name: str) -> None:
        if name in self._outputs:
            array = self._outputs.index(name)
            self._emit(Step("OUTPUT", input=self._index[name], fields={"array": array}))

    def _constant(self, values: npt.ArrayLike) -> int:
        array = np.asarray(values, np.float32)
        array = np.pad(array, (0, round_lanes(array.size) - array.size))
        self.constants.append(array)
        self._constant_count += array.size
        return self._constant_count - array.size

    def _table(self, values: npt.ArrayLike) -> int:
        array = np.asarray(values, np.int32).ravel()
        self.tables.append(array)
        self._table_count += array.size
        return self._table_count - array.size

    def _lower(self, layer: Layer, shape: tuple[int, ...]) -> None:
        output = self._index[layer.name]
        sources = [self._index[name] for name in layer.inputs]
        if layer.op == "concat":
            self._lower_concat(layer, sources, output)
            return
        if layer.op == "pad_channels":
            self._lower_pad_channels(layer, sources[0], output)
            return
        step = Step(_STEP_NAMES.get(layer.op, "COPY"), output, sources[0], layer=layer)
        step.fields.update(self._epilogue(layer))
        if layer.op == "conv2d":
            self._lower_conv(layer, step)
        elif layer.op == "linear":
            step.fields["weight"] = self._parameters.offset(layer, "weight")
            step.fields["bias"] = self._parameters.offset(layer, "bias")
        elif layer.op in ("max_pool2d", "avg_pool2d"):
            self._lower_pool(layer, step)
        elif layer.op in ("add", "mul"):
            first, second = sources
            if self.tensors[first].shape != shape:  # the other is a factor, or doubled on the way
                first, second = second, first
            step.input, step.second = first, second
        elif layer.op == "resize":
            self._lower_resize(layer, step)
        elif layer.op == "softmax":
            channels, _, width = self.tensors[output].map_shape
            self.max_list = max(self.max_list, channels)
            self.scratch_floats = max(self.scratch_floats, round_lanes(width))
        self._emit(step)

    def _epilogue(self, layer: Layer) -> dict[str, int | float]:
        if layer.activation is None and layer.affine is None:
            return {}
        fields: dict[str, int | float] = {
            "scale": self._parameters.offset(layer, "scale"),
            "shift": self._parameters.offset(layer, "shift"),
        }
        if layer.activation:
            op, attributes = layer.activation
            fields["activation"] = _ACTIVATION_NUMBERS[op]
            fields["slope"] = attributes.get("negative_slope", 0.0)
            fields["slopes"] = self._parameters.offset(layer, "slopes")
        return fields

    def _window(self, layer: Layer) -> dict[str, int | float]:
        a = layer.attributes
        kernel, stride = a["kernel_size"], a["stride"] or a["kernel_size"]
        dilation = a.get("dilation") or (1, 1)
        self.max_list = max(self.max_list, kernel[0])
        return {
            "kernel_h": kernel[0], "kernel_w": kernel[1],
            "stride_h": stride[0], "stride_w": stride[1],
            "dilation_h": dilation[0], "dilation_w": dilation[1],
            "pad_top": a["padding"][0], "pad_left": a["padding"][1],
        }  # fmt: skip

    def _lower_conv(self, layer: Layer, step: Step) -> None:
        step.fields.update(self._window(layer))
        step.fields["groups"] = layer.attributes["groups"]
        if "depthwise" in layer.attributes:
            step.op = "DEPTHWISE"
            if layer.attributes["depthwise"] == 2:  # the window of the pool over that of the kernel
                step.fields.update(kernel_h=4, kernel_w=4, stride_h=2, stride_w=2)
        step.fields["weight"] = self._parameters.offset(layer, "weight")
        step.fields["bias"] = self._parameters.offset(layer, "bias")
        source = self.tensors[step.input]
        lines, columns = layer.attributes["kernel_size"]
        taps = (lines + 1) * columns * source.map_shape[0] // layer.attributes["groups"]
        self.max_list = max(self.max_list, taps)
        left = int(step.fields["pad_left"])
        in_phases = layer.inputs[0] in self._in_phases
        step.fields["column_phases"] = int(in_phases)
        right = self._reach(step) - left - source.map_shape[2] * (2 if in_phases else 1)
        source.buffer.row_padding = max(source.buffer.row_padding, round_lanes(max(left, right)))
        if layer.attributes.get("winograd"):
            step.op = "WINOGRAD"
            self.max_list = max(self.max_list, POINTS)

    def _reach(self, step: Step) -> int:
        """Elements of an input row that an output row needs, left padding included."""
        width = self.tensors[step.output].map_shape[2]
        f = step.fields
        return int((width - 1) * f["stride_w"] + (f["kernel_w"] - 1) * f["dilation_w"] + 1)

    def _vector_reach(self, buffers: Sequence[Buffer]) -> int:
        """Where the last vector load of any convolution from these buffers ends."""
        end = 0
        for step in self.steps:
            source = self.tensors[step.input]
            reads = step.op in ("CONV", "WINOGRAD", "DEPTHWISE")
            if reads and any(source.buffer is b for b in buffers):
                row = source.buffer.offset(source.channel + source.map_shape[0] - 1)
                row += (source.buffer.lines - 1) * source.buffer.line_stride
                end = max(end, row + self._loads(step) - int(step.fields["pad_left"]))
        return end

    def _zero_row(self) -> None:
        """A row of zeros for lines outside the picture, and room for a Winograd tile in scratch."""
        row = 0
        for step in self.steps:
            f, width = step.fields, self.tensors[step.output].map_shape[2]
            if step.op == "WINOGRAD":
                channels = self.tensors[step.input].map_shape[0]
                columns = winograd_columns(channels, width)
                extra = -int(f["pad_left"]) % 8  # vectors of the input are read aligned
                needed = round_lanes(columns + extra + int((f["kernel_w"] - 1) * f["dilation_w"]))
                tile = POINTS * channels * needed + (POINTS * BLOCK + 1) * (columns + LANES)
                self.scratch_floats = max(self.scratch_floats, tile)
                row = max(row, needed)
            elif step.op == "DEPTHWISE":
                row = max(row, round_lanes(width) * int(f["stride_w"]) + 2)
        zeros = self._constant(np.zeros(row)) if row else -1
        for step in self.steps:
            if step.op in ("WINOGRAD", "DEPTHWISE"):
                step.fields["first_constant"] = zeros

    def _loads(self, step: Step) -> int:
        f = step.fields
        width = round_lanes(self.tensors[step.output].map_shape[2])
        return int(width * f["stride_w"] + (f["kernel_w"] - 1) * f["dilation_w"]) + SLACK

    def _lower_pool(self, layer: Layer, step: Step) -> None:
        step.fields.update(self._window(layer))
        step.fields["sign"] = self._parameters.offset(layer, "sign")
        source = self.tensors[step.input].map_shape
        folded = int(step.fields["pad_left"]) + round_lanes(source[2])
        scratch = round_lanes(max(folded, self._loads(step)))
        if "inner" in layer.attributes:
            step.fields["pre_activation"] = _ACTIVATION_NUMBERS[layer.attributes["inner"]]
        self.scratch_floats = max(self.scratch_floats, scratch)
        if layer.op == "avg_pool2d":
            a = layer.attributes
            height, width = self.tensors[step.output].map_shape[1:]
            top, left, bottom, right = a["padding"]
            override = a["divisor_override"]
            include = a["count_include_pad"]
            counts = [
                _pool_counts(out, size, kernel, stride, before, after, include)
                for out, size, kernel, stride, before, after in zip(
                    (height, width), source[1:], a["kernel_size"],
                    a["stride"] or a["kernel_size"], (top, left), (bottom, right), strict=True,
                )
            ]  # fmt: skip
            if override is not None:
                counts = [np.full(height, override), np.ones(width)]
            step.fields["first_constant"] = self._constant(1 / counts[0])
            step.fields["second_constant"] = self._constant(1 / counts[1])

    def _lower_resize(self, layer: Layer, step: Step) -> None:
        source = self.tensors[step.input].map_shape[1:]
        target = self.tensors[step.output].map_shape[1:]
        scales = layer.attributes["scale"] or (None, None)
        bilinear = layer.attributes["mode"] == "bilinear"
        step.op = "BILINEAR" if bilinear else "NEAREST"
        for axis, (size, out, scale) in zip(
            ("first", "second"), zip(source, target, scales, strict=True), strict=True
        ):
            ratio = np.float32(size / out if scale is None else 1 / scale)
            if bilinear:
                neighbours, weights = _bilinear_neighbours(size, out, ratio)
                step.fields[f"{axis}_table"] = self._table(neighbours)
                step.fields[f"{axis}_constant"] = self._constant(weights)
            else:
                nearest = np.floor(np.arange(out, dtype=np.float32) * ratio)
                step.fields[f"{axis}_table"] = self._table(np.minimum(nearest, size - 1))

    def _lower_concat(self, layer: Layer, sources: Sequence[int], output: int) -> None:
        whole, at = self.tensors[output], 0
        for source in sources:
            part = self.tensors[source]
            if part.buffer is not whole.buffer or part.channel != whole.channel + at:
                self._emit(Step("COPY", output, source, fields={"at": at}, layer=layer))
            at += part.shape[0]

    def _lower_pad_channels(self, layer: Layer, source: int, output: int) -> None:
        before, after = layer.attributes["before"], layer.attributes["after"]
        channels = self.tensors[source].shape[0]
        for start, count in ((0, before), (before + channels, after)):
            if count:
                self._emit(Step("ZERO", self._slice(output, start, count), layer=layer))
        if self.tensors[source].buffer is not self.tensors[output].buffer:
            self._emit(Step("COPY", output, source, fields={"at": before}, layer=layer))


_STEP_NAMES = {
    "conv2d": "CONV",
    "linear": "LINEAR",
    "max_pool2d": "MAX_POOL",
    "avg_pool2d": "AVG_POOL",
    "global_avg_pool2d": "GLOBAL_AVG_POOL",
    "add": "ADD",
    "mul": "MUL",
    "flatten": "FLATTEN",
    "softmax": "SOFTMAX",
    "resize": "NEAREST",
}
#: PReLU is Leaky ReLU with ``slopes``.
_ACTIVATION_NUMBERS = {**ACTIVATION_NUMBERS, "prelu": ACTIVATION_NUMBERS["leaky_relu"]}


def _homes(
    layers: Sequence[Layer], shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, tuple[str, int]]:
    """For each part of a concatenation that can be written in place: the whole, and where."""
    produced = {layer.name for layer in layers}
    homes: dict[str, tuple[str, int]] = {}
    for layer in layers:
        if layer.op not in ("concat", "pad_channels") or len(shapes[layer.name]) != 3:
            continue
        at = layer.attributes.get("before", 0)
        for name in layer.inputs:
            if name in produced and name not in homes and layer.inputs.count(name) == 1:
                homes[name] = layer.name, at
            at += shapes[name][0]
    return homes


def _can_read_phases(
    name: str, shape: tuple[int, ...], layers: Sequence[Layer], outputs: Collection[str]
) -> bool:
    """Whether all that read an input are convolutions that read every second column: then even and
    odd columns become channels of their own, and these convolutions load whole vectors."""
    readers = [layer for layer in layers if name in layer.inputs]
    return (
        name not in outputs
        and bool(readers)
        and shape[-1] % 2 == 0
        and all(
            layer.op == "conv2d"
            and layer.attributes["stride"][1] == 2
            and layer.attributes["groups"] == 1
            for layer in readers
        )
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
            layer = replace(layer, inputs=(other, source), covers=covers)
            gone.add(name)
            break
        result.append(layer)
    return [layer for layer in result if layer.name not in gone]


def _pool_counts(
    out: int, size: int, kernel: int, stride: int, before: int, after: int, include_pad: bool
) -> npt.NDArray[np.float64]:
    """Elements that each window along one axis counts (PyTorch ``AvgPool2d``)."""
    start = np.arange(out) * stride - before
    end = np.minimum(start + kernel, size + after)
    if not include_pad:
        start, end = np.maximum(start, 0), np.minimum(end, size)
    return np.asarray(np.maximum(end - start, 1), np.float64)


def _bilinear_neighbours(
    size: int, out: int, ratio: np.float32
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """Two neighbours and the weight of the second, half-pixel centres (``align_corners=False``).

    Coordinates are float32, as PyTorch's are for float32 pictures.
    """
    centre = ratio * (np.arange(out, dtype=np.float32) + np.float32(0.5)) - np.float32(0.5)
    centre = np.maximum(centre, np.float32(0))
    first = np.minimum(np.floor(centre).astype(np.int32), size - 1)
    second = np.minimum(first + 1, size - 1)
    return np.stack([first, second], axis=1), (centre - first).astype(np.float32)
