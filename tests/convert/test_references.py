"""References: what they are computed in, and what of a network they hold."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from minimeso.cli import main
from minimeso.convert import write_reference
from minimeso.errors import ConvertError

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402
from test_onnx_file import node  # noqa: E402

KINDS = ("FLOAT16", "BFLOAT16", "DOUBLE")


def of_type(folder: Path, name: str) -> str:
    """A network of that type, as a program that was made so exports it: with casts, constants and
    what is worked out of them."""
    kind = getattr(TensorProto, name)
    random = np.random.default_rng(0)

    def tensor(name: str, *shape: int) -> onnx.TensorProto:
        array = random.normal(size=shape).astype(helper.tensor_dtype_to_np_dtype(kind))
        return numpy_helper.from_array(np.asarray(array), name)

    nodes = [
        node("Cast", "x", "h", to=kind),
        node("Div", "weight third", "w"),
        node("Conv", "h w", "c", pads=[1, 1, 1, 1]),
        node("Constant", "", "k", value=tensor("k")),
        node("Mul", "c k", "m"),
        node("Relu", "m", "y"),
    ]
    initializers = [tensor("weight", 5, 3, 3, 3), tensor("third", 1)]
    values = (
        helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8]),
        helper.make_tensor_value_info("y", kind, None),
    )
    graph = helper.make_graph(nodes, "g", values[:1], values[1:], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    path = folder / "network.onnx"
    path.write_bytes(model.SerializeToString())
    return str(path)


@pytest.mark.parametrize("runtime", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_right_networks_of_other_types_are_told_right(
    kind: str,
    runtime: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """ONNX Runtime rounds to 16 bits in every step, which `verify` called wrong, and has no
    convolution in bfloat16 or float64 at all."""
    if not runtime:
        monkeypatch.setitem(sys.modules, "onnxruntime", None)
    else:
        pytest.importorskip("onnxruntime")
    model, reference = (str(tmp_path / name) for name in ("m.npz", "r.npz"))
    assert main(["convert", of_type(tmp_path, kind), model, "--reference", reference]) == 0
    with np.load(reference) as stored:
        assert {"output/the_c", "output/the_y"} <= {*stored}
    assert main(["verify", model, reference]) == 0
    assert capfd.readouterr().err.count("\n") == 1  # what was converted, and no warning


def test_a_network_of_which_nothing_is_compared(tmp_path: Path) -> None:
    """It was written, and `verify` said that `minimeso convert` had not."""
    torch = pytest.importorskip("torch")
    program = torch.export.export(torch.nn.Identity().eval(), (torch.rand(1, 3, 8, 8),))
    path = str(tmp_path / "network.pt2")
    torch.export.save(program, path)
    with pytest.raises(ConvertError, match="nothing to compare"):
        write_reference(path, tmp_path / "r.npz")


_KERAS = """
import sys, keras
import numpy as np
from minimeso.convert import write_reference
image = keras.Input((8, 6, 3))
x = keras.layers.Conv2D(4, 3)(image) * 2.0
keras.Model(image, keras.layers.ReLU()(x) + 1).save(sys.argv[1])
write_reference(sys.argv[1], sys.argv[2])
print(*[name for name in np.load(sys.argv[2]) if name.startswith("output/")])
"""


def test_functions_between_the_layers_of_keras(tmp_path: Path) -> None:
    """Layers alone were compared, and not what came of them in the end."""
    pytest.importorskip("torch")
    command = [sys.executable, "-W", "ignore", "-c", _KERAS, "network.keras", "reference.npz"]
    environment = {**os.environ, "KERAS_BACKEND": "torch"}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    if "No module named 'keras'" in done.stderr:
        pytest.skip("no Keras here")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [
        "output/conv2d", "output/multiply", "output/re_lu", "output/add",
    ]  # fmt: skip
