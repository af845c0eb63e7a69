"""Seeds: small sound files, one or more for each door, made here; none is kept.

``python -m fuzz.seeds FOLDER [DOOR ...]`` (in ``tests``) writes them.
"""

from __future__ import annotations

import functools
import gzip
import io
import json
import struct
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from conftest import random_weights
from PIL import Image
from support import clips as made_clips
from support import credentials, keras_files
from support.detectors import saved, small_detector, small_domain, small_pair

from minimeso import Graph, Model, save_model
from minimeso.detect.pair import Pair, save_pair
from minimeso.engine.operators import OPERATORS
from minimeso.export import export

Files = dict[str, bytes]
_SIZE = (32, 24)


def small_photo() -> Image.Image:
    """Smooth colours, of few bytes in any format."""
    y, x = np.mgrid[0 : _SIZE[1], 0 : _SIZE[0]]
    return Image.fromarray(np.stack([8 * x, 10 * y, 4 * (x + y)], axis=2).astype(np.uint8))


# --- models -------------------------------------------------------------------------------


def _one_of_each() -> list[Graph]:
    """A network for each operator that takes a map or two with its least attributes."""
    graphs = []
    for op, operation in OPERATORS.items():
        for attributes in _ATTRIBUTES:
            graph = Graph(op)
            x = graph.input("image", (4, None, None))
            inputs = [graph.node("relu", x, name="a")] * 2
            least = operation.arity[0]
            try:
                y = graph.node(op, *inputs[: max(least, 1)], name="b", **attributes)
            except Exception:  # other attributes may do
                continue
            graph.output(y)
            graphs.append(graph)
            break
    return graphs


#: What the operators ask for, one after the other.
_ATTRIBUTES: tuple[dict[str, Any], ...] = (
    {}, {"out_channels": 5, "kernel_size": 3, "padding": 1}, {"kernel_size": 2},
    {"out_features": 3}, {"scale": 2}, {"size": [5, 6]}, {"upscale_factor": 2},
    {"num_groups": 2}, {"axes": [1, 0, 2]}, {"min": 0, "max": 1}, {"start": 1, "count": 2},
    {"shape": [2, 2, 5]}, {"padding": [1, 1, 1, 1]}, {"block_size": 2},
    {"start": 1, "end": 2}, {"groups": 2},
)  # fmt: skip


def models() -> Files:
    """Descriptions of models."""
    graphs = [*_one_of_each(), small_detector("small", 1).graph]
    return {
        f"{graph.name}-{number}.json": json.dumps(
            {"format": 2, "name": "x", "graph": graph.to_json(), "meta": {}}
        ).encode()
        for number, graph in enumerate(graphs)
    }


@functools.cache
def _tiny() -> Model:
    graph = Graph("tiny")
    x = graph.input("image", (3, 6, 7))
    x = graph.node("conv2d", x, out_channels=2, kernel_size=3, name="conv1")
    x = graph.node("linear", graph.node("flatten", x), out_features=1, name="fc")
    graph.output(graph.node("sigmoid", x, name="p_fake"))
    return Model(
        "tiny", graph, random_weights(graph, np.random.default_rng(0)),
        framing={"resample": "bilinear", "side": 2.3}, thresholds={"real": 0.4, "fake": 0.6},
    )  # fmt: skip


def plans() -> Files:
    """Plan files as the target in C wants them: behind two bytes, without head and checksum."""
    return {
        f"{graph.name}-{number}": b"\xfe\0" + data[12:]
        for number, graph in enumerate(_one_of_each())
        for data in _plan_of(graph)
    }


def _plan_of(graph: Graph) -> list[bytes]:
    weights = random_weights(graph, np.random.default_rng(0))
    try:
        exported = export(Model("x", graph, weights), {"image": (4, 6, 5)}, as_plan=True)
    except Exception:  # of vectors, or of another size
        return []
    return list(exported.files.values())


