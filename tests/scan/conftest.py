"""What is shared by tests of scans."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def collected(request: pytest.FixtureRequest) -> Iterator[None]:
    """Connections that a test breaks off, and is allowed to, are closed by the garbage collector:
    before the next test, which is not allowed to."""
    yield
    if request.node.get_closest_marker("filterwarnings"):
        gc.collect()
