"""C of this folder, compiled when first used and called by cffi."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cffi
from torch import Tensor

from tools.compiler import c_compiler

FLAGS = ("-std=gnu11", "-O3", "-shared", "-fPIC")


class Kernels(NamedTuple):
    """The compiled C."""

    ffi: cffi.FFI
    library: Any

    def pointer(self, kind: str, of: Tensor) -> Any:
        """To a tensor's values, which must lie in a row or, of four axes, channels last."""
        return self.ffi.cast(kind, of.data_ptr())


def load(source: Path, definitions: str, flags: Sequence[str]) -> Kernels | None:
    """None where there is no compiler for it, which is told."""
    ffi = cffi.FFI()
    ffi.cdef(definitions)
    try:
        with tempfile.TemporaryDirectory() as folder:
            library = Path(folder, source.with_suffix(".so").name)
            command = [*c_compiler(), *FLAGS, *flags, str(source), "-o", str(library)]
            subprocess.run(command, check=True, capture_output=True)
            return Kernels(ffi, ffi.dlopen(str(library)))
    except (OSError, subprocess.CalledProcessError) as error:
        print(
            f"{source.name} cannot be compiled ({error}): slower steps; CC names a compiler",
            file=sys.stderr,
        )
        return None
