"""The networks of `tools/zoo` are those of their papers, and a few of them agree layer by layer.

`python -m tools.zoo` compares all of them.
"""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")
from tools.zoo import __main__ as zoo  # noqa: E402 (needs torch)


def test_as_many_learned_values_as_published() -> None:
    with torch.device("meta"):
        counts = {
            name: sum(tensor.numel() for tensor in entry.build().parameters())
            for name, entry in zoo.ZOO.items()
        }
    assert counts == {name: entry.parameters for name, entry in zoo.ZOO.items()}


@pytest.mark.parametrize(
    ("name", "kind", "side"), [("srcnn", "onnx", 24), ("blazeface", "pt2", 64)]
)
def test_layer_by_layer(name: str, kind: str, side: int, tmp_path: Path) -> None:
    shape = (zoo.ZOO[name].shape[0], side, side)
    row = zoo.compare(zoo.exported(name, kind, tmp_path, shape))
    assert row.compared > row.nodes // 2
    assert row.error < 1e-5
