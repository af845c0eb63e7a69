"""What programs give to the doors of conversion: taken, or refused with what to give instead."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minimeso import Session
from minimeso.cli import main
from minimeso.convert import Preparation, convert_file, convert_module
from minimeso.errors import ConvertError

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

SHAPE = (1, 3, 8, 8)
ANYTHING: Any = [0.5, ("a",)]


def layer() -> Any:
    return nn.Conv2d(3, 4, 3).eval()


def test_an_example_may_be_one_tensor() -> None:
    x = torch.rand(SHAPE)
    module = layer()
    wanted = module(x).detach().numpy()
    for example in (x, [x], (x,)):
        found = Session(convert_module(module, example), threads=1).run(x.numpy())
        np.testing.assert_allclose(found, wanted, atol=1e-6)


@pytest.mark.parametrize(
    "example", [SHAPE, torch.Size(SHAPE), np.zeros(SHAPE), (np.zeros(SHAPE),), None, (), 5, "1x3"]
)
def test_an_example_that_is_none(example: Any) -> None:
    with pytest.raises(ConvertError, match=r"^Conv2d: example is .*such as .torch\.rand.1, 3,"):
        convert_module(layer(), example)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 8}, r"size is 8: give .height, width. in pixels"),
        ({"size": (8,)}, "size is"),
        ({"size": (8, 0)}, "size is"),
        ({"size": (8.0, 8)}, "size is"),
        ({"preparation": (0.5,)}, r"preparation is a tuple: give a Preparation.mean, std, bgr."),
        ({"preparation": Preparation(mean=ANYTHING[0])}, "mean is 0.5: give a tuple of numbers"),
        ({"preparation": Preparation(std=ANYTHING[1])}, "std is .*: give a tuple"),
        ({"preparation": Preparation(std=(float("nan"),))}, "std is .*: give a tuple"),
        ({"preparation": Preparation(std=(0.0,))}, "std is .*: pictures are divided by it"),
        ({"preparation": Preparation(mean=())}, "mean is .*: give a tuple"),
    ],
)
def test_settings_that_are_none(settings: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConvertError, match=f"^Conv2d: {message}"):
        convert_module(layer(), torch.rand(SHAPE), **settings)
    path = tmp_path / "a.pt2"
    torch.export.save(torch.export.export(layer(), (torch.rand(SHAPE),)), path)
    with pytest.raises(ConvertError, match=f"a.pt2: {message}"):
        convert_file(path, **settings)


def test_a_module_is_no_file() -> None:
    given: Any = layer()
    with pytest.raises(ConvertError, match="a Conv2d is no path of a file; convert_module"):
        convert_file(given)


def test_an_exported_program_is_no_module() -> None:
    """Of its ``module()`` it was said to call ``.eval()``, which that refuses."""
    program = torch.export.export(layer(), (torch.rand(SHAPE),))
    for given in (program, program.module()):
        with pytest.raises(ConvertError, match=r"by torch.export.save, and convert_file reads"):
            convert_module(given, torch.rand(SHAPE))
    with pytest.raises(ConvertError, match=r"training mode: call .eval.. on it"):
        convert_module(torch.fx.symbolic_trace(layer()).train(), torch.rand(SHAPE))


class Scaled(nn.Module):
    """With arguments that are no tensors."""

    def forward(self, x: Any, factor: float, negative: bool = False) -> Any:
        return -x * factor if negative else x * factor


def test_arguments_that_are_no_tensors_are_constants() -> None:
    x = torch.rand(SHAPE)
    model = convert_module(Scaled().eval(), (x, 0.5, True))
    assert list(model.graph.inputs) == ["x"]
    np.testing.assert_allclose(Session(model, threads=1).run(x.numpy()), -0.5 * x.numpy())


def test_results_that_are_no_tensors_are_refused_by_their_kind() -> None:
    class Counting(nn.Module):
        def forward(self, x: Any) -> Any:
            return x * 2, 3

    with pytest.raises(ConvertError, match="returns a result of the kind 'int': let forward"):
        convert_module(Counting().eval(), torch.rand(SHAPE))


FOREIGN = {
    "a.caffemodel": b"\x0a\x04abcd", "a.pb": b"", "a.safetensors": b"\x10\0\0\0\0\0\0\0{}",
    "a.jpg": b"\xff\xd8\xff\xe0", "notes.txt": b"hello", "network": b"abc", "a.zip": None,
}  # fmt: skip


@pytest.mark.parametrize("name", FOREIGN)
def test_a_file_of_another_kind_is_told_what_is_read(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / name
    content = FOREIGN[name]
    if content is None:
        np.savez(path.with_suffix(".npz"), a=np.zeros(1))
        path.with_suffix(".npz").rename(path)
    else:
        path.write_bytes(content)
    endings = r"known: \.onnx, \.pt2, \.keras, \.h5 and \.hdf5 are read"
    with pytest.raises(ConvertError, match=endings):
        convert_file(path)
    assert main(["convert", str(path), str(tmp_path / "m.npz")]) == 2
    assert ".onnx, .pt2, .keras, .h5 and .hdf5" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "onnx", None)  # as if it were not installed
    with pytest.raises(ConvertError, match=endings):
        convert_file(path)
