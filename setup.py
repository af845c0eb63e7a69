"""Builds the C engine as one cffi extension (API mode, out of line, stable ABI).

cffi executes this file too, to find ``ffibuilder``.  Environment:
    MINIMESO_SANITIZE=address,undefined   build with these sanitizers (gcc, clang)
"""

import os
import re
import sys
from pathlib import Path

from cffi import FFI
from setuptools import setup

CSRC = Path(__file__).resolve().parent / "csrc"


def _sources():
    return [f"csrc/{path.name}" for path in sorted(CSRC.glob("*.c"))]


def _dependencies():
    return [
        str(path.relative_to(CSRC.parent))
        for pattern in ("*.h", "*.inc", "simd/*.h")
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


def _compile_arguments():
    if sys.platform == "win32":
        return ["/O2", "/std:c11", "/fp:precise"]
    arguments = ["-O3", "-std=c11", "-ffp-contract=off", "-fno-math-errno", "-pthread"]
    # or the speed of the convolutions depends on the length of whatever stands before them
    arguments += ["-falign-functions=64"]
    arguments.append("-g0")  # Python's own flags ask for debug information: 1.1 MB of it
    if os.environ.get("MINIMESO_SANITIZE"):
        arguments += [
            f"-fsanitize={os.environ['MINIMESO_SANITIZE']}",
            "-fno-sanitize-recover=all",
            "-fno-omit-frame-pointer",
            "-g",
        ]
    return arguments


def _link_arguments():
    if sys.platform == "win32":
        return []
    sanitize = os.environ.get("MINIMESO_SANITIZE")
    return ["-pthread"] + ([f"-fsanitize={sanitize}"] if sanitize else [])


ffibuilder = FFI()
ffibuilder.cdef(_cdef())
ffibuilder.set_source(
    "minimeso.engine._cffi",
    '#include "minimeso.h"',
    sources=_sources(),
    include_dirs=["csrc"],
    extra_compile_args=_compile_arguments(),
    extra_link_args=_link_arguments(),
    libraries=[] if sys.platform == "win32" else ["m"],
    depends=_dependencies(),
)

if __name__ == "__main__":
    setup(
        cffi_modules=["setup.py:ffibuilder"],
        options={"bdist_wheel": {"py_limited_api": "cp310"}},
    )
