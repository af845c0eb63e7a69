"""What the engine has no operator for, and other operators do: of ONNX and of PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minimeso import Session
from minimeso.convert import convert_file, convert_module, torch_program
from minimeso.convert.builder import Builder
from minimeso.convert.source import Node
from minimeso.convert.torch_constants import MADE
from minimeso.errors import ConvertError, GraphError

onnx = pytest.importorskip("onnx")
torch = pytest.importorskip("torch")
from onnx import helper  # noqa: E402
from test_onnx_file import compare, node, operators, written  # noqa: E402
from test_program_corners import check, converted  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402, N812

RANDOM = np.random.default_rng(0)
SHAPE = [1, 4, 8, 6]


def random(*shape: int) -> Any:
    return RANDOM.standard_normal(shape).astype(np.float32)


def places(*numbers: Any) -> Any:
    return np.array(numbers, np.int64)


LENGTH = [
    node("ReduceL2", "x", "l", axes=[1], keepdims=1),
    node("Clip", "l tiny", "c"),
    node("Expand", "c whole", "e"),
    node("Div", "x e", "y"),
]
QUANTIZED = helper.make_node("DequantizeLinear", ["q", "s", "z"], ["w"], name="the_w", axis=0)
#: Name -> nodes, constants, opset.
FILES: dict[str, tuple[list[Any], dict[str, Any], int]] = {
    "celu": ([node("Celu", "x", "y", alpha=2.0)], {}, 17),
    "abs": ([node("Abs", "x", "y")], {}, 17),
    "softsign": ([node("Softsign", "x", "y")], {}, 17),
    "the larger half": (
        [node("Split", "x", "a b", axis=1), node("Max", "a b", "y")], {}, 17,
    ),
    "the least of three and a number": (
        [node("Split", "x halves", "a b", axis=1), node("Abs", "a", "c"),
         node("Min", "a b c most", "y")],
        {"halves": places(2, 2), "most": 0.5}, 17,
    ),
    "other order": ([node("Gather", "x i", "y", axis=1)], {"i": places(2, -1, 0, 0)}, 17),
    "other order, two axes": (
        [node("Gather", "x i", "y", axis=3)], {"i": places([5, 0], [1, 3])}, 17,
    ),
    "backwards": (
        [node("Slice", "x start end axis step", "y")],
        {"start": places(-1), "end": places(-(2**63)), "axis": places(3), "step": places(-2)}, 17,
    ),
    "expanded along the map": (
        [node("GlobalAveragePool", "x", "m"), node("Expand", "m s", "y")],
        {"s": places(1, 4, 5, 3)}, 17,
    ),
    "expanded along the channels": (
        [node("ReduceMax", "x", "m", axes=[1]), node("Expand", "m s", "y")],
        {"s": places(7, 1, 1)}, 17,
    ),
    "tiled": ([node("Tile", "x n", "y")], {"n": places(1, 2, 1, 3)}, 17),
    "both spread": (
        [node("ReduceMax", "x", "a", axes=[2]), node("ReduceMax", "x", "b", axes=[1]),
         node("Mul", "a b", "y")], {}, 17,
    ),
    "coordinates": ([node("Concat", "c x", "y", axis=1)], {"c": random(1, 2, 8, 6)}, 17),
    "constants between": (
        [node("Concat", "x c x", "y", axis=-1)], {"c": random(1, 4, 8, 2)}, 17,
    ),
    "of length 1": (LENGTH, {"tiny": 1e-12, "whole": places(1, 4, 8, 6)}, 17),
    "of length 1, as one operator": ([node("LpNormalization", "x", "y", axis=2)], {}, 17),
    "of length 1, written out": (
        [node("Mul", "x x", "q"), node("ReduceSum", "q last", "s"), node("Add", "s tiny", "t"),
         node("Sqrt", "t", "r"), node("Div", "x r", "y")],
        {"last": places(-1, -2), "tiny": 1e-10}, 17,
    ),
    "a transposed convolution with less at its end": (
        [node("ConvTranspose", "x w", "y", strides=[2, 2], pads=[2, 1, 0, 0],
              output_padding=[1, 1])],
        {"w": random(4, 3, 3, 3)}, 17,
    ),
    "gelu of what is scaled": (
        [node("Mul", "x a", "b"), node("Div", "b root", "c"), node("Erf", "c", "d"),
         node("Add", "d one", "e"), node("Mul", "b e", "y")],
        {"a": 3.0, "root": 2**0.5, "one": 1.0}, 17,
    ),
    "weights of bytes": (
        [QUANTIZED, node("Conv", "x w", "y")],
        {"q": RANDOM.integers(-99, 99, (5, 4, 3, 3)).astype(np.int8), "s": random(5) ** 2,
         "z": np.zeros(5, np.int8)}, 19,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_onnx(name: str, tmp_path: Path) -> None:
    nodes, constants, opset = FILES[name]
    compare(written(tmp_path, nodes, constants, list(SHAPE), opset), tmp_path)


def test_cut_off_and_padded(tmp_path: Path) -> None:
    """By NumPy: the package `onnx` does not run pads below zero."""
    pads = {"p": places(0, 0, -1, 2, 0, 1, 3, -2)}
    path = written(tmp_path, [node("Pad", "x p", "y")], pads, list(SHAPE), 17)
    x = random(*SHAPE)
    found = Session(convert_file(path)).run(x)
    wanted = np.pad(x[:, :, 1:, :-2], ((0, 0), (0, 1), (0, 3), (2, 0)))
    np.testing.assert_array_equal(found, wanted)


def test_what_is_multiplied_by_is_not_repeated(tmp_path: Path) -> None:
    """The engine spreads it."""
    nodes = [
        node("GlobalAveragePool", "x", "m"), node("Expand", "m s", "e"), node("Mul", "x e", "y")
    ]  # fmt: skip
    path = written(tmp_path, nodes, {"s": places(*SHAPE)}, list(SHAPE))
    assert operators(path) == ["global_avg_pool2d", "mul"]
    compare(path, tmp_path)


def test_the_larger_is_one_of_both(tmp_path: Path) -> None:
    """To the bit, however far they are apart."""
    nodes = [node("Split", "x", "a b", axis=1), node("Max", "a b", "y")]
    x = random(1, 4, 8, 6) * np.float32(10) ** RANDOM.integers(-20, 20, SHAPE).astype(np.float32)
    found = Session(convert_file(written(tmp_path, nodes, {}, list(SHAPE)))).run(x)
    np.testing.assert_array_equal(found.reshape(1, 2, 8, 6), np.maximum(x[:, :2], x[:, 2:]))


@pytest.mark.parametrize("scale", [1e-5, 1.0, 1e5])
def test_a_length_of_any_size(scale: float, tmp_path: Path) -> None:
    path = written(tmp_path, [node("LpNormalization", "x", "y", axis=1)], {}, ["N", 16])
    x = random(3, 16) * np.float32(scale)
    x[1] = 0
    wanted = x / np.maximum(np.sqrt((x.astype(np.float64) ** 2).sum(1, keepdims=True)), 1e-30)
    np.testing.assert_allclose(Session(convert_file(path)).run(x), wanted, 1e-5, 1e-7)


SQUARE = [1, 8, 8, 8]
REFUSED: dict[str, tuple[list[Any], dict[str, Any], str]] = {
    "by the length of another": (
        [node("Relu", "x", "r"), node("ReduceL2", "r", "l", axes=[1]), node("Div", "x l", "y")],
        {}, "known in a layer norm",
    ),
    "by the length along another axis": (
        [node("ReduceL2", "x", "l", axes=[3], keepdims=0), node("Div", "x l", "y")],
        {}, "known in a layer norm",
    ),
    "by a length that is turned": (
        [node("ReduceL2", "x", "l", axes=[3]), node("Transpose", "l", "t", perm=[0, 2, 1, 3]),
         node("Div", "x t", "y")], {}, "known in a layer norm",
    ),
    "by much more than a length": (
        [node("ReduceL2", "x", "l", axes=[1]), node("Add", "l one", "a"), node("Div", "x a", "y")],
        {"one": 1.0}, "known in a layer norm",
    ),
    "larger than others of another shape": (
        [node("GlobalMaxPool", "x", "m"), node("Max", "x m", "y")], {}, "the_y.*known is one shape",
    ),
    "places that are not there": (
        [node("Gather", "x i", "y", axis=1)], {"i": places(0, 8)}, "the_y.*of 8 elements",
    ),
    "very many places": (
        [node("Gather", "x i", "y", axis=1)], {"i": places(*[0, 2] * 40)}, "in 80 runs",
    ),
    "very many repeats": ([node("Tile", "x n", "y")], {"n": places(1, 99, 1, 1)}, "at most 64"),
    "a batch that is expanded": ([node("Expand", "x s", "y")], {"s": places(2, 8, 8, 8)}, "batch"),
    "constants of another size": (
        [node("Concat", "x c", "y", axis=1)], {"c": random(1, 2, 8, 7)}, r"\(1, 2, 8, 7\)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_only_resembles_it_is_refused(name: str, tmp_path: Path) -> None:
    nodes, constants, message = REFUSED[name]
    with pytest.raises(ConvertError, match=message):
        convert_file(written(tmp_path, nodes, constants, list(SQUARE), 17))


# --- of PyTorch -----------------------------------------------------------------------------


def balanced(m: Any, x: Any) -> Any:
    """Two maps weighted by what was learned."""
    weights = F.relu(m.counts.float())
    weights = weights / (weights.sum() + 1e-4)
    return weights[0] * x + weights[1] * x.sigmoid()


def standardized(m: Any, x: Any) -> Any:
    weight = m.counts.float().reshape(1, 4, 1, 1) ** 0.5
    return x * (weight - weight.mean(1, keepdim=True)) / (weight.std(1, keepdim=True) + 1e-5)


def with_coordinates(m: Any, x: Any) -> Any:
    """Two more channels, as CoordConv has them."""
    height, width = x.shape[2:]
    rows, columns = torch.meshgrid(
        torch.linspace(-1, 1, height), torch.arange(width) / width, indexing="ij"
    )
    return torch.cat([x, torch.stack([rows, columns])[None], torch.zeros_like(x[:, :1])], 1)


PROGRAMS: dict[str, Callable[..., Any]] = {
    "celu": lambda m, x: F.celu(x - 0.5, 2.0),
    "selu": lambda m, x: F.selu(x - 0.5),
    "at most": lambda m, x: torch.clamp_max(x, 0.4),
    "abs, in place": lambda m, x: (x - 0.5).abs_(),
    "the larger half": lambda m, x: torch.max(*torch.chunk(x, 2, 1)),
    "the smaller half": lambda m, x: torch.minimum(x[:, ::2], x[:, 1::2]),
    "of length 1": lambda m, x: F.normalize(x - 0.5),
    "of length 1, with a little more": lambda m, x: x / (x.norm(2, 1, True) + 1e-8),
    "gelu of what is scaled": lambda m, x: 0.5 * x * (1 + torch.erf(x / 1.4)),
    "channels in another order": lambda m, x: x[:, [2, 1, 0, 3]],
    "chosen channels": lambda m, x: x.index_select(1, m.counts[:2]),
    "turned around": lambda m, x: x.flip((1, 3)),
    "expanded": lambda m, x: x.mean((2, 3), keepdim=True).expand(-1, -1, 5, 3),
    "reshaped as": lambda m, x: x.flatten(1).reshape_as(x + 1),
    "viewed as, and changed": lambda m, x: (x * 2).flatten(1).view_as(x).add_(1),
    "expanded as": lambda m, x: x * x.mean((2, 3), keepdim=True).sigmoid().expand_as(x),
    "outer product": lambda m, x: x.mean(3, True).expand_as(x) * x.mean(2, True).expand_as(x),
    "repeated": lambda m, x: x.repeat(1, 2, 1, 3),
    "joined to constants": lambda m, x: torch.cat([m.counts.float().view(1, 4, 1), x.mean(3)], 2),
    "stacked on constants": lambda m, x: torch.stack([m.counts.float()[None], x.mean((2, 3))], 1),
    "cut off": lambda m, x: F.pad(x, (-1, 2, 1, -2)),
    "the sum of all": lambda m, x: x.sum(),
    "the largest of all": lambda m, x: x.max(),
    "with coordinates": with_coordinates,
    "a grid of its size": lambda m, x: x * torch.arange(1, 9).view(1, 1, -1, 1) + x.new_ones(8),
    "constants put where it is": lambda m, x: (
        x * torch.arange(8).to(x.device) + torch.ones(8).to(x)
    ),
    "core operators": lambda m, x: core(m, x),
    "changed from nothing": lambda m, x: torch.zeros_like(x).add_(x).mul_(2),
    "balanced by parameters": balanced,
    "scaled by parameters": standardized,
    "softmax of parameters": lambda m, x: x * torch.softmax(m.counts.float(), 0)[2],
    "expanded parameters": lambda m, x: x * m.counts.float().view(4, 1, 1).expand(4, 8, 8),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_of_pytorch(name: str) -> None:
    check(PROGRAMS[name], torch.rand(1, 4, 8, 8))


def test_weights_by_direction_and_length() -> None:
    layer = nn.utils.parametrizations.weight_norm(nn.Conv2d(4, 5, 3)).eval()
    check(lambda m, x: layer(x).detach(), torch.rand(1, 4, 8, 8))


def test_a_change_of_what_is_expanded_is_seen_or_refused() -> None:
    def changed(m: Any, x: Any) -> Any:
        small = x.mean((2, 3), keepdim=True)
        whole = small.expand(-1, -1, 8, 8)
        small.mul_(2)
        return whole

    with pytest.raises(ConvertError, match="of which a view is read later"):
        converted(changed, torch.rand(1, 4, 8, 8))


def core(m: Any, x: Any) -> Any:
    """Operators that ``run_decompositions`` leaves."""
    aten, four = torch.ops.aten, m.counts.float()
    x = aten._native_batch_norm_legit_no_training(x, four, -four, four / 9, four, 0.1, 1e-3)[0]
    x = aten.max_pool2d_with_indices(x, [2, 2], [2, 2])[0]
    x = aten.native_group_norm(x, four, -four, 1, 4, 16, 2, 1e-5)[0]
    x = aten._adaptive_avg_pool2d(x, [2, 1]).flatten(2).transpose(1, 2)
    return aten.native_layer_norm(x, [4], four, -four, 1e-5)[0]


def test_places_of_maxima_are_refused() -> None:
    def unpooled(m: Any, x: Any) -> Any:
        return F.max_unpool2d(*F.max_pool2d(x, 2, return_indices=True), 2)

    with pytest.raises(ConvertError, match=r"max_pool2d.*: its second result is used"):
        converted(unpooled, torch.rand(1, 4, 8, 8))


@pytest.mark.parametrize(
    ("op", "arguments"),
    [
        ("zeros.default", {"size": [1 << 20, 1 << 20]}),
        ("zeros.default", {"size": [-1, 2]}),
        ("zeros.default", {"size": [None, 2]}),
        ("arange.start_step", {"start": 0, "end": 1, "step": 1e-12}),
        ("arange.start_step", {"start": 0, "end": 1, "step": 0}),
        ("linspace.default", {"start": 0, "end": 1, "steps": 1 << 40}),
        ("full.default", {"size": [2], "fill_value": 1, "dtype": 99}),
    ],
)
def test_constants_that_are_none_or_too_large(op: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(GraphError):
        MADE[op](Node(op, "node", [], arguments, Builder()))


def test_constants_together_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    def many(m: Any, x: Any) -> Any:
        return x + torch.zeros(100, 100).mean() + torch.zeros(100, 100).sum()

    check(many, torch.rand(1, 4, 8, 8))
    monkeypatch.setattr(torch_program, "SIZE_LIMIT", 1 << 16)
    with pytest.raises(ConvertError, match="worked out of others take over 65536 bytes"):
        converted(many, torch.rand(1, 4, 8, 8))


@pytest.mark.parametrize("kind", [torch.float64, torch.float16, torch.bfloat16])
def test_weights_of_other_types(kind: Any, tmp_path: Path) -> None:
    layer = nn.Conv2d(4, 5, (3, 1)).to(kind).eval()
    example = torch.rand(1, 4, 8, 8).to(kind)
    model = convert_module(layer, (example,))
    np.testing.assert_array_equal(
        model.weights[f"{model.graph.nodes[0].name}.weight"], layer.weight.detach().float().numpy()
    )
    types = {torch.float64: 11, torch.float16: 10, torch.bfloat16: 16}
    weight = helper.make_tensor("w", types[kind], [5, 4, 3, 1], layer.weight.flatten().tolist())
    path = written(tmp_path, [node("Conv", "x w", "y")], {}, list(SHAPE))
    file = onnx.load(path)
    file.graph.initializer.append(weight)
    file.graph.input[0].type.tensor_type.elem_type = types[kind]
    path.write_bytes(file.SerializeToString())
    np.testing.assert_array_equal(
        convert_file(path).weights["the_y.weight"], layer.weight.detach().float().numpy()
    )


class ScaledStdConv2d(nn.Conv2d):
    """NFNet's: the weights are standardized by the batch norm of training."""

    def forward(self, x: Any) -> Any:
        flat = self.weight.reshape(1, self.out_channels, -1)
        gain = torch.arange(1, self.out_channels + 1, dtype=x.dtype) / 50
        weight = F.batch_norm(flat, None, None, gain, None, True, 0.0, 1e-6)
        return F.conv2d(x, weight.reshape_as(self.weight), self.bias)


