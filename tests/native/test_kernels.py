"""Builds and runs check_kernels.c: natively, under sanitizers, and over emulated vector headers."""

from __future__ import annotations

import importlib.util
import platform
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from toolchain import COMPILERS, CSRC, KERNEL_CHECK, SANITIZE, build, run

from minimeso.engine.native import kernel_names

X86 = platform.machine() in ("x86_64", "AMD64", "i686")

pytestmark = pytest.mark.skipif(not COMPILERS, reason="no C compiler on the path")


@pytest.mark.parametrize("compiler", ("gcc", "clang"))
def test_kernels_equal_plain_c(compiler: str, tmp_path: Path) -> None:
    if compiler not in COMPILERS:
        pytest.skip(f"{compiler} is not installed")
    output = run([build(tmp_path, compiler, ["-O2"], KERNEL_CHECK)])
    assert "\n0 failures" in output


DEFECT = "vf right = x; x = VW > 1 ? v_add(x, v_set(1e-6f)) : right;"


@pytest.mark.parametrize("defect", ("", DEFECT))
def test_a_new_activation_is_checked(defect: str, tmp_path: Path) -> None:
    """A line in activations.h and a formula are all that the check of kernels has to be told: it
    counts one kernel more, and finds it wrong where one instruction set has other bits."""
    csrc = tmp_path / "csrc"
    shutil.copytree(CSRC, csrc)
    _edit(csrc / "activations.h", "X(with, EXP,", "X(with, CUBE, cube, FUSED, VALLEY) ")
    formula = f"(void)p; {defect} return v_mul(x, v_mul(x, x));"
    formula = f"MM_INLINE vf v_cube(vf x, float p) {{ {formula} }}\n"
    _edit(csrc / "activation.inc", "#define MM_UNARY(", formula)
    program = build(tmp_path, COMPILERS[0], ["-O1", "-Wno-unused"], KERNEL_CHECK, csrc)
    done = subprocess.run([program], capture_output=True, text=True, check=False)
    assert f"scalar: {len(kernel_names()) + 1} kernels checked" in done.stdout
    assert ("\n0 failures" in done.stdout) == (not defect) == (not done.returncode)
    if defect:
        assert re.search(r"FAIL (?!scalar)\w+ cube: out of place", done.stdout)


def _edit(path: Path, before: str, new: str) -> None:
    """Insert text before the one place where other text stands."""
    text = path.read_text()
    assert text.count(before) == 1, path
    path.write_text(text.replace(before, new + before))


def test_kernels_under_sanitizers(tmp_path: Path) -> None:
    output = run([build(tmp_path, COMPILERS[0], ["-O1", *SANITIZE], KERNEL_CHECK)])
    assert "\n0 failures" in output


@pytest.mark.skipif(not X86, reason="the emulated build is for x86")
def test_kernels_of_other_machines_emulated(tmp_path: Path) -> None:
    """AVX-512, NEON and SIMD128 code on a machine without them, over SIMDe's portable headers."""
    spec = importlib.util.find_spec("simde_py")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("simde-py is not installed")
    simde = _simde_folder(Path(spec.submodule_search_locations[0]))
    emulated = [
        "-DMM_EMULATED",
        "-DSIMDE_ENABLE_NATIVE_ALIASES",
        f"-isystem{simde}",
        "-w",
        "-g0",
    ]
    missing = "-D_mm512_cvtepu8_epi32(a)=_mm512_cvtepu16_epi32(_mm256_cvtepu8_epi16(a))"
    sources = {
        "check_kernels.c": ["-DMM_EMULATED"],
        "cpu.c": [],
        "kernels.c": [],
        **{path.name: [] for path in sorted(CSRC.glob("kernels_*.c"))},
        "kernels_avx512.c": [*emulated, missing, "-include", "simde/x86/avx512.h"],
        "kernels_neon.c": [*emulated, "-include", "simde/arm/neon.h"],
        "kernels_simd128.c": [*emulated, "-include", "simde/wasm/simd128.h"],
    }
    # not UBSan: the emulation itself adds signed integers beyond their range
    output = run([build(tmp_path, COMPILERS[0], ["-O1", "-fsanitize=address"], sources)])
    assert "avx512 (emulated)" in output and "simd128 (emulated)" in output
    assert "\n0 failures" in output


def _simde_folder(package: Path) -> Path:
    """The folder that holds ``simde/x86``."""
    for header in package.rglob("simde/x86/avx512.h"):
        return header.parent.parent.parent
    raise AssertionError(f"no SIMDe headers under {package}")
