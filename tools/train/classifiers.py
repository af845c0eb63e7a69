"""Networks for MNIST and CIFAR-10 with any of the activations, and their graphs.

The first two are the other networks of Kawa & Syga (SECRYPT 2021), which describe both in a
sentence. What they leave out is taken from the published notebooks of Misra (the author of Mish,
github.com/digantamisra98/Mish), which run the same two experiments in much the same way:

- `mnist15` to `mnist25` (Fig. 3, `Layers_Acc.ipynb`): two 5x5 convolutions without padding to 20
  and 50 channels, max-pool, dropout, 15 to 25 times (dense of 500, batch norm, activation,
  dropout), dense of 10.
- `squeezenet` (Table 5, `cifar-10-squeezenet-mish.ipynb`): the fire modules of SqueezeNet 1.0
  (Iandola et al. 2016, arXiv 1602.07360) with its simple bypass around modules 3, 5 and 7, and a
  batch norm behind every convolution but the last. The stem of 7x7 with stride 2 and a pool of
  stride 2 would leave 7x7 of a picture of 32x32; here it is 3x3 with stride 1, and pools are 2x2,
  so that the maps have 16, 8 and 4 rows as those of ImageNet have 55, 27 and 13. No bypass goes
  around module 9, which has a pool before it.

The paper asks for Pish in other networks, too:

- `resnet20` (He et al. 2016, CVPR, section 4.2): three stages of three blocks with 16, 32 and 64
  channels; short cuts have no weights (option A: every second row and column, zeros as channels).
- `mobilenetv2_0.5` (Sandler et al. 2018, CVPR) with half the channels; as is usual for 32x32, the
  stem and the second stage have stride 1, so that the last maps have 4 rows. The activation stands
  wherever there ReLU6 does.

`forward` takes (N, *input_shape) float32 in [0, 1] and returns logits (N, 10); the softmax is left
to the caller, because losses want logits. Everything that computes is a module of its own: module
paths are the nodes of `graph_of`, `state_dict` keys are its arrays.
"""

from __future__ import annotations

import re

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from minimeso.engine.graph import Graph
from tools.activations import Pish
from tools.train.networks import LEAKY_SLOPE, activation_module

ACTIVATIONS = ("relu", "leaky_relu", "swish", "mish", "pish")
DEPTHS = range(15, 26)
PICTURES = ("squeezenet", "resnet20", "mobilenetv2_0.5")  # for CIFAR-10
ARCHITECTURES = (*PICTURES, *(f"mnist{depth}" for depth in DEPTHS))
CLASSES = 10
DROPOUT = 0.25
PROBABILITIES = "probabilities"  # the softmax, the last node of a graph


class Concat(nn.Module):
    """(N, A, H, W), (N, B, H, W) -> (N, A + B, H, W)."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return torch.cat((x, y), 1)


class Add(nn.Module):
    """The sum of two tensors of one shape."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return x + y


class Halve(nn.Module):
    """Every second row and column of a map."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :, ::2, ::2]


class PadChannels(nn.Module):
    """(N, C, H, W) -> (N, before + C + after, H, W), the new channels zero."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.before, self.after = before, after

    def forward(self, x: Tensor) -> Tensor:
        return functional.pad(x, (0, 0, 0, 0, self.before, self.after))


class Classifier(nn.Module):
    """(N, *input_shape) -> logits (N, 10), through its children in the order of their adding."""

    input_shape: tuple[int, int, int]

    def forward(self, x: Tensor) -> Tensor:
        for module in self.children():
            x = module(x)
        return x


