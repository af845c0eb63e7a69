"""Exported networks: they compile without a warning, and have the bits of a session."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from exported import WARNINGS, compiled, input_bytes, python_bytes, random_inputs, run
from support.every_operator import every_operator
from support.quantized import as_stored, blocks

from minimeso import Graph, InputError, Model, Session
from minimeso.detect.framing import resized_crop
from minimeso.engine import bundled_models, find_model
from minimeso.engine.native import available_isas
from minimeso.export import crop_files, export, write

LONG = os.environ.get("MINIMESO_HYPOTHESIS") == "long"
NETWORK = "mesoinception4-mish"
SANITIZE = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g")
#: Compiler, runner, and the instruction sets of a program and of the session that it must equal.
OTHERS = (
    ("aarch64-linux-gnu-gcc", "qemu-aarch64", {"neon": "avx2", "scalar": "scalar"}),
    ("arm-linux-gnueabihf-gcc", "qemu-arm", {"scalar": "scalar"}),
)
if LONG:
    OTHERS = (*OTHERS, ("riscv64-linux-gnu-gcc", "qemu-riscv64", {"scalar": "scalar"}))

needs_gcc = pytest.mark.skipif(not shutil.which("gcc"), reason="no gcc on the path")
only_long = pytest.mark.skipif(not LONG, reason="minutes: .ci/long runs it")


def check(model: Model, folder: Path, compiler: str, *flags: str, isas: Sequence[str] = ()) -> None:
    """Every instruction set of this machine gives the bits of a session with it."""
    exported = export(model)
    program = compiled(exported, folder, compiler, *flags)
    inputs = random_inputs(exported)
    for isa in isas or available_isas():
        found = run(program, isa, data=input_bytes(inputs))
        assert found == python_bytes(model, inputs, isa), isa


@needs_gcc
def test_bits_of_every_operator(tmp_path: Path) -> None:
    """Without SIMD, for the sake of time; networks have it."""
    check(every_operator(), tmp_path, "gcc", "-O1", "-DMINIMESO_SCALAR", isas=["scalar"])


@needs_gcc
def test_bits_of_weights_that_are_bytes(tmp_path: Path) -> None:
    model = as_stored(blocks(16, 16, 8, 16, 3, 2), tmp_path)
    check(model, tmp_path, "gcc", "-O1", "-DMINIMESO_SCALAR", isas=["scalar"])


@needs_gcc
def test_example_judges_a_face(tmp_path: Path) -> None:
    """As a person would: the files alone, the documented command, bytes of a picture."""
    model = find_model(NETWORK)
    exported = export(model)
    write(exported.files, tmp_path)
    name = exported.name
    page = (tmp_path / f"{name}.md").read_text()
    command = re.search(r"\$ cc (.*-o judge -lm)\n", page)
    assert command is not None
    words = [str(tmp_path / word) if word.endswith((".c", "judge")) else word
             for word in command[1].split()]  # fmt: skip
    run("gcc", *WARNINGS, *words)
    face = np.random.default_rng(1).integers(0, 256, (1, 256, 256, 3)).astype(np.uint8)
    (tmp_path / "face.rgb").write_bytes(face.tobytes())
    limits = model.thresholds or {}
    for isa in available_isas():
        found, word = run(tmp_path / "judge", tmp_path / "face.rgb", isa).decode().split()
        p_fake = Session(model, isa=isa).run(face)[0]
        assert np.float32(found) == p_fake, isa
        is_fake, is_real = p_fake >= limits["fake"], p_fake <= limits["real"]
        assert word == ("fake" if is_fake else "real" if is_real else "uncertain")
    assert run(tmp_path / "judge", data=face.tobytes()).split()[1].decode() == word
    judged = subprocess.run([tmp_path / "judge", "gone.rgb"], capture_output=True, check=False)
    assert judged.returncode == 2 and judged.stderr == b"gone.rgb: No such file or directory\n"


@pytest.mark.parametrize(("compiler", "runner", "sets"), OTHERS)
def test_bits_on_another_machine(
    compiler: str, runner: str, sets: dict[str, str], tmp_path: Path
) -> None:
    if not (shutil.which(compiler) and shutil.which(runner)):
        pytest.skip(f"no {compiler} or no {runner} (Debian: gcc-{compiler[:-4]}, qemu-user)")
    model = find_model(NETWORK)
    exported = export(model)
    program = compiled(exported, tmp_path, compiler, "-Os", "-static")
    inputs = random_inputs(exported)
    for theirs, ours in sets.items():
        if ours in available_isas():
            found = run(runner, program, theirs, data=input_bytes(inputs))
            assert found == python_bytes(model, inputs, ours), theirs


@needs_gcc
@pytest.mark.parametrize(
    "flag", ("-Ofast", "-ffast-math", "-ffinite-math-only", "-freciprocal-math")
)
def test_arithmetic_that_is_not_that_of_the_source_is_refused(flag: str, tmp_path: Path) -> None:
    write(crop_files(), tmp_path)
    source = tmp_path / "minimeso_crop.c"
    with pytest.raises(AssertionError, match="no -ffast-math, -Ofast"):
        run("gcc", *WARNINGS, flag, "-fsyntax-only", source)


@only_long
@needs_gcc
@pytest.mark.parametrize(
    "flags", (("-O2",), ("-Os",), ("-Os", "-DMINIMESO_SCALAR"), ("-O1", *SANITIZE))
)
@pytest.mark.parametrize("name", [n for n in bundled_models() if not n.startswith("yunet")])
def test_bits_of_every_network(name: str, flags: tuple[str, ...], tmp_path: Path) -> None:
    isas = ["scalar"] if "-DMINIMESO_SCALAR" in flags else []
    check(find_model(name), tmp_path, "gcc", *flags, isas=isas)


@only_long
@pytest.mark.parametrize("flags", (("-O1",), ("-O1", *SANITIZE), ("-std=gnu11", "-O3")))
def test_bits_of_every_operator_otherwise(flags: tuple[str, ...], tmp_path: Path) -> None:
    for compiler in filter(shutil.which, ("gcc", "clang")):
        check(every_operator(), tmp_path, compiler, *flags)


@needs_gcc
def test_two_networks_in_one_program(tmp_path: Path) -> None:
    """All of a network but its functions is private to its file."""
    graph = Graph("tiny")
    graph.output(graph.node("relu", graph.input("x", (3,)), name="y"))
    for name in ("one", "two"):
        exported = export(Model(name, graph, {}))
        write(exported.files, tmp_path)
        run(
            "gcc",
            *WARNINGS,
            "-O1",
            "-fPIC",
            "-c",
            tmp_path / f"{name}.c",
            "-o",
            tmp_path / f"{name}.o",
        )
    run("gcc", "-shared", tmp_path / "one.o", tmp_path / "two.o", "-o", tmp_path / "both.so")


@needs_gcc
def test_arrays_called_as_what_is_there_already(tmp_path: Path) -> None:
    """The parameters of ``run`` are theirs; Keras, say, likes to call its input "inputs"."""
    graph = Graph("tiny")
    x = graph.node("add", graph.input("inputs", (3,)), graph.input("state", (3,)))
    for name in ("outputs", "program", "class", "errno", "char8_t", "thread_local"):
        graph.output(graph.node("relu", x, name=name))
    exported = export(Model("tiny", graph, {}))
    write(exported.files, tmp_path)
    run("gcc", *WARNINGS, "-fsyntax-only", tmp_path / "tiny.c")
    if shutil.which("g++"):
        main = tmp_path / "main.cc"
        main.write_text('#include <cerrno>\n#include "tiny.h"\n')
        run("g++", "-std=c++20", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", main)


def test_an_unaligned_arena_and_a_foreign_isa_are_refused(tmp_path: Path) -> None:
    if not shutil.which("gcc"):
        pytest.skip("no gcc on the path")
    graph = Graph("tiny")
    graph.output(graph.node("relu", graph.input("x", (3,)), name="y"))
    write(export(Model("tiny", graph, {})).files, tmp_path)
    (tmp_path / "main.c").write_text(
        """\
