"""The library for C in a folder of its own, and programs that are linked with it."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from exported import WARNINGS, input_bytes, python_bytes, random_inputs, run

import minimeso
from minimeso.cli import main
from minimeso.engine import find_model
from minimeso.errors import InputError, OutputError
from minimeso.export import export, write, write_library

pytestmark = pytest.mark.skipif(
    not shutil.which("cc") or sys.platform != "linux", reason="no cc on the path, or no Linux"
)
FILES = ["libminimeso.a", "libminimeso.so", "libminimeso.so.1", "minimeso.pc", "minimeso_c_api.h"]
RUN_PLAN = Path(__file__).with_name("run_plan.c")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `minimeso export --library` writes."""
    try:
        minimeso.get_library()
    except FileNotFoundError:
        pytest.skip("the library is built with the extension: python setup.py build_ext --inplace")
    folder = tmp_path_factory.mktemp("library") / "new"
    write_library(folder)
    return folder


def symbols(path: Path) -> set[str]:
    """What a shared library shows."""
    said = run("nm", "-D", "--defined-only", path).decode()
    return {line.split()[-1].partition("@")[0] for line in said.splitlines()}


def test_it_shows_the_functions_of_the_header_alone(made: Path) -> None:
    assert sorted(path.name for path in made.iterdir()) == FILES
    header = (made / "minimeso_c_api.h").read_text()
    functions = set(re.findall(r"^[a-z].*?\b(minimeso_\w+)\(", header, re.MULTILINE))
    assert len(functions) >= 12
    assert symbols(made / "libminimeso.so") == functions
    said = run("readelf", "-d", made / "libminimeso.so").decode()
    assert "soname: [libminimeso.so.1]" in said and "TEXTREL" not in said


def test_the_extension_shows_nothing_else_of_the_engine() -> None:
    """Else a program with another version of the library in it would lend it its own."""
    extension = Path(sys.modules["minimeso.engine._cffi"].__file__ or "")
    assert not {name for name in symbols(extension) if name.startswith("mm_")}


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("how", ["shared", "static"])
def test_a_program_has_the_bits_of_a_session(
    compiler: str, how: str, made: Path, tmp_path: Path
) -> None:
    if not shutil.which(compiler):
        pytest.skip(f"no {compiler} here")
    model = find_model("mesoinception4-mish")
    exported = export(model, as_plan=True)
    write(exported.files, tmp_path)
    program = tmp_path / "run_plan"
    library = (
        ["-lminimeso", "-Wl,-rpath,$ORIGIN"]
        if how == "shared"
        else ["-l:libminimeso.a", "-lm", "-pthread"]
    )
    run(compiler, *WARNINGS, RUN_PLAN, f"-I{made}", f"-L{made}", *library, "-o", program)
    if how == "shared":
        shutil.copy(made / "libminimeso.so.1", tmp_path)
    inputs = random_inputs(exported)
    plan = tmp_path / f"{exported.name}.plan"
    found = run(program, plan, "scalar", "2", data=input_bytes(inputs))
    assert found == python_bytes(model, inputs, "scalar")


@pytest.mark.parametrize("folder", ["as made", "moved", "a b"])
def test_pkg_config_finds_it(folder: str, made: Path, tmp_path: Path) -> None:
    if not shutil.which("pkg-config"):
        pytest.skip("no pkg-config here")
    if folder != "as made":
        made = shutil.copytree(made, tmp_path / folder)
    environment = {**os.environ, "PKG_CONFIG_PATH": str(made)}

    def told(*options: str) -> list[str]:
        command = ["pkg-config", *options, "minimeso"]
        said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        return shlex.split(said.stdout)

    assert told("--modversion") == [minimeso.__version__]
    flags = [f"-I{made}", f"-L{made}", "-lminimeso"]
    assert told("--cflags", "--libs") == flags
    assert told("--cflags", "--libs", "--static") == [*flags, "-lm", "-pthread"]


def test_the_command_writes_it_beside_a_plan(made: Path, tmp_path: Path) -> None:
    del made  # without which this is skipped
    out = tmp_path / "out"
    command = ["export", "mesoinception4-mish", str(out), "--plan", "--library"]
    assert main(command) == main(command) == 0
    assert sorted(path.name for path in out.iterdir()) == sorted(
        [*FILES, "mesoinception4_mish.plan"]
    )


def test_a_disk_without_links(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a stick it was refused, and a folder asked for, after all else had been written."""

    def refused(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "symlink_to", refused)
    assert sorted(write_library(tmp_path)) == FILES
    assert symbols(tmp_path / "libminimeso.so") == symbols(made / "libminimeso.so")


def test_what_it_cannot_be_made_with(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del made
    with pytest.raises(InputError, match="no no-such-compiler here: install gcc"):
        write_library(tmp_path, "no-such-compiler -m64")
    for odd in (" ", "'cc"):
        with pytest.raises(InputError, match="CC is no command"):
            write_library(tmp_path, odd)
    with pytest.raises(OutputError, match=r"false made no .*libminimeso\.so\.1"):
        write_library(tmp_path, "false")
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(InputError, match="no shared library is made here"):
        write_library(tmp_path)


def test_judge_of_the_documentation(made: Path, tmp_path: Path) -> None:
    """As a program that was made from it alone: a face, and what is refused."""
    text = (Path(__file__).resolve().parents[2] / "docs" / "embed.md").read_text()
    (source,) = re.findall(r"```c\n(.*?)```", text, re.DOTALL)
    (tmp_path / "judge.c").write_text(source)
    run("cc", *WARNINGS, tmp_path / "judge.c", f"-I{made}", f"-L{made}", "-lminimeso",
        f"-Wl,-rpath,{made}", "-o", tmp_path / "judge")  # fmt: skip
    model = find_model("mesoinception4-mish")
    write(export(model, as_plan=True).files, tmp_path)
    face = np.random.default_rng(1).integers(0, 256, (1, 256, 256, 3)).astype(np.uint8)
    (tmp_path / "face.rgb").write_bytes(face.tobytes())
    plan = tmp_path / "mesoinception4_mish.plan"
    found = run(tmp_path / "judge", plan, tmp_path / "face.rgb").split()
    assert np.float32(found[0]) == minimeso.Session(model).run(face)[0]
    (tmp_path / "short.rgb").write_bytes(face.tobytes()[:-1])
    (tmp_path / "empty").write_bytes(b"")
    for odd, why in (
        ((plan, tmp_path / "short.rgb"), "196607 bytes, not 256 x 256 x 3"),
        ((plan, tmp_path / "none.rgb"), "No such file"),
        ((tmp_path / "none.plan", tmp_path / "face.rgb"), "No such file"),
        ((tmp_path / "empty", tmp_path / "face.rgb"), "no plan, a damaged one"),
        ((tmp_path / "face.rgb", tmp_path / "face.rgb"), "no plan, a damaged one"),
    ):
        done = subprocess.run([tmp_path / "judge", *odd], capture_output=True, text=True)
        assert done.returncode == 2 and why in done.stderr
