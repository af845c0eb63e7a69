"""The networks of the page as one WebAssembly module."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from minimeso.engine import Model, find_model
from minimeso.export import crop_files, export, write
from tools.errors import ToolError

HERE = Path(__file__).parent
#: Side of the input in which faces are looked for.
FINDER_SIDE = 640
_STACK_BYTES = 1 << 18


def build(fast: Model, thorough: Model | None = None, *, simd: bool = True) -> bytes:
    """A module of the finder and one network, or two.

    Args:
        fast: a detector.
        thorough: another one that wants faces cut alike.
        simd: with SIMD128.

    Raises:
        ToolError: there is no clang with wasm-ld, or it fails.
    """
    for tool in ("clang", "wasm-ld"):
        if not shutil.which(tool):
            raise ToolError(f"no {tool} on the path (Debian: apt install clang lld)")
    finder = {"image": (3, FINDER_SIDE, FINDER_SIDE)}
    exports = [
        export(find_model("yunet-s"), finder, name="finder", as_bytes=False),
        export(fast, name="fast", as_bytes=False),
    ]
    if thorough is not None:
        exports.append(export(thorough, name="thorough", as_bytes=False))
    (side,) = {array.shape[-1] for exported in exports[1:] for array in exported.public.inputs}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(crop_files(), folder)
        for exported in exports:
            write(exported.files, folder)
        framing = fast.framing or {}
        cut = {
            "BICUBIC_2X": framing.get("resample") == "bicubic_2x",
            "ROUNDED": framing.get("dtype") == "uint8",
        }
        flags = [f"-DFINDER_SIDE={FINDER_SIDE}", f"-DFACE_SIDE={side}"]
        flags += [f"-D{name}={value:d}" for name, value in cut.items()]
        if thorough is not None:
            flags.append("-DTHOROUGH")
        sources = [f"{name}.c" for name in (*(e.name for e in exports), "minimeso_crop")]
        return _compiled(folder, sources, flags + (["-msimd128"] if simd else []))


def _compiled(folder: Path, sources: list[str], flags: list[str]) -> bytes:
    made = folder / "page.wasm"
    command = [
        "clang", "--target=wasm32", "-std=c11", "-O2", "-nostdlib", "-nostdlibinc",
        "-fno-math-errno", "-mbulk-memory", "-Werror=implicit-function-declaration",
        "-isystem", HERE / "libc", "-I", folder, *flags,
        HERE / "judge.c", *(folder / source for source in sources),
        "-Wl,--no-entry", "-Wl,--strip-all", f"-Wl,-z,stack-size={_STACK_BYTES}", "-o", made,
    ]  # fmt: skip
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise ToolError(f"clang ended with {done.returncode}:\n{done.stderr[-3000:]}")
    return made.read_bytes()
