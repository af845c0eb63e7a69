"""ONNX files: formulas that become one operator, opsets, borders, and files that are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minimeso import Session, load_model
from minimeso.cli import main
from minimeso.convert import Preparation, convert_file, onnx_file, write_reference
from minimeso.engine import model_file
from minimeso.errors import ConvertError, OutputError

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

Array = np.ndarray[Any, Any]


def constant(name: str, values: Any) -> Any:
    array = np.asarray(values)
    return numpy_helper.from_array(
        array.astype(np.float32) if array.dtype.kind == "f" else array, name
    )


def written(
    folder: Path,
    nodes: list[Any],
    constants: dict[str, Any] | None = None,
    shape: list[Any] | None = None,
    opset: int = 17,
) -> Path:
    """A file of a network from `x` to `y`."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape or ["N", 3, 8, 8])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    arrays = [constant(name, values) for name, values in (constants or {}).items()]
    graph = helper.make_graph(nodes, "g", [x], [y], arrays)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    path = folder / "network.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def operators(path: Path) -> list[str]:
    return [node.op for node in convert_file(path).graph.nodes]


def node(op: str, inputs: str, output: str, **attributes: Any) -> Any:
    return helper.make_node(op, inputs.split(), output.split(), name=f"the_{output}", **attributes)


FORMULAS = {
    "swish": ([node("Sigmoid", "x", "s"), node("Mul", "x s", "y")], {}),
    "hardsigmoid": ([node("HardSigmoid", "x", "y", alpha=1 / 6)], {}),
    "hardswish": (
        [node("HardSigmoid", "x", "s", alpha=1 / 6), node("Mul", "s x", "y")], {},
    ),
    "hardswish of relu6": (
        [node("Add", "x three", "a"), node("Clip", "a zero six", "b"), node("Mul", "x b", "c"),
         node("Div", "c six", "y")],
        {"zero": 0.0, "three": 3.0, "six": 6.0},
    ),
    "hardsigmoid of relu6": (
        [node("Add", "x three", "a"), node("Clip", "a zero six", "b"), node("Div", "b six", "y")],
        {"zero": 0.0, "three": 3.0, "six": 6.0},
    ),
    "mish": (
        [node("Softplus", "x", "a"), node("Tanh", "a", "b"), node("Mul", "x b", "y")], {},
    ),
    "gelu": (
        [node("Div", "x root", "a"), node("Erf", "a", "b"), node("Add", "b one", "c"),
         node("Mul", "x c", "d"), node("Mul", "d half", "y")],
        {"root": 2**0.5, "one": 1.0, "half": 0.5},
    ),
    "gelu, halved before": (
        [node("Mul", "x half", "h"), node("Mul", "x root", "a"), node("Erf", "a", "b"),
         node("Add", "b one", "c"), node("Mul", "h c", "y")],
        {"root": 0.5**0.5, "one": 1.0, "half": 0.5},
    ),
    "relu6": ([node("Clip", "x zero six", "y")], {"zero": 0.0, "six": 6.0}),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMULAS)
def test_a_formula_becomes_one_operator(name: str, tmp_path: Path) -> None:
    nodes, constants = FORMULAS[name]
    path = written(tmp_path, nodes, constants)
    assert operators(path) == [name.split()[0].strip(",")]
    compare(path, tmp_path)


@pytest.mark.parametrize(("scale", "shift"), [(1.0, -0.5), (3.0, 1.0), (-2.0, 0.25)])
@pytest.mark.parametrize("halved", ["h", "k"])
def test_a_gelu_of_what_is_scaled_and_shifted(
    halved: str, scale: float, shift: float, tmp_path: Path
) -> None:
    """Written out, GELU of x + 1 was refused: erf was known in a GELU of x alone."""
    nodes = [
        node("Mul", "x scale", "t"), node("Add", "t shift", "h"), node("Mul", "h half", "k"),
        node("Mul", "h root", "a"), node("Erf", "a", "b"), node("Add", "b one", "c"),
        node("Mul", f"{halved} c", "y"),
    ]  # fmt: skip
    constants = {"root": 0.5**0.5, "one": 1.0, "half": 0.5, "scale": scale, "shift": shift}
    path = written(tmp_path, nodes, constants)
    assert operators(path)[:2] == ["batch_norm", "gelu"]
    compare(path, tmp_path, (8, 8))


