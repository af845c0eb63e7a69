"""Doors: where bytes of strangers come in, and what may happen there.

A door takes any bytes.  What it raises beyond the errors that it promises, what it prints, seconds
of work and megabytes are a find.  ``one`` runs it with libFuzzer (by Atheris), ``test_doors``
with a few changed seeds.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import itertools
import json
import math
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minimeso import MinimesoError, Model, ModelError, PictureError, Session
from minimeso.convert import hdf5, onnx_file
from minimeso.convert.keras_file import KerasFile
from minimeso.convert.keras_graph import convert_keras
from minimeso.convert.torch_program import Program, convert_program
from minimeso.detect.pair import _pair_of
from minimeso.engine import Graph
from minimeso.engine.bindings import lib
from minimeso.engine.model_file import _arrays_of, _model_of
from minimeso.errors import ConvertError, EngineError, GraphError, InputError
from minimeso.media.combs import combed_blocks
from minimeso.media.compression import _quantiser
from minimeso.media.containers import Clock, begins_like_a_clip, ends_early, last_whole_box
from minimeso.media.formats import format_of
from minimeso.media.joined import others
from minimeso.media.jpeg_scans import has_another
from minimeso.media.jumbf import Cbor, credentials_of
from minimeso.media.origin import jpeg_boxes, origin_of
from minimeso.media.outer_boxes import gif_applications, riff_chunks, uuid_boxes
from minimeso.media.pictures import Unreadable, read_picture
from minimeso.media.raw import raw_frames
from minimeso.media.streams import Stream, stream_of
from minimeso.media.video import is_clip, open_clip

from . import seeds

#: Of pictures and clips, so that what is small and sound passes and what is a bomb is refused.
MAX_PIXELS = 1 << 20
#: Frames of a clip, multiply-adds and elements of a network.
_MOST_FRAMES, _MOST_WORK, _MOST_ELEMENTS = 12, 3e7, 1 << 18


class Door(NamedTuple):
    """A way in.

    Attributes:
        enter: what is done with bytes.
        seeds: files to begin with, by name.
        limit_mb: memory that it may take beyond what the process has before.
    """

    enter: Callable[[bytes], object]
    seeds: Callable[[], dict[str, bytes]]
    limit_mb: int = 300


def archive(data: bytes) -> None:
    """A model file, up to a session."""
    with contextlib.suppress(ModelError):
        _run(_model_of(_arrays_of(data, "x", 1 << 20), "x"))


def model(data: bytes) -> None:
    """The description in a model file, with arrays that fit whatever it describes."""
    with contextlib.suppress(ModelError):
        _run(_model_of({"model.json": np.frombuffer(data, np.uint8), **_fitting(data)}, "x"))


def _fitting(data: bytes) -> dict[str, Any]:
    """Arrays for a description, numbers of any size among them; none where it makes no sense."""
    try:
        shapes = Graph.from_json(json.loads(data)["graph"], "x").parameters()
    except (ValueError, KeyError, TypeError, GraphError, RecursionError):
        return {}
    if sum(map(math.prod, shapes.values())) > _MOST_ELEMENTS:
        return {}
    rng = np.random.default_rng(len(data))
    scale = (1.0, 1.0, 1e-42, 1e30)[len(data) % 4]
    return {
        name: (scale * rng.normal(size=shape)).astype(np.float32) for name, shape in shapes.items()
    }


def _run(found: Any) -> None:
    """Run a network on small inputs; the planner makes no program that the engine refuses."""
    try:
        shapes = {
            name: tuple(9 if size is None else size for size in shape)
            for name, shape in found.graph.inputs.items()
        }
        known = found.graph.shapes(shapes)
        if sum(map(math.prod, known.values())) > _MOST_ELEMENTS or _work(found.graph, known) > (
            _MOST_WORK
        ):
            return
        inputs = {name: np.full((2, *shape), 0.5, np.float32) for name, shape in shapes.items()}
        with Session(found, threads=1) as session:
            session.run(inputs)
    except EngineError as error:
        if error.code == lib.MM_E_PROGRAM:
            raise AssertionError(f"the engine refuses what was planned: {error}") from error
    except (GraphError, InputError, ModelError):
        pass


def _work(graph: Any, shapes: dict[str, Any]) -> float:
    """Multiply-adds, roughly: every value by every weight of its node, or by its window."""
    weights: dict[str, int] = {}
    for name, shape in graph.parameters().items():
        weights[name.rpartition(".")[0]] = math.prod(shape)
    each = (
        math.prod(shapes[node.name])
        * max([weights.get(node.name, 1), *_numbers(node.attributes.get("kernel_size"))])
        for node in graph.nodes
    )
    return float(sum(each))


def _numbers(value: Any) -> list[int]:
    return [value**2] if isinstance(value, int) else [math.prod(value)] if value else []


def onnx(data: bytes) -> None:
    """An ONNX file; what it becomes runs."""
    with contextlib.suppress(ConvertError, GraphError):
        found = onnx_file.convert_onnx(onnx_file.read(Path("x"), data), "x")
        _run(Model("x", found.graph, found.graph.check_weights(found.weights)))


def program(data: bytes) -> None:
    """An exported program of PyTorch: its description, and the whole archive."""
    for whole in (data, seeds.program_archive(data)):
        with contextlib.suppress(ConvertError, GraphError):
            found = convert_program(Program(whole), "x")
            _run(Model("x", found.graph, found.graph.check_weights(found.weights)))


def keras(data: bytes) -> None:
    """A Keras file of either kind; what is neither, as the description of a network."""
    kind = "h5" if data.startswith(hdf5.MAGIC) else "keras"
    if kind == "keras" and not data.startswith(b"PK"):
        data = seeds.keras_archive(data)
    with contextlib.suppress(ConvertError, GraphError):
        found = convert_keras(KerasFile(data, kind), "x")
        _run(Model("x", found.graph, found.graph.check_weights(found.weights)))


def pair(data: bytes) -> None:
    """The manifest of a pair, beside two models."""
    with contextlib.suppress(ModelError):
        _pair_of(data, str(_pair_folder() / "both.json"))


_folders: list[tempfile.TemporaryDirectory[str]] = []


def _pair_folder() -> Path:
    if not _folders:
        _folders.append(tempfile.TemporaryDirectory())
        for name, content in seeds.pair_models().items():
            Path(_folders[0].name, name).write_bytes(content)
    return Path(_folders[0].name)


def picture(data: bytes) -> None:
    """A picture from memory."""
    try:
        found = read_picture(data, MAX_PIXELS)
    except PictureError as error:
        assert "\n" not in str(error)
        return
    height, width, channels = found.pixels.shape
    assert channels == 3 and height * width <= MAX_PIXELS and found.pixels.dtype == np.uint8


def clip(data: bytes) -> None:
    """Whatever comes through a pipe: kept, looked at, decoded."""
    try:
        with stream_of(_Pipe(data)) as stream:
            if is_clip(stream):
                with open_clip(stream, every_frame=True) as frames:
                    times = [t for t, _ in itertools.islice(frames, _MOST_FRAMES)]
                assert all(a < b for a, b in itertools.pairwise(times)), times
    except (PictureError, Unreadable):
        pass


class _Pipe(io.BufferedIOBase):
    """Cannot be sought, and gives what it has in pieces."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)

    def read(self, size: int | None = -1, /) -> bytes:
        return self._file.read(size)

    read1 = read

    def readable(self) -> bool:
        return True


