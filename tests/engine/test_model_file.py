"""Model files: what is written is read back; what is damaged or hostile is a ModelError."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import random_weights
from hypothesis import given
from hypothesis import strategies as st

from minimeso import (
    Graph,
    GraphError,
    InputError,
    Model,
    ModelError,
    OutputError,
    Session,
    load_model,
    save_model,
)
from minimeso.engine import model_file
from minimeso.engine.model_file import FORMAT, _archive
from minimeso.engine.storage import DTYPES, LARGE, quantized, stored

RNG = np.random.default_rng(7)


def tiny() -> Model:
    graph = Graph("tiny")
    x = graph.input("image", (3, 8, 8))
    x = graph.node("conv2d", x, out_channels=2, kernel_size=3, name="conv1")
    x = graph.node("batch_norm", x, name="bn1")
    x = graph.node("flatten", x, name="flatten")
    x = graph.node("linear", x, out_features=1, name="fc")
    graph.output(graph.node("sigmoid", x, name="p_fake"))
    return Model(
        "tiny",
        graph,
        random_weights(graph, RNG),
        meta={"licence": "MIT"},
        framing={"resample": "bilinear", "side": 2.3},
        thresholds={"real": 0.4, "fake": 0.6},
    )


@pytest.fixture(scope="module")
def blob(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("model") / "tiny.npz"
    save_model(tiny(), path)
    return path.read_bytes()


@pytest.fixture
def write(tmp_path: Path, blob: bytes) -> Callable[..., Path]:
    """A file like the tiny model's, with its description or its arrays changed."""

    def make(
        change: Callable[[dict[str, Any]], Any] = lambda d: d,
        arrays: dict[str, Any] | None = None,
        drop: tuple[str, ...] = (),
    ) -> Path:
        with np.load(io.BytesIO(blob)) as file:
            content = {name: file[name] for name in file.files}
        description = json.loads(content.pop("model.json").tobytes())
        replaced = change(description)
        text = replaced if isinstance(replaced, bytes) else json.dumps(description).encode()
        content.update(arrays or {})
        for name in drop:
            content.pop(name, None)
        if "model.json" not in drop:
            content.setdefault("model.json", np.frombuffer(text, np.uint8))
        path = tmp_path / "changed.npz"
        np.savez(path, **content)
        return path

    return make


def test_roundtrip(tmp_path: Path, blob: bytes) -> None:
    path = tmp_path / "a.npz"
    path.write_bytes(blob)
    model = load_model(path)
    assert model.is_detector
    assert model.meta == {"licence": "MIT"}
    save_model(model, tmp_path / "b.npz")
    assert (tmp_path / "b.npz").read_bytes() == blob
    assert Session(path).run(np.zeros((2, 3, 8, 8), np.float32)).shape == (2,)
    assert [p.name for p in tmp_path.iterdir() if "part" in p.name] == []


# --- float16 and int8 --------------------------------------------------------------------


