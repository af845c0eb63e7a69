"""What a source computes otherwise than a hasty reader: it is computed so, or refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.keras_files import keras_file, layer, sequential

from minimeso import Session
from minimeso.cli import main
from minimeso.convert import Preparation, convert_file, front
from minimeso.convert.keras_file import KerasFile
from minimeso.convert.keras_graph import convert_keras
from minimeso.errors import ConvertError, GraphError

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper  # noqa: E402
from onnx.reference import ReferenceEvaluator  # noqa: E402
from test_onnx_file import compare, node, written  # noqa: E402

Array = np.ndarray[Any, Any]
RANDOM = np.random.default_rng(0)


def resized(folder: Path, shape: list[Any], opset: int = 17, **attributes: Any) -> Path:
    """A file that resizes by `scales`, or to `sizes`."""
    scales, sizes = (attributes.pop(name, None) for name in ("scales", "sizes"))
    constants: dict[str, Any] = {"s": sizes if scales is None else scales}
    inputs = ["x", "", "s"] if scales is not None else ["x", "", "", "s"]
    if opset < 11:
        inputs = ["x", "s"]
    made = helper.make_node("Resize", inputs, ["y"], name="the_y", **attributes)
    return written(folder, [made], constants, shape, opset)


def ran(path: Path, x: Array) -> Array:
    return Session(convert_file(path), threads=1).run(x)


ASYMMETRIC = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
OF_41 = np.array([1.0, 1, 41, 41])
PIXELS: dict[str, tuple[list[Any], int, dict[str, Any]]] = {
    "a part of it, in its own size": (
        [1, 1, 8, 8], 17,
        {"mode": "linear", "scales": np.ones(4),
         "coordinate_transformation_mode": "tf_crop_and_resize"},
    ),
    "a scale that keeps the size": (
        [1, 1, 8, 8], 17,
        {"mode": "linear", "scales": np.array([1, 1, 1.05, 1.05]),
         "coordinate_transformation_mode": "align_corners"},
    ),
    "moved in a size that it keeps": (
        [1, 1, 8, 8], 17, {"mode": "linear", "scales": np.array([1, 1, 1.05, 2])},
    ),
    "channels": ([1, 8, 8], 17, {"sizes": np.array([1, 16, 16]), **ASYMMETRIC}),
    "41 times, which is not exact": ([1, 1, 8, 8], 17, {"scales": OF_41, **ASYMMETRIC}),
    "41 times, of any size": ([1, 1, "H", "W"], 17, {"scales": OF_41, **ASYMMETRIC}),
    "smaller, before opset 11": ([1, 1, 8, 8], 10, {"scales": np.array([1, 1, 0.6, 0.6])}),
    "by more than any picture": ([1, 1, 8, 8], 17, {"scales": np.array([1, 1, 1e8, 1])}),
}  # fmt: skip


@pytest.mark.parametrize("name", PIXELS)
def test_other_pixels_are_refused(name: str, tmp_path: Path) -> None:
    shape, opset, attributes = PIXELS[name]
    with pytest.raises(ConvertError, match=r"'the_y' .Resize"):
        convert_file(resized(tmp_path, shape, opset, **attributes))


@pytest.mark.parametrize("mode", ["linear", "nearest"])
def test_sizes_that_are_given_are_made(mode: str, tmp_path: Path) -> None:
    """245 is not 15 times the float32 that is nearest to 245 / 15."""
    path = resized(tmp_path, [1, 1, 15, 7], sizes=np.array([1, 1, 245, 31]), mode=mode,
                   **(ASYMMETRIC if mode == "nearest" else {}))  # fmt: skip
    found = ran(path, RANDOM.random((1, 1, 15, 7), np.float32))
    assert found.shape == (1, 1, 245, 31)


@pytest.mark.parametrize("scale", [0.5, 0.7, 1.3, 2.0, 16.0])
@pytest.mark.parametrize("size", [20, "H"])
def test_a_scale_is_that_of_its_decimals(scale: float, size: Any, tmp_path: Path) -> None:
    """float32 has no 1.3: the product with 20 is 26 all the same, as ONNX Runtime has it."""
    scales = np.array([1, 1, scale, scale])
    x = RANDOM.random((1, 1, 20, 20), np.float32)
    path = resized(tmp_path, [1, 1, size, size], scales=scales, **ASYMMETRIC)
    index = (np.arange(round(20 * scale)) / scale + 1e-9).astype(int)
    np.testing.assert_array_equal(ran(path, x)[0, 0], x[0, 0][index][:, index])


def test_keras_repeats_pixels(tmp_path: Path) -> None:
    def read(factor: int) -> Any:
        config = sequential(layer("UpSampling2D", size=[factor, factor]))
        return convert_keras(KerasFile(keras_file(config, {}), "keras"), "n")

    assert read(8).graph.nodes[0].op == "resize"
    with pytest.raises(GraphError, match="each pixel 41 times"):
        read(41)


# --- shapes and types -----------------------------------------------------------------------


def test_padding_before_a_mean_that_is_rounded_up(tmp_path: Path) -> None:
    """The last window begins in zeros that were put there, not in padding: it counts."""
    nodes = [
        node("Pad", "x pads", "p"),
        node("AveragePool", "p", "y", kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1,
             count_include_pad=1),
    ]  # fmt: skip
    path = written(tmp_path, nodes, {"pads": np.array([0, 0, 1, 1, 0, 0, 1, 1])}, [1, 1, 7, 7])
    x = np.ones((1, 1, 7, 7), np.float32)
    line = np.array([0.5, 1, 1, 1, 0])
    np.testing.assert_allclose(ran(path, x)[0, 0], line * line[:, None])


def test_valid_windows_that_are_rounded_up(tmp_path: Path) -> None:
    """ONNX makes 4 pairs of 9 lines, ONNX Runtime 5."""
    pool = node("MaxPool", "x", "y", kernel_shape=[2, 3], strides=[2, 3], auto_pad="VALID",
                ceil_mode=1)  # fmt: skip
    x = RANDOM.random((1, 3, 8, 9), np.float32)
    wanted = x.reshape(1, 3, 4, 2, 3, 3).max((3, 5))
    np.testing.assert_array_equal(ran(written(tmp_path, [pool], {}, [1, 3, 8, 9]), x), wanted)
    for shape in ([1, 3, 9, 9], [1, 3, "H", "W"]):
        with pytest.raises(ConvertError, match=r"rounds up .'ceil_mode'. with 'auto_pad' VALID"):
            convert_file(written(tmp_path, [pool], {}, shape))


@pytest.mark.parametrize("opset", [10, 13, 18, 21])
def test_weights_of_bytes(opset: int, tmp_path: Path) -> None:
    shape = () if opset < 13 else (3,)
    scale, zero = np.abs(RANDOM.standard_normal(shape)), RANDOM.integers(-5, 5, shape)
    steps = RANDOM.integers(-128, 127, (3, 8, 8))
    constants = {"q": steps.astype(np.int8), "s": scale, "z": zero.astype(np.int8)}
    nodes = [node("DequantizeLinear", "q s z", "w", **({"axis": 0} if shape else {})),
             node("Mul", "x w", "y")]  # fmt: skip
    x = RANDOM.random((1, 3, 8, 8), np.float32)
    wanted = x * (steps - zero[..., None, None]) * scale[..., None, None]
    path = written(tmp_path, nodes, constants, [1, 3, 8, 8], opset)
    np.testing.assert_allclose(ran(path, x), wanted, rtol=1e-5)


def test_more_padding_than_half_of_a_window(tmp_path: Path) -> None:
    nodes = [
        node("Pad", "x pads", "p"),
        node("AveragePool", "p", "y", kernel_shape=[3, 3], count_include_pad=1),
    ]
    path = written(tmp_path, nodes, {"pads": np.array([0, 0, 2, 2, 0, 0, 2, 2])})
    compare(path, tmp_path)


@pytest.mark.parametrize("op", ["Mul", "Min", "Pow"])
def test_a_constant_of_more_axes_adds_axes(op: str, tmp_path: Path) -> None:
    nodes = [
        node("Flatten", "x", "f"), node(op, "f two", "g"),
        node("ReduceMax", "g", "y", axes=[1], keepdims=0),
    ]  # fmt: skip
    path = written(tmp_path, nodes, {"two": np.full((1, 1, 1), 2.0)}, [1, 3, 8, 8])
    x = RANDOM.random((1, 3, 8, 8), np.float32)
    flat = x.reshape(-1)
    wanted = {"Mul": 2 * flat, "Min": np.minimum(flat, 2), "Pow": flat * flat}[op]
    np.testing.assert_allclose(ran(path, x).reshape(-1), wanted, rtol=1e-6)


def test_what_is_nearly_a_formula_is_none(tmp_path: Path) -> None:
    """0.16666 for 1 / 6 is further off than float32; 8 and 8.00006 undo nothing."""
    nodes = [node("Add", "x three", "a"), node("Clip", "a zero six", "b"), node("Mul", "x b", "c"),
             node("Mul", "c sixth", "y")]  # fmt: skip
    constants = {"zero": 0.0, "three": 3.0, "six": 6.0}
    x = RANDOM.random((1, 3, 8, 8), np.float32)
    found = ran(written(tmp_path, nodes, {**constants, "sixth": 0.16666}), x)
    np.testing.assert_allclose(found, x * (x + 3) * 0.16666, rtol=1e-6)
    nodes = [node("Mul", "x eight", "a"), node("Div", "a less", "y")]
    found = ran(written(tmp_path, nodes, {"eight": 8.0, "less": 8.00006}), x)
    np.testing.assert_allclose(found, x * 8 / 8.00006, rtol=1e-6)


def layer_norm(keep_means: int, keep_squares: int, turned: str) -> list[Any]:
    """(x - mean) / sqrt(mean of squares + eps), of which one value may be turned."""
    nodes = [
        node("ReduceMean", "x", "m", axes=[-1], keepdims=keep_means), node("Sub", "x m", "d"),
        node("Transpose", "d", "dT", perm=[0, 1, 3, 2]),
        node("Mul", "d dT" if turned == "a factor" else "d d", "q"),
        node("ReduceMean", "q", "v", axes=[-1], keepdims=keep_squares), node("Add", "v eps", "e"),
        node("Sqrt", "e", "s"), node("Transpose", "s", "sT", perm=[0, 2, 1, 3]),
    ]  # fmt: skip
    above, below = "dT" if turned == "above" else "d", "sT" if turned == "below" else "s"
    return [*nodes[: 8 if keep_squares else 7], node("Div", f"{above} {below}", "y")]


@pytest.mark.parametrize(
    "case", [(0, 0, ""), (1, 0, ""), (1, 1, "below"), (1, 1, "above"), (1, 1, "a factor")]
)
def test_what_is_nearly_a_layer_norm_is_none(case: tuple[int, int, str], tmp_path: Path) -> None:
    """All axes are of one size, so that nothing but their order tells."""
    path = written(tmp_path, layer_norm(1, 1, ""), {"eps": 1e-5}, [1, 8, 8, 8], 13)
    compare(path, tmp_path)
    with pytest.raises(ConvertError, match="sqrt is known in"):
        convert_file(written(tmp_path, layer_norm(*case), {"eps": 1e-5}, [1, 8, 8, 8], 13))


@pytest.mark.parametrize("op", ["ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin"])
def test_no_axes_may_mean_none(op: str, tmp_path: Path) -> None:
    x = RANDOM.random((1, 3, 8, 8), np.float32)
    path = written(tmp_path, [node(op, "x", "y", noop_with_empty_axes=1)], opset=18)
    np.testing.assert_array_equal(ran(path, x), x)
    nodes = [node(op, "x none", "y", noop_with_empty_axes=1)]
    path = written(tmp_path, nodes, {"none": np.zeros(0, np.int64)}, opset=18)
    np.testing.assert_array_equal(ran(path, x), x)
    assert ran(written(tmp_path, [node(op, "x", "y")], {}, [1, 3, 8, 8], 18), x).size == 1


@pytest.mark.parametrize("axis", [-1, 2, 1])
def test_a_norm_without_a_mean(axis: int, tmp_path: Path) -> None:
    x = RANDOM.standard_normal((1, 3, 8, 6)).astype(np.float32)
    scale = RANDOM.standard_normal(x.shape[axis:])
    nodes = [node("RMSNormalization", "x s", "y", axis=axis, epsilon=1e-3)]
    axes = tuple(range(axis % 4, 4))
    wanted = x / np.sqrt((x * x).mean(axes, keepdims=True) + 1e-3) * scale
    found = ran(written(tmp_path, nodes, {"s": scale}, [1, 3, 8, 6], 23), x)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


ALONG_THE_BATCH: dict[str, tuple[list[Any], dict[str, Any]]] = {
    "a mean of everything": ([node("ReduceMean", "x", "y")], {}),
    "the first picture": ([node("Gather", "x first", "y")], {"first": np.array(0)}),
    "its first elements": ([node("Slice", "x zero one zero", "y")],
                           {"zero": np.array([0]), "one": np.array([1])}),
    "both halves": ([helper.make_node("Split", ["x"], ["a", "b"], axis=0, name="the_y"),
                     node("Add", "a b", "y")], {}),
    "softmax": ([node("Softmax", "x", "y", axis=0)], {}),
    "softmax of all axes": ([node("Transpose", "x", "t", perm=[1, 0, 2, 3]),
                             node("Softmax", "t", "y", axis=1)], {}),
    "the largest": ([node("ArgMax", "x", "y", axis=0)], {}),
    "joined": ([node("Concat", "x x", "y", axis=0)], {}),
    "behind a reshape": ([node("Flatten", "x", "f"), node("ReduceMax", "f", "y", axes=[0])], {}),
    "a layer norm": ([node("LayerNormalization", "x scale", "y", axis=0)],
                     {"scale": np.ones((1, 3, 8, 8))}),
}  # fmt: skip


@pytest.mark.parametrize("name", ALONG_THE_BATCH)
def test_a_batch_of_any_size_is_not_mixed(name: str, tmp_path: Path) -> None:
    """A file for one picture may go along its only one; of any number the source mixes them."""
    nodes, constants = ALONG_THE_BATCH[name]
    with pytest.raises(ConvertError, match=r"'the_.*works along the batch"):
        convert_file(written(tmp_path, nodes, constants, ["N", 3, 8, 8]))
    if name != "both halves":
        convert_file(written(tmp_path, nodes, constants, [1, 3, 8, 8]))


def test_a_batch_of_any_size_is_kept(tmp_path: Path) -> None:
    """What takes all of it, or makes rows of it, mixes nothing."""
    nodes = [
        node("Slice", "x starts ends", "a"), node("Transpose", "a", "b", perm=[0, 2, 3, 1]),
        node("Reshape", "b rows", "c"), node("MatMul", "c weight", "d"),
        node("Reshape", "d back", "y"),
    ]  # fmt: skip
    constants = {
        "starts": np.array([0, 1]), "ends": np.array([2**63 - 1, 3]), "rows": np.array([-1, 2]),
        "weight": RANDOM.random((2, 5)), "back": np.array([-1, 8, 8, 5]),
    }  # fmt: skip
    x = RANDOM.random((3, 3, 8, 8), np.float32)
    wanted = x[:, 1:3].transpose(0, 2, 3, 1) @ constants["weight"]
    np.testing.assert_allclose(ran(written(tmp_path, nodes, constants), x), wanted, rtol=1e-5)


CUTS = {
    "a": [node("Relu", "x", "a")],
    "b": [node("Reshape", "x two_three", "b1"), node("Transpose", "b1", "b2", perm=[0, 1, 3, 2]),
          node("Reshape", "b2 whole", "b")],
    "c": [node("Reshape", "x three_two", "c1"), node("Transpose", "c1", "c2", perm=[0, 1, 3, 2]),
          node("Reshape", "c2 whole", "c")],
}  # fmt: skip


@pytest.mark.parametrize("order", ["a b", "b a", "b c", "a b c", "a c a b", "c b a c"])
def test_values_whose_axes_were_cut_differently_are_joined(order: str, tmp_path: Path) -> None:
    nodes = [*CUTS["a"], *CUTS["b"], *CUTS["c"], node("Concat", order, "y", axis=1)]
    constants = {
        "two_three": np.array([0, 0, 2, 3]), "three_two": np.array([0, 0, 3, 2]),
        "whole": np.array([0, 0, 6]),
    }  # fmt: skip
    path = written(tmp_path, nodes, constants, [1, 4, 6])
    x = RANDOM.random((1, 4, 6), np.float32)
    (wanted,) = ReferenceEvaluator(onnx.load(path)).run(None, {"x": x})
    np.testing.assert_array_equal(ran(path, x[:, :, None])[:, :, 0], wanted)


def test_an_output_that_is_named_twice(tmp_path: Path) -> None:
    """Both are there, as in the source."""
    path = written(tmp_path, [node("Relu", "x", "y"), node("Identity", "y", "z")])
    model = onnx.load(path)
    model.graph.output.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, None))
    path.write_bytes(model.SerializeToString())
    x = RANDOM.random((2, 3, 8, 8), np.float32)
    first, second = ran(path, x - np.float32(0.5)).values()
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(("op", "wanted"), [("Sum", 3.0), ("Mean", 1.0)])
def test_a_sum_that_begins_with_constants(op: str, wanted: float, tmp_path: Path) -> None:
    path = written(tmp_path, [node(op, "a b x", "y")], {"a": 1.0, "b": 2.0})
    assert np.allclose(ran(path, np.zeros((1, 3, 8, 8), np.float32)), wanted)
    nodes = [node(op, "a b", "c"), node("Add", "x c", "y")]
    path = written(tmp_path, nodes, {"a": 1.0, "b": 5.0})
    wanted = {"Sum": 6.0, "Mean": 3.0}[op]
    assert np.allclose(ran(path, np.zeros((1, 3, 8, 8), np.float32)), wanted)


def test_places_are_no_floats(tmp_path: Path) -> None:
    """ONNX divides integers as C does."""
    nodes = [node("ArgMax", "x", "a", axis=1), node("Div", "a two", "y")]
    with pytest.raises(ConvertError, match=r"'the_y' .Div.: computes with integers"):
        convert_file(written(tmp_path, nodes, {"two": np.array(2)}))
    nodes = [
        node("ArgMax", "x", "a", axis=1), node("Squeeze", "a one", "s"),
        node("Cast", "s", "f", to=TensorProto.FLOAT), node("Div", "f two", "y"),
    ]  # fmt: skip
    path = written(tmp_path, nodes, {"two": 2.0, "one": np.array([1])})
    x = RANDOM.random((1, 3, 8, 8), np.float32)
    np.testing.assert_allclose(ran(path, x).reshape(8, 8), x[0].argmax(0) / 2)


def test_a_preparation_that_would_do_nothing(tmp_path: Path) -> None:
    path = written(tmp_path, [node("Relu", "x", "y")], shape=["N", 7])
    assert convert_file(path, preparation=Preparation()).graph.nodes
    with pytest.raises(ConvertError, match="no input that is used is one"):
        convert_file(path, preparation=Preparation(mean=(0.5,)))


@pytest.mark.parametrize("kind", ["FLOAT16", "BFLOAT16"])
def test_constants_of_16_bits_are_worked_out_in_those(kind: str, tmp_path: Path) -> None:
    """Whether the file stores them so or casts them."""
    to = TensorProto.DataType.Value(kind)
    values = RANDOM.standard_normal(3).astype(np.float32)
    nodes = [
        node("Cast", "three", "a", to=to), node("Mul", "a halves", "b"), node("Mul", "b a", "c"),
        node("ReduceSum", "c", "d"), node("Cast", "d", "e", to=1), node("Mul", "x e", "y"),
    ]  # fmt: skip
    path = written(tmp_path, nodes, {"three": values}, [1, 3, 8, 8])
    model = onnx.load(path)
    model.graph.initializer.append(helper.make_tensor("halves", to, [3], values.tolist()))
    path.write_bytes(model.SerializeToString())
    x = RANDOM.random((1, 3, 8, 8), np.float32)
    (wanted,) = ReferenceEvaluator(model).run(None, {"x": x})
    np.testing.assert_allclose(ran(path, x), wanted, rtol=1e-6)
    external = [helper.make_node("Conv", ["x", "w"], ["y"])]
    path = written(tmp_path, external, {}, [1, 3, 8, 8])
    model = onnx.load(path)
    weight = RANDOM.standard_normal(60).astype(np.float32)
    model.graph.initializer.append(helper.make_tensor("w", to, [5, 3, 2, 2], weight.tolist()))
    (wanted,) = ReferenceEvaluator(model).run(None, {"x": x})
    onnx.save(model, path, save_as_external_data=True, location="w.data", size_threshold=0)
    np.testing.assert_allclose(ran(path, x), wanted, atol=1e-5)


# --- bytes ----------------------------------------------------------------------------------


def of_type(folder: Path, kind: int) -> Path:
    """A network that takes another type, and scales by itself."""
    nodes = [node("Cast", "x", "f", to=TensorProto.FLOAT), node("Div", "f most", "y")]
    path = written(folder, nodes, {"most": 255.0})
    model = onnx.load(path)
    model.graph.input[0].type.tensor_type.elem_type = kind
    path.write_bytes(model.SerializeToString())
    return path


def test_a_network_for_bytes_gets_bytes(tmp_path: Path) -> None:
    """The engine divides them by 255, which the network does not know."""
    path = of_type(tmp_path, TensorProto.UINT8)
    x = RANDOM.integers(0, 256, (1, 8, 8, 3)).astype(np.uint8)
    np.testing.assert_allclose(ran(path, x), x.transpose(0, 3, 1, 2) / 255, rtol=1e-5)
    said = convert_file(path, preparation=Preparation(std=(0.5,)))  # who says it is believed
    np.testing.assert_allclose(Session(said).run(x), x.transpose(0, 3, 1, 2) / 255 * 2 / 255, 1e-5)


TURN = node("Transpose", "f", "t", perm=[0, 3, 1, 2])
CAST = node("Cast", "x", "f", to=TensorProto.FLOAT)
LAST = {
    "turned": [node("Transpose", "x", "c", perm=[0, 3, 1, 2]),
               node("Cast", "c", "t", to=TensorProto.FLOAT)],
    "behind a cast": [CAST, TURN],
    "behind a preparation": [node("Cast", "x", "a", to=TensorProto.FLOAT),
                             node("Sub", "a mean", "b"), node("Div", "b most", "f"), TURN],
}  # fmt: skip


@pytest.mark.parametrize("name", LAST)
def test_channels_last_of_bytes(name: str, tmp_path: Path) -> None:
    """As TensorFlow's networks have it: bytes of a picture, whose channels are turned later."""
    constants = {"w": RANDOM.standard_normal((4, 3, 2, 2)), "mean": [1.0, 2, 3], "most": 255.0}
    path = written(tmp_path, [*LAST[name], node("Conv", "t w", "y")], constants, ["N", "H", "W", 3])
    model = onnx.load(path)
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8
    path.write_bytes(model.SerializeToString())
    assert convert_file(path).graph.inputs == {"x": (3, None, None)}
    assert convert_file(path, size=(8, 6)).graph.inputs == {"x": (3, 8, 6)}
    x = RANDOM.integers(0, 256, (2, 8, 6, 3)).astype(np.uint8)
    (wanted,) = ReferenceEvaluator(model).run(None, {"x": x})
    np.testing.assert_allclose(ran(path, x), wanted, rtol=1e-4, atol=1e-4)