@pytest.mark.filterwarnings("ignore:.*treespec:FutureWarning")  # of PyTorch's own passes
@pytest.mark.parametrize("decomposed", [False, True])
def test_weights_standardized_by_a_batch_norm(decomposed: bool, tmp_path: Path) -> None:
    layer, x = ScaledStdConv2d(4, 5, 3).eval(), torch.rand(1, 4, 8, 8)
    program = torch.export.export(layer, (x,))
    path = tmp_path / "network.pt2"
    torch.export.save(program.run_decompositions() if decomposed else program, path)
    found = Session(convert_file(path)).run(x.numpy())
    np.testing.assert_allclose(found, layer.double()(x.double()).detach().numpy(), 0, 1e-6)


def test_weights_standardized_by_a_batch_norm_in_onnx(tmp_path: Path) -> None:
    nodes = [
        node("BatchNormalization", "flat gain zeros zeros gain", "s m v", training_mode=1),
        node("Reshape", "s shape", "w"),
        node("Conv", "x w", "y"),
    ]
    constants = {
        "flat": random(1, 5, 36), "gain": np.arange(1, 6, dtype=np.float32),
        "zeros": np.zeros(5, np.float32), "shape": places(5, 4, 3, 3),
    }  # fmt: skip
    flat = constants["flat"]  # ONNX Runtime takes other statistics than ONNX says
    wanted = (flat - flat.mean(2, keepdims=True)) / flat.std(2, keepdims=True)
    wanted = wanted * constants["gain"][:, None]
    found = convert_file(written(tmp_path, nodes, constants, SHAPE)).weights["the_y.weight"]
    np.testing.assert_allclose(found, wanted.reshape(5, 4, 3, 3), rtol=1e-4)