def _stored(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Description and arrays of a file as they lie in it."""
    with np.load(path) as file:
        content = {name: file[name] for name in file.files}
    return json.loads(content.pop("model.json").tobytes()), content


def test_half_the_size_is_rounded_once(tmp_path: Path) -> None:
    model = tiny()
    save_model(model, tmp_path / "a.npz", dtype="float16")
    description, arrays = _stored(tmp_path / "a.npz")
    assert description["format"] == 2
    for name, array in arrays.items():
        assert array.dtype == (np.float16 if array.ndim > 1 else np.float32), name
    loaded = load_model(tmp_path / "a.npz")
    for name, array in loaded.weights.items():
        assert array.dtype == np.float32
        assert (array == arrays[name].astype(np.float32)).all()
        bound = 2.0**-11 * np.abs(model.weights[name]) + 2.0**-25
        assert (np.abs(array - model.weights[name]) <= bound).all()
    save_model(loaded, tmp_path / "b.npz", dtype="float16")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    assert Session(tmp_path / "a.npz").run(np.zeros((1, 3, 8, 8), np.float32)).shape == (1,)


def test_a_name_as_long_as_a_name_can_be(tmp_path: Path) -> None:
    path = tmp_path / f"{'m' * 251}.npz"
    save_model(tiny(), path)
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
    assert load_model(path).name == "tiny"


@pytest.mark.skipif(os.name == "nt", reason="links need a right of their own there")
def test_a_link_is_followed(tmp_path: Path) -> None:
    link, place = tmp_path / "link.npz", tmp_path / "model.npz"
    link.symlink_to(place)
    save_model(tiny(), link)
    assert link.is_symlink() and place.is_file()
    place.unlink()
    place.symlink_to(link)  # a circle is no place: it is replaced
    save_model(tiny(), link)
    assert load_model(link).name == "tiny"


def test_without_float16_old_readers_are_served(tmp_path: Path) -> None:
    save_model(tiny(), tmp_path / "a.npz")
    assert _stored(tmp_path / "a.npz")[0]["format"] == 1


@pytest.mark.parametrize(("value", "fits"), [(65519.0, True), (65520.0, False), (-1e30, False)])
def test_what_float16_cannot_hold_is_not_saved(tmp_path: Path, value: float, fits: bool) -> None:
    model = tiny()
    model.weights["fc.weight"][0, 3] = value
    if fits:  # the largest float16 is 65504, and half a step more is rounded down to it
        save_model(model, tmp_path / "a.npz", dtype="float16")
        assert load_model(tmp_path / "a.npz").weights["fc.weight"][0, 3] == 65504
        return
    with pytest.raises(ModelError, match=r"a\.npz.*'fc\.weight'.*65504"):
        save_model(model, tmp_path / "a.npz", dtype="float16")
    assert list(tmp_path.iterdir()) == []


def test_a_dtype_that_is_none(tmp_path: Path) -> None:
    wrong: Any = "bfloat16"
    with pytest.raises(ModelError, match="bfloat16"):
        save_model(tiny(), tmp_path / "a.npz", dtype=wrong)
    assert list(tmp_path.iterdir()) == []


def _half(value: float = 0.5, dtype: str = "<f2") -> dict[str, Any]:
    return {"conv1.weight": np.full((2, 3, 3, 3), value, dtype)}


def _int8(scale: Any = (1.0, 2.0), shape: tuple[int, ...] = (2, 3, 3, 3)) -> dict[str, Any]:
    arrays: dict[str, Any] = {"conv1.weight": np.full(shape, -128, np.int8)}
    if scale is not None:
        scale = np.array(scale, np.float32) if isinstance(scale, tuple) else scale
        arrays["conv1.weight.scale"] = scale
    return arrays


def test_int8_by_hand(write: Callable[..., Path]) -> None:
    weight = load_model(write(lambda d: d.update(format=2), _int8())).weights["conv1.weight"]
    assert (weight[0] == -128).all() and (weight[1] == -256).all()


def test_float16_by_hand(write: Callable[..., Path]) -> None:
    model = load_model(write(lambda d: d.update(format=2), _half()))
    assert (model.weights["conv1.weight"] == np.float32(0.5)).all()


@pytest.mark.parametrize(
    ("version", "arrays", "message"),
    [
        (1, _half(), r"changed\.npz.*'conv1\.weight' is float16.*format 1"),
        (2, _half(np.nan), "conv1.*finite"),
        (2, _half(-np.inf), "conv1.*finite"),
        (2, _half(dtype="<f8"), "conv1.*float64"),
        (2, _half(dtype="<u2"), "conv1.*uint16"),
        (2, {"conv1.weight": np.zeros((2, 3, 3), np.float16)}, "conv1.*shape"),
        (2, {"bn1.running_var": np.array([-0.5, 1], np.float16)}, "bn1.*variance"),
        (2, {"ghost.weight": np.zeros(3, np.float16)}, "ghost"),
        (1, _int8(), r"changed\.npz.*'conv1\.weight' is int8.*format 1"),
        (2, _int8(scale=None), r"int8 array 'conv1\.weight' needs 'conv1\.weight\.scale'"),
        (2, _int8(scale=np.ones(3, np.float32)), "needs"),
        (2, _int8(scale=np.ones((2, 1), np.float32)), "needs"),
        (2, _int8(scale=np.float32(1)), "needs"),
        (2, _int8(scale=np.ones(2)), "needs"),
        (2, _int8(scale=np.array([1, np.nan], np.float32)), "conv1.*finite"),
        (2, _int8(scale=np.array([1, 3e38], np.float32)), "conv1.*finite"),
        (2, {**_int8(), "bn1.weight.scale": np.ones(2, np.float32)}, r"bn1\.weight\.scale"),
        (2, _int8(shape=(2, 3, 3)), "conv1.*shape"),
        (2, {"fc.weight": np.int8(3), "fc.weight.scale": np.ones(1, np.float32)}, "needs"),
        (2, {"ghost.weight": np.zeros(3, np.int8)}, "ghost"),
    ],
)
def test_hostile_small_types(
    write: Callable[..., Path], version: int, arrays: dict[str, Any], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        load_model(write(lambda d: d.update(format=version), arrays))


@pytest.fixture(scope="module")
def large() -> Model:
    """One array of each kind: a large one, one that is too small for int8, vectors."""
    graph = Graph("large")
    x = graph.input("image", (64, 5, 7))
    x = graph.node("conv2d", x, out_channels=64, kernel_size=3, padding=1, name="wide")
    x = graph.node("conv2d", x, out_channels=4, kernel_size=1, name="narrow")
    x = graph.node("batch_norm", x, name="bn")
    graph.output(x)
    weights = random_weights(graph, np.random.default_rng(3))
    sizes = np.exp(np.linspace(-30, 8, 64, dtype=np.float32))
    weights["wide.weight"] *= sizes[:, None, None, None]
    weights["wide.weight"][7] = 0
    assert weights["wide.weight"].size >= LARGE > weights["narrow.weight"].size
    return Model("large", graph, weights)


def test_int8_is_within_half_a_step_of_each_channel(large: Model, tmp_path: Path) -> None:
    save_model(large, tmp_path / "a.npz", dtype="int8")
    description, arrays = _stored(tmp_path / "a.npz")
    assert description["format"] == 2
    kinds = {name: str(array.dtype) for name, array in arrays.items()}
    assert kinds.pop("wide.weight") == "int8" and kinds.pop("narrow.weight") == "float16"
    assert set(kinds.values()) == {"float32"} and "wide.weight.scale" in kinds
    scale, stored = arrays["wide.weight.scale"], arrays["wide.weight"]
    original = large.weights["wide.weight"]
    loaded = load_model(tmp_path / "a.npz").weights["wide.weight"]
    assert loaded.dtype == np.float32 and (np.abs(stored) <= 127).all()
    assert (loaded == stored.astype(np.float64) * scale[:, None, None, None]).all(), "exact"
    steps = np.abs(loaded.astype(np.float64) - original) / scale[:, None, None, None]
    assert steps.max() <= 0.5 and not loaded[7].any()
    most = np.abs(original).reshape(64, -1).max(1) / 127
    assert (scale >= most).all() and (scale <= most * (1 + 2.0**-14) + 1e-37).all()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_nothing_but_a_file_is_replaced(large: Model, tmp_path: Path) -> None:
    """`/dev/null` was, where root wrote a model to it, and with it that of the whole machine."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "link", "folder"):
        with pytest.raises(OutputError, match=f"{name}: is no regular file"):
            save_model(large, tmp_path / name)
    assert (tmp_path / "pipe").is_fifo() and len(list(tmp_path.iterdir())) == 3


class Trained:
    """As a parameter of PyTorch."""

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise RuntimeError("use detach()")


@pytest.mark.parametrize(
    "bias, message",
    [
        (np.zeros(1, np.float32), r"\(1,\), not \(3,\)"),
        (np.full(3, np.nan, np.float32), "not finite"),
        (np.zeros(3), "float64"),
        (Trained(), r"no array: use detach\(\)"),
        (None, "missing"),
    ],
)
def test_a_model_that_a_program_makes_is_looked_at(bias: Any, message: str) -> None:
    """A bias of one element counted for every channel, and nobody knew."""
    graph = Graph("own")
    x = graph.input("x", (2, 5, 5))
    graph.output(graph.node("conv2d", x, out_channels=3, kernel_size=3, name="conv"))
    weights = random_weights(graph, np.random.default_rng(1)) | {"conv.bias": bias}
    if bias is None:
        del weights["conv.bias"]
    with pytest.raises(GraphError, match=f"'conv'.*{message}"):
        Session(Model("own", graph, weights))


def test_a_network_without_an_output() -> None:
    graph = Graph()
    graph.node("relu", graph.input("x", (2, 5, 5)), name="y")
    session, x = Session(graph), np.ones((1, 2, 5, 5), np.float32)
    with pytest.raises(InputError, match="no output"):
        session.run(x)
    assert (session.run(x, outputs=["y"])["y"] == x).all()


def test_what_is_read_is_saved_again_as_it_was(large: Model, tmp_path: Path) -> None:
    """So figures that were measured on the file's weights are those of the file."""
    for dtype in DTYPES:
        path, again = tmp_path / f"{dtype}.npz", tmp_path / f"{dtype}-again.npz"
        save_model(large, path, dtype=dtype)
        save_model(load_model(path), again, dtype=dtype)
        assert path.read_bytes() == again.read_bytes()


@given(
    st.lists(st.floats(-(2.0**126), 2.0**126, width=32), min_size=6, max_size=6),
)
def test_any_values_are_quantized(values: list[float]) -> None:
    array = np.array(values, np.float32).reshape(2, 3)
    stored, scale = quantized(array)
    back = stored.astype(np.float32) * scale[:, None]
    assert np.isfinite(back).all() and (np.abs(stored.astype(int)) <= 127).all()
    half = 0.5 * scale[:, None].astype(np.float64)
    assert (np.abs(back.astype(np.float64) - array) <= half * (1 + 1e-12)).all()
    twice = quantized(back)
    assert (twice[0] == stored).all() and (twice[1] == scale).all()


def test_a_scale_that_the_graph_has_already(tmp_path: Path) -> None:
    """Its array is not taken for that of another one."""
    graph = Graph("twice")
    x = graph.input("x", (200,))
    x = graph.node("linear", x, out_features=200, name="fc")
    graph.output(graph.node("relu", x))
    model = Model("twice", graph, random_weights(graph, np.random.default_rng(1)))
    assert "fc.weight.scale" in stored(model.weights, "int8", "here")
    taken = {**model.weights, "fc.weight.scale": np.zeros(3, np.float32)}
    assert stored(taken, "int8", "here")["fc.weight"].dtype == np.float16


def _changed(**values: Any) -> Model:
    return dataclasses.replace(tiny(), **values)


def _without_output() -> Model:
    graph = Graph("tiny")
    graph.node("relu", graph.input("image", (3, 8, 8)))
    return Model("tiny", graph, {})


def _large() -> Model:
    graph = Graph("large")
    x = graph.input("x", (1 << 12,))
    graph.output(graph.node("linear", x, out_features=1 << 12, name="fc"))
    zeros = {name: np.zeros(s, np.float32) for name, s in graph.parameters().items()}
    return Model("large", graph, zeros)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: _changed(weights={}), r"conv1\.weight"),
        (lambda: _changed(weights={**tiny().weights, "no.weight": np.zeros(1)}), r"no\.weight"),
        (lambda: _changed(thresholds={"real": 0.9, "fake": 0.1}), "thresholds"),
        (lambda: _changed(thresholds={"real": np.nan, "fake": 0.1}), "thresholds|finite|JSON"),
        (lambda: _changed(framing={"resample": "bilinear", "side": np.float32(2)}), "JSON"),
        (lambda: _changed(name=""), "name"),
        (lambda: _changed(name="a\nb"), "name"),
        (lambda: _changed(name=7), "name"),
        (lambda: _changed(name="x" * 101), "name"),
        (lambda: _changed(meta={"auc": np.nan}), "JSON"),
        (lambda: _changed(meta={"auc": [np.inf]}), "JSON"),
        (lambda: _changed(meta={"made": np.arange(3)}), "JSON"),
        (lambda: _changed(meta=["licence"]), "meta"),
        (lambda: _changed(calibration=0.5), "calibration"),
        (_without_output, "output"),
        (lambda: Model("tiny", Graph("tiny"), {}), "input"),
        (lambda: _changed(meta={"text": {1, 2}}), "JSON"),
        (_large, "limit"),
    ],
)
def test_saving_a_wrong_model_leaves_nothing(
    make: Callable[[], Model], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=message):
        save_model(make(), tmp_path / "x.npz")
    assert list(tmp_path.iterdir()) == []


