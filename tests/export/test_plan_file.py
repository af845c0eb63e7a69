"""Plan files and the library for C: what a program made from the documents alone gets."""

from __future__ import annotations

import os
import re
import shutil
import struct
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from exported import WARNINGS, input_bytes, python_bytes, random_inputs, run
from support.every_operator import every_operator

import minimeso
from minimeso import Model
from minimeso.engine import find_model
from minimeso.engine.bindings import OP_NUMBERS, ffi, lib
from minimeso.engine.native import available_isas
from minimeso.engine.paths import sources
from minimeso.errors import InputError, ModelError
from minimeso.export import export, write
from minimeso.export.plan_file import COUNTS, _fields, _name, _numbers

LONG = os.environ.get("MINIMESO_HYPOTHESIS") == "long"
CHANGES = 20_000 if LONG else 300
HEAD = 12

pytestmark = pytest.mark.skipif(
    not shutil.which("gcc") or sys.platform == "win32", reason="no gcc on the path"
)


@pytest.fixture(scope="module")
def library() -> str:
    """The library for programs in C."""
    try:
        return minimeso.get_library()
    except FileNotFoundError:
        pytest.skip("the library is built with the extension: python setup.py build_ext --inplace")


@pytest.fixture(scope="module")
def runner(library: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``run_plan.c``, compiled as docs/embed.md says."""
    program = tmp_path_factory.mktemp("runner") / "run_plan"
    source = Path(__file__).with_name("run_plan.c")
    include = f"-I{minimeso.get_include()}"
    run("gcc", *WARNINGS, source, include, library, "-lm", "-pthread", "-o", program)
    return program


@pytest.mark.parametrize("name", ("mesoinception4-mish", "every", "yunet-s", "efficientnet-lite0"))
def test_bits_are_those_of_a_session(name: str, runner: Path, tmp_path: Path) -> None:
    model = every_operator() if name == "every" else find_model(name)
    shapes = {"image": (3, 64, 96)} if name == "yunet-s" else None
    exported = export(model, shapes, as_plan=True)
    write(exported.files, tmp_path)
    inputs = random_inputs(exported)
    for isa in available_isas():
        for threads in (1, 3):
            found = run(
                runner, tmp_path / f"{exported.name}.plan", isa, str(threads),
                data=input_bytes(inputs),
            )  # fmt: skip
            assert found == python_bytes(model, inputs, isa), (isa, threads)


def test_fields_of_a_plan_are_those_of_the_engine() -> None:
    """Python writes what the structs have, C reads what the lists say."""
    text = sources()["plan_file.h"]
    for name, kind in (("COUNTS", ""), ("TENSOR", "mm_tensor"), ("STEP", "mm_step"),
                       ("STAGE", "mm_stage")):  # fmt: skip
        body = re.split(r"(?<!\\)\n", text.split(f"#define MM_PLAN_{name}(")[1], maxsplit=1)[0]
        rows = re.findall(r"\b([IFA])\((\w+)(?:, (\d))?\)", body)
        if not kind:
            assert [field for _, field, _ in rows] == list(COUNTS)
            continue
        wanted = []
        for field, about in ffi.typeof(kind).fields:
            if about.type.kind == "array":
                wanted += [("A", field, str(i)) for i in range(about.type.length)]
            else:
                wanted.append(("F" if about.type.cname == "float" else "I", field, ""))
        assert rows == wanted, kind


@pytest.fixture(scope="module")
def hostile_runner(library: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For many plans; the sources of the engine are compiled under sanitizers in the long run."""
    program = tmp_path_factory.mktemp("hostile") / "run_plan"
    engine = [Path(library)]
    flags = ["-DHOSTILE", f"-I{minimeso.get_include()}"]
    if LONG:
        engine = sorted((Path(__file__).resolve().parents[2] / "csrc").glob("*.c"))
        flags += ["-O1", "-g1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    source = Path(__file__).with_name("run_plan.c")
    run("gcc", *WARNINGS, *flags, source, *engine, "-lm", "-pthread", "-o", program)
    return program


def small_plan(features: int = 2) -> bytes:
    graph = minimeso.Graph("small")
    x = graph.input("image", (3, 12, 9))
    x = graph.node("conv2d", x, name="c", out_channels=4, kernel_size=3, padding=1)
    x = graph.node("max_pool2d", graph.node("relu", x), kernel_size=2)
    graph.output(graph.node("linear", graph.node("flatten", x), name="l", out_features=features))
    rng = np.random.default_rng(0)
    weights = {n: rng.normal(0, 1, s).astype(np.float32) for n, s in graph.parameters().items()}
    (data,) = export(Model("small", graph, weights), as_plan=True).files.values()
    return data


def with_checksum(body: bytes) -> bytes:
    return b"MMPLAN\0\2" + struct.pack("<I", zlib.crc32(body)) + body


def test_a_hostile_plan_keeps_to_its_memory(hostile_runner: Path, tmp_path: Path) -> None:
    """Numbers are changed, and the checksum with them."""
    rng = np.random.default_rng(3)
    good = small_plan()[HEAD:]
    odd = [0, 1, -1, 2, 3, 7, 64, 1 << 31, (1 << 31) - 1, 1 << 40, (1 << 62), -(1 << 63)]
    plans = [with_checksum(good)]
    for _ in range(CHANGES):
        body = bytearray(good)
        for _ in range(rng.integers(1, 4)):
            at = int(rng.integers(0, len(good) // 8)) * 8
            value = int(rng.choice(odd[:-2])) if rng.random() < 0.5 else odd[-1 - rng.integers(2)]
            if rng.random() < 0.4:
                value = int.from_bytes(body[at : at + 8], "little", signed=True)
                value = max(min(value + int(rng.integers(-3, 4)), (1 << 63) - 1), -(1 << 63))
            body[at : at + 8] = value.to_bytes(8, "little", signed=True)
        plans.append(with_checksum(bytes(body)))
    plans += [with_checksum(good[: int(rng.integers(0, len(good)))]) for _ in range(CHANGES // 10)]
    many = tmp_path / "many"
    many.write_bytes(b"".join(struct.pack("<I", len(plan)) + plan for plan in plans))
    opened, refused = map(int, re.findall(rb"\d+", run(hostile_runner, many)))
    assert opened + refused == len(plans)
    assert opened > 1 and refused > len(plans) / 4


def input_plan(op: str, arena_floats: int, **tensor: int) -> bytes:
    """A plan that takes one input and does no more."""
    nowhere = dict.fromkeys(
        ("second", "input", "weight", "bias", "sign", "first_table", "second_table",
         "first_constant", "second_constant", "pre_activation", "activation", "slopes", "scale",
         "shift"),
        -1,
    )  # fmt: skip
    whole = {"offset": 16, "ring": -1, "line_mask": -1}
    rows = (
        ffi.new("mm_tensor *", {**whole, **tensor}),
        ffi.new("mm_step *", {**nowhere, "op": OP_NUMBERS[op]}),
        ffi.new("mm_stage *", {"count": 1, "band": 1}),
    )
    counts = dict.fromkeys(COUNTS, 0)
    ones = ("tensor_count", "step_count", "stage_count", "input_count")
    counts |= {"arena_floats": arena_floats, **dict.fromkeys(ones, 1)}
    head = _numbers([lib.mm_plan_version(), *counts.values(), 0, 0, 0])
    return with_checksum(head + _name("x") + b"".join(_fields(row[0]) for row in rows))


def told(plan: bytes, describing: Path, folder: Path) -> str:
    path = folder / "changed.plan"
    path.write_bytes(plan)
    return run(describing, path).decode()


@pytest.fixture(scope="module")
def describing(library: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``describe_plan.c``."""
    program = tmp_path_factory.mktemp("describing") / "describe_plan"
    source, include = Path(__file__).with_name("describe_plan.c"), f"-I{minimeso.get_include()}"
    run("gcc", *WARNINGS, source, include, library, "-lm", "-pthread", "-o", program)
    return program


@pytest.mark.parametrize(("op", "said"), [("INPUT_F32", "x 0 1 240"), ("INPUT_U8", "x 1 1 60")])
def test_a_vector_is_as_long_as_its_features(
    op: str, said: str, describing: Path, tmp_path: Path
) -> None:
    """No session makes one of bytes, but a plan can; all that is read must be the caller's."""
    vector = {"channels": 1, "height": 1, "width": 60, "is_vector": 1}
    plan = input_plan(op, 256, row_stride=80, line_stride=96, **vector)
    assert told(plan, describing, tmp_path) == f"{said}\n"


@pytest.mark.parametrize("op", ["INPUT_F32", "INPUT_U8"])
def test_an_array_beyond_all_memory_is_refused(op: str, describing: Path, tmp_path: Path) -> None:
    """Its number of bytes, as size_t has it, would be 0."""
    side = 1 << 21
    large = {"channels": side, "height": side, "width": side, "row_stride": side + 16}
    plan = input_plan(op, (1 << 63) - 1, line_stride=16 + side * (side + 16), **large)
    assert told(plan, describing, tmp_path).startswith("no plan")


def test_a_plan_of_another_version_is_refused(describing: Path, tmp_path: Path) -> None:
    """Of one with other operators: its numbers would mean others."""
    body = small_plan()[HEAD:]
    assert not told(with_checksum(body), describing, tmp_path).startswith("no plan")
    other = (lib.mm_plan_version() ^ 1).to_bytes(8, "little")
    assert told(with_checksum(other + body[8:]), describing, tmp_path).startswith("no plan")


def test_a_network_may_be_a_name_or_a_file(tmp_path: Path) -> None:
    name = "meso4-leaky_relu"
    model = find_model(name)
    minimeso.save_model(model, tmp_path / "own.npz")
    wanted = export(model, as_plan=True).files
    assert export(name, as_plan=True).files == wanted
    found = export(tmp_path / "own.npz", as_plan=True)
    assert found.files == wanted
    write(found.files, str(tmp_path / "out"))
    assert {path.name for path in (tmp_path / "out").iterdir()} == set(wanted)


def test_what_is_no_network_is_not_exported() -> None:
    given: Any = find_model("meso4-leaky_relu").graph
    with pytest.raises(InputError, match="a Graph is no Model, nor the name or file of one"):
        export(given)
    with pytest.raises(ModelError, match="no bundled model"):
        export("meso5")
    number: Any = 5
    with pytest.raises(InputError, match="'5' is no prefix for C"):
        export("meso4-leaky_relu", name=number)


def test_thresholds_are_those_of_one_float(describing: Path, tmp_path: Path) -> None:
    """A program that is told of thresholds has room for a p_fake: two floats would not fit."""
    for features, said in ((2, "no plan"), (1, "image 1")):
        body = bytearray(small_plan(features)[HEAD:])
        at = 8 * (1 + len(COUNTS))
        body[at : at + 8] = (1).to_bytes(8, "little")
        assert told(with_checksum(bytes(body)), describing, tmp_path).startswith(said)


@pytest.mark.parametrize("length", [-1, 256, (1 << 63) - 1, -(1 << 63)])
def test_lengths_of_names_that_lie(length: int, describing: Path, tmp_path: Path) -> None:
    body = bytearray(small_plan()[HEAD:])
    at = 8 * (len(COUNTS) + 4)
    body[at : at + 8] = length.to_bytes(8, "little", signed=True)
    assert told(with_checksum(bytes(body)), describing, tmp_path).startswith("no plan")


def test_a_plan_that_wants_too_much_memory_is_refused(runner: Path, tmp_path: Path) -> None:
    body = bytearray(small_plan()[HEAD:])
    for name in ("arena_floats", "ring_floats", "scratch_floats", "max_list"):
        changed = bytearray(body)
        at = 8 * (1 + COUNTS.index(name))
        changed[at : at + 8] = ((1 << 30) + 1).to_bytes(8, "little")
        (tmp_path / "large.plan").write_bytes(with_checksum(bytes(changed)))
        with pytest.raises(AssertionError, match="no plan, a damaged one"):
            run(runner, tmp_path / "large.plan", "scalar", "1")


def test_a_damaged_plan_is_refused(runner: Path, tmp_path: Path) -> None:
    data = small_plan()
    path = tmp_path / "small.plan"
    for damaged in (b"", data[:11], data[:-1], data + b"\0", b"x" + data[1:], data[:-5] + b"12345"):
        path.write_bytes(damaged)
        with pytest.raises(AssertionError, match="no plan, a damaged one"):
            run(runner, path, "scalar", "1")