def test_constants_that_are_named_among_the_inputs(tmp_path: Path) -> None:
    """As older exporters did; a shape of integers makes no integers of what has it."""
    nodes = [node("ReduceMax", "x", "m", axes=[2, 3]), node("Expand", "m s", "y")]
    path = written(tmp_path, nodes, {"s": np.array([1, 3, 8, 8])}, [1, 3, 8, 8], 13)
    model = onnx.load(path)
    model.graph.input.append(helper.make_tensor_value_info("s", TensorProto.INT64, [4]))
    path.write_bytes(model.SerializeToString())
    x = RANDOM.random((1, 3, 8, 8), np.float32)
    wanted = np.broadcast_to(x.max((2, 3), keepdims=True), x.shape)
    np.testing.assert_array_equal(ran(path, x), wanted)


def test_the_size_of_a_picture_of_bytes_is_none_of_its_bytes(tmp_path: Path) -> None:
    """What is worked out of it is read by operators that take no integers."""
    nodes = [
        node("Shape", "x", "s"), node("Slice", "s two four", "hw"),
        node("Cast", "x", "f", to=TensorProto.FLOAT),
        node("MaxPool", "f", "p", kernel_shape=[2, 2], strides=[2, 2]),
        node("Concat", "one_three hw", "sizes", axis=0),
        helper.make_node("Resize", ["p", "", "", "sizes"], ["r"], mode="linear"),
        node("Reshape", "r s", "q"), node("Relu", "q", "y"),
    ]  # fmt: skip
    constants = {"two": np.array([2]), "four": np.array([4]), "one_three": np.array([1, 3])}
    path = written(tmp_path, nodes, constants, [1, 3, 8, 8])
    model = onnx.load(path)
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8
    path.write_bytes(model.SerializeToString())
    assert [n.op for n in convert_file(path).graph.nodes][-2:] == ["resize", "relu"]


