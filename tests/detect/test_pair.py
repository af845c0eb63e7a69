"""Pairs: what is written is read back; what is damaged or hostile is a ModelError."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.detectors import constant_detector, saved, saved_pair, small_detector, small_pair

from minimeso import Detector, Graph, Model, ModelError, Session
from minimeso.cli import main
from minimeso.detect.pair import (
    FORMAT,
    SIZE_LIMIT,
    Combination,
    Pair,
    bundled_pairs,
    find_detector,
    load_pair,
    logit,
    save_pair,
)
from minimeso.engine import ALIASES, find_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pair with everything that a manifest can hold, as ``both.json``."""
    folder = tmp_path_factory.mktemp("pair")
    calibration = {"spread": 0.6, "small_faces": {"below": 107.0, "shift": 1.5}}
    saved_pair(small_pair(calibration=calibration, meta={"auc": 0.9}), folder)
    saved(small_detector("wider", 3, framing={"resample": "bilinear", "side": 2.5}), folder)
    saved(constant_detector(0.0, framing={"resample": "bilinear", "side": 2.1}), folder)
    saved(small_detector("network", 4, thresholds=None), folder)
    (folder / "text.npz").write_text("no archive")
    return folder


@pytest.fixture
def write(folder: Path) -> Callable[[Callable[[dict[str, Any]], Any]], Path]:
    """A manifest like ``both.json``, changed, beside the same models."""

    def make(change: Callable[[dict[str, Any]], Any]) -> Path:
        description = json.loads((folder / "both.json").read_bytes())
        replaced = change(description)
        text = replaced if isinstance(replaced, bytes) else json.dumps(description).encode()
        path = folder / "changed.json"
        path.write_bytes(text)
        return path

    return make


def test_roundtrip(folder: Path) -> None:
    pair = load_pair(folder / "both.json")
    assert (pair.name, pair.fast.name, pair.thorough.name) == ("both", "quick", "slow")
    assert pair.combination == Combination(0.1, 0.3, 0.8)
    assert pair.thresholds == {"real": 0.3, "fake": 0.7}
    assert pair.calibration["spread"] == 0.6 and pair.meta == {"auc": 0.9}
    assert pair.framing == {"resample": "bilinear", "side": 2.1}
    save_pair(pair, folder / "again.json")
    assert (folder / "again.json").read_bytes() == (folder / "both.json").read_bytes()
    assert not list(folder.glob("*.part"))


def test_a_detector_is_found_by_whatever_it_is(folder: Path) -> None:
    path = folder / "both.json"
    pair, model = load_pair(path), find_model(folder / "quick.npz")
    assert find_detector(pair) is pair and find_detector(model) is model
    for found in (find_detector(path), find_detector(str(path))):
        assert isinstance(found, Pair) and found.fast is model
    assert find_detector(folder / "quick.npz") is model
    assert find_detector("swish") is find_model("mesoinception4-swish")
    for name in ("nobody", "nobody.json", "yunet-s"):
        with pytest.raises(ModelError, match=name):
            find_detector(name)


def test_fast_does_not_read_the_thorough_network(folder: Path, tmp_path: Path) -> None:
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    pair = load_pair(folder / "both.json")
    (tmp_path / f"{pair.thorough.name}.npz").unlink()
    found = find_detector(tmp_path / "both.json", fast=True)
    assert isinstance(found, Model) and found.name == pair.fast.name
    assert find_detector(pair, fast=True) is pair.fast
    with pytest.raises(ModelError):
        find_detector(tmp_path / "both.json")


