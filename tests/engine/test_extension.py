"""setup.py: flags of each machine and compiler, and what it says where there is none."""

from __future__ import annotations

import os
import runpy
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path
from typing import Any

import pytest

import minimeso
from minimeso.engine import _cffi, paths

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def setup() -> dict[str, Any]:
    pytest.importorskip("setuptools")
    return runpy.run_path(str(ROOT / "setup.py"))


@pytest.mark.parametrize("machine, is_64_bit", (("i686", False), ("x86_64", False)))
def test_no_x87_on_32_bits(setup: dict[str, Any], machine: str, is_64_bit: bool) -> None:
    assert setup["_float_arguments"](machine, is_64_bit) == ["-msse2", "-mfpmath=sse"]


def test_floats_stay_floats(setup: dict[str, Any]) -> None:
    assert setup["_float_arguments"]("s390x", True) == ["-fexcess-precision=fast"]
    assert setup["_float_arguments"]("x86_64", True) == []
    assert setup["_float_arguments"]("aarch64", True) == []


def test_the_compiler_not_the_system_decides(
    setup: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    assert "-std=c11" in setup["_compile_arguments"]("mingw32")
    assert "/std:c11" in setup["_compile_arguments"]("msvc")


def test_cflags_make_no_arithmetic_fast(setup: dict[str, Any]) -> None:
    given = ["gcc", "-Ofast", "-ffast-math", "-funsafe-math-optimizations", "-O2", "-Wall"]
    assert setup["_exact"](given) == ["gcc", "-O2", "-Wall"]


def test_no_stable_abi_without_a_gil(
    setup: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sysconfig, "get_config_var", lambda name: 0)
    assert setup["_wheel_options"]() == {"py_limited_api": "cp310"}
    monkeypatch.setattr(sysconfig, "get_config_var", lambda name: 1)
    assert setup["_wheel_options"]() == {}


@pytest.mark.skipif(sys.platform == "win32", reason="CC is of Unix")
def test_a_missing_compiler_is_one_line(setup: dict[str, Any], tmp_path: Path) -> None:
    command = [sys.executable, "setup.py", "--quiet", "build_ext", "--force"]
    done = subprocess.run(
        [*command, f"--build-lib={tmp_path}", f"--build-temp={tmp_path}"],
        cwd=ROOT,
        env={**os.environ, "CC": "no-such-compiler"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode
    assert done.stderr.strip() == setup["NO_COMPILER"]
    for name in ("Debian", "Fedora", "macOS", "Windows"):
        assert name in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="CC is of Unix")
def test_missing_headers_are_told(setup: dict[str, Any], tmp_path: Path) -> None:
    """As on Debian with gcc, without python3-dev: what a compiler says of it names no package."""
    (tmp_path / "include").mkdir()
    code = (
        "import runpy, sys, sysconfig\n"
        "found = sysconfig.get_path\n"
        "sysconfig.get_path = lambda name, *more, **others: (\n"
        f"    {str(tmp_path / 'include')!r} if name == 'include'\n"
        "    else found(name, *more, **others))\n"
        f"sys.argv = ['setup.py', '--quiet', 'build_ext', '--force', '--build-lib={tmp_path}',\n"
        f"    '--build-temp={tmp_path}']\n"
        "runpy.run_path('setup.py', run_name='__main__')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "CC": "false"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == setup["NO_HEADER"]
    assert "python3-dev" in setup["NO_HEADER"]


@pytest.mark.skipif(
    not shutil.which("git") or not (ROOT / ".git").exists(), reason="no checkout with git"
)
def test_an_sdist_has_all_that_git_has(setup: dict[str, Any], tmp_path: Path) -> None:
    """The documentation could not be built of one: it had no notes of the package."""
    command = [sys.executable, "setup.py", "-q", "egg_info", "--egg-base", tmp_path]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    listed = set((tmp_path / "minimeso.egg-info" / "SOURCES.txt").read_text().splitlines())
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True)
    assert set(files.stdout.decode().strip("\0").split("\0")) - listed <= {".gitignore"}


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a wheel has of the package, but for what is compiled."""
    folder = tmp_path_factory.mktemp("package")
    command = [sys.executable, "setup.py", "-q", "build_py", "--build-lib", folder]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return folder / "minimeso"


def test_the_package_brings_the_c_of_the_engine(package: Path) -> None:
    """For `minimeso export`, and the header for programs in C."""
    built = package / "csrc"
    csrc = ROOT / "csrc"
    wanted = {p.relative_to(csrc) for p in csrc.rglob("*") if p.suffix in (".c", ".h", ".inc")}
    found = {p.relative_to(built).as_posix() for p in built.rglob("*") if p.is_file()}
    assert found == {"include/minimeso_c_api.h", "sources.zip"}
    with zipfile.ZipFile(built / "sources.zip") as archive:
        assert {name: archive.read(name).decode() for name in archive.namelist()} == paths.sources()
    assert {*map(Path, paths.sources())} == wanted


IS_SANITIZED = b"__ubsan_" in Path(_cffi.__file__).read_bytes()


@pytest.mark.skipif(IS_SANITIZED, reason="sanitizers need room")
def test_the_installed_package_is_small(package: Path) -> None:
    """9 MB, of which what describes the wheel takes less than 0.05; `.ci/wheels` weighs it all."""
    compiled = [Path(_cffi.__file__), Path(minimeso.get_library())]
    files = [*(path for path in package.rglob("*") if path.is_file()), *compiled]
    assert sum(path.stat().st_size for path in files) <= 8_950_000
