"""Writes a minimeso graph as a TensorFlow Lite file, for LiteRT in `tools.bench`.

The official converters pull in TensorFlow or JAX; the format is a flatbuffer whose schema comes
with LiteRT itself. Tensors are channels last there, (N, H, W, C). What TensorFlow Lite lacks is
composed as its own converters compose it: batch norm is a multiplication and an addition, Swish
x * logistic(x), softplus is made of exp and log, and arctan(u) is ATAN2(u, 1) with a tensor of
ones. A batch norm behind a convolution goes into its weights, as their converters do it. Only the
operations of our networks are known.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ai_edge_litert.schema_py_generated as schema
import flatbuffers
import numpy as np
from numpy.typing import NDArray

from minimeso.engine.graph import Graph, Node
from minimeso.engine.rewrites import bind, fold_batch_norm

Weights = Mapping[str, NDArray[np.float32]]
Shape = tuple[int, ...]

NONE, RELU, RELU6 = 0, 1, 3  # ActivationFunctionType
SAME, VALID = 0, 1  # Padding
FILE_VERSION = 3
LAST_SHORT_CODE = 127  # operators beyond are stored in a newer field only


def convert(graph: Graph, weights: Weights, batch: int) -> bytes:
    """The file, for a fixed number of images at once."""
    graph, weights = _folded(graph, weights)
    writer = _Writer(graph, weights, batch)
    for name, shape in graph.inputs.items():
        writer.places[name] = writer.tensor(_channels_last((batch, *_known(shape))))
    inputs = list(writer.places.values())
    for node in graph.nodes:
        writer.places[node.name] = writer.write(node)
    return writer.finish(inputs, [writer.places[name] for name in graph.outputs])


def _folded(graph: Graph, weights: Weights) -> tuple[Graph, Weights]:
    """Without the batch norms behind convolutions."""
    folded, arrays = Graph(graph.name), {}
    for name, shape in graph.inputs.items():
        folded.input(name, shape)
    for layer in fold_batch_norm(bind(graph, dict(weights)), graph.outputs):
        folded.node(layer.op, *layer.inputs, name=layer.name, **layer.attributes)
        arrays.update({f"{layer.name}.{name}": array for name, array in layer.arrays.items()})
    folded.output(*graph.outputs)
    return folded, arrays


def _known(shape: tuple[int | None, ...]) -> Shape:
    assert None not in shape, "TensorFlow Lite wants fixed sizes"
    return tuple(size or 0 for size in shape)


def _channels_last(shape: Shape) -> Shape:
    return (shape[0], *shape[2:], shape[1]) if len(shape) == 4 else shape


class _Writer:
    def __init__(self, graph: Graph, weights: Weights, batch: int) -> None:
        self.places: dict[str, int] = {}  # tensor of every input and node
        self._weights = weights
        self._shapes = {
            name: _channels_last((batch, *_known(shape))) for name, shape in graph.shapes().items()
        }
        self._before_flatten: dict[str, Shape] = {}
        self._nodes = {node.name: node for node in graph.nodes}
        self._tensors: list[Any] = []
        self._buffers: list[Any] = [schema.BufferT()]  # number 0 means "no data"
        self._operators: list[Any] = []
        self._codes: dict[int, int] = {}

    # --- parts of a file ---------------------------------------------------------------

    def tensor(self, shape: Shape, data: NDArray[Any] | None = None) -> int:
        """A new tensor, constant if it has data; returns its number."""
        buffer = 0
        if data is not None:
            buffer = len(self._buffers)
            octets = np.ascontiguousarray(data).reshape(-1).view(np.uint8)
            self._buffers.append(schema.BufferT(data=octets))
        integers = data is not None and bool(data.dtype == np.int32)
        kind = schema.TensorType.INT32 if integers else schema.TensorType.FLOAT32
        number = len(self._tensors)
        self._tensors.append(
            schema.TensorT(
                shape=list(shape), type=kind, buffer=buffer, name=f"t{number}", hasRank=True
            )
        )
        return number

    def constant(self, values: Any, dtype: type = np.float32) -> int:
        data: NDArray[Any] = np.asarray(values, dtype)
        return self.tensor(data.shape, data)

    def operator(self, name: str, inputs: list[int], shape: Shape, options: Any = None) -> int:
        """A new operator; returns the number of its output tensor."""
        code = getattr(schema.BuiltinOperator, name)
        index = self._codes.setdefault(code, len(self._codes))
        output = self.tensor(shape)
        kind = 0
        if options is not None:
            kind = getattr(schema.BuiltinOptions, type(options).__name__.removesuffix("T"))
        self._operators.append(
            schema.OperatorT(
                opcodeIndex=index,
                inputs=inputs,
                outputs=[output],
                builtinOptionsType=kind,
                builtinOptions=options,
            )
        )
        return output

    def finish(self, inputs: list[int], outputs: list[int]) -> bytes:
        codes = [
            schema.OperatorCodeT(
                deprecatedBuiltinCode=min(code, LAST_SHORT_CODE), builtinCode=code, version=1
            )
            for code in self._codes
        ]
        subgraph = schema.SubGraphT(
            tensors=self._tensors, inputs=inputs, outputs=outputs, operators=self._operators
        )
        model = schema.ModelT(
            version=FILE_VERSION,
            operatorCodes=codes,
            subgraphs=[subgraph],
            buffers=self._buffers,
        )
        builder = flatbuffers.Builder(1 << 20)
        builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
        return bytes(builder.Output())

    # --- our operations ----------------------------------------------------------------

    def write(self, node: Node) -> int:
        """The operators of one node; returns the number of its output tensor."""
        handler: Callable[[Node, int], int] | None = getattr(self, f"_{node.op}", None)
        if handler is None:
            raise ValueError(f"no way to say {node.op!r} in TensorFlow Lite")
        return handler(node, self.places[node.inputs[0]])

    def _get(self, node: Node, parameter: str) -> NDArray[np.float32]:
        return self._weights[f"{node.name}.{parameter}"]

    def _conv2d(self, node: Node, x: int) -> int:
        a = node.attributes
        dilation, stride = a["dilation"], a["stride"]
        kernel = self._get(node, "weight").transpose(0, 2, 3, 1)
        window = zip(kernel.shape[1:3], dilation, stride, strict=True)
        missing = [d * (k - 1) + 1 - s for k, d, s in window]  # of even sizes
        before = [m // 2 for m in missing]
        same = [*before, *(m - b for m, b in zip(missing, before, strict=True))]
        alone = a["groups"] > 1 and a["groups"] == len(kernel) and kernel.shape[3] == 1
        if not (a["groups"] == 1 or alone):
            raise ValueError(f"{node.name}: only dense or depthwise convolutions are known")
        padded = list(a["padding"]) != same
        if padded:
            x = self._padded(x, node.inputs[0], a["padding"])
        bias = self.constant(self._get(node, "bias"))
        numbers = {
            "padding": VALID if padded else SAME, "strideW": stride[1], "strideH": stride[0],
            "dilationHFactor": dilation[0], "dilationWFactor": dilation[1],
            "fusedActivationFunction": self._fused(node),
        }  # fmt: skip
        if alone:
            inputs = [x, self.constant(kernel.transpose(3, 1, 2, 0)), bias]
            depthwise = schema.DepthwiseConv2DOptionsT(depthMultiplier=1, **numbers)
            return self.operator("DEPTHWISE_CONV_2D", inputs, self._shapes[node.name], depthwise)
        options = schema.Conv2DOptionsT(**numbers)
        inputs = [x, self.constant(kernel), bias]
        return self.operator("CONV_2D", inputs, self._shapes[node.name], options)

    def _padded(self, x: int, name: str, padding: Sequence[int]) -> int:
        """With zeros around it, where SAME would put them elsewhere."""
        batch, height, width, channels = self._shapes[name]
        top, left, bottom, right = padding
        shape = (batch, top + height + bottom, left + width + right, channels)
        sides = [[0, 0], [top, bottom], [left, right], [0, 0]]
        inputs = [x, self.constant(sides, np.int32)]
        return self.operator("PAD", inputs, shape, schema.PadOptionsT())

    def _linear(self, node: Node, x: int) -> int:
        weight = self._get(node, "weight")
        flat = self._before_flatten.get(node.inputs[0])
        if flat is not None:  # rows run over (C, H, W) with us, over (H, W, C) there
            _, height, width, channels = flat
            weight = weight.reshape(-1, channels, height, width).transpose(0, 2, 3, 1)
            weight = weight.reshape(len(weight), -1)
        inputs = [x, self.constant(weight), self.constant(self._get(node, "bias"))]
        options = schema.FullyConnectedOptionsT(fusedActivationFunction=self._fused(node))
        return self.operator("FULLY_CONNECTED", inputs, self._shapes[node.name], options)

    def _fused(self, node: Node) -> int:
        """The ReLU behind a node that becomes part of it, as the converters do it."""
        users = [n for n in self._nodes.values() if node.name in n.inputs]
        return {"relu": RELU, "clamp": RELU6}.get(users[0].op, NONE) if len(users) == 1 else NONE

    def _relu(self, node: Node, x: int) -> int:
        if self._fused(self._nodes[node.inputs[0]]):
            return x
        return self.operator("RELU", [x], self._shapes[node.name])

    def _clamp(self, node: Node, x: int) -> int:
        if (node.attributes["min"], node.attributes["max"]) != (0, 6):
            raise ValueError(f"{node.name}: only ReLU6 is known")
        if self._fused(self._nodes[node.inputs[0]]):
            return x
        return self.operator("RELU6", [x], self._shapes[node.name])

    def _add(self, node: Node, x: int) -> int:
        inputs = [x, self.places[node.inputs[1]]]
        return self.operator("ADD", inputs, self._shapes[node.name], schema.AddOptionsT())

    def _global_avg_pool2d(self, node: Node, x: int) -> int:
        options = schema.ReducerOptionsT(keepDims=True)
        inputs = [x, self.constant([1, 2], np.int32)]
        return self.operator("MEAN", inputs, self._shapes[node.name], options)

    def _batch_norm(self, node: Node, x: int) -> int:
        mean, variance = self._get(node, "running_mean"), self._get(node, "running_var")
        scale = self._get(node, "weight") / np.sqrt(variance.astype(float) + node.attributes["eps"])
        shift = self._get(node, "bias") - scale * mean
        shape = self._shapes[node.name]
        x = self.operator("MUL", [x, self.constant(scale)], shape, schema.MulOptionsT())
        return self.operator("ADD", [x, self.constant(shift)], shape, schema.AddOptionsT())

    def _max_pool2d(self, node: Node, x: int) -> int:
        a = node.attributes
        height, width = a["kernel_size"]
        down, right = a["stride"] or a["kernel_size"]
        if any(a["padding"]):
            raise ValueError(f"{node.name}: only pools without padding are known")
        options = schema.Pool2DOptionsT(
            padding=VALID, strideW=right, strideH=down, filterWidth=width, filterHeight=height
        )
        return self.operator("MAX_POOL_2D", [x], self._shapes[node.name], options)

    def _concat(self, node: Node, _x: int) -> int:
        inputs = [self.places[name] for name in node.inputs]
        shape = self._shapes[node.name]
        options = schema.ConcatenationOptionsT(axis=len(shape) - 1)
        return self.operator("CONCATENATION", inputs, shape, options)

    def _resize(self, node: Node, x: int) -> int:
        shape = self._shapes[node.name]
        if node.attributes["mode"] != "nearest":
            raise ValueError(f"{node.name}: only the nearest pixel is known")
        inputs = [x, self.constant(shape[1:3], np.int32)]
        options = schema.ResizeNearestNeighborOptionsT()
        return self.operator("RESIZE_NEAREST_NEIGHBOR", inputs, shape, options)

    def _flatten(self, node: Node, x: int) -> int:
        flat = self._shapes[node.inputs[0]]
        self._before_flatten[node.name] = flat
        shape = self._shapes[node.name]
        if not any(n.op == "linear" for n in self._nodes.values() if node.name in n.inputs):
            order, turned = [0, 3, 1, 2], (flat[0], flat[3], *flat[1:3])
            inputs = [x, self.constant(order, np.int32)]
            x = self.operator("TRANSPOSE", inputs, turned, schema.TransposeOptionsT())
        options = schema.ReshapeOptionsT(newShape=list(shape))
        return self.operator("RESHAPE", [x, self.constant(shape, np.int32)], shape, options)

    def _sigmoid(self, node: Node, x: int) -> int:
        return self.operator("LOGISTIC", [x], self._shapes[node.name])

    def _leaky_relu(self, node: Node, x: int) -> int:
        options = schema.LeakyReluOptionsT(alpha=node.attributes["negative_slope"])
        return self.operator("LEAKY_RELU", [x], self._shapes[node.name], options)

    def _swish(self, node: Node, x: int) -> int:
        return self._times(x, self._sigmoid(node, x), self._shapes[node.name])

    def _mish(self, node: Node, x: int) -> int:
        shape = self._shapes[node.name]
        # the short form of softplus: where it overflows, the tangent is 1 anyway
        return self._times(x, self.operator("TANH", [self._log1p_exp(x, shape)], shape), shape)

    def _pish(self, node: Node, x: int) -> int:
        shape = self._shapes[node.name]
        inner = [self._softplus(x, shape), self._sigmoid(node, x)]
        u = self.operator("ADD", inner, shape, schema.AddOptionsT())
        # ATAN2 does not broadcast
        ones = self.operator("FILL", [self.constant(shape, np.int32), self.constant(1.0)], shape)
        return self._times(x, self.operator("ATAN2", [u, ones], shape), shape)

    def _softplus(self, x: int, shape: Shape) -> int:
        """max(x, 0) + log(1 + exp(-|x|)): the short form log(1 + exp(x)) overflows at 89."""
        away = self.operator("NEG", [self.operator("ABS", [x], shape)], shape)
        inner = [self.operator("RELU", [x], shape), self._log1p_exp(away, shape)]
        return self.operator("ADD", inner, shape, schema.AddOptionsT())

    def _log1p_exp(self, x: int, shape: Shape) -> int:
        e = self.operator("EXP", [x], shape)
        plus = self.operator("ADD", [e, self.constant([1.0])], shape, schema.AddOptionsT())
        return self.operator("LOG", [plus], shape)

    def _times(self, x: int, y: int, shape: Shape) -> int:
        return self.operator("MUL", [x, y], shape, schema.MulOptionsT())
