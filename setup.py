"""Builds the C engine as one cffi extension (API mode, out of line, stable ABI).

cffi executes this file too, to find ``ffibuilder``.  Environment:
    MINIMESO_SANITIZE=address,undefined   build with these sanitizers (gcc, clang)
    SOURCE_DATE_EPOCH=SECONDS             the same sources give the same archives, byte by byte
"""

import gzip
import os
import platform
import re
import shutil
import sys
import sysconfig
import tarfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cffi import FFI
from setuptools import setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

CSRC = Path(__file__).resolve().parent / "csrc"


def _sources():
    return [f"csrc/{path.name}" for path in sorted(CSRC.glob("*.c"))]


def _dependencies():
    return [
        str(path.relative_to(CSRC.parent))
        for pattern in ("*.h", "*.inc", "include/*.h", "simd/*.h")
        for path in sorted(CSRC.glob(pattern))
    ]


def _cdef():
    """The border, with its lists spelt out: cffi reads C without a preprocessor."""
    header = (CSRC / "minimeso.h").read_text()
    text = header.split("/* cdef begin */")[1].split("/* cdef end */")[0]
    text = re.sub(r"(?m)^#define MM_\w+\(.*$", "", text)  # of what stands in the lists
    for call, file, row, prefix in _LISTS:
        rows = (CSRC / file).read_text().split("#define", 2)[2].split("\n\n")[0]
        names = re.findall(row, rows)
        text = text.replace(call, "".join(f"{prefix}{name}, " for name in names))
    return text


#: How a list is used in minimeso.h, where it stands, what begins a row of it.
_LISTS = (
    ("MM_OPERATORS(MM_OP_NUMBER)", "operators.h", r"(?m)^ +X\((\w+),", "MM_OP_"),
    ("MM_ACTIVATIONS(MM_ACTIVATION_NUMBER)", "activations.h", r"(?m)^ +X\(with, (\w+),", "MM_"),
)


#: Options by which a compiler may compute something else.
_FAST = (
    "-Ofast",
    "-ffast-math",
    "-funsafe-math-optimizations",
    "-fassociative-math",
    "-freciprocal-math",
    "-ffinite-math-only",
)


def _exact(command):
    """Without what CFLAGS may say of fast arithmetic: bits would be others, and gcc would link what
    takes denormals from the whole process."""
    return [word for word in command if word not in _FAST]


def _compile_arguments(compiler):
    if compiler == "msvc":
        return ["/O2", "/std:c11", "/fp:precise"]
    arguments = ["-O3", "-std=c11", "-ffp-contract=off", "-fno-math-errno", "-pthread"]
    arguments += _float_arguments(platform.machine(), sys.maxsize > 1 << 32)
    # or the speed of the convolutions depends on the length of whatever stands before them
    arguments += ["-falign-functions=64"]
    # in a process with another copy of the engine each has its own
    arguments.append("-fvisibility=hidden")
    arguments.append("-g0")  # Python's own flags ask for debug information: 1.1 MB of it
    if os.environ.get("MINIMESO_SANITIZE"):
        arguments += [
            f"-fsanitize={os.environ['MINIMESO_SANITIZE']}",
            "-fno-sanitize-recover=all",
            "-fno-omit-frame-pointer",
            "-g",
            "-O1",  # with -O3 gcc takes five times as long
        ]
    return arguments


def _float_arguments(machine, is_64_bit):
    """What makes a float a float where compilers would count with more bits than it has."""
    if machine in ("i386", "i486", "i586", "i686") or (
        machine in ("x86_64", "AMD64") and not is_64_bit
    ):
        return ["-msse2", "-mfpmath=sse"]  # not x87, whose registers have 80 bits
    if machine == "s390x":
        return ["-fexcess-precision=fast"]  # -std=c11 alone counts in double
    return []


def _link_arguments(compiler):
    if compiler == "msvc":
        return []
    sanitize = os.environ.get("MINIMESO_SANITIZE")
    return ["-pthread"] + ([f"-fsanitize={sanitize}"] if sanitize else [])


NO_COMPILER, NO_HEADER = (
    f"minimeso is built from C, and there is no {missing} here: install gcc (Debian: apt install "
    "build-essential python3-dev; Fedora: dnf install gcc python3-devel; macOS: xcode-select "
    "--install; Windows: winget install Microsoft.VisualStudio.2022.BuildTools, with C++)"
    for missing in ("compiler", "Python.h")
)


def _side_by_side(compile_all):
    """As many sources at once as there are cores; distutils takes one after the other."""

    def compile_each(sources, *positional, **named):
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            objects = pool.map(lambda s: compile_all([s], *positional, **named), sources)
            return [name for names in objects for name in names]

    return compile_each


