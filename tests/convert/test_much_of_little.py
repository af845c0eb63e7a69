"""Small files that would cost much: each is refused by what is counted, before it has cost it."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
import pytest
from fuzz import seeds
from support import keras_files

from minimeso.convert import Preparation, hdf5, keras_graph, source, torch_program
from minimeso.convert.builder import Builder
from minimeso.convert.keras_file import KerasFile
from minimeso.convert.torch_program import Program, convert_program
from minimeso.convert.view import Atom
from minimeso.errors import GraphError

# --- HDF5 -------------------------------------------------------------------------------------


def superblock(root: int = 96) -> bytearray:
    """Of version 0, with the header of the root behind it."""
    head = bytearray(96)
    head[:8], head[13:15] = hdf5.MAGIC, b"\x08\x08"
    struct.pack_into("<Q", head, 64, root)
    return head


def one_name_for_all(length: int, members: int) -> bytes:
    """A group of empty groups that all have one long name."""
    heap = 96 + 16 + 24
    symbols = heap + 32 + length + 1
    empty = symbols + 8 + 40 * members
    table = struct.pack("<HHB3xQQ", 0x11, 16, 0, symbols, heap)
    names = b"HEAP" + struct.pack("<4xQ8xQ", length + 1, heap + 32) + b"a" * length + b"\0"
    entries = struct.pack("<QQI20x", 0, empty, 0) * members
    return bytes(
        superblock()
        + struct.pack("<BxH4xI4x", 1, 1, len(table))
        + table
        + names
        + b"SNOD\0\0"
        + struct.pack("<H", members)
        + entries
        + struct.pack("<BxH4xI20x", 1, 0, 0)
    )


def test_members_of_one_long_name() -> None:
    """200 bytes for each are fine; the paths of 3,000 would be 300 MB."""
    assert hdf5.read(one_name_for_all(20, 3000)) == hdf5.Content({}, {})
    with pytest.raises(GraphError, match="too many pieces"):
        hdf5.read(one_name_for_all(100_000, 3000))


def test_a_header_of_nothing_but_messages() -> None:
    """Each of four bytes would be an object of two hundred."""
    for size, is_fine in ((1000, True), (1 << 20, False)):
        data = superblock() + b"OHDR\2\3" + struct.pack("<Q", size) + bytes(size + 8)
        if is_fine:
            assert hdf5.read(bytes(data)) == hdf5.Content({}, {})
        else:
            with pytest.raises(GraphError, match="too many pieces"):
                hdf5.read(bytes(data))


# --- exported programs --------------------------------------------------------------------------


def with_sizes(*nodes: tuple[str, list[dict[str, Any]]]) -> Program:
    """A program that begins with such arithmetic: result, arguments of a product."""
    (model,) = map(json.loads, seeds.programs().values())
    graph = model["graph_module"]["graph"]
    graph["nodes"][:0] = [
        {
            "target": "_operator.mul",
            "name": result,
            "metadata": {},
            "inputs": [{"name": "a", "kind": 1, "arg": argument} for argument in arguments],
            "outputs": [{"as_sym_int": {"as_name": result}}],
        }
        for result, arguments in nodes
    ]
    return Program(seeds.program_archive(json.dumps(model).encode()))


def test_sizes_that_are_squared() -> None:
    """Forty squares of a number would have more digits than any memory holds."""

    def named(name: str) -> dict[str, Any]:
        return {"as_sym_int": {"as_name": name}}

    first = ("s0", [{"as_int": 3}, {"as_int": 5}])
    squares = [(f"s{i + 1}", [named(f"s{i}"), named(f"s{i}")]) for i in range(40)]
    convert_program(with_sizes(first, *squares[:3]), "x")
    with pytest.raises(GraphError, match="no size"):
        convert_program(with_sizes(first, *squares), "x")


@pytest.mark.parametrize("text", [{"as_string": "a"}, {"as_ints": [1, 2]}])
def test_a_text_is_no_size(text: dict[str, Any]) -> None:
    with pytest.raises(GraphError, match="no size"):
        convert_program(with_sizes(("s", [text, {"as_int": 1 << 34}])), "x")


def test_inputs_that_share_an_array(monkeypatch: pytest.MonkeyPatch) -> None:
    (model,) = map(json.loads, seeds.programs().values())
    specs = model["graph_module"]["signature"]["input_specs"]
    specs += [
        {"parameter": {"arg": {"name": f"p{i}"}, "parameter_name": "w"}} for i in range(9)
    ]  # each 96 bytes
    data = seeds.program_archive(json.dumps(model).encode())
    assert len(Program(data).arrays) == 10
    monkeypatch.setattr(torch_program, "SIZE_LIMIT", 900)
    with pytest.raises(GraphError, match="together are larger"):
        Program(data)


# --- what all kinds share -----------------------------------------------------------------------


class _Counted(dict[str, Any]):
    looks = 0

    def __contains__(self, key: object) -> bool:
        self.looks += 1
        return super().__contains__(key)


def test_nodes_of_one_name() -> None:
    """A free number is not searched from the first on each time."""
    build = Builder()
    build.input("x", ((), (), ()), ())
    build.shapes = looked_at = _Counted(build.shapes)
    build.where = "a"
    names = [build.emit("relu", ["x"]) for _ in range(500)]
    assert names[:3] == ["a", "a.2", "a.3"] and len(set(names)) == 500
    assert looked_at.looks < 5 * 500


def test_arrays_that_are_copied_for_each_node() -> None:
    build = Builder(_bytes_left=1000)
    build.input("x", ((Atom(100),),), ())
    weight = {"weight": np.ones((2, 100)), "bias": np.ones(2)}
    with pytest.raises(GraphError, match="take over"):
        for _ in range(9):
            build.emit("linear", ["x"], weight, out_features=2)
    assert len(build.nodes) == 1


def nested(depth: int, inputs: int) -> dict[str, Any]:
    """A model that is two of the next smaller; the smallest has so many inputs."""
    names = [f"i{number}" for number in range(inputs)]
    layers: list[dict[str, Any]] = [
        {"class_name": "InputLayer", "name": name, "inbound_nodes": [],
         "config": {"name": name, "batch_input_shape": [None, 6, 5, 3]}}
        for name in names
    ]  # fmt: skip
    model = {
        "layers": layers, "input_layers": [[name, 0, 0] for name in names],
        "output_layers": [["i0", 0, 0]],
    }  # fmt: skip
    for _ in range(depth):
        arguments = [["image", 0, 0, {}]] * len(model["input_layers"])
        second = [["inner", 0, 0, {}]] * len(model["input_layers"])
        inner = {"class_name": "Functional", "name": "inner", "config": {"name": "inner", **model},
                 "inbound_nodes": [arguments, second]}  # fmt: skip
        image = {"class_name": "InputLayer", "name": "image", "inbound_nodes": [],
                 "config": {"name": "image", "batch_input_shape": [None, 6, 5, 3]}}  # fmt: skip
        model = {"layers": [image, inner], "input_layers": [["image", 0, 0]],
                 "output_layers": [["inner", 1, 0]]}  # fmt: skip
    return {"class_name": "Functional", "config": {"name": "whole", **model}}


def test_models_in_models_that_are_called_often() -> None:
    """A call costs as much as is in the model, its inputs and arguments too."""

    def convert(depth: int, inputs: int) -> None:
        data = seeds.keras_archive(json.dumps(nested(depth, inputs)).encode())
        keras_graph.convert_keras(KerasFile(data, "keras"), "x")

    convert(3, 5)
    with pytest.raises(GraphError, match="layers, or arguments"):
        convert(12, 300)


def test_pictures_have_few_channels() -> None:
    """What prepares them is a sum of all channels for each."""
    build = Builder()
    sizes = [1, 50_000, 2, 2]
    x = source.add_input(build, "x", sizes, False)
    with pytest.raises(GraphError, match="50000 channels"):
        Preparation((0.5,), (0.5,)).apply(build, x)
    assert source.add_input(build, "y", [1, 3, 2, 2], False)


def test_nothing_is_printed_of_numbers_beyond_float32() -> None:
    """Found by .ci/fuzz keras."""
    config = keras_files.old_functional()
    config["config"]["layers"][1]["inbound_nodes"] = [["sum", 0, 0, {"y": 1e300}]]
    data = seeds.keras_archive(json.dumps(config).encode())
    found = keras_graph.convert_keras(KerasFile(data, "keras"), "x")
    with pytest.raises(GraphError, match="not finite"):
        found.graph.check_weights(found.weights)