def test_batch_norms_without_statistics_are_not_told_to_leave_training() -> None:
    layer = nn.BatchNorm2d(4, track_running_stats=False).eval()
    with pytest.raises(ConvertError, match="no running statistics"):
        convert_module(layer, (torch.rand(1, 4, 8, 8),))


@pytest.mark.parametrize("kind", ["FLOAT16", "BFLOAT16"])
def test_mixed_precision(kind: str, tmp_path: Path) -> None:
    """The weights are those that the file rounds; values between are not rounded."""
    to = onnx.TensorProto.DataType.Value(kind)
    nodes = [
        node("Cast", "x", "x16", to=to), node("Cast", "w", "w16", to=to),
        node("Conv", "x16 w16", "y16"), node("Cast", "y16", "y", to=1),
    ]  # fmt: skip
    weight = random(5, 4, 3, 1)
    model = convert_file(written(tmp_path, nodes, {"w": weight}, SHAPE))
    rounded = torch.tensor(weight).to(getattr(torch, kind.lower())).float().numpy()
    np.testing.assert_array_equal(model.weights["the_y16.weight"], rounded)
    assert [n.op for n in model.graph.nodes] == ["conv2d"]


@pytest.mark.parametrize("kind", ["INT64", "BOOL", "FLOAT8E5M2"])
def test_other_casts_are_refused_by_their_type(kind: str, tmp_path: Path) -> None:
    to = onnx.TensorProto.DataType.Value(kind)
    nodes = [node("Cast", "x", "i", to=to), node("Cast", "i", "y", to=1)]
    with pytest.raises(ConvertError, match=rf"casts to {kind}; .* before quantization"):
        convert_file(written(tmp_path, nodes, {}, SHAPE))