def test_channels_that_are_read_last_elsewhere_stay_where_they_are(tmp_path: Path) -> None:
    nodes = [
        node("Identity", "x", "f"), TURN, node("ReduceMax", "x", "m", axes=[3], keepdims=0),
        node("ReduceMax", "t", "n", axes=[1], keepdims=0), node("Add", "m n", "y"),
    ]  # fmt: skip
    path = written(tmp_path, nodes, {}, [1, 8, 6, 3])
    assert convert_file(path).graph.inputs == {"x": (8, 6, 3)}


@pytest.mark.parametrize("kind", [TensorProto.UINT8, TensorProto.DOUBLE])
def test_a_reference_of_another_type(kind: int, tmp_path: Path) -> None:
    path, target, reference = (
        str(p) for p in (of_type(tmp_path, kind), tmp_path / "m.npz", tmp_path / "r.npz")
    )
    assert main(["convert", path, target, "--reference", reference]) == 0
    assert main(["verify", target, reference]) == 0


def test_a_source_that_its_own_engine_does_not_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("opset 999 is under development\nand much more")

    monkeypatch.setattr(front, "evaluate_onnx", refuse)
    path = str(written(tmp_path, [node("Relu", "x", "y")]))
    command = ["convert", path, str(tmp_path / "m.npz"), "--reference", str(tmp_path / "r.npz")]
    assert main(command) == 2
    error = capsys.readouterr().err
    assert error.endswith("the source's own engine cannot run it: opset 999 is under development\n")


def test_keras_says_so_at_its_input(tmp_path: Path) -> None:
    config = sequential(layer("Rescaling", scale=1 / 255, offset=0.0))
    config["config"]["layers"][0]["config"]["dtype"] = "uint8"
    made = convert_keras(KerasFile(keras_file(config, {}), "keras"), "n")
    x = RANDOM.integers(0, 256, (1, 6, 5, 3)).astype(np.uint8)
    found = Session(made.graph, made.weights, threads=1).run(x)
    np.testing.assert_allclose(found, x / 255, rtol=1e-5)