class MnistNet(Classifier):
    """(N, 1, 28, 28) -> logits (N, 10); 6,053,080 parameters with 15 hidden layers."""

    input_shape = (1, 28, 28)

    def __init__(self, hidden: int, activation: str, eps: float = 1e-5) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 20, 5)
        self.activation1 = activation_module(activation)
        self.conv2 = nn.Conv2d(20, 50, 5)
        self.activation2 = activation_module(activation)
        self.pool = nn.MaxPool2d(2)
        self.dropout = nn.Dropout(DROPOUT)
        self.flatten = nn.Flatten()
        inputs = 50 * 10 * 10
        for number in range(1, hidden + 1):
            layer = nn.Sequential()
            layer.add_module("dense", nn.Linear(inputs, 500))
            layer.add_module("bn", nn.BatchNorm1d(500, eps=eps))
            layer.add_module("activation", activation_module(activation))
            layer.add_module("dropout", nn.Dropout(DROPOUT))
            self.add_module(f"hidden{number}", layer)
            inputs = 500
        self.output = nn.Linear(inputs, CLASSES)


class Fire(nn.Module):
    """(N, inputs, H, W) -> (N, 2 * outputs, H, W): 1x1 to few channels, then 1x1 and 3x3 beside
    each other; a bypass adds the input."""

    def __init__(
        self, inputs: int, squeeze: int, outputs: int, bypass: bool, activation: str, eps: float
    ) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(inputs, squeeze, 1)
        self.squeeze_bn = nn.BatchNorm2d(squeeze, eps=eps)
        self.squeeze_activation = activation_module(activation)
        self.expand1 = nn.Conv2d(squeeze, outputs, 1)
        self.expand1_bn = nn.BatchNorm2d(outputs, eps=eps)
        self.expand1_activation = activation_module(activation)
        self.expand3 = nn.Conv2d(squeeze, outputs, 3, padding=1)
        self.expand3_bn = nn.BatchNorm2d(outputs, eps=eps)
        self.expand3_activation = activation_module(activation)
        self.concat = Concat()
        self.bypass = Add() if bypass else None

    def forward(self, x: Tensor) -> Tensor:
        few = self.squeeze_activation(self.squeeze_bn(self.squeeze(x)))
        one = self.expand1_activation(self.expand1_bn(self.expand1(few)))
        three = self.expand3_activation(self.expand3_bn(self.expand3(few)))
        y: Tensor = self.concat(one, three)
        return y if self.bypass is None else self.bypass(y, x)


class SqueezeNet(Classifier):
    """(N, 3, 32, 32) -> logits (N, 10); 734,986 parameters."""

    input_shape = (3, 32, 32)

    def __init__(self, activation: str, eps: float = 1e-5) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 96, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(96, eps=eps)
        self.activation1 = activation_module(activation)
        self.pool1 = nn.MaxPool2d(2)
        self.fire2 = Fire(96, 16, 64, False, activation, eps)
        self.fire3 = Fire(128, 16, 64, True, activation, eps)
        self.fire4 = Fire(128, 32, 128, False, activation, eps)
        self.pool4 = nn.MaxPool2d(2)
        self.fire5 = Fire(256, 32, 128, True, activation, eps)
        self.fire6 = Fire(256, 48, 192, False, activation, eps)
        self.fire7 = Fire(384, 48, 192, True, activation, eps)
        self.fire8 = Fire(384, 64, 256, False, activation, eps)
        self.pool8 = nn.MaxPool2d(2)
        self.fire9 = Fire(512, 64, 256, False, activation, eps)
        self.conv10 = nn.Conv2d(512, CLASSES, 1)
        self.pool10 = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()


def _conv_norm(
    inputs: int, outputs: int, kernel: int, stride: int, groups: int, eps: float
) -> nn.Sequential:
    """Of the same size, or half of it."""
    layers = nn.Sequential()
    layers.add_module(
        "conv",
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
    )
    layers.add_module("bn", nn.BatchNorm2d(outputs, eps=eps))
    return layers


