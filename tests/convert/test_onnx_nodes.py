"""ONNX' own tests of single operators: none fails, and of every operator that is claimed some pass.

`python -m tools.convert.onnx_nodes` prints the table.
"""

from __future__ import annotations

from collections import Counter

import pytest

pytest.importorskip("onnx")
from minimeso.convert.onnx_operators import PARTS, READERS
from tools.convert import onnx_nodes

#: Operators whose tests all ask for what is refused, and why.
NOT_SHOWN = {
    "Upsample": "of an opset that newer packages have no test of",
}


@pytest.mark.filterwarnings("ignore")  # of the definitions in the package, on purpose
def test_no_operator_fails() -> None:
    outcomes = [onnx_nodes.run(*test) for test in onnx_nodes.claimed(onnx_nodes.KINDS)]
    assert [outcome for outcome in outcomes if outcome.result == "failed"] == []
    assert all(outcome.reason for outcome in outcomes if outcome.result == "skipped")
    passed = Counter(outcome.operator for outcome in outcomes if outcome.result == "passed")
    assert sum(passed.values()) > 300
    assert READERS.keys() - PARTS - passed.keys() - NOT_SHOWN.keys() == set()
