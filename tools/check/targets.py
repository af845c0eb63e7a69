"""The machines that the engine is checked for: what builds for them, and what runs it."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Target:
    """A machine.

    Attributes:
        compiler: command; ``zig`` stands for the one of the package ``ziglang``.
        isa: an instruction set that must be among those that were checked.
        packages: what Debian or PyPI call what is needed.
        flags: of the compiler, beside ``-O2``; those that ``setup.py`` gives on that machine.
        runner: what runs its programs; ``None`` where nothing does, so that they are only built.
        link: libraries.
        is_built: else the sources are only looked through for what the compiler refuses.
    """

    compiler: tuple[str, ...]
    isa: str
    packages: str
    flags: tuple[str, ...] = ()
    runner: tuple[str, ...] | None = ()
    link: tuple[str, ...] = ("-lm", "-pthread")
    is_built: bool = True

    def missing(self) -> str | None:
        """The first program that is not here."""
        if self.compiler[0] == "zig":
            if importlib.util.find_spec("ziglang") is None:
                return "zig"
        elif not shutil.which(self.compiler[0]):
            return self.compiler[0]
        if self.runner and found(self.runner[0]) is None:
            return self.runner[0]
        return None

    def command(self) -> tuple[str, ...]:
        """The compiler."""
        if self.compiler[0] == "zig":
            return (sys.executable, "-m", "ziglang", *self.compiler[1:])
        return self.compiler

    def run_command(self, program: Path) -> list[str | Path]:
        """What runs a program on it."""
        first, *rest = self.runner or ("",)
        return [found(first) or first, *rest, program] if first else [program]


def found(program: str) -> str | None:
    """Where a program is; Debian's wine64 is not on the path without the package wine."""
    hidden = Path("/usr/lib/wine") / program
    return shutil.which(program) or (str(hidden) if hidden.exists() else None)


def _cross(triple: str, cpu: str, isa: str = "scalar", flags: tuple[str, ...] = ()) -> Target:
    return Target(
        (f"{triple}-gcc",),
        isa,
        f"gcc-{triple} libc6-dev-{cpu}-cross qemu-user",
        ("-static", *flags),
        (f"qemu-{_QEMU.get(cpu, cpu)}",),
    )


_QEMU = {"arm64": "aarch64", "armhf": "arm"}


def _zig(triple: str, isa: str, runner: tuple[str, ...] | None = None) -> Target:
    link = () if "windows" in triple or "macos" in triple else ("-lm", "-pthread")
    return Target(("zig", "cc", "-target", triple), isa, "ziglang (pip)", (), runner, link)


def _msvc(cpu: str) -> Target:
    """clang-cl, which has the rules, the macros and the options of MSVC (those that ``setup.py``
    gives it), over what we want of its headers."""
    flags = (
        *(f"--target={cpu}-pc-windows-msvc", "-fsyntax-only", "/O2", "/std:c11", "/fp:precise"),
        *("/W4", "/WX", "-Wextra", "-Wgnu", "/imsvc", str(Path(__file__).parent / "msvc")),
    )
    return Target(("clang", "--driver-mode=cl"), "", "clang", flags, None, is_built=False)


#: MSVC has all intrinsics at any time, Clang those that it was told of.
X86_INTRINSICS = {
    "kernels_avx2.c": ["-mavx2", "-mfma"],
    "kernels_avx512.c": ["-mavx512f", "-mavx512dq"],
}


TARGETS: dict[str, Target] = {
    "gcc": Target(("gcc",), "scalar", "gcc"),
    "clang": Target(("clang",), "scalar", "clang"),
    "i686": Target(
        ("i686-linux-gnu-gcc",),
        "sse2",
        "gcc-i686-linux-gnu",
        ("-static", "-msse2", "-mfpmath=sse"),
    ),
    "core2": Target(
        ("gcc",), "sse2", "gcc qemu-user", ("-static",), ("qemu-x86_64", "-cpu", "core2duo")
    ),
    "arm64": _cross("aarch64-linux-gnu", "arm64", "neon"),
    "armv7": _cross("arm-linux-gnueabihf", "armhf"),
    "riscv64": _cross("riscv64-linux-gnu", "riscv64"),
    "s390x": _cross("s390x-linux-gnu", "s390x", flags=("-fexcess-precision=fast",)),
    "musl": Target(("musl-gcc",), "scalar", "musl-tools", ("-static",)),
    "musl-arm64": _zig("aarch64-linux-musl", "neon", ("qemu-aarch64",)),
    "windows": Target(
        ("x86_64-w64-mingw32-gcc",),
        "sse2",
        "gcc-mingw-w64-x86-64 wine64",
        ("-static",),
        ("wine64",),
    ),
    "windows-arm64": _zig("aarch64-windows-gnu", "neon"),
    "macos-arm64": _zig("aarch64-macos", "neon"),
    "macos-x86_64": _zig("x86_64-macos", "sse2"),
    "msvc": _msvc("x86_64"),
    "msvc-arm64": _msvc("aarch64"),
}
