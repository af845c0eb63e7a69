"""A fixture for tests that start clusters; a test module asks for it by `pytest_plugins`."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture
def no_leftovers() -> Iterator[None]:
    """What Dask leaves open is collected here, where its warnings are expected: of this test, and
    of those before, whose threads may have held it until now."""
    gc.collect()
    yield
    gc.collect()
