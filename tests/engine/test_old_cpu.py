"""A processor without SSE4.2: what NumPy needs is said before NumPy ends the process."""

from __future__ import annotations

import subprocess
import sys

import pytest

from minimeso import EngineError
from minimeso.engine.bindings import check_numpy


def test_a_numpy_that_would_not_run_is_refused() -> None:
    with pytest.raises(EngineError, match=r"NumPy 2\.4\.6 .*minimeso\[old-pc\]"):
        check_numpy(False, "2.4.6")
    with pytest.raises(EngineError):
        check_numpy(False, "3.0.0rc1")
    check_numpy(False, "2.3.5")
    check_numpy(True, "2.4.6")


@pytest.mark.parametrize(
    "first", ["minimeso.engine.native", "minimeso.detect", "minimeso.networks", "minimeso.report"]
)
def test_it_is_asked_before_numpy_is_imported(first: str) -> None:
    code = f"import sys, {first}; m = [*sys.modules]; print(m.index('numpy') > m.index('{ASKS}'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


ASKS = "minimeso.engine.bindings"