def test_only_what_shrinks_is_compressed() -> None:
    noise, even = RNG.standard_normal(999).astype(np.float32), np.zeros(999, np.float32)
    with zipfile.ZipFile(io.BytesIO(_archive({"noise": noise, "even": even}))) as archive:
        kinds = {entry.filename: entry.compress_type for entry in archive.infolist()}
    assert kinds == {"noise.npy": zipfile.ZIP_STORED, "even.npy": zipfile.ZIP_DEFLATED}


def test_cut_at_every_place(tmp_path: Path, blob: bytes) -> None:
    path = tmp_path / "cut.npz"
    for end in [*range(0, len(blob), 37), len(blob) - 1]:
        path.write_bytes(blob[:end])
        with pytest.raises(ModelError, match=r"cut\.npz"):
            load_model(path)


@given(place=st.integers(0, 10**9), value=st.integers(0, 255))
def test_flipped_bytes_never_crash(
    tmp_path_factory: pytest.TempPathFactory, blob: bytes, place: int, value: int
) -> None:
    data = bytearray(blob)
    data[place % len(data)] = value
    path = tmp_path_factory.getbasetemp() / "flipped.npz"
    path.write_bytes(data)
    try:
        Session(path).run(np.zeros((1, 3, 8, 8), np.float32))
    except ModelError as error:
        assert "flipped.npz" in str(error)


