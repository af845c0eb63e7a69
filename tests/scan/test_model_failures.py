"""Models that fail on a file, which may be the fault of either."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("distributed")
pytest.importorskip("pyarrow")

from support.scans import OF_CLUSTERS, numbered, rows, stubs
from support.stub_judges import Stub
from test_cluster import scan

from minimeso.errors import ModelError
from minimeso.scan import Limits

pytest_plugins = ["support.leftovers"]
pytestmark = OF_CLUSTERS


def test_a_model_that_fails_on_some_files(tmp_path: Path) -> None:
    """They are named, with the reason, and nobody else waits for them."""
    bad = stubs(*(f"overflow-{number:02}" for number in range(12)))
    entries = [*numbered(6), *bad, *stubs("large")]
    state = scan(entries, tmp_path, Stub(), workers=1, limits=Limits(memory=300 << 20))
    assert state.done == 19 and state.results["given_up"] == 13
    reasons = {row["path"]: row["reason"] for row in rows(tmp_path) if row["status"] == "given_up"}
    assert reasons.pop("/stub/large") == "more than 300 MiB of memory"
    assert reasons == dict.fromkeys(
        (entry.path for entry in bad), "the model fails on it: its weights overflow"
    )
    assert scan(entries, tmp_path, Stub()).total == 0


def test_a_model_that_fails_on_every_file(tmp_path: Path) -> None:
    """It is to blame, and what has no face in it says nothing for it."""
    entries = stubs(*(f"overflow-{number:03}" for number in range(100)))
    said = r"judged no file .* /stub/overflow-0\d\d: .*its weights overflow: name another --model"
    with pytest.raises(ModelError, match=said):
        scan(entries, tmp_path, Stub(), workers=1)
    assert 10 <= len(rows(tmp_path)) < 100