@pytest.mark.parametrize("name", ["autocast", "no_grad"])
def test_contexts_of_pytorch_are_named(name: str) -> None:
    given = ("cpu", torch.bfloat16) if name == "autocast" else ()

    class Mixed(nn.Conv2d):
        def forward(self, x: Any) -> Any:
            context = getattr(torch, name)(*given)
            with context:
                y = super().forward(x)
            return y.float()

    with pytest.raises(ConvertError, match=rf"export the network without torch\.{name} around"):
        convert_module(Mixed(4, 5, 3).eval(), (torch.rand(1, 4, 8, 8),))


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_constants_of_the_type_of_the_picture(kind: Any) -> None:
    def with_places(m: Any, x: Any) -> Any:
        places = torch.arange(8, dtype=x.dtype).expand(1, 1, 8, 8)
        return torch.cat([x, places, torch.zeros(1, 1, 8, 8, dtype=x.dtype)], 1)

    model, _ = converted(with_places, torch.rand(1, 4, 8, 8).to(kind))
    assert "concat" in {node.op for node in model.graph.nodes}


def test_what_torch_says_of_sizes_is_told_whole() -> None:
    """Which size, and what to give instead; its first line names only the axis."""
    sizes = ({2: torch.export.Dim("height", min=2)},)
    with pytest.raises(ConvertError, match=r"cannot export it: .*height.*(Suggested|Not all)"):
        convert_module(
            nn.Sequential(nn.Conv2d(4, 5, 3), nn.PixelUnshuffle(2)).eval(),
            (torch.rand(1, 4, 8, 8),), dynamic_shapes=sizes,
        )  # fmt: skip