class BuildExtension(build_ext):
    """Asks which compiler it is: Windows has MSVC and MinGW."""

    def build_extensions(self):
        kind = self.compiler.compiler_type
        command = getattr(self.compiler, "compiler_so", None)
        if kind != "msvc" and command and not shutil.which(command[0]):
            raise SystemExit(NO_COMPILER)
        for name in ("compiler_so", "linker_so"):
            if hasattr(self.compiler, name):
                setattr(self.compiler, name, _exact(getattr(self.compiler, name)))
        for extension in self.extensions:
            extension.extra_compile_args = _compile_arguments(kind)
            extension.extra_link_args = _link_arguments(kind)
            extension.libraries = [] if kind == "msvc" else ["m"]
        if kind != "msvc":  # which has to be found first, by whoever compiles first
            self.compiler.compile = _side_by_side(self.compiler.compile)
        try:
            super().build_extensions()
        except Exception as error:
            if "Microsoft Visual C++" in str(error):  # distutils has found none
                raise SystemExit(NO_COMPILER) from None
            if not Path(sysconfig.get_path("include"), "Python.h").exists():
                raise SystemExit(NO_HEADER) from None
            raise
        self._archive()

    def _archive(self):
        """What the extension was made of once more, as a library for programs in C."""
        sources = [s for e in self.extensions for s in e.sources if s.startswith("csrc/")]
        objects = self.compiler.object_filenames(sources, output_dir=self.build_temp)
        # an archive is added to, and would keep what came of sources that are gone
        shutil.rmtree(self._library_folder(), ignore_errors=True)
        self.compiler.create_static_lib(objects, "minimeso", str(self._library_folder()))

    def _library_folder(self):
        return Path(self.build_lib, "minimeso", "lib")

    def copy_extensions_to_source(self):
        super().copy_extensions_to_source()
        shutil.copytree(self._library_folder(), CSRC.parent / "minimeso/lib", dirs_exist_ok=True)


class BuildPython(build_py):
    """With the C of the engine, packed: parts of it go into what `minimeso export` writes; and with
    its header, which programs in C include."""

    def run(self):
        super().run()
        if not self.editable_mode:
            built = Path(self.build_lib, "minimeso", "csrc")
            (built / "include").mkdir(parents=True, exist_ok=True)
            for header in (CSRC / "include").glob("*.h"):
                shutil.copyfile(header, built / "include" / header.name)
            with zipfile.ZipFile(built / "sources.zip", "w", zipfile.ZIP_DEFLATED) as archive:
                for source in sorted([*_sources(), *_dependencies()]):
                    entry = zipfile.ZipInfo(source.removeprefix("csrc/"))  # of 1980: same bytes
                    entry.compress_type = zipfile.ZIP_DEFLATED
                    archive.writestr(entry, (CSRC.parent / source).read_bytes())


class SourceDistribution(sdist):
    """Its bytes are those of the sources alone where ``SOURCE_DATE_EPOCH`` is set (wheels see to
    that themselves)."""

    def make_archive(self, base_name, format, root_dir=None, base_dir=None, **owners):
        epoch = os.environ.get("SOURCE_DATE_EPOCH")
        if not epoch or format != "gztar":
            return super().make_archive(base_name, format, root_dir, base_dir, **owners)

        def plain(info):
            info.uid = info.gid = 0
            info.uname = info.gname = ""
            info.mtime = int(epoch)
            info.mode = 0o755 if info.isdir() or info.mode & 0o100 else 0o644
            return info

        path = f"{base_name}.tar.gz"
        with (
            Path(path).open("wb") as file,
            gzip.GzipFile("", "wb", 9, file, int(epoch)) as packed,
            tarfile.open(fileobj=packed, mode="w") as archive,
        ):
            for part in [Path(base_dir), *sorted(Path(base_dir).rglob("*"))]:
                archive.add(part, part.as_posix(), recursive=False, filter=plain)
        return path


def _wheel_options():
    """Free-threaded Python has no stable ABI (until PEP 803)."""
    return {} if sysconfig.get_config_var("Py_GIL_DISABLED") else {"py_limited_api": "cp310"}


ffibuilder = FFI()
ffibuilder.cdef(_cdef())
ffibuilder.set_source(
    "minimeso.engine._cffi",
    '#include "minimeso.h"',
    sources=_sources(),
    include_dirs=["csrc"],
    depends=_dependencies(),
)

if __name__ == "__main__":
    setup(
        cffi_modules=["setup.py:ffibuilder"],
        cmdclass={
            "build_ext": BuildExtension,
            "build_py": BuildPython,
            "sdist": SourceDistribution,
        },
        options={"bdist_wheel": _wheel_options()},
    )