class Residual(nn.Module):
    """(N, inputs, H, W) -> (N, outputs, H / stride, W / stride): two 3x3 beside a short cut without
    weights."""

    def __init__(self, inputs: int, outputs: int, stride: int, activation: str, eps: float) -> None:
        super().__init__()
        self.first = _conv_norm(inputs, outputs, 3, stride, 1, eps)
        self.activation1 = activation_module(activation)
        self.second = _conv_norm(outputs, outputs, 3, 1, 1, eps)
        more = outputs - inputs
        self.short = nn.Sequential()
        if stride > 1:
            self.short.add_module("halve", Halve())
            self.short.add_module("pad", PadChannels(more // 2, more - more // 2))
        self.add = Add()
        self.activation2 = activation_module(activation)

    def forward(self, x: Tensor) -> Tensor:
        y = self.second(self.activation1(self.first(x)))
        for layer in self.short:
            x = layer(x)
        result: Tensor = self.activation2(self.add(y, x))
        return result


class ResNet20(Classifier):
    """(N, 3, 32, 32) -> logits (N, 10); 269,722 parameters."""

    input_shape = (3, 32, 32)

    def __init__(self, activation: str, eps: float = 1e-5) -> None:
        super().__init__()
        self.stem = _conv_norm(3, 16, 3, 1, 1, eps)
        self.activation = activation_module(activation)
        inputs = 16
        for stage, outputs in enumerate((16, 32, 64)):
            for block in range(3):
                stride = 2 if stage and not block else 1
                residual = Residual(inputs, outputs, stride, activation, eps)
                self.add_module(f"block{3 * stage + block + 1}", residual)
                inputs = outputs
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.output = nn.Linear(inputs, CLASSES)


class InvertedResidual(nn.Module):
    """(N, inputs, H, W) -> (N, outputs, H / stride, W / stride): 1x1 to `widening` times as many
    channels, 3x3 each by itself, 1x1 to few; the input is added where it fits."""

    def __init__(
        self, inputs: int, widening: int, outputs: int, stride: int, activation: str, eps: float
    ) -> None:
        super().__init__()
        wide = widening * inputs
        self.expand = self.activation1 = None
        if widening > 1:
            self.expand = _conv_norm(inputs, wide, 1, 1, 1, eps)
            self.activation1 = activation_module(activation)
        self.depthwise = _conv_norm(wide, wide, 3, stride, wide, eps)
        self.activation2 = activation_module(activation)
        self.project = _conv_norm(wide, outputs, 1, 1, 1, eps)
        self.add = Add() if stride == 1 and inputs == outputs else None

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x
        if self.expand is not None and self.activation1 is not None:
            y = self.activation1(self.expand(y))
        y = self.project(self.activation2(self.depthwise(y)))
        if self.add is not None:
            y = self.add(y, x)
        return y


#: (widening, channels, blocks, stride of the first): half of Sandler's channels, in eights.
_STAGES = (
    *((1, 8, 1, 1), (6, 16, 2, 1), (6, 16, 3, 2), (6, 32, 4, 2)),
    *((6, 48, 3, 1), (6, 80, 3, 2), (6, 160, 1, 1)),
)


class MobileNetV2(Classifier):
    """(N, 3, 32, 32) -> logits (N, 10); 700,490 parameters."""

    input_shape = (3, 32, 32)

    def __init__(self, activation: str, eps: float = 1e-5) -> None:
        super().__init__()
        inputs = 16
        self.stem = _conv_norm(3, inputs, 3, 1, 1, eps)
        self.activation = activation_module(activation)
        number = 0
        for widening, outputs, blocks, stride in _STAGES:
            for block in range(blocks):
                step = 1 if block else stride
                number += 1
                residual = InvertedResidual(inputs, widening, outputs, step, activation, eps)
                self.add_module(f"block{number}", residual)
                inputs = outputs
        self.head = _conv_norm(inputs, 1280, 1, 1, 1, eps)
        self.activation_of_head = activation_module(activation)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.output = nn.Linear(1280, CLASSES)


_PICTURES: dict[str, type[Classifier]] = dict(
    zip(PICTURES, (SqueezeNet, ResNet20, MobileNetV2), strict=True)
)


def build(architecture: str, activation: str, batch_norm_eps: float = 1e-5) -> Classifier:
    """A new network with PyTorch's default initialisation; raises ValueError on unknown names."""
    if activation not in ACTIVATIONS:
        raise ValueError(f"unknown activation {activation!r}; known: {', '.join(ACTIVATIONS)}")
    if architecture not in ARCHITECTURES:
        known = f"{', '.join(PICTURES)}, mnist{DEPTHS[0]} to mnist{DEPTHS[-1]}"
        raise ValueError(f"unknown architecture {architecture!r}; known: {known}")
    if architecture in PICTURES:
        return _PICTURES[architecture](activation, batch_norm_eps)
    depth = re.sub(r"\D", "", architecture)
    return MnistNet(int(depth), activation, batch_norm_eps)


class _Tracer(fx.Tracer):
    """Looks into whatever holds other modules, and into nothing else."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return next(m.children(), None) is None


def graph_of(network: Classifier, name: str) -> Graph:
    """The network as minimeso runs it, dropout left out and the softmax at its end.

    Raises:
        ValueError: the network holds a module that no graph has.
    """
    graph = Graph(name)
    nodes: dict[fx.Node, str] = {}
    for node in _Tracer().trace(network).nodes:
        if node.op == "placeholder":
            nodes[node] = graph.input("image", network.input_shape)
        elif node.op == "output":
            (logits,) = node.all_input_nodes
            graph.output(graph.node("softmax", nodes[logits], name=PROBABILITIES))
        elif node.op == "call_module":
            inputs = [nodes[source] for source in node.all_input_nodes]
            module = network.get_submodule(str(node.target))
            nodes[node] = _append(graph, module, inputs, str(node.target))
        else:
            raise ValueError(f"{node.op} {node.target} in {name} is no module")
    return graph


def _append(graph: Graph, module: nn.Module, inputs: list[str], name: str) -> str:
    """One module as a node; the name of what it computes."""
    match module:
        case nn.Dropout():
            return inputs[0]
        case nn.Conv2d():
            assert module.dilation == (1, 1)
            return graph.node(
                "conv2d",
                *inputs,
                name=name,
                out_channels=module.out_channels,
                kernel_size=module.kernel_size,
                stride=module.stride,
                padding=module.padding,
                groups=module.groups,
                bias=module.bias is not None,
            )
        case nn.Linear():
            return graph.node("linear", *inputs, name=name, out_features=module.out_features)
        case nn.BatchNorm1d() | nn.BatchNorm2d():
            return graph.node("batch_norm", *inputs, name=name, eps=module.eps)
        case nn.MaxPool2d():
            assert module.stride == module.kernel_size and not module.padding
            return graph.node("max_pool2d", *inputs, name=name, kernel_size=module.kernel_size)
        case Halve():
            return graph.node("max_pool2d", *inputs, name=name, kernel_size=1, stride=2)
        case PadChannels(before=before, after=after):
            return graph.node("pad_channels", *inputs, name=name, before=before, after=after)
        case nn.LeakyReLU():
            return graph.node("leaky_relu", *inputs, name=name, negative_slope=LEAKY_SLOPE)
    kinds = (kind for kind in type(module).__mro__ if kind in _PLAIN)  # Mish has one of its own
    operation = _PLAIN.get(next(kinds, nn.Module))
    if operation is None:
        raise ValueError(f"{type(module).__name__} {name!r} has no node in minimeso")
    return graph.node(operation, *inputs, name=name)


_PLAIN: dict[type[nn.Module], str] = {
    nn.Flatten: "flatten",
    nn.AdaptiveAvgPool2d: "global_avg_pool2d",
    nn.ReLU: "relu",
    nn.SiLU: "swish",
    nn.Mish: "mish",
    Pish: "pish",
    Concat: "concat",
    Add: "add",
}
