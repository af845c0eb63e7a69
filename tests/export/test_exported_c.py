"""Exported networks: they compile without a warning, and have the bits of a session."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from exported import WARNINGS, compiled, input_bytes, python_bytes, random_inputs, run
from support.every_operator import every_operator
from support.quantized import as_stored, blocks

from minimeso import Graph, InputError, Model, Session
from minimeso.engine import bundled_models, find_model
from minimeso.engine.native import available_isas, resize
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
    command = re.search(r"\$ cc (.*-o judge)\n", page)
    assert command is not None
    words = [str(tmp_path / word) if word.endswith((".c", "judge")) else word
             for word in command[1].split()]  # fmt: skip
    run("gcc", *WARNINGS, *words, "-lm")
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
    if (tiny_init(arena, "mmx") != TINY_NO_ISA) return 3;
    if (tiny_init(arena, 0) || tiny_run(arena, x, y)) return 4;
    return y[0] == 0 && y[1] == 0 && y[2] == 2 ? 0 : 5;
}
"""
    )
    run("gcc", *WARNINGS, "-O1", tmp_path / "main.c", tmp_path / "tiny.c", "-o", tmp_path / "main")
    run(tmp_path / "main")


CROP = """\
#include <stdio.h>
#include <stdlib.h>
#include "minimeso_crop.h"
static uint8_t picture[40 * 50 * 3];
static float out[3 * 32 * 24];
int main(int argc, char **argv)
{
    minimeso_crop_box box = {picture, 40, 50, 150, 3.25f, 1.5f, 47.0f, 39.75f, 32, 24};
    if (argc < 2 || fread(picture, sizeof picture, 1, stdin) != 1) return 2;
    void *workspace = aligned_alloc(64, (minimeso_crop_bytes(&box) + 63) / 64 * 64);
    if (minimeso_crop_run(&box, argv[1], out, 32 * 24, 24, workspace)) return 3;
    fwrite(out, sizeof out, 1, stdout);
    free(workspace);
    return 0;
}
"""


@needs_gcc
def test_a_crop_has_the_bits_of_python(tmp_path: Path) -> None:
    write(crop_files(), tmp_path)
    (tmp_path / "main.c").write_text(CROP)
    sources = [tmp_path / "main.c", tmp_path / "minimeso_crop.c"]
    run("gcc", *WARNINGS, "-O1", *sources, "-lm", "-o", tmp_path / "main")
    picture = np.random.default_rng(2).integers(0, 256, (40, 50, 3)).astype(np.uint8)
    for isa in available_isas():
        wanted = resize(picture, (3.25, 1.5, 47.0, 39.75), (32, 24), "bilinear", isa)
        assert run(tmp_path / "main", isa, data=picture.tobytes()) == wanted.tobytes(), isa


@pytest.mark.parametrize("name", ("mm_x", "1x", "a-b", "", "x" * 80))
def test_a_bad_prefix_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="no prefix"):
        export(find_model(NETWORK), name=name)


def test_bytes_are_for_pictures() -> None:
    graph = Graph("vector")
    graph.output(graph.node("relu", graph.input("x", (3,)), name="y"))
    with pytest.raises(InputError, match="bytes"):
        export(Model("vector", graph, {}), as_bytes=True)