def container(data: bytes) -> None:
    """What is looked at in files without FFmpeg and Pillow; never an error."""
    format_of(data[:256])
    begins_like_a_clip(data[:256])
    for look in (ends_early, last_whole_box):
        look(io.BytesIO(data))
    found = others(io.BytesIO(data), data[:256])
    places = (0, *found.starts)
    assert all(a < b < len(data) for a, b in itertools.pairwise(places)), places
    has_another(io.BytesIO(data))
    file = io.BytesIO(data)
    contents = [content for _, content in uuid_boxes(file, len(data))]
    contents += riff_chunks(file, len(data), b"C2PA")
    contents += gif_applications(file, b"C2PA_GIF")
    assert all(len(content) <= len(data) for content in contents)
    _quantiser(data)
    stamps = struct.unpack(f"<{len(data) // 8}d", data[: len(data) // 8 * 8])
    clock = Clock(25.0, 10.0)
    times = [clock.read(stamp if math.isfinite(stamp) else None) for stamp in stamps]
    assert all(a < b for a, b in itertools.pairwise(times)), times
    if len(data) >= 2 + 18 * 16:
        width = 16 + data[0] % 40
        rows = np.frombuffer(data, np.uint8, (len(data) - 2) // width * width, 2)
        if len(rows) >= 18 * width:
            combed_blocks(rows.reshape(-1, width))


def jumbf(data: bytes) -> None:
    """Boxes of content credentials: told or not, never an error but ``ValueError`` of a value."""
    found = credentials_of(data)
    assert found is None or len(found.claim_generator or "") <= 200
    with contextlib.suppress(ValueError):
        Cbor(data).value()
    for box in jpeg_boxes(data[i : i + 99] for i in range(0, len(data), 99)):
        credentials_of(box)


def origin(data: bytes) -> None:
    """What a file says of itself: told or not, never an error; text is short, on one line."""
    with Stream(io.BytesIO(data), is_ours=True) as stream:
        found = origin_of(stream)
    assert found is not None
    text = json.dumps(found.to_json(), allow_nan=False)
    assert len(text) < 5000, len(text)
    for value in (found.software, found.encoder, found.digital_source_type):
        assert value is None or value == " ".join(value.split())


def raw(data: bytes) -> None:
    """Frames without a container; their size, rate and choice are the first bytes."""
    if len(data) < 16:
        return
    width, height, rate, fps = struct.unpack_from("<hhfd", data)
    rest = data[16:]
    try:
        frames = raw_frames(_Pipe(rest), (width, height), rate, fps or None)
    except InputError:
        return
    with contextlib.suppress(PictureError), frames:
        for _, pixels in frames:
            assert pixels.shape == (height, width, 3)
    assert frames.frames_read == len(rest) // (3 * width * height)


DOORS = {
    "archive": Door(archive, seeds.archives),
    "model": Door(model, seeds.models),
    "program": Door(program, seeds.programs),
    "pair": Door(pair, seeds.pairs),
    "picture": Door(picture, seeds.pictures),
    "animation": Door(clip, seeds.animations, 500),
    "clip": Door(clip, seeds.clips, 500),
    "container": Door(container, seeds.containers),
    "jumbf": Door(jumbf, seeds.stores),
    "origin": Door(origin, seeds.origins, 500),
    "raw": Door(raw, seeds.raws),
}
if importlib.util.find_spec("onnx"):
    DOORS["onnx"] = Door(onnx, seeds.networks)
if importlib.util.find_spec("h5py"):
    DOORS["keras"] = Door(keras, seeds.keras)
assert issubclass(ModelError, MinimesoError)