def archives() -> Files:
    """Model files of each type of weights."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for dtype in ("float32", "float16", "int8"):
            path = Path(folder) / f"{dtype}.npz"
            save_model(_tiny(), path, dtype=dtype)  # type: ignore[arg-type]  # one of its literals
            found[path.name] = path.read_bytes()
    buffer = io.BytesIO()
    np.savez(buffer, a=np.zeros((2, 3), ">f4"), b=np.zeros(5, np.int8))
    return {**found, "plain.npz": buffer.getvalue()}


def networks() -> Files:
    """ONNX files: layers, formulas and shape arithmetic; as text, so that no package is needed."""
    from onnx import parser

    return {
        name: parser.parse_model(f'<ir_version: 8, opset_import: ["": {opset}]> {text}')
        .SerializeToString()
        for name, (opset, text) in _NETWORKS.items()
    }  # fmt: skip


_NETWORKS = {
    "layers": (13, """g (float[N, 3, 9, 9] x) => (float[N, 2] y)
        <float[4, 3, 2, 2] w = {WEIGHTS}, float[4] b = {1, 2, 3, 4}, float[2, 64] d = {DENSE}> {
        c = Conv <strides = [2, 2]> (x, w, b) r = Relu (c) f = Flatten (r)
        y = Gemm <transB = 1> (f, d) }"""
        .replace("WEIGHTS", ", ".join(["0.5"] * 48))
        .replace("DENSE", ", ".join(["0.25"] * 128))),
    "shapes": (17, """g (float[1, 4, 3, 3] x) => (float[1, 3, 3, 4] y)
        <int64[5] s = {1, 2, 2, 3, 3}, int64[4] t = {1, 4, 3, 3}, int64 zero = {0}> {
        a = Reshape (x, s) b = Transpose <perm = [0, 2, 1, 3, 4]> (a) c = Reshape (b, t)
        k = Shape (c) n = Gather (k, zero) d = Split <axis = 1> (c)
        e = Concat <axis = 1> (c, x) l = Softmax <axis = 1> (c)
        y = Transpose <perm = [0, 2, 3, 1]> (l) }"""),
    "formulas": (12, """g (float[1, 2, 4, 4] x) => (float[1, 2, 1, 1] y) {
        s = Sigmoid (x) m = Mul (x, s) y = GlobalAveragePool (m) }"""),
}  # fmt: skip


def programs() -> Files:
    """What ``torch.export.save`` writes as ``model.json``: a convolution, a sum, a dense layer."""

    def tensor(name: str) -> dict[str, Any]:
        return {"as_tensor": {"name": name}}

    def node(target: str, output: str, **arguments: Any) -> dict[str, Any]:
        inputs = [{"name": n, "arg": a, "kind": 1} for n, a in arguments.items()]
        return {
            "target": f"torch.ops.aten.{target}", "inputs": inputs, "outputs": [tensor(output)],
            "name": output, "metadata": {},
        }  # fmt: skip

    def sizes(*each: int) -> dict[str, Any]:
        return {"sizes": [{"as_int": size} for size in each]}

    nodes = [
        node("conv2d.default", "c", input=tensor("x"), weight=tensor("p_w"),
             stride={"as_ints": [2, 2]}),
        node("relu_.default", "r", self=tensor("c")),
        node("add.Tensor", "a", self=tensor("r"), other=tensor("c")),
        node("mean.dim", "m", self=tensor("a"), dim={"as_ints": [2, 3]}),
        node("view.default", "v", self=tensor("m"), size={"as_ints": [1, -1]}),
    ]  # fmt: skip
    weight = {"parameter": {"arg": {"name": "p_w"}, "parameter_name": "w"}}
    signature = {
        "input_specs": [weight, {"user_input": {"arg": tensor("x")}}],
        "output_specs": [{"user_output": {"arg": tensor("v")}}],
    }
    values = {"x": sizes(1, 3, 9, 9), "p_w": sizes(2, 3, 2, 2)}
    graph = {"nodes": nodes, "tensor_values": values, "inputs": [], "outputs": []}
    module = {"graph": graph, "signature": signature}
    return {"program": json.dumps({"graph_module": module}).encode()}


def program_archive(model: bytes) -> bytes:
    """A ``.pt2`` with that description and one array of 24 values."""
    meta = {
        "dtype": 7, "storage_offset": {"as_int": 0},
        "sizes": [{"as_int": size} for size in (2, 3, 2, 2)],
        "strides": [{"as_int": size} for size in (12, 4, 2, 1)],
    }  # fmt: skip
    entry = {"path_name": "weight_0", "is_param": True, "use_pickle": False, "tensor_meta": meta}
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a/models/model.json", model)
        config = json.dumps({"config": {"w": entry}})
        archive.writestr("a/data/weights/model_weights_config.json", config)
        archive.writestr("a/data/constants/model_constants_config.json", '{"config": {}}')
        archive.writestr("a/data/weights/weight_0", np.linspace(-1, 1, 24).astype("<f4").tobytes())
    return file.getvalue()


@functools.cache
def _small_keras() -> dict[str, bytes]:
    """The parts of a file that Keras wrote."""
    path = Path(__file__).parent.parent / "data" / "keras" / "small.keras.gz"
    with zipfile.ZipFile(io.BytesIO(gzip.decompress(path.read_bytes()))) as parts:
        return {name: parts.read(name) for name in parts.namelist()}


def keras() -> Files:
    """Descriptions of networks whose arrays ``keras_archive`` has, and whole files."""
    line = keras_files.sequential(
        keras_files.layer("Conv2D", kernel_size=[3, 3], padding="same", strides=2),
        keras_files.layer("ZeroPadding2D", padding=[[0, 1], [1, 0]]),
        keras_files.layer("MaxPooling2D", pool_size=[2, 2], strides=[1, 2]),
        keras_files.layer("Flatten"),
        keras_files.layer("Activation", activation="softmax"),
    )
    arrays = {"conv2d/0": np.ones((3, 3, 3, 2)), "conv2d/1": np.ones(2)}
    return {
        "line": json.dumps(line).encode(),
        "graph": _small_keras()["config.json"],
        "old": json.dumps(keras_files.old_functional()).encode(),
        "keras": keras_files.keras_file(line, arrays),
        "h5": keras_files.h5_file(keras_files.old_functional(), {}),
    }


def keras_archive(config: bytes) -> bytes:
    """A ``.keras`` with that description and arrays of one for all layers."""
    return keras_files.archive(config, _small_keras()["model.weights.h5"])


def pair_models() -> Files:
    """The models of ``pairs``."""
    with tempfile.TemporaryDirectory() as folder:
        made = small_pair()
        return {
            f"{one.name}.npz": Path(saved(one, Path(folder))).read_bytes()
            for one in (made.fast, made.thorough, small_domain(1.0))
        }


def pairs() -> Files:
    """Manifests."""
    with tempfile.TemporaryDirectory() as folder:
        made, domain = small_pair(), small_domain(1.0)
        for one in (made.fast, made.thorough, domain):
            saved(one, Path(folder))
        found = {}
        for number, calibration in enumerate(
            ({}, {"spread": 0.6}, {"small_faces": {"below": 50, "shift": 0.1}})
        ):
            path = Path(folder) / f"{number}.json"
            full = Pair(**{**vars(made), "calibration": calibration, "domain": domain})
            save_pair(full, path)
            found[path.name] = path.read_bytes()
    return found


# --- pictures -----------------------------------------------------------------------------


def _saved(kind: str, image: Image.Image, **options: Any) -> bytes | None:
    buffer = io.BytesIO()
    try:
        image.save(buffer, kind, **options)
    except (KeyError, OSError, ValueError):  # this Pillow does not write it
        return None
    return buffer.getvalue()


def pictures() -> Files:
    """Each format, and modes of the commonest."""
    image = small_photo()
    exif = Image.Exif()
    exif[0x0112] = 6
    wanted: list[tuple[str, Image.Image, dict[str, Any]]] = [
        *((kind, image, {}) for kind in ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "PPM")),
        *((kind, image, {}) for kind in ("JPEG2000", "AVIF")),
        ("JPEG", image, {"progressive": True, "exif": exif, "quality": 20}),
        ("JPEG", image.convert("L"), {"icc_profile": b"profile" * 9}),
        ("JPEG", image.convert("CMYK"), {}),
        ("PNG", image.convert("P"), {"transparency": 0, "icc_profile": b"profile" * 9}),
        ("PNG", image.convert("I;16"), {}), ("PNG", image.convert("LA"), {}),
        ("TIFF", image, {"compression": "tiff_lzw"}), ("TIFF", image.convert("F"), {}),
        ("TIFF", image.convert("1"), {"compression": "group4"}),
        ("WEBP", image.convert("RGBA"), {"lossless": True}),
    ]  # fmt: skip
    found = {}
    for number, (kind, picture, options) in enumerate(wanted):
        data = _saved(kind, picture, **options)
        if data is not None:
            found[f"{kind.lower()}-{number}"] = data
    return found


def animations() -> Files:
    """Pictures that move."""
    return {kind: made_clips.animation_bytes(kind, 3) for kind in ("GIF", "PNG", "WEBP")}


# --- clips --------------------------------------------------------------------------------


def clips() -> Files:
    """A few frames in each container."""
    import av

    return {
        f"{number}-{kind}": made_clips.clip_bytes(
            kind, codec, 9 if kind == "mpegts" else 3, pix_fmt=pix_fmt, size=_SIZE
        )
        for number, (kind, codec, pix_fmt) in enumerate(made_clips.KINDS)
        if codec in av.codecs_available
    }


def containers() -> Files:
    """Clips without what only FFmpeg looks at, and stamps."""
    found = {name: data[:200] + data[-200:] for name, data in clips().items()}
    found |= {f"twice-{name}": data * 2 for name, data in clips().items() if len(data) < 2000}
    found["uuid"] = credentials.box(b"ftyp", b"isomiso2") + credentials.uuid_box()
    found["stamps"] = struct.pack("<9d", 0, 0.04, 0.08, 9.0, 0.0, 0.04, 0.04, -2.0, 100.0)
    found["params"] = (
        struct.pack("@INNii", 2, 32, 20, 1, 30) + bytes(8) + struct.pack("@10i", *[3] * 10)
    )
    return found


def stores() -> Files:
    """JUMBF boxes and values."""
    deep = b"".join(
        (credentials.jumb("c2pa", credentials.jumb("x")), credentials.cbor([[["x"]], {"a": 1}]))
    )
    return {
        "store": credentials.STORE,
        "old": credentials.store({"claim_generator": "old/1.0"}, "c2pa.claim"),
        "cbor": credentials.cbor(credentials.CLAIM),
        "indefinite": b"\xbf\x61a\x9f\x01\xff\x61b\x7f\x61c\xff\xff",
        "deep": deep,
    }


def origins() -> Files:
    """Files that say where they come from."""
    small = clips()
    return {
        "jpeg": credentials.jpeg(part=2000),
        "png": credentials.png(),
        "webp": credentials.webp(),
        "tiff with a store": credentials.tiff(),
        "gif": credentials.gif(),
        "mp4": next(iter(small.values())) + credentials.uuid_box(),
        **{name: data for name, data in small.items() if "matroska" in name},
        "tiff": pictures()["tiff-5"],
    }


def raws() -> Files:
    """Width, height, frames a second there and wanted, then frames."""
    return {
        "two": struct.pack("<hhfd", 4, 3, 25.0, 0.0) + bytes(2 * 36),
        "part": struct.pack("<hhfd", 4, 3, 25.0, 4.0) + bytes(9 * 36 + 5),
        "wrong": struct.pack("<hhfd", -4, 3, float("nan"), 4.0) + bytes(36),
    }


if __name__ == "__main__":
    from fuzz.doors import DOORS

    for door in sys.argv[2:] or DOORS:
        place = Path(sys.argv[1], door)
        place.mkdir(parents=True, exist_ok=True)
        make = plans if door == "programs" else DOORS[door].seeds
        for name, data in make().items():
            (place / name).write_bytes(data)
