"""Keras files: what Keras itself computes, what it wrote years ago, and files that are refused."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.keras_files import (
    archive,
    h5_file,
    hdf5,
    keras_file,
    layer,
    old_functional,
    sequential,
)

from minimeso import Session
from minimeso.cli import main
from minimeso.convert import convert_file, write_reference
from minimeso.convert.hdf5 import read as read_hdf5
from minimeso.engine.reference import evaluate
from minimeso.errors import ConvertError, GraphError
from minimeso.networks import NETWORKS

h5py = pytest.importorskip("h5py")

FILES = Path(__file__).parent.parent / "data" / "keras"
Array = np.ndarray[Any, Any]


@pytest.mark.parametrize("kind", ["keras", "h5"])
def test_every_layer_of_a_file_that_keras_wrote(kind: str, tmp_path: Path) -> None:
    """``python -m tools.convert.keras_files`` made it, and what Keras computes."""
    path = tmp_path / f"small.{kind}"
    path.write_bytes(gzip.decompress((FILES / f"small.{kind}.gz").read_bytes()))
    assert main(["convert", str(path), str(tmp_path / "m.npz")]) == 0
    assert main(["verify", str(tmp_path / "m.npz"), str(FILES / "small.npz")]) == 0


def converted(tmp_path: Path, data: bytes, **more: Any) -> Any:
    path = tmp_path / "network"
    path.write_bytes(data)
    return convert_file(path, **more)


def output(model: Any, x: Array) -> Array:
    return Session(model, threads=1).run(x, outputs=model.graph.outputs)[model.graph.outputs[0]]


def picture(*shape: int) -> Array:
    return np.random.default_rng(0).random(shape, np.float32)


# --- what differs between versions ------------------------------------------------------------


@pytest.mark.parametrize(("version", "slope"), [("2.15.0", 0.2), ("3.0.1", 1 / 6)])
def test_hard_sigmoid_is_that_of_its_version(version: str, slope: float, tmp_path: Path) -> None:
    config = sequential(layer("Activation", activation="hard_sigmoid"))
    x = 8 * picture(1, 3, 6, 5) - 4
    wanted = np.clip(slope * x + 0.5, 0, 1).transpose(0, 2, 3, 1)
    for data in (keras_file(config, {}, version), h5_file(config, {}, version)):
        np.testing.assert_allclose(output(converted(tmp_path, data), x), wanted, atol=1e-6)


def test_a_functional_model_of_keras_2(tmp_path: Path) -> None:
    x = picture(2, 3, 6, 5)
    found = output(converted(tmp_path, h5_file(old_functional(), {})), x)
    np.testing.assert_allclose(found, ((x + 3) * x).mean((2, 3)), rtol=1e-5)


def test_flattened_channels_last_without_a_step_of_its_own(tmp_path: Path) -> None:
    """Weights are turned, not the map."""
    kernel = np.random.default_rng(1).normal(size=(90, 4))
    config = sequential(layer("Flatten"), layer("Dense", units=4, use_bias=False))
    model = converted(tmp_path, keras_file(config, {"dense/0": kernel}))
    assert [node.op for node in model.graph.nodes] == ["flatten", "linear"]
    x = picture(2, 3, 6, 5)
    wanted = x.transpose(0, 2, 3, 1).reshape(2, -1) @ kernel
    np.testing.assert_allclose(output(model, x), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("first", [True, False])
def test_either_order_of_axes(first: bool, tmp_path: Path) -> None:
    shape, order = ((3, 7, 5), "channels_first") if first else ((7, 5, 3), "channels_last")
    config = sequential(
        layer("Conv2D", kernel_size=[3, 3], strides=2, padding="same", data_format=order),
        layer("Flatten", data_format=order),
        shape=shape,
    )
    random = np.random.default_rng(0)
    arrays = {"conv2d/0": random.normal(size=(3, 3, 3, 2)), "conv2d/1": random.normal(size=2)}
    model = converted(tmp_path, keras_file(config, arrays))
    assert list(model.graph.inputs.values()) == [(3, 7, 5)]
    x = picture(1, 3, 7, 5)
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (2, 3))[:, :, ::2, ::2]
    wanted = np.einsum("nchwij,ijco->nhwo", windows, arrays["conv2d/0"]) + arrays["conv2d/1"]
    np.testing.assert_allclose(output(model, x), wanted.reshape(1, -1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("architecture", NETWORKS)
def test_published_weights_have_a_known_network(architecture: str, tmp_path: Path) -> None:
    """Arrays alone, as the MesoNet authors published them; numbers go on from elsewhere."""
    from tools.convert import keras

    random = np.random.default_rng(0)
    graph = NETWORKS[architecture]("original", 1e-3, False)
    kinds = {"conv2d": "conv2d", "batch_norm": "batch_normalization", "linear": "dense"}
    names = {"weight": "kernel", "running_mean": "moving_mean", "running_var": "moving_variance"}
    numbers = dict.fromkeys(kinds, 5)
    arrays = {}
    for node in graph.nodes:
        if node.op not in kinds:
            continue
        layer_name = f"{kinds[node.op]}_{numbers[node.op]}"
        numbers[node.op] += 1
        for key, shape in graph.parameters().items():
            if key.rpartition(".")[0] != node.name:
                continue
            part = key.rpartition(".")[2]
            values = np.abs(random.normal(0, 0.2, shape)).astype(np.float32)
            if node.op != "batch_norm" and part == "weight":
                values = values.transpose(*range(2, values.ndim), 1, 0)
            short = names.get(part, part)
            short = {"kernel": "gamma", "bias": "beta"}.get(short, short) if (
                node.op == "batch_norm") else short  # fmt: skip
            arrays[f"{layer_name}/{layer_name}/{short}:0"] = values
    path = tmp_path / "published.h5"
    path.write_bytes(hdf5(arrays))
    model = convert_file(path)
    found = keras.keras_arrays(path)
    assert found.architecture == architecture
    x = picture(1, 3, 256, 256)
    p_fake = evaluate(graph, found.arrays, {"image": x})["p_fake"]
    np.testing.assert_allclose(1 - output(model, x), p_fake, atol=1e-5)
    path.write_bytes(hdf5({"conv2d_1/conv2d_1/kernel:0": np.zeros((1, 1, 3, 2))}))
    for read in (convert_file, keras.keras_arrays):
        with pytest.raises(Exception, match="weights without a network"):
            read(path)


# --- what is refused --------------------------------------------------------------------------

CONV = layer("Conv2D", kernel_size=[1, 1])
KERNEL = {"conv2d/0": np.ones((1, 1, 3, 2)), "conv2d/1": np.ones(2)}
REFUSED = {
    "code": (sequential(layer("Lambda")), {}, "'lambda' .Lambda.: is code of the file's author"),
    "a layer": (sequential(layer("LSTM")), {}, "'lstm' .LSTM.: no such operator"),
    "a layer of the user's": (
        sequential({"module": "mine", "registered_name": "Mine>Conv2D", **CONV}), KERNEL,
        ".mine.Conv2D.: no such operator",
    ),
    "one that is only registered": (
        sequential({"registered_name": "Mine>Conv2D", **CONV}), KERNEL, ".Mine>Conv2D.: no such",
    ),
    "a setting": (
        sequential(layer("Conv2D", kernel_size=[1, 1], flip=True)), KERNEL, "attribute 'flip'",
    ),
    "an activation": (
        sequential(layer("Activation", activation="exponential")), {}, "'exponential'; known are",
    ),
    "an activation of the user's": (
        sequential(layer("Activation", activation={"class_name": "Mine", "config": {}})), {},
        "activation 'Mine'",
    ),
    "padding": (
        sequential(layer("Conv2D", kernel_size=[1, 1], padding="causal")), KERNEL, "'causal'",
    ),
    "another kernel": (
        sequential(layer("Conv2D", kernel_size=[3, 3])), KERNEL, "not what setting 'kernel_size'",
    ),
    "missing arrays": (sequential(CONV), {}, "its arrays are none; known are kernel, bias"),
    "too many arrays": (
        sequential(CONV), {**KERNEL, "conv2d/2": np.ones(1)}, "known are kernel, bias",
    ),
    "arrays that do not fit": (
        sequential(CONV), {**KERNEL, "conv2d/1": np.ones(7)}, "'conv2d' .Conv2D.",
    ),
    "a model of the user's": (
        {"class_name": "MyModel", "config": {"name": "x"}}, {}, "its graph is code",
    ),
    "two layers of one name": (sequential(CONV, CONV), KERNEL, "one name"),
    "no shape": (
        {"class_name": "Sequential", "config": {"layers": [layer("Flatten")]}}, {}, "its shape is",
    ),
    "no layers": ({"class_name": "Sequential", "config": {"layers": []}}, {}, "cannot be read"),
    "no object": ([], {}, "no JSON object"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_known_is_named(name: str, tmp_path: Path) -> None:
    config, arrays, message = REFUSED[name]
    with pytest.raises(ConvertError, match=message):
        converted(tmp_path, keras_file(config, arrays))


def test_training_mode(tmp_path: Path) -> None:
    """Of a call in Keras 2 it holds whenever the network runs; Keras 3 looks away."""
    config = old_functional()
    last = config["config"]["layers"][3]
    last["inbound_nodes"] = [[["tf.math.multiply", 0, 0, {"training": True}]]]
    with pytest.raises(ConvertError, match=r"'mean' .GlobalAverage.*: attribute 'training'"):
        converted(tmp_path, h5_file(config, {}))
    last["class_name"] = "Dropout"
    with pytest.raises(ConvertError, match="training mode"):
        converted(tmp_path, h5_file(config, {}))


def test_a_circle_and_a_gap(tmp_path: Path) -> None:
    config = old_functional()
    nodes = config["config"]["layers"][2]["inbound_nodes"]
    nodes[0][0] = "tf.math.multiply"
    with pytest.raises(ConvertError, match="in a circle"):
        converted(tmp_path, h5_file(config, {}))
    nodes[0][0] = "gone"
    with pytest.raises(ConvertError, match="layer 'sum' reads layer 'gone', which is not there"):
        converted(tmp_path, h5_file(config, {}))


def _linked(root: Any) -> None:
    root["layers/conv2d/vars/0"] = h5py.ExternalLink("/etc/passwd", "/x")


def _soft(root: Any) -> None:
    root["layers/conv2d/vars/0"] = h5py.SoftLink("/layers")


def _circle(root: Any) -> None:
    root.create_group("layers/conv2d")
    root["layers/conv2d/again"] = root["layers"]


def _elsewhere(root: Any) -> None:
    root.create_dataset("layers/conv2d/vars/0", (1,), "f4", external=[("/etc/passwd", 0, 4)])


def _bomb(root: Any) -> None:
    root.create_dataset("layers/conv2d/vars/0", (1 << 40,), "f4", chunks=(1 << 16,))


def _huge(root: Any) -> None:
    root.create_dataset("layers/conv2d/vars/0", (1 << 40,), "f4")  # which is not written


def _shared(root: Any) -> None:
    root["layers/conv2d/vars/0"] = np.zeros(1 << 14)
    for number in range(1, 5):
        root[f"layers/conv2d/vars/{number}"] = root["layers/conv2d/vars/0"]


def _packed(root: Any) -> None:
    root.create_dataset("layers/conv2d/vars/0", data=np.zeros(1 << 20), compression="gzip")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (_linked, "link to elsewhere"),
        (_soft, "link to elsewhere"),
        (_circle, "too deep"),
        (_elsewhere, "in another file"),
        (_bomb, "packed, not stored"),
        (_huge, "packed, not stored"),
        (_packed, "packed, not stored"),
        (_shared, "more of them than the file"),
    ],
)
def test_hostile_hdf5(make: Callable[[Any], None], message: str, tmp_path: Path) -> None:
    file = io.BytesIO()
    with h5py.File(file, "w") as root:
        make(root)
    with pytest.raises(ConvertError, match=message):
        converted(tmp_path, archive(json.dumps(sequential(CONV)).encode(), file.getvalue()))


@pytest.mark.parametrize("ending", [".keras", ".h5", ".HDF5", ".pt2"])
@pytest.mark.parametrize("data", [b"", b"garbage", b"\0" * 99])
def test_what_does_not_begin_so_is_told_by_its_ending(
    tmp_path: Path, ending: str, data: bytes
) -> None:
    path = tmp_path / f"network{ending}"
    path.write_bytes(data)
    with pytest.raises(ConvertError, match=f"damaged: it does not begin as a {ending} file does"):
        convert_file(path)


def test_damaged_files_are_refused_or_whole(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    sound = keras_file(sequential(CONV, layer("Flatten")), KERNEL)
    for data in (sound, h5_file(old_functional(), {})):
        for _ in range(60):
            changed = bytearray(data[: random.integers(1, len(data) + 1)])
            for place in random.integers(0, len(changed), random.integers(0, 4)):
                changed[place] = random.integers(0, 256)
            try:
                converted(tmp_path, bytes(changed))
            except ConvertError as error:
                assert str(error).startswith(str(tmp_path))


def test_hdf5_as_h5py_reads_it() -> None:
    """Both kinds of headers and of groups, types and orders of bytes, empty and single values."""
    for more in ({}, {"libver": "latest"}):
        file = io.BytesIO()
        with h5py.File(file, "w", **more) as root:
            root.create_group("kept", track_order=True)["x"] = np.arange(5.0)
            root["kept/half"] = np.float16([1, 2])
            root["kept/one"] = np.int64(-5)
            root["kept/text"] = "no array"
            root["deep/er/none"] = np.ones((3, 0), "f4")
            root["big"] = np.arange(6, dtype=">f4").reshape(2, 3)
            for number in range(60 if not more else 8):
                root[f"many/{number}"] = np.full(2, number, "u1")
            root.attrs["model_config"], root.attrs["fixed"] = "hä" * 99, np.bytes_("x")
            root.attrs["number"], root.attrs["list"] = 1.0, ["a", "b"]
        found = read_hdf5(file.getvalue())
        assert found.attributes == {"model_config": "hä" * 99, "fixed": "x"}
        with h5py.File(file, "r") as root:
            names: list[str] = []
            root.visit(names.append)
            wanted = {n: root[n][()] for n in names if isinstance(root[n], h5py.Dataset)}
        del wanted["kept/text"]
        assert found.arrays.keys() == wanted.keys()
        for name, array in found.arrays.items():
            assert array.dtype.isnative and array.shape == wanted[name].shape
            np.testing.assert_array_equal(array, wanted[name])


def test_damaged_hdf5_is_refused_or_whole() -> None:
    random = np.random.default_rng(0)
    sound = h5_file(old_functional(), {"conv2d/kernel": np.ones((2, 3)), "x/bias": np.ones(2)})
    for _ in range(3000):
        changed = bytearray(sound)
        for place in random.integers(0, len(changed), random.integers(1, 5)):
            changed[place] = random.choice([0, 1, 8, 255, random.integers(0, 256)])
        with contextlib.suppress(GraphError):
            read_hdf5(bytes(changed))


def test_what_is_missing_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "n.keras"
    path.write_bytes(keras_file(sequential(layer("Flatten")), {}))
    monkeypatch.setitem(sys.modules, "keras", None)
    with pytest.raises(ConvertError, match="pip install keras"):
        write_reference(path, tmp_path / "r.npz")
