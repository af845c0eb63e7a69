"""What lies around a map, corners that stay, and windows that do not divide it: as PyTorch and
ONNX have them."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minimeso import Session
from minimeso.convert import convert_file, convert_module
from minimeso.errors import ConvertError

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402, N812


class Function(nn.Module):
    def __init__(self, function: Callable[[Any], Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Any) -> Any:
        return self.function(x)


def corners(x: Any, **how: Any) -> Any:
    return F.interpolate(x, mode="bilinear", align_corners=True, **how)


FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "mirrored": lambda x: F.pad(x, (1, 2, 3, 4), "reflect"),
    "edges": lambda x: F.pad(x, (1, 2, 30, 4), "replicate"),
    "other side": lambda x: F.pad(x, (1, 2, 3, 0), "circular"),
    "lines alone": lambda x: F.pad(x, (0, 0, 2, 1), "reflect") * 2,
    "columns alone": lambda x: F.relu(F.pad(x, (3, 0, 0, 0), "replicate") - 0.5),
    "cut and mirrored": lambda x: F.pad(x, (-1, 2, 3, -2), "replicate"),
    "nothing": lambda x: F.pad(x, (0, 0, 0, 0), "reflect") * 2,
    "one line": lambda x: F.pad(x.flatten(2), (5, 4), "reflect"),
    "mirrored module": nn.ReflectionPad2d(2),
    "edges of one line": lambda x: nn.ReplicationPad1d((2, 1))(x.flatten(2)),
    "convolution": nn.Conv2d(4, 5, 3, padding=1, padding_mode="reflect"),
    "circular convolution": nn.Conv2d(4, 5, 5, padding=2, padding_mode="circular"),
    "twice": nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True),
    "by a fraction": lambda x: corners(x, scale_factor=(1.7, 0.6)),
    "to a size": lambda x: corners(x, size=(5, 31)),
    "by a fraction that keeps the lines": lambda x: F.interpolate(
        x, scale_factor=(1.1, 1.2), mode="bilinear"
    ),
    "to one line": lambda x: corners(x, size=(1, 3)),
    "by area": lambda x: F.interpolate(x, size=(4, 5), mode="area"),
    "windows that overlap": lambda x: F.adaptive_avg_pool2d(x, (7, 6)),
    "of one axis": lambda x: F.adaptive_avg_pool2d(x, (9, 1)),
    "more than there are": lambda x: F.adaptive_avg_pool2d(x, (13, 17)),
    "of one line": lambda x: F.adaptive_avg_pool1d(x.flatten(2), 7),
    "largest of windows that overlap": lambda x: F.adaptive_max_pool2d(-x, (4, 4)),
    "largest of one axis": lambda x: F.adaptive_max_pool2d(x, (9, 4)),
    "largest, more than there are": lambda x: F.adaptive_max_pool2d(x, (13, 5)),
    "largest of one line": lambda x: F.adaptive_max_pool1d(x.flatten(2), 7),
    "by ones": lambda x: F.pad(x, (1, 2, 3, 4), value=1.0),
    "by little beside much": lambda x: F.pad(x * 1e8, (1, 2, 3, 4), value=1e-3),
    "by much beside little": lambda x: F.max_pool2d(F.pad(-x, (1, 1, 1, 1), value=-1e9), 3, 2),
    "cut and by ones": lambda x: F.pad(x, (-1, 2, 3, -2), value=1.0),
    "channels by ones": lambda x: F.pad(x, (0, 0, 0, 1, 1, 2), value=0.5),
    "by what is never largest": lambda x: F.max_pool2d(
        F.pad(-x, (0, 1, 1, 1), value=-math.inf), 3, 2
    ),
    "the same of one line": lambda x: F.max_pool1d(
        F.pad(-x.flatten(2), (2, 1), value=-math.inf), 3, 2
    ),
    "a vector": lambda x: F.pad(x.mean((2, 3)), (1, 2)),
    "a vector by ones": lambda x: F.pad(x.mean((2, 3)), (1, 2), value=1.0),
    "five axes": lambda x: F.pad(x.unflatten(1, (2, 2)), (1, 2, 0, 0, 3, 0)),
    "one line twice": lambda x: F.interpolate(x.flatten(2), scale_factor=2),
    "one line to a size": lambda x: F.interpolate(x.flatten(2), 50, mode="linear"),
    "one line, corners": lambda x: F.interpolate(
        x.flatten(2), scale_factor=1.5, mode="linear", align_corners=True
    ),
    "of one channel": lambda x: F.adaptive_avg_pool1d(x[:, :1].flatten(2), 7),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_as_pytorch(name: str) -> None:
    torch.manual_seed(0)
    module = Function(FUNCTIONS[name]).eval()
    x = torch.rand(2, 4, 9, 11)
    model = convert_module(module, (x[:1],))
    with torch.inference_mode():
        wanted = module(x).numpy()
    found = Session(model, threads=1).run(x.numpy())
    np.testing.assert_allclose(found.reshape(wanted.shape), wanted, rtol=1e-5, atol=1e-6)


def test_any_size(tmp_path: Path) -> None:
    """Sizes that stay open: a network for 9 x 11 and for 12 x 8."""
    size = [torch.export.Dim(name, min=4, max=64) for name in "hw"]
    module = Function(lambda x: F.pad(corners(x, scale_factor=2.0), (1, 1, 1, 1), "reflect")).eval()
    program = torch.export.export(
        module, (torch.rand(1, 4, 9, 11),), dynamic_shapes=(({2: size[0], 3: size[1]}),)
    )
    torch.export.save(program, tmp_path / "any.pt2")
    session = Session(convert_file(tmp_path / "any.pt2"), threads=1)
    for shape in ((9, 11), (12, 8)):
        x = torch.rand(1, 4, *shape)
        with torch.inference_mode():
            wanted = module(x).numpy()
        np.testing.assert_allclose(session.run(x.numpy()), wanted, rtol=1e-5, atol=1e-6)


def test_what_cannot_be_is_told() -> None:
    x = torch.rand(1, 4, 9, 11)
    infinite: dict[str, Callable[[Any], Any]] = {
        "pads with inf": lambda x: F.pad(x, (1, 1, 1, 1), value=math.inf),
        "infinity is known in a max pool": lambda x: F.pad(x, (1, 1, 1, 1), value=-math.inf),
        # whose windows may hold nothing else
        "in a max pool of a larger window": lambda x: F.max_pool2d(
            F.pad(x, (3, 3, 3, 3), value=-math.inf), 3
        ),
        "known in a max pool of a larger": lambda x: F.max_pool2d(
            F.pad(x, (1, 1, 1, 1), value=-math.inf), 3, dilation=2
        ),
    }
    for message, function in infinite.items():
        with pytest.raises(ConvertError, match=message):
            convert_module(Function(function).eval(), (x,))


def test_onnx(tmp_path: Path) -> None:
    """Against the definitions in the package ``onnx``."""
    onnx = pytest.importorskip("onnx")
    from onnx.reference import ReferenceEvaluator

    node, make = onnx.helper.make_node, onnx.helper
    pads = {"pads": np.array([0, 0, 3, 1, 0, 0, 2, 4])}
    turned = {"pads": np.array([0, 2, 1, 0, 0, 1, 3, 0])}
    corners = {"mode": "linear", "coordinate_transformation_mode": "align_corners"}
    cases: list[tuple[list[Any], dict[str, Any]]] = [
        ([node("Pad", ["x", "pads"], ["y"], mode="reflect")], pads),
        ([node("Pad", ["x", "pads"], ["y"], mode="edge")], pads),
        ([node("Pad", ["x", "pads"], ["y"], mode="wrap")], pads),
        ([node("Pad", ["x", "pads", "v"], ["y"])], pads | {"v": np.float32(-2)}),
        ([node("Transpose", ["x"], ["t"], perm=[0, 2, 3, 1]),
          node("Pad", ["t", "pads"], ["p"], mode="reflect"),
          node("Transpose", ["p"], ["y"], perm=[0, 3, 1, 2])], turned),
        ([node("Resize", ["x", "", "", "s"], ["y"], **corners)], {"s": np.array([1, 4, 20, 5])}),
        ([node("Resize", ["x", "", "s"], ["y"], **corners)], {"s": np.float32([1, 1, 2, 3])}),
    ]  # fmt: skip
    x = np.random.default_rng(0).random((1, 4, 9, 11), np.float32)
    for nodes, constants in cases:
        graph = make.make_graph(
            nodes, "g",
            [make.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 4, 9, 11])],
            [make.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)],
            [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
        )  # fmt: skip
        model = make.make_model(graph, opset_imports=[make.make_opsetid("", 19)])
        (tmp_path / "n.onnx").write_bytes(model.SerializeToString())
        (wanted,) = ReferenceEvaluator(model).run(None, {"x": x})
        found = Session(convert_file(tmp_path / "n.onnx"), threads=1).run(x)
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6, err_msg=str(nodes[0]))