def compare(path: Path, folder: Path, size: tuple[int, int] | None = None) -> None:
    """The output of the file against that of the definitions in the package ``onnx``."""
    model = convert_file(path, size=size)
    write_reference(path, folder / "reference.npz", size=size)
    with np.load(folder / "reference.npz") as stored:
        outputs = Session(model, threads=1).run(stored["input"], outputs=model.graph.outputs)
        for name, found in outputs.items():
            index = stored[f"index/{name}"] if f"index/{name}" in stored else slice(None)
            wanted = stored[f"output/{name}"].reshape(-1)
            np.testing.assert_allclose(found.reshape(-1)[index], wanted, rtol=1e-4, atol=1e-5)


def test_a_layer_norm_written_out(tmp_path: Path) -> None:
    nodes = [
        node("Transpose", "x", "t", perm=[0, 2, 3, 1]),
        node("ReduceMean", "t", "m", axes=[-1]), node("Sub", "t m", "d"),
        node("Pow", "d two", "q"), node("ReduceMean", "q", "v", axes=[-1]),
        node("Add", "v eps", "e"), node("Sqrt", "e", "r"), node("Div", "d r", "n"),
        node("Mul", "n weight", "w"), node("Add", "w bias", "y"),
    ]  # fmt: skip
    path = written(
        tmp_path, nodes,
        {"two": 2.0, "eps": 1e-6, "weight": [1.0, 2.0, 3.0], "bias": [0.5, 0.0, 1.0]}, opset=13,
    )  # fmt: skip
    assert "layer_norm2d" in operators(path)
    compare(path, tmp_path, (8, 8))