#include "tiny.h"
static _Alignas(64) unsigned char arena[TINY_ARENA_BYTES + 64];
int main(void)
{
    float x[3] = {-1, 0, 2}, y[3];
    if (tiny_run(arena, x, y) != TINY_NOT_READY) return 1;
    if (tiny_init(arena + 4, 0) != TINY_NOT_ALIGNED) return 2;
    if (tiny_init(0, 0) != TINY_NOT_ALIGNED || tiny_run(0, x, y) != TINY_NOT_ALIGNED) return 6;
    if (tiny_init(arena, "mmx") != TINY_NO_ISA) return 3;
    if (tiny_init(arena, 0) || tiny_run(arena, x, y)) return 4;
    return y[0] == 0 && y[1] == 0 && y[2] == 2 ? 0 : 5;
}
"""
    )
    run("gcc", *WARNINGS, "-O1", tmp_path / "main.c", tmp_path / "tiny.c", "-o", tmp_path / "main")
    run(tmp_path / "main")


CROP = """\
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include "minimeso_crop.h"
static uint8_t picture[40 * 50 * 3];
static float out[3 * 32 * 24];
int main(int argc, char **argv)
{
    if (argc < 8 || fread(picture, sizeof picture, 1, stdin) != 1) return 2;
    minimeso_crop_box box = {picture, 40, 50, 150, atof(argv[2]), atof(argv[3]),
                             atof(argv[4]), atof(argv[5]), 32, 24, atoi(argv[6]), atoi(argv[7])};
    char *workspace = aligned_alloc(64, minimeso_crop_bytes(&box));
    if (minimeso_crop_run(&box, argv[1], out, 32 * 24, 24, workspace)) return 3;
    fwrite(out, sizeof out, 1, stdout);
    if (minimeso_crop_run(&box, argv[1], out, 32 * 24, 24, NULL) >= 0) return 4;
    if (minimeso_crop_run(&box, argv[1], out, 32 * 24, 24, workspace + 4) >= 0) return 5;
    const double edges[][4] = {{NAN, 1, 9, 9}, {9, 1, 9, 9}, {-8, 1, 0, 9}, {50, 1, 51, 9},
                               {1, -INFINITY, 9, 9}, {-90, -90, 111, 9}, {1, 1, 1e300, 2}};
    for (size_t i = 0; i < sizeof edges / sizeof *edges; i++) {
        const double *e = edges[i];
        const minimeso_crop_box none = {picture, 40, 50, 150, e[0], e[1], e[2], e[3], 32, 24, 0, 0};
        if (minimeso_crop_bytes(&none)) return 6;
        if (minimeso_crop_run(&none, NULL, out, 32 * 24, 24, workspace) >= 0) return 7;
    }
    free(workspace);
    return 0;
}
"""


@needs_gcc
def test_a_crop_is_that_of_a_detector(tmp_path: Path) -> None:
    """Within its box, and where that reaches outside the picture."""
    write(crop_files(), tmp_path)
    (tmp_path / "main.c").write_text(CROP)
    sources = [tmp_path / "main.c", tmp_path / "minimeso_crop.c"]
    run("gcc", *WARNINGS, "-O1", *sources, "-lm", "-o", tmp_path / "main")
    picture = np.random.default_rng(2).integers(0, 256, (40, 50, 3)).astype(np.uint8)
    for box in ((3.1, 1.5, 44.0, 38.2), (-20.3, -7.7, 60.1, 31.9), (30.0, 12.7, 44.4, 60.0),
                (-75.0, -3.0, 200.0, 99.0), (0.0, 0.0, 50.0, 40.0)):  # fmt: skip
        edges = [repr(edge) for edge in (*box[:2], box[0] + box[2], box[1] + box[3])]
        for isa, twice, rounded in product(available_isas(), "01", "01"):
            resample = "bicubic_2x" if int(twice) else "bilinear"
            wanted = resized_crop(picture, box, (32, 24), resample, isa, rounded=rounded == "1")
            found = run(tmp_path / "main", isa, *edges, twice, rounded, data=picture.tobytes())
            assert found == wanted.tobytes(), (box, isa, resample, rounded)


@pytest.mark.parametrize("compiler", ("gcc", "clang"))
def test_a_network_without_cheap_activations(compiler: str, tmp_path: Path) -> None:
    """Convolutions apply those themselves; clang looks for unused inline functions, too."""
    if not shutil.which(compiler):
        pytest.skip(f"no {compiler} on the path")
    graph = Graph("n")
    x = graph.input("x", (4, 5, 6))
    x = graph.node("conv2d", x, out_channels=5, kernel_size=1)
    graph.output(graph.node("tanh", x))
    shapes = graph.parameters()
    weights = {name: np.ones(shape, np.float32) for name, shape in shapes.items()}
    write(export(Model("n", graph, weights)).files, tmp_path)
    run(compiler, *WARNINGS, "-fsyntax-only", tmp_path / "n.c")


@needs_gcc
def test_limits_without_a_point_and_no_activation(tmp_path: Path) -> None:
    """Neither is a reason for a warning."""
    graph = Graph("n")
    x = graph.input("x", (3,))
    graph.output(graph.node("linear", x, out_features=1, name="y"))
    weights = {name: np.ones(s, np.float32) for name, s in graph.parameters().items()}
    framing = {"resample": "bilinear", "side": 2}
    model = Model("n", graph, weights, framing=framing, thresholds={"real": 0, "fake": 1})
    header = export(model).files["n.h"].decode()
    assert "N_REAL 0.0f" in header and "N_FAKE 1.0f" in header
    check(model, tmp_path, "gcc", "-O1", "-DMINIMESO_SCALAR", isas=["scalar"])


def test_a_header_says_how_a_picture_lies() -> None:
    for as_bytes, said in ((True, "256 x 256 x 3 uint8_t: lines, pixels, RGB from 0 to 255"),
                           (False, "3 x 256 x 256 float: channels, lines, pixels")):  # fmt: skip
        files = export(find_model(NETWORK), as_bytes=as_bytes).files
        header = files["mesoinception4_mish.h"].decode()
        assert f"   image: {said}\n   p_fake: 1 float\n" in header
        assert ("floats is RGB from 0 to 1" in header) != as_bytes


#: Of the engine in the file, of the library and of minimeso_crop.c, and of headers of C.
TAKEN = ("mm", "mm_x", "minimeso", "minimeso_crop", "minimeso_c_api", "math", "string")


@pytest.mark.parametrize("name", (*TAKEN, "1x", "a-b", "", "x" * 62))
def test_a_bad_prefix_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="no prefix for C: letters a to z, digits and _, 61"):
        export(find_model(NETWORK), name=name)


@pytest.mark.parametrize("name", (*TAKEN, "MM-net", "x" * 80, "int", "\u00fc", "9", "a/b"))
def test_any_name_of_a_network_gives_a_prefix(name: str) -> None:
    graph = Graph("tiny")
    graph.output(graph.node("relu", graph.input("x", (3,)), name="y"))
    made = export(Model(name, graph, {}), as_plan=True).name
    assert made not in TAKEN and export(Model("tiny", graph, {}), name=made, as_plan=True)


def test_what_a_plan_cannot_hold_is_refused() -> None:
    """Or the library would say that the plan is damaged."""
    graph = Graph("many")
    x = graph.input("x", (3,))
    with pytest.raises(InputError, match="without an output"):
        export(Model("none", graph, {}))
    for _ in range(257):
        graph.output(graph.node("relu", x))
    with pytest.raises(InputError, match="at most 256"):
        export(Model("many", graph, {}), as_plan=True)


@pytest.mark.parametrize("shapes", [[3], {"x": 3}, {"x": None}, {"x": ("3",)}, {"x": (4,)}, {}])
def test_shapes_that_are_none_are_refused(shapes: Any) -> None:
    graph = Graph("vector")
    graph.output(graph.node("relu", graph.input("x", (3,)), name="y"))
    with pytest.raises(InputError, match="input"):
        export(Model("vector", graph, {}), shapes)


def test_shapes_may_be_lists() -> None:
    graph = Graph("picture")
    graph.output(graph.node("relu", graph.input("x", (3, None, None)), name="y"))
    model = Model("picture", graph, {})
    given: Any
    for given in ([3, 4, 5], np.array([3, 4, 5])):
        assert export(model, {"x": given}).files == export(model, {"x": (3, 4, 5)}).files


def test_bytes_are_for_pictures() -> None:
    graph = Graph("vector")
    graph.output(graph.node("relu", graph.input("x", (3,)), name="y"))
    with pytest.raises(InputError, match="bytes"):
        export(Model("vector", graph, {}), as_bytes=True)
