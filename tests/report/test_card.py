"""The limits of a model, from the card that lies beside it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from support.detectors import random_detector, saved, saved_pair, small_pair

from minimeso import save_model
from minimeso.report.card import as_html, limits


def test_limits_come_from_the_card(tmp_path: Path) -> None:
    text = limits("default")
    assert text and text.startswith("- ") and "##" not in text
    path = saved(random_detector(), tmp_path)
    assert limits(path) is None
    (tmp_path / "random.md").write_text("# x\n## What it cannot do\n\n- A `b`\n  c\n\nD\n## E\nf\n")
    assert limits(path) == "- A `b`\n  c\n\nD"
    assert limits(random_detector()) is None
    (tmp_path / "random.md").write_bytes(b"\xff" * 100)
    assert limits(path) is None
    assert limits("no\0model") is None


def test_a_pair_has_a_card_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path(saved_pair(small_pair(), tmp_path))
    path.with_suffix(".md").write_text("## What it cannot do\n\n- Both\n")
    (tmp_path / "quick.md").write_text("## What it cannot do\n\n- Quick\n")
    assert limits(path) == "- Both" and limits(small_pair()) is None
    monkeypatch.setattr("minimeso.engine.library._FOLDER", str(tmp_path))
    assert limits("both") == limits(small_pair()) == "- Both"
    assert limits("quick") == limits(small_pair().fast) == "- Quick"


def test_limits_as_html() -> None:
    html = as_html("- A `<b>` **strong**\n  on\n- C\n\nD\nE")
    assert html == (
        "<ul><li>A <code>&lt;b&gt;</code> <strong>strong</strong> on</li><li>C</li></ul><p>D E</p>"
    )


def test_a_bundled_model_saved_elsewhere_has_no_card(tmp_path: Path) -> None:
    model = dataclasses.replace(random_detector(), name="default")
    save_model(model, tmp_path / "other.npz")
    assert limits(tmp_path / "other.npz") is None
