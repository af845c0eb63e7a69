"""`tools/convert/finder.py`: the bundled finders are what it makes of the published files."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from minimeso.engine.library import find_model

onnx = pytest.importorskip("onnx")
from tools.convert import finder  # noqa: E402 (needs onnx)


@pytest.mark.parametrize("name", ["yunet-s", "yunet-n"])
def test_bundled_finders_come_from_the_published_files(name: str) -> None:
    folder = Path(os.environ.get("MINIMESO_DATA", "/nowhere")) / "detectors" / "yunet"
    source = folder / f"{name.replace('-', '_')}_640_640.onnx"
    if not source.is_file():
        pytest.skip("MINIMESO_DATA does not name a folder with detectors/")
    made, bundled = finder.convert(source, name), find_model(name)
    assert made.meta == bundled.meta
    assert made.graph.to_json() == bundled.graph.to_json()
    assert set(made.weights) == set(bundled.weights)
    for key, array in made.weights.items():
        assert np.array_equal(array, bundled.weights[key])


def test_what_is_no_yunet_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "text.onnx").write_text("no network")
    assert finder.main([str(tmp_path / "text.onnx"), str(tmp_path / "out.npz")]) == 2
    assert "not an ONNX file" in capsys.readouterr().err
    tensor = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 3, 4, 4])
    node = onnx.helper.make_node("Tanh", ["x"], ["cls_8"], name="tanh")
    graph = onnx.helper.make_graph([node], "other", [tensor], [tensor])
    onnx.save(onnx.helper.make_model(graph), str(tmp_path / "other.onnx"))
    assert finder.main([str(tmp_path / "other.onnx"), str(tmp_path / "out.npz")]) == 2
    error = capsys.readouterr().err
    assert "other.onnx" in error and not (tmp_path / "out.npz").exists()
    assert finder.main([str(tmp_path / "gone.onnx"), str(tmp_path / "out.npz")]) == 2
