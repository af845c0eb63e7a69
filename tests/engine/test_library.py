"""Bundled models by name: files and short names agree; the unknown is told what there is."""

from __future__ import annotations

from pathlib import Path

import pytest

from minimeso import ModelError, load_model
from minimeso.engine import ALIASES, bundled_models, find_model, model_path
from minimeso.networks import NETWORKS


def test_a_file_is_called_like_its_model() -> None:
    for name, path in bundled_models().items():
        assert load_model(path).name == name
        assert find_model(name) is find_model(path)


def test_short_names_stand_for_files_and_hide_none() -> None:
    bundled = bundled_models()
    assert set(ALIASES.values()) <= set(bundled)
    assert not set(ALIASES) & set(bundled)
    for short, name in ALIASES.items():
        assert find_model(short) is find_model(name)
        assert model_path(short) == bundled[name]


def test_the_papers_networks_are_called_by_architecture_and_activation() -> None:
    found = [(name, find_model(name).meta) for name in bundled_models()]
    of_the_paper = [(name, meta) for name, meta in found if meta.get("architecture") in NETWORKS]
    assert len(of_the_paper) >= 6
    for name, meta in of_the_paper:
        assert name == f"{meta['architecture']}-{meta['activation']}"


def test_what_is_no_name_is_a_path(tmp_path: Path) -> None:
    assert model_path(tmp_path / "a.npz") == str(tmp_path / "a.npz")
    with pytest.raises(
        ModelError, match=r"nobody: no bundled model .*default, .*mesoinception4-mish"
    ):
        find_model("nobody")