@pytest.mark.parametrize(
    "framing",
    [
        {"resample": "bicubic_2x", "side": 2.3},
        {"resample": "bilinear", "side": 2.3, "dtype": "uint8"},
    ],
)
def test_how_faces_are_cut_needs_a_format_that_has_it(
    write: Callable[..., Path], tmp_path: Path, framing: dict[str, Any]
) -> None:
    """An older reader would cut them in another way, and say nothing."""
    save_model(dataclasses.replace(tiny(), framing=framing), tmp_path / "new.npz")
    assert _stored(tmp_path / "new.npz")[0]["format"] == 3
    assert load_model(tmp_path / "new.npz").framing == framing
    for version in (1, 2):
        with pytest.raises(ModelError, match=f"'framing' says what format {version} has not"):
            load_model(write(lambda d: d.update(framing=framing, format=version), {}))  # noqa: B023


def _node(description: dict[str, Any], name: str) -> dict[str, Any]:
    node: dict[str, Any] = next(n for n in description["graph"]["nodes"] if n["name"] == name)
    return node


def _set(node: str, /, **values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda d: _node(d, node).update(values)


def _attribute(node: str, /, **values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda d: _node(d, node)["attributes"].update(values)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(format=FORMAT + 1), "newer"),
        (lambda d: d.update(format=True), "format"),
        (lambda d: d.update(format="1"), "format"),
        (lambda d: d.pop("format"), "format"),
        (lambda d: d.update(name="\x1b[31m"), "name"),
        (lambda d: d.update(name=5), "name"),
        (lambda d: d.update(graph=None), "inputs"),
        (lambda d: d["graph"].update(nodes={}), "nodes"),
        (lambda d: d["graph"].update(nodes=[1]), "nodes"),
        (lambda d: d["graph"].update(outputs=[]), "output"),
        (lambda d: d["graph"].update(outputs=["nowhere"]), "nowhere"),
        (lambda d: d["graph"].update(outputs=["p_fake", "p_fake"]), "twice"),
        (lambda d: d["graph"].update(inputs=[]), "image"),
        (lambda d: d["graph"]["inputs"][0].update(shape=[3, -1, 8]), "image"),
        (lambda d: d["graph"]["inputs"][0].update(shape=[3, 10**30, 8]), "image"),
        (lambda d: d["graph"]["inputs"][0].update(shape=[1 << 20, 1 << 20, 8]), "image"),
        (lambda d: d["graph"]["inputs"][0].update(shape=[None, 8, 8]), "image"),
        (lambda d: d["graph"]["inputs"][0].update(shape=[3, 8]), "image"),
        (lambda d: d["graph"]["inputs"][0].update(shape=[3, 8.0, 8]), "image"),
        (lambda d: d["graph"]["inputs"][0].update(shape=[4, 8, 8]), "conv1"),
        (_set("conv1", op="conv3d"), "conv3d"),
        (_set("conv1", op=["conv2d"]), "conv1"),
        (_set("conv1", op=None), "conv1"),
        (_set("conv1", inputs=["bn1"]), "cycle"),
        (_set("conv1", inputs=["conv1"]), "cycle"),
        (_set("conv1", inputs=[]), "conv1"),
        (_set("conv1", inputs=["image", "image"]), "conv1"),
        (_set("conv1", inputs=[["image"]]), "conv1"),
        (_set("conv1", name="bn1"), "bn1"),
        (_set("conv1", name="../evil"), "evil"),
        (_set("conv1", name=3), "3"),
        (_set("conv1", attributes=[]), "conv1"),
        (_set("conv1", extra=1), "nodes"),
        (_attribute("conv1", out_channels=0), "conv1"),
        (_attribute("conv1", out_channels=10**18), "conv1"),
        (_attribute("conv1", out_channels=True), "conv1"),
        (_attribute("conv1", out_channels=2.0), "conv1"),
        (_attribute("conv1", out_channels=1 << 20), "conv1"),
        (_attribute("conv1", kernel_size=[1 << 20, 1 << 20]), "conv1"),
        (_attribute("conv1", kernel_size=[9, 9]), "conv1"),
        (_attribute("conv1", kernel_size=[3, 3, 3]), "conv1"),
        (_attribute("conv1", padding=[1 << 20] * 4), "conv1"),
        (_attribute("conv1", padding=[-1, 0, 0, 0]), "conv1"),
        (_attribute("conv1", stride=0), "conv1"),
        (_attribute("conv1", dilation=[0, 1]), "conv1"),
        (_attribute("conv1", groups=2), "conv1"),
        (_attribute("conv1", groups=0), "conv1"),
        (_attribute("conv1", unknown=1), "unknown"),
        (_attribute("conv1", name="x"), "conv1"),
        (_attribute("conv1", op="relu"), "conv1"),
        (lambda d: _node(d, "conv1")["attributes"].update({"self": 1}), "conv1.*'self'"),
        (_attribute("conv1", bias=False), "conv1.bias"),
        (_attribute("bn1", eps=0), "bn1"),
        (_attribute("bn1", eps=-1.0), "bn1"),
        (_attribute("bn1", eps="x"), "bn1"),
        (_attribute("fc", out_features=2), "fc"),
        (lambda d: _node(d, "conv1")["attributes"].pop("out_channels"), "out_channels"),
        (lambda d: d.update(thresholds={"real": 0.9, "fake": 0.1}), "thresholds"),
        (lambda d: d.update(thresholds={"real": "0", "fake": 1}), "thresholds"),
        (lambda d: d.update(thresholds=[0.4, 0.6]), "thresholds"),
        (lambda d: d.update(framing={"resample": "nearest", "side": 2, "dtype": "int8"}), "dtype"),
        (lambda d: d.update(framing={"resample": "nearest", "side": 2, "dtype": []}), "dtype"),
        (lambda d: d.update(framing=None), "framing"),
        (lambda d: d.update(framing={"resample": "magic", "side": 2}), "framing"),
        (lambda d: d.update(framing={"resample": "nearest", "side": -1}), "framing"),
        (lambda d: b"\xff\xfe", "JSON"),
        (lambda d: b"[]", "object"),
        (lambda d: b'{"format": NaN}', "nan|NaN"),
        (lambda d: b'{"format": 1, "meta": {"auc": 1e999}}', "finite"),
        (lambda d: b"[" * 200_000, "JSON"),
        (lambda d: b'{"format": ' + b"9" * 5000 + b"}", "JSON|newer"),
        (lambda d: b"", "JSON"),
    ],
)
def test_hostile_descriptions(
    write: Callable[..., Path], change: Callable[[dict[str, Any]], Any], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        load_model(write(change))


@pytest.mark.parametrize(
    ("arrays", "drop", "message"),
    [
        ({}, ("conv1.weight",), "conv1"),
        ({}, ("model.json",), "not a minimeso model"),
        ({"ghost.weight": np.zeros(3, np.float32)}, (), "ghost"),
        ({"conv1.weight": np.zeros((2, 3, 3, 3))}, (), "conv1.*float64"),
        ({"conv1.weight": np.zeros((2, 3, 3, 2), np.float32)}, (), "conv1.*shape"),
        ({"conv1.weight": np.zeros(54, np.float32)}, (), "conv1.*shape"),
        ({"conv1.weight": np.full((2, 3, 3, 3), np.nan, np.float32)}, (), "conv1.*finite"),
        ({"conv1.weight": np.full((2, 3, 3, 3), np.inf, np.float32)}, (), "conv1.*finite"),
        ({"bn1.running_var": np.array([1, -1], np.float32)}, (), "bn1.*variance"),
        ({"bn1.running_var": np.array(["a", "b"])}, (), "bn1"),
        ({"model.json": np.zeros((2, 2), np.uint8)}, (), "not a minimeso model"),
        ({"model.json": np.zeros(5, np.float32)}, (), "not a minimeso model"),
    ],
)
def test_hostile_arrays(
    write: Callable[..., Path], arrays: dict[str, Any], drop: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        load_model(write(arrays=arrays, drop=drop))


def test_pickles_are_never_loaded(tmp_path: Path) -> None:
    path = tmp_path / "pickle.npz"
    np.savez(path, **{"model.json": np.array([{"a": 1}], dtype=object)})
    with pytest.raises(ModelError, match=r"pickle\.npz"):
        load_model(path)


def _member(name: str, header: bytes, body: bytes = b"") -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, header + body)
    return stream.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PK\x05\x06" + b"\0" * 18,
        b"PK\x03\x04",
        b"not a zip at all",
        _member("a.npy", b""),
        _member("a.npy", b"\x93NUMPY\x01\x00\xff\xff"),
        _member("a.npy", b"\x93NUMPY\x09\x00\x10\x00" + b" " * 16),
        _member("a.npy", b"\x93NUMPY\x01\x00\x4e\x00" + b"(" * 78),
        _member(
            "a.npy",
            b"\x93NUMPY\x01\x00\x50\x00"
            + b"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999,), }".ljust(79)
            + b"\n",
        ),
        _member(
            "a.npy",
            b"\x93NUMPY\x01\x00\x50\x00"
            + b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }".ljust(79)
            + b"\n",
        ),
    ],
    ids=range(10),
)
def test_hostile_archives(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "bad.npz"
    path.write_bytes(data)
    with pytest.raises(ModelError, match=r"bad\.npz"):
        load_model(path)


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "bomb.npz"
    path.write_bytes(_member("a.npy", b"\0" * (80 << 20)))
    assert path.stat().st_size < 1 << 20
    with pytest.raises(ModelError, match="limit"):
        load_model(path)


def test_size_limit(tmp_path: Path, blob: bytes) -> None:
    path = tmp_path / "a.npz"
    path.write_bytes(blob)
    with pytest.raises(ModelError, match="limit"):
        load_model(path, size_limit=1000)


def test_want_of_memory_is_no_damage(
    tmp_path: Path, blob: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: Any) -> Any:
        raise MemoryError

    path = tmp_path / "model.npz"
    path.write_bytes(blob)
    monkeypatch.setattr(model_file, "_parse_array", full)
    with pytest.raises(ModelError, match=r"model\.npz: this machine has not enough memory"):
        load_model(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.npz")
    with pytest.raises(ModelError, match="regular"):
        load_model(tmp_path / "pipe.npz")


@pytest.mark.parametrize("name", ["no-such-model", "", "\0", "."])
def test_missing_files(name: str) -> None:
    with pytest.raises(ModelError):
        Session(name)


def test_the_order_of_bytes_is_converted(blob: bytes, tmp_path: Path) -> None:
    """A file of a machine with the other order of bytes is the same model: so is ours to it."""
    content = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(blob)) as source, zipfile.ZipFile(content, "w") as swapped:
        for name in source.namelist():
            array = np.load(io.BytesIO(source.read(name)))
            entry = io.BytesIO()
            np.save(entry, array.astype(array.dtype.newbyteorder("S")))
            swapped.writestr(name, entry.getvalue())
    path = tmp_path / "swapped.npz"
    path.write_bytes(content.getvalue())
    model = load_model(path)
    for name, array in tiny_weights(blob, tmp_path).items():
        assert model.weights[name].dtype.isnative
        np.testing.assert_array_equal(model.weights[name], array)


def tiny_weights(blob: bytes, folder: Path) -> dict[str, Any]:
    path = folder / "tiny.npz"
    path.write_bytes(blob)
    return dict(load_model(path).weights)


def test_the_order_of_bytes_in_a_file_is_no_machine_s() -> None:
    array = np.arange(6, dtype=np.float32)
    assert _archive({"a": array.astype(">f4")}) == _archive({"a": array})


def test_a_folder_that_is_missing_is_told_by_the_name_that_was_given(tmp_path: Path) -> None:
    graph = Graph()
    graph.output(graph.node("relu", graph.input("x", (3, 4, 4))))
    path = tmp_path / "gone" / "model.npz"
    with pytest.raises(FileNotFoundError, match=r"model\.npz"):
        save_model(Model("small", graph, {}), path)
