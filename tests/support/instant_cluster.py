"""A fixture for tests without a cluster; a test module asks for it by `pytest_plugins`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from minimeso.scan import run as module
from support.instant import Instant


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """In place of each new cluster; the first ones get lost in these ways."""
    ways: list[str] = []

    @contextlib.contextmanager
    def client(*_: object, **__: object) -> Iterator[Instant]:
        yield Instant(*(ways.pop(0),) if ways else ())

    monkeypatch.setattr(module, "local_client", client)
    return ways