def test_padding_goes_into_the_convolution(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    nodes = [
        node("Pad", "x pads", "p"),
        node("Conv", "p weight", "y", strides=[2, 2], pads=[1, 0, 0, 1]),
    ]
    pads = np.array([0, 0, 0, 1, 0, 0, 2, 1])
    path = written(tmp_path, nodes, {"pads": pads, "weight": random.normal(0, 1, (4, 3, 3, 3))})
    (conv,) = convert_file(path).graph.nodes
    assert conv.attributes["padding"] == (1, 1, 2, 2)
    compare(path, tmp_path, (8, 8))


def test_either_factor_may_be_spread(tmp_path: Path) -> None:
    """As torchvision writes a gate: `scale * x`."""
    nodes = [
        node("GlobalAveragePool", "x", "m"), node("Conv", "m weight", "c"),
        node("Mul", "c x", "p"), node("AveragePool", "p", "y", kernel_shape=[2, 2]),
    ]  # fmt: skip
    path = written(tmp_path, nodes, {"weight": np.arange(9.0).reshape(3, 3, 1, 1)})
    compare(path, tmp_path, (8, 8))


def test_channels_last_at_the_border(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    nodes = [
        node("Transpose", "x", "t", perm=[0, 3, 1, 2]),
        node("Conv", "t weight", "c", auto_pad="SAME_UPPER", strides=[2, 2]),
        node("Transpose", "c", "y", perm=[0, 2, 3, 1]),
    ]
    weight = {"weight": random.normal(0, 1, (4, 3, 3, 3))}
    path = written(tmp_path, nodes, weight, [1, 8, 6, 3])
    model = convert_file(path)
    assert model.graph.inputs == {"x": (3, 8, 6)}
    assert [n.op for n in model.graph.nodes] == ["conv2d", "permute"]
    compare(path, tmp_path)


def test_shape_arithmetic_is_worked_out(tmp_path: Path) -> None:
    """As PyTorch writes `x.view(x.size(0), -1)` of a batch of any size."""
    nodes = [
        node("Shape", "x", "s"), node("Gather", "s zero", "n"), node("Unsqueeze", "n axes", "u"),
        node("Concat", "u minus", "t", axis=0), node("Reshape", "x t", "r"),
        node("Gemm", "r weight bias", "y", transB=1),
    ]  # fmt: skip
    constants = {"zero": np.array(0), "axes": np.array([0]), "minus": np.array([-1]),
                 "weight": np.ones((2, 192)), "bias": np.ones(2)}  # fmt: skip
    path = written(tmp_path, nodes, constants)
    assert operators(path) == ["flatten", "linear"]
    x = np.random.default_rng(0).random((3, 3, 8, 8), np.float32)
    wanted = x.reshape(3, -1).sum(axis=1) + 1
    np.testing.assert_allclose(Session(convert_file(path)).run(x)[:, 1], wanted, rtol=1e-5)


def test_pictures_are_prepared(tmp_path: Path) -> None:
    path = written(tmp_path, [node("Relu", "x", "y")])
    preparation = Preparation((0.1, 0.2, 0.3), (0.5, 1.0, 2.0), bgr=True)
    model = convert_file(path, size=(8, 8), preparation=preparation)
    x = np.random.default_rng(0).random((2, 3, 8, 8), np.float32)
    mean, std = (np.reshape(v, (3, 1, 1)) for v in (preparation.mean, preparation.std))
    wanted = np.maximum((x[:, ::-1] - mean) / std, 0)
    np.testing.assert_allclose(Session(model).run(x), wanted, rtol=1e-5, atol=1e-6)


def test_a_layer_norm_of_channels_written_out(tmp_path: Path) -> None:
    """As ConvNeXt has it, its difference from the mean computed twice."""
    nodes = [
        node("ReduceMean", "x", "m", axes=[1]), node("Sub", "x m", "d"),
        node("Pow", "d two", "q"), node("ReduceMean", "q", "v", axes=[1]),
        node("Add", "v eps", "e"), node("Sqrt", "e", "r"), node("Sub", "x m", "f"),
        node("Div", "f r", "n"), node("Mul", "weight n", "w"), node("Add", "w bias", "y"),
    ]  # fmt: skip
    path = written(
        tmp_path, nodes,
        {"two": 2.0, "eps": 1e-6, "weight": np.reshape([1.0, 2.0, 3.0], (3, 1, 1)),
         "bias": np.reshape([0.5, 0.0, 1.0], (3, 1, 1))}, opset=13,
    )  # fmt: skip
    assert "layer_norm2d" in operators(path)
    compare(path, tmp_path, (8, 8))


REFUSED = {
    "an operator": ([node("Sin", "x", "y")], {}, "'the_y' .Sin.: no such operator"),
    "an attribute": ([node("Relu", "x", "y", slope=1.0)], {}, "'the_y' .Relu.: attribute 'slope'"),
    "two values multiplied as matrices": ([node("MatMul", "x x", "y")], {}, "computed from the"),
    "erf alone": ([node("Erf", "x", "y")], {}, "'the_y': erf is known in GELU only"),
    "reflection of all axes": (
        [node("Pad", "x p", "y", mode="reflect")], {"p": np.arange(8)}, "more than two axes"
    ),
    "nothing that makes an input": ([node("Relu", "z", "y")], {}, "'z' is computed nowhere"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_known_is_named(name: str, tmp_path: Path) -> None:
    nodes, constants, message = REFUSED[name]
    with pytest.raises(ConvertError, match=message) as caught:
        convert_file(written(tmp_path, nodes, constants))
    assert str(caught.value).startswith(str(tmp_path / "network.onnx"))


def test_the_command_tells(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = str(tmp_path / "model.npz")
    path = str(written(tmp_path, [node("Sin", "x", "y")]))
    assert main(["convert", path, target]) == 2
    assert "the_y" in capsys.readouterr().err and not Path(target).exists()
    path = str(written(tmp_path, [node("Relu", "x", "y")]))
    assert main(["convert", path, target, "--size", "8x6"]) == 2
    assert "its pictures are 8x8 already" in capsys.readouterr().err
    path = str(written(tmp_path, [node("Relu", "x", "y")], shape=["N", 3, "H", "W"]))
    assert main(["convert", path, target, "--size", "8x6", "--std", "0,1"]) == 2
    assert "mean or std" in capsys.readouterr().err
    assert main(["convert", path, str(tmp_path / "gone" / "x.npz")]) == 4
    assert main(["convert", path, target, "--size", "8x6", "--name", "mine", "--mean", "0.5"]) == 0
    assert load_model(target).name == "mine" and "3x6x8" in capsys.readouterr().err
    assert main(["convert", "--operators"]) == 0
    assert "GlobalAveragePool" in capsys.readouterr().out
    assert main(["convert", str(tmp_path / "missing.onnx"), target]) == 2


@pytest.mark.parametrize("way", ["its name", "a way round", "a link", "a hard link"])
def test_a_source_is_not_written_over(
    way: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a network that took days to train there may be no other copy."""
    path = written(tmp_path, [node("Relu", "x", "y")])
    target, other = tmp_path / "model.npz", tmp_path / "other.onnx"
    before = path.read_bytes()
    if way == "its name":
        other = path
    elif way == "a way round":
        other = tmp_path / "." / ".." / tmp_path.name / path.name
    elif way == "a link":
        other.symlink_to(path)
    else:
        other.hardlink_to(path)
    assert main(["convert", str(path), str(other)]) == 4
    assert f"{other}: would take the place of {path}: name" in capsys.readouterr().err
    assert main(["convert", str(path), str(target), "--reference", str(other)]) == 4
    with pytest.raises(OutputError, match="would take the place of"):
        write_reference(path, other)
    assert path.read_bytes() == before and not target.exists()


def test_all_pictures_in_one_row_are_refused(tmp_path: Path) -> None:
    """The second half of all pictures became the second half of each."""
    nodes = [node("Flatten", "x", "f", axis=0), node("Slice", "f from to at", "y")]
    ends = {"from": [96], "to": [1 << 30], "at": [1]}
    with pytest.raises(ConvertError, match=r"'the_f' \(Flatten\): works along the batch"):
        convert_file(written(tmp_path, nodes, ends))
    compare(written(tmp_path, nodes, ends, [1, 3, 8, 8]), tmp_path)


@pytest.mark.parametrize("last", [False, True], ids=["channels first", "channels last"])
def test_a_reference_of_a_file_for_four_pictures(last: bool, tmp_path: Path) -> None:
    """``convert --reference`` ended with a traceback where the batch is fixed and not 1."""
    turned = node("Transpose", "x", "t", perm=[0, 3, 1, 2]) if last else node("Relu", "x", "t")
    nodes = [
        turned, node("Conv", "t w", "c"), node("Transpose", "c", "s", perm=[2, 0, 1, 3]),
        node("Sigmoid", "s", "g"), node("ReduceMax", "g", "m", axes=[0], keepdims=0),
        node("Flatten", "m", "y"),
    ]  # fmt: skip
    weights = {"w": np.random.default_rng(0).standard_normal((5, 3, 3, 3))}
    path = written(tmp_path, nodes, weights, [4, 7, 8, 3] if last else [4, 3, 7, 8])
    target, reference = str(tmp_path / "model.npz"), str(tmp_path / "reference.npz")
    assert main(["convert", str(path), target, "--reference", reference]) == 0
    with np.load(reference) as stored:
        assert stored["input"].shape == (4, 3, 7, 8) and "output/the_c" in stored
    assert main(["verify", target, reference]) == 0


def test_a_reference_takes_no_models_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command said that the model was written, and it was gone."""
    path = written(tmp_path, [node("Relu", "x", "y")])
    target = str(tmp_path / "model.npz")
    assert main(["convert", str(path), target, "--reference", target]) == 4
    assert "would take the place of" in capsys.readouterr().err
    assert not Path(target).exists()


def test_a_network_that_is_too_large_for_a_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_file, "SIZE_LIMIT", 1 << 20)
    monkeypatch.setattr(model_file.save_model, "__defaults__", (1 << 20,))
    nodes = [node("Flatten", "x", "f"), node("MatMul", "f w", "y")]
    weight = np.random.default_rng(0).random((192, 2500))
    path, target = str(written(tmp_path, nodes, {"w": weight})), str(tmp_path / "model.npz")
    assert main(["convert", path, target]) == 2
    assert "2 MiB of weights as float32, and a model file holds 1" in capsys.readouterr().err
    assert main(["convert", path, target, "--dtype", "float16"]) == 0


def test_hostile_constants(tmp_path: Path) -> None:
    """Sizes that do not fit, that are huge, and data in other places."""
    conv = [node("Conv", "x w", "y")]
    path = written(tmp_path, conv, {"w": np.ones((1, 3, 1, 1))})
    model = onnx.load(path)
    w = model.graph.initializer[0]

    def refused(message: str) -> None:
        path.write_bytes(model.SerializeToString())
        with pytest.raises(ConvertError, match=message):
            convert_file(path)

    w.dims[0] = 7
    refused("damaged")
    w.dims[0] = 1 << 40
    refused("limit")
    w.dims[0] = -1
    refused("below 0")
    w.dims[0] = 1
    w.ClearField("raw_data")
    w.data_location = TensorProto.EXTERNAL
    for location in ("../secret", "/etc/passwd", "", "..", "missing.bin"):
        del w.external_data[:]
        w.external_data.add(key="location", value=location)
        refused("no file beside it")
    del w.external_data[:]
    w.external_data.add(key="location", value="data.bin")
    (tmp_path / "data.bin").write_bytes(b"\0" * 8)
    refused("ends before")
    (tmp_path / "data.bin").write_bytes(np.ones(3, "<f4").tobytes())
    path.write_bytes(model.SerializeToString())
    assert (convert_file(path).weights["the_y.weight"] == 1).all()


def test_much_of_little_is_refused(tmp_path: Path) -> None:
    nodes = [node("ConstantOfShape", "s", "c"), node("Add", "x c", "y")]
    with pytest.raises(ConvertError, match="elements"):
        convert_file(written(tmp_path, nodes, {"s": np.array([1 << 20, 1 << 20])}))


def test_constants_together_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One input often; much that is worked out of little, again and again; files read twice."""
    ones, last = np.ones(1 << 20, np.float32), node("Relu", "x", "y")
    joined = written(tmp_path, [node("Concat", "w " * 65, "c", axis=0), last], {"w": ones})
    with pytest.raises(ConvertError, match="its constant would have 68157440 elements"):
        convert_file(joined)
    monkeypatch.setattr(onnx_file, "SIZE_LIMIT", 9000)
    made = [node("ConstantOfShape", "s", f"c{number}") for number in range(3)]
    assert operators(written(tmp_path, [*made[:2], last], {"s": np.array([1000])})) == ["relu"]
    with pytest.raises(ConvertError, match="take over 9000 bytes"):
        convert_file(written(tmp_path, [*made, last], {"s": np.array([1000])}))
    model = onnx.load(written(tmp_path, [last], {"a": np.ones(1200), "b": np.ones(1200)}))
    for tensor in model.graph.initializer:
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="data.bin")
    (tmp_path / "data.bin").write_bytes(bytes(4800))
    (tmp_path / "network.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ConvertError, match=r"'b' .* more than the limit of 9000"):
        convert_file(tmp_path / "network.onnx")


def test_nothing_is_printed_of_numbers_that_are_not_finite(tmp_path: Path) -> None:
    """Found by .ci/fuzz onnx: even to widen such a NaN makes NumPy warn."""
    weight = np.full((2, 192), 0x7F800001, np.uint32).view(np.float32)
    nodes = [node("Flatten", "x", "f"), node("Gemm", "f w", "y", transB=1, alpha=9.0)]
    with pytest.raises(ConvertError, match="not finite"):
        convert_file(written(tmp_path, nodes, {"w": weight}))


def test_texts_are_not_worked_out(tmp_path: Path) -> None:
    """Forty sums of a text with itself would be longer than any memory."""
    relu = node("Relu", "x", "y")
    model = onnx.load(written(tmp_path, [node("Add", "s s", "t"), relu]))
    model.graph.initializer.append(helper.make_tensor("s", TensorProto.STRING, [1], [b"1"]))
    (tmp_path / "network.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ConvertError, match="works out texts"):
        convert_file(tmp_path / "network.onnx")
    cast = node("Cast", "c", "t", to=TensorProto.STRING)
    with pytest.raises(ConvertError, match="works out texts"):
        convert_file(written(tmp_path, [cast, relu], {"c": np.ones(3)}))


def with_functions(folder: Path, bodies: list[list[Any]]) -> Path:
    """A file that calls the last of some functions `f0`, `f1`, ... from `a` to `b`."""
    model = onnx.load(
        written(folder, [helper.make_node(f"f{len(bodies) - 1}", ["x"], ["y"], domain="own")])
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    model.opset_import.append(opsets[1])
    for number, body in enumerate(bodies):
        model.functions.append(
            helper.make_function("own", f"f{number}", ["a"], ["b"], body, opsets)
        )
    (folder / "network.onnx").write_bytes(model.SerializeToString())
    return folder / "network.onnx"


def calls(*functions: int) -> list[Any]:
    """A body that calls these one after the other."""
    names = ["a", *(f"t{i}" for i in range(1, len(functions))), "b"]
    return [
        helper.make_node(f"f{number}", [names[i]], [names[i + 1]], domain="own")
        for i, number in enumerate(functions)
    ]


def test_functions_are_written_out(tmp_path: Path) -> None:
    relu = [helper.make_node("Relu", ["a"], ["b"])]
    assert operators(with_functions(tmp_path, [relu, calls(0, 0), calls(1, 0)])) == ["relu"] * 3


def test_functions_that_would_be_too_many_nodes(tmp_path: Path) -> None:
    """Each calls the one before twice; also in a branch of a node, in a circle, or very deep."""
    relu = [helper.make_node("Relu", ["a"], ["b"])]
    doubled = [relu, *(calls(number, number) for number in range(50))]
    with pytest.raises(ConvertError, match="has more than 32768 nodes, its functions written out"):
        convert_file(with_functions(tmp_path, doubled))
    branch = helper.make_graph(calls(50), "branch", [], [])
    inside = [helper.make_node("If", ["a"], ["b"], then_branch=branch, else_branch=branch)]
    with pytest.raises(ConvertError, match="more than 32768 nodes"):
        convert_file(with_functions(tmp_path, [*doubled, inside]))
    with pytest.raises(ConvertError, match="more than 64 deep"):
        convert_file(with_functions(tmp_path, [calls(1), calls(0)]))
    chain = [relu, *(calls(number) for number in range(80))]
    every = calls(*range(81))  # from the shallowest on, so that each is known when it is called
    with pytest.raises(ConvertError, match="more than 64 deep"):
        convert_file(with_functions(tmp_path, [*chain, every]))


def test_damaged_files_are_refused_or_whole(tmp_path: Path) -> None:
    path = written(tmp_path, [node("Conv", "x w", "y")], {"w": np.ones((4, 3, 3, 3))})
    data = path.read_bytes()
    random = np.random.default_rng(0)
    for _ in range(300):
        changed = bytearray(data[: random.integers(1, len(data) + 1)])
        for place in random.integers(0, len(changed), random.integers(0, 4)):
            changed[place] = random.integers(0, 256)
        path.write_bytes(bytes(changed))
        try:
            convert_file(path)
        except ConvertError as error:
            assert str(error).startswith(str(path))