def test_a_bundled_pair_goes_before_a_short_name(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("minimeso.engine.library._FOLDER", str(folder))
    (folder / "default.json").write_bytes((folder / "both.json").read_bytes())
    try:
        assert isinstance(find_detector("default"), Pair)
        assert isinstance(find_detector("both"), Pair) and "both" in bundled_pairs()
    finally:
        (folder / "default.json").unlink()


def test_a_package_without_its_pair_does_not_judge_by_half_of_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The fast network alone is wrong more often, and nothing said so."""
    monkeypatch.setattr("minimeso.detect.pair.bundled_pairs", dict)
    with pytest.raises(ModelError, match=r"default\.json is missing in the package: install"):
        Detector(threads=1)
    assert main(["detect", "a.jpg"]) == 2
    assert "install minimeso again" in capsys.readouterr().err


def test_bundled_pairs_can_be_used() -> None:
    """What ``Session("default")`` runs is the fast network of the pair of that name."""
    for name, path in bundled_pairs().items():
        pair = load_pair(path)
        assert pair.name == name
        if name in ALIASES:
            assert pair.fast is find_model(name)


def test_a_session_is_one_network(folder: Path) -> None:
    with pytest.raises(ModelError, match=r"both\.json: a pair of networks"):
        Session(folder / "both.json")


@given(st.floats(0, 1))
def test_logits_are_cut(p: float) -> None:
    assert -7 <= logit(p) <= 7
    assert logit(p / 2) <= logit(p)
    if 0.001 < p < 0.999:
        assert 1 / (1 + math.exp(-logit(p))) == pytest.approx(p)
        assert logit(1 - p) == pytest.approx(-logit(p))
    assert (logit(0.0), logit(1.0), logit(1e-300)) == (-7, 7, -7)


# --- hostile manifests -------------------------------------------------------------------


def _combine(**values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda d: d["combination"].update(values)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(format=FORMAT + 1), "newer"),
        (lambda d: d.update(format=True), "format"),
        (lambda d: d.update(format=0), "format"),
        (lambda d: d.pop("format"), "format"),
        (lambda d: d.update(name="\x1b[31m"), "name"),
        (lambda d: d.update(name="x" * 101), "name"),
        (lambda d: d.pop("name"), "name"),
        (lambda d: d.pop("thresholds"), "thresholds"),
        (lambda d: d.update(thresholds={"real": 0.9, "fake": 0.1}), "thresholds"),
        (lambda d: d.update(thresholds={"real": "0", "fake": 1}), "thresholds"),
        (lambda d: d.update(thresholds=[0.1, 0.9]), "thresholds"),
        (lambda d: d.pop("combination"), "'combination' needs the number 'bias'"),
        (lambda d: d.update(combination=[0, 1, 1]), "combination"),
        (lambda d: d["combination"].pop("thorough"), "'combination' needs the number 'thorough'"),
        (_combine(bias="0"), "bias"),
        (_combine(fast=None), "fast"),
        (_combine(fast=True), "fast"),
        (_combine(thorough=101), "thorough"),
        (_combine(thorough=-(10**400)), "thorough"),
        (_combine(bias=[0]), "bias"),
        (lambda d: d.update(calibration=[]), "calibration"),
        (lambda d: d.update(calibration={"small_faces": {"below": -1, "shift": 1}}), "small_faces"),
        (lambda d: d.update(calibration={"small_faces": 3}), "small_faces"),
        (lambda d: d.update(calibration={"spread": 0}), "spread"),
        (lambda d: d.update(calibration={"spread": "0.6"}), "spread"),
        (lambda d: d.update(meta=3), "meta"),
        (lambda d: b'{"format": NaN}', "JSON"),
        (lambda d: b'{"format": 1, "meta": {"auc": 1e999}}', "finite"),
        (lambda d: b'{"format": 1, "meta": {"auc": -Infinity}}', "finite"),
        (lambda d: b"[" * 200_000, "JSON"),
        (lambda d: b'{"format": ' + b"9" * 5000 + b"}", "JSON|newer"),
        (lambda d: b"\xff\xfe", "JSON"),
        (lambda d: b"[]", "object"),
        (lambda d: b"", "JSON"),
        (lambda d: b" " * (SIZE_LIMIT + 1), "limit"),
    ],
)
def test_hostile_manifests(
    write: Callable[..., Path], change: Callable[[dict[str, Any]], Any], message: str
) -> None:
    with pytest.raises(ModelError, match=rf"changed\.json.*({message})"):
        load_pair(write(change))


@pytest.mark.parametrize("key", ["fast", "thorough"])
@pytest.mark.parametrize(
    "file",
    [
        "/etc/passwd", "../pair/quick.npz", "./quick.npz", "..", ".", "", "a/../quick.npz",
        "..\\quick.npz", "C:quick.npz", "\\\\host\\quick.npz", "quick.npz\0", "quick.npz\n",
        "both.json", "quick", ".npz", ".quick.npz", "qu ick.npz", "http://x/quick.npz",
        "x" * 100 + ".npz", None, 3, ["quick.npz"], {"a": 1}, True,
    ],
)  # fmt: skip
def test_only_plain_names_beside_the_manifest(
    write: Callable[..., Path], key: str, file: Any
) -> None:
    with pytest.raises(ModelError, match=rf"changed\.json: '{key}' is .*not the name of a model"):
        load_pair(write(lambda d: d.update({key: file})))


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("missing.npz", r"missing\.npz"),
        ("text.npz", r"text\.npz: damaged"),
        ("network.npz", "network: has no thresholds"),
        ("wider.npz", "framing of quick is .*2.1.*, that of wider .*2.5"),
        ("constant.npz", r"size of quick is \(32, 32\), that of constant \(6, 8\)"),
    ],
)
def test_networks_that_make_no_pair(write: Callable[..., Path], file: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        load_pair(write(lambda d: d.update(thorough=file)))


def test_one_network_may_be_both(write: Callable[..., Path]) -> None:
    pair = load_pair(write(lambda d: d.update(thorough="quick.npz")))
    assert pair.fast is pair.thorough


@given(place=st.integers(0, 10**9), value=st.integers(0, 255))
def test_flipped_bytes_never_crash(folder: Path, place: int, value: int) -> None:
    data = bytearray((folder / "both.json").read_bytes())
    data[place % len(data)] = value
    path = folder / "flipped.json"
    path.write_bytes(data)
    try:
        load_pair(path)
    except ModelError as error:
        assert "flipped.json" in str(error) or "network" in str(error)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)


@given(
    key=st.sampled_from(
        ["format", "name", "fast", "thorough", "combination", "thresholds", "calibration", "meta",
         "combination.bias", "combination.fast", "thresholds.real", "thresholds.fake",
         "calibration.spread", "calibration.small_faces", "calibration.small_faces.below"]
    ),
    value=_JSON,
)  # fmt: skip
def test_any_value_anywhere(folder: Path, key: str, value: Any) -> None:
    """Refused, or a pair that can judge."""
    description = json.loads((folder / "both.json").read_bytes())
    *outer, last = key.split(".")
    inside = description
    for name in outer:
        inside = inside[name]
    inside[last] = value
    path = folder / "any.json"
    path.write_text(json.dumps(description))
    try:
        pair = load_pair(path)
    except ModelError as error:
        assert "any.json" in str(error)
        return
    assert all(math.isfinite(number) for number in pair.combination)
    assert 0 <= pair.thresholds["real"] <= pair.thresholds["fake"] <= 1


def test_cut_at_every_place(folder: Path) -> None:
    data = (folder / "both.json").read_bytes().rstrip()
    path = folder / "cut.json"
    for end in range(len(data)):
        path.write_bytes(data[:end])
        with pytest.raises(ModelError, match=r"cut\.json"):
            load_pair(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    with pytest.raises(ModelError, match="regular"):
        load_pair(tmp_path / "pipe.json")


# --- writing -----------------------------------------------------------------------------


def _no_detector() -> Model:
    graph = Graph("plain")
    graph.output(graph.node("relu", graph.input("x", (3, 32, 32))))
    return Model("plain", graph, {})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": ""}, "name"),
        ({"combination": Combination(math.nan, 1, 1)}, "JSON"),
        ({"combination": Combination(0, 1000, 1)}, "combination"),
        ({"thresholds": {"real": 0.9, "fake": 0.1}}, "thresholds"),
        ({"meta": {"made": np.arange(3)}}, "JSON"),
        ({"meta": {"auc": math.inf}}, "JSON"),
        ({"calibration": {"small_faces": {"below": "a"}}}, "small_faces"),
        ({"thorough": small_detector("absent", 9)}, "absent"),
        ({"thorough": small_detector("no name", 9)}, "no name"),
        ({"thorough": small_detector("wider", 9)}, "framing"),
        ({"fast": _no_detector()}, "plain"),
        ({"meta": {"text": "x" * SIZE_LIMIT}}, "limit"),
    ],
)
def test_saving_a_wrong_pair_leaves_nothing(
    folder: Path, changes: dict[str, Any], message: str
) -> None:
    before = sorted(folder.iterdir())
    with pytest.raises(ModelError, match=message):
        save_pair(dataclasses.replace(small_pair(), **changes), folder / "x.json")
    assert sorted(folder.iterdir()) == before


def test_a_pair_made_by_hand_is_checked(folder: Path) -> None:
    with pytest.raises(ModelError, match=r"both: both networks .* framing"):
        find_detector(small_pair(thorough=find_model(folder / "wider.npz")))
